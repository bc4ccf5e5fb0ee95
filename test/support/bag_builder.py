# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small recordings for the tests: a scene with depth that a camera moves past, and bag writers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

WIDTH, HEIGHT = 160, 96
K = (120.0, 0.0, 79.5, 0.0, 120.0, 47.5, 0.0, 0.0, 1.0)
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
INTERVAL = SECOND // 10
FAR, NEAR = 4.0, 2.0


@cache
def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Return smooth random colours, (height, width, 3) uint8."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = (
        cv2.GaussianBlur(noise, (0, 0), 2.0) * 5.0 + cv2.GaussianBlur(noise, (0, 0), 8.0) * 10.0
    )
    picture = (smooth * 40.0 + 128.0).clip(0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture


def scene(
    position: float, width: int = WIDTH, height: int = HEIGHT
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a camera sees that has moved sideways past a far wall and a nearer box.

    The wall moves `position` pixels to the left in the image, the box, at half the distance,
    twice as many.

    Returns
    -------
    image (height, width, 3) uint8 and depth (height, width) float32 in metres.
    """
    wall = texture(height + 8, 2048, 1)
    box = texture(height, 2048, 2)
    shift = np.array([[1.0, 0.0, -position], [0.0, 1.0, 0.0]])
    image = cv2.warpAffine(wall, shift, (width, height), borderMode=cv2.BORDER_WRAP)
    depth = np.full((height, width), FAR, np.float32)
    # A row of boxes, so that some are always in view.
    columns = np.arange(width) + 2.0 * position
    is_box = (columns % 100.0) < 40.0
    shift[0, 2] *= 2.0
    boxes = cv2.warpAffine(box, shift, (width, height), borderMode=cv2.BORDER_WRAP)
    rows = slice(height // 3, height)
    image[rows, is_box] = boxes[rows, is_box]
    depth[rows, is_box] = NEAR
    return image, depth


@dataclass
class Bag:
    """Writes a bag; images arrive a millisecond after their stamp.

    Parameters
    ----------
    path : Path
    storage : "mcap", "sqlite3" or "ros1"
    compression : "", "file" or "message"
    """

    path: Path
    storage: str = "sqlite3"
    compression: str = ""
    connections: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Bag:
        if self.storage == "ros1":
            self.types = get_typestore(Stores.ROS1_NOETIC)
            self.writer: Any = Ros1Writer(self.path)
        else:
            self.types = get_typestore(Stores.ROS2_HUMBLE)
            plugin = StoragePlugin.MCAP if self.storage == "mcap" else StoragePlugin.SQLITE3
            self.writer = Writer(self.path, version=9, storage_plugin=plugin)
            if self.compression:
                mode = CompressionMode[self.compression.upper()]
                self.writer.set_compression(mode, CompressionFormat.ZSTD)
        self.writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.close()

    def message(self, kind: str, **fields: Any) -> Any:
        return self.types.types[kind](**fields)

    def header(self, stamp: int, frame_id: str) -> Any:
        time = self._time(stamp)
        fields = {"stamp": time, "frame_id": frame_id}
        if self.storage == "ros1":
            fields["seq"] = 0
        return self.message("std_msgs/msg/Header", **fields)

    def write(self, topic: str, message: Any, stamp: int) -> None:
        kind = message.__msgtype__
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.types)
        serialize = (
            self.types.serialize_ros1 if self.storage == "ros1" else self.types.serialize_cdr
        )
        self.writer.write(self.connections[topic], stamp, serialize(message, kind))

    def image(
        self,
        topic: str,
        stamp: int,
        image: np.ndarray,
        encoding: str = "rgb8",
        frame_id: str = "camera",
        received: int | None = None,
    ) -> None:
        message = self.message(
            "sensor_msgs/msg/Image",
            header=self.header(stamp, frame_id),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=image[0].nbytes,
            data=np.ascontiguousarray(image).view(np.uint8).reshape(-1),
        )
        self.write(topic, message, received or stamp + 1_000_000)

    def compressed(
        self, topic: str, stamp: int, data: bytes, form: str = "jpeg", frame_id: str = "camera"
    ) -> None:
        message = self.message(
            "sensor_msgs/msg/CompressedImage",
            header=self.header(stamp, frame_id),
            format=form,
            data=np.frombuffer(data, np.uint8),
        )
        self.write(topic, message, stamp + 1_000_000)

    def jpeg(self, topic: str, stamp: int, image: np.ndarray, frame_id: str = "camera") -> None:
        self.compressed(topic, stamp, encode(".jpg", image[..., ::-1]), frame_id=frame_id)

    def compressed_depth(
        self, topic: str, stamp: int, depth: np.ndarray, frame_id: str = "camera"
    ) -> None:
        millimetres = np.nan_to_num(depth * 1000.0).astype(np.uint16)
        data = struct.pack("<iff", 0, 0.0, 0.0) + encode(".png", millimetres)
        self.compressed(topic, stamp, data, "16UC1; compressedDepth png", frame_id)

    def info(
        self,
        topic: str,
        stamp: int,
        k: Sequence[float] = K,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        d: Sequence[float] = (0.0,) * 5,
        baseline: float = 0.0,
        frame_id: str = "camera",
    ) -> None:
        p = [*k[:3], -k[0] * baseline, *k[3:6], 0.0, *k[6:], 0.0]
        matrices = {"d": d, "k": k, "r": np.eye(3).reshape(-1), "p": p}
        if self.storage == "ros1":
            matrices = {name.upper(): value for name, value in matrices.items()}
        message = self.message(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp, frame_id),
            height=size[1],
            width=size[0],
            distortion_model="plumb_bob",
            binning_x=0,
            binning_y=0,
            roi=self.message(
                "sensor_msgs/msg/RegionOfInterest",
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
            **{name: np.array(value, np.float64) for name, value in matrices.items()},
        )
        self.write(topic, message, stamp)

    def pose(self, position: Sequence[float], quaternion: Sequence[float]) -> Any:
        return self.message(
            "geometry_msgs/msg/Pose",
            position=self._xyz("geometry_msgs/msg/Point", position),
            orientation=self._quaternion(quaternion),
        )

    def odometry(
        self,
        topic: str,
        stamp: int,
        position: Sequence[float],
        quaternion: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
        child: str = "camera",
    ) -> None:
        zero = self._xyz("geometry_msgs/msg/Vector3", (0.0, 0.0, 0.0))
        covariance = np.zeros(36)
        message = self.message(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp, "world"),
            child_frame_id=child,
            pose=self.message(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=self.pose(position, quaternion),
                covariance=covariance,
            ),
            twist=self.message(
                "geometry_msgs/msg/TwistWithCovariance",
                twist=self.message("geometry_msgs/msg/Twist", linear=zero, angular=zero),
                covariance=covariance,
            ),
        )
        self.write(topic, message, stamp)

    def pose_stamped(self, topic: str, stamp: int, position: Sequence[float]) -> None:
        message = self.message(
            "geometry_msgs/msg/PoseStamped",
            header=self.header(stamp, "world"),
            pose=self.pose(position, (0.0, 0.0, 0.0, 1.0)),
        )
        self.write(topic, message, stamp)

    def transform(
        self,
        topic: str,
        stamp: int,
        parent: str,
        child: str,
        translation: Sequence[float],
        quaternion: Sequence[float] = (0.0, 0.0, 0.0, 1.0),
    ) -> None:
        transform = self.message(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(stamp, parent),
            child_frame_id=child,
            transform=self.message(
                "geometry_msgs/msg/Transform",
                translation=self._xyz("geometry_msgs/msg/Vector3", translation),
                rotation=self._quaternion(quaternion),
            ),
        )
        message = self.message("tf2_msgs/msg/TFMessage", transforms=[transform])
        self.write(topic, message, stamp)

    def cloud(self, topic: str, stamp: int, points: np.ndarray, frame_id: str) -> None:
        rows = np.zeros((len(points), 4), np.float32)
        rows[:, :3] = points
        message = self.message(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(stamp, frame_id),
            height=1,
            width=len(points),
            fields=[
                self.message(
                    "sensor_msgs/msg/PointField", name=n, offset=4 * i, datatype=7, count=1
                )
                for i, n in enumerate("xyz")
            ],
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(points),
            data=rows.view(np.uint8).reshape(-1),
            is_dense=True,
        )
        self.write(topic, message, stamp)

    def _time(self, stamp: int) -> Any:
        fields = {"sec": stamp // SECOND, "nanosec": stamp % SECOND}
        return self.message("builtin_interfaces/msg/Time", **fields)

    def _xyz(self, kind: str, values: Sequence[float]) -> Any:
        return self.message(kind, **dict(zip("xyz", map(float, values), strict=True)))

    def _quaternion(self, values: Sequence[float]) -> Any:
        fields = dict(zip("xyzw", map(float, values), strict=True))
        return self.message("geometry_msgs/msg/Quaternion", **fields)


def encode(suffix: str, image: np.ndarray) -> bytes:
    """Encode an image (BGR) as a file's bytes."""
    is_written, data = cv2.imencode(suffix, image)
    assert is_written
    return bytes(data)


def write_drive(
    path: Path,
    positions: Sequence[float],
    storage: str = "sqlite3",
    compression: str = "",
    namespace: str = "/camera",
    with_depth: bool = False,
    with_odometry: bool = False,
    start: int = START,
) -> Path:
    """Write a bag of a camera that was at these positions, a tenth of a second apart."""
    with Bag(path, storage, compression) as bag:
        for i, position in enumerate(positions):
            stamp = start + i * INTERVAL
            image, depth = scene(position)
            bag.info(f"{namespace}/camera_info", stamp)
            bag.image(f"{namespace}/image_raw", stamp, image)
            if with_depth:
                bag.compressed_depth(f"{namespace}/depth/compressedDepth", stamp, depth)
            if with_odometry:
                # The wall is FAR away, so a pixel is FAR / fx metres.
                bag.odometry("/odom", stamp, (position * FAR / K[0], 0.0, 0.0))
    return path
