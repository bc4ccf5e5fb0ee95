# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the node ends: with status 0 when it is told to, at whatever moment; else with the reason.

Signals come at any moment. Here the node itself brings the moment about, in changed methods.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import node_harness as harness
from monodepth2_ros.node.shutdown import BackgroundCall
from paths import REPOSITORY

# Each starts the node in a process of its own.
pytestmark = [pytest.mark.ros, pytest.mark.slow]

# Changes to the node follow it.
HEAD = """
import os, signal, time
import monodepth2_ros.predictor
from sensor_msgs.msg import Image
from monodepth2_ros.node import depth_node
from monodepth2_ros.node.depth_node import DepthNode
from monodepth2_ros.node.frame_processor import ReceivedFrame
"""


@pytest.fixture
def start(model):
    """Start nodes that end with the test."""
    harness.use_private_domain()
    started = []

    def start(**options):
        settings = {
            "checkpoint": model,
            "backend": harness.PROCESS_BACKEND,
            "threads": 1,
            **options,
        }
        started.append(harness.NodeProcess(diagnostics_period=0.1, **settings))
        return started[-1]

    yield start
    for node in started:
        node.end()


@pytest.fixture
def run(start):
    """Run a changed node to its end; return exit status and log."""

    def run(changes):
        node = start(changes=HEAD + changes)
        return node.process.wait(harness.PATIENCE), node.log()

    return run


def test_ros_that_is_shut_down_under_a_callback_is_no_failure(run):
    status, log = run("""
publish = DepthNode._publish_diagnostics
def publish_diagnostics(self):
    print("the callback runs", flush=True)
    self.context.shutdown()
    publish(self)
DepthNode._publish_diagnostics = publish_diagnostics
""")
    assert "the callback runs" in log
    assert status == 0 and "Traceback" not in log


def test_a_callback_that_fails_is_told_and_the_node_goes_on(run):
    status, log = run("""
publish = DepthNode._publish_diagnostics
calls = []
def publish_diagnostics(self):
    calls.append(self)
    if len(calls) == 1:
        raise RuntimeError("a fault of our own")
    if len(calls) == 5:
        print("the node goes on", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
    publish(self)
DepthNode._publish_diagnostics = publish_diagnostics
""")
    assert status == 0 and "the node goes on" in log
    assert "timer: refused" in log and "RuntimeError: a fault of our own" in log


def test_an_unforeseen_error_of_loading_is_told(run):
    status, log = run("""
def load(*arguments, **options):
    raise RuntimeError("a fault of a library")
monodepth2_ros.predictor.DepthPredictor = load
""")
    assert status == 1
    assert "RuntimeError: a fault of a library" in log and "could not start" in log


def test_a_user_who_has_no_place_for_logs_is_told_what_to_set(run):
    status, log = run('os.environ["ROS_LOG_DIR"] = "/proc/nothing"\n')
    assert status == 1 and "Traceback" not in log
    assert "log directory" in log and "set ROS_LOG_DIR to a folder that this user may" in log


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_the_loading_of_a_model(run, name):
    status, log = run(f"""
def load(*arguments, **options):
    os.kill(os.getpid(), signal.{name})
    for _ in range(100):
        time.sleep(0.1)
    print("the model is loaded", flush=True)
monodepth2_ros.predictor.DepthPredictor = load
""")
    assert status == 0 and "Traceback" not in log
    assert "the model is loaded" not in log and "could not start" not in log


def test_errors_that_follow_from_a_signal_while_loading_are_no_failure(run):
    """A library may turn the interrupt into an error of its own."""
    status, log = run("""
def load(*arguments, **options):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    except BaseException as error:
        raise RuntimeError("not imported") from error
monodepth2_ros.predictor.DepthPredictor = load
""")
    assert status == 0 and "Traceback" not in log and "could not start" not in log


def test_more_signals_and_errors_do_not_disturb_the_end(run):
    status, log = run("""
def destroy_node(self):
    print("the end goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    raise ValueError("destroyed already")
DepthNode.destroy_node = destroy_node
def publish_diagnostics(self):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
DepthNode._publish_diagnostics = publish_diagnostics
""")
    assert "the end goes on" in log
    assert status == 0 and "Traceback" not in log


STUCK = """
import ctypes
def destroy_node(self):
    print("closing at", time.monotonic(), flush=True)
    ctypes.PyDLL(None).sleep(300)
DepthNode.destroy_node = destroy_node
"""
INTERRUPTED = """
def publish_diagnostics(self):
    raise KeyboardInterrupt
DepthNode._publish_diagnostics = publish_diagnostics
"""
NOT_LOADED = """
def load(*arguments, **options):
    raise RuntimeError("a fault of a library")
monodepth2_ros.predictor.DepthPredictor = load
"""


@pytest.mark.parametrize(("cause", "expected"), [(INTERRUPTED, 0), (NOT_LOADED, 1)])
def test_a_library_that_does_not_come_back_cannot_keep_the_node(run, cause, expected):
    """Fast DDS has been seen to wait for ever in here while it held the GIL."""
    started = time.monotonic()
    status, log = run(STUCK + cause)
    ended = time.monotonic()
    assert status == expected
    closing = float(log.split("closing at")[1].split()[0])
    assert started < closing and ended - closing < 30


def test_the_worker_does_not_complain_of_the_end(run):
    """Its outputs cannot be published any more: that is no failure of the frame."""
    status, log = run("""
def process(self, stream, frame):
    print("the worker runs", flush=True)
    self.context.shutdown()
    stream._outputs.publish("depth", Image())
DepthNode._process = process
activate = DepthNode.on_activate
def on_activate(self, state):
    result = activate(self, state)
    self._mailbox.put((self._streams[0], ReceivedFrame(Image(), None, 0.0)))
    return result
DepthNode.on_activate = on_activate
""")
    assert "the worker runs" in log
    assert status == 0 and "ERROR" not in log and "Traceback" not in log


def loaded_segments(node):
    """Wait until a node runs and return its shared memory; skip the test if it has none."""
    deadline = time.monotonic() + harness.PATIENCE
    while "loaded in" not in node.log():
        assert node.process.poll() is None and time.monotonic() < deadline, node.log()
        time.sleep(0.1)
    segments = node.segments()
    if not segments:
        pytest.skip("the node has no shared memory of Fast DDS")
    return segments


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_threads_do_not_spin_unless_the_user_wants_it(run, monkeypatch, chosen):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    status, log = run("""
def load(*arguments, **options):
    print("threads wait:", os.environ["OMP_WAIT_POLICY"], flush=True)
    raise KeyboardInterrupt
monodepth2_ros.predictor.DepthPredictor = load
""")
    assert status == 0 and f"threads wait: {chosen or 'PASSIVE'}" in log


def test_something_else_is_done_while_a_function_takes_long():
    done = threading.Event()
    asked = []

    def meanwhile(seconds):
        asked.append(seconds)
        done.set()

    def function():
        assert done.wait(harness.PATIENCE)
        return 7

    assert BackgroundCall(function, "long").wait(meanwhile) == 7
    assert asked


def test_services_answer_while_the_model_is_loaded(start, tmp_path, monkeypatch):
    """The model comes only when somebody has heard from the node."""
    heard = tmp_path / "heard"
    monkeypatch.setenv("HEARD", str(heard))
    node = start(
        changes=HEAD
        + """
def load(*arguments, **options):
    while not os.path.exists(os.environ["HEARD"]):
        time.sleep(0.05)
    raise KeyboardInterrupt
monodepth2_ros.predictor.DepthPredictor = load
"""
    )
    peer = harness.Peer()
    try:
        assert peer.state(node) == "configuring"
        assert peer.node.count_publishers("/points")  # others can connect already
    finally:
        peer.close()
        heard.touch()
    assert node.process.wait(harness.PATIENCE) == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_no_shared_memory_outlives_the_node(start, name):
    """A robot that restarts its nodes must not run out of memory."""
    node = start()
    segments = loaded_segments(node)
    assert node.stop(signal.Signals[name]) == 0
    assert not [path for path in segments if path.exists()]


def test_of_shared_memory_only_that_of_dead_nodes_is_removed(start):
    """That is how these tests clean up after a node that had to be killed."""
    dead = start()
    left = loaded_segments(dead)
    alive = start()
    used = loaded_segments(alive) - left  # which the two may have mapped both
    os.kill(dead.process.pid, signal.SIGKILL)
    dead.process.wait(harness.PATIENCE)
    assert used and all(path.exists() for path in left | used)
    harness.remove_orphans(left | used)
    assert {path for path in left | used if path.exists()} == used


def test_no_shared_memory_outlives_a_node_in_the_middle_of_a_slow_frame(start):
    node = start(
        changes=HEAD
        + """
def process(self, stream, frame):
    print("the frame begins", flush=True)
    time.sleep(120)
DepthNode._process = process
activate = DepthNode.on_activate
def on_activate(self, state):
    result = activate(self, state)
    self._mailbox.put((self._streams[0], ReceivedFrame(Image(), None, 0.0)))
    return result
DepthNode.on_activate = on_activate
"""
    )
    deadline = time.monotonic() + harness.PATIENCE
    while "the frame begins" not in node.log():
        assert node.process.poll() is None and time.monotonic() < deadline, node.log()
        time.sleep(0.1)
    segments = node.segments()
    sent = time.monotonic()
    assert node.stop(signal.SIGTERM) == 0
    assert time.monotonic() - sent < 60 and "Traceback" not in node.log()
    assert segments and not [path for path in segments if path.exists()]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_library_that_holds_the_gil_does_not_keep_the_process_from_ending(run, name):
    """PyDLL keeps the GIL: no Python code runs from then on, no signal handler either."""
    status, log = run(f"""
import ctypes, subprocess, sys
def load(*arguments, **options):
    command = f"import os, time; time.sleep(2); os.kill({{os.getpid()}}, signal.{name})"
    subprocess.Popen([sys.executable, "-c", "import signal;" + command])
    print("the library holds the GIL", flush=True)
    ctypes.PyDLL(None).sleep(600)
    print("it has come back", flush=True)
monodepth2_ros.predictor.DepthPredictor = load
""")
    assert status == 0
    assert "the library holds the GIL" in log and "it has come back" not in log


def test_a_process_without_a_signal_lives_on():
    """The thread that waits for a signal ends nothing by itself."""
    program = (
        "import time; from monodepth2_ros.node.shutdown import exit_after_signal\n"
        "assert exit_after_signal(1, 7)\ntime.sleep(3)\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, b"alive\n"), done.stderr
