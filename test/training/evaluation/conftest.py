# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that most tests of evaluation share."""

from __future__ import annotations

import pytest

from evaluated_models import drawn_checkpoint
from monodepth2_ros.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    return drawn_checkpoint(3)
