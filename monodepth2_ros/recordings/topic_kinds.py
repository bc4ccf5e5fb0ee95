# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the topics of a recording hold: camera images, depth, labels, this package's own outputs.

Decided by type, encoding, whole words of the name and the content of the first picture, in the
order of the table in docs/reference/joins.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.recordings.bags import CAMERA_INFO, POINT_CLOUD, RecordedTopic
from monodepth2_ros.topic_names import segments


def _set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


#: What a word of a topic's name says about its images. Of several words in one part of a name the
#: first kind in this order counts: depth_confidence is confidence.
WORDS_OF_KIND: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "confidence",
        _set("confidence conf certainty uncertainty variance stddev sigma quality error"),
    ),
    (
        "labels",
        _set(
            "label labels semantic semantics segmentation segmented segment segments seg panoptic "
            "instance instances class classes classification mask masks"
        ),
    ),
    (
        "picture",
        _set(
            "overlay debug viz vis visualization visualisation visualize visualized annotated "
            "annotation annotations detection detections heatmap colormap colourmap colorized "
            "colourized markers tracking matches"
        ),
    ),
    ("normals", _set("normal normals")),
    ("flow", _set("flow optflow")),
    ("disparity", _set("disparity disparities disp")),
    ("range", _set("range ranges")),
    ("amplitude", _set("amplitude amplitudes amp")),
    ("intensity", _set("intensity intensities reflectivity reflec signal nearir")),
    ("infrared", _set("infrared infra ir nir lwir swir mwir fir thermal flir boson lepton")),
    ("depth", _set("depth depthmap depths tof")),
)

#: Kinds that are images of a scene after all, but no ordinary camera's.
OTHER_LIGHT = ("infrared", "intensity", "amplitude")

#: Words that tell processing steps of one camera apart, not cameras.
NEUTRAL = _set(
    "image images img raw rect rectified unrectified undistorted distorted color colour rgb bgr "
    "mono grey gray compressed view video stream throttle throttled republished repub relay small "
    "resized scaled preview thumbnail bayer debayered corrected hd sd"
)

#: Words that say that images are in colour.
COLOUR = _set("color colour rgb bgr")

#: Words of a camera_info's name that say which of several cameras it is for.
TELLING = _set(
    "left right front rear back top bottom up down side center centre fisheye wide tele narrow rgb "
    "color colour"
).union(*(named for _, named in WORDS_OF_KIND))

# Words that name a device and not what its topic holds: depth_camera/rgb/image_raw.
_DEVICE = _set("camera cam cameras sensor device node driver")

# Content of a picture: drawn in few flat colours, or in those of a colour map.
_FLAT_COLOURS = 64
_FLAT_SHARE = 0.9
_SHADING_STEP = 3
_DARK = 16
_MAP_SHARE = 0.97
_MAP_TOLERANCE = 10.0
_MAPS = ("MAGMA", "INFERNO", "PLASMA", "VIRIDIS", "TURBO", "JET")


@dataclass(frozen=True)
class Finding:
    """What a topic is taken for, and why.

    Attributes
    ----------
    topic : RecordedTopic
    kind : str
        "image", "depth", "points", "camera_info", one of the kinds of measurements and pictures
        ("confidence", "labels", "infrared", …), "own output", "unclear" or "other".
    why : str
    """

    topic: RecordedTopic
    kind: str
    why: str = ""


@dataclass(frozen=True)
class Candidates:
    """The topics of a recording, each with what it is taken for."""

    findings: tuple[Finding, ...] = field(default=())

    def of(self, *kinds: str) -> list[RecordedTopic]:
        """Return the topics of some kinds."""
        return [finding.topic for finding in self.findings if finding.kind in kinds]

    def find(self, topic: RecordedTopic) -> Finding:
        """Return what a topic is taken for."""
        return next(finding for finding in self.findings if finding.topic == topic)

    def describe(self) -> str:
        """List the image topics that are not taken for camera images, with the reasons."""
        return "; ".join(
            f"{f.topic.name} ({f.topic.pixel_encoding or f.topic.type}) was taken for {f.kind}: "
            f"{f.why}"
            for f in self.findings
            if f.kind not in ("image", "camera_info", "points", "other")
        )


def classify(topics: Sequence[RecordedTopic]) -> Candidates:
    """Find out what each topic of a recording holds.

    Parameters
    ----------
    topics : sequence of RecordedTopic

    Returns
    -------
    Candidates
        By type, encoding, whole words of the name, the content of the first picture, and, for
        outputs of this package's own node, the topics next to it.
    """
    own = own_outputs(topics)
    return Candidates(tuple(own.get(topic.name) or _classify(topic) for topic in topics))


def _classify(topic: RecordedTopic) -> Finding:
    """Find out what a topic holds by itself."""
    if topic.type == CAMERA_INFO:
        return Finding(topic, "camera_info", "by its type")
    if topic.type == POINT_CLOUD:
        return Finding(topic, "points", "by its type")
    if not (topic.is_image or topic.is_depth):
        return Finding(topic, "other", f"its type is {topic.type}")
    kind, word = _kind_by_name(topic)
    encoding = topic.pixel_encoding
    is_float = encoding in ("32FC1", "64FC1")
    if "compressedDepth" in topic.encoding and kind in ("", "depth"):
        return Finding(topic, "depth", "its transport is compressedDepth")
    if kind in OTHER_LIGHT:
        if is_float:
            return Finding(topic, f"{kind} values", f"'{word}' in its name, encoding {encoding}")
        return Finding(topic, kind, f"'{word}' in its name")
    if kind == "depth":
        if topic.is_depth or encoding == "mono16":
            return Finding(topic, "depth", f"'{word}' in its name and encoding {encoding}")
        return Finding(
            topic, "picture", f"'{word}' in its name, but encoding {encoding or 'of pictures'}"
        )
    if kind:
        return Finding(topic, kind, f"'{word}' in its name")
    if topic.is_depth:
        if "stereo" in {word for part in segments(topic.name) for word in part}:
            return Finding(topic, "depth", f"'stereo' in its name and encoding {encoding}")
        return Finding(
            topic,
            "unclear",
            f"{encoding} may be depth, or a grey or infrared image; the name does not say which",
        )
    content = picture_content(topic.picture)
    if content:
        return Finding(topic, "labels" if "flat" in content else "picture", content)
    return Finding(topic, "image", "an image encoding, and nothing in its name says otherwise")


def _kind_by_name(topic: RecordedTopic) -> tuple[str, str]:
    """Return what a topic's name says that it holds, with the word; the end of the name counts."""
    *namespaces, base = segments(topic.name)
    for number, part in enumerate([base, *reversed(namespaces)]):
        # aligned_depth_to_color is depth, rgb_to_depth a colour image.
        part = part[: part.index("to")] if "to" in part[1:] else part
        is_device = number > 0 and bool(set(part) & _DEVICE)
        outer = namespaces[-1] if number == 0 and namespaces else []
        is_of_depth = bool(set(outer) & {"depth"}) and not set(outer) & _DEVICE
        others = any(set(part) & named for kind, named in WORDS_OF_KIND if kind != "depth")
        if set(part) & COLOUR and not others and not topic.is_depth and not is_of_depth:
            return "", ""  # /depth_sensor/rgb/image_raw, but not depth/image_color
        for kind, named in WORDS_OF_KIND:
            found = [word for word in part if word in named]
            if found and not (is_device and kind == "depth" and not topic.is_depth):
                return kind, found[0]
    return "", ""


def picture_content(picture: NDArray[np.uint8] | None) -> str:
    """Say whether a picture is drawn rather than taken by a camera; "" if nothing shows that.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, or None

    Returns
    -------
    str
        Such as "flat areas of 7 colours" or "the colours of the colour map magma".
    """
    if picture is None or picture.shape[0] < 16 or picture.shape[1] < 16:
        return ""
    step = max(1, picture.shape[0] // 240)
    seen = np.ascontiguousarray(picture[::step, ::step])
    steps = np.abs(np.diff(seen.astype(np.int16), axis=1)).max(axis=2)
    colours = np.unique(seen.reshape(-1, 3), axis=0)
    is_flat = (steps == 0).mean() > _FLAT_SHARE
    if 2 <= len(colours) <= _FLAT_COLOURS and is_flat and not _is_smooth(seen, steps):
        return f"flat areas of {len(colours)} colours"
    grey = (np.ptp(colours.astype(np.int16), axis=1) <= 8).mean()
    if grey > 0.5:
        return ""
    pixels = seen.reshape(-1, 3)[:: max(1, seen.size // 3 // 400)].astype(np.float32)
    # Black stands for unknown depth.
    pixels = pixels[pixels.sum(axis=1) > 12]
    if len(pixels) < 50:
        return ""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    for name in _MAPS:
        table = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name}"))[:, 0, ::-1]
        distance = np.linalg.norm(pixels[:, None] - table[None].astype(np.float32), axis=2)
        nearest = distance.min(axis=1)
        if (nearest < _MAP_TOLERANCE).mean() > _MAP_SHARE and len(
            np.unique(distance.argmin(axis=1))
        ) > 8:
            return f"the colours of the colour map {name.lower()}"
    return ""


def _is_smooth(picture: NDArray[np.uint8], steps: NDArray[np.int16]) -> bool:
    """Tell shading from labels: a camera before a wall sees few colours, too, that run together.

    A few labels that are stored as the grey levels 0, 1, 2, … are close to each other as well, but
    nearly black.
    """
    changes = steps[steps > 0]
    is_gradual = bool((changes <= _SHADING_STEP).mean() > _FLAT_SHARE)
    return is_gradual and int(picture.max()) >= _DARK


def _has_stamps_of_an_image(depth: RecordedTopic, topics: Sequence[RecordedTopic]) -> bool:
    """Return whether all stamps are those of an image of the same frame, in another namespace."""
    return any(
        image.is_image
        and image.frame_id == depth.frame_id
        and image.namespace != depth.namespace
        and set(depth.stamps) <= set(image.stamps)
        for image in topics
    )


def own_outputs(topics: Sequence[RecordedTopic]) -> dict[str, Finding]:
    """Find the outputs of this package's node, as ``ros2 bag record -a`` records them.

    The node publishes depth/image_rect, depth/camera_info, depth/image_color and points. A depth
    sensor's driver may use the first name too, so another sign is needed: the colour picture, the
    node's lifecycle topic, or a size that only a network has.
    """
    by_name = {topic.name: topic for topic in topics}
    found: dict[str, Finding] = {}
    for topic in topics:
        if not topic.base_name.endswith("depth/image_rect") or not topic.is_depth:
            continue
        prefix = topic.base_name.removesuffix("image_rect")
        outer = prefix.removesuffix("depth/")
        color = by_name.get(f"{prefix}image_color")
        info = by_name.get(f"{prefix}camera_info")
        cloud = by_name.get(f"{outer}points")
        is_network_size = topic.width % 32 == 0 and topic.height % 32 == 0
        is_other_size = all(
            (image.width, image.height) != (topic.width, topic.height)
            for image in topics
            if image.is_image and not image.name.startswith(prefix)
        )
        if color is not None and color.is_image:
            sign = f"the colour picture {color.name} is next to it"
        elif f"{prefix}transition_event" in by_name or "/depth/transition_event" in by_name:
            sign = "the node's transition_event was recorded too"
        elif cloud is not None and cloud.is_organized and cloud.frame_id == topic.frame_id:
            sign = f"the coloured cloud {cloud.name} is next to it"
        elif info is not None and topic.width and is_network_size and is_other_size:
            sign = f"its size {topic.width}x{topic.height} is a network's and not the camera's"
        elif info is not None and topic.stamps and _has_stamps_of_an_image(topic, topics):
            sign = f"{info.name} is next to it, and its stamps are exactly an image's"
        else:
            continue
        why = f"named as this package's node names it, and {sign}"
        for output in (topic, color, cloud):
            if output is not None:
                found[output.name] = Finding(output, "own output", why)
        for other in topics:
            if other.base_name in (topic.base_name, f"{prefix}image_color") and other.is_compressed:
                found[other.name] = Finding(other, "own output", why)
    return found
