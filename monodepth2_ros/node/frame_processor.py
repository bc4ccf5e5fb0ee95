# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From an image of one camera to its messages, in the worker's thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage

from monodepth2_ros.camera import Calibration, turn_image
from monodepth2_ros.cdr import ReceivedImage
from monodepth2_ros.conversions import decode_compressed, decode_image
from monodepth2_ros.encoded_size import check_encoded_size
from monodepth2_ros.node.frames import TurnedFrame, image_frame, turn_points
from monodepth2_ros.node.image_camera import ImageCamera, SampleWatch, find_image_camera
from monodepth2_ros.node.log_limit import LogLimit
from monodepth2_ros.node.output_topics import OutputTopics
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.prediction_request import Request
from monodepth2_ros.preprocessing import crop_box
from monodepth2_ros.training_camera import camera_difference

if TYPE_CHECKING:
    from monodepth2_ros.camera import PinholeCamera
    from monodepth2_ros.node.fixed_scale import FixedScale
    from monodepth2_ros.node.scaling import Scaling
    from monodepth2_ros.predictor import DepthPredictor, Prediction

# A camera that alternates between settings does not pay for rectification maps with each frame.
_CAMERAS_KEPT = 4

# Frames that are not prepared ahead after one was so in vain.
_PAUSE = 8

#: Makes and publishes the outputs of a frame; returns the seconds of each stage.
FinishFrame = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class ReceivedFrame:
    """An image on its way to the worker.

    Attributes
    ----------
    image : ReceivedImage, or sensor_msgs/CompressedImage
    info : sensor_msgs/CameraInfo or None
        One that says the same as the image's; its stamp may be another.
    received : float
        Monotonic time of its arrival, in seconds.
    """

    image: ReceivedImage | CompressedImage
    info: CameraInfo | None
    received: float


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready for the network.

    Attributes
    ----------
    request : Request or None
        What is to be predicted; None if no listener needs the network.
    finish : callable
        Given the prediction, publishes and returns the seconds that each stage took.
    stages : dict of str to float
        The seconds so far.
    """

    request: Request | None
    finish: Callable[[Prediction | None], dict[str, float]]
    stages: dict[str, float]


@dataclass(frozen=True)
class _Ahead:
    """A frame that was prepared while the network was busy.

    Attributes
    ----------
    frame : ReceivedFrame
    prepared : PreparedFrame
    network_image : ndarray
        Image of the network's size.
    seconds : float
        What that took.
    ready : float
        When it was there.
    """

    frame: ReceivedFrame
    prepared: PreparedFrame
    network_image: NDArray[np.uint8]
    seconds: float
    ready: float


class FrameProcessor:
    """Turns frames of one camera into messages for those topics that someone listens to.

    Parameters
    ----------
    predictor : DepthPredictor
    values : mapping
        The camera's parameters.
    scaling : FixedScale or Scaling
    outputs : OutputTopics
    turned_frame : TurnedFrame
    image_topic : str
        As resolved; its name tells whether images are rectified.
    warn : callable
        Logs a warning.

    Attributes
    ----------
    values : mapping
        Exchanged when parameters change.
    options : OutputOptions
        Made from them.
    is_empty : bool
        Whether the last frame had no depth at all.
    image_camera : ImageCamera or None
        The camera of the last frame.
    """

    def __init__(
        self,
        predictor: DepthPredictor,
        values: Mapping[str, Any],
        scaling: FixedScale | Scaling,
        outputs: OutputTopics,
        turned_frame: TurnedFrame,
        image_topic: str,
        warn: Callable[[str], Any],
    ) -> None:
        self._predictor = predictor
        self._scaling = scaling
        self._outputs = outputs
        self._turned_frame = turned_frame
        self._image_topic = image_topic
        self._warn = warn
        self._limit = LogLimit()
        self._preparing = threading.Lock()
        # When the network began with the frame that it is busy with; how long the last one took.
        self._network_began: float | None = None
        self._network_seconds = 0.0
        # When the last frame arrived, and that which was prepared last.
        self._last_received = self._last_prepared = 0.0
        # Frames to be begun before another one is prepared ahead.
        self._pause = 0
        self.image_camera: ImageCamera | None
        self._cameras: dict[Any, ImageCamera]
        self.restart()
        self.update(values)

    def update(self, values: Mapping[str, Any]) -> None:
        """Take changed parameters."""
        self.values = values
        self.options = output_options(values)

    def restart(self) -> None:
        """Forget what was seen of the camera."""
        self._cameras = {}
        self._sample_watch = SampleWatch()
        self.image_camera = None
        self._last_info: CameraInfo | None = None
        self._ahead: _Ahead | None = None
        self.is_empty = False

    def begin(self, frame: ReceivedFrame) -> FinishFrame | None:
        """Process a frame up to the end of the network.

        Returns
        -------
        callable, or None
            Makes the outputs, publishes them and returns the seconds that each stage took; None if
            nobody listened. Where :attr:`can_overlap`, another thread may call it while this one
            begins with the next frame; in the order of the frames.
        """
        prepared, ahead = self._take_prepared(frame)
        if prepared is None:
            return None
        request, finish = prepared.request, prepared.finish
        if request is None:
            return lambda: finish(None)
        asked = (request.image, request.camera, request.options, request.outputs)
        if self.can_overlap:
            self._network_began = began = monotonic()
            try:
                begun = self._predictor.begin(
                    *asked, network_image=None if ahead is None else ahead.network_image
                )
            finally:
                self._network_began = None
                self._network_seconds = monotonic() - began

            def finish_begun() -> dict[str, float]:
                prediction = begun()
                if ahead is not None:
                    prediction.seconds["preprocess"] += ahead.seconds
                return finish(prediction)

            return finish_begun
        predicted = self._scaling.predict(self._predictor, frame.image.header, *asked)
        return lambda: finish(predicted)

    def prepare_ahead(self, frame: ReceivedFrame) -> None:
        """Prepare a frame that waits while the network is busy with one of this camera.

        Does nothing if another frame is expected before the network is free, which would be taken
        instead; nor for compressed images, whose decoding takes long. Of the frames that come
        meanwhile at most one is prepared, and none for some time after one was in vain: where other
        programs decide how long the network takes, there is no foreseeing. For another thread than
        that of :meth:`begin`; what fails here fails again there, where it is reported.
        """
        interval, self._last_received = frame.received - self._last_received, frame.received
        began = self._network_began
        if began is None or self._pause or not self.can_overlap:
            return
        if isinstance(frame.image, CompressedImage):
            return
        if began + self._network_seconds > frame.received + interval:
            return
        with self._preparing, contextlib.suppress(Exception):
            if frame.received <= self._last_prepared:
                return  # the worker was quicker
            if self._ahead is not None:
                return  # the network takes longer than the last time
            prepared = self._prepare(frame)
            if prepared is None or prepared.request is None:
                return
            started = time.monotonic()
            network_image = self._predictor.network_image(prepared.request.image)
            ready = time.monotonic()
            self._ahead = _Ahead(frame, prepared, network_image, ready - started, ready)

    def prepare(self, frame: ReceivedFrame) -> PreparedFrame | None:
        """Process a frame up to the network; None if nobody listens."""
        return self._take_prepared(frame)[0]

    def _take_prepared(self, frame: ReceivedFrame) -> tuple[PreparedFrame | None, _Ahead | None]:
        """Prepare a frame, unless that was done ahead."""
        with self._preparing:
            ahead, self._ahead = self._ahead, None
            self._last_prepared = frame.received
            if ahead is None or ahead.frame is not frame:
                self._pause = max(0, self._pause - 1) if ahead is None else _PAUSE
                return self._prepare(frame), None
        ahead.prepared.stages["wait"] += time.monotonic() - ahead.ready
        return ahead.prepared, ahead

    def _prepare(self, frame: ReceivedFrame) -> PreparedFrame | None:
        """Process a frame up to the network, by one thread at a time."""
        listeners = self._outputs.listeners()
        if not any(listeners.values()):
            return None
        started = time.monotonic()
        pixels = self._decode(frame.image)
        decoded = time.monotonic()
        known = self._find_camera(frame.info, pixels.shape[1], pixels.shape[0])
        if known.maps is not None:
            pixels = np.asarray(cv2.remap(pixels, *known.maps, cv2.INTER_LINEAR), dtype=np.uint8)
        rectified = time.monotonic()

        degrees = self.values["rotate"]
        pixels = turn_image(pixels, degrees)
        camera = None if known.camera is None else known.camera.turned(degrees)

        wanted = [name for name in ("depth", "color", "points") if listeners[name]]
        if wanted == ["color"] and self._limit.is_due("empty picture", 1.0):
            wanted.append("depth")  # to see if a picture comes of any depth
        if camera is None and "points" in wanted:
            wanted.remove("points")
        scaling, options = self._scaling, self.options
        header = frame.image.header
        if listeners.get("scale") and not wanted:
            wanted.append("depth")  # what the factor is measured on
        stages = {
            "wait": started - frame.received,
            "decode": decoded - started,
            "rectify": rectified - decoded,
        }

        def finish(prediction: Prediction | None) -> dict[str, float]:
            if prediction is not None:
                stages.update(prediction.seconds)
                self.is_empty = not _has_depth(prediction)
            computed = time.monotonic()
            self._publish(
                prediction, listeners, header, pixels, camera, known.calibration, degrees, options
            )
            if prediction is not None:
                scaling.measure()
            finished = time.monotonic()
            stages["publish"] = finished - computed
            stages["total"] = finished - frame.received
            return stages

        request = Request(pixels, camera, options, tuple(wanted)) if wanted else None
        return PreparedFrame(request, finish, stages)

    @property
    def can_batch(self) -> bool:
        """Whether a frame may go through the network together with those of other cameras."""
        return not self._scaling.is_live

    @property
    def can_overlap(self) -> bool:
        """Whether a frame may be finished while the next one begins."""
        # A factor is measured frame by frame, each with the depth of the last.
        return self._predictor.can_overlap and not self._scaling.is_live

    def camera_problem(self) -> str:
        """Say what is wrong with the camera_info that the last frame had, "" if nothing is."""
        known = self.image_camera
        if known is None or known.calibration is None:
            return ""
        return known.problem or self._sample_watch.problem or self._camera_difference(known)

    def _publish(
        self,
        prediction: Prediction | None,
        listeners: Mapping[str, int],
        header: Any,
        pixels: NDArray[np.uint8],
        camera: PinholeCamera | None,
        calibration: Calibration | None,
        degrees: int,
        options: OutputOptions,
    ) -> None:
        """Publish what comes of a frame; `camera` and `pixels` are turned by the degrees."""
        input_frame = header.frame_id
        header.frame_id = image_frame(input_frame, self.values["output_frame"], degrees)
        if degrees:
            self._turned_frame.announce(input_frame, header.frame_id, degrees)
        if listeners.get("scale"):
            self._outputs.publish("scale", self._scaling.message(header))
        infos = [name for name in ("camera_info", "color_info") if listeners[name]]
        if camera is not None and infos:
            if options.output_size != "image":
                camera = self._predictor.network_camera(camera)
            self._outputs.publish_camera(infos, header, camera, calibration, degrees)
        if listeners["color_image"]:
            picture = self._color_image(pixels, options)
            self._outputs.publish_image("color_image", header, picture, "rgb8")
        if prediction is None:
            return
        if prediction.depth is not None and listeners["depth"]:
            self._outputs.publish_image("depth", header, prediction.depth, options.depth_encoding)
        if prediction.color is not None:
            self._outputs.publish_image("color", header, prediction.color, "rgb8")
        points = prediction.points
        if points is None:
            return
        if degrees and not self.values["output_frame"]:
            # In the camera's own frame, which needs no transform.
            header = type(header)(stamp=header.stamp, frame_id=input_frame)
            points = turn_points(points, degrees)
        self._outputs.publish_points(header, points)

    def _color_image(self, pixels: NDArray[np.uint8], options: OutputOptions) -> NDArray[np.uint8]:
        """Return the part of the image that the depth covers, at the depth's size."""
        if options.output_size == "image":
            return pixels
        x, y, width, height = crop_box(pixels.shape[1], pixels.shape[0], self._predictor.crop)
        metadata = self._predictor.checkpoint.metadata
        window = pixels[y : y + height, x : x + width]
        size = (metadata.width, metadata.height)
        return np.asarray(cv2.resize(window, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _decode(self, image: ReceivedImage | CompressedImage) -> NDArray[np.uint8]:
        """Turn a message into RGB, unless it is too large."""
        most = self.values["max_image_pixels"]
        bits = self.values["bit_depth"] or None
        if isinstance(image, CompressedImage):
            check_encoded_size(image.data, most)
            pixels = decode_compressed(image, bits)
        elif image.width * image.height > most:
            raise ValueError(
                f"the image has {image.width}x{image.height} pixels, more than max_image_pixels "
                f"({most})"
            )
        else:
            pixels = decode_image(image, bits)
        if bits is None:
            self._sample_watch.look_at(image)
        return pixels

    def _find_camera(self, info: CameraInfo | None, width: int, height: int) -> ImageCamera:
        """Return the camera of a frame, computed again only when something changed."""
        last = self.image_camera
        if last is not None and info is self._last_info and last.size == (width, height):
            return last
        key = (_fingerprint(info), width, height)
        self._last_info = info
        known = self._cameras.pop(key, None)
        if known is None:
            known = self._new_camera(info, width, height)
        self._cameras[key] = known  # the last one is the newest
        while len(self._cameras) > _CAMERAS_KEPT:
            del self._cameras[next(iter(self._cameras))]
        self.image_camera = known
        return known

    def _new_camera(self, info: CameraInfo | None, width: int, height: int) -> ImageCamera:
        """Compute the camera of a frame, and log what is wrong with it."""
        calibration = None if info is None else Calibration.from_camera_info(info)
        rectify, scales = self.values["rectify"], self.values["scale_camera_info"]
        try:
            known = find_image_camera(
                calibration, width, height, rectify, self._image_topic, scales
            )
        except cv2.error as error:  # coefficients that OpenCV cannot compute with
            problem = f"camera_info cannot be used: {error}. Depth is published, points are not"
            known = ImageCamera(calibration, (width, height), None, None, problem)
        if known.problem and calibration is not None and self._limit.is_due("camera", 5.0):
            self._warn(known.problem)
        return known

    def _camera_difference(self, known: ImageCamera) -> str:
        """Say how the camera differs from those that the model was trained with."""
        if known.camera is None:
            return ""
        training = self._predictor.checkpoint.metadata.training
        return camera_difference(training, known.camera, self._predictor.crop)


def output_options(values: Mapping[str, Any]) -> OutputOptions:
    """Turn parameters into the predictor's options."""
    return OutputOptions(
        output_size=values["output_size"],
        scale=values["scale"],
        min_range=values["min_range"],
        max_range=values["max_range"],
        points_stride=values["points.stride"],
        points_max_range=values["points.max_range"],
        points_far_filter=values["points.far_filter"],
        points_edge_filter=values["points.edge_filter"],
        depth_encoding=values["depth_encoding"],
        color_map=values["color_map"],
        color_range=tuple(values["color_range"]),
    )


def _has_depth(prediction: Prediction) -> bool:
    """Return whether any pixel has a depth; True where only the picture was computed."""
    if prediction.depth is not None:
        return bool(np.any(prediction.depth > 0))  # NaN or 0 is none
    if prediction.points is not None:
        return bool(np.any(prediction.points[..., 2] > 0))
    return True


def _fingerprint(info: CameraInfo | None) -> Any:
    """Return what two camera_infos have in common if they say the same; NaN is equal to NaN."""
    if info is None:
        return None
    roi = info.roi
    return (
        *(info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
        *(np.asarray(values, np.float64).tobytes() for values in (info.k, info.d, info.r, info.p)),
    )
