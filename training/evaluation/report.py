# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found: the figures of all models, and the frames they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from training.evaluation.depth import Evaluation
from training.evaluation.odometry import Odometry
from training.evaluation.protocol import Predict, Protocol, Selection
from training.evaluation.steadiness import (
    RecordingSteadiness,
)


@dataclass(frozen=True)
class EvaluatedModel:
    """A checkpoint and what came out.

    Attributes
    ----------
    name : str
        Short and unique.
    checkpoint : str
        Where it was loaded from.
    metadata : dict
        The checkpoint's, plain.
    predict : Predict
    depth : Evaluation or None
    odometry : Odometry or None
    """

    name: str
    checkpoint: str
    metadata: dict[str, Any]
    predict: Predict
    depth: Evaluation | None = None
    odometry: Odometry | None = None


@dataclass(frozen=True)
class Report:
    """All that is told.

    Attributes
    ----------
    data : str
        What was evaluated.
    selections : sequence of Selection
    protocol : Protocol
    models : sequence of EvaluatedModel
        One, or two to compare.
    baselines : sequence of Evaluation
        Always scaled by the median.
    temporal : sequence of RecordingSteadiness
        How steady the models and the baselines are.
    notes : sequence of str
    """

    data: str
    selections: Sequence[Selection]
    protocol: Protocol
    models: Sequence[EvaluatedModel]
    baselines: Sequence[Evaluation] = field(default_factory=tuple)
    temporal: Sequence[RecordingSteadiness] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def evaluations(self) -> list[Evaluation]:
        """The models' depth, then the baselines."""
        return [m.depth for m in self.models if m.depth is not None] + list(self.baselines)
