# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a demo keeps: pictures, a video and a cloud, made from the node's messages as they come."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration, PinholeCamera
from monodepth2_ros.conversions import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)
from monodepth2_ros.demo.options import UNSCALED
from monodepth2_ros.demo.report import Figures, LiveFactor, compare_depth
from monodepth2_ros.image_files import write_image
from monodepth2_ros.rectification import image_geometry
from monodepth2_ros.visualization.clouds import VIEWS, draw_cloud, write_ply
from monodepth2_ros.visualization.pictures import (
    DepthColors,
    Panel,
    Picture,
    Window,
    choose_colors,
    side_by_side,
)
from monodepth2_ros.visualization.video import CODEC_NOTES, Spool, choose_codec, write_video

if TYPE_CHECKING:
    from monodepth2_ros.demo.player import PlayedFrame
    from monodepth2_ros.recordings.playback import Event

_VIDEO_AREA = 110_000  # pixels of a panel
_OVERVIEW_AREA = 330_000

# Depth images that wait for their frames, and how far stamps may differ.
_TRUTH_MEMORY = 100
_TRUTH_TOLERANCE_NS = 20_000_000

#: Written across everything while the weights are untrained.
RANDOM_BANNER = ("RANDOM WEIGHTS", "this depth is meaningless")


@dataclass(frozen=True)
class Style:
    """How pictures are labelled.

    Attributes
    ----------
    name : str
        Name of the recording.
    unit : str
        Unit of depth.
    banner : tuple of two str or None
    rectify : {"auto", "true", "false"}
        The node's parameter: the pictures show what the node sees, rectified or not.
    topic : str
        Topic of the images, whose name says whether they are rectified.
    is_metric : bool
        Whether all depth is in metres, without a measured factor.
    """

    name: str
    unit: str = "m"
    banner: tuple[str, str] | None = None
    rectify: str = "auto"
    topic: str = "/image_rect"
    is_metric: bool = False


@dataclass(frozen=True)
class _Shot:
    """A frame with everything that the pictures need."""

    number: int
    stamp_ns: int
    seconds: float
    frame_id: str
    image: Picture
    depth: NDArray[np.float32]
    camera: PinholeCamera | None
    window: Window
    truth: NDArray[np.float32] | None
    points: NDArray[np.float32] | None
    score: float
    scale: LiveFactor | None = None

    def unit(self, style: Style) -> str:
        """Return the unit of depth, with the factor that was measured for this frame."""
        if self.scale is None:
            return style.unit
        if not self.scale.is_known:
            return UNSCALED
        return f"m, factor {self.scale}"

    def is_metric(self, style: Style) -> bool:
        """Whether the depth is in metres."""
        return style.is_metric or (self.scale is not None and self.scale.is_known)


class Gallery:
    """Draws frames as they come, counts, and keeps the one that shows most.

    Parameters
    ----------
    folder : Path
        Where files are written.
    style : Style

    Attributes
    ----------
    figures : Figures
    problems : list of str
        Frames that could not be drawn, and why; the first few.
    """

    def __init__(self, folder: Path, style: Style) -> None:
        self.figures = Figures()
        self.problems: list[str] = []
        self._folder = folder
        self._style = style
        self._spool = Spool(folder / "spool.avi")
        self._truths: deque[Event] = deque(maxlen=_TRUTH_MEMORY)
        self._colors: DepthColors | None = None
        self._best: _Shot | None = None
        self._first_ns: int | None = None
        self._stamps: list[int] = []
        self._rectified: Calibration | None = None
        self._maps: tuple[Any, Any] | None = None

    def add_truth(self, event: Event) -> None:
        """Keep a depth image of the recording until its frame comes."""
        self._truths.append(event)

    def add(self, frame: PlayedFrame) -> None:
        """Take a frame: count it, and draw it if its depth came back."""
        self._stamps.append(frame.event.stamp_ns)
        for name, arrival in frame.arrivals.items():
            if name in ("depth", "points"):
                self.figures.add_latency(name, arrival - frame.sent)
        if "depth" not in frame.messages:
            self.figures.missing += 1
            return
        self.figures.published += 1
        self.figures.clouds += "points" in frame.messages
        try:
            shot = self._look_at(frame)
        except (ValueError, cv2.error) as error:
            if len(self.problems) < 10:
                self.problems.append(f"frame {frame.number}: {error}")
            return
        self.figures.depth.add(shot.depth)
        if shot.truth is not None:
            compared = compare_depth(shot.truth, shot.depth, shot.window)
            if compared:
                self.figures.truth.append(compared)
                if shot.is_metric(self._style):
                    self.figures.metric.append(compared)
        if shot.scale is not None:
            self.figures.factors.append(shot.scale)
        self._colors = choose_colors(shot.depth, self._colors)
        panels = self._panels(shot, self._colors)
        note = f"{self._style.name} · {shot.seconds:.1f} s"
        picture = side_by_side(panels, _VIDEO_AREA, note, self._style.banner)
        self._spool.add(picture, shot.stamp_ns)
        if self._best is None or shot.score > self._best.score:
            self._best = shot

    def write(
        self, codec: str, progress: Callable[[Iterable[Any], int], Iterable[Any]]
    ) -> dict[str, str]:
        """Write the video, the pictures and the cloud.

        Parameters
        ----------
        codec : str
            See :data:`monodepth2_ros.visualization.video.CODECS`; empty for the best that does not
            take long.
        progress : callable
            Wraps an iterable of a known length.

        Returns
        -------
        dict of str to str
            What each file is, by name.
        """
        files = {}
        best = self._best
        if best is not None:
            self._write_overview(best)
            files["overview.png"] = f"frame {best.number}"
        if best is not None and best.points is not None:
            files |= self._write_cloud(best, best.points)
        rate = _usual_rate(self._stamps)
        self._spool.close()
        count = sum(self._spool.repeats(rate))
        if count:
            codec = codec or choose_codec(count * self._spool.pixels)
            path = self._folder / "video.mp4"
            try:
                write_video(path, progress(self._spool.play(rate), count), rate, codec)
            except KeyboardInterrupt:
                if codec == "mp4v":
                    raise
                codec = "mp4v"  # who does not want to wait gets the quick one
                write_video(path, self._spool.play(rate), rate, codec)
            files["video.mp4"] = f"{count} pictures at {rate:g} Hz, {CODEC_NOTES[codec]}"
        self._spool.remove()
        return files

    def _look_at(self, frame: PlayedFrame) -> _Shot:
        """Decode a frame and what belongs to it."""
        source = frame.event.message
        image = decode_compressed(source) if hasattr(source, "format") else decode_image(source)
        depth = decode_depth(frame.messages["depth"])
        calibration = None if frame.info is None else Calibration.from_camera_info(frame.info)
        maps = self._rectification(calibration)
        if maps is not None:
            image = np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), dtype=np.uint8)
        camera, window = None, Window()
        info = frame.messages.get("camera_info")
        if info is not None and calibration is not None:
            camera = PinholeCamera.from_camera_info(info)
            window = find_window(calibration.camera(rectified=True), camera)
        truth = self._truth_of(frame.event.stamp_ns)
        if truth is not None and maps is not None and truth.shape == maps[0].shape[:2]:
            nothing = np.empty(0, dtype=np.uint16)
            undistorted = cv2.remap(
                truth, maps[0], nothing, cv2.INTER_NEAREST, borderValue=(math.nan,)
            )
            truth = np.asarray(undistorted, dtype=np.float32)
        points = None
        cloud = frame.messages.get("points")
        if cloud is not None:
            packed = np.frombuffer(cloud.data, dtype=np.float32)
            packed = packed.reshape(cloud.height, cloud.width, 4)
            points = packed if np.isfinite(packed[..., 2]).any() else None
        self._first_ns = frame.event.stamp_ns if self._first_ns is None else self._first_ns
        return _Shot(
            frame.number,
            frame.event.stamp_ns,
            1e-9 * (frame.event.stamp_ns - self._first_ns),
            source.header.frame_id,
            image,
            depth,
            camera,
            window,
            truth,
            points,
            _score(image, depth, points),
            _live_factor(frame.messages.get("scale")),
        )

    def _rectification(self, calibration: Calibration | None) -> tuple[Any, Any] | None:
        """Return the maps that rectify an image as the node does; computed when they change."""
        if calibration is None or not calibration.is_calibrated:
            return None
        if calibration != self._rectified:
            self._rectified, self._maps = calibration, None
            # Without a usable camera_info the node takes the image as it is.
            with contextlib.suppress(ValueError):
                geometry = image_geometry(calibration, self._style.topic, self._style.rectify)
                self._maps = geometry.maps
        return self._maps

    def _truth_of(self, stamp_ns: int) -> NDArray[np.float32] | None:
        """Return the depth image of the same moment, if there is one."""
        nearest = min(self._truths, key=lambda event: abs(event.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > _TRUTH_TOLERANCE_NS:
            return None
        message = nearest.message
        compressed = hasattr(message, "format")
        return decode_compressed_depth(message) if compressed else decode_depth(message)

    def _panels(self, shot: _Shot, colors: DepthColors) -> list[Panel]:
        """Return the camera image and the depth."""
        title = f"Depth ({shot.unit(self._style)})"
        return [
            Panel("Camera", shot.image),
            Panel(title, colors.paint(shot.depth), shot.window, colors),
        ]

    def _write_overview(self, shot: _Shot) -> None:
        """Write the side by side picture, with the truth if there is any."""
        colors = choose_colors(shot.depth)
        panels = self._panels(shot, colors)
        compared = None
        if shot.truth is not None:
            compared = compare_depth(shot.truth, shot.depth, shot.window)
        if shot.truth is not None and compared:
            # The colours of the prediction, after median scaling unless it is in metres: equal
            # colours, equal depths.
            scale = 1.0 if shot.is_metric(self._style) else compared["scale"]
            painted = DepthColors(colors.near * scale, colors.far * scale)
            if self._style.banner:  # the depths of random weights span nothing to compare with
                painted = choose_colors(shot.truth)
            panels.append(Panel("Truth (m)", painted.paint(shot.truth), Window(), painted))
        note = f"{self._style.name} · {shot.seconds:.1f} s"
        picture = side_by_side(panels, _OVERVIEW_AREA, note, self._style.banner)
        write_image(self._folder / "overview.png", picture)

    def _write_cloud(self, shot: _Shot, points: NDArray[np.float32]) -> dict[str, str]:
        """Write the cloud as PLY and its pictures."""
        style = self._style
        comments = [
            f"monodepth2_ros, {style.name}, stamp {shot.stamp_ns} ns, frame {shot.frame_id}",
            f"x right, y down, z forward, in {shot.unit(style)}",
            *([": ".join(style.banner)] if style.banner else []),
        ]
        count = write_ply(self._folder / "points.ply", points, comments)
        title = f"{style.name} · {shot.seconds:.1f} s"
        files = {"points.ply": f"{count} points of frame {shot.number}, frame_id {shot.frame_id}"}
        for view in VIEWS:
            picture = draw_cloud(points, view, shot.camera, title, shot.unit(style), style.banner)
            write_image(self._folder / f"cloud_{view}.png", picture)
            files[f"cloud_{view}.png"] = "the same points"
        return files


def _live_factor(message: Any) -> LiveFactor | None:
    """Read a message of depth/scale."""
    if message is None:
        return None
    factor = float(message.vector.x)
    return LiveFactor(factor, float(message.vector.y) / factor)


def find_window(image: PinholeCamera, depth: PinholeCamera) -> Window:
    """Find out from the intrinsics alone where a depth image lies on the camera image.

    Parameters
    ----------
    image, depth : PinholeCamera
        Cameras of the same position and direction.
    """

    def edge(pixel: float, axis: str) -> float:
        # From the border of a pixel of the depth image to a ray, to the image, to a fraction of it.
        ray = (pixel - 0.5 - getattr(depth, f"c{axis}")) / getattr(depth, f"f{axis}")
        size = image.width if axis == "x" else image.height
        return (ray * getattr(image, f"f{axis}") + getattr(image, f"c{axis}") + 0.5) / size

    return Window(edge(0, "x"), edge(0, "y"), edge(depth.width, "x"), edge(depth.height, "y"))


def _usual_rate(stamps: list[int]) -> float:
    """Return the frames a second of a recording, within what videos have."""
    spacings = np.diff(stamps)
    spacings = spacings[spacings > 0]
    rate = 1e9 / float(np.median(spacings)) if spacings.size else 10.0
    return min(max(round(rate, 2), 1.0), 60.0)


def _score(image: Picture, depth: NDArray[np.float32], points: NDArray[np.float32] | None) -> float:
    """Tell how much a frame shows: a sharp image, and a scene that is both near and far."""
    values = depth[::4, ::4]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0
    near, far = np.percentile(values, [5.0, 95.0])
    grey = cv2.cvtColor(image[::2, ::2], cv2.COLOR_RGB2GRAY)
    sharpness = math.log1p(float(cv2.Laplacian(grey, cv2.CV_32F).var()))
    score = math.log(max(far / near, 1.0)) * sharpness * values.size / depth[::4, ::4].size
    return score if points is not None else 0.01 * score
