# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training that starts from the shipped model."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from monodepth2_ros.checkpoint import load_checkpoint, open_checkpoint
from training.frames.writer import write_frame_store
from training.train import NOTHING_LEARNED, main
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view


@pytest.mark.slow
def test_a_run_that_gets_worse_keeps_its_start_and_says_so(tmp_path, capsys):
    """A step size that ruins the shipped model: what is handed out is what it began with."""
    store, folder = tmp_path / "store", tmp_path / "run"
    camera = camera_from_field_of_view(96, 64, 80)
    images = [frame.image for frame in synthesize(3, "street", camera, 24)]
    write_frame_store(store, np.stack(images), [camera])
    words = ["--data", str(store), "--out", str(folder), "--checkpoint", "default"]
    words += ["--steps", "12", "--batch-size", "14", "--learning-rate", "0.03", "--validate-every"]
    words += ["1", "--device", "cpu", "--no-tensorboard", "--validation-fraction", "0.25"]
    assert main(words) == NOTHING_LEARNED
    said = capsys.readouterr().out
    assert "nothing was learned" in said.splitlines()[-1]
    assert "is the model that training began with" in said
    stopped = re.search(r"stopped at step (\d+): the depth has collapsed", said)
    assert stopped and int(stopped[1]) < 12
    number = r"\d\.\d+"
    against = rf"step 0: .*triangulated depth {number} \(constant {number}, plane {number}"
    assert re.search(against, said)
    assert re.search(r"step 1: .*\(start \d\.\d+, constant", said)
    best = load_checkpoint(folder / "best.safetensors")
    shipped = open_checkpoint("default")
    for network, state in shipped.state.items():
        for name, value in state.items():
            torch.testing.assert_close(best.state[network][name].float(), value.float())
    assert best.metadata.training["steps"] == 0
    # The shipped model does better at the size that it was made for, and is kept for that.
    assert "the checkpoint at its own size" in said
    sizes = {(96, 64), (shipped.metadata.width, shipped.metadata.height)}
    assert (best.metadata.width, best.metadata.height) in sizes
    last = load_checkpoint(folder / "last.safetensors")
    assert last.metadata.training["steps"] == int(stopped[1])
