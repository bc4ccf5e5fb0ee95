# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The graph that is built from weights alone computes what the torch network does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.checkpoint import load_checkpoint, random_checkpoint, save_checkpoint
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.networks.architecture import RESNET_LAYERS, network_shapes
from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.preprocessing import to_network_input

openvino = pytest.importorskip("openvino")
graph = pytest.importorskip("monodepth2_ros.backends.openvino_graph")


def drawn(layers, width, height):
    """Random weights whose depth is not flat and whose statistics are not trivial."""
    checkpoint = random_checkpoint(layers, width, height, seed=7)
    generator = torch.Generator().manual_seed(7)
    for name, value in checkpoint.state["encoder"].items():
        if name.endswith("running_mean"):
            value.normal_(0.0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.8, 1.5, generator=generator)
    checkpoint.state["depth"]["decoder.10.conv.weight"] *= 40.0
    return checkpoint


def compiled(checkpoint):
    metadata = checkpoint.metadata
    model = graph.build_graph(
        checkpoint.arrays("encoder"),
        checkpoint.arrays("depth"),
        metadata.num_layers,
        metadata.width,
        metadata.height,
    )
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "width", "height"),
    [
        (18, 96, 64),
        (50, 64, 64),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(18, 64, 64), (18, 192, 128), (34, 64, 96), (50, 160, 96)]
        ),
    ],
)
def test_it_is_the_torch_network(layers, width, height):
    checkpoint = drawn(layers, width, height)
    image = np.random.default_rng(layers).integers(0, 256, (height, width, 3), np.uint8)
    with torch.inference_mode():
        pixels = to_network_input(torch.from_numpy(image))[None].double()
        sigmoid = checkpoint.depth_network().double()(pixels)[0, 0]
    expected = disparity_to_depth(sigmoid, 0.1, 100.0).numpy()
    found = torch.from_numpy(compiled(checkpoint).infer([image[None]])[0][0, 0]).double()
    depth = disparity_to_depth(found, 0.1, 100.0).numpy()
    assert expected.max() / expected.min() > 2.0
    np.testing.assert_allclose(depth, expected, rtol=1e-4)


@pytest.mark.parametrize("layers", RESNET_LAYERS)
def test_the_description_is_that_of_the_torch_modules(layers):
    with torch.device("meta"):
        network = DepthNetwork(layers)
    for name, module in (("encoder", network.encoder), ("depth", network.depth)):
        own = {key: tuple(value.shape) for key, value in module.state_dict().items()}
        assert own == network_shapes(layers)[name]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_a_file_are_read_without_torch_as_with_it(tmp_path, dtype):
    checkpoint = drawn(18, 64, 64)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, checkpoint.metadata, checkpoint.state, dtype)
    for network in ("encoder", "depth"):
        arrays = load_checkpoint(path).arrays(network)
        tensors = load_checkpoint(path).state[network]
        assert arrays.keys() == tensors.keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(arrays[name], tensor.float().numpy(), name)


def test_what_is_changed_in_a_loaded_state_is_what_runs(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint = drawn(18, 64, 64)
    save_checkpoint(path, checkpoint.metadata, checkpoint.state)
    loaded = load_checkpoint(path)
    before = loaded.arrays("depth")["decoder.10.conv.bias"].copy()
    loaded.state["depth"]["decoder.10.conv.bias"] += 1.0
    np.testing.assert_allclose(loaded.arrays("depth")["decoder.10.conv.bias"], before + 1.0)
