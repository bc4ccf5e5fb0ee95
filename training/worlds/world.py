# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plain data of the synthetic worlds: rectangles with materials, what moves, light and sky.

The frame ``world`` has z up and the ground at z = 0 (REP 103); lengths are metres, colours are
RGB in 0..1. Everything solid is made of :class:`Box`; a renderer sees :class:`Faces`, the flat
rectangles of the boxes as a few arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """Look of a surface: cells of one colour in a frame of another, under fractal noise.

    Attributes
    ----------
    color : tuple of 3 float
        Colour of the cells, and of the whole surface where the cells fill it.
    frame : tuple of 3 float
        Colour between the cells (mortar, joints, the wall around windows), and of the mottling.
    cell : tuple of 2 float
        Size of a cell along the face's axes a (horizontal on walls) and b, in metres.
    fill : tuple of 2 float
        Share of the cell that has its own colour; (1, 1) leaves no frame.
    shift : float
        Shift of every row of cells against the one below, in cells: 0.5 lays bricks.
    tint : float
        How much the brightness varies from cell to cell, 0..1.
    variety : float
        How much the hue varies from cell to cell, 0..1.
    mottle : float
        Share of coarse blotches in the colour of the frame, 0..1.
    contrast : float
        Amplitude of the fractal noise, 0..1.
    grain : tuple of 2 float
        Longest wavelength of the noise along a and b, in metres.
    """

    color: Color
    frame: Color = (0.5, 0.5, 0.5)
    cell: tuple[float, float] = (1.0, 1.0)
    fill: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    tint: float = 0.0
    variety: float = 0.0
    mottle: float = 0.0
    contrast: float = 0.25
    grain: tuple[float, float] = (2.0, 2.0)

    def row(self, size: tuple[float, float]) -> list[float]:
        """List all numbers, with the cells fitted to a face of the given size."""
        cell = [
            side / max(1, round(side / wanted)) if np.isfinite(side) else wanted
            for side, wanted in zip(size, self.cell, strict=True)
        ]
        return [
            *self.color,
            *self.frame,
            *cell,
            *self.fill,
            self.shift,
            self.tint,
            self.variety,
            self.mottle,
            self.contrast,
            *self.grain,
        ]


@dataclass(frozen=True)
class Box:
    """A solid box.

    Attributes
    ----------
    center : tuple of 3 float
    size : tuple of 3 float
        Full lengths along its own axes.
    material : Material
    yaw : float
        Turn about z, in radians.
    tilt : tuple of 2 float
        Turns about its own x, then y, before the yaw; 0 stands upright.
    top : Material, optional
        Another material for the face that looks up.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    yaw: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    top: Material | None = None

    def rotation(self) -> Floats:
        """World from box, shape (3, 3)."""
        return _rotation(2, self.yaw) @ _rotation(1, self.tilt[1]) @ _rotation(0, self.tilt[0])

    def moved(self, offset: Sequence[float], yaw: float = 0.0) -> Box:
        """Turn the box about the world's z axis by `yaw`, then shift it by `offset`."""
        x, y, z = _rotation(2, yaw) @ np.asarray(self.center) + np.asarray(offset)
        return replace(self, center=(float(x), float(y), float(z)), yaw=self.yaw + yaw)


def _rotation(axis: int, angle: float) -> Floats:
    """Rotate about one axis of a right-handed frame."""
    matrix = np.eye(3)
    following, last = (axis + 1) % 3, (axis + 2) % 3
    matrix[following, following] = matrix[last, last] = np.cos(angle)
    matrix[last, following] = np.sin(angle)
    matrix[following, last] = -matrix[last, following]
    return matrix


def box_bounds(boxes: Sequence[Box]) -> tuple[Floats, Floats]:
    """Return the least and the greatest x, y, z of boxes as they stand; both (N, 3)."""
    yaw, roll, pitch = np.array([(box.yaw, *box.tilt) for box in boxes]).reshape(-1, 3).T
    center = np.array([box.center for box in boxes]).reshape(-1, 3)
    half = 0.5 * np.array([box.size for box in boxes]).reshape(-1, 3)
    (cz, sz), (cx, sx), (cy, sy) = ((np.cos(a), np.sin(a)) for a in (yaw, roll, pitch))
    rotation = np.array(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )
    reach = np.einsum("ijn,nj->ni", np.abs(rotation), half)
    return center - reach, center + reach


@dataclass(frozen=True)
class Faces:
    """Flat one-sided rectangles.

    A point of face i is center + a · axis_a + b · axis_b with −half[0] ≤ a ≤ half[0] and
    −half[1] ≤ b ≤ half[1] (both infinite for the ground).

    Attributes
    ----------
    center, axis_a, axis_b, normal : array of float64, shape (F, 3)
        The axes are unit vectors; the normal looks to the side that is seen.
    half : array of float64, shape (F, 2)
    material : array of float32, shape (F, 17)
        :meth:`Material.row` of each.
    seed : array of uint32, shape (F,)
        Makes every face's noise its own.
    """

    center: Floats
    axis_a: Floats
    axis_b: Floats
    normal: Floats
    half: Floats
    material: NDArray[np.float32]
    seed: NDArray[np.uint32]

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Faces:
        """Keep the faces of an index or a mask."""
        return Faces(*(getattr(self, field.name)[index] for field in fields(self)))

    def moved(self, position: Floats, yaw: float) -> Faces:
        """Turn about the z axis by `yaw`, then shift by `position`."""
        turn = _rotation(2, yaw).T
        return replace(
            self,
            center=self.center @ turn + position,
            axis_a=self.axis_a @ turn,
            axis_b=self.axis_b @ turn,
            normal=self.normal @ turn,
        )


def join_faces(parts: Sequence[Faces]) -> Faces:
    """Join several sets of faces to one."""
    return Faces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Faces))
    )


#: Normal, horizontal axis and vertical axis of a box's faces, as box axes with signs.
_BOX_FACES = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 0, -1], [1, 0, 0], [0, -1, 0]],
    ],
    dtype=np.float64,
)


def box_faces(boxes: Sequence[Box], seed: int, inward: bool = False) -> Faces:
    """Turn boxes into their faces.

    Parameters
    ----------
    boxes : sequence of Box
    seed : int
        Seed of the noise on the surfaces.
    inward : bool
        Let the faces be seen from inside the boxes (the walls of a room).

    Returns
    -------
    Faces
        Six for each box, in the order +x, −x, +y, −y, +z, −z of its own axes.
    """
    sign = -1.0 if inward else 1.0
    rotation = np.stack([box.rotation() for box in boxes])
    half = 0.5 * np.array([box.size for box in boxes])
    frames = np.einsum("nij,fkj->nfki", rotation, _BOX_FACES)
    extent = np.einsum("nj,fkj->nfk", half, np.abs(_BOX_FACES))
    center = np.array([box.center for box in boxes])[:, None] + extent[..., :1] * frames[:, :, 0]
    material = [
        ((box.top or box.material) if face == 4 else box.material).row(
            (2.0 * extent[n, face, 1], 2.0 * extent[n, face, 2])
        )
        for n, box in enumerate(boxes)
        for face in range(6)
    ]
    seeds = np.random.default_rng(seed).integers(0, 2**32, 6 * len(boxes), dtype=np.uint32)
    return Faces(
        center.reshape(-1, 3),
        frames[:, :, 1].reshape(-1, 3),
        frames[:, :, 2].reshape(-1, 3),
        sign * frames[:, :, 0].reshape(-1, 3),
        extent[:, :, 1:].reshape(-1, 2),
        np.array(material, dtype=np.float32),
        seeds,
    )


def ground_face(material: Material, seed: int) -> Faces:
    """Make the endless ground, z = 0, with a along x and b along y."""
    axes = np.eye(3)
    return Faces(
        np.zeros((1, 3)),
        axes[:1],
        axes[1:2],
        axes[2:],
        np.full((1, 2), np.inf),
        np.array([material.row((np.inf, np.inf))], dtype=np.float32),
        np.array([seed % 2**32], dtype=np.uint32),
    )


@dataclass(frozen=True)
class Mover:
    """A body that moves over the ground: its faces, and where its origin is at which time.

    Attributes
    ----------
    faces : Faces
        In the body's frame: x forward, z up, its origin on the ground.
    times : array of float64, shape (T,)
        Seconds; between them the motion is linear, outside them the body stands still.
    positions : array of float64, shape (T, 3)
    yaws : array of float64, shape (T,)
        Radians, without jumps of 2π.
    """

    faces: Faces
    times: Floats
    positions: Floats
    yaws: Floats

    def at(self, time: float) -> Faces:
        """Return the faces where they are at a time."""
        position = np.array([np.interp(time, self.times, axis) for axis in self.positions.T])
        return self.faces.moved(position, float(np.interp(time, self.times, self.yaws)))


@dataclass(frozen=True)
class Route:
    """The way the camera takes over the ground, as densely spaced points.

    Attributes
    ----------
    points : array of float64, shape (N, 2)
        World x and y.
    """

    points: Floats

    @property
    def length(self) -> float:
        """Metres from the first point to the last."""
        return float(self._distances()[-1])

    def at(self, distance: Floats) -> tuple[Floats, Floats]:
        """Return the points, (..., 2), and headings, (...), at distances from the start.

        Before its start and after its end the route goes straight on.
        """
        along = self._distances()
        step = np.diff(self.points, axis=0)
        heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        angle = np.interp(distance, self.bends(), heading)
        inside = np.clip(distance, 0.0, along[-1])
        point = np.stack([np.interp(inside, along, axis) for axis in self.points.T], axis=-1)
        beyond = np.asarray(distance - inside)[..., None]
        return point + beyond * np.stack([np.cos(angle), np.sin(angle)], axis=-1), angle

    def bends(self) -> Floats:
        """Return the metres from the start, (N - 1,), between which the heading changes evenly."""
        along = self._distances()
        return 0.5 * (along[1:] + along[:-1])

    def _distances(self) -> Floats:
        """Metres from the start to every point."""
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        return np.concatenate([[0.0], np.cumsum(steps)])


def straight_route(length: float, start: tuple[float, float] = (0.0, 0.0)) -> Route:
    """Make a route along the world's x axis."""
    return Route(np.array([start, (start[0] + length, start[1])], dtype=np.float64))


@dataclass(frozen=True)
class Road:
    """A street along the world's x axis that swings to both sides, painted on the ground.

    Attributes
    ----------
    half_width : float
        Half of the width of the carriageway, in metres.
    pavement : float
        Width of the pavement on both sides.
    waves : tuple of (amplitude, wavelength, phase)
        The centre line is y = Σ amplitude · sin(2π x / wavelength + phase).
    asphalt, marking, kerb, slab, joint : tuple of 3 float
        Colours.
    lanes : tuple of float
        Metres to the left of the centre line at which there are broken lines.
    edge : float
        Metres from the edge of the carriageway to the unbroken lines.
    smoothness : float
        Share of the ground's noise that the road is without, 0..1.
    """

    half_width: float
    pavement: float
    waves: tuple[tuple[float, float, float], ...]
    asphalt: Color = (0.30, 0.30, 0.32)
    marking: Color = (0.85, 0.85, 0.80)
    kerb: Color = (0.60, 0.59, 0.56)
    slab: Color = (0.52, 0.50, 0.47)
    joint: Color = (0.33, 0.32, 0.30)
    lanes: tuple[float, ...] = (0.0,)
    edge: float = 0.45
    smoothness: float = 0.0

    def center(self, x: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
        """Return the centre line's y and its slope dy/dx at x."""
        y, slope = np.zeros_like(x), np.zeros_like(x)
        for amplitude, wavelength, phase in self.waves:
            frequency = 2.0 * np.pi / wavelength
            y += amplitude * np.sin(frequency * x + phase)
            slope += amplitude * frequency * np.cos(frequency * x + phase)
        return y, slope

    def lane(self, length: float, lateral: float, step: float) -> Route:
        """Return the route along the road from x = 0.

        Parameters
        ----------
        length : float
            Metres along x; the route is a metre longer.
        lateral : float
            Metres to the left of the centre line.
        step : float
            Metres along x between its points.
        """
        x = np.arange(0.0, length + 1.0, step)
        y, slope = self.center(x)
        heading = np.arctan(slope)
        points = [x - lateral * np.sin(heading), y + lateral * np.cos(heading)]
        return Route(np.stack(points, axis=1))

    def placed(
        self, parts: Sequence[Box], x: float, lateral: float, turn: float = 0.0
    ) -> list[Box]:
        """Return what is built around the origin, placed on the road or at its side.

        Parameters
        ----------
        parts : sequence of Box
        x : float
            Metres along the road.
        lateral : float
            Metres to the left of the centre line.
        turn : float
            Radians to the left of the road's direction.
        """
        y, slope = (value.item() for value in self.center(np.array(x)))
        heading = math.atan(slope)
        where = (x - lateral * math.sin(heading), y + lateral * math.cos(heading), 0.0)
        return [part.moved(where, heading + turn) for part in parts]

    def lateral(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray:
        """Return the distance to the left of the centre line, to first order."""
        center, slope = self.center(x)
        return (y - center) / np.sqrt(1.0 + slope * slope)


@dataclass(frozen=True)
class Lamp:
    """A light at a place, which casts shadows (a sun when it is far away).

    Attributes
    ----------
    position, target : tuple of 3 float
        Where it is, and what its shadows are finest around; it shines to all sides.
    strength : float
        Brightness that it gives near by to a face turned to it.
    falloff : float
        Metres at which that is half; infinite for a sun.
    spread : float
        Degrees around the target in which it casts shadows.
    map_size : int
        Width and height of its shadow map.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    strength: float = 0.4
    falloff: float = 3.0
    spread: float = 140.0
    map_size: int = 384


@dataclass(frozen=True)
class Light:
    """Sun and daylight: a face has the brightness ambient + diffuse · max(0, normal · direction).

    Attributes
    ----------
    direction : tuple of 3 float
        Unit vector towards the sun.
    ambient, diffuse : float
    lamps : tuple of Lamp
        They add to that.
    crease : float
        Share of the light that upright faces lose at floor and ceiling.
    ceiling : float
        Height of the ceiling, in metres.
    headlight : float
        Brightness that a light at the camera gives to what is near and faces it.
    headlight_reach : float
        Metres at which that is half.
    """

    direction: tuple[float, float, float] = (0.36, 0.48, 0.80)
    ambient: float = 0.55
    diffuse: float = 0.5
    lamps: tuple[Lamp, ...] = ()
    crease: float = 0.0
    ceiling: float = np.inf
    headlight: float = 0.0
    headlight_reach: float = 12.0


@dataclass(frozen=True)
class Sky:
    """What rays see that hit nothing.

    Attributes
    ----------
    horizon, zenith : tuple of 3 float
        Colours; the horizon's is also the haze's.
    clouds : float
        0 for none, about 1 for an overcast sky.
    visibility : float
        Metres in which haze takes 63 % of the contrast.
    range : float
        Metres along the optical axis beyond which the world is not seen and depth is unknown.
    seed : int
    """

    horizon: Color = (0.80, 0.85, 0.90)
    zenith: Color = (0.32, 0.52, 0.82)
    clouds: float = 0.5
    visibility: float = 400.0
    range: float = 250.0
    seed: int = 0


@dataclass(frozen=True)
class World:
    """A scene, and the way a camera may take through it.

    Attributes
    ----------
    faces : Faces
        What stands still.
    route : Route
    light : Light
    sky : Sky
    road : Road, optional
        Painted on the ground.
    movers : tuple of Mover
    layout : str
        The kind of place: street, room or open.
    mirror : float
        Share of the light from straight above that the ground, z = 0, reflects: a polished floor,
        a wet road.
    """

    faces: Faces
    route: Route
    light: Light
    sky: Sky
    road: Road | None = None
    movers: tuple[Mover, ...] = ()
    layout: str = "open"
    mirror: float = 0.0

    def faces_at(self, time: float) -> Faces:
        """Return all faces where they are at a time, in seconds."""
        return join_faces([self.faces, *(mover.at(time) for mover in self.movers)])
