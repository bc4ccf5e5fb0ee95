# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bring the figures of a rebuild into the model card: ``python docs/make_model_card.py WORK``.

WORK is the folder of ``python -m training.default_model``. The tables between the card's marks are
written again from the metadata of the model that it made, and the learning curve is drawn, of those
stages that were trained there (one that went on from weights of elsewhere has no curve of them).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.learning.run_state import load_state

CARD = Path(__file__).parent / "reference" / "model_card.md"
CURVES = Path(__file__).parent / "images" / "model_curves.png"

BEGIN, END = "<!-- written by docs/make_model_card.py -->", "<!-- until here -->"

#: What the sets of frames are called in the card.
NAMES = {
    "held_out_worlds": "rendered worlds, other seeds",
    "simulated_flight": "simulated_flight, last 20 %",
    "highway_drive": "highway_drive, last 20 %",
    "robot_floor": "robot_floor, last 10 %",
    "indoor_walk": "indoor_walk, whole",
    "indoor_walk_last": "indoor_walk, last 20 %",
    "kitchen_scan": "kitchen_scan, whole",
    "kitchen_scan_last": "kitchen_scan, last 20 %",
}


def tables(figures: dict[str, Any]) -> str:
    """Write the figures of a model's provenance as two tables.

    Parameters
    ----------
    figures : dict
        See :func:`training.default_model.collect_figures`.
    """
    lines = [
        "| frames | number | abs_rel | a1 | best constant depth | mean depth image | "
        "abs_rel without median scaling |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, name in NAMES.items():
        entry = figures.get(key, {})
        if "abs_rel" not in entry:
            continue
        baselines = entry["baselines"]
        mean = baselines.get("mean depth image")
        cells = [
            name,
            str(entry["frames"]),
            f"**{entry['abs_rel']:.3f}**",
            f"{entry['a1']:.3f}",
            f"{baselines['best constant depth']:.3f}",
            "" if mean is None else f"{mean:.3f}",
            f"{entry['abs_rel_unscaled']:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| recording | what | flicker | 90 % below | spread of the scale | trend | holes | "
        "saturated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, name in NAMES.items():
        for what, values in figures.get(key, {}).get("steadiness", {}).items():
            if values["flicker"] is None:
                continue
            drift = values["drift"] or {}
            label = "model" if what.endswith(".safetensors") else what
            cells = [name, label, _percent(values["flicker"]), _percent(values["flicker_p90"])]
            cells += [_percent(drift.get("spread")), _plain(drift.get("trend"))]
            cells += [_percent(values["holes"]), _percent(values["saturated"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    """Write a share; nothing where there is none."""
    return "" if value is None else f"{100 * value:.2f} %"


def _plain(value: float | None) -> str:
    """Write a number; nothing where there is none."""
    return "" if value is None else f"{value:.2f}"


def put_between(text: str, content: str) -> str:
    """Replace what stands between the marks.

    Raises
    ------
    ValueError
        If the marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{CARD} lacks the lines '{BEGIN}' and '{END}'")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def draw_curves(runs: Sequence[Path], target: Path) -> None:
    """Draw the error against truth in training, and abs_rel of held-out frames, over the stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    start = 0
    for run in runs:
        last = load_state(run).step
        for axes, tag in ((left, "train/truth"), (right, "validation/abs_rel")):
            # A run that was killed has logged steps that it did not save.
            points = [(step, value) for step, value in _scalars(run, tag) if step <= last]
            steps = [start + step for step, _ in points]
            axes.plot(steps, [value for _, value in points], ".-", label=f"stage '{run.name}'")
        start += last
    left.set(title="error against true depth, training batches")
    right.set(title="abs_rel, last fifth of the same worlds")
    for axes in (left, right):
        axes.set(xlabel="step", xlim=left.get_xlim(), ylim=(0, 1.2 * axes.get_ylim()[1]))
        axes.legend()
    target.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(target))


def _scalars(run: Path, tag: str) -> list[tuple[int, float]]:
    """Read a curve of TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    if tag not in events.Tags()["scalars"]:
        return []
    return [(point.step, point.value) for point in events.Scalars(tag)]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the card's tables and its curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--curves", type=Path, default=CURVES, metavar="FILE.png")
    options = parser.parse_args(argv)
    work, curves = options.work, options.curves
    try:
        said = json.loads((work / "provenance.json").read_text())
        card = put_between(CARD.read_text(), tables(said["figures"]))
        runs = sorted(
            (path.parent for path in (work / "runs").glob("*/options.yaml")),
            key=lambda run: (run / "options.yaml").stat().st_mtime,
        )
        draw_curves(runs, curves)
        CARD.write_text(card)
    except (OSError, ValueError) as error:
        print(f"make_model_card: {error}", file=sys.stderr)
        return 1
    print(f"{CARD}\n{curves}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
