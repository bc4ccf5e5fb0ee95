# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that most tests of evaluation share."""

from __future__ import annotations

import pytest

from monodepth2_ros.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    # Not above: a folder whose conftest cannot be imported ends the whole run without torch.
    from evaluated_models import drawn_checkpoint

    return drawn_checkpoint(3)
