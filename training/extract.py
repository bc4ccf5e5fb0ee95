# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_extract``: recordings to a frame store that ``depth_train`` reads.

With ``--predict`` a network's depth is written next to the frames; see
:mod:`training.frames.predicted_depth`.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monodepth2_ros.extras import require_for_command

require_for_command("depth_extract", "train", "torch")

from monodepth2_ros.backends import BackendError
from monodepth2_ros.checkpoint import CheckpointError
from monodepth2_ros.conversions import BIT_DEPTHS
from monodepth2_ros.options import RECTIFY
from monodepth2_ros.rectification import as_rectify
from training.extraction.console import Terminal
from training.extraction.extract_camera import DEFAULT_MIN_FLOW
from training.extraction.job import ExtractOptions, default_workers, extract, gigabytes
from training.frames.store import FrameStore, partial_path


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_extract``; return 0 if a store was written."""
    arguments = _parser().parse_args(argv)
    try:
        is_extraction = bool(arguments.bags or arguments.kitti_raw or not arguments.predict)
        if is_extraction:
            try:
                extract(_options(arguments), Terminal())
            except FileExistsError as error:
                advice = ", or leave out the recordings to predict for it"
                raise FileExistsError(f"{error}{advice * bool(arguments.predict)}") from error
        if arguments.predict:
            predict(arguments.out, arguments.predict)
        return 0
    except (ValueError, FileExistsError, CheckpointError, BackendError) as error:
        print(f"depth_extract: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"depth_extract: the disk is full ({error}). What was finished is kept in "
            f"{partial_path(arguments.out)}: free some space and run the same command again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("depth_extract: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def predict(out: Path, model: str) -> None:
    """Write a network's depth next to a store's frames.

    Raises
    ------
    ValueError, CheckpointError, BackendError
        If that cannot be done, with the reason and the fix.
    """
    from tqdm import tqdm

    from monodepth2_ros.predictor import DepthPredictor
    from training.frames.predicted_depth import DEPTH, predict_store

    try:
        store = FrameStore.open(out)
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no frame store at {out} to predict for; name recordings to extract too"
        ) from error
    predictor = DepthPredictor("" if model == "default" else model)
    with tqdm(total=len(store), desc="depth", unit=" frames", disable=None) as bar:
        predicted = predict_store(store, predictor, progress=bar.update)
    height, width = predicted.depth.shape[1:]
    size = gigabytes(predicted.description["bytes"])
    print(f"{out / DEPTH}: depth of {len(store):,} frames, {width}x{height}, {size}")


def _options(arguments: argparse.Namespace) -> ExtractOptions:
    """Turn the command line into options."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(arguments).items()
        if name != "predict"
    }
    return ExtractOptions(**values)


def _spacing(text: str) -> int | None:
    """Read --spacing: None stands for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': give auto or a number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_extract",
        description="Extract training frames from recordings: rosbag2 (sqlite3, MCAP, compressed "
        "or not), ROS 1 bags, or KITTI raw folders. An interrupted extraction is resumed by the "
        "same command.",
    )
    parser.add_argument("bags", nargs="*", type=Path, metavar="BAG", help="bag folders or files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the frame store")
    source = parser.add_argument_group("what to read")
    source.add_argument(
        "--image",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="image topics (default: all cameras)",
    )
    source.add_argument(
        "--stereo", nargs=2, metavar=("LEFT", "RIGHT"), help="image topics of a rectified pair"
    )
    source.add_argument(
        "--camera",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="calibration file instead of the recorded camera_info: one for all, or one per topic",
    )
    source.add_argument(
        "--truth",
        default="auto",
        metavar="auto|none|TOPIC",
        help="depth image or PointCloud2 topic to store as truth (default: auto)",
    )
    source.add_argument(
        "--truth-unit",
        default="auto",
        metavar="auto|m|mm|cm|NUMBER",
        help="unit of depth images, or metres per unit (default: auto: mm for 16UC1, m for 32FC1)",
    )
    source.add_argument(
        "--truth-offset",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="added to the stamps of the ground truth, -0.04 if it is stamped 40 ms late "
        "(default: 0)",
    )
    source.add_argument(
        "--truth-tolerance",
        type=float,
        metavar="SECONDS",
        help="largest difference of the stamps of an image and its ground truth (default: 0.02 "
        "for depth images, 0.05 for point clouds)",
    )
    source.add_argument(
        "--extrinsics",
        type=Path,
        metavar="FILE",
        help="YAML with the depth sensor's pose in the camera's optical frame: translation: "
        "[x, y, z], rotation: [x, y, z, w] (default: from /tf_static)",
    )
    source.add_argument(
        "--camera-info",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="camera_info topics to use whatever their frames: one for all, or one per image "
        "topic (default: the one of the image's frame)",
    )
    source.add_argument(
        "--scale-camera-info",
        action="store_true",
        help="scale a camera_info of another size and the same aspect to the images",
    )
    source.add_argument(
        "--bit-depth",
        type=int,
        choices=BIT_DEPTHS,
        help="bits that images with 16-bit samples use (default: measured)",
    )
    source.add_argument(
        "--poses",
        default="auto",
        metavar="auto|none|TOPIC",
        help="Odometry or PoseStamped topic (default: auto, /tf included)",
    )
    source.add_argument(
        "--kitti-raw",
        type=Path,
        metavar="DIR",
        help="KITTI raw folders; --stereo takes image_02 image_03",
    )
    source.add_argument("--split", type=Path, metavar="FILE", help="list of KITTI frames")
    frames = parser.add_argument_group("what to store")
    frames.add_argument("--width", type=int, help="of the stored images, a multiple of 32")
    frames.add_argument(
        "--height", type=int, help="the same (default: at most 640 wide, aspect kept)"
    )
    frames.add_argument(
        "--crop",
        nargs=4,
        type=float,
        default=(0.0, 0.0, 0.0, 0.0),
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="fractions of the image to remove, a bonnet for example",
    )
    frames.add_argument(
        "--rectify",
        type=as_rectify,
        choices=RECTIFY,
        default="auto",
        help="auto: images with distortion or a rotation R whose topic is not named rectified; "
        "false: the images are rectified already (default: %(default)s)",
    )
    frames.add_argument(
        "--min-flow",
        type=float,
        metavar="PIXELS",
        help="least median motion between kept frames, in stored pixels; 0 keeps all (default: "
        f"{DEFAULT_MIN_FLOW}; KITTI: 0)",
    )
    frames.add_argument(
        "--max-gap",
        type=float,
        metavar="SECONDS",
        help="a longer gap ends a segment (default: 2.5 times the usual interval)",
    )
    frames.add_argument(
        "--spacing",
        type=_spacing,
        metavar="auto|N",
        help="frames between neighbours (default: auto, from the motion)",
    )
    parser.add_argument(
        "--predict",
        metavar="MODEL",
        help="afterwards write the depth that this checkpoint (or 'default') predicts for the "
        "frames into the store; without recordings, for a store that is there",
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="decoding threads (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
