# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the check-up of an extraction said of a store's poses."""

from __future__ import annotations

import json

from training.frames.store import FrameStore

#: Report that ``depth_extract`` leaves in a store.
REPORT = "report.json"

#: Poses count as those of a recording if so many of its frames have one.
_ENOUGH = 0.8


def poses_agree(store: FrameStore) -> bool:
    """Tell whether all recordings of a store have poses that agree with the images.

    A store without a report, or whose report does not say, has none that are known to.
    """
    try:
        report = json.loads((store.path / REPORT).read_text(encoding="utf-8"))
        cameras = [camera for camera in report["cameras"] if camera["kept"]]
        return bool(cameras) and all(
            camera["pose_check"]["level"] == "agree"
            and camera["pose_frames"] >= _ENOUGH * camera["kept"]
            for camera in cameras
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False
