# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lamps of the synthetic worlds, and the shadows that they cast.

A lamp's shadows come from a shadow map: the depth that a camera at the lamp sees. L. Williams,
"Casting curved shadows on curved surfaces", 1978; softened over some entries of the map (W. T.
Reeves et al., "Rendering antialiased shadows with depth maps", 1987).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.worlds.world import Lamp, Light

Floats = NDArray[np.float32]

_TAPS = ((-1.4, -0.5), (0.5, -1.4), (1.4, 0.5), (-0.5, 1.4))  # entries of the map
# Against shadows of a surface on itself, in entries of the map:
_LIFT = 0.5  # off the surface
_REACH = 2.0  # along the surface, as far as the taps are from the middle
_STEEPEST = 12.0  # metres of depth for a metre across, on a surface that the light grazes
_CREASE = 0.12  # metres; how far the darkness of the corners at floor and ceiling reaches


@dataclass(frozen=True)
class ShadowMap:
    """How far a lamp's light reaches.

    Attributes
    ----------
    pose : array of float64, shape (4, 4)
        World from the camera at the lamp (optical frame).
    camera : PinholeCamera
    depth : array of float32, shape (H, W)
        Metres along the axis; infinite where nothing is met.
    """

    pose: NDArray[np.float64]
    camera: PinholeCamera
    depth: Floats


def lamp_view(lamp: Lamp) -> tuple[NDArray[np.float64], PinholeCamera]:
    """Return pose and camera of what a lamp shines at, for its shadow map."""
    forward = np.asarray(lamp.target, np.float64) - np.asarray(lamp.position)
    forward /= np.linalg.norm(forward)
    # Any axis square to it will do for the image's x.
    right = np.cross(forward, (0.0, 0.0, 1.0) if abs(forward[2]) < 0.9 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = lamp.position
    side = lamp.map_size
    focal = 0.5 * side / math.tan(math.radians(0.5 * lamp.spread))
    return pose, PinholeCamera(side, side, focal, focal, 0.5 * (side - 1), 0.5 * (side - 1))


def illuminate(
    light: Light, point: Floats, normal: Floats, shadows: Sequence[ShadowMap]
) -> tuple[Floats, Floats]:
    """Add up what the lamps give to places.

    Parameters
    ----------
    light : Light
    point, normal : array of float32, shape (3, N)
        In the world.
    shadows : sequence of ShadowMap
        One for each lamp.

    Returns
    -------
    brightness, occlusion : array of float32, shape (N,)
        To be added to the daylight, and the share of all light that corners leave.
    """
    total = np.zeros(point.shape[1], dtype=np.float32)
    for lamp, shadow in zip(light.lamps, shadows, strict=True):
        towards = np.asarray(lamp.position, np.float32)[:, None] - point
        squared = np.einsum("kn,kn->n", towards, towards)
        cosine = np.einsum("kn,kn->n", towards, normal) / np.sqrt(squared)
        given = np.float32(lamp.strength) * np.maximum(cosine, 0.0)
        if math.isfinite(lamp.falloff):
            given /= 1.0 + squared / np.float32(lamp.falloff**2)
        total += given * _reached(shadow, point, normal)
    occlusion = np.ones_like(total)
    if light.crease > 0.0:
        for level, sign in ((0.0, 1.0), (light.ceiling, -1.0)):
            height = np.maximum(sign * (point[2] - np.float32(level)), 0.0)
            upright = 1.0 - np.abs(normal[2])
            dark = np.exp(height * np.float32(-1.0 / _CREASE))
            occlusion -= np.float32(light.crease) * upright * dark
    return total, occlusion


def _reached(shadow: ShadowMap, point: Floats, normal: Floats) -> Floats:
    """Share of the lamp's light that reaches places, (N,); all of it outside the map."""
    rotation = shadow.pose[:3, :3].astype(np.float32)
    camera, side = shadow.camera, shadow.camera.width
    seen = rotation.T @ (point - shadow.pose[:3, 3:].astype(np.float32))
    entry = np.maximum(seen[2], 0.0) * np.float32(1.0 / camera.fx) + np.float32(0.005)
    facing = rotation.T @ normal
    x, y, z = seen + np.float32(_LIFT) * entry * facing
    # How the surface's own depth changes from entry to entry: z = c / (n · ray).
    across = np.abs(facing[0]) + np.abs(facing[1])
    along = np.abs(np.einsum("kn,kn->n", facing, seen)) / np.maximum(seen[2], 1e-3)
    steep = np.minimum(across / np.maximum(along, 1e-3), np.float32(_STEEPEST))
    z_least = z - entry * (np.float32(0.5) + np.float32(_REACH) * steep)
    ahead = z > 0.05
    inverse = np.float32(camera.fx) / np.where(ahead, z, 1.0)
    u, v = x * inverse + np.float32(camera.cx), y * inverse + np.float32(camera.cy)
    inside = np.flatnonzero(ahead & (u > 2.0) & (u < side - 3.0) & (v > 2.0) & (v < side - 3.0))
    share = np.ones_like(z)
    u, v, reach = u[inside], v[inside], z_least[inside]
    lit = np.zeros_like(reach)
    for right, down in _TAPS:
        column = (u + np.float32(right + 0.5)).astype(np.intp)
        row = (v + np.float32(down + 0.5)).astype(np.intp)
        lit += shadow.depth[row, column] >= reach
    share[inside] = lit / len(_TAPS)
    return share
