# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a recording through the depth node and keeps pictures (``depth_demo``).

The node runs in its own process and is reached over DDS, as on a robot.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_demo")

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from monodepth2_ros.atomic_files import check_target, scratch_folder
from monodepth2_ros.command_guard import guarded
from monodepth2_ros.demo.live_scale import LiveScale, choose_scale
from monodepth2_ros.demo.options import (
    FILES,
    UNSEEN_NOTE,
    DemoError,
    DemoModel,
    DemoOptions,
    asked_rectify,
    asked_scale,
    choose_model,
    make_command_line,
    node_command_line,
    own_recording,
)
from monodepth2_ros.demo.report import PlayResult, build_report, summarize_playback
from monodepth2_ros.interrupts import interrupt_at
from monodepth2_ros.recordings.playback import Event, Playback, PlaybackError
from monodepth2_ros.recordings.writer import RecordingWriter
from monodepth2_ros.target_lock import exclusive
from monodepth2_ros.visualization.video import can_write

if TYPE_CHECKING:
    from monodepth2_ros.demo.gallery import Gallery
    from monodepth2_ros.demo.node_client import Link
    from monodepth2_ros.demo.player import PlayedFrame

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_RANDOM_NOTICE = """
  ############################################################################
  ##                                                                        ##
  ##     R A N D O M   W E I G H T S                                        ##
  ##     T H I S   D E P T H   I S   M E A N I N G L E S S                  ##
  ##                                                                        ##
  ##     The network is untrained; stamps, rates, intrinsics and latencies  ##
  ##     are real. For depth that means something: --checkpoint FILE        ##
  ##                                                                        ##
  ############################################################################
"""


@guarded("depth_demo", interrupted="nothing is kept")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line; that of the process by default.

    Returns
    -------
    int
        0 for success, 1 for a failure whose reason is printed, 130 after ctrl-C.
    """
    options = make_command_line().parse(argv)
    interrupt_at(*_END_SIGNALS)
    return _run(options)


def _run(options: DemoOptions) -> int:
    """Play a recording and write what came out."""
    _check_targets(options)
    try:
        # The ROS wheels start Python once more here, so it comes before anything with an effect.
        import monodepth2_ros.demo.node_client  # noqa: F401
    except ImportError as error:
        raise DemoError(
            f"{error}. The demo needs ROS 2 and rosbags: pip install 'monodepth2_ros[ros]', or "
            "source a ROS 2 installation and pip install rosbags"
        ) from error
    from monodepth2_ros.demo.gallery import RANDOM_BANNER, Gallery, Style

    _spare_cores()
    model = choose_model(options)
    if model.is_random:
        print(_RANDOM_NOTICE, flush=True)
    bag = options.bag or own_recording()
    name = bag.resolve().stem if options.bag else "a rendered street"
    with ExitStack() as stack:
        playback = stack.enter_context(
            Playback(bag, options.image_topic, options.camera_info_topic, options.truth_topic)
        )
        scale = _choose_scale(options, playback, model)
        folder = stack.enter_context(_folder_beside(options.out))
        banner = RANDOM_BANNER if model.is_random else None
        style = Style(
            name,
            model.unit,
            banner,
            asked_rectify(options),
            playback.topics.image.name,
            model.is_metric and not scale.is_live,
        )
        gallery = Gallery(folder, style)
        recorder = _recorder(options, playback, scale.is_live)
        if recorder:
            stack.callback(recorder.discard)
        outcome = _play(options, playback, model, scale, gallery, recorder, folder)
        if gallery.figures.published == 0:
            if outcome.interrupted:
                raise KeyboardInterrupt
            raise DemoError(outcome.error)
        files = _write(options, gallery, outcome)
        note = UNSEEN_NOTE if model.is_default and options.bag is None else ""
        report = build_report(
            playback, model, gallery.figures, outcome, files, note, "+".join(scale.sources)
        )
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if recorder:
            recorder.finish(replace=options.force)
        _move(folder, options.out)
    print(summarize_playback(report, options.out))
    if recorder:
        counts = ", ".join(f"{count} on {topic}" for topic, count in recorder.counts.items())
        print(f"{options.record}: {counts}")
    if model.is_random:
        print(_RANDOM_NOTICE)
    if outcome.error:
        raise DemoError(f"{outcome.error}\nWhat came before is in {options.out}")
    return 130 if outcome.interrupted else 0


def _choose_scale(options: DemoOptions, playback: Playback, model: DemoModel) -> LiveScale:
    """Choose how metres are found; odometry that is needed for that is played."""
    wants_metres = not (model.is_metric or model.is_random)
    try:
        scale = choose_scale(asked_scale(options), playback, wants_metres)
    except ValueError as error:
        raise DemoError(f"scaling.source: {error}") from error
    if scale.odometry is not None:
        playback.play_odometry(scale.odometry.topic)
        print(f"metres are measured live, from {scale.odometry.topic.name}")
    elif scale.reason:
        print(f"depth is right up to a factor: {scale.reason}")
    return scale


def _spare_cores() -> None:
    """Leave the processor to the node."""
    import cv2

    cv2.setNumThreads(1)


def _check_targets(options: DemoOptions) -> None:
    """Refuse at once what could not be written in the end."""
    output, record = options.out, options.record
    for target in filter(None, (output, record)):
        check_target(target)
    if output.exists() and not output.is_dir():
        raise DemoError(f"--out {output} is a file; give a folder")
    if output.is_dir() and not options.force:
        foreign = sorted(path.name for path in output.iterdir() if path.name not in FILES)
        if foreign and not (output / "report.json").is_file():
            raise DemoError(
                f"--out {output} holds other files ({', '.join(foreign[:3])}); give another "
                "folder, or --force to write among them"
            )
    if record is not None and record.exists() and not _is_empty(record):
        if not options.force:
            raise DemoError(f"--record {record} exists; give another folder, or --force to replace")
        if not (record / "metadata.yaml").is_file():
            raise DemoError(f"--record {record} exists and is not a recording; give another folder")
    if options.video != "auto" and not can_write(options.video):
        raise DemoError(f"--video {options.video}: this OpenCV cannot write it; give another")


def _is_empty(path: Path) -> bool:
    """Tell whether a path is a folder with nothing in it."""
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    """Make a temporary folder on the file system of the output; remove it in the end."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(output), scratch_folder(output) as folder:
        yield folder


def _recorder(options: DemoOptions, playback: Playback, is_live: bool) -> RecordingWriter | None:
    """Begin the recording of --record."""
    if options.record is None:
        return None
    from monodepth2_ros.demo.node_client import OUTPUT_TOPICS, OUTPUT_TYPES

    names = _outputs(options, playback, is_live)
    return RecordingWriter(
        options.record, {OUTPUT_TOPICS[name]: OUTPUT_TYPES[name] for name in names}
    )


def _outputs(options: DemoOptions, playback: Playback, is_live: bool = False) -> tuple[str, ...]:
    """Name the node's outputs to subscribe to; the node computes no others."""
    names = ["depth", *(["scale"] if is_live else [])]
    if playback.topics.camera_info is not None:
        names += ["camera_info", "points"]
    if options.record is not None:
        names += ["color"]
    return tuple(names)


def _play(
    options: DemoOptions,
    playback: Playback,
    model: DemoModel,
    scale: LiveScale,
    gallery: Gallery,
    recorder: RecordingWriter | None,
    folder: Path,
) -> PlayResult:
    """Start the node, play the recording through it, end the node."""
    from monodepth2_ros.demo.node_client import OUTPUT_TOPICS, Link, PlayError
    from monodepth2_ros.demo.node_process import NodeProcess, prepare_environment
    from monodepth2_ros.demo.player import play

    image, info = _first_messages(playback, options.start)
    is_own_domain = not os.environ.get("ROS_DOMAIN_ID")
    prepare_environment(os.environ)
    _print_plan(playback, is_own_domain)
    rate = None if options.as_fast_as_possible else options.rate or 1.0
    outcome = PlayResult("as fast as possible" if rate is None else f"{rate:g} x recorded")
    with ExitStack() as stack:
        raise_if_interrupted = stack.enter_context(_interrupts_wait())
        process = stack.enter_context(
            NodeProcess(
                node_command_line(options, playback.topics, model, scale.arguments),
                folder / "node.log",
                _say,
            )
        )

        def check() -> None:
            raise_if_interrupted()
            if death := process.death():
                raise PlayError(death)

        bar = stack.enter_context(
            tqdm(
                total=_frame_count(options, playback),
                unit="frame",
                mininterval=0.5,
                disable=options.quiet,
            )
        )

        def draw(frame: PlayedFrame) -> None:
            gallery.add(frame)
            if recorder:
                for name, data in frame.data.items():
                    recorder.write(OUTPUT_TOPICS[name], frame.event.stamp_ns, data)
            shown: dict[str, Any] = {"missing": gallery.figures.missing}
            if factor := gallery.figures.newest_factor():
                shown["factor"] = factor
            bar.set_postfix(shown, refresh=False)
            bar.update()

        link = None
        try:
            bar.set_description("starting the node")
            names = _outputs(options, playback, scale.is_live)
            link = stack.enter_context(Link(playback.topics, names, check))
            link.connect()
            link.warm_up(image, info)
            bar.set_description("playing")
            bar.reset()
            events = playback.events(options.start, options.frames)
            play(events, link, rate, gallery.add_truth, draw)
            link.wait_for_diagnostics()
        except (PlayError, PlaybackError) as error:
            outcome.error = str(error)
        except KeyboardInterrupt:
            outcome.interrupted = True
        if link is not None:
            _take_counts(link, gallery, outcome)
    return outcome


@contextmanager
def _interrupts_wait() -> Iterator[Callable[[], None]]:
    """Hold the first ctrl-C back until the function that this gives is called.

    So that it does not strike in the middle of writing a message. A second one strikes at once.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            signal.default_int_handler(number, frame)
        came = True

    def raise_if_interrupted() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _END_SIGNALS}
    try:
        yield raise_if_interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_messages(playback: Playback, start: float) -> tuple[Event, Event | None]:
    """Return the image and the camera_info with which the node is warmed up."""
    image = playback.first("image", start)
    if image is None:
        raise DemoError(
            f"{playback.path} has no readable image {start:g} s after its beginning; give a "
            "smaller --start"
        )
    return image, playback.first("camera_info", start) or playback.first("camera_info")


def _frame_count(options: DemoOptions, playback: Playback) -> int:
    """Estimate how many images will be played."""
    share = 1.0 - min(options.start / max(playback.seconds, 1e-9), 1.0)
    left = max(1, round(playback.topics.image.count * share))
    return min(left, options.frames) if options.frames else left


def _take_counts(link: Link, gallery: Gallery, outcome: PlayResult) -> None:
    """Note what the session amounted to."""
    figures = gallery.figures
    outcome.seconds = link.seconds
    outcome.node = dict(link.diagnostics)
    outcome.complaint = link.complaint
    outcome.problems = gallery.problems
    outcome.counts = {
        "played": link.played,
        "published": figures.published,
        "failed": link.failed,
        "dropped": max(0, figures.missing - link.failed),
        "unfinished": link.played - figures.published - figures.missing,
        "with_points": figures.clouds,
        "outputs_with_unknown_stamp": link.strangers,
    }
    if figures.published == 0 and not outcome.error:
        outcome.error = f"no frame came back; the node says: {link.complaint}"


def _write(options: DemoOptions, gallery: Gallery, outcome: PlayResult) -> dict[str, str]:
    """Write pictures, video and cloud."""
    # Who interrupts does not want to wait.
    codec = "mp4v" if outcome.interrupted and options.video == "auto" else options.video

    def progress(pictures: Iterable[Any], count: int) -> Iterable[Any]:
        return tqdm(pictures, total=count, unit="frame", desc="writing the video")

    files = gallery.write("" if codec == "auto" else codec, progress)
    return {**files, "node.log": "what the node said"}


def _move(folder: Path, output: Path) -> None:
    """Put the files into the output folder, the report last; remove those of an earlier demo."""
    output.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (folder / name).exists():
            os.replace(folder / name, output / name)
        else:
            (output / name).unlink(missing_ok=True)


def _say(line: str) -> None:
    """Show a warning of the node's above the progress bar."""
    tqdm.write(f"node: {line}", file=sys.stderr)


def _print_plan(playback: Playback, is_own_domain: bool) -> None:
    """Say what will be played."""
    topics = playback.topics
    info = topics.camera_info.name if topics.camera_info else "no camera_info, so no points"
    truth = f", truth on {topics.depth.name}" if topics.depth else ""
    print(f"{playback.path}: {topics.image.count} images on {topics.image.name}, {info}{truth}")
    for problem in playback.problems:
        print(f"note: {problem}")
    for choice in playback.choices:
        if choice.others:
            print(choice.as_text())
    if playback.others:
        print(f"Not played (see --image-topic): {', '.join(playback.others)}")
    if is_own_domain:
        print(
            f"To watch: export ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']} "
            f"ROS_AUTOMATIC_DISCOVERY_RANGE={os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE']}"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
