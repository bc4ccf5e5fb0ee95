# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network in OpenVINO on a CPU, converted in memory from the torch weights."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monodepth2_ros.backends import torch_threads
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.options import BackendError

# Changes whenever the network that is built from the same weights changes.
_CONVERSION_VERSION = 2


class OpenVINOBackend:
    """See :class:`monodepth2_ros.backends.Backend`.

    The converted model is kept in a cache folder, and OpenVINO keeps its compiled form beside it,
    so that only the first start with a checkpoint pays for conversion and compilation. torch is
    left with one thread in this process, until a backend of its own is made for the CPU. A
    checkpoint that is OpenVINO IR already is taken as it is, 8-bit integers included.

    Parameters
    ----------
    checkpoint : Checkpoint
    precision : {"fp32", "bf16"}
        bf16 pays where :func:`monodepth2_ros.backends.has_fast_bfloat16`. What a graph in 8-bit
        integers leaves in floating point stays in float32, as it was judged.
    threads : int
        0 for all cores.
    cache_dir : path, optional
        ``$XDG_CACHE_HOME/monodepth2_ros`` or ``~/.cache/monodepth2_ros`` by default.

    Raises
    ------
    BackendError
        If OpenVINO is not installed or fails to compile the network.
    """

    name = "openvino"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str = "fp32",
        threads: int = 0,
        cache_dir: str | Path | None = None,
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise BackendError(
                f"backend 'openvino' cannot be imported ({error}); install it with "
                "'pip install openvino', or set backend to 'torch'"
            ) from error
        if precision == "fp16":
            raise BackendError(
                "backend 'openvino' computes in fp32 or bf16 on a CPU, precision is 'fp16'; set "
                "precision to 'fp32'"
            )
        self.device = torch.device("cpu")
        # What a graph in 8-bit integers is, its exporter says.
        is_int8 = checkpoint.graph is not None and "int8" in checkpoint.metadata.provenance
        self.precision = "int8" if is_int8 else precision
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
        }
        if threads > 0:
            settings["INFERENCE_NUM_THREADS"] = threads
        # Two pools of threads on the same cores wait for each other: with torch's own threads the
        # 95th percentile of what is done around the network is more than twice as long.
        torch_threads.rest()
        core = openvino.Core()
        folder = Path(cache_dir).expanduser() if cache_dir else _user_cache()
        try:
            compiled = _compiled_from_cache(core, checkpoint, folder, settings)
        except (OSError, RuntimeError):  # OpenVINO's errors, of a full disk, too, are RuntimeErrors
            # A read-only or full disk, or what became of a cache there, costs start-up time, not
            # the node.
            try:
                compiled = core.compile_model(_convert(checkpoint), "CPU", settings)
            except RuntimeError as error:
                raise BackendError(
                    f"backend 'openvino' cannot compile the network ({error}); set backend to "
                    "'torch'"
                ) from error
        self._request = compiled.create_infer_request()

    def disparity(self, image: Tensor) -> Tensor:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparity`."""
        # share_inputs and share_outputs: no copies on either side.
        outputs = self._request.infer([image.numpy()[None]], share_inputs=True, share_outputs=True)
        return torch.from_numpy(outputs[0][0, 0])

    def disparities(self, images: Tensor) -> Tensor:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparities`."""
        # One image keeps all cores busy: a batch would gain nothing, and need a graph of its own.
        results = torch.empty(images.shape[:3])
        for image, result in zip(images, results, strict=True):
            result.copy_(self.disparity(image))
        return results


def _convert(checkpoint: Checkpoint) -> Any:
    """Convert the network; the pixels' conversion to [0, 1] and planes becomes part of it."""
    import openvino

    if checkpoint.graph is not None:
        exported = openvino.Core().read_model(checkpoint.graph)
        disparity = exported.output("disparity").get_node().input_value(0)
        model = openvino.Model([disparity], exported.get_parameters())
        return _taking_pixels(model)
    metadata = checkpoint.metadata
    shape = (1, 3, metadata.height, metadata.width)
    network = FusedDepthNetwork(checkpoint.depth_network())
    with torch.inference_mode(), warnings.catch_warnings():
        # The converter traces with an API that torch deprecates; that is OpenVINO's to change.
        warnings.simplefilter("ignore", FutureWarning)
        model = openvino.convert_model(network, example_input=torch.zeros(shape), input=[shape])
    return _taking_pixels(model)


def _taking_pixels(model: Any) -> Any:
    """Make the pixels' conversion to [0, 1] and planes part of a graph."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    return steps.build()


def _compiled_from_cache(
    core: Any, checkpoint: Checkpoint, folder: Path, settings: dict[str, Any]
) -> Any:
    """Compile the network as it was converted before, or convert it and keep that.

    Raises
    ------
    OSError, RuntimeError
        If there is no place to keep it, or OpenVINO fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**settings, "CACHE_DIR": str(folder)}
    if checkpoint.graph is not None:
        return core.compile_model(_convert(checkpoint), "CPU", settings)
    path = folder / f"{_digest(checkpoint)}.xml"
    if path.is_file():
        try:
            return core.compile_model(str(path), "CPU", settings)
        except RuntimeError:  # damaged: it was compiled when it was written
            path.unlink()
    _convert_to(path, checkpoint)
    return core.compile_model(str(path), "CPU", settings)


def _convert_to(path: Path, checkpoint: Checkpoint) -> None:
    """Convert the network to a file, written as a whole or not at all."""
    import openvino

    # First, so that a folder that cannot be written to costs no conversion.
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        part = Path(temporary) / path.name
        openvino.save_model(_convert(checkpoint), part, compress_to_fp16=False)
        # The weights first: the .xml is what says that the pair is complete.
        for suffix in (".bin", ".xml"):
            written = part.with_suffix(suffix)
            with written.open("rb") as file:
                os.fsync(file.fileno())  # a name on the disk before its content would be trusted
            os.replace(written, path.with_suffix(suffix))


def _digest(checkpoint: Checkpoint) -> str:
    """Name a converted model by all that it is made from."""
    import openvino

    metadata = checkpoint.metadata
    digest = hashlib.sha256(
        f"{_CONVERSION_VERSION} {openvino.__version__} {torch.__version__} "
        f"{metadata.num_layers} {metadata.width} {metadata.height}".encode()
    )
    for network in ("encoder", "depth"):
        for name, value in sorted(checkpoint.state.get(network, {}).items()):
            digest.update(name.encode())
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _user_cache() -> Path:
    """Return the user's cache folder for this package."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "monodepth2_ros"
