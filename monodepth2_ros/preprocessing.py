# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a camera's image to the network's: crop, antialiased resize, [0, 1].

The robot and the training use these very functions, because a model that is trained on images
resized in one way and runs on images resized in another loses accuracy. They take NumPy arrays, as
on a robot without torch (:mod:`monodepth2_ros.compiled_resize`, which gives the same bits as torch,
or :mod:`monodepth2_ros.array_resize`), and torch tensors, which torch resizes: all by the same
definition, so that pixels differ by one of 255 levels at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros import array_resize, compiled_resize

if TYPE_CHECKING:
    from torch import Tensor

#: Fractions of width and height that a crop removes: left, top, right, bottom.
Crop = tuple[float, float, float, float]

#: The crop that keeps the whole image.
NO_CROP: Crop = (0.0, 0.0, 0.0, 0.0)

# Crops that differ by less are the same: fractions are rounded to pixels anyway.
_CROP_TOLERANCE = 2e-3


def check_crop(crop: Crop) -> None:
    """Raise ValueError if the fractions do not leave an image."""
    left, top, right, bottom = crop
    # Written so that NaN is refused, too.
    if not (min(crop) >= 0.0 and left + right < 1.0 and top + bottom < 1.0):
        raise ValueError(
            f"crop is {list(crop)}; give the fractions to remove at the left, top, right and "
            "bottom, each at least 0, opposite ones below 1 together"
        )


def remaining_crop(taken: Crop, wanted: Crop) -> Crop:
    """Return the crop that leads from an already cropped image to the wanted one.

    Parameters
    ----------
    taken, wanted : tuple of float
        Fractions of the camera's image removed at the left, top, right and bottom.

    Returns
    -------
    tuple of float
        Fractions of the image that is left; 0 where more was taken than wanted.
    """
    width, height = 1.0 - taken[0] - taken[2], 1.0 - taken[1] - taken[3]
    sides = [max(0.0, wanted[i] - taken[i]) / (width if i % 2 == 0 else height) for i in range(4)]
    left, top, right, bottom = (side if side > _CROP_TOLERANCE else 0.0 for side in sides)
    return left, top, right, bottom


def sees_less(taken: Crop, wanted: Crop) -> bool:
    """Whether an image with the first crop lacks something that the second keeps."""
    return any(t > w + _CROP_TOLERANCE for t, w in zip(taken, wanted, strict=True))


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Turn a crop in fractions into a window in pixels.

    Parameters
    ----------
    width, height : int
        Image size.
    crop : tuple of float
        Fractions removed at the left, top, right and bottom. Fractions, not pixels, so that a
        model trained on 1280×720 runs on the same camera's 640×360.

    Returns
    -------
    x, y, width, height : int
        First pixel and size of the window; at least one pixel.
    """
    check_crop(crop)
    left, top, right, bottom = crop
    x, y = round(width * left), round(height * top)
    return (
        min(x, width - 1),
        min(y, height - 1),
        max(1, width - x - round(width * right)),
        max(1, height - y - round(height * bottom)),
    )


def resize_image(image: Any, width: int, height: int) -> Any:
    """Resize with antialiasing.

    Parameters
    ----------
    image : ndarray or Tensor, shape (H, W, 3), uint8
    width, height : int

    Returns
    -------
    ndarray or Tensor as `image`, shape (height, width, 3), uint8
        Bilinear with a triangle filter as wide as the reduction asks for (Pillow's definition),
        rounded to the nearest.
    """
    if isinstance(image, np.ndarray):
        return _resize_array(image, width, height)
    return _resize(image[None], width, height)[0]


def _resize_array(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize an array; see :func:`resize_image`."""
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    resizer = compiled_resize if compiled_resize.is_available() else array_resize
    return resizer.resize_pixels(image, width, height)


def _resize(images: Tensor, width: int, height: int) -> Tensor:
    """Resize images (B, H, W, 3); see :func:`resize_image`."""
    from torch.nn import functional

    if images.shape[1:3] == (height, width):
        return images
    planar = images.permute(0, 3, 1, 2)
    if images.is_cuda:  # torch resizes uint8 on the CPU alone
        resized = functional.interpolate(
            planar.float(), (height, width), mode="bilinear", antialias=True
        )
        resized = resized.round_().clamp_(0, 255).byte()
    else:
        resized = functional.interpolate(planar, (height, width), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous()


def prepare_image(image: Any, crop: Crop, width: int, height: int) -> Any:
    """Crop and resize a camera image to the network's size.

    Parameters
    ----------
    image : ndarray or Tensor, shape (H, W, 3), uint8, RGB
    crop : tuple of float
        See :func:`crop_box`.
    width, height : int
        The network's input size.

    Returns
    -------
    ndarray or Tensor as `image`, shape (height, width, 3), uint8, RGB
    """
    if not isinstance(image, np.ndarray):
        return prepare_images(image[None], crop, width, height)[0]
    x, y, crop_width, crop_height = crop_box(image.shape[1], image.shape[0], crop)
    return _resize_array(image[y : y + crop_height, x : x + crop_width], width, height)


def prepare_images(images: Any, crop: Crop, width: int, height: int) -> Any:
    """Crop and resize images of one size, as :func:`prepare_image` does each of them.

    Parameters
    ----------
    images : ndarray or Tensor, shape (B, H, W, 3), uint8, RGB
    crop, width, height
        See :func:`prepare_image`.

    Returns
    -------
    ndarray or Tensor as `images`, shape (B, height, width, 3), uint8, RGB
    """
    if isinstance(images, np.ndarray):
        return np.stack([prepare_image(image, crop, width, height) for image in images])
    x, y, crop_width, crop_height = crop_box(images.shape[2], images.shape[1], crop)
    return _resize(images[:, y : y + crop_height, x : x + crop_width], width, height)


def to_network_input(image: Tensor) -> Tensor:
    """Turn stored images into what the networks take.

    Parameters
    ----------
    image : Tensor, shape (..., H, W, 3), uint8, RGB

    Returns
    -------
    Tensor, shape (..., 3, H, W), float32
        In [0, 1].
    """
    return image.movedim(-1, -3).float() / 255.0
