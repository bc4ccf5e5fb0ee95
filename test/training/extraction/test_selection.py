# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames are kept and where segments end."""

from __future__ import annotations

import cv2
import numpy as np

from bag_builder import INTERVAL, SECOND, scene
from training.extraction.motion import motion_image
from training.extraction.selection import Decision, FrameSelector

MIN_FLOW = 0.5 / 160


def at(position: float, noise: int = 0) -> np.ndarray:
    image = scene(position)[0]
    if noise:
        image = image + np.random.default_rng(noise).normal(0.0, 3.0, image.shape)
    return motion_image(np.clip(image, 0, 255).astype(np.uint8))


def run(
    frames: list[tuple[int, float]], min_flow: float = MIN_FLOW, max_gap_s: float | None = None
) -> tuple[list[Decision], FrameSelector]:
    """Consider frames given by stamp and position, with a sensor's noise."""
    selector = FrameSelector(min_flow, max_gap_s)
    return [selector.consider(t, at(x, noise=i + 1)) for i, (t, x) in enumerate(frames)], selector


def kept(decisions: list[Decision]) -> list[int]:
    return [i for i, decision in enumerate(decisions) if decision.keep]


def starts(decisions: list[Decision]) -> list[int]:
    return [i for i, decision in enumerate(decisions) if decision.starts_segment]


def steady(count: int, speed: float = 3.0) -> list[tuple[int, float]]:
    return [(i * INTERVAL, i * speed) for i in range(count)]


def test_steady_motion_is_kept_in_one_segment() -> None:
    decisions, selector = run(steady(10))
    assert kept(decisions) == list(range(10))
    assert starts(decisions) == [0]
    assert not selector.left_out
    assert not selector.segment_ends
    # The boxes are nearer and move faster.
    assert all(3.0 / 160 * 0.9 < d.flow < 3.0 / 160 * 1.3 for d in decisions[1:])


def test_a_slow_camera_is_thinned_out() -> None:
    decisions, selector = run(steady(20, speed=0.3))
    # Every second frame has moved 0.6 pixels since the last kept one.
    assert kept(decisions) == list(range(0, 20, 2))
    assert starts(decisions) == [0]
    assert selector.left_out == {"no motion": 10}


def test_a_short_halt_does_not_end_the_segment_a_long_one_does() -> None:
    halt = [(i * INTERVAL, min(i, 5) * 3.0 + max(0, i - 10) * 3.0) for i in range(16)]
    decisions, _ = run(halt)
    assert kept(decisions) == [0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    assert starts(decisions) == [0]
    halt = [(i * INTERVAL, min(i, 5) * 3.0 + max(0, i - 20) * 3.0) for i in range(24)]
    decisions, selector = run(halt)
    assert starts(decisions) == [0, 21]
    assert selector.segment_ends == {"standstill": 1}
    assert selector.left_out == {"no motion": 15}


def test_repeated_pictures_are_skipped() -> None:
    selector = FrameSelector(MIN_FLOW)
    decisions = [selector.consider(i * INTERVAL, at(3.0 * (i // 2), i // 2 + 1)) for i in range(12)]
    assert kept(decisions) == list(range(0, 12, 2))
    assert starts(decisions) == [0]
    assert selector.left_out == {"same picture as the frame before": 6}


def test_one_lost_frame_is_bridged_two_are_not() -> None:
    frames = steady(20)
    decisions, _ = run(frames[:9] + frames[10:])
    assert starts(decisions) == [0]
    decisions, selector = run(frames[:9] + frames[11:])
    assert starts(decisions) == [0, 9]
    assert selector.segment_ends == {"gap in time": 1}
    decisions, _ = run(frames[:9] + frames[11:], max_gap_s=1.0)
    assert starts(decisions) == [0]
    decisions, _ = run(frames, max_gap_s=0.05)
    assert starts(decisions) == list(range(20))


def test_time_that_jumps_back_ends_the_segment() -> None:
    frames = steady(8)
    again = [(stamp, x + 24.0) for stamp, x in frames]
    decisions, selector = run(frames + again)
    assert kept(decisions) == list(range(16))
    assert starts(decisions) == [0, 8]
    assert selector.segment_ends == {"time jumps back": 1}


def test_a_stamp_that_comes_twice_counts_once() -> None:
    frames = steady(6)
    decisions, selector = run([*frames[:3], frames[2], *frames[3:]])
    assert kept(decisions) == [0, 1, 2, 4, 5, 6]
    assert selector.left_out == {"same stamp as the frame before": 1}


def test_a_jump_of_the_view_ends_the_segment() -> None:
    elsewhere = np.random.default_rng(3).integers(0, 256, (6, 16), dtype=np.uint8)
    elsewhere = cv2.resize(elsewhere, (320, 96), interpolation=cv2.INTER_NEAREST)
    pictures = [at(3.0 * i) for i in range(4)] + [elsewhere[:, 3 * i :][:, :160] for i in range(4)]
    selector = FrameSelector(MIN_FLOW)
    decisions = [selector.consider(i * INTERVAL, p.copy()) for i, p in enumerate(pictures)]
    assert kept(decisions) == list(range(8))
    assert starts(decisions) == [0, 4]
    assert selector.segment_ends == {"view jumps": 1}


def test_another_calibration_and_the_source_end_the_segment() -> None:
    selector = FrameSelector(MIN_FLOW)
    decisions = [
        selector.consider(i * INTERVAL, at(3.0 * i), calibration=int(i > 2), follows=i != 5)
        for i in range(8)
    ]
    assert starts(decisions) == [0, 3, 5]
    assert selector.segment_ends == {"calibration changes": 1, "gap in time": 1}


def test_without_a_threshold_everything_stays() -> None:
    frames = [(i * SECOND, 0.0) for i in range(8)]
    decisions, selector = run(frames, min_flow=0.0)
    assert kept(decisions) == list(range(8))
    assert starts(decisions) == [0]
    assert not selector.left_out
