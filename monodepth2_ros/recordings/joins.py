# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics belong together: the image of a camera, its camera_info, its ground truth depth.

A recording is a bag of topics named by strangers. Everything here decides by evidence, in the
order of the tables of docs/reference/joins.md; a choice says why it was made, what came next and
how to choose otherwise. Where the evidence does not tell candidates apart nothing is chosen and
the candidates are named: ties are never broken by the alphabet.

The functions take :class:`monodepth2_ros.recordings.bags.RecordedTopic` and know neither ROS nor
rosbags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monodepth2_ros.camera import Calibration, same_aspect
from monodepth2_ros.recordings.bags import CAMERA_INFO, IMAGE, POINT_CLOUD, RecordedTopic
from monodepth2_ros.recordings.topic_kinds import (
    COLOUR,
    NEUTRAL,
    OTHER_LIGHT,
    TELLING,
    Candidates,
    classify,
    own_outputs,
)
from monodepth2_ros.topic_names import same_frame, segments, words

# A variant of a camera's images is partial with fewer messages than this share of the best one's,
# or if it covers less than that share of the time.
_ENOUGH_IMAGES = 0.5
_ENOUGH_TIME = 0.9


class JoinError(ValueError):
    """Nothing fits, or several things fit equally; the message names them and the way to choose."""


@dataclass(frozen=True)
class ChosenTopic:
    """A join: what was chosen, and everything the user should know about it.

    Attributes
    ----------
    what : str
        "image", "camera_info" or "truth".
    chosen : RecordedTopic or None
    why : str
        The evidence for `chosen`, or why nothing was chosen.
    others : tuple of (str, str)
        Names of the other candidates, each with the reason why not.
    choose : str
        How to choose otherwise.
    frame_id : str
        For a camera_info: the frame of the messages to use.
    """

    what: str
    chosen: RecordedTopic | None
    why: str
    others: tuple[tuple[str, str], ...] = ()
    choose: str = ""
    frame_id: str = ""

    def as_text(self) -> str:
        """Write the choice in one line."""
        name = self.chosen.name if self.chosen is not None else "none"
        text = f"{self.what}: {name} ({self.why})"
        if self.others:
            text += "; not " + ", ".join(f"{other} ({reason})" for other, reason in self.others)
        if self.others and self.choose:
            text += f"; to choose otherwise: {self.choose}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for reports."""
        return {
            "what": self.what,
            "chosen": self.chosen.name if self.chosen is not None else None,
            "why": self.why,
            "others": [{"topic": name, "reason": reason} for name, reason in self.others],
            "choose": self.choose,
        }


@dataclass(frozen=True)
class Ways:
    """How a user of the caller chooses, for messages.

    Attributes
    ----------
    image, camera_info, truth : str
        Options.
    """

    image: str = "--image-topic TOPIC"
    camera_info: str = "--camera-info-topic TOPIC, or --camera calibration.yaml"
    truth: str = "--truth-topic TOPIC"


DEFAULT_WAYS = Ways()


@dataclass(frozen=True)
class CameraGroup:
    """Image topics of one camera: raw, rectified, compressed.

    Attributes
    ----------
    variants : tuple of RecordedTopic
    kind : str
        "image", or "infrared", "intensity", "amplitude".
    """

    variants: tuple[RecordedTopic, ...]
    kind: str = "image"


# Images


def group_cameras(candidates: Candidates) -> list[CameraGroup]:
    """Sort the image topics by camera: those of one frame that differ in processing only."""
    groups: dict[tuple[str, tuple[str, ...]], list[RecordedTopic]] = {}
    kinds: dict[tuple[str, tuple[str, ...]], str] = {}
    for finding in candidates.findings:
        if finding.kind not in ("image", *OTHER_LIGHT):
            continue
        topic = finding.topic
        key = (topic.frame_id.lstrip("/"), _identity(topic))
        groups.setdefault(key, []).append(topic)
        kinds[key] = finding.kind
    return [CameraGroup(tuple(variants), kinds[key]) for key, variants in groups.items()]


def _identity(topic: RecordedTopic) -> tuple[str, ...]:
    """Return the words of a name that tell cameras apart, and not processing steps."""
    *namespaces, base = segments(topic.name)
    kept = [part for part in namespaces if not set(part) <= NEUTRAL]
    return (*(word for part in kept for word in part), "/", *sorted(set(base) - NEUTRAL))


def choose_cameras(
    topics: Sequence[RecordedTopic], wanted: Sequence[str] = (), ways: Ways = DEFAULT_WAYS
) -> list[ChosenTopic]:
    """Choose an image topic for each camera of a recording.

    Parameters
    ----------
    topics : sequence of RecordedTopic
    wanted : sequence of str
        Names given by the user, with or without the transport's last part.
    ways : Ways

    Raises
    ------
    JoinError
        If there is none, a wanted one is missing, or two topics of a camera are equally good.
    """
    candidates = classify(topics)
    if wanted:
        return [_named_image(candidates, name, ways) for name in wanted]
    groups = group_cameras(candidates)
    ordinary = [group for group in groups if group.kind == "image"]
    others = [group for group in groups if group.kind != "image"]
    if not groups:
        unclear = candidates.describe()
        listed = ", ".join(f"{t.name} ({t.type})" for t in topics if not t.is_image) or "nothing"
        hint = f": {unclear}. Give {ways.image} to use one of them as the image" if unclear else ""
        raise JoinError(f"no image topic{hint}; the recording holds {listed}")
    choices = [_choose_variant(group, ways) for group in ordinary or others]
    left_out = tuple(
        (f.topic.name, f"taken for {f.kind}: {f.why}")
        for f in candidates.findings
        if (f.topic.is_image or f.kind == "unclear")
        and f.kind not in ("image", "depth")
        and (ordinary or f.kind not in OTHER_LIGHT)
    )
    if choices and left_out:
        first = choices[0]
        choices[0] = ChosenTopic(
            first.what, first.chosen, first.why, (*first.others, *left_out), first.choose
        )
    return choices


def choose_one_camera(
    topics: Sequence[RecordedTopic], wanted: str = "", ways: Ways = DEFAULT_WAYS
) -> ChosenTopic:
    """Choose the image topic to play, of several cameras the best.

    Raises
    ------
    JoinError
        As :func:`choose_cameras`, or if two cameras are equally good.
    """
    if wanted:
        return choose_cameras(topics, [wanted], ways)[0]
    choices = choose_cameras(topics, (), ways)
    ranked = sorted(choices, key=lambda choice: _camera_rank(choice, topics), reverse=True)
    best = ranked[0]
    if len(ranked) > 1 and _camera_rank(best, topics) == _camera_rank(ranked[1], topics):
        equal = [c for c in ranked if _camera_rank(c, topics) == _camera_rank(best, topics)]
        names = ", ".join(c.chosen.name for c in equal if c.chosen is not None)
        raise JoinError(f"{len(equal)} cameras are equally good: {names}; choose with {ways.image}")
    others = tuple((c.chosen.name, "another camera") for c in ranked[1:] if c.chosen is not None)
    return ChosenTopic("image", best.chosen, best.why, (*best.others, *others), best.choose)


def _camera_rank(choice: ChosenTopic, topics: Sequence[RecordedTopic]) -> tuple[Any, ...]:
    """Rank cameras: calibrated, with depth, then as the variants of one camera."""
    camera = choice.chosen
    assert camera is not None
    info = choose_camera_info(camera, topics)
    has_depth = any(same_frame(t.frame_id, camera.frame_id) for t in classify(topics).of("depth"))
    return (info.chosen is not None, has_depth, camera.count, *_variant_rank(camera))


def _named_image(candidates: Candidates, name: str, ways: Ways) -> ChosenTopic:
    """Return the topic that the user named."""
    pictures = [f for f in candidates.findings if f.topic.is_image or f.topic.is_depth]
    for candidate in (name, f"{name}/compressed"):
        for finding in pictures:
            if finding.topic.name == candidate:
                why = "named by the user"
                if finding.kind != "image":
                    why += f", although it was taken for {finding.kind}: {finding.why}"
                return ChosenTopic("image", finding.topic, why, choose=ways.image)
    known = ", ".join(f.topic.name for f in pictures) or "none"
    raise JoinError(f"there is no image topic {name}; there are: {known}")


def _variant_rank(topic: RecordedTopic) -> tuple[Any, ...]:
    """Rank topics of one camera with as many images: rectified, colour, raw, large."""
    name = {word for part in segments(topic.name) for word in part}
    encoding = topic.pixel_encoding
    is_grey = encoding.startswith("mono") or encoding in ("8UC1", "16UC1") or "mono" in name
    return (
        topic.is_rectified,
        bool(name & COLOUR),
        not is_grey,
        not topic.is_compressed,
        topic.width * topic.height,
    )


def _choose_variant(group: CameraGroup, ways: Ways) -> ChosenTopic:
    """Choose among the topics of one camera."""
    most = max(topic.count for topic in group.variants)
    covered = max(topic.covered for topic in group.variants)
    complete = [
        t
        for t in group.variants
        if t.count >= _ENOUGH_IMAGES * most and t.covered >= _ENOUGH_TIME * covered
    ] or [t for t in group.variants if t.count >= _ENOUGH_IMAGES * most]
    best = max(complete, key=_variant_rank)
    equal = [topic for topic in complete if _variant_rank(topic) == _variant_rank(best)]
    if len(equal) > 1:
        # A name that says nothing but "image_raw" is the driver's own.
        raw = [t for t in equal if words(t.base_name.rpartition("/")[2]) == ["image", "raw"]]
        if len(raw) != 1:
            names = ", ".join(topic.name for topic in equal)
            raise JoinError(
                f"{names} are equally good images of one camera (frame "
                f"'{best.frame_id}'); choose with {ways.image}"
            )
        best = raw[0]
    others = []
    for topic in group.variants:
        if topic == best:
            continue
        if topic not in complete:
            reason = f"{topic.count} of {most} images in {topic.covered:.0%} of the recording"
        else:
            reason = _difference(best, topic)
        others.append((topic.name, reason))
    why = f"{best.count} images in {best.covered:.0%} of the recording"
    if best.is_rectified:
        why += ", rectified by its name"
    if group.kind != "image":
        why += f"; the only camera, {group.kind} by its name"
    return ChosenTopic("image", best, why, tuple(others), ways.image)


def _difference(best: RecordedTopic, other: RecordedTopic) -> str:
    """Say in which respect a topic ranks behind the best one."""
    names = ("not rectified", "not named colour", "grey", "compressed", "smaller")
    for name, a, b in zip(names, _variant_rank(best), _variant_rank(other), strict=True):
        if a != b:
            return name
    return "named less plainly than image_raw"


# camera_info


def choose_camera_info(
    camera: RecordedTopic,
    topics: Sequence[RecordedTopic],
    wanted: str = "",
    ways: Ways = DEFAULT_WAYS,
) -> ChosenTopic:
    """Choose the camera_info of an image topic.

    Parameters
    ----------
    camera : RecordedTopic
    topics : sequence of RecordedTopic
    wanted : str
        Named by the user, who may name one of another frame.
    ways : Ways

    Returns
    -------
    Choice
        With ``chosen`` None and the reason if none fits.

    Raises
    ------
    JoinError
        If the wanted one is missing, or if several fit equally and say different things.
    """
    infos = [topic for topic in topics if topic.type == CAMERA_INFO]
    if wanted:
        named = next((info for info in infos if info.name == wanted), None)
        if named is None:
            known = ", ".join(info.name for info in infos) or "none"
            raise JoinError(f"there is no camera_info topic {wanted}; there are: {known}")
        own_frames = [f for f in named.frames if same_frame(f, camera.frame_id)]
        frame = own_frames[0] if own_frames else named.frame_id
        why = "named by the user"
        if not own_frames and same_frame(frame, camera.frame_id) is False:
            why += f", although its frame is '{frame}' and the image's '{camera.frame_id}'"
        return ChosenTopic("camera_info", named, why, choose=ways.camera_info, frame_id=frame)
    own = own_outputs(topics)
    own_prefixes = {n.rpartition("/")[0] for n, f in own.items() if f.topic.is_depth}
    fitting: list[tuple[tuple[Any, ...], RecordedTopic, str, Calibration | None]] = []
    others: list[tuple[str, str]] = []
    for info in infos:
        if info.namespace and f"/{info.namespace}" in own_prefixes:
            others.append((info.name, "an output of this package's node"))
            continue
        frames = info.frames or (info.frame_id,)
        for number, frame in enumerate(frames):
            relation = same_frame(frame, camera.frame_id)
            if relation is False:
                if number == 0 and not any(same_frame(f, camera.frame_id) for f in frames):
                    others.append(
                        (info.name, f"its frame is '{frame}', the image's '{camera.frame_id}'")
                    )
                continue
            calibration = info.calibrations[number] if number < len(info.calibrations) else None
            if relation is None and not _may_belong(info, camera, infos, topics):
                others.append((info.name, "no frame_id tells, and its name is another camera's"))
                continue
            closer = _closer_camera(info, camera, topics)
            if relation and closer is not None:
                others.append((info.name, f"of the same frame, but it belongs to {closer.name}"))
                continue
            rank = _info_rank(info, camera, calibration, bool(relation))
            fitting.append((rank, info, frame, calibration))
    if not fitting:
        why = "no camera_info belongs to it" if infos else "the recording has no camera_info"
        return ChosenTopic("camera_info", None, why, tuple(others), ways.camera_info)
    fitting.sort(key=lambda item: item[0], reverse=True)
    rank, best, frame, calibration = fitting[0]
    equal = [item for item in fitting if item[0] == rank]
    if any(item[3] != calibration for item in equal):
        names = ", ".join(item[1].name for item in equal)
        raise JoinError(
            f"{names} fit {camera.name} equally well (frame '{frame}') and say different things; "
            f"choose with {ways.camera_info}"
        )
    for item in fitting[1:]:
        reason = "says the same" if item[3] == calibration else "fits less well by size or name"
        others.append((item[1].name, reason))
    if same_frame(frame, camera.frame_id):
        why = f"of the image's frame '{camera.frame_id}'"
    elif best.namespace == camera.namespace:
        why = "in the image's namespace, without a frame_id to compare"
    else:
        why = "the only one for the only camera, without a frame_id to compare"
    if len(best.frames) > 1:
        why += f"; its messages of {', '.join(f for f in best.frames if f != frame)} are ignored"
    return ChosenTopic("camera_info", best, why, tuple(others), ways.camera_info, frame)


def _may_belong(
    info: RecordedTopic,
    camera: RecordedTopic,
    infos: Sequence[RecordedTopic],
    topics: Sequence[RecordedTopic],
) -> bool:
    """Return whether an info without frame may belong to a camera, by names."""
    foreign = _foreign_words(info, camera)
    cameras = {_identity(topic) for topic in topics if topic.is_image}
    if len(infos) == len(cameras) == 1:
        return not foreign & TELLING
    return info.namespace == camera.namespace and not foreign


def _foreign_words(info: RecordedTopic, camera: RecordedTopic) -> set[str]:
    """Return the words of an info's name that its camera's name does not have."""
    return _all_words(info) - _all_words(camera) - {"camera", "info", "cam"} - NEUTRAL


def _all_words(topic: RecordedTopic) -> set[str]:
    """Return all words of a topic's name."""
    return {word for part in segments(topic.name) for word in part}


def _closer_camera(
    info: RecordedTopic, camera: RecordedTopic, topics: Sequence[RecordedTopic]
) -> RecordedTopic | None:
    """Return another image of the same frame that an info stands next to: another robot's camera.

    Robots that are copies of one another use the same frames under other namespaces.
    """
    if info.namespace == camera.namespace or not _foreign_words(info, camera):
        return None
    for other in topics:
        if (
            other.is_image
            and same_frame(other.frame_id, camera.frame_id)
            and _identity(other) != _identity(camera)
            and not _foreign_words(info, other)
            and shared_parts(other.name, info.name) > shared_parts(camera.name, info.name)
        ):
            return other
    return None


def _info_rank(
    info: RecordedTopic, camera: RecordedTopic, calibration: Calibration | None, same: bool
) -> tuple[Any, ...]:
    """Rank infos: same frame, calibrated, size, words of the name, nearness, count."""
    fits = calibration is not None and size_relation(calibration, camera) == "same"
    shared = _all_words(info) & _all_words(camera) - {"camera", "cam", "image"}
    return (
        same,
        fits or not camera.width,
        calibration is not None and calibration.is_calibrated,
        -len(_foreign_words(info, camera)),
        info.namespace == camera.namespace,
        len(shared),
        shared_parts(info.name, camera.name),
    )


def size_relation(calibration: Calibration, image: RecordedTopic) -> str:
    """Compare the size that a camera_info is for with an image's.

    Returns
    -------
    str
        "same", "same aspect", "other", or "unknown" where the image's size is not known.
    """
    if not image.width or not image.height:
        return "unknown"
    width, height = calibration.delivered_size
    if (width, height) == (image.width, image.height):
        return "same"
    return "same aspect" if same_aspect(width, height, image.width, image.height) else "other"


# Ground truth depth


def rank_depth(
    camera: RecordedTopic, candidates: Candidates
) -> list[tuple[tuple[Any, ...], RecordedTopic]]:
    """Rank depth images for a camera: same frame, nearness, words, number, transport, encoding."""
    ranked = []
    for topic in candidates.of("depth"):
        if topic.is_compressed and "compressedDepth" not in topic.encoding:
            continue
        foreign = _all_words(topic) - _all_words(camera) - NEUTRAL
        rank = (
            same_frame(topic.frame_id, camera.frame_id) is True,
            topic.count >= 0.5 * max(1, max(t.count for t in candidates.of("depth"))),
            shared_parts(topic.name, camera.name),
            "registered" in foreign or "aligned" in foreign,
            topic.is_rectified == camera.is_rectified,
            -len(foreign),
            topic.type == IMAGE,
            topic.pixel_encoding == "16UC1",
        )
        ranked.append((rank, topic))
    return sorted(ranked, key=lambda item: item[0], reverse=True)


def camera_in_its_place(
    topic: RecordedTopic, camera: RecordedTopic, topics: Sequence[RecordedTopic]
) -> RecordedTopic | None:
    """Return the camera of the same frame whose namespace a depth topic is in, if not this one's.

    Robots that are copies of one another use the same frames: /robot1/depth is not ground truth of
    /robot2/image_raw.
    """
    own = shared_parts(topic.name, camera.name)
    if own:
        return None
    for other in topics:
        if (
            other.is_image
            and same_frame(other.frame_id, camera.frame_id)
            and shared_parts(other.name, topic.name)
            and not shared_parts(other.name, camera.name)
        ):
            return other
    return None


def refused_as_truth(candidates: Candidates) -> Iterable[tuple[str, str]]:
    """List what looks like depth but is something else, with the reasons."""
    for finding in candidates.findings:
        topic = finding.topic
        if finding.kind == "own output" and (topic.is_depth or topic.type == POINT_CLOUD):
            yield topic.name, f"an output of this package: {finding.why}"
        elif topic.is_depth and finding.kind not in ("depth", "infrared"):
            yield topic.name, f"taken for {finding.kind}: {finding.why}"


def shared_parts(first: str, second: str) -> int:
    """Count the leading parts that two topic names share."""
    shared = 0
    for a, b in zip(first.strip("/").split("/"), second.strip("/").split("/"), strict=False):
        if a != b:
            break
        shared += 1
    return shared
