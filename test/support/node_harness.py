# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the real node in its own process and talks to it over DDS."""

from __future__ import annotations

import array
import contextlib
import fcntl
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.demo.node_process import prepare_environment
from paths import REPOSITORY

#: Seconds. Where ten programs share two cores a node takes more than 60 to start (it imports torch)
#: and a test that passes never waits for the end of it.
PATIENCE = 180.0

#: What the node's diagnostics call the listeners of each output.
LISTENERS = {
    "depth/image_rect": "depth listeners",
    "depth/camera_info": "camera_info listeners",
    "depth/image_color": "color listeners",
    "points": "points listeners",
}

STATE = "/depth/get_state"

#: What runs the network in this process: torch, or what there is on a robot without it.
BACKEND = "torch" if importlib.util.find_spec("torch") else "openvino"

#: What runs it in a process of its own: OpenVINO, because that starts twice as fast as torch.
PROCESS_BACKEND = "openvino" if importlib.util.find_spec("openvino") else "torch"

OUTPUTS = {
    "depth/image_rect": Image,
    "depth/camera_info": CameraInfo,
    "depth/image_color": Image,
    "points": PointCloud2,
}


def use_private_domain() -> None:
    """Keep this test run's traffic to itself, whatever the user has set."""
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        os.environ.pop(name, None)
    prepare_environment(os.environ)


class NodeProcess:
    """The node, as a user starts it, or with `changes` to it: a program that makes them first."""

    def __init__(self, *arguments: str, changes: str = "", **parameters: Any) -> None:
        program = ["-m", "monodepth2_ros.node"]
        if changes:
            program = ["-c", f"{changes}\nfrom monodepth2_ros.node.__main__ import main\nmain()"]
        command = [sys.executable, *program, "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name.replace('__', '.')}:={text}"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the node
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=REPOSITORY, stdout=self._log, stderr=subprocess.STDOUT
        )

    def log(self) -> str:
        # The node writes where this file stands: reading must not move that.
        log = self._log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode(errors="replace")

    def segments(self) -> set[Path]:
        """Return the files of shared memory that the node has mapped, without the test's own.

        A node that has discovered the test maps the memory of the test, too, to write into it.
        """

        def mapped(process: int | str) -> set[Path]:
            maps = Path(f"/proc/{process}/maps").read_text()
            return set(map(Path, re.findall(r"/dev/shm/\S*fastrtps_[0-9a-f]+$", maps, re.M)))

        return mapped(self.process.pid) - mapped("self")

    def end(self) -> None:
        """End the node, the harder the longer it takes."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the node and remove the shared memory that it had no chance to remove."""
        segments = self.segments()
        self.process.kill()
        self.process.wait(PATIENCE)
        remove_orphans(segments)

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        """Signal the node and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the node did not end; its log:\n{self.log()}") from None


class NodeThread:
    """The node in a thread of this process, over DDS all the same: it starts in no time.

    It has what :class:`Peer` needs of a :class:`NodeProcess`.
    """

    def __init__(self, *arguments: str, **parameters: Any) -> None:
        from monodepth2_ros.node.depth_node import DepthNode
        from monodepth2_ros.node.guarded_executor import GuardedExecutor

        self._context = rclpy.Context()
        self._context.init(list(arguments))
        overrides = [
            Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()
        ]
        self.node = DepthNode(context=self._context, parameter_overrides=overrides)
        self.said: list[str] = []
        self._listen()
        self._executor = GuardedExecutor(self.node.refuse, context=self._context)
        self._executor.add_node(self.node)
        self.process = self
        for step in (self.node.trigger_configure, self.node.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                break
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        """Keep what the node logs."""
        logger = self.node.get_logger()
        for level in ("info", "warning", "error"):
            setattr(logger, level, self._keep)
        self.node.get_logger = lambda: logger

    def _keep(self, text: str, **_: Any) -> None:
        self.said.append(text)

    def _spin(self) -> None:
        with contextlib.suppress(Exception):  # the end of the context
            self._executor.spin()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def log(self) -> str:
        return "\n".join(self.said)

    def end(self) -> None:
        self.node.stop_worker(10.0)
        self._executor.shutdown()
        self._thread.join(10.0)
        self.node.destroy_node()
        self._context.try_shutdown()


def remove_orphans(segments: Iterable[Path]) -> None:
    """Remove those segments of Fast DDS whose owners are dead; it does so itself only at an end.

    An owner holds a lock on a file next to its segment for as long as it lives.
    """
    for segment in segments:
        lock = segment.with_name(f"{segment.name}_el")
        with contextlib.suppress(FileNotFoundError, BlockingIOError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            segment.unlink()
            lock.unlink()


class Peer:
    """The rest of the robot: a camera before the node and a listener behind it.

    With `camera`, a camera of that name among several of the node, in the namespace of its name.
    Several of them share a `context`, which whoever made it ends: one participant in DDS, as in the
    node, that the two have to discover.
    """

    def __init__(
        self,
        transport: str = "raw",
        latched_info: bool = False,
        reliability: str = "reliable",
        camera: str = "",
        context: rclpy.Context | None = None,
    ) -> None:
        self._owned = None if context else rclpy.Context()
        if self._owned:
            self._owned.init()
        self._context = context or self._owned
        self._camera = camera
        self.node = rclpy.create_node("peer", context=self._context, namespace=camera)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = {topic: [] for topic in OUTPUTS}
        self.diagnostics: list[Any] = []
        self._subscriptions: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        image_qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
        kind = CompressedImage if transport == "compressed" else Image
        topic = "image/compressed" if transport == "compressed" else "image"
        self._images = self.node.create_publisher(kind, topic, image_qos)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched_info else DurabilityPolicy.VOLATILE
        info_qos = QoSProfile(
            depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=durability
        )
        self._infos = self.node.create_publisher(CameraInfo, "camera_info", info_qos)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 100)

    def listen(self, *topics: str) -> None:
        for topic in topics or OUTPUTS:
            self._subscriptions[topic] = self.node.create_subscription(
                OUTPUTS[topic], topic, self.received[topic].append, 10
            )

    def spin(self, seconds: float = 0.0) -> None:
        end = time.monotonic() + seconds
        while True:
            self._executor.spin_once(timeout_sec=0.02)
            if time.monotonic() >= end:
                return

    def wait(self, condition: Callable[[], Any], what: str, node: NodeProcess) -> Any:
        """Spin until a condition holds and return its value."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            if node.process.poll() is not None:
                break
            self.spin()
        raise AssertionError(f"waited for {what} in vain; the node's log:\n{node.log()}")

    def connect(self, node: NodeProcess) -> None:
        """Wait until both sides know of each other, so that no message is lost.

        Discovery takes its time on each side: what a writer sends before it knows of the reader,
        or a best-effort reader gets before it knows of the writer, is gone. What the node knows is
        in its diagnostics.
        """
        wanted = {"image publishers", "camera_info publishers"}
        wanted |= {LISTENERS[topic] for topic in self._subscriptions}
        self.diagnostics.clear()

        def connected() -> bool:
            return (
                all(s.get_publisher_count() for s in self._subscriptions.values())
                and self.is_heard()
                and any(all(values[key] != "0" for key in wanted) for _, values in self._reports())
            )

        try:
            self.wait(connected, "the node's topics", node)
        except AssertionError as error:
            _, values = next(reversed(self._reports()), ("", {}))
            counts = {key: values.get(key) for key in sorted(wanted)}
            raise AssertionError(f"{error}\nthe node knows of {counts}") from None

    def is_heard(self) -> bool:
        """Tell whether the node, as far as known here, subscribes to everything sent from here."""
        return bool(self._images.get_subscription_count() and self._infos.get_subscription_count())

    def disconnect(self, node: NodeProcess) -> None:
        """Wait until it is known here that the node has unsubscribed from everything."""

        def disconnected() -> bool:
            publishers = (self._images, self._infos)
            return not any(publisher.get_subscription_count() for publisher in publishers)

        self.wait(disconnected, "the end of the node's subscriptions", node)

    def send(self, message: Any, stamp_ns: int, frame: str = "camera_optical_frame") -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        message.header.frame_id = frame
        publisher = self._infos if isinstance(message, CameraInfo) else self._images
        self.diagnostics.clear()
        publisher.publish(message)

    def output(self, topic: str, stamp_ns: int, node: NodeProcess) -> Any:
        """Wait for the output with a stamp."""

        def find() -> Any:
            for message in self.received[topic]:
                stamp = message.header.stamp
                if stamp.sec * 10**9 + stamp.nanosec == stamp_ns:
                    return message
            return None

        return self.wait(find, f"{topic} at {stamp_ns}", node)

    def status(
        self, text: str, node: NodeProcess, expected: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Wait for diagnostics since the last message sent; return level, text and values.

        A report may have been made in the middle of a frame, and a message may hold for two
        seconds only: so all reports count, however late they are looked at, and `expected` names
        the values to wait for.
        """

        def find() -> dict[str, str] | None:
            for message, values in self._reports():
                if text in message and (expected or {}).items() <= values.items():
                    return values
            return None

        try:
            return self.wait(find, f"diagnostics with '{text}' and {expected}", node)
        except AssertionError as error:
            seen = {
                (message, *(values.get(key) for key in expected or {}))
                for message, values in self._reports()
            }
            raise AssertionError(f"{error}\nseen instead: {seen}") from None

    def _reports(self) -> list[tuple[str, dict[str, str]]]:
        """Return message and values of the node's diagnostics, oldest first."""
        return [
            (
                status.message,
                {
                    **{item.key: item.value for item in status.values},
                    "level": str(ord(status.level)),
                    "text": status.message,
                },
            )
            for report in self.diagnostics
            for status in report.status
            if status.name == f"depth: {self._camera or 'depth'}"
        ]

    def call(self, kind: Any, service: str, request: Any, node: NodeProcess) -> Any:
        # All clients at once: when the first is answered, the node has discovered the others too.
        if not self._clients:
            kinds = {STATE: GetState, "/depth/change_state": ChangeState}
            kinds["/depth/set_parameters"] = SetParameters
            self._clients = {
                name: self.node.create_client(one, name) for name, one in kinds.items()
            }
            if service != STATE:
                self.state(node)
        client = self._clients[service]
        self.wait(client.service_is_ready, f"service {service}", node)
        futures = [client.call_async(request)]
        sent = time.monotonic()

        def answered() -> Any:
            # A node that has not discovered the client yet drops its answer: ask again, where
            # asking twice does no harm.
            nonlocal sent
            if service == STATE and time.monotonic() - sent > 3.0:
                futures.append(client.call_async(request))
                sent = time.monotonic()
            return next((future for future in futures if future.done()), None)

        return self.wait(answered, f"an answer from {service}", node).result()

    def set_parameter(self, name: str, value: Any, node: NodeProcess) -> Any:
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg()]
        return self.call(SetParameters, "/depth/set_parameters", request, node).results[0]

    def transition(self, label: str, node: NodeProcess) -> bool:
        self.diagnostics.clear()
        request = ChangeState.Request()
        request.transition.label = label
        is_done = self.call(ChangeState, "/depth/change_state", request, node).success
        if not is_done:
            print(f"{label} failed:\n{node.log()}")  # shown where the test did not expect it
        return is_done

    def state(self, node: NodeProcess) -> str:
        answer = self.call(GetState, STATE, GetState.Request(), node)
        return answer.current_state.label

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        if self._owned:
            self._owned.try_shutdown()

    end = close


def image_message(rgb: np.ndarray, encoding: str = "rgb8") -> Image:
    channels = 1 if rgb.ndim == 2 else rgb.shape[2]
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding)
    message.step = channels * rgb.shape[1]
    message.data = array.array("B", np.ascontiguousarray(rgb).tobytes())
    return message


def info_message(camera: PinholeCamera, d: tuple[float, ...] = ()) -> CameraInfo:
    message = CameraInfo(height=camera.height, width=camera.width)
    message.distortion_model = "plumb_bob"
    message.d = list(d or (0.0,) * 5)
    message.k = camera.matrix.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return message


def image_array(message: Image) -> np.ndarray:
    """Read an output image by the definition of sensor_msgs/Image."""
    kind = {"32FC1": "<f4", "16UC1": "<u2", "rgb8": "u1"}[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    values = np.ascontiguousarray(rows).view(kind)
    return values.reshape(message.height, message.width, -1).squeeze()


def cloud_array(message: PointCloud2) -> np.ndarray:
    """Read a cloud by its own description: an array with the fields by name."""
    layout = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": ["<f4"] * len(message.fields),
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    return np.frombuffer(message.data, layout).reshape(message.height, message.width)


def write_model(path: Path, width: int, height: int, seed: int = 4) -> None:
    """Write a small model with random weights whose depth is not flat."""
    from monodepth2_ros.checkpoint import CheckpointMetadata, random_checkpoint, save_checkpoint
    from monodepth2_ros.weights import StateDicts

    drawn = random_checkpoint(18, width, height, seed=seed).state
    state = {name: dict(drawn.arrays(name)) for name in ("encoder", "depth")}
    head = state["depth"]["decoder.10.conv.weight"]
    values = 3.0 * np.random.default_rng(seed).standard_normal(head.shape)
    state["depth"]["decoder.10.conv.weight"] = values.astype(np.float32)
    save_checkpoint(path, CheckpointMetadata(18, width, height), StateDicts(state))
