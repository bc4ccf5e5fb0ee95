# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO IR: writing, and reading back."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import FusedDepthNetwork
from training.deployment.check import WrittenModel
from training.deployment.depth_model import METADATA_KEY, DepthModel, Images, metadata_json


def write_openvino(path: Path, model: DepthModel, batch: int, half: bool) -> None:
    """Write OpenVINO IR, ``path`` (.xml) and its .bin, with the metadata in its runtime info.

    Parameters
    ----------
    path : Path
    model : DepthModel
    batch : int
        0 for any.
    half : bool
        Store weights in 16 bits.
    """
    import openvino

    openvino.save_model(convert_openvino(model, batch), path, compress_to_fp16=half)


def convert_openvino(model: DepthModel, batch: int) -> Any:
    """Convert a network, as rewritten for inference; names and metadata included."""
    import openvino

    network = model.network
    if isinstance(network, DepthNetwork):
        network = FusedDepthNetwork(network)
    rewritten = DepthModel(network, model.metadata).eval()

    shape = [batch or -1, 3, model.metadata.height, model.metadata.width]
    example = torch.zeros(batch or 2, *shape[1:])
    with torch.inference_mode(), warnings.catch_warnings(), _without_statistics():
        # The converter traces with an API that torch deprecates; that is OpenVINO's to change.
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(rewritten, example_input=example, input=[shape])
    graph.input(0).set_names({"image"})
    for index, name in enumerate(("depth", "disparity")):
        graph.output(index).set_names({name})
    graph.set_rt_info(metadata_json(model.metadata), [METADATA_KEY])
    return graph


@contextmanager
def _without_statistics() -> Iterator[None]:
    """Keep OpenVINO's converter from sending statistics of its use to its makers.

    It does so unless the user has opted out, but not in continuous integration.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def open_openvino(path: Path) -> WrittenModel:
    """Open IR or ONNX in OpenVINO."""
    import openvino

    core = openvino.Core()
    graph = core.read_model(path)
    keys = ["framework", METADATA_KEY] if path.suffix == ".onnx" else [METADATA_KEY]
    description = json.loads(graph.get_rt_info(keys).astype(str))
    return WrittenModel(
        f"OpenVINO {openvino.__version__.split('-')[0]}", description, compile_openvino(graph)
    )


def compile_openvino(graph: Any) -> Callable[[Images], tuple[Images, Images]]:
    """Return a run of a graph in OpenVINO."""
    import openvino

    # In float32 where the graph is, whatever the processor could do faster.
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Images) -> tuple[Images, Images]:
        results = compiled({"image": images})
        return results["depth"], results["disparity"]

    return run
