# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What to extract from recordings, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monodepth2_ros.conversions import BIT_DEPTHS
from monodepth2_ros.option_fields import OptionError, check_options, option, shared_option
from monodepth2_ros.options import RECTIFY
from training.extraction.poses import POSE_AXES

#: Usual least median motion between kept frames of a recording, in stored pixels.
DEFAULT_MIN_FLOW = 0.5

_READ = "what to read"
_STORED = "what to store"


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract, and how; the options of ``depth_extract``.

    Raises
    ------
    OptionError
        If a value is outside its limits, or two contradict each other.
    """

    out: Path = shared_option("out", details="folder of the frame store", metavar="DIR")
    bags: tuple[Path, ...] = option(
        (),
        "Recordings: rosbag2 folders, .mcap, .db3 or ROS 1 .bag files",
        positional=True,
        metavar="BAG",
    )
    force: bool = shared_option("force", False, "a frame store at --out")
    quiet: bool = shared_option("quiet", False)
    workers: int | None = shared_option(
        "workers", None, "decoding threads (usually one per core)", metavar="N", least=1
    )

    image_topic: tuple[str, ...] = shared_option(
        "image_topic", (), "usually all cameras", section=_READ, metavar="TOPIC"
    )
    stereo_topics: tuple[str, str] | None = option(
        None,
        "Topics of the images of a rectified pair; with --kitti-raw image_02 image_03",
        section=_READ,
        metavar=("LEFT", "RIGHT"),
    )
    camera: tuple[Path, ...] = option(
        (),
        "Calibration file instead of the recorded camera_info: one for all, or one per image topic",
        section=_READ,
        metavar="FILE",
    )
    camera_info_topic: tuple[str, ...] = shared_option(
        "camera_info_topic",
        (),
        "whatever its frame; one for all, or one per image topic (usually the one that belongs to "
        "the images)",
        section=_READ,
        metavar="TOPIC",
    )
    scale_camera_info: bool = option(
        False,
        "Scale a camera_info of another size and the same aspect to the images",
        section=_READ,
    )
    bit_depth: int | None = option(
        None,
        "Bits that images with 16-bit samples use (usually measured)",
        section=_READ,
        choices=BIT_DEPTHS,
    )
    truth_topic: str = shared_option(
        "truth_topic",
        "auto",
        "depth images or point clouds; 'none' for no ground truth",
        section=_READ,
        metavar="TOPIC",
    )
    truth_unit: str = option(
        "auto",
        "Unit of depth images: m, mm, cm or metres per unit (auto: mm for 16UC1, m for 32FC1)",
        section=_READ,
        metavar="UNIT",
    )
    truth_offset: float = option(
        0.0,
        "Added to the stamps of the ground truth, -0.04 if it is stamped 40 ms late",
        section=_READ,
        metavar="SECONDS",
    )
    truth_tolerance: float | None = option(
        None,
        "Largest difference of the stamps of an image and its ground truth (usually 0.02 for depth "
        "images, 0.05 for point clouds)",
        section=_READ,
        metavar="SECONDS",
        least=0,
    )
    extrinsics: Path | None = option(
        None,
        "YAML with the depth sensor's pose in the camera's optical frame: translation: [x, y, z], "
        "rotation: [x, y, z, w] (usually from /tf_static)",
        section=_READ,
        metavar="FILE",
    )
    poses_topic: str = option(
        "auto",
        "Topic of Odometry or PoseStamped messages; auto: /tf too; 'none' for no poses",
        section=_READ,
        metavar="TOPIC",
    )
    pose_offset: float = option(
        0.0,
        "Added to the stamps of the images to find their poses, 0.04 if the poses are stamped 40 "
        "ms late; the check-up estimates it",
        section=_READ,
        metavar="SECONDS",
        least=-5,
        most=5,
    )
    pose_axes: str = option(
        "optical",
        "What is recorded for the camera: the pose of its optical frame (x right, y down, z "
        "ahead), of its body (link: x ahead, y left, z up), or camera from world (inverted)",
        section=_READ,
        choices=POSE_AXES,
    )
    kitti_raw: Path | None = shared_option("kitti_raw", None, section=_READ, metavar="DIR")
    kitti_split: Path | None = shared_option("kitti_split", None, section=_READ, metavar="FILE")

    width: int | None = shared_option(
        "width",
        None,
        "that of the stored images, a multiple of 32",
        section=_STORED,
        metavar="PIXELS",
    )
    height: int | None = shared_option(
        "height",
        None,
        "that of the stored images (usually at most 640 wide, aspect kept)",
        section=_STORED,
        metavar="PIXELS",
    )
    corner_width: int | None = option(
        None,
        "Width of grey copies in which training tracks corners, so that small images are learned "
        "from with exact motion; 0 for no copies (usually at most 640, where that is larger)",
        section=_STORED,
        metavar="PIXELS",
        least=0,
    )
    crop: tuple[float, float, float, float] = shared_option(
        "crop",
        (0.0, 0.0, 0.0, 0.0),
        "a bonnet for example",
        section=_STORED,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
    )
    rectify: str = option(
        "auto",
        "auto: images with distortion or a rotation R whose topic is not named rectified; false: "
        "the images are rectified already",
        section=_STORED,
        choices=RECTIFY,
    )
    min_flow: float | None = option(
        None,
        "Least median motion between kept frames, in stored pixels; 0 keeps all (usually "
        f"{DEFAULT_MIN_FLOW}; KITTI: 0)",
        section=_STORED,
        metavar="PIXELS",
        least=0,
    )
    max_gap: float | None = option(
        None,
        "A longer gap ends a segment (usually 2.5 times the usual interval)",
        section=_STORED,
        metavar="SECONDS",
        above=0,
    )
    spacing: int | None = shared_option(
        "spacing", None, "a number or auto, from the motion", section=_STORED, metavar="N", least=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if (self.kitti_raw is None) != (self.kitti_split is None):
            raise OptionError(
                "--kitti-raw DIR and --kitti-split FILE, the list of frames, belong together"
            )

    @property
    def files(self) -> tuple[Path, ...]:
        """Recordings and files that are read."""
        named = (*self.bags, *self.camera, self.extrinsics, self.kitti_split)
        return tuple(path for path in named if path is not None)
