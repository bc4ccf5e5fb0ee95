# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of how much a recording moves."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from training.extraction.progress import CameraReport
from training.extraction.report import save_flow_histogram


@pytest.mark.parametrize("count", [0, 1, 8, 60])
def test_any_number_of_recordings_fits_into_the_picture(tmp_path, count):
    rng = np.random.default_rng(count)
    reports = [
        CameraReport(f"world_{k}", "/camera/image_raw", flow=rng.gamma(2.0, 0.01, 40).tolist())
        for k in range(count)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit is only warned of
        save_flow_histogram(reports, tmp_path / "flow.png")
    picture = cv2.imread(str(tmp_path / "flow.png"))
    assert picture is not None and picture.std() > 5.0
