# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one safetensors file with the weights and everything needed to use them.

Tensors are named ``<network>.<state-dict key>`` with the networks ``encoder``, ``depth`` and,
where training kept them, ``pose_encoder``, ``pose``, ``posecnn`` and ``mask``. The metadata is one
JSON object. Folders of the published format (encoder.pth, depth.pth, …) are read as they are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from msgspec import Meta
from numpy.typing import NDArray

from monodepth2_ros import __version__
from monodepth2_ros.atomic_files import write_atomically
from monodepth2_ros.damage import describe_impostor
from monodepth2_ros.extras import how_to_install, is_installed
from monodepth2_ros.networks.architecture import RESNET_LAYERS
from monodepth2_ros.options import CheckpointError as CheckpointError
from monodepth2_ros.preprocessing import NO_CROP, check_crop
from monodepth2_ros.typed_files import (
    Count,
    CropFractions,
    Fraction,
    ImageSide,
    Index,
    NotNegative,
    Positive,
    as_structure,
    parse_json,
)
from monodepth2_ros.user_paths import user_path
from monodepth2_ros.weights import (
    StateDicts,
    arrays_of,
    as_arrays,
    check_weights,
    random_weights,
    read_weights,
    with_checksum,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from monodepth2_ros.networks.depth_network import DepthNetwork

FORMAT_VERSION = 1
_METADATA_KEY = "monodepth2_ros"

# File of the shipped checkpoint, in the package.
_DEFAULT = "models/default.safetensors"

# Published stereo models were trained with a nominal baseline of 0.1 where KITTI's is 0.54 m. A
# folder does not say on which pair it was trained, so the user says it by this ending of the name.
_PUBLISHED_STEREO_SCALE = 5.4
KITTI_STEREO = ":kitti-stereo"


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a depth model needs in addition to its weights.

    Attributes
    ----------
    num_layers : int
        Depth of the ResNet encoder.
    width, height : int
        Network input size in pixels; multiples of 32, at least 64.
    min_depth, max_depth : float
        Range of :func:`monodepth2_ros.geometry.disparity_to_depth` in training.
    crop : tuple of float
        Fractions of the camera image removed before resizing: left, top, right, bottom.
    scale : float
        Metres per unit of depth.
    scale_spread : float or None
        Relative spread of the scale where it was measured.
    is_metric : bool
        Whether depth times `scale` is in metres; a monocular model knows depth up to scale only.
    training : dict
        How the model was trained, as training wrote it; plain JSON.
    provenance : dict
        What the publisher of the file says of it: data and licences, command, commit, date,
        figures; plain JSON. Written by ``depth_export --provenance``.
    calibration : dict
        What `scale` rests on, where ``depth_calibrate`` measured it; plain JSON.
    package_version : str
        Version that wrote the file.
    """

    num_layers: int = 18
    width: ImageSide = 640
    height: ImageSide = 192
    min_depth: Positive = 0.1
    max_depth: Positive = 100.0
    crop: CropFractions = NO_CROP
    scale: Positive = 1.0
    scale_spread: NotNegative | None = None
    is_metric: bool = False
    training: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    package_version: str = __version__

    def __post_init__(self) -> None:
        if self.num_layers not in RESNET_LAYERS:
            raise CheckpointError(f"num_layers is {self.num_layers}, not one of {RESNET_LAYERS}")
        # The encoder reduces by 32, and the decoder's padding reflects a row of what is left.
        if min(self.width, self.height) < 64 or self.width % 32 or self.height % 32:
            raise CheckpointError(
                f"the network size is {self.width}x{self.height}; both sides must be multiples "
                "of 32, and at least 64"
            )
        if not 0.0 < self.min_depth < self.max_depth:
            raise CheckpointError(
                f"the depth range is {self.min_depth} to {self.max_depth}; it must be positive "
                "and ascending"
            )
        if not self.scale > 0.0:
            raise CheckpointError(f"scale is {self.scale}; it must be positive")
        check_crop(self.crop)


class TrainingOptionsRecord(TypedDict, total=False):
    """The options of a training that are used afterwards; see training/learning/options.py."""

    pose: str
    stereo: Literal["none", "add", "only"]
    sources: list[Annotated[int, Meta(ge=-1000, le=1000)]]
    spacing: Index
    validation_fraction: Fraction


class TrainingRecord(TypedDict, total=False):
    """What a checkpoint's metadata say of its training, as far as it is used."""

    steps: Count
    samples: Count
    recordings: list[str]
    options: TrainingOptionsRecord
    validation: dict[str, Any]


@dataclass(frozen=True)
class _FormatVersion:
    """The one field that metadata of all formats have."""

    format_version: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class Checkpoint:
    """Weights and metadata, as loaded.

    Attributes
    ----------
    metadata : CheckpointMetadata
    state : mapping of str to dict of str to Tensor
        A state dict for each network, by the network's name. torch is imported when one is used.
    source : str
        Where it came from, for logs and diagnostics.
    is_random : bool
        Whether the weights are untrained.
    graph : Path or None
        OpenVINO IR that computes in place of the weights; then `state` is empty.
    """

    metadata: CheckpointMetadata
    state: Mapping[str, dict[str, Tensor]]
    source: str
    is_random: bool = False
    graph: Path | None = None

    def depth_network(self) -> DepthNetwork:
        """Build the float32 depth network with these weights, in evaluation mode."""
        import torch

        from monodepth2_ros.networks.depth_network import DepthNetwork

        with torch.device("meta"):  # no memory and no random numbers for weights to be replaced
            network = DepthNetwork(self.metadata.num_layers)
        for name, module in (("encoder", network.encoder), ("depth", network.depth)):
            check_weights(self.state.get(name), name, self.metadata.num_layers, self.source)
            _load_state(module, self.state[name])
        return network.eval()

    def arrays(self, network: str) -> dict[str, NDArray[Any]]:
        """Return the state dict of "encoder" or "depth" as NumPy arrays, without torch.

        Raises
        ------
        CheckpointError
            If there is none, or it does not fit the architecture.
        """
        arrays = arrays_of(self.state, network) if network in self.state else None
        check_weights(arrays, network, self.metadata.num_layers, self.source)
        assert arrays is not None
        return arrays


def random_checkpoint(
    num_layers: int = 18, width: int = 640, height: int = 192, seed: int = 0
) -> Checkpoint:
    """Make a checkpoint with untrained weights, to try everything but the depth.

    Parameters
    ----------
    num_layers, width, height : int
        See :class:`CheckpointMetadata`.
    seed : int
        The same seed gives the same weights, with torch and without it different ones.
    """
    metadata = CheckpointMetadata(num_layers, width, height, training={"weights": "random"})
    draw = _draw_with_torch if is_installed("torch") else random_weights
    state = draw(num_layers, seed)
    return Checkpoint(metadata, state, "random weights", is_random=True)


def _draw_with_torch(num_layers: int, seed: int) -> StateDicts:
    """Draw weights as torch does for a new network."""
    import torch

    from monodepth2_ros.networks.depth_network import DepthNetwork

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DepthNetwork(num_layers)
    networks = {"encoder": network.encoder, "depth": network.depth}
    return StateDicts({name: as_arrays(part.state_dict()) for name, part in networks.items()})


def default_checkpoint_path() -> Path | None:
    """Return the path of the checkpoint that the package ships, None where it is missing."""
    path = resources.files("monodepth2_ros") / _DEFAULT
    return path if isinstance(path, Path) and path.is_file() else None


def open_checkpoint(name: str) -> Checkpoint:
    """Load what a user names: a file, a folder, ``random``, or the checkpoint of the package.

    Parameters
    ----------
    name : str
        Path of a .safetensors file or of a published folder, the latter with ":kitti-stereo" at
        the end if its weights are KITTI's stereo ones, so that depth is metric; "random" for
        untrained weights; "" or "default" for the one that the package ships.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint or it cannot be used.
    """
    if name == "random":
        return random_checkpoint()
    if not is_default(name):
        return load_checkpoint(name)
    path = default_checkpoint_path()
    if path is None:
        raise CheckpointError(
            f"the default model is missing: there is no file monodepth2_ros/{_DEFAULT} in "
            f"{resources.files('monodepth2_ros')}; install the package again, or name a model: a "
            ".safetensors file, a folder with encoder.pth and depth.pth, or 'random' to try "
            "everything but the depth with untrained weights"
        )
    source = f"default model (monodepth2_ros/{_DEFAULT}, see docs/reference/model_card.md)"
    return dataclasses.replace(load_checkpoint(path), source=source)


def is_default(name: str) -> bool:
    """Tell whether a name given to :func:`open_checkpoint` means the shipped checkpoint."""
    return name in ("", "default")


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Load a checkpoint file, or a folder of the published format.

    Parameters
    ----------
    path : str or path
        A .safetensors file written by :func:`save_checkpoint`, a folder that holds encoder.pth
        and depth.pth, or OpenVINO IR (.xml) for one image written by ``depth_export``.

    Returns
    -------
    Checkpoint
        Its tensors are mapped into memory: they cost nothing until they are used.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, unsafe, of a newer format or not a depth model.
    """
    path = user_path(path)
    if path.name.endswith(KITTI_STEREO):
        folder = path.with_name(path.name.removesuffix(KITTI_STEREO))
        if not folder.is_dir():
            raise CheckpointError(
                f"{path}: {folder} is not a folder with encoder.pth and depth.pth"
            )
        return _load_published(folder, is_kitti_stereo=True)
    if path.is_dir():
        return _load_published(path)
    if not path.exists():
        raise CheckpointError(
            f"checkpoint {path} does not exist (looked from {Path.cwd()}); give the path of a "
            ".safetensors file or of a folder with encoder.pth and depth.pth"
        )
    impostor = describe_impostor(path)
    if impostor:
        raise CheckpointError(f"checkpoint {impostor}")
    if path.suffix in (".pth", ".pt", ".ckpt"):
        raise CheckpointError(
            f"checkpoint {path} is a single pickle; give the folder that holds encoder.pth and "
            "depth.pth, or a .safetensors file"
        )
    if path.suffix == ".xml":
        return _load_openvino(path)
    header, state = read_weights(path, _METADATA_KEY)
    if header is None:
        raise CheckpointError(
            f"checkpoint {path} holds tensors but no monodepth2_ros metadata; it was not written "
            "by this package (depth_train and depth_export write it)"
        )
    metadata = _parse_metadata(header, path)
    return Checkpoint(metadata, state, str(path))


def save_checkpoint(
    path: str | os.PathLike[str],
    metadata: CheckpointMetadata,
    networks: Mapping[str, nn.Module | Mapping[str, Tensor]],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a checkpoint file; the file is either the old one or the new one, never half.

    Parameters
    ----------
    path : str or path
        Should end in .safetensors.
    metadata : CheckpointMetadata
    networks : mapping of str to Module or state dict
        "encoder" and "depth", and any other network to keep. A StateDicts needs no torch, where
        none is installed and `dtype` is not given.
    dtype : torch.dtype, optional
        Store weights in it, float16 for a small file. Vectors (biases and everything of batch
        normalisation) stay as they are: they take no room, and a variance may be too small or too
        large for 16 bits.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is untouched.
    """
    path = Path(path)
    header = {"format_version": FORMAT_VERSION, **dataclasses.asdict(metadata)}
    described = {_METADATA_KEY: json.dumps(header)}
    if isinstance(networks, StateDicts) and dtype is None and not is_installed("torch"):
        import numpy
        from safetensors import numpy as arrays_format

        arrays = {
            f"{name}.{key}": numpy.asarray(value, order="C")
            for name in networks
            for key, value in networks.arrays(name).items()
        }
        write_atomically(path, with_checksum(arrays_format.save(arrays, described)))
        return
    from safetensors.torch import save
    from torch import nn

    tensors = {}
    for name, network in networks.items():
        state = network.state_dict() if isinstance(network, nn.Module) else network
        for key, value in state.items():
            value = value.detach().cpu()
            if dtype is not None and value.is_floating_point() and value.ndim > 1:
                value = value.to(dtype)
            tensors[f"{name}.{key}"] = value.contiguous().clone()
    write_atomically(path, with_checksum(save(tensors, described)))


def _parse_metadata(header: str, path: Path) -> CheckpointMetadata:
    """Read the JSON header."""
    place = f"checkpoint {path}: metadata"
    version = parse_json(header, _FormatVersion, place, CheckpointError).format_version
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format {version}; this monodepth2_ros ({__version__}) reads "
            f"up to {FORMAT_VERSION}; update it"
        )
    values = json.loads(header)
    as_structure(values.get("training", {}), TrainingRecord, f"{place}: training", CheckpointError)
    return as_structure(values, CheckpointMetadata, place, CheckpointError)


def _load_openvino(path: Path) -> Checkpoint:
    """Read the metadata of OpenVINO IR; the backend reads the rest."""
    if not is_installed("openvino"):
        raise CheckpointError(
            f"checkpoint {path} is OpenVINO IR, and {how_to_install('openvino')}; or give the "
            ".safetensors file that it was made from"
        )
    import openvino

    try:
        graph = openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]  # before it: OpenVINO's own source lines
        raise CheckpointError(
            f"checkpoint {path} is not readable OpenVINO IR ({reason}); was it copied in full, "
            "with its .bin next to it?"
        ) from error
    try:
        description = json.loads(graph.get_rt_info([_METADATA_KEY]).astype(str))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {path} has no monodepth2_ros metadata; it was not written by depth_export"
        ) from error
    header = json.dumps({"format_version": FORMAT_VERSION, **description})
    metadata = _parse_metadata(header, path)
    shape = graph.input(0).partial_shape
    if shape.is_dynamic or list(shape.to_shape()) != [1, 3, metadata.height, metadata.width]:
        raise CheckpointError(
            f"checkpoint {path} takes images of shape {shape}; only one image at a time can be "
            "used: export without --batch"
        )
    return Checkpoint(metadata, {}, str(path), graph=path)


def _load_published(folder: Path, is_kitti_stereo: bool = False) -> Checkpoint:
    """Load a folder with encoder.pth and depth.pth, and the pose networks if they are there."""
    for name in ("encoder", "depth"):
        if not (folder / f"{name}.pth").is_file():
            raise CheckpointError(
                f"checkpoint folder {folder} has no {name}.pth; a published model is a folder "
                "with encoder.pth and depth.pth"
            )
        impostor = describe_impostor(folder / f"{name}.pth")
        if impostor:
            raise CheckpointError(impostor)
    if not is_installed("torch"):
        raise CheckpointError(
            f"checkpoint folder {folder} holds pickles, which torch reads, and it is not "
            f"installed; run 'depth_export {folder}{KITTI_STEREO if is_kitti_stereo else ''} "
            "model.safetensors' once on a machine that has it (pip install "
            "'monodepth2_ros[train]'), and give that file"
        )
    encoder = _load_pickle(folder / "encoder.pth")
    depth = _load_pickle(folder / "depth.pth")
    try:
        height, width = int(encoder.pop("height")), int(encoder.pop("width"))
    except KeyError as error:
        raise CheckpointError(
            f"{folder / 'encoder.pth'} has no entry {error}; published encoders carry the size "
            "they were trained at"
        ) from error
    uses_stereo = bool(encoder.pop("use_stereo", False))
    if is_kitti_stereo and not uses_stereo:
        raise CheckpointError(
            f"{folder / 'encoder.pth'} says that it was trained without stereo, so its depth has "
            f"no scale; leave out '{KITTI_STEREO}'"
        )
    state = {"encoder": encoder, "depth": depth}
    for name in ("pose_encoder", "pose"):
        if (folder / f"{name}.pth").is_file():
            state[name] = _load_pickle(folder / f"{name}.pth")
    metadata = CheckpointMetadata(
        num_layers=_resnet_depth(encoder, folder),
        width=width,
        height=height,
        scale=_PUBLISHED_STEREO_SCALE if is_kitti_stereo else 1.0,
        is_metric=is_kitti_stereo,
        training={"format": "published folder", "use_stereo": uses_stereo},
    )
    return Checkpoint(metadata, state, str(folder))


def _load_pickle(path: Path) -> dict[str, Any]:
    """Load a state dict; a pickle that would run code is refused."""
    import torch

    impostor = describe_impostor(path)
    if impostor:
        raise CheckpointError(impostor)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds: UnpicklingError, RuntimeError, EOFError
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise CheckpointError(
            f"{path} cannot be loaded as plain weights ({reason}); it is damaged, or a pickle "
            "with code in it, which is never executed here"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not a state dict")
    return dict(state)


def _resnet_depth(encoder: Mapping[str, Tensor], source: Path) -> int:
    """Tell from the keys which ResNet an encoder is."""
    blocks = {
        int(match[1])
        for match in (re.match(r"encoder\.layer3\.(\d+)\.", key) for key in encoder)
        if match
    }
    bottleneck = "encoder.layer1.0.conv3.weight" in encoder
    depth = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}.get(
        (len(blocks), bottleneck)
    )
    if depth is None:
        raise CheckpointError(
            f"{source / 'encoder.pth'} is not a known ResNet ({len(blocks)} blocks in layer3)"
        )
    return depth


def _load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put a state dict that fits into a module on the meta device, in float32."""
    import torch

    values = {}
    for key, parameter in module.state_dict().items():
        value = state.get(key)
        if value is None or value.shape != parameter.shape:  # the classifier, which is not used
            value = torch.zeros(parameter.shape)
        values[key] = value.float() if value.is_floating_point() else value
    module.load_state_dict(values, assign=True)
