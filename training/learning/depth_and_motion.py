# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks that learn together: depth, motion and, if wanted, a predicted mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros import geometry
from monodepth2_ros.networks import DepthDecoder, PoseCNN, PoseDecoder, ResnetEncoder
from monodepth2_ros.networks.architecture import SCALES
from monodepth2_ros.networks.resnet_encoder import load_trunk

#: How motion is predicted: by a ResNet over the stacked pair, by a small network of its own, from
#: the features of the depth encoder, or not at all (stereo alone, whose motion is known).
PoseKind = Literal["separate", "posecnn", "shared", "none"]


class Predictions(NamedTuple):
    """What the networks say about a batch.

    Attributes
    ----------
    disparities : list of Tensors, shape (B, 1, H / 2^s, W / 2^s)
        Sigmoid disparity at scales 0 to 3.
    transforms : list of Tensors, shape (B, 4, 4)
        For each neighbour, takes points of the target's frame to the neighbour's.
    masks : list of Tensors, shape (B, sources, H / 2^s, W / 2^s), or None
    """

    disparities: list[Tensor]
    transforms: list[Tensor]
    masks: list[Tensor] | None


class DepthAndMotion(nn.Module):
    """All networks of a training run, as one module.

    Parameters
    ----------
    num_layers, pose_layers : int
        Depth of the ResNets for depth and for "separate" motion.
    pose : PoseKind
    mask_sources : int
        Number of sources to predict a mask for; 0 for no mask network.
    min_depth, max_depth : float
        Depth range; "posecnn" alone uses it here.

    Notes
    -----
    The sub-modules have the names that checkpoints use: encoder, depth, pose_encoder, pose,
    posecnn and mask.
    """

    def __init__(
        self,
        num_layers: int = 18,
        pose_layers: int = 18,
        pose: PoseKind = "separate",
        mask_sources: int = 0,
        min_depth: float = 0.1,
        max_depth: float = 100.0,
    ) -> None:
        super().__init__()
        self.pose_kind = pose
        self.depth_range = (min_depth, max_depth)
        self.encoder = ResnetEncoder(num_layers)
        self.depth = DepthDecoder(self.encoder.channels)
        if pose == "separate":
            self.pose_encoder = ResnetEncoder(pose_layers, num_input_images=2)
            self.pose = PoseDecoder(self.pose_encoder.channels)
        elif pose == "shared":
            self.pose = PoseDecoder(self.encoder.channels, num_input_features=2)
        elif pose == "posecnn":
            self.posecnn = PoseCNN()
        if mask_sources:
            self.mask = DepthDecoder(self.encoder.channels, num_outputs=mask_sources)
        for module in self.modules():
            if isinstance(module, ResnetEncoder):
                # The classifier takes no part; data-parallel training would wait for its gradient.
                module.encoder.fc.requires_grad_(False)
            elif isinstance(module, DepthDecoder):
                _keep_heads_in_float32(module)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by the names that checkpoints use."""
        return dict(self.named_children())

    def forward(
        self,
        target: Tensor,
        neighbours: Sequence[Tensor],
        precedes: Sequence[bool],
        constant: float | None = None,
    ) -> Predictions:
        """Predict depth and motion.

        Parameters
        ----------
        target : Tensor, shape (B, 3, H, W)
            RGB in [0, 1].
        neighbours : sequence of Tensors, shape (B, 3, H, W)
            Frames whose motion is to be predicted.
        precedes : sequence of bool
            For each neighbour, whether it is older than the target. Pairs go into the networks
            in temporal order, and the motion of an older one is inverted.
        constant : float, optional
            Sigmoid disparity to return everywhere, and no masks; the depth decoder rests then.
        """
        masks = None
        if constant is None or self.pose_kind == "shared":
            features = self.encoder(target)
        if constant is None:
            disparities = self.depth(features)
            if hasattr(self, "mask"):
                masks = self.mask(features)
        else:
            batch, _, height, width = target.shape
            disparities = [
                target.new_full((batch, 1, height >> scale, width >> scale), constant)
                for scale in SCALES
            ]
        transforms = []
        for neighbour, older in zip(neighbours, precedes, strict=True):
            pair = (neighbour, target) if older else (target, neighbour)
            if self.pose_kind == "shared":
                other = self.encoder(neighbour)
                maps = (other[-1], features[-1]) if older else (features[-1], other[-1])
                motion = self._decode_pose(maps)
            elif self.pose_kind == "separate":
                motion = self._decode_pose([self.pose_encoder(torch.cat(pair, dim=1))[-1]])
            elif self.pose_kind == "posecnn":
                axis_angle, translation = self.posecnn(torch.cat(pair, dim=1))
                depth = geometry.disparity_to_depth(disparities[0].float(), *self.depth_range)
                nearness = (1 / depth).mean(dim=(2, 3))[:, :, None, None]
                motion = axis_angle, translation * nearness
            else:
                raise ValueError(f"pose is '{self.pose_kind}', which predicts no motion")
            axis_angle, translation = motion
            # Under autocast a product of matrices is rounded, too.
            with torch.autocast(target.device.type, enabled=False):
                transforms.append(
                    geometry.pose_matrix(axis_angle[:, 0], translation[:, 0], invert=older)
                )
        return Predictions(disparities, transforms, masks)

    def _decode_pose(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Decode in float32 also under autocast: a half-precision angle is off by pixels."""
        with torch.autocast(maps[0].device.type, enabled=False):
            pyramids = [[features.float()] for features in maps]
            return self.pose(pyramids if len(pyramids) > 1 else pyramids[0])


class _Float32Conv(nn.Conv2d):
    """A convolution that stays in float32 under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            if x.is_cuda and torch.compiler.is_compiling() and self.out_channels == 1:
                return self._fused(x)
            return super().forward(x.to(self.weight.dtype))

    def _fused(self, x: Tensor) -> Tensor:
        """Convolve as sums over nine shifted images.

        With one output there is little to compute, and a compiler makes one pass of it, where a
        library's convolution wants the padded features in float32 and in another layout first.
        """
        height, width = x.shape[-2:]
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        total = x.new_zeros((), dtype=self.weight.dtype)
        for row in range(3):
            for column in range(3):
                shifted = padded[..., row : row + height, column : column + width]
                weight = self.weight[0, :, row, column, None, None]
                total = total + shifted.to(weight.dtype) * weight
        result = total.sum(dim=1, keepdim=True)
        return result if self.bias is None else result + self.bias[:, None, None]


def _heads(decoder: DepthDecoder) -> list[Any]:
    """Return the modules whose ``conv`` is the convolution of a head, scale by scale."""
    return [decoder.decoder[10 + scale] for scale in SCALES]


def _keep_heads_in_float32(decoder: DepthDecoder) -> None:
    """Replace the heads' convolutions; a disparity in bfloat16 has steps of over 1 %."""
    for head in _heads(decoder):
        conv = head.conv
        head.conv = _Float32Conv(
            conv.in_channels, conv.out_channels, kernel_size=3, padding=1, padding_mode="reflect"
        )
        head.conv.load_state_dict(conv.state_dict())


def initial_disparity(depth: float, min_depth: float, max_depth: float) -> float:
    """Return the sigmoid disparity of a depth that training starts from.

    Parameters
    ----------
    depth : float
        Between the limits; or 0, for the middle of the sigmoid, where random weights start.
    min_depth, max_depth : float
        See :func:`monodepth2_ros.geometry.disparity_to_depth`.

    Raises
    ------
    ValueError
        If the depth is outside the range.
    """
    if depth == 0:
        return 0.5
    if not min_depth < depth < max_depth:
        raise ValueError(
            f"the initial depth is {depth}; it must be between min_depth {min_depth} and "
            f"max_depth {max_depth}"
        )
    return (1 / depth - 1 / max_depth) / (1 / min_depth - 1 / max_depth)


def set_initial_depth(
    decoder: DepthDecoder, depth: float, min_depth: float, max_depth: float
) -> None:
    """Set the heads' biases so that training starts from about this depth everywhere.

    Parameters
    ----------
    decoder : DepthDecoder
        Changed in place.
    depth, min_depth, max_depth : float
        See :func:`initial_disparity`.
    """
    sigmoid = initial_disparity(depth, min_depth, max_depth)
    for head in _heads(decoder):
        nn.init.constant_(head.conv.bias, math.log(sigmoid / (1 - sigmoid)))


def reset_decoder(model: DepthAndMotion, inverse_depth: float, seed: int) -> None:
    """Replace the weights of the depth decoder by new ones.

    Parameters
    ----------
    model : DepthAndMotion
        Changed in place.
    inverse_depth : float
        What is predicted at first, about everywhere; 1 / unit of depth.
    seed : int
        The same seed gives the same weights.
    """
    low, high = model.depth_range
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = DepthDecoder(model.encoder.channels)
    depth = min(max(1.0 / inverse_depth, 1.1 * low), 0.9 * high)
    set_initial_depth(fresh, depth, low, high)
    model.depth.load_state_dict(fresh.state_dict())


def set_difference_filters(encoder: ResnetEncoder) -> None:
    """Let every other filter of a motion network's first layer compare the two frames.

    A trunk that was trained on single images looks at the mean of the two frames, in which there
    is not motion; differences show it from the first step on.

    Parameters
    ----------
    encoder : ResnetEncoder
        Encoder of two images; changed in place.
    """
    with torch.no_grad():
        weight = encoder.encoder.conv1.weight
        # The filters of the mean have half weights; the difference takes them whole.
        weight[1::2, :3] *= 2
        weight[1::2, 3:] *= -2


def load_initial_trunk(model: DepthAndMotion, source: str) -> None:
    """Start the encoders from ResNet weights.

    Parameters
    ----------
    model : DepthAndMotion
        Changed in place.
    source : str
        "imagenet" (downloaded by torchvision into its cache), "none", or the path of a
        .safetensors or .pth file with torchvision's names.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the weights do not fit, cannot be read or cannot be downloaded.
    """
    if source == "none":
        return
    for network in model.networks().values():
        if isinstance(network, ResnetEncoder):
            load_trunk(network, _trunk(source, network.num_layers))


def _trunk(source: str, num_layers: int) -> Mapping[str, Tensor]:
    """Read a ResNet's state dict."""
    if source == "imagenet":
        from torchvision.models import get_model_weights

        weights = get_model_weights(f"resnet{num_layers}").IMAGENET1K_V1
        try:
            state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
        except OSError as error:
            raise ValueError(
                f"--init imagenet: {weights.url} cannot be downloaded ({error}); download it "
                "elsewhere and give the file as --init FILE, or start with --init none"
            ) from error
        return state
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"--init: {path} does not exist; give 'imagenet', 'none' or a file of ResNet weights"
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe pickles
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(f"--init: {path} holds no plain weights ({reason})") from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"--init: {path} is not a plain state dict; save the ResNet's alone, with "
            "torchvision's names"
        )
    return {name: value.float() for name, value in state.items()}
