# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network in OpenVINO on a CPU, built from the weights without torch."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import scratch_folder
from monodepth2_ros.backends import kept_files, openvino_threads, precision_choice
from monodepth2_ros.backends.base import CPU
from monodepth2_ros.backends.kept_answers import KeptAnswers, cache_folder
from monodepth2_ros.backends.mapped_files import release_pages
from monodepth2_ros.backends.openvino_graph import GRAPH_VERSION, build_graph
from monodepth2_ros.backends.openvino_library import openvino
from monodepth2_ros.backends.openvino_watch import PrecisionWatch
from monodepth2_ros.backends.processor import processor_name, usable_cores
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.options import BackendError
from monodepth2_ros.weights import digest

Settings = dict[str, Any]

# Compiled graphs, as OpenVINO names them.
_BLOBS = "*.blob"


class OpenVINOBackend:
    """See :class:`monodepth2_ros.backends.Backend`.

    The graph is kept in a cache folder, and OpenVINO keeps its compiled form next to it, so that
    only the first start with a checkpoint pays for building and compiling. If torch is in the
    process, it is left one thread, until a torch backend is made for the CPU. A checkpoint that is
    OpenVINO IR already is taken as it is, 8-bit integers included.

    Parameters
    ----------
    checkpoint : Checkpoint
    precision : {"auto", "fp32", "bf16"}
        "auto" measures which is faster, once for a graph and processor; see
        :mod:`monodepth2_ros.backends.precision_choice`. If that is bfloat16, it looks now and
        then whether real frames keep their depth; see
        :mod:`monodepth2_ros.backends.openvino_watch`. What a graph in 8-bit integers leaves in
        floating point stays in float32, as it was judged.
    threads : int
        0 for all cores; or for one where that is as good, measured once on a busy machine, see
        :mod:`monodepth2_ros.backends.openvino_threads`.
    cache_dir : path, optional
        ``$XDG_CACHE_HOME/monodepth2_ros`` or ``~/.cache/monodepth2_ros`` by default.

    Raises
    ------
    BackendError
        If OpenVINO fails to compile the network.
    CheckpointError
        If the weights do not fit the architecture.

    Attributes
    ----------
    threads : int
        What was chosen; 0 for all cores.
    """

    name = "openvino"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str = "fp32",
        threads: int = 0,
        cache_dir: str | Path | None = None,
    ) -> None:
        if precision == "fp16":
            raise BackendError(
                "backend 'openvino' computes in fp32 or bf16 on a CPU, precision is 'fp16'; set "
                "precision to 'fp32'"
            )
        self.device = CPU
        _rest_torch()
        network = _Network(checkpoint, cache_folder(cache_dir))
        self._watch: PrecisionWatch | None = None
        is_automatic = precision == "auto"
        # What a graph in 8-bit integers is, its exporter says.
        is_int8 = checkpoint.graph is not None and "int8" in checkpoint.metadata.provenance
        compiled: Any = None
        if is_int8:
            precision = "fp32"
        elif is_automatic:
            precision, compiled = precision_choice.choose(
                lambda candidate: network.compile(candidate, threads),
                KeptAnswers(network.folder / f"{network.name}.precision.json"),
                checkpoint.metadata,
                threads,
            )
        if threads == 0:

            def compile_for(count: int) -> Any:
                is_at_hand = count == 0 and compiled is not None
                return compiled if is_at_hand else network.compile(precision, count)

            threads, compiled = openvino_threads.choose(
                compile_for,
                KeptAnswers(network.folder / "threads.json"),
                checkpoint.metadata,
                precision,
            )
        elif compiled is None:
            compiled = network.compile(precision, threads)
        self.precision = "int8" if is_int8 else precision
        self.threads = threads
        if is_automatic and self.precision == "bf16":
            self._watch = PrecisionWatch(
                lambda: network.compile("fp32", threads), checkpoint.metadata, self._use_float32
            )
        self._request = compiled.create_infer_request()
        # The first run copies weights into the layout that the processor likes.
        metadata = checkpoint.metadata
        self._run(np.zeros((metadata.height, metadata.width, 3), np.uint8))
        # In a thread, as it takes some hundredths of a second that nobody has to wait for.
        threading.Thread(
            target=release_pages, args=(network.folder, ".blob"), name="page_release", daemon=True
        ).start()

    def disparity(self, image: Any) -> Any:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparity`."""
        if not isinstance(image, np.ndarray):
            return _as_tensor(self.disparity(image.numpy()))
        disparity = self._run(image)
        if self._watch is not None:
            self._watch.look_at(image, disparity)
        return disparity

    def disparities(self, images: Any) -> Any:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparities`."""
        # One image keeps all cores busy: a batch would gain nothing, and need a graph of its own.
        if not isinstance(images, np.ndarray):
            return _as_tensor(self.disparities(images.numpy()))
        results = np.empty(images.shape[:3], dtype=np.float32)
        for image, result in zip(images, results, strict=True):
            result[:] = self._run(image)
        return results

    def _use_float32(self, exact: Any, change: float) -> None:
        """Go on in float32, because bfloat16 changes the depth of real frames too much.

        It is not kept for the next start, which may be in front of another scene.
        """
        self._watch = None
        self._request = exact.create_infer_request()
        self.precision = "fp32"
        logging.getLogger(__name__).warning(
            "bfloat16 changes the depth of this camera's images by %.2f %%, more than %.1f %%: "
            "float32 from now on; set precision to 'bf16' where speed counts more",
            100.0 * change,
            100.0 * precision_choice.LARGEST_CHANGE,
        )

    def _run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the disparity of an image; valid until the next call."""
        # share_inputs and share_outputs: no copies on either side.
        outputs = self._request.infer([image[None]], share_inputs=True, share_outputs=True)
        disparity: NDArray[np.float32] = outputs[0][0, 0]
        return disparity


class _Network:
    """A checkpoint's graph, compiled from a cache folder or, where that fails, from memory."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        self._checkpoint = checkpoint
        self._core = openvino.Core()
        self.folder = folder
        self.name = _cache_name(checkpoint)

    def compile(self, precision: str, threads: int) -> Any:
        """Compile it for "fp32" or "bf16", and for some threads, 0 for all cores."""
        hint = "bf16" if precision == "bf16" else "f32"
        settings: Settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads > 0:
            settings["INFERENCE_NUM_THREADS"] = threads
        # By all that a compiled graph depends on, so that the one in a folder is the one needed.
        variant = hashlib.sha256(
            f"{processor_name()} {usable_cores()} {hint} {threads}".encode()
        ).hexdigest()[:16]
        try:
            return self._compile_from_cache(settings, variant)
        except (OSError, RuntimeError):  # OpenVINO's errors, of a full disk, too, are RuntimeErrors
            # A read-only or full disk, or a damaged cache there, costs start-up time, not the node.
            try:
                return self._core.compile_model(_build(self._checkpoint), "CPU", settings)
            except RuntimeError as error:
                raise BackendError(
                    f"backend 'openvino' cannot compile the network ({error}); set backend to "
                    "'torch'"
                ) from error

    def _compile_from_cache(self, settings: Settings, variant: str) -> Any:
        """Compile the graph that was kept, or build it and keep it.

        A compiled graph is read only after its checksum was verified, and written in a folder of
        its own: OpenVINO would write over a file that another process may be reading.

        Raises
        ------
        OSError, RuntimeError
            If there is no place to keep it, or OpenVINO fails.
        """
        folder = self.folder / self.name / variant
        folder.mkdir(parents=True, exist_ok=True)
        if _discard_damaged(folder):
            with contextlib.suppress(RuntimeError):  # it cannot be read: it is compiled again
                compiled = self._core.compile_model(
                    self._source(), "CPU", {**settings, "CACHE_DIR": str(folder)}
                )
                if compiled.get_property("LOADED_FROM_CACHE"):
                    return compiled
            # Of another OpenVINO, or only now found to be damaged.
            for blob in folder.glob(_BLOBS):
                kept_files.discard(blob)
        self._keep_graph()
        with scratch_folder(folder / "compiled") as scratch:
            compiled = self._core.compile_model(
                self._source(), "CPU", {**settings, "CACHE_DIR": str(scratch)}
            )
            with contextlib.suppress(OSError):  # no room: it is compiled again at the next start
                for blob in scratch.glob(_BLOBS):
                    kept_files.keep(blob, folder / blob.name)
        return compiled

    @property
    def _graph_file(self) -> Path:
        """Where the graph is kept; its weights are next to it."""
        return self.folder / f"{self.name}.xml"

    def _source(self) -> Any:
        """Return what is compiled: the file of the graph, or OpenVINO IR as a model."""
        is_exported = self._checkpoint.graph is not None
        return _build(self._checkpoint) if is_exported else str(self._graph_file)

    def _keep_graph(self) -> None:
        """Build the graph and keep it, unless that is done or it is a file already."""
        path = self._graph_file
        files = [path.with_suffix(suffix) for suffix in (".bin", ".xml")]
        if self._checkpoint.graph is not None or all(map(kept_files.is_intact, files)):
            return
        # First, so that a folder that cannot be written to costs no building.
        with scratch_folder(path) as scratch:
            openvino.save_model(
                _build(self._checkpoint), scratch / path.name, compress_to_fp16=False
            )
            # The weights first: the .xml is what says that the pair is complete.
            for file in files:
                kept_files.keep(scratch / file.name, file)


def _discard_damaged(folder: Path) -> bool:
    """Remove compiled graphs that are not as they were written; return whether others are left."""
    blobs = list(folder.glob(_BLOBS))
    damaged = [blob for blob in blobs if not kept_files.is_intact(blob)]
    for blob in damaged:
        kept_files.discard(blob)
    return len(damaged) < len(blobs)


def _build(checkpoint: Checkpoint) -> Any:
    """Make the model, from bytes of an image to sigmoid disparity."""
    if checkpoint.graph is not None:
        exported = openvino.Core().read_model(checkpoint.graph)
        disparity = exported.output("disparity").get_node().input_value(0)
        return _taking_pixels(openvino.Model([disparity], exported.get_parameters()))
    metadata = checkpoint.metadata
    return build_graph(
        checkpoint.arrays("encoder"),
        checkpoint.arrays("depth"),
        metadata.num_layers,
        metadata.width,
        metadata.height,
    )


def _taking_pixels(model: Any) -> Any:
    """Make the conversion of pixels to [0, 1] and planes part of an exported graph."""
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    return steps.build()


def _cache_name(checkpoint: Checkpoint) -> str:
    """Name a graph by all that it is made from."""
    metadata = checkpoint.metadata
    sha = hashlib.sha256(
        f"{GRAPH_VERSION} {openvino.__version__} "
        f"{metadata.num_layers} {metadata.width} {metadata.height} ".encode()
    )
    if checkpoint.graph is not None:
        for path in (checkpoint.graph, checkpoint.graph.with_suffix(".bin")):
            sha.update(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    else:
        sha.update(digest(checkpoint.state, ("encoder", "depth")).encode())
    return sha.hexdigest()[:32]


def _rest_torch() -> None:
    """Leave torch one thread, if it is in this process.

    Two pools of threads on the same cores wait for each other: with torch's own threads the 95th
    percentile of what is done around the network is more than twice as long.
    """
    if "torch" in sys.modules:
        from monodepth2_ros.backends import torch_threads

        torch_threads.rest()


def _as_tensor(array: NDArray[np.float32]) -> Any:
    """View an array as a tensor, for those who gave one."""
    import torch

    return torch.from_numpy(array)
