# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX files: writing, and reading back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch

from monodepth2_ros.extras import is_installed
from training.deployment.check import WrittenModel
from training.deployment.depth_model import METADATA_KEY, DepthModel, Images, metadata_json
from training.deployment.openvino_format import open_openvino

# Reflection padding, resize and the rest exist in it, and every current engine reads it.
_ONNX_OPSET = 17


def write_onnx(path: Path, model: DepthModel, batch: int) -> None:
    """Write an ONNX file with the checkpoint's metadata among its properties.

    Parameters
    ----------
    path : Path
    model : DepthModel
    batch : int
        0 for any.
    """
    import onnx

    image = torch.zeros(batch or 2, 3, model.metadata.height, model.metadata.width)
    names = ["depth", "disparity"]
    axes = None if batch else {name: {0: "batch"} for name in ["image", *names]}
    with torch.inference_mode(), warnings.catch_warnings():
        # The exporter over torch.export needs one more library and gives the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (image,),
            str(path),
            input_names=["image"],
            output_names=names,
            dynamic_axes=axes,
            opset_version=_ONNX_OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {METADATA_KEY: metadata_json(model.metadata)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def open_onnx(path: Path) -> WrittenModel:
    """Open an ONNX file in onnxruntime, or else in OpenVINO."""
    if not is_installed("onnxruntime"):
        return open_openvino(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    description = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])

    def run(images: Images) -> tuple[Images, Images]:
        depth, disparity = session.run(["depth", "disparity"], {"image": images})
        return depth, disparity

    return WrittenModel(f"onnxruntime {onnxruntime.__version__}", description, run)
