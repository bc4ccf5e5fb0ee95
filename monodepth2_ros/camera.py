# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera models: the pinhole that depth lives in, and the calibration that leads to it.

Two plain data types. :class:`PinholeCamera` is an ideal camera of a given image size; it follows
the image through crops, resizes and mirroring. :class:`Calibration` is what a
``sensor_msgs/CameraInfo`` says: matrices, distortion, region of interest and binning; it gives
the pinhole camera of the delivered image, raw or rectified, and the maps that rectify it.

Pixel coordinates have their integers at pixel centres, so resizing by s moves the principal point
to (c + 0.5) · s − 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Distortion models that can be rectified, with the numbers of coefficients OpenCV takes.
DISTORTION_MODELS = {
    "plumb_bob": (4, 5, 8, 12, 14),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
}

#: Other names of these models, as drivers and calibration tools write them.
MODEL_ALIASES = {
    "radtan": "plumb_bob",
    "radial-tangential": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "brown-conrady": "plumb_bob",
    "pinhole": "plumb_bob",
    "opencv": "plumb_bob",
    "rational": "rational_polynomial",
    "fisheye": "equidistant",
    "kannala_brandt4": "equidistant",
    "kannala_brandt": "equidistant",
    "equi": "equidistant",
}


@dataclass(frozen=True)
class PinholeCamera:
    """An ideal pinhole camera.

    Attributes
    ----------
    width, height : int
        Image size in pixels.
    fx, fy : float
        Focal lengths in pixels.
    cx, cy : float
        Principal point in pixels; (0, 0) is the centre of the first pixel.

    Raises
    ------
    ValueError
        If the size is not positive, a focal length not positive, or a value not finite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera: image size {self.width}x{self.height} is not positive")
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"camera: intrinsics (fx, fy, cx, cy) = {values} are not finite")
        if self.fx <= 0.0 or self.fy <= 0.0:
            raise ValueError(
                f"camera: focal lengths ({self.fx}, {self.fy}) must be positive; is the camera "
                "calibrated?"
            )

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, width: int, height: int) -> PinholeCamera:
        """Read the camera from an intrinsic matrix.

        Parameters
        ----------
        matrix : array_like, shape (3, 3), (3, 4) or (4, 4), or its 9, 12 or 16 values by rows
            In pixels at width × height.
        width, height : int
        """
        values = np.asarray(matrix, dtype=np.float64)
        if values.ndim == 1:
            if values.size not in (9, 12, 16):
                raise ValueError(f"camera: a matrix of {values.size} values; 9, 12 or 16 needed")
            values = values.reshape(4 if values.size == 16 else 3, -1)
        return cls(
            width,
            height,
            float(values[0, 0]),
            float(values[1, 1]),
            float(values[0, 2]),
            float(values[1, 2]),
        )

    @classmethod
    def from_camera_info(cls, info: Any, rectified: bool = True) -> PinholeCamera:
        """Read the camera of the delivered image from a ``sensor_msgs/CameraInfo``.

        Parameters
        ----------
        info : message
            Message of rclpy or of the rosbags library, ROS 2 or ROS 1.
        rectified : bool
            Take P, for a rectified image, or K, for a raw one.

        Raises
        ------
        ValueError
            If the camera is not calibrated (K[0] = 0).
        """
        return Calibration.from_camera_info(info).camera(rectified)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The 3 × 3 intrinsic matrix, in pixels."""
        return np.array(
            [[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]], dtype=np.float64
        )

    @property
    def matrix4(self) -> NDArray[np.float64]:
        """The intrinsics as the 4 × 4 matrix that :mod:`monodepth2_ros.geometry` takes."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.matrix
        return matrix

    def cropped(self, x: int, y: int, width: int, height: int) -> PinholeCamera:
        """Return the camera of the window whose first pixel is (x, y).

        Raises
        ------
        ValueError
            If the window is not inside the image.
        """
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"camera: the crop {width}x{height} at ({x}, {y}) is not inside the "
                f"{self.width}x{self.height} image"
            )
        return PinholeCamera(width, height, self.fx, self.fy, self.cx - x, self.cy - y)

    def resized(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the image resized to width × height."""
        sx, sy = width / self.width, height / self.height
        return PinholeCamera(
            width,
            height,
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
        )

    def subsampled(self, stride: int) -> PinholeCamera:
        """Return the camera of the image that keeps pixels 0, stride, 2 · stride … ."""
        return PinholeCamera(
            -(-self.width // stride),
            -(-self.height // stride),
            self.fx / stride,
            self.fy / stride,
            self.cx / stride,
            self.cy / stride,
        )

    def binned(self, x: int, y: int) -> PinholeCamera:
        """Return the camera whose pixels average x × y pixels of this one.

        The image keeps whole bins only, as sensors do.
        """
        width, height = self.width // x, self.height // y
        return self.cropped(0, 0, width * x, height * y).resized(width, height)

    def mirrored(self) -> PinholeCamera:
        """Return the camera of the image flipped left to right."""
        return PinholeCamera(
            self.width, self.height, self.fx, self.fy, self.width - 1 - self.cx, self.cy
        )

    def turned(self, degrees: int) -> PinholeCamera:
        """Return the camera of the image turned clockwise, see :func:`turn_image`.

        Parameters
        ----------
        degrees : int
            0, 90, 180 or 270.
        """
        right, bottom = self.width - 1 - self.cx, self.height - 1 - self.cy
        turned = {
            0: (self.width, self.height, self.fx, self.fy, self.cx, self.cy),
            90: (self.height, self.width, self.fy, self.fx, bottom, self.cx),
            180: (self.width, self.height, self.fx, self.fy, right, bottom),
            270: (self.height, self.width, self.fy, self.fx, self.cy, right),
        }
        return PinholeCamera(*turned[degrees])


def turn_image(image: NDArray[Any], degrees: int) -> NDArray[Any]:
    """Turn an image clockwise.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
    degrees : int
        0, 90, 180 or 270.

    Returns
    -------
    ndarray, shape (H, W[, C]), or (W, H[, C]) for 90 and 270
        Contiguous. At 90 degrees pixel (u, v) goes to (H - 1 - v, u).
    """
    return np.ascontiguousarray(np.rot90(image, -degrees // 90)) if degrees else image


def turn_direction(x: Any, y: Any, degrees: int) -> tuple[Any, Any]:
    """Give x and y of the camera's frame in the frame of the camera turned clockwise.

    Parameters
    ----------
    x, y : float or ndarray
        To the right and down in the image before it is turned; z does not change.
    degrees : int
        0, 90, 180 or 270.
    """
    return {0: (x, y), 90: (-y, x), 180: (-x, -y), 270: (y, -x)}[degrees]


@dataclass(frozen=True)
class RegionOfInterest:
    """Window of the full sensor, in unbinned pixels; width or height 0 means all of it."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Calibration:
    """What a ``sensor_msgs/CameraInfo`` says about a camera.

    Attributes
    ----------
    width, height : int
        Size of the full sensor image that the matrices belong to, unbinned.
    k : tuple of 9 float
        Intrinsics of the raw image.
    d : tuple of float
        Distortion coefficients of `distortion_model`, in OpenCV's order.
    distortion_model : str
        One of :data:`DISTORTION_MODELS`; may be empty where there is no distortion.
    r : tuple of 9 float
        Rotation from the camera's frame to the rectified one.
    p : tuple of 12 float
        Projection of the rectified image; P[3] = −fx · baseline in a stereo pair.
    roi : RegionOfInterest
    binning : tuple of int
        Pixels averaged along x and y; at least 1.
    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    distortion_model: str = ""
    r: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    p: tuple[float, ...] = (0.0,) * 12
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)
    binning: tuple[int, int] = (1, 1)

    @classmethod
    def from_camera_info(cls, info: Any) -> Calibration:
        """Read a ``sensor_msgs/CameraInfo``, of rclpy or of rosbags, ROS 2 or ROS 1."""

        def floats(name: str) -> tuple[float, ...]:
            # ROS 1 spells the fields K, D, R, P.
            values = getattr(info, name, None)
            if values is None:
                values = getattr(info, name.upper())
            return tuple(float(value) for value in values)

        roi = info.roi
        return cls(
            width=int(info.width),
            height=int(info.height),
            k=floats("k"),
            d=floats("d"),
            distortion_model=str(info.distortion_model),
            r=floats("r"),
            p=floats("p"),
            roi=RegionOfInterest(
                int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)
            ),
            # 0 stands for "not binned".
            binning=(max(1, int(info.binning_x)), max(1, int(info.binning_y))),
        )

    @property
    def is_calibrated(self) -> bool:
        """Whether there are intrinsics: zeros in K and in P say there are none."""
        return self.k[0] != 0.0 or self.p[0] != 0.0

    @property
    def is_distorted(self) -> bool:
        """Whether the raw image differs from a pinhole's by distortion."""
        return any(value != 0.0 for value in self.d)

    @property
    def model(self) -> str:
        """The distortion model by its name in :data:`DISTORTION_MODELS`, if it has one there."""
        name = self.distortion_model.strip().lower()
        return MODEL_ALIASES.get(name, name)

    @property
    def needs_rectification(self) -> bool:
        """Whether the raw image differs from the rectified one by distortion or by a rotation."""
        return self.is_distorted or self.model == "equidistant" or self.is_rotated

    @property
    def is_rotated(self) -> bool:
        """Whether R rotates the camera's frame."""
        return not np.allclose(self.rotation, np.eye(3), atol=1e-9)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """R, shape (3, 3); zeros, as some drivers leave it, stand for no rotation."""
        return np.reshape(self.r, (3, 3)) if any(self.r) else np.eye(3)

    @property
    def delivered_size(self) -> tuple[int, int]:
        """Width and height of the delivered image: after region of interest and binning."""
        roi = self.roi
        width, height = (
            (roi.width, roi.height)
            if roi.width and roi.height
            else (
                self.width,
                self.height,
            )
        )
        return width // self.binning[0], height // self.binning[1]

    def scaled(self, width: int, height: int) -> Calibration:
        """Return the calibration for delivered images of another size and the same aspect.

        Parameters
        ----------
        width, height : int
            Size of the delivered images in pixels.

        Raises
        ------
        ValueError
            If the aspect differs by more than a pixel of rounding.
        """
        old_width, old_height = self.delivered_size
        if not same_aspect(old_width, old_height, width, height):
            raise ValueError(
                f"camera_info is for {old_width}x{old_height} images and cannot be scaled to "
                f"{width}x{height}: the aspect differs, so part of the view was cut off"
            )
        full = (
            PinholeCamera.from_matrix(m, self.width, self.height) if m[0] else None
            for m in (self.k, self.p)
        )
        k, p = self.k, self.p
        images = []
        for camera in full:
            if camera is not None and self.roi.width and self.roi.height:
                camera = camera.cropped(self.roi.x, self.roi.y, self.roi.width, self.roi.height)
            if camera is not None and self.binning != (1, 1):
                camera = camera.binned(*self.binning)
            images.append(None if camera is None else camera.resized(width, height))
        if images[0] is not None:
            k = tuple(images[0].matrix.reshape(-1).tolist())
        if images[1] is not None:
            new = images[1]
            # P[3] = -fx * baseline scales with fx.
            shift = self.p[3] * new.fx / self.p[0]
            p = (new.fx, 0.0, new.cx, shift, 0.0, new.fy, new.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
        return Calibration(width, height, k, self.d, self.distortion_model, self.r, p)

    @property
    def baseline(self) -> float:
        """Distance to the stereo partner on the left, in metres; 0 for any other camera."""
        return -self.p[3] / self.p[0] if self.p[0] != 0.0 else 0.0

    def camera(self, rectified: bool = True) -> PinholeCamera:
        """Return the pinhole camera of the delivered image.

        The region of interest and the binning are applied: the result belongs to the image as it
        arrives. (``image_geometry`` leaves out the half-pixel shift of binning; here pixel
        centres are followed.)

        Parameters
        ----------
        rectified : bool
            Use P, which describes the rectified image, or K, the raw one. If one of them is
            empty (zeros, as some drivers leave it) the other one is used for both.

        Raises
        ------
        ValueError
            If the camera is not calibrated, or the intrinsics are unusable.
        """
        if not self.is_calibrated:
            raise ValueError(
                "camera_info is uncalibrated (K[0] is 0); calibrate the camera, for example with "
                "camera_calibration, and let its driver publish the result"
            )
        has_p = self.p[0] != 0.0
        matrix = self.p if has_p and (rectified or self.k[0] == 0.0) else self.k
        camera = PinholeCamera.from_matrix(matrix, self.width, self.height)
        roi = self.roi
        if roi.width and roi.height:
            camera = camera.cropped(roi.x, roi.y, roi.width, roi.height)
        return camera.binned(*self.binning) if self.binning != (1, 1) else camera

    def rectification_maps(
        self, target: PinholeCamera | None = None
    ) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """Compute the maps that turn the delivered raw image into a pinhole's.

        Parameters
        ----------
        target : PinholeCamera, optional
            The camera to see through; ``self.camera(rectified=True)`` by default.

        Returns
        -------
        two arrays, shapes (H, W, 2) and (H, W)
            In OpenCV's fixed-point form: ``cv2.remap(raw, *maps, cv2.INTER_LINEAR)``.

        Raises
        ------
        ValueError
            If the distortion model is unknown or has the wrong number of coefficients.
        """
        import cv2

        target = target or self.camera(rectified=True)
        if self.k[0] == 0.0 and self.needs_rectification:
            raise ValueError(
                "camera_info has distortion or a rotation, but K is empty, so the raw image cannot "
                "be rectified; calibrate the camera, or subscribe to the rectified image"
            )
        raw = self.camera(rectified=False).matrix
        rotation = self.rotation
        size = (target.width, target.height)
        model = self.model
        coefficients = self._coefficients()
        if model == "equidistant":
            first, second = cv2.fisheye.initUndistortRectifyMap(
                raw, coefficients, rotation, target.matrix, size, cv2.CV_16SC2
            )
        else:
            first, second = cv2.initUndistortRectifyMap(
                raw, coefficients, rotation, target.matrix, size, cv2.CV_16SC2
            )
        return np.asarray(first, dtype=np.int16), np.asarray(second, dtype=np.uint16)

    def _coefficients(self) -> NDArray[np.float64]:
        """Return the distortion coefficients as many as OpenCV takes.

        Drivers pad D with zeros (plumb_bob with eight values, the last three 0); zeros at the end
        change nothing, so as many as needed are removed.

        Raises
        ------
        ValueError
            If the model is unknown or has too many coefficients.
        """
        model = self.model
        if not self.is_distorted and (model != "equidistant" or not self.d):
            return np.zeros(4 if model == "equidistant" else 5)
        if model not in DISTORTION_MODELS:
            raise ValueError(
                f"camera_info: distortion_model '{self.distortion_model}' is unknown; "
                f"rectification knows {', '.join(DISTORTION_MODELS)}"
            )
        needed = len(self.d)
        while needed and self.d[needed - 1] == 0.0:
            needed -= 1
        counts = DISTORTION_MODELS[model]
        count = next((count for count in counts if needed <= count <= len(self.d)), None)
        if count is None:
            raise ValueError(
                f"camera_info: {model} with {len(self.d)} coefficients; it takes "
                f"{' or '.join(map(str, counts))}"
            )
        # As many as there are, or fewer: three coefficients of a model with four are a mistake.
        values = np.zeros(count)
        values[:needed] = self.d[:needed]
        return values


def same_aspect(width: int, height: int, other_width: int, other_height: int) -> bool:
    """Return whether one image size is the other one scaled, up to a pixel of rounding."""
    if min(width, height, other_width, other_height) < 1:
        return False
    return abs(width * other_height / other_width - height) < 1.01 * max(
        1.0, width / other_width
    ) and abs(height * other_width / other_height - width) < 1.01 * max(1.0, height / other_height)
