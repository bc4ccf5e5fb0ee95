# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: round trips, published folders, and every way a file can be wrong."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import numpy as arrays_format
from safetensors.torch import save_file

from full_disk import FullDisk
from monodepth2_ros import checkpoint as module
from monodepth2_ros.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    load_checkpoint,
    open_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.networks import DepthDecoder, ResnetEncoder
from monodepth2_ros.weights import digest, read_weights, with_checksum

METADATA = CheckpointMetadata(
    num_layers=18,
    width=96,
    height=64,
    min_depth=0.2,
    max_depth=50.0,
    crop=(0.0, 0.25, 0.0, 0.1),
    scale=2.5,
    scale_spread=0.03,
    is_metric=True,
    training={"data": ["a bag"], "steps": 7},
    provenance={"data": "a bag", "licences": ["MIT"]},
)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(1)
    encoder = ResnetEncoder(18)
    return {"encoder": encoder, "depth": DepthDecoder(encoder.channels)}


@pytest.mark.slow
def test_round_trip(tmp_path, networks):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, METADATA, networks)
    loaded = load_checkpoint(path)
    assert loaded.metadata == METADATA
    assert loaded.source == str(path) and not loaded.is_random
    image = torch.rand(1, 3, 64, 96)
    for network in networks.values():
        network.eval()
    with torch.inference_mode():
        expected = networks["depth"](networks["encoder"](image))[0]
        assert torch.equal(loaded.depth_network()(image), expected)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.slow
def test_half_precision_file_is_used_in_float32(tmp_path, networks):
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(full, METADATA, networks)
    save_checkpoint(half, METADATA, networks, dtype=torch.float16)
    assert half.stat().st_size < 0.52 * full.stat().st_size
    network = load_checkpoint(half).depth_network()
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert network.encoder.encoder.bn1.num_batches_tracked.dtype == torch.int64


def test_statistics_of_batch_normalisation_do_not_suffer_from_half_precision(tmp_path, networks):
    state = {name: dict(network.state_dict()) for name, network in networks.items()}
    # Beyond the largest and below the smallest number of 16 bits.
    variance = torch.logspace(-9, 6, 64)
    state["encoder"]["encoder.bn1.running_var"] = variance
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, METADATA, state, dtype=torch.float16)
    loaded = load_checkpoint(path)
    assert loaded.state["encoder"]["encoder.conv1.weight"].dtype == torch.float16
    network = loaded.depth_network()
    assert torch.equal(network.encoder.encoder.bn1.running_var, variance)
    weight = networks["encoder"].encoder.conv1.weight.half().float()
    assert torch.equal(network.encoder.encoder.conv1.weight, weight)


@pytest.mark.slow
def test_failed_write_leaves_the_old_file(tmp_path, networks, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, METADATA, networks)
    before = path.read_bytes()
    FullDisk(monkeypatch, room=1_000_000)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, METADATA, networks)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def published_folder(folder, layers=18, **extra):
    """Write a folder in the published layout."""
    encoder = ResnetEncoder(layers)
    depth = DepthDecoder(encoder.channels)
    folder.mkdir()
    entries = {"height": 64, "width": 96, "use_stereo": False, **extra}
    torch.save({**encoder.state_dict(), **entries}, folder / "encoder.pth")
    torch.save(depth.state_dict(), folder / "depth.pth")
    return encoder.eval(), depth.eval()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [18, 34, 50])
def test_published_folder(tmp_path, layers):
    encoder, depth = published_folder(tmp_path / "mono", layers)
    loaded = load_checkpoint(tmp_path / "mono")
    assert loaded.metadata.num_layers == layers
    assert (loaded.metadata.width, loaded.metadata.height) == (96, 64)
    assert not loaded.metadata.is_metric and loaded.metadata.scale == 1.0
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(loaded.depth_network()(image), depth(encoder(image))[0])


@pytest.mark.parametrize("layers", [101, 152])
def test_large_resnets_are_recognised(layers):
    with torch.device("meta"):
        keys = ResnetEncoder(layers).state_dict()
    assert module._resnet_depth(keys, module.Path("x")) == layers


@pytest.mark.slow
def test_published_stereo_is_metric_only_if_the_user_says_that_it_is_kittis(tmp_path):
    published_folder(tmp_path / "stereo", use_stereo=True)
    metadata = load_checkpoint(tmp_path / "stereo").metadata
    assert not metadata.is_metric and metadata.scale == 1.0
    metadata = load_checkpoint(f"{tmp_path / 'stereo'}:kitti-stereo").metadata
    assert metadata.is_metric and metadata.scale == 5.4
    published_folder(tmp_path / "mono")
    with pytest.raises(CheckpointError, match="trained without stereo.*leave out"):
        load_checkpoint(f"{tmp_path / 'mono'}:kitti-stereo")
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        load_checkpoint(f"{tmp_path / 'nowhere'}:kitti-stereo")


def test_missing_and_wrong_files_are_named(tmp_path, networks):
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors does not exist"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match=r"has no encoder\.pth"):
        load_checkpoint(tmp_path / "folder")
    (tmp_path / "depth.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="single pickle; give the folder"):
        load_checkpoint(tmp_path / "depth.pth")
    (tmp_path / "text.safetensors").write_text("this is not a checkpoint")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path / "text.safetensors")
    good = tmp_path / "good.safetensors"
    save_checkpoint(good, METADATA, networks)
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="copied in full"):
        load_checkpoint(tmp_path / "cut.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="no monodepth2_ros metadata"):
        load_checkpoint(tmp_path / "foreign.safetensors")


def test_pickle_with_code_is_never_run(tmp_path):
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(marker),))

    published_folder(tmp_path / "trap")
    with open(tmp_path / "trap" / "depth.pth", "wb") as file:
        pickle.dump({"weights": Trap()}, file, protocol=2)  # as torch writes
    with pytest.raises(CheckpointError, match=r"depth\.pth cannot be loaded as plain weights"):
        load_checkpoint(tmp_path / "trap")
    assert not marker.exists()


@pytest.mark.slow
def test_wrong_architecture_is_named(tmp_path, networks):
    path = tmp_path / "model.safetensors"
    wrong = CheckpointMetadata(num_layers=34, width=96, height=64)
    save_checkpoint(path, wrong, networks)
    with pytest.raises(CheckpointError, match="network 'encoder' lacks"):
        load_checkpoint(path).depth_network()
    state = {name: dict(network.state_dict()) for name, network in networks.items()}
    state["depth"]["decoder.10.conv.bias"] = torch.zeros(7)
    save_checkpoint(path, METADATA, state)
    expected = r"'depth\.decoder\.10\.conv\.bias' has shape \(7,\) instead of \(1,\)"
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(path).depth_network()
    save_checkpoint(path, METADATA, {"encoder": networks["encoder"]})
    with pytest.raises(CheckpointError, match="no network 'depth'"):
        load_checkpoint(path).depth_network()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 650}, "650x64; both sides must be multiples of 32"),
        ({"height": 32}, "96x32; both sides .* at least 64"),
        ({"min_depth": 60.0}, "depth range is 60.0 to 50.0"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"format_version": 99}, "format 99.*update it"),
        ({"num_layers": 19}, "num_layers is 19"),
    ],
)
def test_bad_metadata_is_named(tmp_path, change, message):
    header = {
        "format_version": 1,
        "num_layers": 18,
        "width": 96,
        "height": 64,
        "min_depth": 0.2,
        "max_depth": 50.0,
        "crop": [0, 0, 0, 0],
        **change,
    }
    path = tmp_path / "bad.safetensors"
    save_file({"depth.a": torch.zeros(1)}, path, {"monodepth2_ros": json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_entries_of_later_versions_are_ignored(tmp_path):
    header = {"format_version": 1, "crop": [0, 0, 0, 0], "a_later_field": 3}
    path = tmp_path / "later.safetensors"
    save_file({"depth.a": torch.zeros(1)}, path, {"monodepth2_ros": json.dumps(header)})
    assert load_checkpoint(path).metadata.width == 640


def test_random_checkpoint_is_reproducible_and_leaves_the_generator():
    before = torch.random.get_rng_state()
    first, second, other = (random_checkpoint(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    weight = "encoder.conv1.weight"
    assert torch.equal(first.state["encoder"][weight], second.state["encoder"][weight])
    assert not torch.equal(first.state["encoder"][weight], other.state["encoder"][weight])
    assert first.is_random and open_checkpoint("random").is_random


@pytest.mark.parametrize("name", ["", "default"])
def test_no_name_means_the_shipped_model_and_is_called_so(tmp_path, networks, monkeypatch, name):
    shipped = tmp_path / "shipped.safetensors"
    save_checkpoint(shipped, METADATA, networks)
    monkeypatch.setattr(module, "default_checkpoint_path", lambda: shipped)
    opened = open_checkpoint(name)
    assert opened.metadata == METADATA and not opened.is_random
    assert (
        opened.source.startswith("default model")
        and "docs/reference/model_card.md" in opened.source
    )
    assert open_checkpoint(str(shipped)).source == str(shipped)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(module, "default_checkpoint_path", lambda: None)
        expected = r"default\.safetensors in .*monodepth2_ros; install .* or name a model.*'random'"
        with pytest.raises(CheckpointError, match=expected):
            open_checkpoint(name)


def test_the_shipped_model_is_looked_for_in_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path / package)
    assert module.default_checkpoint_path() is None
    path = tmp_path / "monodepth2_ros" / "models" / "default.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()
    assert module.default_checkpoint_path() == path


def test_a_flipped_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, CheckpointMetadata(), {"depth": {"a": torch.arange(100.0)}})
    whole = path.read_bytes()
    assert load_checkpoint(path).state["depth"]["a"][7] == 7.0
    unnoticed = []
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            load_checkpoint(path)
            unnoticed.append(place)
        except CheckpointError as error:
            assert str(path) in str(error)
    # The name of the checksum's own entry: with another name it is a file without a checksum.
    name = whole.index(b'"crc32"')
    assert set(unnoticed) <= set(range(name, name + 7))


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    """As earlier versions wrote them, and the shipped one."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, CheckpointMetadata(), {"depth": {"a": torch.arange(100.0)}})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"]["crc32"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert load_checkpoint(path).state["depth"]["a"][7] == 7.0


@pytest.mark.parametrize("has_checksum", [True, False])
def test_weights_are_named_by_their_content(tmp_path: Path, has_checksum: bool) -> None:
    """Caches go by that name; the metadata are the same here."""

    def name(file: str, value: float) -> str:
        path = tmp_path / file
        content = arrays_format.save({"depth.x": np.full(8, value, np.float32)}, {"key": "{}"})
        path.write_bytes(with_checksum(content) if has_checksum else content)
        return digest(read_weights(path, "key")[1], ("depth",))

    first = name("first", 1.0)
    assert name("copy", 1.0) == first
    assert name("second", np.nextafter(np.float32(1.0), np.float32(2.0))) != first
    loaded = read_weights(tmp_path / "first", "key")[1]
    loaded["depth"]["x"] += 1.0
    assert digest(loaded, ("depth",)) not in (first, name("other", 2.0))
