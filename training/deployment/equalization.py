# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth network rewritten for 8-bit integers: the same function, with activations that suit.

An engine rounds an activation to 256 steps between the ends of its range, one range for all of its
channels. Two identities, exact but for rounding in float, make the most of these steps:

- *ELU plus one is never negative*, so all steps lie where the values are, and none is an offset
  that an engine would have to correct for. A convolution that pads by reflection takes the one
  away again with its bias, at the border, too.
- *A positive factor for each channel* passes through ReLU, through the sum with a shortcut and
  through max pooling; the next convolution divides its weights by it. With factors that give every
  channel the largest one's range, small channels are rounded as finely as large ones (cross-layer
  equalisation: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, here by measured ranges and
  with all of the work done by the activations). Behind ELU the factor is applied as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.networks.resnet import BasicBlock, Bottleneck, ResNet

#: Channels with less than this share of the largest range are not enlarged any further.
SMALLEST_SHARE = 1.0 / 64.0


class EqualizedDepthNetwork(nn.Module):
    """What :class:`DepthNetwork` computes, rewritten as above, for inference alone.

    Parameters
    ----------
    network : DepthNetwork
        In evaluation mode; left as it is.
    images : iterable of Tensor, shape (B, 3, H, W)
        RGB in [0, 1], on which ranges are measured.

    Raises
    ------
    ValueError
        If the network is in training mode, or there are no images.
    """

    def __init__(self, network: DepthNetwork, images: Iterable[Tensor]) -> None:
        super().__init__()
        self.network = FusedDepthNetwork(network)
        for level, (coarse, _) in enumerate(self.network.levels()):
            for kind in ("coarse", "fine"):
                ones = coarse.weight.new_ones(1, coarse.out_channels, 1, 1)
                self.register_buffer(f"{kind}_{level}", ones)
        self._ranges: dict[str, Tensor] | None = None
        with torch.no_grad():
            self._shift()
            self._equalize({name: _factors(top) for name, top in self._measure(images).items()})

    def forward(self, image: Tensor) -> Tensor:
        """Compute sigmoid disparity; see :meth:`DepthNetwork.forward`."""
        network = self.network
        features = network.encoder(image)
        x = features.pop()
        for level, (coarse, fine) in enumerate(network.levels()):
            skip = features.pop() if features else None
            x = self._activate(coarse(x), f"coarse_{level}")
            x = self._activate(fine(x, skip), f"fine_{level}")
        return torch.sigmoid(network.head(x))

    def _activate(self, x: Tensor, name: str) -> Tensor:
        """Apply ELU, plus one, times the factors."""
        x = (functional.elu(x) + 1.0) * getattr(self, name)
        self._note(name, x)
        return x

    def _note(self, name: str, x: Tensor) -> None:
        """Keep the largest value of each channel, while ranges are measured."""
        if self._ranges is not None:
            top = x.amax(dim=(0, 2, 3))
            known = self._ranges.get(name)
            self._ranges[name] = top if known is None else torch.maximum(known, top)

    def _shift(self) -> None:
        """Take the ones that activations are too large by away with the biases."""
        network = self.network
        for level, (coarse, fine) in enumerate(network.levels()):
            if level > 0:  # the first takes the encoder's
                _add_to_bias(coarse, -coarse.weight.sum(dim=(1, 2, 3)))
            # Each output pixel meets a quarter of a kernel that enlarges by two.
            quarter = 0.25 * fine.enlarge.weight.sum(dim=(0, 2, 3))
            _add_to_bias(fine.enlarge if fine.join is None else fine.join, -quarter)
        head = network.head.conv
        _add_to_bias(head, -head.weight.sum(dim=(1, 2, 3)))

    def _measure(self, images: Iterable[Tensor]) -> dict[str, Tensor]:
        """Return the largest value of each channel of each activation."""
        self._ranges = {}
        hooks = []

        def watch(module: nn.Module, name: str, has_relu: bool) -> None:
            def note(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
                self._note(name, out if has_relu else out.relu())

            hooks.append(module.register_forward_hook(note))

        trunk = self.network.encoder.encoder
        watch(trunk.conv1, "stream_0", has_relu=False)
        for block, name, stream in _blocks(trunk):
            watch(block, stream, has_relu=True)
            for number, conv in enumerate(_convolutions(block)[:-1]):
                watch(conv, f"{name}_{number}", has_relu=False)
        for image in images:
            self(image)
        for hook in hooks:
            hook.remove()
        ranges, self._ranges = self._ranges, None
        if not ranges:
            raise ValueError("there are no images to measure ranges on")
        return ranges

    def _equalize(self, factors: dict[str, Tensor]) -> None:
        """Multiply channels where they are made, and divide the weights that take them."""
        network = self.network
        trunk = network.encoder.encoder
        x = factors["stream_0"]
        _scale_outputs(trunk.conv1, x)
        for block, name, stream in _blocks(trunk):
            out = factors[stream]
            if block.downsample is not None:
                _scale_inputs(block.downsample[0], x)
                _scale_outputs(block.downsample[0], out)
            made = [factors[f"{name}_{n}"] for n in range(len(_convolutions(block)) - 1)]
            pairs = zip([x, *made], [*made, out], strict=True)
            for conv, (taken, given) in zip(_convolutions(block), pairs, strict=True):
                _scale_inputs(conv, taken)
                _scale_outputs(conv, given)
            x = out
        skips = [factors[_stream(trunk, stage)] for stage in (3, 2, 1, 0)]
        for level, (coarse, fine) in enumerate(network.levels()):
            _scale_inputs(coarse, x)
            for name in (f"coarse_{level}", f"fine_{level}"):
                getattr(self, name).copy_(factors[name][:, None, None])
            _scale_inputs(fine.enlarge, factors[f"coarse_{level}"])
            if fine.join is not None:
                _scale_inputs(fine.join, skips[level])
            x = factors[f"fine_{level}"]
        _scale_inputs(network.head.conv, x)


def _factors(top: Tensor) -> Tensor:
    """Return what gives every channel the largest one's range."""
    largest = top.max().clamp_min(torch.finfo(top.dtype).tiny)
    return largest / torch.maximum(top, SMALLEST_SHARE * largest)


def _blocks(trunk: ResNet) -> Iterator[tuple[BasicBlock | Bottleneck, str, str]]:
    """Give the residual blocks, each with a name and that of the stream it adds to."""
    for stage in range(1, 5):
        for number, block in enumerate(getattr(trunk, f"layer{stage}")):
            yield block, f"block_{stage}_{number}", _stream(trunk, stage)


def _stream(trunk: ResNet, stage: int) -> str:
    """Name the stream of values that all blocks of a stage add to; stage 0 is the stem.

    What the first block adds to directly is one stream with it, and has the same factors.
    """
    if stage == 1 and getattr(trunk.layer1[0], "downsample", None) is None:
        stage = 0
    return f"stream_{stage}"


def _convolutions(block: BasicBlock | Bottleneck) -> list[nn.Conv2d]:
    """Return the convolutions of a block, its shortcut's left out."""
    if isinstance(block, BasicBlock):
        return [block.conv1, block.conv2]
    return [block.conv1, block.conv2, block.conv3]


def _scale_outputs(conv: nn.Module, factors: Tensor) -> None:
    """Multiply what a convolution gives."""
    assert isinstance(conv, nn.Conv2d)
    conv.weight *= factors[:, None, None, None]
    if conv.bias is not None:
        conv.bias *= factors


def _scale_inputs(conv: nn.Module, factors: Tensor) -> None:
    """Divide weights by what the channels they take were multiplied by."""
    assert isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d))
    is_transposed = isinstance(conv, nn.ConvTranspose2d)
    conv.weight /= factors[:, None, None, None] if is_transposed else factors[:, None, None]


def _add_to_bias(conv: nn.Module, values: Tensor) -> None:
    """Add to the bias of a convolution that has one."""
    assert isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)) and conv.bias is not None
    conv.bias += values
