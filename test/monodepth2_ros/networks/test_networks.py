# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks against the published implementation's numbers and keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.networks import DepthDecoder, PoseCNN, PoseDecoder, ResnetEncoder
from monodepth2_ros.networks.resnet_encoder import load_trunk
from paths import DATA

TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.mark.slow
@pytest.mark.parametrize("layers", [18, 50])
def test_depth_parity(layers, golden, golden_weights):
    encoder = golden_weights(ResnetEncoder(layers), "encoder")
    decoder = golden_weights(DepthDecoder(encoder.channels), "depth")
    with torch.no_grad():
        features = encoder(golden["net_input"])
        disparities = decoder(features)
    for level, feature in enumerate(features):
        expected = golden[f"resnet{layers}_feature{level}_mean"]
        torch.testing.assert_close(feature.mean(dim=(2, 3)), expected, **TOLERANCE)
        assert feature.shape[1] == encoder.channels[level]
    compared = 0
    for scale, disparity in enumerate(disparities):
        expected = golden.get(f"resnet{layers}_disp{scale}")
        if expected is not None:
            torch.testing.assert_close(disparity, expected, **TOLERANCE)
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("layers", [18, 50])
def test_state_dict_keys(layers):
    with np.load(DATA / "golden.npz") as arrays:
        encoder_keys = set(arrays[f"resnet{layers}_encoder_keys"])
        depth_keys = set(arrays[f"resnet{layers}_depth_keys"])
        pose_keys = set(arrays["pose_keys"])
    encoder = ResnetEncoder(layers)
    assert set(encoder.state_dict()) == encoder_keys
    assert set(DepthDecoder(encoder.channels).state_dict()) == depth_keys
    assert set(PoseDecoder(encoder.channels).state_dict()) == pose_keys


def test_pose_parity(golden, golden_weights):
    pair = torch.cat([golden["net_input"], golden["pose_input_b"]], dim=1)
    encoder = golden_weights(ResnetEncoder(18, 2), "pose_encoder")
    decoder = golden_weights(PoseDecoder(encoder.channels), "pose")
    with torch.no_grad():
        features = encoder(pair)
        for given in (features, [features]):  # one pyramid, or a list of them
            axis_angle, translation = decoder(given)
            torch.testing.assert_close(axis_angle, golden["pose_axisangle"], **TOLERANCE)
            torch.testing.assert_close(translation, golden["pose_translation"], **TOLERANCE)


def test_pose_cnn_parity(golden, golden_weights):
    pair = torch.cat([golden["net_input"], golden["pose_input_b"]], dim=1)
    network = golden_weights(PoseCNN(), "posecnn")
    assert {key.split(".")[0] for key in network.state_dict()} == {"net", "pose_conv"}
    with torch.no_grad():
        axis_angle, translation = network(pair)
    torch.testing.assert_close(axis_angle, golden["posecnn_axisangle"], **TOLERANCE)
    torch.testing.assert_close(translation, golden["posecnn_translation"], **TOLERANCE)


@pytest.mark.parametrize("width", [64, 96, 192])
def test_pose_cnn_learns_in_bfloat16_as_in_float32(width):
    """Gradients at sizes that end one pixel wide, too, where oneDNN's are wrong with AMX."""
    torch.manual_seed(0)
    network = PoseCNN()
    gradients = []
    for enabled in (False, True):
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(4, 6, 64, width, generator=generator)
        # Memory that was used before, as in a long training.
        del [torch.full((size,), torch.nan) for size in (10_000, 100_000, 600_000)][:]
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            axis_angle, translation = network(images)
        (axis_angle + translation).float().square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for exact, rounded in zip(*gradients, strict=True):
        assert (rounded - exact).norm() < 0.1 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [18, 34, 50, 101, 152])
def test_shapes_of_every_resnet(layers):
    with torch.device("meta"):  # shapes without arithmetic
        encoder = ResnetEncoder(layers)
        decoder = DepthDecoder(encoder.channels)
        disparities = decoder(encoder(torch.empty(3, 3, 64, 96)))
    sizes = [tuple(disparity.shape) for disparity in disparities]
    assert sizes == [(3, 1, 64, 96), (3, 1, 32, 48), (3, 1, 16, 24), (3, 1, 8, 12)]


def test_one_scale_is_the_same_as_all(golden_weights):
    encoder = golden_weights(ResnetEncoder(18), "encoder")
    decoder = golden_weights(DepthDecoder(encoder.channels), "depth")
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        features = encoder(image)
        (finest,) = decoder(features, scales=(0,))
        assert torch.equal(finest, decoder(features)[0])
        fine, coarse = decoder(features, scales=(1, 3))
        assert fine.shape[-1] == 32 and coarse.shape[-1] == 8


def test_trunk_of_two_images_sees_equal_images_as_one():
    single = ResnetEncoder(18).eval()
    stacked = ResnetEncoder(18, num_input_images=2).eval()
    load_trunk(stacked, single.encoder.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = single(image)
        actual = stacked(torch.cat([image, image], dim=1))
    for one, two in zip(expected, actual, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_trunk_without_classifier_and_errors():
    encoder = ResnetEncoder(18)
    trunk = {k: v for k, v in ResnetEncoder(18).encoder.state_dict().items() if "fc." not in k}
    load_trunk(encoder, trunk)
    assert torch.equal(encoder.encoder.conv1.weight, trunk["conv1.weight"])
    with pytest.raises(ValueError, match=r"do not fit ResNet-18.*lacks bn1\.bias"):
        load_trunk(encoder, {k: v for k, v in trunk.items() if k != "bn1.bias"})
    with pytest.raises(ValueError, match="do not fit ResNet-34.*lacks"):
        load_trunk(ResnetEncoder(34), trunk)
    with pytest.raises(ValueError, match=r"wrong conv1\.weight \(64, 1, 7, 7\)"):
        load_trunk(encoder, {**trunk, "conv1.weight": torch.zeros(64, 1, 7, 7)})


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="num_layers is 20"):
        ResnetEncoder(20)
    with pytest.raises(ValueError, match="five feature maps"):
        DepthDecoder([64, 128])
    decoder = PoseDecoder([64, 64, 128, 256, 512], num_input_features=2)
    with pytest.raises(ValueError, match="got 1 feature pyramids"):
        decoder([torch.zeros(1, 512, 2, 2)])
