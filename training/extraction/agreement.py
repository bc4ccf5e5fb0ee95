# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether ground truth depth and poses fit the motion that is seen in the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.extraction.progress import CameraReport
from training.frames.writer import FrameStoreWriter

_PAIRS = 12  # pairs of frames that are measured
_LARGEST_SPACING = 8
_LEAST_FLOW = 0.5  # pixels that the translation moves a point, so that there is something to see
_FEWEST = 50  # points


def agreement_with_motion(
    writer: FrameStoreWriter,
    report: CameraReport,
    cameras: Sequence[PinholeCamera],
    depths: Mapping[int, NDArray[np.float32]],
) -> dict[str, Any]:
    """Compare the depth that the images' motion and the poses give with the ground truth.

    Corners are tracked between neighbours; with the relative pose, a match and its depth say how
    far the point should have moved along its epipolar line. The factor that fits the measured
    motion best, by which depth must be multiplied, is 1 for depth and poses in the same unit.

    Parameters
    ----------
    writer : FrameStoreWriter
    report : CameraReport
    cameras : sequence of PinholeCamera
        Cameras of the store.
    depths : mapping of int to ndarray
        Ground truth of some of the report's frames, see :func:`frames_to_compare`.

    Returns
    -------
    dict
        "scale" (median over pairs), "spread" (half the distance of the quartiles) and "pairs";
        empty if there are no poses, no ground truth or too little motion.
    """
    first, kept = report.first_frame, report.kept
    poses = writer.column("poses")[first : first + kept] if report.pose_frames else None
    if poses is None:
        return {}
    segment = writer.column("segment")[first : first + kept]
    index = writer.column("camera")[first : first + kept]
    scales = []
    for start, depth in sorted(depths.items()):
        for spacing in range(1, _LARGEST_SPACING + 1):
            other = start + spacing
            if other >= kept or segment[other] != segment[start]:
                break
            if not np.isfinite(poses[[start, other]]).all():
                break
            scale = _pair_scale(
                writer.image(first + start),
                writer.image(first + other),
                depth,
                np.linalg.inv(poses[other]) @ poses[start],
                cameras[int(index[start])],
            )
            if scale is not None:
                scales.append(scale)
                break
    if len(scales) < 3:
        return {}
    low, median, high = np.percentile(scales, (25, 50, 75)).tolist()
    return {
        "scale": round(median, 4),
        "spread": round(0.5 * (high - low), 4),
        "pairs": len(scales),
    }


def frames_to_compare(kept: int) -> list[int]:
    """Choose the frames of a camera that are compared, by their numbers among the kept ones."""
    if kept < 2:
        return []
    chosen: list[int] = np.unique(np.linspace(0, kept - 2, _PAIRS).astype(int)).tolist()
    return chosen


def _pair_scale(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    depth: NDArray[np.floating[Any]],
    transform: NDArray[np.float64],
    camera: PinholeCamera,
) -> float | None:
    """Return the factor of the depth that fits the motion from the first to the second image.

    Parameters
    ----------
    first, second : ndarray, shape (H, W, 3), uint8
    depth : ndarray, shape (h, w)
        Depth of the first image, metres.
    transform : ndarray, shape (4, 4)
        From the first camera's frame to the second one's.
    camera : PinholeCamera
        Camera of the images.
    """
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    corners: Any = cv2.goodFeaturesToTrack(greys[0], 400, 0.01, 5)
    # None where there is no corner, whatever the stubs say.
    if not isinstance(corners, np.ndarray):
        return None
    track: Any = cv2.calcOpticalFlowPyrLK
    moved, status, _ = track(greys[0], greys[1], corners, None)
    back, again, _ = track(greys[1], greys[0], moved, None)
    points, matches = corners[:, 0], moved[:, 0]
    good = (status[:, 0] == 1) & (again[:, 0] == 1)
    good &= np.linalg.norm(back[:, 0] - points, axis=1) < 0.5
    points, matches = points[good].astype(np.float64), matches[good].astype(np.float64)
    rows = ((points[:, 1] + 0.5) * depth.shape[0] / camera.height).astype(int)
    columns = ((points[:, 0] + 0.5) * depth.shape[1] / camera.width).astype(int)
    z = depth[rows.clip(0, depth.shape[0] - 1), columns.clip(0, depth.shape[1] - 1)]
    z = z.astype(np.float64)
    known = np.isfinite(z) & (z > 0.0)
    points, matches, z = points[known], matches[known], z[known]
    if len(z) < _FEWEST:
        return None
    focal = np.array([camera.fx, camera.fy])
    rays = np.c_[(points - [camera.cx, camera.cy]) / focal, np.ones(len(points))]
    turned = rays @ transform[:3, :3].T
    # x(s) = (turned + t / (s z)): where a point at s times its depth is seen.
    at_infinity = turned[:, :2] / turned[:, 2:]
    seen = (matches - [camera.cx, camera.cy]) / focal
    measured = seen - at_infinity
    inverse = transform[:3, 3] / z[:, None]
    expected = (turned[:, :2] + inverse[:, :2]) / (turned[:, 2:] + inverse[:, 2:]) - at_infinity
    length = np.linalg.norm(expected * focal, axis=1)
    enough = length > _LEAST_FLOW
    if enough.sum() < _FEWEST:
        return None
    measured, expected = measured[enough], expected[enough]
    # Motion along the epipolar line, as a multiple of what the depth predicts: 1 / s.
    ratio = (measured * expected).sum(axis=1) / (expected * expected).sum(axis=1)
    factor = float(np.median(ratio))
    return 1.0 / factor if factor > 1e-3 else None
