# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What live metres cost the node: CPU time of a frame, and how much later its depth is there.

Frames of a rendered room go through the node's own code with the factor fixed and with it measured,
by turns. CPU time is that of all threads of the process, latency the time until depth can be
published, and the CPU time of the thread that publishes until then, which a busy machine does not
change; all as the median of the differences between the two of each pair, so that what else the
machine does cancels.

    python benchmark/scale_cost.py --rate 30 10

A network's time scatters by more than what is looked for. With --answers it is replaced by its own
answers, computed beforehand, after as much memory was read as empties the caches:

    python benchmark/scale_cost.py --rate 30 10 --answers
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.node.fixed_scale import FixedScale
from monodepth2_ros.node.parameters import PARAMETERS
from monodepth2_ros.node.scaling import Scaling
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.scale.poses import quaternion
from training.worlds.film import SyntheticFrame, synthesize
from training.worlds.take import camera_from_field_of_view

_WARM_UP = 10  # frames that do not count
_CACHES = 32 * 2**20  # bytes


class Answers:
    """Answers of a network in the place of the network.

    Parameters
    ----------
    disparity : callable
        The network: from an image of its size to its sigmoid disparity.
    """

    def __init__(self, disparity: Callable[[Any], Any]) -> None:
        self._disparity = disparity
        self._known: dict[int, Any] = {}
        self._memory = np.zeros(_CACHES // 8)

    def __call__(self, image: Any) -> Any:
        """Return the answer for an image."""
        key = zlib.crc32(np.ascontiguousarray(image))
        if key not in self._known:
            self._known[key] = self._disparity(image)
        self._memory += 1.0
        return np.array(self._known[key])


def odometry(frame: SyntheticFrame, stamp: int) -> Any:
    """Return what the node reads of a nav_msgs/Odometry of the camera itself."""
    place = dict(zip("xyz", frame.pose[:3, 3].tolist(), strict=True))
    turn = dict(zip("xyzw", quaternion(frame.pose[:3, :3]), strict=True))
    pose = SimpleNamespace(position=SimpleNamespace(**place), orientation=SimpleNamespace(**turn))
    return SimpleNamespace(
        header=header(stamp), child_frame_id="camera", pose=SimpleNamespace(pose=pose)
    )


def header(stamp: int) -> Any:
    """Return what the node reads of a std_msgs/Header."""
    seconds, nanoseconds = divmod(stamp, 10**9)
    return SimpleNamespace(
        frame_id="camera", stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    )


def measure(
    frames: list[SyntheticFrame], predictor: DepthPredictor, rate: float, arguments: Any
) -> str:
    """Return a row of the table."""
    values = {parameter.name: parameter.default for parameter in PARAMETERS}
    live, fixed = Scaling(values | {"scaling.source": arguments.source}), FixedScale()
    options = OutputOptions(output_size=arguments.output_size)
    differences = []
    measured = 0
    for round_ in range(arguments.rounds):
        for k, frame in enumerate(frames):
            # There and back, so that rounds follow each other without a jump.
            index = k if round_ % 2 == 0 else len(frames) - 1 - k
            frame = frames[index]
            stamp = 10**9 + round((round_ * len(frames) + k) * 1e9 / rate)
            live._waiting.append(("odom", odometry(frame, stamp)))
            spent = {}
            pair = (fixed, live) if k % 2 else (live, fixed)
            for scaling in pair:
                cpu, wall, own = time.process_time(), time.perf_counter(), time.thread_time()
                scaling.predict(
                    predictor, header(stamp), frame.image, frame.camera, options, ("depth",)
                )
                ready, own = time.perf_counter(), time.thread_time() - own
                scaling.measure()
                if isinstance(scaling, Scaling) and scaling._measuring is not None:
                    scaling._measuring.result()
                spent[scaling is live] = (time.process_time() - cpu, ready - wall, own)
            measured += not live.estimate.reason
            if round_ or k >= _WARM_UP:
                differences.append(np.subtract(spent[True], spent[False]))
    live.close()
    cpu, late, own = 1e3 * np.array(differences).T
    return (
        f"| {arguments.source} | {rate:g} Hz | {cpu.mean():.2f} ms | {np.median(cpu):.2f} ms "
        f"| {np.median(late):+.2f} ms | {np.median(own):+.2f} ms "
        f"| {100 * measured / (arguments.rounds * len(frames)):.0f} % |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=[30.0, 10.0], help="of frames")
    parser.add_argument("--source", default="odometry")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--output-size", default="network", choices=["network", "image"])
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument(
        "--answers", action="store_true", help="answers of the network in the place of it"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    predictor = DepthPredictor(arguments.checkpoint, backend="torch", device="cpu", threads=1)
    if arguments.answers:
        answers = Answers(predictor.backend.disparity)
        predictor.backend.disparity = answers  # type: ignore[method-assign]
    camera = camera_from_field_of_view(640, 480, 80.0)
    frames = list(synthesize(9301, "room", camera, arguments.frames, antialias=1))
    print(
        "| source | frames | CPU time, mean | median | latency, median | in its own thread "
        "| measured in |"
    )
    print("|---|---|---|---|---|---|---|")
    for rate in arguments.rate:
        print(measure(frames, predictor, rate, arguments), flush=True)


if __name__ == "__main__":
    main()
