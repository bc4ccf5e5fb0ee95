# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What converting a network to OpenVINO does besides."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor, nn

from monodepth2_ros.checkpoint import CheckpointMetadata
from training.deployment.depth_model import DepthModel
from training.deployment.openvino_format import convert_openvino


class Brightness(nn.Module):
    """Says that what is bright is near."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("before", [None, "false"])
def test_a_conversion_tells_nobody(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    pytest.importorskip("openvino")
    telemetry = pytest.importorskip("openvino_telemetry.main")
    backend = pytest.importorskip("openvino_telemetry.backend.backend_ga4")
    sent: list[object] = []
    monkeypatch.setattr(backend.GA4Backend, "send", lambda self, message: sent.append(message))
    # As in a process of its own: it looks once whether it may send.
    monkeypatch.setattr(telemetry.Telemetry, "_SingletonMetaClass__single_instance", None)
    if before is None:
        monkeypatch.delenv("CI", raising=False)
    else:
        monkeypatch.setenv("CI", before)
    model = DepthModel(Brightness(), CheckpointMetadata(width=64, height=64)).eval()
    graph = convert_openvino(model, 1)
    assert [output.get_any_name() for output in graph.outputs] == ["depth", "disparity"]
    assert torch.is_grad_enabled()
    assert sent == []
    assert os.environ.get("CI") == before
