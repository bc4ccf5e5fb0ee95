# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The factor to metres that nothing measures; and the choice between it and a measured one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from monodepth2_ros.options import OutputOptions, read_scale_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rclpy.qos import QoSProfile

    from monodepth2_ros.camera import PinholeCamera
    from monodepth2_ros.node.scaling import Scaling
    from monodepth2_ros.predictor import DepthPredictor, Prediction


class FixedScale:
    """Has what :class:`monodepth2_ros.node.scaling.Scaling` has, and leaves outputs as they are."""

    is_live = False

    def close(self) -> None:
        """Do nothing."""

    def update(self, values: Mapping[str, Any]) -> None:
        """Do nothing: the parameter `scale` is applied with the outputs."""

    def subscriptions(self) -> list[tuple[str, Any, Callable[[Any], None], QoSProfile]]:
        """Return no topics."""
        return []

    def predict(
        self,
        predictor: DepthPredictor,
        header: Any,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
    ) -> Prediction:
        """Predict."""
        return predictor.predict(image, camera, options, outputs)

    def measure(self) -> None:
        """Do nothing."""

    def message(self, header: Any) -> Any:
        """Refuse: without a measured factor there is no topic for it."""
        raise NotImplementedError("depth/scale is published with a measured factor only")

    def diagnostics(self) -> dict[str, str]:
        """Return what diagnostics show."""
        return {"scale source": "fixed"}

    def problem(self) -> str:
        """Return "": depth is always published."""
        return ""


def make_scaling(values: Mapping[str, Any]) -> FixedScale | Scaling:
    """Return what finds the factor that the parameters ask for."""
    if not read_scale_sources(values["scaling.source"]):
        return FixedScale()
    # Only here: a node that measures nothing starts sooner without it.
    from monodepth2_ros.node.scaling import Scaling

    return Scaling(values)
