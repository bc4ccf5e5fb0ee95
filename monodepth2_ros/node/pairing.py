# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Find the camera_info that belongs to an image."""

from __future__ import annotations

from collections import deque
from typing import Any

from monodepth2_ros.topic_names import same_frame

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
    any_frame : bool
        Take a camera_info of any frame, not only of the image's.

    Attributes
    ----------
    received : int
        Number of camera_info messages.
    frames : dict of str to int
        Numbers of camera_info messages by frame_id.
    image_frame : str
        Frame of the last image.
    unpaired : int
        Images that went on without although camera_info messages do arrive.
    nearest_ns : int or None
        Difference of the stamps of the last image without partner and the nearest camera_info.
    """

    def __init__(self, tolerance_ns: int | None, any_frame: bool = False) -> None:
        self.tolerance_ns = tolerance_ns
        self.any_frame = any_frame
        self.received = 0
        self.frames: dict[str, int] = {}
        self.image_frame = ""
        self.unpaired = 0
        self.nearest_ns: int | None = None
        self._infos: deque[tuple[int, Any, str]] = deque(maxlen=_MEMORY)
        self._waiting: tuple[int, Any, str] | None = None
        self._last_alone: int | None = None
        self._failures = 0

    def add_image(self, stamp_ns: int, image: Any, frame: str = "") -> list[tuple[Any, Any | None]]:
        """Take an image.

        Parameters
        ----------
        stamp_ns : int
        image : object
        frame : str
            Its frame_id.

        Returns
        -------
        list of (image, camera_info or None)
            What can go on now, oldest first.
        """
        self.image_frame = frame
        if self.tolerance_ns is not None and self._waiting is None and self._infos:
            # Nearly always the last one is the image's: there is nothing to search.
            last_ns, info, info_frame = self._infos[-1]
            if last_ns == stamp_ns and self._is_of_frame(info_frame, frame):
                self._failures = 0
                return [(image, info)]
        fitting = self._fitting(frame)
        if self.tolerance_ns is None:
            return [(image, fitting[-1][1] if fitting else None)]
        ready = self.expire()
        info = self._find(stamp_ns, fitting)
        if info is not None:
            self._failures = 0
            ready.append((image, info))
        elif not fitting or self._failures >= _PATIENCE:
            self._note_alone(stamp_ns, frame)
            ready.append((image, None))
        else:
            self._waiting = (stamp_ns, image, frame)
        return ready

    def add_info(self, stamp_ns: int, info: Any, frame: str = "") -> list[tuple[Any, Any | None]]:
        """Take a camera_info; returns the image that waited for it, if one did."""
        self.received += 1
        self.frames[frame] = self.frames.get(frame, 0) + 1
        self._infos.append((stamp_ns, info, frame))
        if self.tolerance_ns is None:
            return []
        if (
            self._last_alone is not None
            and self._is_near(stamp_ns, self._last_alone)
            and self._is_of_frame(frame, self.image_frame)
        ):
            # It belongs to an image that did not wait: camera_info comes later, so waiting pays.
            self._failures = 0
        if (
            self._waiting is not None
            and self._is_near(stamp_ns, self._waiting[0])
            and self._is_of_frame(frame, self._waiting[2])
        ):
            image = self._waiting[1]
            self._waiting = None
            self._failures = 0
            return [(image, info)]
        return []

    def expire(self) -> list[tuple[Any, Any | None]]:
        """Let the image that waits, if there is one, go on without camera_info."""
        if self._waiting is None:
            return []
        stamp_ns, image, frame = self._waiting
        self._waiting = None
        self._note_alone(stamp_ns, frame)
        return [(image, None)]

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits for its camera_info."""
        return self._waiting is not None

    @property
    def other_frames(self) -> list[str]:
        """Frames of the camera_info messages, if all of them are other ones than the image's."""
        if any(self._is_of_frame(frame, self.image_frame) for frame in self.frames):
            return []
        return sorted(self.frames)

    def _note_alone(self, stamp_ns: int, frame: str) -> None:
        """Note that an image goes on without camera_info."""
        self._last_alone = stamp_ns
        if self._infos:
            self.unpaired += 1
        fitting = self._fitting(frame)
        if fitting:
            self._failures += 1
            self.nearest_ns = min(abs(other - stamp_ns) for other, _, _ in fitting)

    def _fitting(self, frame: str) -> list[tuple[int, Any, str]]:
        """Return the camera_info messages that may be an image's, oldest first."""
        return [info for info in self._infos if self._is_of_frame(info[2], frame)]

    def _is_of_frame(self, info_frame: str, image_frame: str) -> bool:
        return self.any_frame or same_frame(info_frame, image_frame) is not False

    def _is_near(self, first_ns: int, second_ns: int) -> bool:
        assert self.tolerance_ns is not None
        return abs(first_ns - second_ns) <= self.tolerance_ns

    def _find(self, stamp_ns: int, fitting: list[tuple[int, Any, str]]) -> Any | None:
        """Return the nearest camera_info within the tolerance; of equal ones the newest."""
        if not fitting:
            return None
        nearest_ns, info, _ = min(reversed(fitting), key=lambda item: abs(item[0] - stamp_ns))
        return info if self._is_near(nearest_ns, stamp_ns) else None
