# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Find the camera_info that belongs to an image."""

from __future__ import annotations

from collections import deque
from typing import Any

# More than a second at any camera's rate: infos may come well before their images.
_MEMORY = 120

# After so many images in a row without a partner, images no longer wait for one.
_PATIENCE = 3


class CameraInfoPairing:
    """Pairs images with camera_info messages, by stamp or by taking the latest.

    An image never waits behind another: at most one is held back for its camera_info, and it goes
    on without when a newer one comes or when :meth:`expire` is called.

    Parameters
    ----------
    tolerance_ns : int or None
        Largest difference of the stamps; None takes the latest camera_info whatever its stamp.

    Attributes
    ----------
    received : int
        Number of camera_info messages.
    unpaired : int
        Images that went on without although camera_info messages do arrive.
    nearest_ns : int or None
        Difference of the stamps of the last image without partner and the nearest camera_info.
    """

    def __init__(self, tolerance_ns: int | None) -> None:
        self.tolerance_ns = tolerance_ns
        self.received = 0
        self.unpaired = 0
        self.nearest_ns: int | None = None
        self._infos: deque[tuple[int, Any]] = deque(maxlen=_MEMORY)
        self._waiting: tuple[int, Any] | None = None
        self._last_alone: int | None = None
        self._failures = 0

    def add_image(self, stamp_ns: int, image: Any) -> list[tuple[Any, Any | None]]:
        """Take an image.

        Parameters
        ----------
        stamp_ns : int
        image : object

        Returns
        -------
        list of (image, camera_info or None)
            What can go on now, oldest first.
        """
        if self.tolerance_ns is None:
            return [(image, self._infos[-1][1] if self._infos else None)]
        ready = self.expire()
        info = self._find(stamp_ns)
        if info is not None:
            self._failures = 0
            ready.append((image, info))
        elif not self._infos or self._failures >= _PATIENCE:
            self._note_alone(stamp_ns)
            ready.append((image, None))
        else:
            self._waiting = (stamp_ns, image)
        return ready

    def add_info(self, stamp_ns: int, info: Any) -> list[tuple[Any, Any | None]]:
        """Take a camera_info; returns the image that waited for it, if one did."""
        self.received += 1
        self._infos.append((stamp_ns, info))
        if self.tolerance_ns is None:
            return []
        if self._last_alone is not None and self._fits(stamp_ns, self._last_alone):
            # It belongs to an image that did not wait: camera_info comes later, so waiting pays.
            self._failures = 0
        if self._waiting is not None and self._fits(stamp_ns, self._waiting[0]):
            image = self._waiting[1]
            self._waiting = None
            self._failures = 0
            return [(image, info)]
        return []

    def expire(self) -> list[tuple[Any, Any | None]]:
        """Let the image that waits, if there is one, go on without camera_info."""
        if self._waiting is None:
            return []
        stamp_ns, image = self._waiting
        self._waiting = None
        self._note_alone(stamp_ns)
        return [(image, None)]

    def _note_alone(self, stamp_ns: int) -> None:
        """Note that an image goes on without camera_info."""
        self._last_alone = stamp_ns
        if self._infos:
            self._failures += 1
            self.unpaired += 1
            self.nearest_ns = min(abs(other - stamp_ns) for other, _ in self._infos)

    def _fits(self, first_ns: int, second_ns: int) -> bool:
        assert self.tolerance_ns is not None
        return abs(first_ns - second_ns) <= self.tolerance_ns

    def _find(self, stamp_ns: int) -> Any | None:
        """Return the nearest camera_info within the tolerance; of equal ones the newest."""
        if not self._infos:
            return None
        nearest_ns, info = min(reversed(self._infos), key=lambda pair: abs(pair[0] - stamp_ns))
        return info if self._fits(nearest_ns, stamp_ns) else None
