# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mutates the files that this package reads, and sees that only its own errors come of it.

python test/support/fuzz_files.py --count 100000

Checkpoints' metadata, frame stores, predictions, extractions' progress, saved runs, options and
recipes are written as they should be, changed at random (values, types, missing and added entries,
flipped and missing bytes), and read. Reading either works or raises the error that the reader
promises; anything else is a finding, printed with the mutation, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import CheckpointError, CheckpointMetadata, load_checkpoint
from training.default_model import RECIPE, Recipe, RecipeError
from training.extraction.progress import Book
from training.frames.predicted_depth import PredictedDepth, PredictionError
from training.frames.store import FrameStore, Source
from training.frames.writer import FrameStoreWriter, write_frame_store
from training.learning.options import TrainOptions
from training.learning.run_state import (
    RunError,
    RunState,
    check_same_options,
    parse_state,
    save_state,
)

#: Values that found something once, or look as if they could.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 31, 64, 65, 2**31, 2**63, 10**30, 10**400, -(10**400), 0.0,
    -0.0, 0.5, 64.0, -1.5, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"), "", "x", "64",
    "NaN", "\ud800", "../x", "a" * 5000, [], [0], [None], [[]], [0.0] * 4, [1, 2],
    {}, {"": None}, {"x": []},
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A kind of file: how to change and read it.

    Attributes
    ----------
    name : str
    mutate : callable
        Writes a mutated file and describes the mutation.
    read : callable
    errors : tuple of type
        What reading may raise.
    """

    name: str
    mutate: Callable[[random.Random], str]
    read: Callable[[], object]
    errors: tuple[type[BaseException], ...]


def mutate_value(value: Any, rng: random.Random) -> Any:
    """Change one thing somewhere in plain data."""
    places = list(_places(value))
    if not places or rng.random() < 0.03:
        return copy.deepcopy(rng.choice(VALUES))
    container, key = rng.choice(places)
    choice = rng.random()
    if choice < 0.15:
        del container[key]
    elif choice < 0.25 and isinstance(container, dict):
        container[rng.choice(("x", "", "version", "\ud800"))] = copy.deepcopy(rng.choice(VALUES))
    elif choice < 0.35 and isinstance(container, list):
        container.extend(copy.deepcopy(container[: rng.randrange(1, 4)]))
    elif choice < 0.45 and isinstance(container[key], (int, float)):
        container[key] = container[key] * rng.choice((-1, 2, 10, 2**70))
    else:
        container[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _places(value: Any) -> Any:
    """Yield containers with their keys, of all depths."""
    if isinstance(value, dict):
        items: Any = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, item in items:
        yield value, key
        yield from _places(item)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 4, 50))):
        place = rng.randrange(len(changed)) if changed else 0
        choice = rng.random()
        if choice < 0.5 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif choice < 0.65:
            del changed[place:]
        elif choice < 0.8:
            del changed[place : place + rng.randrange(1, 20)]
        else:
            changed[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(changed)


def mutate_text(values: Any, write: Callable[[Any], str], rng: random.Random) -> bytes:
    """Mutate plain data some times, then sometimes the text."""
    values = copy.deepcopy(values)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        values = mutate_value(values, rng)
    try:
        text = write(values).encode(errors="surrogatepass")
    except (ValueError, yaml.YAMLError):  # integers too long to write, what YAML has no form for
        text = b"[" * rng.randrange(1, 5000)
    return mutate_bytes(text, rng) if rng.random() < 0.2 else text


def make_targets(folder: Path) -> list[Target]:
    """Write one good file of every kind, and return how to mutate and read each."""
    return [
        _checkpoint_target(folder),
        *_store_targets(folder),
        _prediction_target(folder),
        _progress_target(folder),
        *_run_targets(folder),
        _recipe_target(folder),
        *_recording_targets(folder),
    ]


def _checkpoint_target(folder: Path) -> Target:
    """Metadata of checkpoints, and the safetensors file around it."""
    path = folder / "model.safetensors"
    training = {"steps": 3, "samples": 5, "recordings": ["a"], "options": {"pose": "auto"}}
    metadata = {"format_version": 1, **asdict(CheckpointMetadata(training=training))}
    tensors = {"depth.a": torch.zeros(1)}

    def mutate(rng: random.Random) -> str:
        from safetensors.torch import save

        text = mutate_text(metadata, json.dumps, rng).decode(errors="replace")
        content = save(tensors, {"monodepth2_ros": text})
        path.write_bytes(mutate_bytes(content, rng) if rng.random() < 0.1 else content)
        return text

    return Target("checkpoint", mutate, lambda: load_checkpoint(path), (CheckpointError,))


def _store_targets(folder: Path) -> list[Target]:
    """Mutate store.json, and the files of the index."""
    camera = PinholeCamera(8, 6, 5.0, 5.0, 3.5, 2.5)
    images = np.zeros((7, 6, 8, 3), np.uint8)
    store = write_frame_store(
        folder / "store", images, [camera], truth=np.ones((7, 3, 4)), sources=[Source("a", "b")]
    )
    header = json.loads((store.path / "store.json").read_text())
    whole = {path.name: path.read_bytes() for path in store.path.iterdir()}

    def restore() -> None:
        for name, content in whole.items():
            (store.path / name).write_bytes(content)

    def mutate_header(rng: random.Random) -> str:
        restore()
        text = mutate_text(header, json.dumps, rng)
        (store.path / "store.json").write_bytes(text)
        return text.decode(errors="replace")

    def mutate_index(rng: random.Random) -> str:
        restore()
        name = rng.choice(sorted(name for name in whole if name.endswith(".npy")))
        content = mutate_bytes(whole[name], rng)
        (store.path / name).write_bytes((content + whole[name])[: len(whole[name])])
        return f"{name}: {content[:100]!r}"

    def read() -> None:
        opened = FrameStore.open(store.path)
        assert opened.images[-1].shape == (opened.height, opened.width, 3)
        assert opened.spacing >= 1 and len(opened.segment_ranges())

    errors = (ValueError, FileNotFoundError)
    return [
        Target("store.json", mutate_header, read, errors),
        Target("store index", mutate_index, read, errors),
    ]


def _prediction_target(folder: Path) -> Target:
    """predicted.json."""
    from training.frames import predicted_depth

    camera = PinholeCamera(8, 6, 5.0, 5.0, 3.5, 2.5)
    store = write_frame_store(folder / "predicted", np.zeros((7, 6, 8, 3), np.uint8), [camera])
    (store.path / predicted_depth.DEPTH).write_bytes(bytes(7 * 64 * 96 * 2))
    good = {
        "format": predicted_depth.FORMAT, "version": 1, "frames": 7, "size": [96, 64],
        "stamps": predicted_depth._stamps_digest(store), "model": "m", "model_digest": "d",
        "engine": "e", "precision": "p", "crop": [0, 0, 0, 0], "min_depth": 0.1, "max_depth": 100.0,
        "scale": 1.0, "is_metric": False, "bytes": 7 * 64 * 96 * 2, "crc32": 0,
    }  # fmt: skip

    def mutate(rng: random.Random) -> str:
        text = mutate_text(good, json.dumps, rng)
        (store.path / predicted_depth.DESCRIPTION).write_bytes(text)
        return text.decode(errors="replace")

    return Target("prediction", mutate, lambda: PredictedDepth.open(store), (PredictionError,))


def _progress_target(folder: Path) -> Target:
    """Mutate the progress of an extraction: an archive with JSON in it."""
    out = folder / "extracted"
    book = Book([PinholeCamera(8, 6, 5.0, 5.0, 3.5, 2.5)], [0.0], [Source("a", "b")], [1], [0])
    with FrameStoreWriter(out, 8, 6) as writer:
        writer.append(np.zeros((6, 8, 3), np.uint8), 0, 0, 0)
        writer.save({"fingerprint": "f", "book": book.to_state()})
    path = writer.partial / "progress.npz"
    whole, images = path.read_bytes(), (writer.partial / "images.u8").read_bytes()
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    state = json.loads(arrays["progress"].tobytes())

    def mutate(rng: random.Random) -> str:
        (writer.partial / "images.u8").write_bytes(images)
        if rng.random() < 0.3:
            path.write_bytes(mutate_bytes(whole, rng))
            return "bytes of progress.npz"
        text = mutate_text(state, json.dumps, rng)
        np.savez(path, **{**arrays, "progress": np.frombuffer(text, np.uint8)})
        return text.decode(errors="replace")

    def read() -> None:
        with FrameStoreWriter(out, 8, 6, resume=True) as resumed:
            if resumed.state:
                Book.from_state(resumed.state.get("book"), resumed.partial)

    return Target("extraction progress", mutate, read, (ValueError,))


def _run_targets(folder: Path) -> list[Target]:
    """resume.pt and options.yaml."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    save_state(
        folder,
        RunState(3, 0.5, history=[{"step": 1}], networks={"w": weight.detach()},
                 optimizer=optimizer.state_dict(), fingerprint={"samples": 3}),
    )  # fmt: skip
    whole = (folder / "resume.pt").read_bytes()
    values = torch.load(folder / "resume.pt", weights_only=True)
    content = [whole]

    def mutate_state(rng: random.Random) -> str:
        if rng.random() < 0.5:
            content[0] = mutate_bytes(whole, rng)
            return "bytes of resume.pt"
        changed = dict(values)
        name = rng.choice(sorted(changed))
        changed[name] = copy.deepcopy(rng.choice(VALUES))
        if rng.random() < 0.1:
            del changed[name]
        path = folder / "changed.pt"
        torch.save(changed, path)
        content[0] = path.read_bytes()
        return f"{name}: {changed.get(name)!r:.100}"

    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in TrainOptions(data=("a",), steps=5).as_dict().items()
    }

    def mutate_options(rng: random.Random) -> str:
        text = mutate_text(options, lambda v: yaml.safe_dump(v, allow_unicode=False), rng)
        (folder / "options.yaml").write_bytes(text)
        return text.decode(errors="replace")

    return [
        Target("resume.pt", mutate_state, lambda: parse_state(content[0], folder), (RunError,)),
        Target(
            "options.yaml", mutate_options, lambda: check_same_options(folder, options), (RunError,)
        ),
    ]


def _recipe_target(folder: Path) -> Target:
    """Mutate the recipe of the shipped model."""
    path = folder / "recipe.yaml"
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))

    def mutate(rng: random.Random) -> str:
        text = mutate_text(recipe, lambda v: yaml.safe_dump(v, allow_unicode=False), rng)
        path.write_bytes(text)
        return text.decode(errors="replace")

    return Target("recipe", mutate, lambda: Recipe.read(path), (RecipeError,))


def _recording_targets(folder: Path) -> list[Target]:
    """Mutate bytes of recordings, and their metadata.yaml."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    from monodepth2_ros.recordings.bags import list_topics, open_recording, read_messages

    types = get_typestore(Stores.ROS2_HUMBLE)
    kinds = types.types
    kind = "sensor_msgs/msg/Image"
    targets = []
    for suffix, plugin in ((".mcap", StoragePlugin.MCAP), (".db3", StoragePlugin.SQLITE3)):
        path = folder / f"recording_{plugin.name.lower()}"
        with Writer(path, version=9, storage_plugin=plugin) as writer:
            connection = writer.add_connection("/image", kind, typestore=types)
            for number in range(8):
                time = kinds["builtin_interfaces/msg/Time"](sec=number, nanosec=5)
                header = kinds["std_msgs/msg/Header"](stamp=time, frame_id="camera")
                message = kinds[kind](
                    header=header, height=4, width=4, encoding="mono8", is_bigendian=0, step=4,
                    data=np.full(16, number, np.uint8),
                )  # fmt: skip
                data = types.serialize_cdr(message, kind)
                writer.write(connection, 10**9 * number, data)
        file, description = path / f"{path.name}{suffix}", path / "metadata.yaml"
        whole, text = file.read_bytes(), description.read_bytes()
        values = yaml.safe_load(text)

        def mutate_file(
            rng: random.Random, file: Path = file, whole: bytes = whole,
            description: Path = description, text: bytes = text,
        ) -> str:  # fmt: skip
            content = mutate_bytes(whole, rng)
            file.write_bytes(content)
            description.unlink(missing_ok=True)
            if rng.random() < 0.5:
                description.write_bytes(text)
            return f"{len(content)} of {len(whole)} bytes"

        def mutate_description(
            rng: random.Random, file: Path = file, whole: bytes = whole,
            description: Path = description, values: Any = values,
        ) -> str:  # fmt: skip
            file.write_bytes(whole)
            changed = mutate_text(values, lambda v: yaml.safe_dump(v, allow_unicode=False), rng)
            description.write_bytes(changed)
            return changed.decode(errors="replace")

        def read(path: Path = path) -> None:
            with open_recording(path, []) as reader:
                for topic in list_topics(reader):
                    for _ in read_messages(reader, topic.name):
                        pass

        targets.append(Target(f"recording{suffix}", mutate_file, read, (ValueError,)))
        targets.append(
            Target(f"metadata.yaml of {suffix}", mutate_description, read, (ValueError,))
        )
    return targets


def fuzz(count: int, seed: int, only: str = "") -> tuple[Counter[str], list[str]]:
    """Mutate and read.

    Parameters
    ----------
    count : int
        Mutated files, shared among the kinds.
    seed : int
        The same seed gives the same mutations.
    only : str
        Fuzz only the kinds whose name contains this.

    Returns
    -------
    outcomes : Counter
        Numbers of files that were refused and read, by kind.
    findings : list of str
        What should not have happened.
    """
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    findings = []
    with tempfile.TemporaryDirectory() as name:
        targets = [t for t in make_targets(Path(name)) if only in t.name]
        for index in range(count):
            target = targets[index % len(targets)]
            mutation = target.mutate(rng)
            try:
                target.read()
                outcomes[f"{target.name}: read"] += 1
            except target.errors as error:
                outcomes[f"{target.name}: refused"] += 1
                # Subclasses of ValueError that are nobody's promise.
                if isinstance(error, (UnicodeError, json.JSONDecodeError)) or not str(error):
                    findings.append(f"{target.name}: {error!r} for {mutation[:300]}")
            except Exception as error:
                findings.append(f"{target.name}: {error!r} for {mutation[:300]}")
    return outcomes, findings


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=10_000, help="mutated files [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    options = parser.parse_args(argv)
    start = time.monotonic()
    outcomes, findings = fuzz(options.count, options.seed, options.only)
    for name, number in sorted(outcomes.items()):
        print(f"{number:8,}  {name}")
    for finding in findings[:20]:
        print(f"FOUND {finding}")
    seconds = time.monotonic() - start
    print(f"{options.count:,} files in {seconds:.0f} s: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
