# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The factor to metres over time, and its histogram, as a picture."""

from __future__ import annotations

import io

import numpy as np

from training.deployment.scale_calibration import ScaleCalibration


def draw_factors(found: ScaleCalibration) -> bytes:
    """Draw the factor of each frame over time with the one for all, and a histogram.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    summary = found.summary
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for one in found.series:
        left.plot(one.seconds, one.factors, ".", markersize=3, label=one.name)
    low = summary.factor * np.exp(-summary.spread)
    high = summary.factor * np.exp(summary.spread)
    left.axhspan(low, high, color="0.9", label=f"spread {summary.spread:.1%}")
    left.axhline(summary.factor, color="0.3", label=f"median {summary.factor:.3g}")
    factors = np.concatenate([one.factors for one in found.series])
    # A few frames far off do not squeeze the others.
    limits = np.quantile(factors, (0.005, 0.995)) * (0.9, 1.1)
    left.set(
        xlabel="time, s",
        ylabel="metres per unit of depth",
        title=f"factor from {found.source}",
        ylim=limits,
    )
    left.legend(fontsize="small")
    bins = np.linspace(limits[0], limits[1], 41)
    right.hist(np.clip(factors, *limits), bins=bins.tolist(), orientation="horizontal")
    right.axhline(summary.factor, color="0.3")
    right.set(xlabel="frames")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()
