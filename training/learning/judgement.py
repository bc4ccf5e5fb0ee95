# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a run has learned anything: its validations against its start and against no learning.

The photometric loss does not tell: with the right rotation, a flat depth explains a recording with
little parallax nearly as well as the right depth. So a run is judged by depth: against ground truth
where there is some, else against depth that was triangulated from the images alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: Figures that can decide which model is the best; "sparse" is the error at triangulated corners.
Measure = Literal["abs_rel", "sparse", "loss", "train_loss"]

#: What is learned must lower the measure by this share, or it is within the noise.
LEAST_GAIN = 0.01

#: ... and the error at corners by so many standard errors of the difference.
SURE = 2.0

#: ... and by this share of the area whose corners contradict the start and the new model alike.
_HIDDEN = 0.1

#: A checkpoint hardly knows a place where its error is at least this share of a constant depth's.
HARDLY_KNOWN = 0.95

#: Depth has collapsed where, after starting better, its error is at least this share of a constant
#: depth's and its spread at most this share of the start's, at so many validations in a row.
_NEAR_CONSTANT, _SPREAD_LEFT, COLLAPSE_PATIENCE = 0.95, 0.35, 2

#: Or where its error is this many times the start's at so many validations in a row.
_MUCH_WORSE, WORSE_PATIENCE = 1.25, 4

#: Without ground truth, a model whose spread is at most this share of the start's is not better.
_SPREAD_KEPT = 0.5

#: A start whose error at corners is at most so many times what right depth would have there is as
#: good as corners can tell.
_TOLD = 2.0

_NAMES = {
    "abs_rel": "abs_rel",
    "sparse": "error against triangulated depth",
    "loss": "validation loss",
    "train_loss": "training loss",
}


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to.

    Attributes
    ----------
    has_learned : bool
    text : str
        One or two lines for the user.
    """

    has_learned: bool
    text: str


def choose_measure(best_by: str, entry: Mapping[str, Any]) -> Measure:
    """Name the figure that decides which checkpoint is the best.

    Parameters
    ----------
    best_by : str
        Option of that name.
    entry : mapping
        A validation.
    """
    if entry.get("loss") is None:
        return "train_loss"
    if best_by == "auto":
        order: tuple[Measure, ...] = ("abs_rel", "sparse", "loss")
        for name in order:
            if entry.get(name) is not None:
                return name
    if best_by == "abs_rel" and entry.get("abs_rel") is not None:
        return "abs_rel"
    if best_by == "sparse" and entry.get("sparse") is not None:
        return "sparse"
    return "loss"


def may_replace_start(
    entry: Mapping[str, Any], start: Mapping[str, Any], measure: Measure, is_chosen: bool = False
) -> bool:
    """Tell whether a validation may take the place of the trained model that a run began with.

    It must be better than the best constant depth, where that is known, and without ground truth
    it must not be flat: a model that judges badly on few corners may be full of right structure
    elsewhere (the sky, the road); one that lost most of the spread of log depth has none. Nor may
    it have changed, where no corner judges, by more than the errors at the corners explain, nor be
    better by no more than chance or things that move can do. And where the start is as good as
    corners can tell, they cannot tell what is better. The photometric loss tells nothing about
    depth: by it alone nothing takes that place, unless the user has chosen it.

    Parameters
    ----------
    entry, start : mapping
        A validation, and the first one, with the baselines.
    measure : Measure
    is_chosen : bool
        Whether the measure is what ``--best-by`` asks for.
    """
    if measure == "loss" and not is_chosen:
        return False
    constant = _constant(start, measure)
    figure = entry.get(measure)
    left = entry.get("spread", 1.0) / max(start.get("spread", 1.0), 1e-9)
    if measure != "abs_rel" and left <= _SPREAD_KEPT:
        return False
    is_told = (
        not is_beyond_judging(start) and changes_as_it_may(entry, start) and is_sure(entry, start)
    )
    if measure == "sparse" and not is_chosen and not is_told:
        return False
    return constant is None or figure is None or bool(figure <= (1 - LEAST_GAIN) * constant)


def is_beyond_judging(start: Mapping[str, Any]) -> bool:
    """Whether triangulated corners cannot tell the start from right depth.

    Parameters
    ----------
    start : mapping
        The first validation, with the baselines.
    """
    noise, error = start.get("baselines", {}).get("sparse_noise"), start.get("sparse")
    if noise is None or error is None:
        return False
    return bool(min(error, start.get("own_size", {}).get("sparse", error)) <= _TOLD * noise)


def judged_otherwise(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run's validations compared with corners in the way of an older version.

    Parameters
    ----------
    history : sequence of mapping
        Validations, perhaps none.
    """
    if not history or history[0].get("sparse") is None:
        return False
    return "sparse_noise" not in history[0].get("baselines", {})


def changes_as_it_may(entry: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    """Whether what has changed away from the corners is explained by the errors at the corners.

    Parameters
    ----------
    entry, start : mapping
        A validation, and the first one.
    """
    changed, error, began = entry.get("changed"), entry.get("sparse"), start.get("sparse")
    if changed is None or error is None or began is None:
        return True
    # The triangle inequality, if both models are as good away from the corners as at them.
    return bool(changed <= error + began)


def is_sure(entry: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    """Whether the error at corners fell by more than chance and things that move can do.

    It has to fall by more than it differs from place to place. And corners that contradict both
    models are on things that move, or their motion was found wrongly. Where these are many, the
    others are not quite right either, and a small gain at them says nothing.

    Parameters
    ----------
    entry, start : mapping
        A validation, and the first one.
    """
    error, began = entry.get("sparse"), start.get("sparse")
    if error is None or began is None:
        return True
    gain = began - error
    doubt, disputed = entry.get("doubt"), entry.get("disputed")
    is_chance = doubt is not None and gain <= SURE * doubt
    return not is_chance and (disputed is None or bool(gain > _HIDDEN * disputed))


def describe_entry(entry: Mapping[str, Any], start: Mapping[str, Any] | None) -> str:
    """Write a validation as one line, next to the start and to what needs no learning."""
    parts = []
    for name in ("train_loss", "loss"):
        if entry.get(name) is not None and entry[name] == entry[name]:
            parts.append(f"{name} {entry[name]:.4f}")
    for name, others in (
        ("abs_rel", (("constant", "constant"), ("mean image", "mean_image"))),
        (
            "sparse",
            (
                ("constant", "sparse_constant"),
                ("plane", "sparse_plane"),
                ("mean image", "sparse_mean_image"),
            ),
        ),
    ):
        if entry.get(name) is None:
            continue
        beside = []
        if start is not None and start is not entry and start.get(name) is not None:
            beside.append(f"start {start[name]:.3f}")
        baselines = (start or entry).get("baselines", {})
        beside += [f"{word} {baselines[key]:.3f}" for word, key in others if baselines.get(key)]
        compared = f" ({', '.join(beside)})" if beside else ""
        parts.append(f"{_NAMES[name]} {entry[name]:.3f}{compared}")
    if entry.get("changed") is not None:
        doubt = "" if start is None or changes_as_it_may(entry, start) else ", too much"
        parts.append(f"changed away from corners by {entry['changed']:.3f}{doubt}")
    own = entry.get("own_size")
    if own is not None and own.get("abs_rel", own.get("sparse")) is not None:
        figure = own.get("abs_rel", own.get("sparse"))
        parts.append(f"the checkpoint at its own size {own['width']}x{own['height']} {figure:.3f}")
    return ", ".join(parts)


def hardly_knows(start: Mapping[str, Any], measure: Measure) -> bool:
    """Whether a checkpoint is not much better than a constant depth, where that can be told.

    Parameters
    ----------
    start : mapping
        The first validation.
    measure : Measure
    """
    if measure not in ("abs_rel", "sparse") or start.get(measure) is None:
        return False
    constant = _constant(start, measure)
    figure = min(start[measure], start.get("own_size", {}).get(measure, start[measure]))
    return constant is not None and figure >= HARDLY_KNOWN * constant


def collapse(history: Sequence[Mapping[str, Any]], measure: Measure) -> str | None:
    """Say why a run that began with depth should not go on, or None.

    Parameters
    ----------
    history : sequence of mapping
        Validations; the first is the start.
    measure : Measure
    """
    if measure not in ("abs_rel", "sparse") or len(history) < 1 + COLLAPSE_PATIENCE:
        return None
    start = history[0]
    if start.get(measure) is None:
        return None
    constant = _constant(start, measure)
    began = start[measure]
    if constant is None or began > _NEAR_CONSTANT * constant:
        return None  # it began with no depth to lose
    later = [entry for entry in history[1:] if entry.get(measure) is not None]

    def is_flat(entry: Mapping[str, Any]) -> bool:
        assert constant is not None
        is_thin = entry["spread"] <= _SPREAD_LEFT * start["spread"]
        return bool(entry[measure] >= _NEAR_CONSTANT * constant and is_thin)

    last = later[-COLLAPSE_PATIENCE:]
    if len(last) == COLLAPSE_PATIENCE and all(is_flat(entry) for entry in last):
        return (
            f"the depth has collapsed: its {_NAMES[measure]} is {last[-1][measure]:.3f}, that of a "
            f"constant depth {constant:.3f}, and the spread of log depth fell from "
            f"{start['spread']:.2f} to {last[-1]['spread']:.2f}. {_CAUSES}"
        )
    last = later[-WORSE_PATIENCE:]
    if len(last) == WORSE_PATIENCE and all(e[measure] > _MUCH_WORSE * began for e in last):
        return (
            f"the depth is getting worse than what training began with: its {_NAMES[measure]} is "
            f"{last[-1][measure]:.3f}, at the start {began:.3f}. {_CAUSES}"
        )
    return None


_CAUSES = (
    "Usual causes: too little parallax (see the verdict of depth_extract), wrong intrinsics, "
    "motion that is found badly (try another --pose) or a learning rate that is too high"
)


def kept_entry(
    history: Sequence[Mapping[str, Any]],
    measure: Measure,
    from_checkpoint: bool,
    is_chosen: bool = False,
) -> Mapping[str, Any] | None:
    """Return the validation of the model that a run keeps as its best; None if there is none.

    Of those that are as good at corners, within one standard error, it is the one that has changed
    least where no corner judges (the rule of one standard error; Breiman et al. 1984, section
    3.4.3): what is better by chance is not worth a change that nobody has seen. An entry that is
    marked as lost could not be written.

    Parameters
    ----------
    history, measure, from_checkpoint, is_chosen
        As for :func:`conclude`.
    """
    known = [entry for entry in history if entry.get(measure) is not None]
    if not known:
        return None
    start = kept = known[0]
    lowest = min(start[measure], start.get("own_size", {}).get(measure, start[measure]))
    if start.get("lost"):
        lowest = float("inf")
    for entry in _candidates(known, measure, from_checkpoint, is_chosen):
        figure = float(entry[measure])
        doubt = 0.0
        if measure == "sparse" and not is_chosen and entry.get("changed") is not None:
            doubt = float(entry.get("doubt") or 0.0)
        if kept is start:
            is_better = figure < lowest
        else:
            limit = min(lowest, figure) + doubt
            is_better = figure < kept[measure]
            if max(figure, kept[measure]) <= limit and kept.get("changed") is not None and doubt:
                is_better = entry["changed"] < kept["changed"]
            elif figure > limit:
                is_better = False
        kept = entry if is_better else kept
        lowest = min(lowest, figure)
    return kept


def _candidates(
    known: Sequence[Mapping[str, Any]], measure: Measure, from_checkpoint: bool, is_chosen: bool
) -> list[Mapping[str, Any]]:
    """Return the validations after the first that may be the best."""
    rest = [entry for entry in known[1:] if not entry.get("lost")]
    if not from_checkpoint:
        return rest
    return [entry for entry in rest if may_replace_start(entry, known[0], measure, is_chosen)]


def conclude(
    history: Sequence[Mapping[str, Any]],
    measure: Measure,
    from_checkpoint: bool,
    is_chosen: bool = False,
) -> RunOutcome:
    """Compare the best validation with the start and with a constant depth.

    Parameters
    ----------
    history : sequence of mapping
        Validations; the first is the start. Perhaps empty.
    measure : Measure
    from_checkpoint : bool
        Whether the start was a trained model: then it is what must be beaten. Otherwise a constant
        depth must be beaten, too.
    is_chosen : bool
        Whether the measure is what ``--best-by`` asks for.
    """
    known = [entry for entry in history if entry.get(measure) is not None]
    if not known or known[0]["step"] != 0 or measure == "train_loss":
        return RunOutcome(True, "not judged: nothing was held out (--validation-fraction)")
    start = known[0]
    rest = _candidates(known, measure, from_checkpoint, is_chosen)
    best = kept_entry(history, measure, from_checkpoint, is_chosen)
    assert best is not None
    name, began, came = _NAMES[measure], start[measure], best[measure]
    figures = f"{name} {began:.4f} at the start"
    if measure == "abs_rel" and start.get("factor", 1.0) != 1.0:
        figures += f" (in metres with the factor {start['factor']:.3g})"
    own = start.get("own_size", {})
    if own.get(measure) is not None:
        figures += f" ({own[measure]:.4f} at its own size {own['width']}x{own['height']})"
        began = min(began, own[measure])
    gain = (began - came) / began
    figures += f", {came:.4f} at step {best['step']}"
    if measure == "loss":
        hint = (
            "judged by the photometric loss alone, which a flat depth can satisfy: there is "
            "neither ground truth nor measurable parallax in what was held out"
        )
        if from_checkpoint and not is_chosen and len(known) > 1:
            last = known[-1][measure]
            return RunOutcome(
                False,
                f"it cannot be told whether anything was learned: {name} {began:.4f} at the start, "
                f"{last:.4f} at the end ({hint}). best.safetensors is the model that training "
                "began with, last.safetensors the trained one. Hold out more "
                "(--validation-fraction), record more of the camera moving, or choose by the "
                "loss all the same: --best-by loss",
            )
        if gain < LEAST_GAIN:
            return RunOutcome(False, f"nothing was learned: {figures} ({hint})")
        return RunOutcome(True, f"better by {100 * gain:.0f} %: {figures} ({hint})")
    constant = _constant(start, measure)
    if constant is not None:
        figures += f", {constant:.4f} for the best constant depth"
    if measure == "sparse" and from_checkpoint and not is_chosen and is_beyond_judging(start):
        return RunOutcome(
            False,
            f"it cannot be told whether anything was learned: {figures}. Right depth would have "
            f"about {start['baselines']['sparse_noise']:.4f}, so uncertain are the corners: the "
            "start is as good as they can tell, and best.safetensors is the start, "
            "last.safetensors the trained model. Choose by the corners all the same: "
            "--best-by sparse",
        )
    if gain < LEAST_GAIN:
        kept = "is the model that training began with"
        if len(rest) < len(known) - 1:
            kept += (
                ", as later ones are no better than a constant depth, flat, better by no more than "
                "chance or moving things can do, or changed more where no corner judges than their "
                "errors at corners explain (where sky, roads or bare walls have come near, "
                "--keep-weight 0.05 holds them; --best-by sparse does not ask)"
            )
        if came < began:
            kept = "is better by less than the noise"
        return RunOutcome(
            False, f"nothing was learned: {figures}. best.safetensors {kept}. {_CAUSES}"
        )
    if not from_checkpoint and constant is not None and came > (1 - LEAST_GAIN) * constant:
        return RunOutcome(
            False,
            f"nothing was learned: no better than a constant depth: {figures}. {_CAUSES}",
        )
    return RunOutcome(True, f"better by {100 * gain:.0f} %: {figures}")


def _constant(start: Mapping[str, Any], measure: Measure) -> float | None:
    """Return the error of the best constant depth."""
    key = "constant" if measure == "abs_rel" else "sparse_constant"
    value = start.get("baselines", {}).get(key)
    return None if value is None else float(value)
