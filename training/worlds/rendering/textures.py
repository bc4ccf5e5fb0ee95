# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colours of the synthetic worlds, as functions of the place on a surface.

Every function is told the size of the pixel's footprint on the surface and filters itself: what is
finer than a pixel fades to its mean instead of flickering from frame to frame. All arrays are
float32 of shape (N,), one entry for each ray, and colours are (3, N) in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.worlds.world import Road, Sky

Floats = NDArray[np.float32]

_OCTAVES = 8
_PERSISTENCE = 0.85  # amplitude of an octave by that of the one before
_TAPS = 3  # samples along the footprint of a pixel that sees a surface at a slant
_COLUMN, _ROW = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)


def pattern(
    material: Floats,
    seed: NDArray[np.uint32],
    a: Floats,
    b: Floats,
    size_a: Floats,
    size_b: Floats,
) -> Floats:
    """Lay out bricks, tiles, planks, windows or stripes: cells of one colour in a frame of another.

    Returns (3, N). A box of the footprint's size filters the frame exactly.
    """
    base = material[0:3].copy()
    cell_a, cell_b, fill_a, fill_b, shift, tint, variety = material[6:13]
    some = np.flatnonzero((fill_a < 1.0) | (fill_b < 1.0) | (tint > 0.0) | (variety > 0.0))
    if not some.size:
        return base
    cell_a, cell_b, shift, tint, variety = (
        value[some] for value in (cell_a, cell_b, shift, tint, variety)
    )
    along, across = a[some] / cell_a, b[some] / cell_b
    width_a, width_b = size_a[some] / cell_a, size_b[some] / cell_b
    row = np.floor(across)
    offset = along + shift * row
    inside = _pulse(offset - np.floor(offset), width_a, fill_a[some])
    inside *= _pulse(across - row, width_b, fill_b[some])

    # The footprint's share of the four cells that it may lie on; of more it is the mean colour.
    distinct = np.clip(1.5 - 0.5 * np.maximum(width_a, width_b), 0.0, 1.0)
    rows, row_shares = _overlap(across, width_b)
    cells = []
    for row, row_share in zip(rows, row_shares, strict=True):
        for column, share in zip(*_overlap(along + shift * row, width_a), strict=True):
            (bits,) = _hash(column.astype(np.int32), row.astype(np.int32), seed[some])
            cells.append((distinct * row_share * share, bits))
    level = 1.0 + tint * sum(share * _unit(bits, 0) for share, bits in cells)
    for channel in range(3):
        color = base[channel, some] * level
        varied = np.flatnonzero(variety)
        if varied.size:
            color[varied] += variety[varied] * sum(
                share[varied] * _unit(bits[varied], 4 + 6 * channel) for share, bits in cells
            )
        frame = material[3 + channel, some]
        base[channel, some] = frame + inside * (color - frame)
    return base


def _overlap(place: Floats, width: Floats) -> tuple[list[Floats], list[Floats]]:
    """Find the two cells of size 1 nearest to a place, and their shares of a span around it."""
    cell = np.floor(place)
    phase = place - cell
    beyond = np.minimum(phase, 1.0 - phase)  # distance to the nearer neighbour
    share = np.clip(0.5 - beyond / np.maximum(width, 1e-3), 0.0, 0.5)
    return [cell, np.where(phase < 0.5, cell - 1.0, cell + 1.0)], [1.0 - share, share]


def _pulse(phase: Floats, width: Floats, fill: Floats) -> Floats:
    """Average over `width` a wave of period 1 that is 1 in its first part `fill`, else 0."""
    width = np.maximum(width, 1e-3)
    # The frame is divided between both sides of a cell, so the pattern is centred.
    start = phase - 0.5 * (1.0 - fill) - 0.5 * width
    return (_pulse_integral(start + width, fill) - _pulse_integral(start, fill)) / width


def _pulse_integral(phase: Floats, fill: Floats) -> Floats:
    """Integrate the wave of :func:`_pulse` from 0."""
    whole = np.floor(phase)
    return whole * fill + np.minimum(phase - whole, fill)


def grain(
    x: Floats, y: Floats, footprint: Sequence[Floats], seed: NDArray[np.uint32]
) -> tuple[Floats, Floats]:
    """Sum octaves of value noise, each faded out where its wavelength nears the footprint.

    `footprint` holds the steps of x, y from a pixel to the next column, then to the next row.
    Returns the sum of all octaves and, independent of it, of the first three; both about −1..1.
    """
    x_column, y_column, x_row, y_row = footprint
    column = np.sqrt(x_column * x_column + y_column * y_column)
    row = np.sqrt(x_row * x_row + y_row * y_row)
    length, width = np.maximum(column, row), np.minimum(column, row)
    # Seen at a slant, the footprint is long: several samples along it keep the detail across it.
    slanted = length > 1.5 * width
    turned = column > row
    long_x, long_y = np.where(turned, x_column, x_row), np.where(turned, y_column, y_row)
    width = np.where(slanted, np.maximum(width, length / _TAPS), length)

    fine = np.zeros_like(x)
    coarse = np.zeros_like(x)
    norm = np.float32(1.0 / np.sqrt(sum(_PERSISTENCE ** (2 * k) for k in range(_OCTAVES))))
    for octave in range(_OCTAVES):
        scale = np.float32(2.0**octave)
        # Full up to half a wavelength across the footprint (the sampling limit), none at a whole.
        weight = np.clip(2.0 - 2.0 * scale * width, 0.0, 1.0)
        if not weight.any():
            break
        amplitude = norm * np.float32(_PERSISTENCE**octave)
        several = slanted & (length * scale > 0.5)
        for taps, chosen in ((1, ~several), (_TAPS, several)):
            some = np.flatnonzero(chosen & (weight > 0.0))
            if not some.size:
                continue
            u, v, salt = x[some] * scale, y[some] * scale, seed[some] + np.uint32(octave)
            u_step, v_step = long_x[some] * (scale / taps), long_y[some] * (scale / taps)
            share = weight[some] / taps
            for tap in range(taps):
                shift = tap - 0.5 * (taps - 1)
                first, second = _value_noise(
                    u + shift * u_step, v + shift * v_step, salt, octave < 3
                )
                fine[some] += amplitude * share * first
                if second is not None:
                    coarse[some] += np.float32(0.6 * 0.5**octave) * share * second
    return fine, coarse


def _value_noise(
    x: Floats, y: Floats, seed: NDArray[np.uint32], two: bool
) -> tuple[Floats, Floats | None]:
    """Interpolate random values of the integer lattice; one or two fields of −1..1."""
    left, top = np.floor(x), np.floor(y)
    x, y = x - left, y - top
    x *= x * (3.0 - 2.0 * x)
    y *= y * (3.0 - 2.0 * y)
    column, row = left.astype(np.int32), top.astype(np.int32)
    corners = _hash(column, row, seed, neighbours=True)
    return _mix(corners, 16, x, y), _mix(corners, 0, x, y) if two else None


def _mix(corners: list[NDArray[np.uint32]], shift: int, x: Floats, y: Floats) -> Floats:
    """Interpolate 16 random bits of each corner of a lattice cell, as numbers of −1..1."""
    c00, c10, c01, c11 = (_bits(corner, shift) for corner in corners)
    c10 -= c00
    c10 *= x
    c10 += c00
    c11 -= c01
    c11 *= x
    c11 += c01
    c11 -= c10
    c11 *= y
    c11 += c10
    c11 *= np.float32(2.0 / 0xFFFF)
    c11 -= np.float32(1.0)
    return c11


def _hash(
    column: NDArray[np.int32],
    row: NDArray[np.int32],
    seed: NDArray[np.uint32],
    neighbours: bool = False,
) -> list[NDArray[np.uint32]]:
    """Scramble lattice coordinates and a seed to 32 random bits.

    With `neighbours` also for the next column, the next row, and both.
    """
    left = column.view(np.uint32) * _COLUMN
    above = row.view(np.uint32) * _ROW
    salt = seed * np.uint32(0x27D4EB2F)
    columns = (left, left + _COLUMN) if neighbours else (left,)
    rows = (above ^ salt, (above + _ROW) ^ salt) if neighbours else (above ^ salt,)
    result = []
    for below in rows:
        for right in columns:
            bits = right ^ below
            bits ^= bits >> np.uint32(15)
            bits *= np.uint32(0x2C1B3C6D)
            bits ^= bits >> np.uint32(13)
            result.append(bits)
    return result


def _bits(bits: NDArray[np.uint32], shift: int) -> Floats:
    """Take 16 bits as a number of 0..65535; `shift` up to 16."""
    part = bits >> np.uint32(shift)
    if shift < 16:
        part &= np.uint32(0xFFFF)
    return part.view(np.int32).astype(np.float32)


def _unit(bits: NDArray[np.uint32], shift: int) -> Floats:
    """Take 16 bits as a number of −1..1."""
    return _bits(bits, shift) * np.float32(2.0 / 0xFFFF) - np.float32(1.0)


def paint_road(
    road: Road, base: Floats, x: Floats, y: Floats, size_x: Floats, size_y: Floats
) -> tuple[Floats, Floats]:
    """Paint carriageway, markings, kerbs and pavements over the ground's colours, (3, N).

    Returns the colours and the share of each footprint that is covered.
    """
    lateral = road.lateral(x, y)
    aside = np.abs(lateral)
    edge = road.half_width
    end = edge + road.pavement

    def strip(first: float, last: float, value: Floats = aside) -> Floats:
        upper = np.clip((last - value) / size_y + 0.5, 0.0, 1.0)
        lower = np.clip((first - value) / size_y + 0.5, 0.0, 1.0)
        return upper - lower

    def wave(period: float, fill: float) -> Floats:
        phase = x / np.float32(period)
        return _pulse(phase - np.floor(phase), size_x / np.float32(period), np.float32(fill))

    dashes = wave(6.0, 0.5)
    layers = (
        (strip(edge, end), road.joint),
        (strip(edge + 0.3, end) * wave(1.2, 0.94), road.slab),
        (strip(-1e3, edge), road.asphalt),
        (strip(edge, edge + 0.2), road.kerb),
        *((strip(y - 0.08, y + 0.08, lateral) * dashes, road.marking) for y in road.lanes),
        (strip(edge - road.edge, edge - road.edge + 0.15), road.marking),
    )
    for cover, color in layers:
        base += cover * (np.asarray(color, dtype=np.float32)[:, None] - base)
    return base, strip(-1e3, end)


def sky(
    sky: Sky, pose: NDArray[np.float64], x: Floats, y: Floats, pixel: tuple[float, float]
) -> Floats:
    """Colour rays that hit nothing: a gradient from horizon to zenith, with clouds; (3, N)."""
    rotation = pose[:3, :3].astype(np.float32)
    direction = rotation[:, :1] * x + rotation[:, 1:2] * y + rotation[:, 2:]
    direction /= np.sqrt(np.einsum("kn,kn->n", direction, direction))
    elevation = np.maximum(direction[2], 0.0)
    horizon, zenith = (
        np.asarray(color, dtype=np.float32)[:, None] for color in (sky.horizon, sky.zenith)
    )
    color = horizon + np.sqrt(elevation) * (zenith - horizon)
    if sky.clouds > 0.0:
        # Clouds lie on a plane above; towards the horizon they fade before they would alias.
        scale = 1.0 / (elevation + 0.15)
        step = np.maximum(*pixel) * scale * scale
        none = np.zeros_like(step)
        seed = np.full(x.size, sky.seed, dtype=np.uint32)
        fine, coarse = grain(
            direction[0] * scale, direction[1] * scale, [step, none, none, step], seed
        )
        cover = np.clip(coarse + 0.35 * fine + sky.clouds - 0.5, 0.0, 1.0)
        color += cover * np.clip(4.0 * elevation, 0.0, 1.0) * (0.95 - color)
    return color
