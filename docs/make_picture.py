# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the README's picture from real frames: ``python docs/make_picture.py BAG``.

Each column is a frame of the recording: the image, its depth as the node paints it, and the cloud
as the node publishes it, seen from a camera that moved to the side. Nothing is chosen by hand: the
frames are spread evenly over the recording, or over the rest of it after ``--from``.

With ``--moving`` the frames follow each other in an animated WebP instead, image, depth and cloud
next to each other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from monodepth2_ros.camera import Calibration, PinholeCamera
from monodepth2_ros.checkpoint import CheckpointError
from monodepth2_ros.conversions import decode_compressed, decode_image
from monodepth2_ros.image_files import write_image
from monodepth2_ros.predictor import DepthPredictor, OutputOptions
from monodepth2_ros.recordings.playback import Event, Playback, PlaybackError
from monodepth2_ros.visualization.clouds import draw_aside
from monodepth2_ros.visualization.pictures import BACKGROUND, Picture, choose_colors

TARGET = Path(__file__).parent / "images" / "real_frames.webp"

_GAP = 6  # pixels between pictures


def main(argv: Sequence[str] | None = None) -> int:
    """Predict, draw and write; return 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bag", nargs="+", type=Path, metavar="BAG", help="recordings of images")
    parser.add_argument("--frames", type=int, default=4, metavar="N", help="of all [%(default)s]")
    parser.add_argument(
        "--from",
        dest="begin",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out this share of each recording, such as what was trained on [%(default)g]",
    )
    parser.add_argument("--checkpoint", default="", help="another model than the shipped one")
    parser.add_argument("--width", type=int, default=400, help="of a picture [%(default)s]")
    parser.add_argument("--output", type=Path, default=TARGET, help="[%(default)s]")
    parser.add_argument(
        "--moving",
        type=float,
        default=0.0,
        metavar="HZ",
        help="write an animated WebP at this rate",
    )
    arguments = parser.parse_args(argv)
    if arguments.frames < len(arguments.bag) or arguments.width < 40:
        parser.error("give at least one of --frames for each BAG, and a --width of at least 40")
    if not 0.0 <= arguments.begin < 1.0:
        parser.error(f"--from is {arguments.begin:g}; give a share from 0 to less than 1")
    try:
        predictor = DepthPredictor(arguments.checkpoint, backend="torch", device="cpu")
        columns = []
        for index, bag in enumerate(arguments.bag):
            # Of 4 frames of 3 recordings: 2, 1, 1.
            count = len(range(index, arguments.frames, len(arguments.bag)))
            columns += columns_of(bag, arguments.begin, count, predictor, arguments.width)
    except (CheckpointError, PlaybackError, ValueError) as error:
        print(f"make_picture: {error}", file=sys.stderr)
        return 1
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    if arguments.moving > 0:
        write_moving(arguments.output, columns, arguments.moving)
        print(f"{arguments.output}: {arguments.frames} frames by {predictor.checkpoint.source}")
        return 0
    picture = join(columns)
    try:
        write_image(arguments.output, picture)
    except (OSError, ValueError) as error:
        print(f"make_picture: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {arguments.frames} frames by {predictor.checkpoint.source}")
    return 0


def columns_of(
    bag: Path, begin: float, count: int, predictor: DepthPredictor, width: int
) -> list[list[Picture]]:
    """Make the pictures of frames of a recording.

    Parameters
    ----------
    bag : Path
    begin : float
        Share of the recording that is left out.
    count : int
    predictor : DepthPredictor
    width : int
        Width of each picture, in pixels.

    Returns
    -------
    list of list of ndarray
        For each frame the image, the depth and the cloud, RGB, of one size.
    """
    with Playback(bag) as playback:
        info = playback.first("camera_info")
        if info is None:
            raise ValueError(f"{bag} has no camera_info, so there is no cloud to draw")
        calibration = Calibration.from_camera_info(info.message)
        is_raw = "rect" not in playback.topics.image.base_name
        # In the middles of so many equal stretches.
        shares = [begin + (1.0 - begin) * (index + 0.5) / count for index in range(count)]
        events = [playback.first("image", share * playback.seconds) for share in shares]
    columns = []
    for event in events:
        if event is None:
            raise ValueError(f"{bag} has fewer images than its length promises")
        image = decode(event)
        if is_raw and calibration.is_distorted:
            image = np.asarray(
                cv2.remap(image, *calibration.rectification_maps(), cv2.INTER_LINEAR), np.uint8
            )
        columns.append(column(image, calibration.camera(rectified=True), predictor, width))
    return columns


def decode(event: Event) -> Picture:
    """Return the image of a message."""
    compressed = hasattr(event.message, "format")
    return decode_compressed(event.message) if compressed else decode_image(event.message)


def column(
    image: Picture, camera: PinholeCamera, predictor: DepthPredictor, width: int
) -> list[Picture]:
    """Draw the image, its depth and its cloud; RGB, of one size."""
    size = (width, round(width * image.shape[0] / image.shape[1]))
    # The node's own outputs, at the image's size, and its own edge filter.
    options = OutputOptions(
        output_size="image",
        points_edge_filter=0.1,
        points_stride=max(1, image.shape[1] // 480),
    )
    prediction = predictor.predict(image, camera, options, ("depth", "points"))
    assert prediction.depth is not None and prediction.points is not None
    painted = choose_colors(prediction.depth).paint(prediction.depth)
    return [
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_AREA), np.uint8),
        draw_aside(prediction.points, *size),
    ]


def write_moving(path: Path, columns: list[list[Picture]], rate: float) -> None:
    """Write an animated WebP: image, depth and cloud of one frame after the other.

    Parameters
    ----------
    path : Path
    columns : list of list of ndarray
        As :func:`columns_of` gives them.
    rate : float
        Frames a second.
    """
    height = max(column[0].shape[0] for column in columns)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    strips = []
    for column in columns:
        image, depth, cloud = (_on_background(picture, height) for picture in column)
        strips.append(Image.fromarray(np.hstack([image, gap, depth, gap, cloud])))
    strips[0].save(
        path,
        save_all=True,
        append_images=strips[1:],
        duration=round(1000 / rate),
        loop=0,
        quality=60,
        method=6,
    )


def join(columns: list[list[Picture]]) -> Picture:
    """Put columns of pictures side by side; those of a lower shape get a margin."""
    heights = [max(c[row].shape[0] for c in columns) for row in range(len(columns[0]))]
    rows = []
    for row, height in enumerate(heights):
        cells = [
            np.pad(
                _on_background(c[row], height), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255
            )
            for c in columns
        ]
        rows.append(np.hstack(cells))
    return np.vstack(rows)[:-_GAP, :-_GAP]


def _on_background(picture: Picture, height: int) -> Picture:
    """Centre a picture in a higher one."""
    above = (height - picture.shape[0]) // 2
    canvas = np.full((height, *picture.shape[1:]), BACKGROUND, np.uint8)
    canvas[above : above + picture.shape[0]] = picture
    return canvas


if __name__ == "__main__":
    raise SystemExit(main())
