# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ray caster of the synthetic worlds: exact depth, and colours without aliasing.

A world is a set of flat rectangles (:class:`training.worlds.world.Faces`). Every pixel's ray is
intersected with every rectangle that covers it in the image, nearest first. A ray is
p = t · (x, y, 1) in the camera's optical frame, so its parameter t is the depth along the optical
axis. Textures are functions of the position on the rectangle, evaluated at the hit point and
filtered there by the size of the pixel's footprint: detail finer than a pixel fades instead of
flickering. Pixels on the outline of a rectangle are averaged over several rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.worlds.rendering.lamps import ShadowMap, illuminate, lamp_view
from training.worlds.rendering.textures import grain, paint_road, pattern, sky
from training.worlds.world import Light, World

Floats = NDArray[np.float32]

_NEAR = 0.05  # metres; nothing nearer than this is seen
_SEAM = 1e-4  # metres; rectangles overlap by this much, so no ray slips between neighbours
_SMALL = 600  # pixels; faces of fewer are cast all together
_CHUNK = 32768  # rays shaded together
_MIRROR_BLUR = 0.006  # of the image's width
_MIRROR_MOST = 0.7  # share that a floor reflects of what grazes it


@dataclass(frozen=True)
class RenderedFrame:
    """What the camera sees.

    Attributes
    ----------
    image : array of uint8, shape (H, W, 3)
        RGB.
    depth : array of float32, shape (H, W)
        Metres along the optical axis at the pixel centres; infinite where nothing is hit within the
        range of the world (the sky).
    """

    image: NDArray[np.uint8]
    depth: Floats


@dataclass(frozen=True)
class _VisibleFaces:
    """Faces that can be seen, in the camera's optical frame, nearest first.

    A point p of face i has the face coordinates a = axis_a[i] · p + offset_a[i] (b likewise) from
    its centre, and lies on its plane where normal[i] · p = plane[i].
    """

    normal: Floats  # (V, 3)
    plane: Floats  # (V,)
    axis_a: Floats  # (V, 3)
    axis_b: Floats  # (V, 3)
    offset_a: Floats  # (V,)
    offset_b: Floats  # (V,)
    half: Floats  # (V, 2)
    corner: Floats  # (V, 2) added to a and b: measures textures from a corner of the face
    nearest: Floats  # (V,) smallest depth of the face
    window: NDArray[np.int64]  # (V, 4) first and last + 1 column, first and last + 1 row
    material: Floats  # (M, V) rows as in Material.row()
    seed: NDArray[np.uint32]  # (V,)
    brightness: Floats  # (V,)
    is_ground: NDArray[np.bool_]  # (V,)
    pose: Floats  # (4, 4), world from camera
    shadows: tuple[ShadowMap, ...] = ()


@dataclass(frozen=True)
class _Rays:
    """Where rays (x, y, 1) end: depth t and the index of the face, −1 for the sky; all (N,)."""

    x: Floats
    y: Floats
    depth: Floats
    face: NDArray[np.intp]


def render_frame(
    world: World,
    pose: NDArray[np.float64],
    camera: PinholeCamera,
    time: float = 0.0,
    antialias: int = 2,
    shadows: Sequence[ShadowMap] | None = None,
) -> RenderedFrame:
    """Render what a camera sees of a world.

    Parameters
    ----------
    world : World
    pose : array, shape (4, 4)
        World from camera; the camera's frame is optical (x right, y down, z forward).
    camera : PinholeCamera
    time : float
        Seconds; moves the moving objects.
    antialias : int
        Pixels on outlines are averaged over antialias × antialias rays; 1 takes the centre ray.
    shadows : sequence of ShadowMap, optional
        Result of :func:`cast_shadows`, for many frames of a world; cast again by default.

    Returns
    -------
    RenderedFrame

    Raises
    ------
    ValueError
        If `antialias` is less than 1.
    """
    if antialias < 1:
        raise ValueError(f"render_frame: antialias is {antialias}; give at least 1")
    height, width = camera.height, camera.width
    x = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    pixel = (1.0 / camera.fx, 1.0 / camera.fy)
    shadows = cast_shadows(world) if shadows is None else shadows
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        view = replace(_look(world, pose, camera, time), shadows=tuple(shadows))
        depth, face = _cast(view, x, y, world.sky.range)
        rays = _Rays(
            np.broadcast_to(x, (height, width)).ravel(),
            np.repeat(y, width),
            depth.ravel(),
            face.ravel(),
        )
        color = _shade(world, view, pose, rays, pixel)
        if antialias > 1:
            _smooth_outlines(world, view, pose, rays, face, pixel, antialias, color)
        if world.mirror > 0.0:
            _reflect(world, view, pose, camera, rays, color, time)
    image = np.clip(color * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    depth[face < 0] = np.inf
    return RenderedFrame(np.ascontiguousarray(image.T).reshape(height, width, 3), depth)


def cast_depth(
    world: World, pose: NDArray[np.float64], camera: PinholeCamera, time: float = 0.0
) -> NDArray[np.float32]:
    """Return the depth that a camera sees, without a picture.

    Parameters
    ----------
    world, pose, camera, time
        See :func:`render_frame`.

    Returns
    -------
    ndarray, shape (H, W), float32
        Metres along the optical axis, infinite where nothing is hit.
    """
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        view = _look(world, pose, camera, time)
        depth, face = _cast(view, x, y, world.sky.range)
    depth[face < 0] = np.inf
    return np.asarray(depth, np.float32)


def cast_shadows(world: World) -> list[ShadowMap]:
    """Find what the lamps of a world reach; what moves casts no shadows.

    Parameters
    ----------
    world : World

    Returns
    -------
    list of ShadowMap
        One for each lamp.
    """
    shadows = []
    still = replace(world, movers=())
    for lamp in world.light.lamps:
        pose, camera = lamp_view(lamp)
        side = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            view = _look(still, pose, camera, 0.0)
            depth, face = _cast(view, side, side, np.inf)
        shadows.append(ShadowMap(pose, camera, np.where(face < 0, np.float32(np.inf), depth)))
    return shadows


def _look(
    world: World, pose: NDArray[np.float64], camera: PinholeCamera, time: float
) -> _VisibleFaces:
    """Bring the faces that can be seen into the camera's frame."""
    faces = world.faces_at(time)
    towards = faces.center - pose[:3, 3]
    rotation = pose[:3, :3]
    # Faces have one side, and are seen in front of the camera up to the range.
    front = np.einsum("fk,fk->f", faces.normal, towards) < 0.0
    depth, radius = towards @ rotation[:, 2], np.hypot(faces.half[:, 0], faces.half[:, 1])
    front &= (depth + radius > _NEAR) & (depth - radius < world.sky.range)
    faces, towards = faces.take(front), towards[front]

    center, axis_a, axis_b = towards @ rotation, faces.axis_a @ rotation, faces.axis_b @ rotation
    window, nearest = _windows(center, axis_a, axis_b, faces.half, camera)
    order = np.argsort(nearest, kind="stable")
    order = order[(window[order, 0] < window[order, 1]) & (window[order, 2] < window[order, 3])]
    faces, center, axis_a, axis_b = faces.take(order), center[order], axis_a[order], axis_b[order]

    normal = faces.normal @ rotation
    light = world.light
    lambert = np.maximum(faces.normal @ np.asarray(light.direction), 0.0)
    return _VisibleFaces(
        normal.astype(np.float32),
        np.einsum("fk,fk->f", normal, center).astype(np.float32),
        axis_a.astype(np.float32),
        axis_b.astype(np.float32),
        -np.einsum("fk,fk->f", axis_a, center).astype(np.float32),
        -np.einsum("fk,fk->f", axis_b, center).astype(np.float32),
        (faces.half + _SEAM).astype(np.float32),
        np.where(np.isinf(faces.half), 0.0, faces.half).astype(np.float32),
        nearest[order].astype(np.float32),
        window[order],
        np.ascontiguousarray(faces.material.T),
        faces.seed,
        (light.ambient + light.diffuse * lambert).astype(np.float32),
        np.isinf(faces.half[:, 0]),
        pose.astype(np.float32),
    )


def _windows(
    center: NDArray[np.float64],
    axis_a: NDArray[np.float64],
    axis_b: NDArray[np.float64],
    half: NDArray[np.float64],
    camera: PinholeCamera,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bound faces in the image: (F, 4) columns and rows, empty when unseen; and smallest depth."""
    # An endless face becomes a large one here; its window is the whole image below.
    half = np.minimum(half, 1e4)
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    corner = (
        center[:, None]
        + (signs[:, 0] * half[:, :1])[..., None] * axis_a[:, None]
        + (signs[:, 1] * half[:, 1:])[..., None] * axis_b[:, None]
    )
    following = np.roll(corner, -1, axis=1)
    # Where an edge crosses the near plane, the crossing takes the place of the hidden corner.
    fraction = (_NEAR - corner[..., 2]) / (following[..., 2] - corner[..., 2])
    crossing = corner + fraction[..., None] * (following - corner)
    points = np.concatenate([corner, crossing], axis=1)
    crosses = (corner[..., 2] < _NEAR) != (following[..., 2] < _NEAR)
    seen = np.concatenate([corner[..., 2] >= _NEAR, crosses], axis=1)
    depth = np.where(seen, np.maximum(points[..., 2], _NEAR), np.inf)
    columns = points[..., 0] / depth * camera.fx + camera.cx
    rows = points[..., 1] / depth * camera.fy + camera.cy
    window = np.empty((len(center), 4), dtype=np.int64)
    for k, (value, size) in enumerate(((columns, camera.width), (rows, camera.height))):
        # The pixels whose centres are inside, with a margin against rounding.
        first = np.where(seen, value, np.inf).min(axis=1)
        last = np.where(seen, value, -np.inf).max(axis=1)
        window[:, 2 * k] = np.clip(np.ceil(first - 0.01), 0, size)
        window[:, 2 * k + 1] = np.clip(np.floor(last + 0.01) + 1, 0, size)
    return window, depth.min(axis=1)


def _cast(
    view: _VisibleFaces, x: Floats, y: Floats, reach: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Find the nearest face of every pixel: depth and face, both (H, W)."""
    depth = np.full((y.size, x.size), reach, dtype=np.float32)
    face = np.full(depth.shape, -1, dtype=np.intp)
    area = (view.window[:, 1] - view.window[:, 0]) * (view.window[:, 3] - view.window[:, 2])
    large = np.flatnonzero(area > _SMALL)
    # n · (x, y, 1) = (n_x · x + n_z) + n_y · y: one addition a pixel from these.
    normal_x, normal_y = _split(view.normal[large], x, y)
    a_x, a_y = _split(view.axis_a[large], x, y)
    b_x, b_y = _split(view.axis_b[large], x, y)
    for k, i in enumerate(large):
        left, right, top, bottom = view.window[i]
        best = depth[top:bottom, left:right]
        if view.nearest[i] > best.max():
            continue
        t = view.plane[i] / (normal_x[k, left:right] + normal_y[k, top:bottom, None])
        hit = (t > _NEAR) & (t < best)
        if not view.is_ground[i]:
            a = (a_x[k, left:right] + a_y[k, top:bottom, None]) * t + view.offset_a[i]
            hit &= np.abs(a) <= view.half[i, 0]
            b = (b_x[k, left:right] + b_y[k, top:bottom, None]) * t + view.offset_b[i]
            hit &= np.abs(b) <= view.half[i, 1]
        np.copyto(best, t, where=hit)
        np.copyto(face[top:bottom, left:right], i, where=hit)
    _cast_small(view, np.flatnonzero(area <= _SMALL), x, y, depth, face)
    return depth, face


def _cast_small(
    view: _VisibleFaces,
    small: NDArray[np.intp],
    x: Floats,
    y: Floats,
    depth: Floats,
    face: NDArray[np.intp],
) -> None:
    """Cast the many faces of few pixels, all at once: one entry for each pixel of each face."""
    left, right, top, bottom = view.window[small].T
    width = right - left
    area = width * (bottom - top)
    chosen = np.repeat(small, area)
    place = np.arange(area.sum()) - np.repeat(np.cumsum(area) - area, area)
    row, column = np.divmod(place, np.repeat(width, area))
    row += np.repeat(top, area)
    column += np.repeat(left, area)
    u, v, pixel = x[column], y[row], row * x.size + column
    t = view.plane[chosen] / _dot(view.normal, chosen, u, v)
    for axis, offset, half in (
        (view.axis_a, view.offset_a, view.half[:, 0]),
        (view.axis_b, view.offset_b, view.half[:, 1]),
    ):
        keep = np.flatnonzero((t > _NEAR) & (t < depth.ravel()[pixel]))
        chosen, pixel, u, v, t = chosen[keep], pixel[keep], u[keep], v[keep], t[keep]
        outside = np.abs(_dot(axis, chosen, u, v) * t + offset[chosen]) > half[chosen]
        t[outside] = np.inf
    # Far to near, so that the nearest is what remains.
    order = np.argsort(-t, kind="stable")
    order = order[np.isfinite(t[order])]
    depth.ravel()[pixel[order]] = t[order]
    face.ravel()[pixel[order]] = chosen[order]


def _split(vectors: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Split v · (x, y, 1) into what depends on the column, (V, W), and on the row, (V, H)."""
    return vectors[:, :1] * x + vectors[:, 2:], vectors[:, 1:2] * y


def _smooth_outlines(
    world: World,
    view: _VisibleFaces,
    pose: NDArray[np.float64],
    rays: _Rays,
    face: NDArray[np.intp],
    pixel: tuple[float, float],
    antialias: int,
    color: Floats,
) -> None:
    """Average the colours, (3, N), of pixels that see several faces."""
    padded = np.pad(face, 1, mode="edge")
    around = np.stack(
        [face, padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    ).reshape(5, -1)
    edge = np.flatnonzero(np.any(around[1:] != around[0], axis=0))
    chunk = max(1, _CHUNK // antialias**2)
    for start in range(0, edge.size, chunk):
        some = edge[start : start + chunk]
        where, share, parts = _split_pixels(
            view, rays.x[some], rays.y[some], around[:, some], pixel, antialias, world.sky.range
        )
        mixed = np.unique(where)
        samples = _shade(world, view, pose, parts, pixel)
        for channel, sample in zip(color, samples, strict=True):
            channel[some[mixed]] = np.bincount(where, share * sample, some.size)[mixed]


def _reflect(
    world: World,
    view: _VisibleFaces,
    pose: NDArray[np.float64],
    camera: PinholeCamera,
    rays: _Rays,
    color: Floats,
    time: float,
) -> None:
    """Add to the colours, (3, N), of the ground what it reflects.

    A plane mirror shows what a camera sees from behind it: the same camera, reflected in the plane.
    How much it reflects grows towards a grazing view (C. Schlick, "An inexpensive BRDF model for
    physically-based rendering", 1994).
    """
    turn = pose[:3, :3]
    up, height = turn[2], pose[2, 3]
    steep = up[0] * rays.x + up[1] * rays.y + up[2]  # the ray's climb for a metre of depth
    at = height + rays.depth * steep
    level = np.abs(view.normal @ up.astype(np.float32)) > 0.999
    floor = np.flatnonzero((rays.face >= 0) & level[rays.face] & (np.abs(at) < 1e-3 * rays.depth))
    if not floor.size or height <= _NEAR:
        return
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    mirrored = flip @ pose
    x, y = rays.x[: camera.width], rays.y[:: camera.width]
    below = replace(_look(world, mirrored, camera, time), shadows=view.shadows)
    depth, face = _cast(below, x, y, world.sky.range)
    pixel = (1.0 / camera.fx, 1.0 / camera.fy)
    seen = _shade(world, below, mirrored, _Rays(rays.x, rays.y, depth.ravel(), face.ravel()), pixel)
    # No floor is a perfect mirror: what it shows is blurred.
    picture = np.ascontiguousarray(seen.reshape(3, camera.height, camera.width).transpose(1, 2, 0))
    blurred = cv2.GaussianBlur(picture, (0, 0), _MIRROR_BLUR * camera.width)
    seen = np.asarray(blurred, np.float32).reshape(-1, 3).T[:, floor]
    length = np.sqrt(1.0 + rays.x[floor] ** 2 + rays.y[floor] ** 2)
    slant = np.clip(1.0 + steep[floor] / length, 0.0, 1.0)  # 1 − cosine to the plane's normal
    share = (world.mirror + (1.0 - world.mirror) * slant**5) * _MIRROR_MOST
    color[:, floor] += share.astype(np.float32) * (seen - color[:, floor])


def _split_pixels(
    view: _VisibleFaces,
    x: Floats,
    y: Floats,
    around: NDArray[np.intp],
    pixel: tuple[float, float],
    antialias: int,
    reach: float,
) -> tuple[NDArray[np.intp], Floats, _Rays]:
    """Split pixels, whose centres are (x, y), by the faces in them.

    Returns for every part the pixel's index, its share of the pixel, and a ray through its middle.
    A pixel can see the faces that it, (5, N), and its four neighbours see at their centres; a grid
    of rays finds the shares. Pixels that turn out to see one face only are left out.
    """
    # Every face once: −2 takes the place of a repetition.
    around = around.copy()
    for k in range(1, len(around)):
        around[k, np.any(around[:k] == around[k], axis=0)] = -2
    grid = (np.arange(antialias, dtype=np.float32) + 0.5) / antialias - 0.5
    shift_x = np.tile(grid, antialias) * np.float32(pixel[0])
    shift_y = np.repeat(grid, antialias) * np.float32(pixel[1])
    depth = np.full((x.size, shift_x.size), reach, dtype=np.float32)
    best = np.full(depth.shape, -1, dtype=np.intp)
    for candidates in around:
        some = np.flatnonzero(candidates >= 0)
        chosen = candidates[some, None]
        u, v = x[some, None] + shift_x, y[some, None] + shift_y
        t = view.plane[chosen] / _dot(view.normal, chosen, u, v)
        a = _dot(view.axis_a, chosen, u, v) * t + view.offset_a[chosen]
        b = _dot(view.axis_b, chosen, u, v) * t + view.offset_b[chosen]
        hit = (np.abs(a) <= view.half[chosen, 0]) & (np.abs(b) <= view.half[chosen, 1])
        hit &= (t > _NEAR) & (t < depth[some])
        depth[some] = np.where(hit, t, depth[some])
        best[some] = np.where(hit, chosen, best[some])

    # A ray that meets none of the candidates sees the sky only where the sky is a candidate; else
    # it has slipped through a gap thinner than a pixel, and does not count.
    counts = (best >= 0) | np.any(around == -1, axis=0)[:, None]
    mixed = np.flatnonzero(np.any((best != around[0][:, None]) & counts, axis=1))
    best, counts, around, x, y = best[mixed], counts[mixed], around[:, mixed], x[mixed], y[mixed]
    total = counts.sum(axis=1, dtype=np.float32)
    where, shares, parts = [], [], []
    for candidates in around:
        mine = (best == candidates[:, None]) & counts
        count = mine.sum(axis=1, dtype=np.float32)
        some = np.flatnonzero(count)
        count, mine, chosen = count[some], mine[some], candidates[some]
        u = x[some] + (mine @ shift_x) / count
        v = y[some] + (mine @ shift_y) / count
        t = np.where(chosen >= 0, view.plane[chosen] / _dot(view.normal, chosen, u, v), reach)
        where.append(mixed[some])
        shares.append(count / total[some])
        parts.append((u, v, t, chosen))
    return (
        np.concatenate(where),
        np.concatenate(shares),
        _Rays(*(np.concatenate(part) for part in zip(*parts, strict=True))),
    )


def _dot(vectors: Floats, index: NDArray[np.intp], x: Floats, y: Floats) -> Floats:
    """Return vectors[index] · (x, y, 1)."""
    return vectors[index, 0] * x + vectors[index, 1] * y + vectors[index, 2]


def _shade(
    world: World,
    view: _VisibleFaces,
    pose: NDArray[np.float64],
    rays: _Rays,
    pixel: tuple[float, float],
) -> Floats:
    """Give every ray its colour, (3, N) in 0..1; `pixel` is the ray spacing at depth 1."""
    color = np.empty((3, rays.x.size), dtype=np.float32)
    # In parts, so that a large image does not need large intermediate arrays.
    for start in range(0, rays.x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        x, y, depth, face = rays.x[part], rays.y[part], rays.depth[part], rays.face[part]
        miss = face < 0
        if miss.all():
            color[:, part] = sky(world.sky, pose, x, y, pixel)
        elif not miss.any():
            color[:, part] = _surface(world, view, _Rays(x, y, depth, face), pixel)
        else:
            hit = ~miss
            some = _Rays(x[hit], y[hit], depth[hit], face[hit])
            color[:, part][:, hit] = _surface(world, view, some, pixel)
            color[:, part][:, miss] = sky(world.sky, pose, x[miss], y[miss], pixel)
    return color


def _surface(world: World, view: _VisibleFaces, rays: _Rays, pixel: tuple[float, float]) -> Floats:
    """Colour rays that hit a face, (3, N)."""
    x, y, t, face = rays.x, rays.y, rays.depth, rays.face
    normal, axis_a, axis_b = (
        np.take(vectors, face, axis=1) for vectors in (view.normal.T, view.axis_a.T, view.axis_b.T)
    )
    along_a = axis_a[0] * x + axis_a[1] * y + axis_a[2]
    along_b = axis_b[0] * x + axis_b[1] * y + axis_b[2]
    a = along_a * t + (view.offset_a + view.corner[:, 0])[face]
    b = along_b * t + (view.offset_b + view.corner[:, 1])[face]
    # The pixel's footprint on the plane: how a and b change from pixel to pixel, along x and y.
    slope = t / (normal[0] * x + normal[1] * y + normal[2])
    slope_x, slope_y = normal[0] * slope, normal[1] * slope
    step_x, step_y = np.float32(pixel[0]), np.float32(pixel[1])
    a_x, b_x = (axis_a[0] * t - along_a * slope_x), (axis_b[0] * t - along_b * slope_x)
    a_y, b_y = (axis_a[1] * t - along_a * slope_y), (axis_b[1] * t - along_b * slope_y)
    footprint = (a_x * step_x, b_x * step_x, a_y * step_y, b_y * step_y)
    size_a, size_b = np.abs(footprint[0]), np.abs(footprint[1])
    size_a += np.abs(footprint[2])
    size_b += np.abs(footprint[3])

    material = np.take(view.material, face, axis=1)
    seed = view.seed[face]
    base = pattern(material, seed, a, b, size_a, size_b)
    mottle, contrast, grain_a, grain_b = material[13:17]
    if world.road is not None:
        on = np.flatnonzero(view.is_ground[face])
        sizes = (size_a[on], size_b[on])
        base[:, on], covered = paint_road(world.road, base[:, on], a[on], b[on], *sizes)
        mottle[on] *= 1.0 - covered
        contrast[on] *= 1.0 - np.float32(world.road.smoothness) * covered
    fine, coarse = grain(
        a / grain_a,
        b / grain_b,
        [step / grain for step, grain in zip(footprint, (grain_a, grain_b) * 2, strict=True)],
        seed,
    )
    base += mottle * np.clip(coarse + 0.5, 0.0, 1.0) * (material[3:6] - base)
    brightness = view.brightness[face]
    if view.shadows:
        turn, place = view.pose[:3, :3], view.pose[:3, 3:]
        rays_at = np.stack([x, y, np.ones_like(x)]) * t
        point = (turn @ rays_at + place).astype(np.float32, copy=False)
        added, occlusion = illuminate(world.light, point, turn @ normal, view.shadows)
        brightness = (brightness + added) * occlusion
    if world.light.headlight > 0.0:
        brightness = brightness + _headlight(world.light, normal, rays)
    base *= (1.0 + contrast * fine) * brightness
    haze = 1.0 - np.exp(t * np.float32(-1.0 / world.sky.visibility))
    base += haze * (np.asarray(world.sky.horizon, dtype=np.float32)[:, None] - base)
    return base


def _headlight(light: Light, normal: Floats, rays: _Rays) -> Floats:
    """Brightness, (N,), that a light at the camera adds: most in the middle of its beam."""
    squared = rays.x * rays.x + rays.y * rays.y
    length = np.sqrt(1.0 + squared)
    cosine = np.abs(normal[0] * rays.x + normal[1] * rays.y + normal[2]) / length
    fade = 1.0 + (rays.depth * length / np.float32(light.headlight_reach)) ** 2
    beam = np.exp(squared * np.float32(-1.5))
    return np.float32(light.headlight) * (0.3 + 0.7 * cosine) * beam / fade
