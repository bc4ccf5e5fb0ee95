# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights of networks as NumPy arrays, and as torch tensors for those who ask.

A robot that runs the network in OpenVINO has no torch, and one that has it should not wait for its
import. So weights are read without it, and become tensors when :attr:`Checkpoint.state` is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from monodepth2_ros.damage import describe_impostor
from monodepth2_ros.networks.architecture import network_shapes
from monodepth2_ros.options import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, NDArray[Any]]

# Types of a safetensors file that NumPy knows. bfloat16 it does not: see _view.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

_BLOCK = 1 << 20

#: Entry of a file's metadata with the CRC-32 of the whole file, in which it counts as this text.
CHECKSUM_KEY = "crc32"
NO_CHECKSUM = "00000000"
_METADATA = b'"__metadata__":{'
_CHECKSUM = re.compile(rb'"crc32":"([0-9a-f]{8})"')


class StateDicts(Mapping[str, "dict[str, Tensor]"]):
    """State dicts by the network's name; they become torch tensors at the first use of one.

    Parameters
    ----------
    arrays : mapping of str to mapping of str to ndarray
    file : Path, optional
        Where they come from.
    header_digest : str, optional
        Of that file's header, if a checksum of the whole file is in it and was verified.
    """

    def __init__(
        self,
        arrays: Mapping[str, Arrays],
        file: Path | None = None,
        header_digest: str | None = None,
    ) -> None:
        self._arrays = arrays
        self._file = file
        self._header_digest = header_digest
        self._tensors: dict[str, dict[str, Tensor]] = {}

    def __getitem__(self, network: str) -> dict[str, Tensor]:
        if network not in self._tensors:
            arrays = self._arrays[network]
            if self._file is None:
                self._tensors[network] = {name: _tensor(array) for name, array in arrays.items()}
            else:
                self._tensors[network] = _read_tensors(self._file, network, arrays)
        return self._tensors[network]

    def __contains__(self, network: object) -> bool:
        return network in self._arrays  # Mapping's own would make tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def arrays(self, network: str) -> Arrays:
        """Return a state dict as arrays, with what was changed in its tensors."""
        if network in self._tensors:
            return as_arrays(self._tensors[network])
        return self._arrays[network]

    def unchanged_file(self) -> Path | None:
        """Return the file that holds all of this; None where nobody can be sure of it."""
        return None if self._tensors else self._file

    def unchanged_digest(self) -> str | None:
        """Return what names the content of the file; None where that is not known for sure."""
        return None if self._tensors else self._header_digest


def read_weights(path: Path, metadata_key: str) -> tuple[str | None, StateDicts]:
    """Read a safetensors file whose entries are named ``<network>.<state-dict key>``.

    Parameters
    ----------
    path : Path
    metadata_key : str

    Returns
    -------
    str or None
        The entry of the file's metadata with that key.
    StateDicts
        Mapped into memory: they cost nothing until they are used.

    Raises
    ------
    CheckpointError
        If it is damaged, or no safetensors file.
    """
    impostor = describe_impostor(path)
    if impostor:
        raise CheckpointError(f"checkpoint {impostor}")
    try:
        with safe_open(path, framework="np") as file:  # checks that all is there
            metadata = file.metadata() or {}
        header = metadata.get(metadata_key)
        has_checksum = CHECKSUM_KEY in metadata
        if has_checksum and not _is_intact(path):
            raise ValueError("its checksum differs: bytes were changed on the disk or on the way")
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            head = raw.read(length)
        entries = json.loads(head)
        entries.pop("__metadata__", None)
        data = np.memmap(path, mode="r", offset=8 + length) if entries else np.empty(0, np.uint8)
        state: dict[str, Arrays] = {}
        for key, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
            network, _, name = key.partition(".")
            state.setdefault(network, {})[name] = _view(np.asarray(data), key, entry)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {path} is not a readable safetensors file ({error}); was it copied in "
            "full?"
        ) from error
    return header, StateDicts(
        state, path, hashlib.sha256(head).hexdigest() if has_checksum else None
    )


def with_checksum(content: bytes) -> bytes:
    """Put a checksum into a safetensors file; :func:`read_weights` verifies it.

    Parameters
    ----------
    content : bytes
        A file with metadata.
    """
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length].rstrip(b" "), content[8 + length :]
    entry = f'"{CHECKSUM_KEY}":"{NO_CHECKSUM}",'.encode()
    assert _METADATA in header
    header = header.replace(_METADATA, _METADATA + entry, 1)
    header += b" " * (-len(header) % 8)  # the data begins at a multiple of 8
    begin = header.index(entry) + len(entry) - 2 - len(NO_CHECKSUM)
    length_bytes = len(header).to_bytes(8, "little")
    checksum = zlib.crc32(data, zlib.crc32(length_bytes + header))
    text = f"{checksum:08x}".encode()
    return length_bytes + header[:begin] + text + header[begin + len(text) :] + data


def _is_intact(path: Path) -> bool:
    """Whether a file's content agrees with the checksum in it."""
    with path.open("rb") as file:
        head = file.read(8)
        head += file.read(int.from_bytes(head, "little"))
        found = _CHECKSUM.search(head)
        if found is None:
            return False
        begin, end = found.span(1)
        checksum = zlib.crc32(head[:begin] + NO_CHECKSUM.encode() + head[end:])
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return found[1] == f"{checksum:08x}".encode()


def as_arrays(state: Mapping[str, Tensor]) -> Arrays:
    """View tensors as arrays; bfloat16, which NumPy does not know, is copied as float32."""
    return {name: _array(tensor) for name, tensor in state.items()}


def check_weights(
    state: Mapping[str, Any] | None, network: str, num_layers: int, source: str
) -> None:
    """Refuse weights that do not fit the architecture.

    Parameters
    ----------
    state : mapping of str to Tensor or ndarray, or None
        State dict; None if there is none.
    network : {"encoder", "depth"}
    num_layers : int
        Depth of the ResNet.
    source : str
        Name of the checkpoint, for the error.

    Raises
    ------
    CheckpointError
        If entries are missing or of another shape, or there are none.
    """
    if state is None:
        raise CheckpointError(f"checkpoint {source} has no network '{network}'")
    shapes = network_shapes(num_layers)[network]
    # The classifier is never used; files may leave it out.
    used = {name: shape for name, shape in shapes.items() if not name.startswith("encoder.fc.")}
    missing = sorted(used.keys() - state.keys())
    if missing:
        raise CheckpointError(
            f"checkpoint {source}: network '{network}' lacks {len(missing)} of {len(shapes)} "
            f"entries, '{missing[0]}' for one; it is another architecture or a damaged file"
        )
    for name, shape in used.items():
        if tuple(state[name].shape) != shape:
            raise CheckpointError(
                f"checkpoint {source}: '{network}.{name}' has shape {tuple(state[name].shape)} "
                f"instead of {shape}"
            )


def random_weights(num_layers: int, seed: int) -> StateDicts:
    """Draw untrained weights from the distributions that torch draws them from.

    Parameters
    ----------
    num_layers : int
        Depth of the ResNet.
    seed : int
        The same seed gives the same weights.
    """
    generator = np.random.default_rng(seed)
    return StateDicts(
        {
            network: {name: _draw(name, shape, generator) for name, shape in shapes.items()}
            for network, shapes in network_shapes(num_layers).items()
        }
    )


def digest(state: Mapping[str, Mapping[str, Any]], networks: tuple[str, ...]) -> str:
    """Name weights by their content.

    A file whose weights nobody has changed is named by its header, if its checksum is in it, as
    every start of a node would wait for more; else by its bytes: it is read in blocks, which takes
    no memory, and its weights need not be unpacked.
    """
    known = state.unchanged_digest() if isinstance(state, StateDicts) else None
    if known is not None:
        return known
    sha = hashlib.sha256()
    file = state.unchanged_file() if isinstance(state, StateDicts) else None
    if file is not None:
        with file.open("rb") as raw:
            while block := raw.read(_BLOCK):
                sha.update(block)
        return sha.hexdigest()
    for network in networks:
        if network not in state:
            continue
        for name, array in sorted(arrays_of(state, network).items()):
            sha.update(f"{network}.{name} {array.dtype}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def arrays_of(state: Mapping[str, Mapping[str, Any]], network: str) -> Arrays:
    """Return a network's state dict as arrays."""
    return state.arrays(network) if isinstance(state, StateDicts) else as_arrays(state[network])


def _draw(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[Any]:
    """Draw an entry of a state dict."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) == 4 and name.startswith("encoder."):
        # He et al., 2015, by the number of outputs.
        deviation = math.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))
        drawn = generator.standard_normal(shape, dtype=np.float32)
        return drawn * np.float32(deviation)
    if name.startswith("encoder.fc.") or not name.startswith("encoder."):
        # Torch's default for layers without a choice of their own. For a bias, too, the bound is
        # that of the weight's inputs; here, of 9 · 32 of them.
        inputs = math.prod(shape[1:]) if len(shape) > 1 else 288
        bound = 1.0 / math.sqrt(inputs)
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    is_one = name.endswith(("running_var", ".weight"))
    return np.full(shape, 1.0 if is_one else 0.0, np.float32)


def _view(data: NDArray[np.uint8], key: str, entry: dict[str, Any]) -> NDArray[Any]:
    """View bytes as an entry of a safetensors file."""
    start, end = entry["data_offsets"]
    raw = data[start:end]
    kind = entry["dtype"]
    if kind == "BF16":
        # The upper half of a float32.
        array: NDArray[Any] = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in _DTYPES:
        array = raw.view(_DTYPES[kind])
    else:
        raise ValueError(f"'{key}' is of type {kind}; only floats and integers are known")
    return array.reshape(entry["shape"])


def _array(value: Any) -> NDArray[Any]:
    """View a tensor as an array."""
    if isinstance(value, np.ndarray):
        return value
    tensor = value.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return np.asarray(tensor.numpy())


def _tensor(array: NDArray[Any]) -> Tensor:
    """View an array as a tensor."""
    import torch

    return torch.from_numpy(array)


def _read_tensors(file: Path, network: str, names: Arrays) -> dict[str, Tensor]:
    """Read a network's weights as tensors, mapped into memory and safe to be changed."""
    with safe_open(file, framework="pt") as opened:
        return {name: opened.get_tensor(f"{network}.{name}") for name in names}
