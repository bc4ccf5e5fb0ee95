# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the names of topics and frames say, by whole words.

The node and the extraction read names with these functions only, so that both decide alike.
``image_unrectified`` and ``image_color_corrected`` hold the letters "rect", but not the word.
"""

from __future__ import annotations

import functools
import re

#: Last parts of topic names that name a transport.
TRANSPORTS = ("compressed", "compressedDepth", "zstd", "theora", "ffmpeg", "rvl")

#: Words that say that images are rectified.
RECTIFIED = frozenset({"rect", "rectified", "undistorted", "undistort"})

#: Words that say that they are not.
NOT_RECTIFIED = frozenset({"unrect", "unrectified", "distorted", "nonrectified", "notrectified"})

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def base_topic(name: str) -> str:
    """Return a topic without its transport: /camera/image_raw for /camera/image_raw/compressed."""
    head, _, tail = name.rstrip("/").rpartition("/")
    return head if tail in TRANSPORTS and head else name


def words(text: str) -> list[str]:
    """Split a name into its words, in lower case: image_rectColor2 → image, rect, color, 2."""
    return [word.lower() for word in _WORD.findall(text)]


def segments(topic: str) -> list[list[str]]:
    """Return the words of each part of a topic between slashes, without the transport."""
    return [words(part) for part in base_topic(topic).strip("/").split("/")]


def is_rectified_name(topic: str) -> bool:
    """Return whether a topic's name says that its images are rectified.

    The last part counts by its words (``image_rect_color``, ``image_rect_raw``). A namespace
    counts only if all of it is such a word (``rect/image``, ``rectified/image_raw``, but not
    ``rect_camera/image_raw``). The part nearest to the end decides.
    """
    *namespaces, base = segments(topic)
    for number, part in enumerate([base, *reversed(namespaces)]):
        found = set(part)
        if "un" in found or "non" in found or "not" in found:
            found -= RECTIFIED
        if found & NOT_RECTIFIED:
            return False
        if found & RECTIFIED and (number == 0 or found <= RECTIFIED):
            return True
    return False


@functools.lru_cache(maxsize=256)  # every image asks for all the camera_info messages that are kept
def same_frame(first: str, second: str) -> bool | None:
    """Compare two frame_ids; None where one is empty, so that nothing is known.

    A leading slash, as ROS 1 wrote it, makes no difference.
    """
    first, second = first.strip().lstrip("/"), second.strip().lstrip("/")
    if not first or not second:
        return None
    return first == second
