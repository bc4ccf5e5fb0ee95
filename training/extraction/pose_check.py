# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether recorded poses are those of the camera: their stamps, their axes, and their mounting.

Pairs of frames are compared. From the images alone, corners give the rotation and the direction of
the translation between the two (essential matrix); the recording says its own. Where the two
differ, the usual mistakes are tried: stamps that are late or early, the axes of the camera's body
in place of its optical frame or any other exchange of axes, inverted poses, and a mounting that is
turned. What explains the images is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations, product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.mounting import OPTICAL
from monodepth2_ros.scale.poses import invert_pose
from monodepth2_ros.scale.tracking import follow, tracking_image

Floats = NDArray[np.float64]

#: World-from-camera poses, shape (M, 4, 4), at stamps in nanoseconds; NaN where unknown.
PosesAt = Callable[[NDArray[np.int64]], Floats]

#: Pairs of frames that are compared at most, and without which nothing is said.
PAIRS, FEWEST_PAIRS = 80, 8

#: Offsets that are tried, in seconds.
LARGEST_OFFSET_S = 0.5

#: Poses agree where so many pairs do, with an offset below this.
AGREEING_SHARE, SMALL_OFFSET_S = 0.75, 0.02

_CORNERS, _FEWEST = 300, 30
_LEAST_FLOW = 0.004  # of the image width: less motion says nothing
_LEAST_PARALLAX = 1.0  # pixels left without the rotation, to know the direction of motion

# Degrees within which a rotation and a direction agree, and the share of the rotation added.
_ROTATION, _ROTATION_SHARE, _DIRECTION = 0.6, 0.1, 15.0
_WORST = 9.0  # no pair counts more, in squared deviations

_COARSE_S, _FINE_S = 0.02, 0.004
_GROUPS = 8  # for the jackknife

# Rotation is about one axis alone if that about a second one is less than this share.
_PLANAR = 0.02

# A mistake is named if it explains the images so much better than the poses as they are.
_BETTER = 0.5
# Another exchange of axes within this share of the best one's cost is as good.
_AS_GOOD = 1.1
_TURNED, _TURNED_COST = 4.0, 0.7  # degrees; share of the corners' cost as it is


@dataclass(frozen=True, eq=False)
class ImageMotion:
    """How the camera moved from one frame to another, by the images alone.

    Attributes
    ----------
    first, second : int
        Frames.
    rotation : ndarray, shape (3,)
        Rotation vector of the transform from the first camera's frame to the second's.
    direction : ndarray, shape (3,)
        Direction of its translation, unit length; zero where there is too little parallax to tell.
    base, seen : ndarray, shape (N, 2)
        Rays (x / z, y / z) of corners in both.
    focal : float
        Pixels.
    error : float
        Median distance of the corners from their epipolar lines, pixels.
    """

    first: int
    second: int
    rotation: Floats
    direction: Floats
    base: Floats
    seen: Floats
    focal: float
    error: float


@dataclass(frozen=True)
class PoseCheck:
    """What the comparison of recorded poses and images says.

    Attributes
    ----------
    level : str
        "agree"; "offset" (the stamps are late or early), "axes", "inverted", "turned" (what is
        wrong is known); "disagree"; or "unknown" (too little motion to tell).
    summary : str
        One line.
    advice : tuple of str
    pairs : int
        That were compared.
    consistent : float
        Share of them in which the poses, as they are, agree with the images.
    corrected : float
        The same with offset and axes corrected.
    offset_s, offset_deviation_s : float or None
        To add to the stamps of images to find their poses, and its standard deviation; None where
        the motion does not tell.
    epipolar_pixels, best_pixels : float
        Median distance of corners from the epipolar lines of the recorded motion, and of the
        motion that explains the images best, on images at most 320 wide.
    axes : str
        The axes that explain the images, "optical" if the poses have the right ones.
    turn_degrees : tuple of float or None
        Roll, pitch and yaw of the camera's body by which the mounting is off.
    """

    level: str
    summary: str
    advice: tuple[str, ...] = ()
    pairs: int = 0
    consistent: float = 0.0
    corrected: float = 0.0
    offset_s: float | None = None
    offset_deviation_s: float | None = None
    epipolar_pixels: float | None = None
    best_pixels: float | None = None
    axes: str = "optical"
    turn_degrees: tuple[float, float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for reports."""
        return {
            name: round(value, 5) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def choose_pairs(segment: Sequence[int] | NDArray[Any], spacing: int) -> list[tuple[int, int]]:
    """Choose pairs of frames `spacing` apart in the same segment, spread over the recording."""
    numbers = np.asarray(segment)
    starts = np.flatnonzero(numbers[:-spacing] == numbers[spacing:])
    if not len(starts):
        return []
    chosen = np.unique(np.linspace(0, len(starts) - 1, PAIRS).astype(int))
    return [(int(start), int(start) + spacing) for start in starts[chosen]]


def measure_image_motion(
    first: tuple[int, NDArray[np.uint8]],
    second: tuple[int, NDArray[np.uint8]],
    camera: PinholeCamera,
) -> ImageMotion | None:
    """Measure the motion between two frames.

    Parameters
    ----------
    first, second : (int, ndarray)
        Frame number and image, RGB or grey.
    camera : PinholeCamera
        The images' camera, at any size.

    Returns
    -------
    ImageMotion, or None
        None where too little is seen or moves.
    """
    greys = tracking_image(first[1]), tracking_image(second[1])
    height, width = greys[0].shape
    small = camera.resized(width, height)
    found: Any = cv2.goodFeaturesToTrack(greys[0], _CORNERS, 0.005, max(3.0, width / 60))
    if not isinstance(found, np.ndarray) or len(found) < _FEWEST:
        return None
    points = found.reshape(-1, 2).astype(np.float32)
    there, good = follow(*greys, points)
    if good.sum() < _FEWEST:
        return None
    points, there = points[good].astype(np.float64), there[good].astype(np.float64)
    if np.median(np.hypot(*(there - points).T)) < _LEAST_FLOW * width:
        return None
    focal, centre = np.array([small.fx, small.fy]), np.array([small.cx, small.cy])
    base, seen = (points - centre) / focal, (there - centre) / focal
    pixel = 1.0 / float(focal.mean())
    turn = _rotation_alone(base, seen)
    rotated = _rays(base) @ turn.T
    left = np.hypot(*(seen - rotated[:, :2] / rotated[:, 2:]).T) / pixel
    if np.median(left) < _LEAST_PARALLAX:
        vector = _vector(turn)
        none = np.zeros(3)
        return ImageMotion(*_numbers(first, second), vector, none, base, seen, 1 / pixel, 0.5)
    essential, mask = cv2.findEssentialMat(base, seen, np.eye(3), cv2.RANSAC, 0.999, pixel)
    if essential is None or essential.shape != (3, 3) or mask.sum() < _FEWEST:
        return None
    count, rotation, direction, _ = cv2.recoverPose(essential, base, seen, np.eye(3), mask=mask)
    if count < _FEWEST // 2:
        return None
    rotation, direction = _refined(
        base, seen, np.asarray(rotation, np.float64), np.ravel(direction).astype(np.float64), pixel
    )
    error = float(np.median(_epipolar(base, seen, rotation, direction))) / pixel
    vector = _vector(rotation)
    return ImageMotion(*_numbers(first, second), vector, direction, base, seen, 1 / pixel, error)


def check_poses(
    motions: Sequence[ImageMotion], stamps: NDArray[np.int64], poses_at: PosesAt
) -> PoseCheck:
    """Compare the motion in images with recorded poses.

    Parameters
    ----------
    motions : sequence of ImageMotion
        Whose frames are indices into `stamps`.
    stamps : ndarray, shape (N,), int64
        Nanoseconds, of the images.
    poses_at : callable

    Returns
    -------
    PoseCheck
    """
    pairs = np.array([(m.first, m.second) for m in motions], np.int64).reshape(-1, 2)
    if len(pairs):
        both = _transforms(poses_at, stamps[pairs], 0.0)
        known = np.flatnonzero(np.isfinite(both).all(axis=(1, 2)))
        motions = [motions[number] for number in known.tolist()]
        pairs = pairs[known]
    if len(motions) < FEWEST_PAIRS:
        return PoseCheck(
            "unknown",
            f"poses not judged: {len(motions)} pairs of frames show enough motion and have poses, "
            f"at least {FEWEST_PAIRS} are needed",
            pairs=len(motions),
        )
    times = stamps[pairs]
    offsets = np.arange(-LARGEST_OFFSET_S, LARGEST_OFFSET_S + 1e-9, _COARSE_S)
    recorded = np.stack([_transforms(poses_at, times, offset) for offset in offsets])
    candidates = _candidates()
    costs = np.array([_costs(motions, recorded, one).min() for one in candidates])
    plain = float(costs[0])
    best = int(costs.argmin())
    # The first of those that explain the images as well: the list begins with the usual ones.
    as_good = np.flatnonzero(costs <= _AS_GOOD * costs[best] + 0.02)
    if costs[best] >= _BETTER * plain:
        best = 0
    elif len(as_good):
        best = int(as_good[0])
    chosen = candidates[best]
    along = _costs(motions, recorded, chosen)
    start = float(offsets[along.argmin()])
    turn = None
    if best == 0:
        turn = _mounting(motions, recorded[along.argmin()])
        if turn is not None:
            turned = _Candidate("turned", turn, False)
            both = recorded[along.argmin()]
            # Corners tell a few degrees better than directions of motion do.
            before = np.nanmean(_pair_costs(motions, _corrected(both, chosen)))
            if np.nanmean(_pair_costs(motions, _corrected(both, turned))) < _TURNED_COST * before:
                chosen = turned
                start = float(offsets[_costs(motions, recorded, chosen).argmin()])
            else:
                turn = None
    offset, deviation = _fine_offset(motions, times, poses_at, chosen, start)
    as_it_is = chosen_at(poses_at, times, 0.0, candidates[0])
    fixed = chosen_at(poses_at, times, offset or 0.0, chosen)
    errors, fixed_errors = _errors(motions, as_it_is), _errors(motions, fixed)
    consistent = float(np.mean(_consistent(motions, as_it_is, errors)))
    # With an offset, the first or last frames may have no pose.
    has_pose = np.isfinite(fixed_errors)
    agree = _consistent(motions, fixed, fixed_errors)[has_pose]
    corrected = float(np.mean(agree)) if len(agree) else 0.0
    figures: dict[str, Any] = {
        "pairs": len(motions),
        "consistent": consistent,
        "corrected": corrected,
        "offset_s": offset,
        "offset_deviation_s": deviation,
        "epipolar_pixels": float(np.median(errors)),
        "best_pixels": float(np.median(fixed_errors[has_pose])) if len(agree) else None,
        "axes": chosen.name if chosen.name != "turned" else "optical",
    }
    angles = None
    if turn is not None:
        angles = _roll_pitch_yaw(turn)
        figures["turn_degrees"] = tuple(round(float(a), 1) for a in angles)
    level, summary, advice = _judge(chosen, figures)
    return PoseCheck(level, summary, advice, **figures)


def _judge(chosen: _Candidate, figures: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Put what was found into words."""
    share, after = figures["consistent"], figures["corrected"]
    offset, deviation = figures["offset_s"], figures["offset_deviation_s"]
    told = f"{share:.0%} of {figures['pairs']} pairs of frames agree with the poses"
    is_late = offset is not None and abs(offset) >= max(SMALL_OFFSET_S, 3.0 * (deviation or 0.0))
    timing = ""
    advice: list[str] = []
    if is_late:
        timing = (
            f"their stamps are {1000 * abs(offset):.0f} ± {1000 * (deviation or 0.0):.0f} ms "
            f"{'late' if offset > 0 else 'early'}"
        )
        advice.append(f"extract with --pose-offset {offset:.3f}")
    helps = after >= AGREEING_SHARE or after > share + 0.3
    if chosen.is_inverted and helps:
        advice.insert(0, "extract with --pose-axes inverted" if chosen.name == "inverted" else "")
        text = f"poses are camera from world, not world from camera ({told})"
        return "inverted", text, tuple(filter(None, advice))
    if chosen.name == "turned" and helps:
        roll, pitch, yaw = figures["turn_degrees"]
        advice.insert(
            0,
            "correct the camera's mounting in /tf_static: turn its body by roll "
            f"{roll:.0f}°, pitch {pitch:.0f}°, yaw {yaw:.0f}°",
        )
        return "turned", f"the camera is mounted otherwise than the poses say ({told})", (*advice,)
    if chosen.name != "optical" and helps:
        if chosen.name == "link":
            advice.insert(0, "extract with --pose-axes link")
            text = (
                "poses have the axes of the camera's body (camera_link: x ahead, y left, z up), "
                f"not of its optical frame ({told})"
            )
        else:
            text = f"poses have other axes than the camera's optical frame: {chosen.name} ({told})"
            advice.insert(0, "correct the camera's mounting in /tf_static")
        return "axes", f"{text}; {timing}" if timing else text, tuple(advice)
    if is_late and after >= AGREEING_SHARE:
        return "offset", f"poses fit the images, but {timing} ({told})", tuple(advice)
    if share >= AGREEING_SHARE:
        return "agree", f"poses agree with the images ({told})", ()
    return (
        "disagree",
        f"poses do not agree with the images ({told}), and neither other stamps nor other axes "
        "explain it",
        (
            "check whose pose it is, the calibration and the stamps; do not train with --pose "
            "recorded from these poses",
        ),
    )


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A mistake: rotation from the recorded axes to the optical ones, inverted or not."""

    name: str
    rotation: Floats
    is_inverted: bool


def _candidates() -> list[_Candidate]:
    """List the exchanges of axes, the usual ones first."""
    letters = "xyz"
    rotations = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, column] = sign
            if np.linalg.det(matrix) > 0.0:
                rotations.append(matrix)
    known = {"optical": np.eye(3), "link": OPTICAL[:3, :3]}
    found = [_Candidate(name, matrix, False) for name, matrix in known.items()]
    found.append(_Candidate("inverted", np.eye(3), True))
    for matrix in rotations:
        if any(np.array_equal(matrix, one) for one in known.values()):
            continue
        axes = []
        for column, meaning in enumerate(("right", "down", "ahead")):
            row = int(np.abs(matrix[:, column]).argmax())
            axes.append(f"{'-' * bool(matrix[row, column] < 0)}{letters[row]} {meaning}")
        found.append(_Candidate(", ".join(axes), matrix, False))
    found.append(_Candidate("inverted, link", OPTICAL[:3, :3], True))
    return found


def chosen_at(
    poses_at: PosesAt, times: NDArray[np.int64], offset: float, candidate: _Candidate
) -> Floats:
    """Return transforms (P, 4, 4) from first to second cameras at an offset, corrected."""
    return _corrected(_transforms(poses_at, times, offset), candidate)


def _transforms(poses_at: PosesAt, times: NDArray[np.int64], offset: float) -> Floats:
    """Return the poses of both frames of each pair in one (P, 2 · 4, 4): see `_corrected`."""
    moved = times + round(offset * 1e9)
    poses = poses_at(moved.ravel()).reshape(-1, 2, 4, 4)
    return np.concatenate([poses[:, 0], poses[:, 1]], axis=1)


def _corrected(both: Floats, candidate: _Candidate) -> Floats:
    """Turn pairs of poses (..., 8, 4) into transforms (..., 4, 4) of the optical frame."""
    first, second = both[..., :4, :], both[..., 4:, :]
    if candidate.is_inverted:
        transform = second @ invert_pose(first)
    else:
        transform = invert_pose(second) @ first
    turn = candidate.rotation
    result = np.array(transform)
    result[..., :3, :3] = turn.T @ transform[..., :3, :3] @ turn
    result[..., :3, 3] = transform[..., :3, 3] @ turn
    return result


def _costs(motions: Sequence[ImageMotion], recorded: Floats, candidate: _Candidate) -> Floats:
    """Return the mean disagreement with the images for each offset, (O,).

    Parameters
    ----------
    motions : sequence of P ImageMotion
    recorded : ndarray, shape (O, P, 8, 4)
    candidate : _Candidate
    """
    rotation, direction = _deviations(motions, _corrected(recorded, candidate))
    cost = np.minimum(rotation, _WORST) + np.minimum(direction, _WORST)
    # Beyond the ends of the recorded poses nothing is known: as bad as it can be.
    cost = np.where(np.isfinite(cost), cost, 2.0 * _WORST)
    return np.asarray(cost.mean(axis=-1))


def _deviations(motions: Sequence[ImageMotion], transforms: Floats) -> tuple[Floats, Floats]:
    """Return how far transforms (..., P, 4, 4) are from the images, in squares of what is allowed.

    Returns
    -------
    rotation, direction : ndarray, shape (..., P)
    """
    vectors = _rotation_vectors(transforms[..., :3, :3])
    images = np.array([motion.rotation for motion in motions])
    allowed = np.radians(_ROTATION) + _ROTATION_SHARE * np.linalg.norm(images, axis=1)
    rotation = np.sum((vectors - images) ** 2, axis=-1) / allowed**2
    directions = np.array([motion.direction for motion in motions])
    length = np.linalg.norm(transforms[..., :3, 3], axis=-1)
    cosine = np.sum(transforms[..., :3, 3] * directions, axis=-1) / np.maximum(length, 1e-9)
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    is_known = np.linalg.norm(directions, axis=1) > 0.5
    direction = np.where(is_known, (angle / _DIRECTION) ** 2, 0.0)
    return np.asarray(rotation), np.asarray(direction)


def _mounting(motions: Sequence[ImageMotion], both: Floats) -> Floats | None:
    """Fit the rotation of the mounting (Wahba's problem); None if it is none to speak of.

    The prior for no rotation decides about what the motion does not show.
    """
    transforms = _corrected(both, _Candidate("", np.eye(3), False))
    usable = np.isfinite(transforms).all(axis=(1, 2))
    vectors = _rotation_vectors(transforms[:, :3, :3])
    lengths = np.linalg.norm(transforms[:, :3, 3], axis=1)
    directions = transforms[:, :3, 3] / np.maximum(lengths, 1e-9)[:, None]
    images = np.array([motion.rotation for motion in motions])
    seen = np.array([motion.direction for motion in motions])
    usable_direction = usable & (np.linalg.norm(seen, axis=1) > 0.5) & (lengths > 1e-3)
    recorded = np.concatenate([vectors[usable] / np.radians(2.0), directions[usable_direction]])
    observed = np.concatenate([images[usable] / np.radians(2.0), seen[usable_direction]])
    if not len(recorded):
        return None
    weight = np.ones(len(recorded))
    turn = np.eye(3)
    for _ in range(8):
        table = (recorded * weight[:, None]).T @ observed + 0.02 * len(recorded) * np.eye(3)
        u, _, v = np.linalg.svd(table)
        turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
        residual = np.linalg.norm(recorded @ turn - observed, axis=1)
        weight = 1.0 / (1.0 + (residual / 0.2) ** 2)
    angle = float(np.degrees(np.linalg.norm(cv2.Rodrigues(turn)[0])))
    return turn if angle >= _TURNED else None


def _roll_pitch_yaw(turn: Floats) -> tuple[float, float, float]:
    """Return roll, pitch and yaw in degrees of a rotation of the optical frame, for the body."""
    body = OPTICAL[:3, :3] @ turn @ OPTICAL[:3, :3].T
    roll = np.arctan2(body[2, 1], body[2, 2])
    pitch = np.arcsin(np.clip(-body[2, 0], -1.0, 1.0))
    yaw = np.arctan2(body[1, 0], body[0, 0])
    return float(np.degrees(roll)), float(np.degrees(pitch)), float(np.degrees(yaw))


def _fine_offset(
    motions: Sequence[ImageMotion],
    times: NDArray[np.int64],
    poses_at: PosesAt,
    candidate: _Candidate,
    start: float,
) -> tuple[float | None, float | None]:
    """Find the offset at which corners are nearest to their epipolar lines.

    Returns
    -------
    offset, deviation : float or None
        Seconds; None where the motion is too steady to tell. The deviation is a jackknife's over
        groups of pairs.
    """
    steps = np.arange(-12, 13) * _FINE_S + start
    moved = [_corrected(_transforms(poses_at, times, step), candidate) for step in steps]
    # (P, offsets)
    table = np.array([_pair_costs(motions, _completed(motions, one)) for one in moved]).T
    usable = np.isfinite(table).all(axis=1)
    table = table[usable]
    if len(table) < FEWEST_PAIRS:
        return None, None
    best = _minimum(steps, table.sum(axis=0))
    # Pairs that follow each other share their errors: groups are stretches of the recording.
    group = np.arange(len(table)) * _GROUPS // len(table)
    without = [_minimum(steps, table[group != number].sum(axis=0)) for number in range(_GROUPS)]
    if best is None or any(one is None for one in without):
        return None, None
    found = np.array(without, np.float64)
    deviation = float(np.sqrt((_GROUPS - 1) / _GROUPS * np.sum((found - found.mean()) ** 2)))
    if deviation > 0.05:
        return None, None
    return best, deviation


def _completed(motions: Sequence[ImageMotion], transforms: Floats) -> Floats:
    """Take from the images what odometry of the plane does not know: pitch and roll.

    Without it, unknown pitch and roll would hide an offset. Other poses stay as they are.
    """
    vectors = _rotation_vectors(transforms[:, :3, :3])
    known = np.isfinite(vectors).all(axis=1)
    if known.sum() < FEWEST_PAIRS:
        return transforms
    _, strength, axes = np.linalg.svd(vectors[known], full_matrices=False)
    if strength[1] > _PLANAR * strength[0]:
        return transforms
    axis = axes[0]
    images = np.array([motion.rotation for motion in motions])
    wanted = images + np.outer((vectors - images) @ axis, axis)
    completed = np.array(transforms)
    for number in np.flatnonzero(known).tolist():
        completed[number, :3, :3] = cv2.Rodrigues(wanted[number])[0]
    return completed


def _minimum(steps: NDArray[Any], costs: NDArray[Any]) -> float | None:
    """Return the minimum of a parabola through the lowest costs; None at the ends."""
    lowest = int(costs.argmin())
    if not 2 <= lowest < len(steps) - 2:
        return None
    near = slice(lowest - 2, lowest + 3)
    second, first, _ = np.polyfit(steps[near] - steps[lowest], costs[near], 2)
    if second <= 0.0:
        return None
    return float(steps[lowest] + np.clip(-first / (2.0 * second), -2 * _FINE_S, 2 * _FINE_S))


def _pair_costs(motions: Sequence[ImageMotion], transforms: Floats) -> Floats:
    """Return the robust mean epipolar error of each pair, (P,); NaN where poses are unknown."""
    costs = []
    for motion, transform in zip(motions, transforms, strict=True):
        error = _epipolar(motion.base, motion.seen, transform[:3, :3], transform[:3, 3])
        costs.append(float(np.mean(np.log1p((error * motion.focal / 0.5) ** 2))))
    return np.array(costs)


def _errors(motions: Sequence[ImageMotion], transforms: Floats) -> Floats:
    """Return the median epipolar error of each pair in pixels, (P,)."""
    return np.array(
        [
            np.median(_epipolar(m.base, m.seen, t[:3, :3], t[:3, 3])) * m.focal
            for m, t in zip(motions, transforms, strict=True)
        ]
    )


def _consistent(
    motions: Sequence[ImageMotion], transforms: Floats, errors: Floats
) -> NDArray[np.bool_]:
    """Tell which pairs agree: corners near their lines, and the right way along them.

    Wheels know neither pitch nor roll, so a rotation and a direction as near as they get will do.
    """
    own = np.array([motion.error for motion in motions])
    agree = errors <= np.maximum(1.0, 2.5 * own)
    rotation, direction = _deviations(motions, transforms)
    agree |= (rotation <= 1.0) & (direction <= 1.0)
    directions = np.array([motion.direction for motion in motions])
    forward = np.sum(transforms[:, :3, 3] * directions, axis=1) >= 0.0
    return np.asarray(agree & forward)


def _epipolar(base: Floats, seen: Floats, rotation: Floats, translation: Floats) -> Floats:
    """Return the distances of rays in the second frame from their epipolar lines, (N,)."""
    turned = _rays(base) @ rotation.T
    lines = np.cross(translation, turned)
    length = np.hypot(lines[:, 0], lines[:, 1])
    distance = np.abs(np.sum(lines * _rays(seen), axis=1)) / np.maximum(length, 1e-12)
    # Without translation there is no line, but a point.
    away = np.hypot(*(seen - turned[:, :2] / np.maximum(turned[:, 2:], 1e-6)).T)
    still = np.linalg.norm(translation) < 1e-6
    return np.asarray(away if still else np.minimum(distance, away))


def _refined(
    base: Floats, seen: Floats, rotation: Floats, direction: Floats, pixel: float
) -> tuple[Floats, Floats]:
    """Refine a motion by all corners: Gauss-Newton on epipolar distances with Cauchy weights."""
    for _ in range(8):
        residual = _signed(base, seen, rotation, direction)
        columns = []
        for axis in range(5):
            other = _moved(rotation, direction, axis, 1e-5)
            columns.append((_signed(base, seen, *other) - residual) / 1e-5)
        design = np.stack(columns, axis=1)
        weight = 1.0 / (1.0 + (residual / (0.5 * pixel)) ** 2)
        normal = (design.T * weight) @ design + 1e-9 * np.eye(5)
        step = np.linalg.solve(normal, -(design.T * weight) @ residual)
        step = step * min(1.0, 0.1 / max(float(np.abs(step).max()), 1e-12))
        for axis in range(5):
            rotation, direction = _moved(rotation, direction, axis, float(step[axis]))
    return rotation, direction


def _signed(base: Floats, seen: Floats, rotation: Floats, direction: Floats) -> Floats:
    """Return signed distances from the epipolar lines, (N,)."""
    lines = np.cross(direction, _rays(base) @ rotation.T)
    length = np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-9)
    return np.asarray(np.sum(lines * _rays(seen), axis=1) / length)


def _moved(rotation: Floats, direction: Floats, axis: int, amount: float) -> tuple[Floats, Floats]:
    """Change a motion along one of five parameters: three of rotation, two of direction."""
    if axis < 3:
        vector = np.zeros(3)
        vector[axis] = amount
        return np.asarray(cv2.Rodrigues(vector)[0] @ rotation), direction
    _, _, basis = np.linalg.svd(direction[None])
    moved = direction + amount * basis[axis - 2]
    return rotation, moved / np.linalg.norm(moved)


def _rotation_alone(base: Floats, seen: Floats) -> Floats:
    """Fit the rotation that explains most corners (iteratively reweighted)."""
    first, second = (r / np.linalg.norm(r, axis=1)[:, None] for r in (_rays(base), _rays(seen)))
    weight = np.ones(len(first))
    turn = np.eye(3)
    for _ in range(10):
        u, _, v = np.linalg.svd((second * weight[:, None]).T @ first)
        turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
        residual = np.linalg.norm(first @ turn.T - second, axis=1)
        weight = 1.0 / np.maximum(residual, 0.2 * np.median(residual) + 1e-9)
    return np.asarray(turn)


def _rotation_vectors(rotations: Floats) -> Floats:
    """Return the rotation vectors of matrices (..., 3, 3), for angles below 180°."""
    skew = 0.5 * (rotations - np.swapaxes(rotations, -1, -2))
    axis = np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], axis=-1)
    sine = np.linalg.norm(axis, axis=-1)
    cosine = 0.5 * (np.trace(rotations, axis1=-2, axis2=-1) - 1.0)
    angle = np.arctan2(sine, cosine)
    factor = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 1.0)
    return np.asarray(axis * factor[..., None])


def _vector(rotation: Floats) -> Floats:
    """Return the rotation vector of a matrix, (3,)."""
    return np.asarray(cv2.Rodrigues(rotation)[0], np.float64).ravel()


def _rays(points: Floats) -> Floats:
    """Append z = 1."""
    return np.column_stack([points, np.ones(len(points))])


def _numbers(first: tuple[int, Any], second: tuple[int, Any]) -> tuple[int, int]:
    """Return the frame numbers."""
    return first[0], second[0]
