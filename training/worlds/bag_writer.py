# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes frames with their truth as a rosbag2.

The topics, all with the same header stamps and, but for the odometry, the frame
``camera_optical_frame``:

========================================  ==========================  ===========================
/camera/image_raw                         sensor_msgs/Image           rgb8
/camera/image_raw/compressed              sensor_msgs/CompressedImage JPEG, in place of the former
/camera/camera_info                       sensor_msgs/CameraInfo      no distortion, R = 1, P = K
/camera/depth/image_raw                   sensor_msgs/Image           32FC1, metres along the
                                                                      optical axis, infinite sky; or
                                                                      16UC1, millimetres, 0 for sky
/odom                                     nav_msgs/Odometry           pose of the optical frame
                                                                      (x right, y down, z forward)
                                                                      in ``world`` (z up)
========================================  ==========================  ===========================

The twist of the odometry is not given: NaN. Odometry with errors
(:mod:`training.worlds.odometry`) is that of ``base_link``, on the ground below the camera, in
``odom``, 50 times a second, and /tf_static has the camera's mounting. With a range sensor there is
/scan (sensor_msgs/LaserScan) of the frame ``laser``, whose mounting is in /tf_static, too.
/camera/height (std_msgs/Float32) is the height of the camera above the ground.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import check_target as require_writable
from monodepth2_ros.recordings.writer import RecordingWriter
from monodepth2_ros.scale.poses import quaternion
from training.worlds.odometry import OdometryRecorder

if TYPE_CHECKING:
    from training.worlds.film import SyntheticFrame
    from training.worlds.range_scan import RangeScan

Floats = NDArray[np.float64]

CAMERA_FRAME = "camera_optical_frame"
WORLD_FRAME = "world"
IMAGE_TOPIC = "/camera/image_raw"
CAMERA_INFO_TOPIC = "/camera/camera_info"
DEPTH_TOPIC = "/camera/depth/image_raw"
ODOMETRY_TOPIC = "/odom"
BODY_FRAME = "base_link"
ODOMETRY_FRAME = "odom"
SCAN_TOPIC = "/scan"
SCAN_FRAME = "laser"
HEIGHT_TOPIC = "/camera/height"
TRANSFORMS_TOPIC = "/tf_static"

DEPTH_ENCODINGS = ("32FC1", "16UC1")


def write_recording(
    target: Path | str,
    frames: Iterable[SyntheticFrame],
    storage: str = "mcap",
    compressed: bool = False,
    jpeg_quality: int = 90,
    depth_encoding: str = "32FC1",
    force: bool = False,
    odometry: OdometryRecorder | None = None,
) -> int:
    """Write frames as a rosbag2.

    The recording appears under its name when it is complete.

    Parameters
    ----------
    target : path
        The folder to make.
    frames : iterable of SyntheticFrame
    storage : str
        "mcap" or "sqlite3".
    compressed : bool
        Write JPEG images instead of raw ones.
    jpeg_quality : int
        1 to 100.
    depth_encoding : str
        "32FC1" (metres) or "16UC1" (millimetres; beyond 65.535 m unknown).
    force : bool
        Replace a recording that is there.
    odometry : OdometryRecorder, optional
        Makes the odometry, of a body; by default it is the exact pose of the camera.

    Returns
    -------
    int
        The number of frames.

    Raises
    ------
    FileExistsError
        If the target exists and `force` is not set, or is not a recording.
    ValueError
        If storage or encoding are unknown.
    """
    from rosbags.typesys import Stores, get_typestore

    if depth_encoding not in DEPTH_ENCODINGS:
        raise ValueError(
            f"depth_encoding is '{depth_encoding}'; give {' or '.join(DEPTH_ENCODINGS)}"
        )
    target = Path(target)
    check_bag_target(target, force)
    typestore = get_typestore(Stores.ROS2_JAZZY)
    types = {
        CAMERA_INFO_TOPIC: "sensor_msgs/msg/CameraInfo",
        DEPTH_TOPIC: "sensor_msgs/msg/Image",
        ODOMETRY_TOPIC: "nav_msgs/msg/Odometry",
    }
    if compressed:
        types[IMAGE_TOPIC + "/compressed"] = "sensor_msgs/msg/CompressedImage"
    else:
        types[IMAGE_TOPIC] = "sensor_msgs/msg/Image"
    extras = {
        HEIGHT_TOPIC: "std_msgs/msg/Float32",
        SCAN_TOPIC: "sensor_msgs/msg/LaserScan",
        TRANSFORMS_TOPIC: "tf2_msgs/msg/TFMessage",
    }
    count = 0
    with RecordingWriter(target, types, storage, compress=False) as writer:

        def write(topic: str, message: Any, stamp: int) -> None:
            kind = types.get(topic) or extras[topic]
            if topic not in writer.counts:
                writer.add_topic(topic, kind)
            writer.write(topic, stamp, typestore.serialize_cdr(message, kind))

        for frame in frames:
            messages = _messages(typestore, frame, compressed, jpeg_quality, depth_encoding)
            if odometry is not None:
                del messages[ODOMETRY_TOPIC]
            transforms = _mountings(typestore.types, frame, odometry) if count == 0 else None
            if transforms is not None:
                write(TRANSFORMS_TOPIC, transforms, frame.stamp)
            for topic, message in messages.items():
                write(topic, message, frame.stamp)
            if odometry is not None:
                for stamp, pose in odometry.advance(frame.stamp, frame.pose):
                    header = _header(typestore.types, stamp, ODOMETRY_FRAME)
                    moved = _odometry(typestore.types, header, pose, BODY_FRAME)
                    write(ODOMETRY_TOPIC, moved, stamp)
            count += 1
        writer.finish(replace=force)
    return count


def check_bag_target(target: Path, force: bool) -> None:
    """Raise FileExistsError where writing would replace what should stay."""
    require_writable(target)
    if not target.exists():
        return
    if not force:
        raise FileExistsError(
            f"{target} exists; give another folder, or replace it by force (--force)"
        )
    if not (target / "metadata.yaml").is_file():
        raise FileExistsError(f"{target} exists and is not a recording; it will not be replaced")


def _messages(
    typestore: Any,
    frame: SyntheticFrame,
    compressed: bool,
    jpeg_quality: int,
    depth_encoding: str,
) -> dict[str, Any]:
    """Build the messages of a frame, by topic."""
    types = typestore.types
    camera = frame.camera

    def header(frame_id: str) -> Any:
        return _header(types, frame.stamp, frame_id)

    def image(array: NDArray[Any], encoding: str) -> Any:
        # rosbags takes the bytes as they are in memory; the fields have to agree with them.
        array = np.ascontiguousarray(array)
        return types["sensor_msgs/msg/Image"](
            header=header(CAMERA_FRAME),
            height=array.shape[0],
            width=array.shape[1],
            encoding=encoding,
            is_bigendian=int(sys.byteorder == "big"),
            step=array.strides[0],
            data=array.view(np.uint8).ravel(),
        )

    messages = {}
    if compressed:
        import cv2

        done, jpeg = cv2.imencode(
            ".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
        )
        if not done:
            raise RuntimeError("the image could not be encoded as JPEG")
        messages[IMAGE_TOPIC + "/compressed"] = types["sensor_msgs/msg/CompressedImage"](
            header=header(CAMERA_FRAME), format="rgb8; jpeg compressed bgr8", data=jpeg.ravel()
        )
    else:
        messages[IMAGE_TOPIC] = image(frame.image, "rgb8")
    matrix = camera.matrix
    messages[CAMERA_INFO_TOPIC] = types["sensor_msgs/msg/CameraInfo"](
        header=header(CAMERA_FRAME),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.column_stack([matrix, np.zeros(3)]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )
    messages[DEPTH_TOPIC] = image(encode_depth(frame.depth, depth_encoding), depth_encoding)
    messages[ODOMETRY_TOPIC] = _odometry(types, header(WORLD_FRAME), frame.pose, CAMERA_FRAME)
    if frame.scan is not None:
        messages[SCAN_TOPIC] = _scan(types, header(SCAN_FRAME), frame.scan)
        height = types["std_msgs/msg/Float32"](data=float(frame.pose[2, 3]))
        messages[HEIGHT_TOPIC] = height
    return messages


def _header(types: Any, stamp: int, frame_id: str) -> Any:
    """Build a header; the stamp is in nanoseconds."""
    sec, nanosec = divmod(stamp, 10**9)
    time = types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def _scan(types: Any, header: Any, scan: RangeScan) -> Any:
    """Build a LaserScan."""
    return types["sensor_msgs/msg/LaserScan"](
        header=header,
        angle_min=scan.angle_min,
        angle_max=scan.angle_min + scan.angle_increment * (len(scan.ranges) - 1),
        angle_increment=scan.angle_increment,
        time_increment=0.0,
        scan_time=0.0,
        range_min=scan.range_min,
        range_max=scan.range_max,
        ranges=scan.ranges,
        intensities=np.zeros(0, np.float32),
    )


def _mountings(types: Any, frame: SyntheticFrame, odometry: OdometryRecorder | None) -> Any:
    """Build the transforms that do not move; None if there are none."""
    poses = []
    if odometry is not None:
        poses.append((BODY_FRAME, CAMERA_FRAME, odometry.mounting))
    if frame.scan is not None:
        poses.append((CAMERA_FRAME, SCAN_FRAME, frame.scan.mounting))
    if not poses:
        return None
    transforms = []
    for parent, child, pose in poses:
        x, y, z, w = quaternion(pose[:3, :3])
        place = dict(zip("xyz", pose[:3, 3].tolist(), strict=True))
        transforms.append(
            types["geometry_msgs/msg/TransformStamped"](
                header=_header(types, frame.stamp, parent),
                child_frame_id=child,
                transform=types["geometry_msgs/msg/Transform"](
                    translation=types["geometry_msgs/msg/Vector3"](**place),
                    rotation=types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w),
                ),
            )
        )
    return types["tf2_msgs/msg/TFMessage"](transforms=transforms)


def encode_depth(depth: NDArray[np.float32], encoding: str) -> NDArray[Any]:
    """Encode depth as REP 118 has it.

    Parameters
    ----------
    depth : array of float32, shape (H, W)
        Metres; NaN where unknown, infinite where beyond the range (REP 117).
    encoding : str
        "32FC1" or "16UC1".

    Returns
    -------
    array, shape (H, W)
        The same, or uint16 millimetres with 0 for unknown and for what 16 bits cannot hold.
    """
    if encoding == "32FC1":
        return depth
    millimetres = np.nan_to_num(np.round(depth * 1000.0), nan=0.0, posinf=0.0)
    return np.where(millimetres <= 0xFFFF, millimetres, 0.0).astype(np.uint16)


def _odometry(types: Any, header: Any, pose: Floats, child: str) -> Any:
    """Build the odometry of a pose; its velocity is not given."""
    x, y, z, w = quaternion(pose[:3, :3])
    position = dict(zip("xyz", pose[:3, 3].tolist(), strict=True))
    unknown = {axis: math.nan for axis in "xyz"}
    vector = types["geometry_msgs/msg/Vector3"]
    return types["nav_msgs/msg/Odometry"](
        header=header,
        child_frame_id=child,
        pose=types["geometry_msgs/msg/PoseWithCovariance"](
            pose=types["geometry_msgs/msg/Pose"](
                position=types["geometry_msgs/msg/Point"](**position),
                orientation=types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w),
            ),
            covariance=np.zeros(36),
        ),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](
            twist=types["geometry_msgs/msg/Twist"](
                linear=vector(**unknown), angular=vector(**unknown)
            ),
            covariance=np.zeros(36),
        ),
    )
