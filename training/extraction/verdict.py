# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a recording can train a model, and what to do about it if not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.extraction.motion import (
    ENOUGH_MATCHED,
    FAINT_FLOW,
    FAINT_PARALLAX,
    GOOD_FLOW,
    LARGEST_SPACING,
    LEAST_PARALLAX_PIXELS,
    LEAST_PARALLAX_SHARE,
    SpacingMotion,
)

#: Fewer samples than this are seen so often that the network remembers them; the published
#: training had 39,810.
FEW_SAMPLES = 1000

#: Below this share of textured pixels, most of the image says nothing about depth.
_LITTLE_TEXTURE = 0.1


@dataclass(frozen=True)
class Verdict:
    """Judgement of a recording.

    Attributes
    ----------
    level : str
        One of "good", "weak", "too fast", "rotation only", "static", "empty".
    summary : str
        One line.
    reasons, advice : tuple of str
    """

    level: str
    summary: str
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def assess_motion(
    measured: list[SpacingMotion],
    frames: int,
    samples: int,
    is_stereo: bool = False,
    width: int = 640,
) -> Verdict:
    """Judge a recording by its motion.

    Parameters
    ----------
    measured : list of SpacingMotion
        From :func:`training.extraction.motion.choose_spacing`: the last is at the chosen spacing.
    frames : int
        Frames of the recording, kept or not.
    samples : int
        Frames that have neighbours on both sides at the chosen spacing.
    is_stereo : bool
        The partner of a stereo pair gives parallax where the motion does not.
    width : int
        Width of the stored images in pixels: parallax is measurable in pixels, not in shares of
        a width.

    Returns
    -------
    Verdict
        The thresholds are those of :mod:`training.extraction.motion`, with their reasons.
    """
    if frames == 0:
        return Verdict("empty", "no usable frame", advice=("see why the frames were left out",))
    if not measured or samples == 0:
        if is_stereo:
            return Verdict("good", "stereo pairs without motion: train with stereo only")
        return Verdict(
            "static",
            "cannot train: nothing moves for long enough",
            advice=("record while the camera travels; standing still teaches no depth",),
        )
    first, chosen = measured[0].motion, measured[-1].motion
    spacing = measured[-1].spacing
    reasons = [
        f"neighbours at spacing {spacing} move {_percent(chosen.flow)} of the image width (median; "
        f"aim for {_percent(GOOD_FLOW[0])} to {_percent(GOOD_FLOW[1])})",
        f"of that at least {_percent(chosen.parallax)} is parallax, {chosen.parallax * width:.1f} "
        f"of {width} pixels; the camera turns {chosen.rotation:.1f}° between them",
        f"{chosen.matched:.0%} of the texture is found again in the neighbour",
    ]
    advice = []
    if chosen.texture < _LITTLE_TEXTURE:
        reasons.append(f"only {chosen.texture:.0%} of the pixels have texture")
        advice.append("bare surfaces teach little: record other places too")
    if samples < FEW_SAMPLES:
        advice.append(
            f"{samples:,} samples are few: start from a trained checkpoint, and record more (the "
            "published training had 39,810)"
        )
    if is_stereo:
        return Verdict("good", "stereo pairs give parallax at any motion", *_both(reasons, advice))
    if chosen.flow > GOOD_FLOW[1]:
        advice.insert(0, "record at a higher rate or move more slowly, above all turn more slowly")
        summary = (
            f"too fast: {_percent(first.flow)} of the width and {first.rotation:.1f}° from frame "
            "to frame; neighbours share too little for training by triplets"
        )
        return Verdict("too fast", summary, *_both(reasons, advice))
    if chosen.parallax < FAINT_PARALLAX and chosen.flow >= FAINT_FLOW:
        advice.insert(0, "move the camera through the scene instead of turning it in place")
        summary = "cannot train: the camera turns but hardly travels, so there is no parallax"
        return Verdict("rotation only", summary, *_both(reasons, advice))
    if chosen.flow < FAINT_FLOW:
        advice.insert(0, "move faster, or nearer to things")
        summary = f"cannot train: even {spacing} frames apart the picture hardly moves"
        return Verdict("static", summary, *_both(reasons, advice))
    if chosen.parallax < LEAST_PARALLAX_SHARE * chosen.flow:
        advice.insert(0, "travel more while turning less: parallax is what depth is learned from")
        summary = (
            f"weak: mostly turning. Neighbours move {_percent(chosen.flow)} of the width, but only "
            f"{_percent(chosen.parallax)} of it is parallax"
        )
        return Verdict("weak", summary, *_both(reasons, advice))
    if chosen.parallax * width < LEAST_PARALLAX_PIXELS:
        needed = 32 * math.ceil(LEAST_PARALLAX_PIXELS / chosen.parallax / 32)
        advice.insert(0, f"store larger images (--width {needed}), or move faster")
        summary = (
            f"weak at this size: {chosen.parallax * width:.1f} pixels of parallax at a width of "
            f"{width} cannot be told from noise"
        )
        return Verdict("weak", summary, *_both(reasons, advice))
    if chosen.flow < GOOD_FLOW[0]:
        advice.insert(0, "near, textured surroundings and sideways views give more parallax")
        if chosen.matched < ENOUGH_MATCHED + 0.1 or spacing == LARGEST_SPACING:
            reasons.append("a larger spacing would lose what the views share")
        summary = (
            f"weak, but usable with spacing {spacing}: most of the image moves little, so depth "
            "comes from the parts that do"
        )
        return Verdict("weak", summary, *_both(reasons, advice))
    if chosen.matched < ENOUGH_MATCHED:
        advice.append(
            f"{1.0 - chosen.matched:.0%} of the texture is lost from view to view: a higher frame "
            "rate would help"
        )
    summary = "good" if spacing == 1 else f"good at spacing {spacing}"
    return Verdict("good", summary, *_both(reasons, advice))


def _percent(share: float) -> str:
    """Write a share as a percentage with two digits that matter."""
    return f"{100.0 * share:.1f} %" if share >= 0.0095 else f"{100.0 * share:.2f} %"


def _both(reasons: list[str], advice: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Freeze the lists."""
    return tuple(reasons), tuple(advice)
