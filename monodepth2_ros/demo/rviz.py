# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`depth_rviz`: start rviz with the frame, the image topic and the view that fit the camera.

rviz draws a cloud only where its Fixed Frame is the cloud's frame, or connected with it by TF, and
logs nothing where it is not. The frame is known from the first depth image, so rviz is started
after it.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_rviz")

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine
from monodepth2_ros.option_fields import check_options, option
from monodepth2_ros.visualization.rviz_configuration import fit_configuration

# Seconds until the first message about what is waited for; each later one takes twice as long.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Scene:
    """What the first depth image tells, and where the images come from.

    Attributes
    ----------
    frame_id : str
    depth : float or None
        Median in metres; None if no pixel has depth.
    image_topic : str
        As the configuration names it, before remapping: /image or /image/compressed.
    """

    frame_id: str
    depth: float | None
    image_topic: str


@dataclass(frozen=True)
class RvizOptions:
    """Options of ``depth_rviz``."""

    display_config: Path = option(
        description="rviz configuration: config/depth.rviz or one derived from it",
        short="-d",
        metavar="FILE",
    )
    fixed_frame: str = option(
        "",
        "rviz's Fixed Frame, connected by TF with the camera's (usually the camera's)",
        metavar="FRAME",
    )

    def __post_init__(self) -> None:
        check_options(self)


@guarded("depth_rviz")
def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for the first depth image, then turn into rviz.

    Returns
    -------
    int
        Exit status; not reached where rviz is started, for it takes this process's place.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = make_command_line().parse(remove_ros_args(["depth_rviz", *given])[1:])
    rviz = find_rviz()
    if rviz is None:
        print(
            "depth_rviz: rviz2 is not installed; install it "
            "(sudo apt install ros-$ROS_DISTRO-rviz2) or launch with rviz:=false",
            file=sys.stderr,
        )
        return 1
    try:
        configuration = yaml.safe_load(options.display_config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        print(f"depth_rviz: {options.display_config} cannot be read: {error}", file=sys.stderr)
        return 1
    try:
        scene = wait_for_scene(given)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    fitted = fit_configuration(
        configuration, scene.frame_id, options.fixed_frame, scene.image_topic, scene.depth
    )
    # rviz reads the file when it starts, and writes to it when its user saves the configuration.
    path = Path(tempfile.mkdtemp(prefix="depth_rviz_")) / "depth.rviz"
    path.write_text(yaml.safe_dump(fitted, sort_keys=False), encoding="utf-8")
    ros_arguments = given[given.index("--ros-args") :] if "--ros-args" in given else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(rviz, [str(rviz), "--display-config", str(path), *ros_arguments])


def make_command_line() -> CommandLine[RvizOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_rviz",
        RvizOptions,
        "Wait for the node's first depth image and start rviz2 with its frame. What follows "
        "--ros-args, remappings for example, is for rviz as well.",
    )


def find_rviz() -> Path | None:
    """Return the executable of rviz2, None where it is not installed."""
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        path = Path(prefix) / "lib" / "rviz2" / "rviz2"
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("rviz2")
    return Path(found) if found else None


def wait_for_scene(ros_arguments: Sequence[str]) -> Scene:
    """Wait for the first depth image of the node.

    Parameters
    ----------
    ros_arguments : sequence of str
        With the remappings of the topics `/image` and `/depth/image_rect`.

    Raises
    ------
    KeyboardInterrupt, ExternalShutdownException
        When it is ended.
    """
    rclpy.init(args=list(ros_arguments))
    node = Node("depth_rviz", use_global_arguments=True, enable_rosout=False)
    received: list[Any] = []
    quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    subscription = node.create_subscription(Image, "/depth/image_rect", received.append, quality)
    begin, patience = time.monotonic(), _PATIENCE
    try:
        while not received:
            rclpy.spin_once(node, timeout_sec=0.5)
            if not received and time.monotonic() - begin > patience:
                patience *= 2.0
                node.get_logger().info(
                    f"rviz starts with the first depth image on {subscription.topic_name}, from "
                    f"which its frame is learned; {_say_why_none(node)}"
                )
        message = received[0]
        if not message.header.frame_id:
            node.get_logger().warning(
                "the depth image has an empty frame_id, as the camera's image: rviz can show no "
                "cloud; set the camera driver's frame_id"
            )
        return Scene(message.header.frame_id, median_depth(message), _image_topic(node))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _say_why_none(node: Node) -> str:
    """Say what is missing for a depth image."""
    topics = {name: node.resolve_topic_name(name) for name in _IMAGE_TOPICS}
    if any(node.count_publishers(topic) for topic in topics.values()):
        return "the camera publishes, so the depth node is starting or has a problem (/diagnostics)"
    return f"nothing publishes {' or '.join(topics.values())}"


_IMAGE_TOPICS = ("/image", "/image/compressed")


# Seconds. The camera may be discovered later than the depth node whose image has come.
_DISCOVERY_PATIENCE = 5.0


def _image_topic(node: Node, patience: float = _DISCOVERY_PATIENCE) -> str:
    """Return the transport that the depth node receives, as the configuration would name it."""
    resolved = {topic: node.resolve_topic_name(topic) for topic in _IMAGE_TOPICS}
    end = time.monotonic() + patience
    while True:
        heard = [topic for topic, name in resolved.items() if node.count_subscribers(name)]
        sent = [topic for topic, name in resolved.items() if node.count_publishers(name)]
        both = [topic for topic in heard if topic in sent]
        if both or time.monotonic() >= end:
            return (both or heard or sent or list(_IMAGE_TOPICS))[0]
        time.sleep(0.1)


def median_depth(message: Any) -> float | None:
    """Return the median of a depth image (32FC1 or 16UC1) in metres, None if nothing is known."""
    kind, unit = ("<f4", 1.0) if message.encoding == "32FC1" else ("<u2", 1e-3)
    kind = kind.replace("<", ">") if message.is_bigendian else kind
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    depth = rows[:, : message.width * np.dtype(kind).itemsize].copy().view(kind) * unit
    known = depth[np.isfinite(depth) & (depth > 0.0)]
    return float(np.median(known)) if known.size else None


if __name__ == "__main__":
    sys.exit(main())
