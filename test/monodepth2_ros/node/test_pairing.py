# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing of images and camera_info, the mailbox, and the node's statistics and verdict."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from monodepth2_ros.node import diagnostics as statistics
from monodepth2_ros.node.diagnostics import (
    ERROR,
    OK,
    WARN,
    FrameStatistics,
    NodeStatus,
    assess_health,
)
from monodepth2_ros.node.mailbox import Mailbox
from monodepth2_ros.node.pairing import CameraInfoPairing

MS = 1_000_000


def test_info_before_image():
    pairing = CameraInfoPairing(MS)
    assert pairing.add_info(100 * MS, "info") == []
    assert pairing.add_image(100 * MS, "image") == [("image", "info")]


def test_info_after_image():
    pairing = CameraInfoPairing(MS)
    pairing.add_info(0, "old")
    assert pairing.add_image(100 * MS, "image") == []
    assert pairing.add_info(100 * MS, "info") == [("image", "info")]
    assert pairing.expire() == []


def test_tolerance_decides_and_the_nearest_wins():
    pairing = CameraInfoPairing(2 * MS)
    for stamp in (96, 99, 101, 110):
        pairing.add_info(stamp * MS, stamp)
    assert pairing.add_image(100 * MS + 1, "image") == [("image", 101)]
    assert pairing.add_image(106 * MS, "far") == []
    assert pairing.expire() == [("far", None)]
    assert pairing.nearest_ns == 4 * MS and pairing.unpaired == 1


def test_no_camera_info_at_all_never_delays():
    pairing = CameraInfoPairing(MS)
    for index in range(10):
        assert pairing.add_image(index * MS * 33, index) == [(index, None)]
    assert pairing.unpaired == 0


def test_a_newer_image_never_waits_behind_an_older_one():
    pairing = CameraInfoPairing(MS)
    pairing.add_info(0, "info")
    assert pairing.add_image(10 * MS, "a") == []
    assert pairing.add_image(20 * MS, "b") == [("a", None)]
    assert pairing.add_info(20 * MS, "i") == [("b", "i")]


def test_stamps_that_never_pair_stop_delaying_and_recover():
    pairing = CameraInfoPairing(MS)
    pairing.add_info(0, "stray")
    released = []
    for index in range(1, 8):
        released += pairing.add_image(index * 100 * MS, index)
        pairing.add_info(index * 100 * MS + 50 * MS, "shifted")
    assert [image for image, _ in released] == list(range(1, 8))  # the last ones at once
    assert pairing.unpaired == 7
    # The camera is fixed: infos now come with the images' stamps, after them.
    assert pairing.add_image(900 * MS, "x") == [("x", None)]
    assert pairing.add_info(900 * MS, "good") == []
    assert pairing.add_image(1000 * MS, "y") == []
    assert pairing.add_info(1000 * MS, "good") == [("y", "good")]


def test_latest_ignores_stamps():
    pairing = CameraInfoPairing(None)
    assert pairing.add_image(5, "first") == [("first", None)]
    pairing.add_info(0, "latched")
    assert pairing.add_image(10**18, "image") == [("image", "latched")]


def test_time_may_jump_back():
    pairing = CameraInfoPairing(MS)
    for loop in range(3):
        for index in range(200):
            pairing.add_info(index * 33 * MS, (loop, index))
            ready = pairing.add_image(index * 33 * MS, index)
            assert ready == [(index, (loop, index))]


def test_mailbox_keeps_the_newest():
    mailbox: Mailbox[int] = Mailbox()
    assert [mailbox.put(value) for value in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == 3
    assert mailbox.put(4) is False


def test_mailbox_wakes_and_ends_its_taker():
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int | None] = []

    def run():
        while (item := mailbox.take()) is not None:
            taken.append(item)
        taken.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    mailbox.put(7)
    for _ in range(500):
        if taken:
            break
        time.sleep(0.01)
    mailbox.close()
    thread.join(5)
    assert taken == [7, None]


def test_rates_and_latencies(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(statistics.time, "monotonic", lambda: now[0])
    counts = FrameStatistics()
    assert counts.rate("received") == 0.0 and counts.age("received") == float("inf")
    for _ in range(61):
        counts.count("received")
        now[0] += 0.1
    assert counts.total("received") == 61
    assert counts.rate("received") == pytest.approx(10.0, rel=0.01)
    now[0] += 2.0
    assert counts.rate("received") < 8.0  # overdue frames pull the rate down
    assert counts.age("received") == pytest.approx(2.1)
    now[0] += 10.0
    assert counts.rate("received") == 0.0
    for value in range(1, 101):
        counts.add_latencies({"network": value / 1000.0})
    median, high = counts.latencies()["network"]
    assert median == pytest.approx(0.0505) and high == pytest.approx(0.09505)


HEALTHY = NodeStatus(
    lifecycle="active",
    image_topic="/camera/image_raw",
    image_publishers=1,
    image_age=0.05,
    listeners=2,
    output_rate=14.2,
)


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        ({}, OK, "publishing at 14.2 Hz"),
        ({"listeners": 0}, OK, "idle: nobody subscribes"),
        ({"lifecycle": "inactive"}, WARN, "not active: the node is inactive"),
        (
            {"image_age": float("inf"), "image_publishers": 0},
            ERROR,
            "no image yet: nobody publishes /camera/image_raw",
        ),
        ({"image_age": 30.0}, ERROR, "no image for 30 s although /camera/image_raw has 1"),
        ({"image_age": 30.0, "qos_conflict": "QoS!"}, ERROR, "QoS!"),
        ({"failure": "ValueError: encoding"}, ERROR, "frames fail: ValueError: encoding"),
        ({"camera_problem": "no camera_info on /x"}, WARN, "no camera_info on /x"),
        ({"weights_are_random": True}, WARN, "weights are random"),
    ],
)
def test_verdict_names_the_reason(change, level, message):
    actual_level, actual = assess_health(replace(HEALTHY, **change))
    assert actual_level == level and message in actual
