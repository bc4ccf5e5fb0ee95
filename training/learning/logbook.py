# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run reports: curves and pictures for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monodepth2_ros.coloring import colorize, disparity_range
from training.learning.processes import Processes
from training.objective import ObjectiveOutput


class Logbook:
    """TensorBoard events of a run; without a folder it takes everything and keeps nothing.

    Parameters
    ----------
    folder : Path or None
    first_step : int
        Entries of this and later steps, left by an interrupted run, are hidden.
    """

    def __init__(self, folder: Path | None, first_step: int = 0) -> None:
        self._writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Add a picture, shape (H, W, 3), uint8."""
        if self._writer is not None:
            self._writer.add_image(name, picture, step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._writer.close()


class Meter:
    """Means over the steps since they were last read.

    Parameters
    ----------
    batch : int
        Samples in a step, over all processes.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._sums: Tensor | None = None
        self._count = 0
        self._timed = 0  # of these, steps that were taken since the clock was started
        self._start = time.perf_counter()

    def add(self, output: ObjectiveOutput) -> None:
        """Add a step; nothing waits for the device."""
        moving = output.automask[0].mean()
        truth = torch.zeros_like(moving) if output.truth is None else output.truth
        values = torch.stack([*output.scale_losses, moving, truth]).detach()
        self._sums = values if self._sums is None else self._sums + values
        self._count += 1
        self._timed += 1

    def state(self, processes: Processes) -> dict[str, Any]:
        """Return what :meth:`restore` takes; all processes call it together."""
        if self._sums is None:
            return {}
        return {"count": self._count, "sums": processes.gather(self._sums).cpu()}

    def restore(self, state: Mapping[str, Any], processes: Processes) -> None:
        """Go on where :meth:`state` was taken, in as many processes or another number."""
        count, sums = state.get("count"), state.get("sums")
        if not isinstance(count, int) or not isinstance(sums, Tensor) or sums.ndim != 2:
            return
        if len(sums) != processes.count:
            sums = sums.mean(0, keepdim=True).expand(processes.count, -1)
        self._sums, self._count = sums[processes.rank].to(processes.device), count

    def read(self, processes: Processes) -> tuple[float, list[float], float, float]:
        """Return the means and start again.

        Returns
        -------
        speed : float
            Samples per second.
        losses : list of float
            Loss of each scale.
        moving : float
            Share of moving pixels.
        truth : float
            Error against ground truth.
        """
        assert self._sums is not None
        means = (processes.total(self._sums) / (self._count * processes.count)).tolist()
        now = time.perf_counter()
        speed = self._batch * self._timed / (now - self._start)
        self._sums, self._count, self._timed, self._start = None, 0, 0, now
        return speed, means[:-2], means[-2], means[-1]


def training_picture(
    target: Tensor, disparity: Tensor, output: ObjectiveOutput, samples: int = 4
) -> Tensor:
    """Show what the finest scale of the objective did.

    Parameters
    ----------
    target : Tensor, shape (B, 3, H, W)
    disparity : Tensor, shape (B, 1, H, W)
    output : ObjectiveOutput
        With its images.
    samples : int
        At most this many, one a row.

    Returns
    -------
    Tensor, shape (rows · H, columns · W, 3), uint8
        Only samples that learn from their sources. Columns: target, disparity, each warped
        source, photometric error (bright is large),
        auto-mask (white where a warped source wins).
    """
    images = output.images[0]
    rows = []
    for i in range(min(samples, len(images.error))):
        values = disparity[i, 0].detach().float().cpu()
        columns = [_as_bytes(target[i]), colorize(values, *disparity_range(values))]
        columns += [_as_bytes(warped[i]) for warped in images.warped]
        error = images.error[i, 0].float().cpu()
        columns.append(colorize(error, 0.0, 0.4, "inferno"))
        columns.append(_as_bytes(output.automask[0][i].expand(3, -1, -1)))
        rows.append(torch.cat(columns, dim=1))
    return torch.cat(rows)


def _as_bytes(image: Tensor) -> Tensor:
    """Turn (3, H, W) in [0, 1] into (H, W, 3) bytes."""
    return (image.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
