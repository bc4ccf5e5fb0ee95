# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: its figures, its options, and the whole of it over DDS on tiny recordings."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

from bag_builder import HEIGHT, INTERVAL, START, WIDTH, Bag, K, scene, write_drive
from monodepth2_ros import checkpoint as checkpoints
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    CheckpointMetadata,
    random_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.demo import __main__ as demo
from monodepth2_ros.demo import node_process
from monodepth2_ros.demo import options as demo_options
from monodepth2_ros.demo.gallery import Gallery, Style, find_window
from monodepth2_ros.demo.options import (
    DemoError,
    choose_model,
    make_command_line,
    node_command_line,
)
from monodepth2_ros.demo.player import PlayedFrame
from monodepth2_ros.demo.report import (
    DepthHistogram,
    Figures,
    LiveFactor,
    PlayResult,
    build_report,
    compare_depth,
    node_stages,
    sample_nearest,
    summarize_playback,
)
from monodepth2_ros.preprocessing import crop_box
from monodepth2_ros.recordings.playback import (
    COMPRESSED_IMAGE,
    IMAGE,
    Playback,
    PlayedTopics,
    RecordedTopic,
)
from monodepth2_ros.visualization.pictures import Window
from paths import REPOSITORY
from training.metrics import depth_metrics

MODEL_WIDTH, MODEL_HEIGHT = 96, 64
CROP = (0.1, 0.25, 0.05, 0.0)

# Figures


def test_comparison_agrees_with_the_evaluation():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 100.0, (60, 80)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.3] = np.nan
    depth = (rng.uniform(0.7, 1.4, truth.shape) * np.nan_to_num(truth, nan=5.0) / 3.0).astype("f4")
    depth[5:9] = np.nan
    compared = compare_depth(truth, depth, Window())
    valid = (truth < 80.0) & np.isfinite(depth)
    scale = np.median(truth[valid].astype(float)) / np.median(depth[valid].astype(float))
    expected = depth_metrics(truth[valid], np.clip(depth[valid].astype(float) * scale, 1e-3, 80.0))
    assert compared["scale"] == pytest.approx(scale)
    assert compared["pixels"] == valid.sum()
    # Scaled to the same median, any constant is the truth's.
    constant = depth_metrics(truth[valid], np.full(valid.sum(), np.median(truth[valid])))
    for name in ("abs_rel", "rmse", "a1"):
        assert compared[name] == pytest.approx(expected[name], rel=1e-6)
        assert compared[f"constant_{name}"] == pytest.approx(constant[name], rel=1e-6)


def test_a_prediction_that_is_right_up_to_scale_is_perfect():
    truth = np.linspace(1.0, 50.0, 4000, dtype=np.float32).reshape(50, 80)
    compared = compare_depth(truth, truth / 7.0, Window())
    assert compared["abs_rel"] == pytest.approx(0.0, abs=1e-6)
    assert (compared["a1"], compared["scale"]) == (1.0, pytest.approx(7.0))
    assert compared["constant_abs_rel"] > 0.5


def test_the_summary_sets_the_model_beside_the_best_constant():
    figures, outcome = Figures(published=2), PlayResult("1 x recorded", node={"checkpoint": "mine"})
    outcome.counts = {"played": 2, "published": 2, "dropped": 0, "failed": 0}
    for depth in (2.0, 4.0):
        truth = np.full((9, 9), depth, np.float32)
        truth[:3] *= 2.0
        figures.truth.append(compare_depth(truth, truth / 3.0, Window()))
    playback = SimpleNamespace(
        topics=PlayedTopics(RAW.image, None, RecordedTopic("/truth", IMAGE, 2)),
        path="bag",
        seconds=1.0,
        unreadable=0,
    )
    report = build_report(playback, RANDOM, figures, outcome, {}, "not seen in training")
    assert report["truth"]["abs_rel"] == pytest.approx(0.0, abs=1e-6)
    # A third of the pixels at twice the median: half too near.
    assert report["truth"]["best_constant_depth"]["abs_rel"] == pytest.approx(1 / 6, rel=1e-3)
    assert report["truth"]["best_constant_depth"]["a1"] == pytest.approx(2 / 3, rel=1e-3)
    said = summarize_playback(report, Path("out"))
    assert "model: mine\n" in said and "not seen in training" in said
    assert re.search(r"each of 2 frames scaled .*abs_rel 0\.000, .*a1 1\.000\n", said)
    assert re.search(r"best constant depth, scaled likewise: abs_rel 0\.167, .*a1 0\.667\n", said)


def test_metres_are_reported_without_scaling():
    figures, outcome = Figures(published=3), PlayResult("1 x recorded")
    outcome.counts = {"played": 3, "published": 3, "dropped": 0, "failed": 0}
    outcome.node = {"checkpoint": "mine", "scale held because": "standing still"}
    truth = np.full((9, 9), 4.0, np.float32)
    truth[:3] = 8.0
    for factor, known in ((0.5, False), (0.9, True), (1.1, True)):
        compared = compare_depth(truth, factor * truth, Window())
        figures.truth.append(compared)
        figures.depth.add(factor * truth)
        figures.factors.append(LiveFactor(factor, 0.1 if known else np.inf))
        if known:
            figures.metric.append(compared)
    playback = SimpleNamespace(
        topics=PlayedTopics(RAW.image, None, RecordedTopic("/truth", IMAGE, 3)),
        path="bag",
        seconds=1.0,
        unreadable=0,
    )
    model = demo_options.DemoModel("mine", is_random=False, is_metric=False)
    report = build_report(playback, model, figures, outcome, {}, sources="odometry")
    metric = report["truth"]["in_metres"]
    # The first frame, before anything is known, does not count as metres.
    assert metric["compared"] == 2 and metric["abs_rel"] == pytest.approx(0.1, rel=1e-3)
    assert metric["median_scaled"]["abs_rel"] == pytest.approx(0.0, abs=1e-6)
    assert report["scale"]["frames_with_a_factor"] == 2
    assert report["scale"]["factor_median"] == pytest.approx(1.0)
    said = summarize_playback(report, Path("out"))
    assert "metres by odometry, live: factor 1.000 in the median, ± 10% stated, in 2 of 3" in said
    assert re.search(r"in metres, without scaling, 2 frames: abs_rel 0\.100, ", said)
    assert re.search(r"these, scaled to their medians: abs_rel 0\.000, ", said)
    assert not said.count("unscaled")
    figures.factors = [LiveFactor(1.0, np.inf)]
    report = build_report(playback, model, figures, outcome, {}, sources="odometry")
    assert "no factor to metres was measured: standing still" in summarize_playback(
        report, Path("out")
    )


def test_nothing_to_compare_is_said():
    nothing = np.full((4, 4), np.nan, np.float32)
    assert compare_depth(nothing, np.ones((4, 4), np.float32), Window()) is None
    assert "no depth topic" in Figures().truth_report(None)["note"]
    assert "/depth" in Figures().truth_report("/depth")["note"]


def test_sampling_takes_the_pixel_that_holds_the_centre():
    depth = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(sample_nearest(depth, Window(), 3, 4), depth)
    doubled = depth.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(sample_nearest(depth, Window(), 6, 8), doubled)
    # On the right half of a view of 3 x 8 pixels.
    half = sample_nearest(depth, Window(0.5, 0.0, 1.0, 1.0), 3, 8)
    assert np.isnan(half[:, :4]).all()
    np.testing.assert_array_equal(half[:, 4:], depth)


def test_the_window_follows_from_the_intrinsics():
    image = PinholeCamera(540, 360, 495.0, 496.0, 269.0, 170.0)
    x, y, width, height = crop_box(540, 360, CROP)
    network = image.cropped(x, y, width, height).resized(96, 64)
    window = find_window(image, network)
    expected = (x / 540, y / 360, (x + width) / 540, (y + height) / 360)
    assert (window.left, window.top, window.right, window.bottom) == pytest.approx(expected)


def test_histogram_percentiles_are_those_of_all_depths():
    rng = np.random.default_rng(1)
    images = [np.exp(rng.normal(1.0, 1.5, (80, 80))).astype(np.float32) for _ in range(20)]
    images[3][:40] = np.nan
    histogram = DepthHistogram()
    for image in images:
        histogram.add(image)
    values = np.concatenate([image[::4, ::4].reshape(-1) for image in images])
    for percent in (1, 5, 50, 95, 99):
        expected = np.nanpercentile(values, percent)
        assert histogram.percentiles()[f"{percent} %"] == pytest.approx(expected, rel=0.02)
    assert histogram.valid_share == pytest.approx(1.0 - 0.5 / 20)
    assert DepthHistogram().percentiles() == {}


def test_latencies_and_stages_are_in_milliseconds():
    figures = Figures()
    for value in (0.010, 0.020, 0.030):
        figures.add_latency("depth", value)
    assert figures.latency_report()["depth"]["median"] == 20.0
    assert figures.latency_report()["depth"]["largest"] == 30.0
    report = {"network median (ms)": "12.50", "network 95 % (ms)": "20.00", "state": "active"}
    assert node_stages(report) == {"network": {"median": 12.5, "95 %": 20.0}}


def test_pictures_are_undistorted_as_the_node_does_it(tmp_path):
    image = scene(0.0)[0]
    d = (-0.3, 0.1, 0.0, 0.0, 0.0)
    with Bag(tmp_path / "bag") as bag:
        bag.info("/cam/camera_info", START, d=d)
        bag.image("/cam/image_raw", START, image)
        bag.image("/cam/depth", START, np.full((HEIGHT, WIDTH), 3.0, np.float32), "32FC1")
    with Playback(tmp_path / "bag") as playback:
        event, info, depth = (playback.first(kind) for kind in ("image", "camera_info", "depth"))
    outputs = {"depth": depth.message, "camera_info": info.message}
    frame = PlayedFrame(0, event, info.message, 0.0, {"depth": 0.02}, {}, outputs)
    matrix = np.reshape(K, (3, 3))
    gallery = Gallery(tmp_path, Style("bag", rectify="true"))
    gallery.add_truth(depth)
    shot = gallery._look_at(frame)
    np.testing.assert_allclose(
        shot.image.astype(int), cv2.undistort(image, matrix, np.array(d)).astype(int), atol=1
    )
    # The truth is undistorted too, and unknown where the sensor had no pixel.
    assert set(np.unique(shot.truth[np.isfinite(shot.truth)])) == {3.0}
    plain = Gallery(tmp_path, Style("bag"))._look_at(frame)
    np.testing.assert_array_equal(plain.image, image)
    assert plain.truth is None


def test_a_cloud_without_points_is_left_out(tmp_path):
    with Bag(tmp_path / "bag") as bag:
        bag.image("/cam/image", START, scene(0.0)[0])
        bag.image("/cam/depth", START, np.full((HEIGHT, WIDTH), np.nan, np.float32), "32FC1")
    with Playback(tmp_path / "bag") as playback:
        event, depth = playback.first("image"), playback.first("depth")
    cloud = SimpleNamespace(data=np.full((8, 8, 4), np.nan, "f4").tobytes(), height=8, width=8)
    outputs = {"depth": depth.message, "points": cloud}
    gallery = Gallery(tmp_path, Style("bag"))
    gallery.add(PlayedFrame(0, event, None, 0.0, {"depth": 0.02}, {}, outputs))
    files = gallery.write("mp4v", lambda pictures, count: pictures)
    assert sorted(files) == ["overview.png", "video.mp4"]
    assert gallery.problems == [] and gallery.figures.published == 1


# Options

RAW = PlayedTopics(
    RecordedTopic("/cam/image", IMAGE, 100), RecordedTopic("/cam/camera_info", "info", 100)
)
LATCHED = PlayedTopics(
    RecordedTopic("/cam/image/compressed", COMPRESSED_IMAGE, 100),
    RecordedTopic("/cam/camera_info", "info", 1),
)
RANDOM = demo_options.DemoModel("random", is_random=True, is_metric=False)


def parameters(words):
    """What the node makes of its command line: of equal parameters the last one counts."""
    pairs = [words[i + 1].split(":=") for i, word in enumerate(words) if word == "-p"]
    return dict(pairs)


def test_the_node_is_told_how_the_images_come():
    words = node_command_line(make_command_line().parse([]), RAW, RANDOM)
    assert "image:=/cam/image" in words and "camera_info:=/cam/camera_info" in words
    values = parameters(words)
    assert values["image_transport"] == "raw" and "pairing" not in values
    assert values["checkpoint"] == "random"
    assert "input_reliability" not in values
    latched = node_command_line(make_command_line().parse([]), LATCHED, RANDOM)
    assert "image:=/cam/image" in latched
    values = parameters(latched)
    assert (values["image_transport"], values["pairing"]) == ("compressed", "latest")


def test_the_user_has_the_last_word_but_for_lock_step():
    line = ["-p", "pairing:=stamp", "-p", "input_reliability:=best_effort", "--as-fast-as-possible"]
    values = parameters(node_command_line(make_command_line().parse(line), LATCHED, RANDOM))
    assert values["pairing"] == "stamp"
    assert values["input_reliability"] == values["output_reliability"] == "reliable"
    line = ["--params", "robot.yaml", "-p", "image_transport:=raw"]
    words = node_command_line(make_command_line().parse(line), LATCHED, RANDOM)
    order = [words.index(word) for word in ("robot.yaml", "image_transport:=compressed")]
    assert order == sorted(order) and parameters(words)["image_transport"] == "raw"


@pytest.mark.slow
def test_the_model_is_chosen_before_the_node_starts(tmp_path):
    def chosen(*line):
        return choose_model(make_command_line().parse(line))

    path = tmp_path / "model.safetensors"
    checkpoint = random_checkpoint(width=MODEL_WIDTH, height=MODEL_HEIGHT)
    save_checkpoint(path, CheckpointMetadata(width=96, height=64), checkpoint.state)
    assert chosen("--checkpoint", "random").is_random
    model = chosen("--checkpoint", str(path))
    assert model == demo_options.DemoModel(str(path), is_random=False, is_metric=False)
    assert "unscaled" in model.unit
    assert chosen("--checkpoint", str(path), "-p", "scale:=2.5").unit == "m"
    assert chosen("-p", f"checkpoint:={path}").checkpoint == str(path)
    file = tmp_path / "depth.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    checkpoint: {path}\n    rectify: true\n")
    assert chosen("--params", str(file)).checkpoint == str(path)
    assert chosen("--params", str(file), "-p", "checkpoint:=random").is_random
    assert demo_options.asked_rectify(make_command_line().parse(["--params", str(file)])) == "true"
    with pytest.raises(DemoError, match=r"nowhere\.safetensors does not exist"):
        chosen("--checkpoint", "nowhere.safetensors")
    with pytest.raises(DemoError, match="cannot be read"):
        chosen("--params", str(tmp_path / "nothing.yaml"))


def test_without_a_name_the_shipped_model_is_chosen(tmp_path, monkeypatch):
    path = tmp_path / "shipped.safetensors"
    state = random_checkpoint(width=MODEL_WIDTH, height=MODEL_HEIGHT).state
    save_checkpoint(path, CheckpointMetadata(width=96, height=64), state)
    monkeypatch.setattr(checkpoints, "default_checkpoint_path", lambda: path)
    for line in ([], ["--checkpoint", "default"], ["-p", "checkpoint:=default"]):
        model = choose_model(make_command_line().parse(line))
        assert model.is_default and not model.is_random
    assert not choose_model(make_command_line().parse(["--checkpoint", str(path)])).is_default
    monkeypatch.setattr(checkpoints, "default_checkpoint_path", lambda: None)
    with pytest.raises(DemoError, match=r"no file .*default\.safetensors"):
        choose_model(make_command_line().parse([]))


def test_the_rendered_world_is_none_that_the_shipped_model_has_seen():
    options = demo_options._OWN_RECORDING
    seed = int(options[options.index("--seed") + 1])
    recipe = yaml.safe_load((REPOSITORY / "config" / "default_model.yaml").read_text())
    for worlds in recipe["worlds"].values():
        assert seed < 1000 <= worlds["seed"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--frames", "0"], "give at least 1"),
        (["--rate", "0"], "give more than 0"),
        (["--rate", "inf"], "it takes a number"),
        (["--start", "-1"], "give at least 0"),
        (["-p", "scale=2"], "NAME:=VALUE"),
        (["--video", "gif"], "'gif' given; it takes auto"),
        (["--output", "x"], "--output is gone; write --out DIR"),
        (["--depth-topic", "x"], "--depth-topic is gone; write --truth-topic"),
        (["--rate", "2", "--as-fast-as-possible"], "exclude each other"),
    ],
)
def test_wrong_options_are_refused(capsys, line, said):
    with pytest.raises(SystemExit) as caught:
        make_command_line().parse(line)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_other_peoples_files_are_left_alone(tmp_path, capsys):
    bag = str(tmp_path / "bag")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("…")
    assert demo.main([bag, "--out", str(tmp_path / "thesis")]) == 1
    assert "chapter.tex" in capsys.readouterr().err
    for force in ([], ["--force"]):
        line = [bag, "--out", str(tmp_path / "out"), "--record", str(tmp_path / "thesis")]
        assert demo.main([*line, *force]) == 1
        assert "exists" in capsys.readouterr().err


def test_the_environment_is_completed_not_overruled():
    environment: dict[str, str] = {}
    node_process.prepare_environment(environment)
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 101
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    profile = environment["FASTDDS_DEFAULT_PROFILES_FILE"]
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == profile
    assert os.path.samefile(profile, REPOSITORY / "config" / "fastdds.xml")
    users = {
        "ROS_DOMAIN_ID": "7",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml",
    }
    environment = dict(users)
    node_process.prepare_environment(environment)
    assert environment == users


@pytest.mark.slow
def test_a_recording_is_rendered_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = ("--frames", "3", "--width", "64", "--height", "32", "--workers", "1", "--quiet")
    monkeypatch.setattr(demo_options, "_OWN_RECORDING", small)
    path = demo_options.own_recording()
    assert path.is_relative_to(tmp_path) and (path / "metadata.yaml").is_file()
    written = (path / "metadata.yaml").stat().st_mtime_ns
    assert demo_options.own_recording() == path
    assert (path / "metadata.yaml").stat().st_mtime_ns == written
    monkeypatch.setattr(demo_options, "_OWN_RECORDING", ("--frames", "none"))
    with pytest.raises(DemoError, match="depth_demo BAG"):
        demo_options.own_recording()


def test_without_a_place_for_a_recording_the_demo_asks_for_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DemoError, match="cannot be made .* set XDG_CACHE_HOME .* depth_demo BAG"):
        demo_options.own_recording()


# The whole of it, over DDS

# Importing it here would start pytest again.
needs_ros = pytest.mark.skipif(find_spec("rclpy") is None, reason="rclpy is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    metadata = CheckpointMetadata(width=MODEL_WIDTH, height=MODEL_HEIGHT, crop=CROP)
    state = random_checkpoint(width=MODEL_WIDTH, height=MODEL_HEIGHT).state
    save_checkpoint(path, metadata, state)
    return path


@pytest.fixture
def environment():
    """The user's, without what other tests set."""
    ours = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_", "FASTRTPS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def command(*words):
    # A node starts twice as fast with OpenVINO as with torch.
    backend = "openvino" if find_spec("openvino") else "torch"
    fast = ("-p", f"backend:={backend}", "-p", "threads:=1", "-p", "device:=cpu")
    return [sys.executable, "-m", "monodepth2_ros.demo", *map(str, words), *fast]


def run(environment, *words):
    done = subprocess.run(
        command(*words),
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout, done.stderr


def messages(path, topic):
    """Messages of a recording by stamp."""
    from rosbags.highlevel import AnyReader

    found = {}
    with AnyReader([path]) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        for connection, time_ns, data in reader.messages(connections):
            message = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            assert time_ns == stamp
            found[stamp] = message
    return found


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_lock_step_processes_every_frame_and_keeps_everything(tmp_path, model, environment):
    count = 8
    bag = write_drive(tmp_path / "drive", [3.0 * i for i in range(count)], with_depth=True)
    output, record = tmp_path / "demo_output", tmp_path / "published"
    words = (bag, "--as-fast-as-possible", "--out", output, "--record", record)
    status, said, complained = run(environment, *words, "--checkpoint", model)
    assert status == 0, complained
    assert f"{count} frames played" in said and "RANDOM" not in said.replace(" ", "")

    # The report
    assert sorted(path.name for path in output.iterdir()) == sorted(demo_options.FILES)
    report = json.loads((output / "report.json").read_text())
    frames = report["frames"]
    assert (frames["played"], frames["published"], frames["dropped"]) == (count, count, 0)
    assert frames["with_points"] == count and frames["outputs_with_unknown_stamp"] == 0
    assert report["node_counts"]["frames published"] == count + 1  # and the warm-up
    assert report["truth"]["compared"] == count
    assert 0.0 < report["latency_ms"]["depth"]["median"] <= report["latency_ms"]["depth"]["95 %"]
    assert report["node_stages_ms"]["network"]["median"] > 0.0
    assert report["model"]["checkpoint"] == str(model) and not report["model"]["random_weights"]
    assert "WARNING" not in report

    # What was published: the input's stamps, and the intrinsics of the cropped, resized image
    depths = messages(record, "/depth/image_rect")
    infos = messages(record, "/depth/camera_info")
    clouds = messages(record, "/points")
    colors = messages(record, "/depth/image_color")
    stamps = [START + i * INTERVAL for i in range(count)]
    assert list(depths) == list(infos) == list(clouds) == list(colors) == stamps
    left, top = round(CROP[0] * WIDTH), round(CROP[1] * HEIGHT)
    right, bottom = WIDTH - round(CROP[2] * WIDTH), HEIGHT - round(CROP[3] * HEIGHT)
    sx, sy = MODEL_WIDTH / (right - left), MODEL_HEIGHT / (bottom - top)
    fx, fy = K[0] * sx, K[4] * sy
    cx, cy = (K[2] - left + 0.5) * sx - 0.5, (K[5] - top + 0.5) * sy - 0.5
    v, u = np.mgrid[:MODEL_HEIGHT, :MODEL_WIDTH]
    for stamp in stamps:
        np.testing.assert_allclose(infos[stamp].k, [fx, 0, cx, 0, fy, cy, 0, 0, 1], rtol=1e-9)
        assert depths[stamp].header.frame_id == clouds[stamp].header.frame_id == "camera"
        z = depths[stamp].data.view(np.float32).reshape(MODEL_HEIGHT, MODEL_WIDTH)
        points = clouds[stamp].data.view(np.float32).reshape(MODEL_HEIGHT, MODEL_WIDTH, 4)
        there = np.isfinite(points[..., 2])
        assert there.mean() > 0.5
        np.testing.assert_array_equal(points[there][:, 2], z[there])
        np.testing.assert_allclose(points[there][:, 0], ((u - cx) / fx * z)[there], atol=1e-5)
        np.testing.assert_allclose(points[there][:, 1], ((v - cy) / fy * z)[there], atol=1e-5)
    z = np.concatenate([m.data.view(np.float32)[np.newaxis] for m in depths.values()])
    assert report["depth_m"]["50 %"] == pytest.approx(np.nanmedian(z), rel=0.02)

    # The files
    video = cv2.VideoCapture(str(output / "video.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == count
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    for name in ("overview.png", "cloud_above.png", "cloud_side.png"):
        assert min(cv2.imread(str(output / name)).shape[:2]) > 100
    assert (output / "points.ply").read_bytes().startswith(b"ply\nformat binary_little_endian 1.0")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_metres_are_measured_live_on_a_rendered_recording(tmp_path, model, environment):
    bag, output, record = tmp_path / "street", tmp_path / "out", tmp_path / "published"
    # As the demo renders its own, but shorter and smaller.
    line = ["--out", bag, "--frames", "16", "--width", "160", "--height", "96", "--quiet"]
    own = demo_options._OWN_RECORDING
    at = own.index("--odometry")
    done = subprocess.run(
        [sys.executable, "-m", "training.synthesize", *map(str, line), *own[at : at + 2]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    words = (bag, "--as-fast-as-possible", "--out", output, "--record", record)
    status, said, complained = run(environment, *words, "--checkpoint", model)
    assert status == 0, complained
    assert "metres are measured live, from /odom" in said
    assert "metres by odometry, live: factor" in said and "in metres, without scaling" in said
    report = json.loads((output / "report.json").read_text())
    scale, metric = report["scale"], report["truth"]["in_metres"]
    scales = messages(record, "/depth/scale")
    known = [m.vector.x for m in scales.values() if np.isfinite(m.vector.y)]
    assert len(known) == scale["frames_with_a_factor"] == metric["compared"] > 3
    assert scale["factor_median"] == pytest.approx(np.median(known), rel=0.01)
    # The model is random: the factor brings its depth to the size of the street.
    assert scale["factor_median"] > 3.0
    assert metric["median_scaled"]["abs_rel"] > 0.0 and metric["abs_rel"] < 10.0


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_real_time_keeps_the_pace_of_the_recording(tmp_path, model, environment):
    with Bag(tmp_path / "walk", "mcap") as bag:
        bag.info("/cam/camera_info", START)
        for index in range(16):
            bag.jpeg("/cam/image_raw/compressed", START + index * INTERVAL, scene(2.0 * index)[0])
    output = tmp_path / "out"
    words = (tmp_path / "walk", "--out", output, "--checkpoint", model, "--start", "0.3")
    status, said, complained = run(environment, *words, "--rate", "2", "--frames", "12")
    assert status == 0, complained
    assert "no depth topic" in said
    report = json.loads((output / "report.json").read_text())
    assert report["frames"]["played"] == 12
    assert report["frames"]["published"] + report["frames"]["dropped"] == 12
    # The latched camera_info reached the node, although it is before the start.
    assert report["frames"]["with_points"] == report["frames"]["published"] > 0
    assert report["seconds"] >= 11 * 0.05
    assert report["truth"]["compared"] == 0
    # Once more, over the first results, without a camera_info.
    (output / "points.ply").write_text("old")
    with Bag(tmp_path / "bare") as bag:
        for index in range(3):
            bag.image("/cam/image", START + index * INTERVAL, scene(2.0 * index)[0])
    words = (tmp_path / "bare", "--out", output, "--checkpoint", model)
    status, said, complained = run(environment, *words, "--as-fast-as-possible")
    assert status == 0, complained
    assert "no camera_info, so no points" in said
    assert not (output / "points.ply").exists() and not (output / "cloud_side.png").exists()
    assert json.loads((output / "report.json").read_text())["frames"]["with_points"] == 0


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_untrained_weights_are_called_so_everywhere(tmp_path, environment):
    bag = write_drive(tmp_path / "drive", [0.0, 3.0])
    words = (bag, "--as-fast-as-possible", "--out", tmp_path / "out", "--checkpoint", "random")
    status, said, complained = run(environment, *words)
    assert status == 0, complained
    assert "R A N D O M   W E I G H T S" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "RANDOM" in report["WARNING"] and report["model"]["random_weights"]
    assert b"RANDOM WEIGHTS" in (tmp_path / "out" / "points.ply").read_bytes()[:1000]
    # Large white letters across the middle of the picture.
    picture = cv2.imread(str(tmp_path / "out" / "overview.png"))
    middle = picture[picture.shape[0] // 3 : -picture.shape[0] // 3]
    columns = np.flatnonzero((middle > 235).all(axis=2).any(axis=0))
    assert np.ptp(columns) > 0.6 * picture.shape[1]


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_without_a_checkpoint_the_node_runs_the_shipped_model_and_says_so(tmp_path, environment):
    bag = write_drive(tmp_path / "drive", [0.0, 3.0], with_depth=True)
    words = (bag, "--as-fast-as-possible", "--out", tmp_path / "out")
    status, said, complained = run(environment, *words)
    assert status == 0, complained
    assert "model: default model" in said and "RANDOM" not in said.replace(" ", "")
    assert "took no part in the training" not in said  # said of the rendered world only
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["checkpoint"].startswith("default model")  # by the node's diagnostics
    assert "docs/reference/model_card.md" in report["model"]["checkpoint"]
    assert "default model" in (tmp_path / "out" / "node.log").read_text()


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_frames_that_fail_are_counted_and_a_demo_without_any_says_why(tmp_path, model, environment):
    with Bag(tmp_path / "some", "mcap") as bag:
        for index in range(6):
            stamp = START + index * INTERVAL
            bag.info("/cam/camera_info", stamp)
            if index in (0, 3):
                bag.compressed("/cam/image/compressed", stamp, b"\xff\xd8 no end")
            else:
                bag.jpeg("/cam/image/compressed", stamp, scene(2.0 * index)[0])
    words = ("--as-fast-as-possible", "--checkpoint", model, "--out")
    status, _, complained = run(environment, tmp_path / "some", *words, tmp_path / "out")
    assert status == 0, complained
    frames = json.loads((tmp_path / "out" / "report.json").read_text())["frames"]
    assert (frames["played"], frames["published"], frames["failed"]) == (6, 4, 2)
    assert frames["dropped"] == 0

    with Bag(tmp_path / "none", "mcap") as bag:
        for index in range(3):
            bag.image("/cam/image", START + index * INTERVAL, scene(0.0)[0], "strange8")
    status, _, complained = run(environment, tmp_path / "none", *words, tmp_path / "nothing")
    assert status == 1
    assert "no frame came back" in complained and "'strange8' is not supported" in complained
    assert not (tmp_path / "nothing").exists()


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_a_node_that_does_not_start_is_quoted(tmp_path, model, environment):
    bag = write_drive(tmp_path / "drive", [0.0, 3.0])
    words = (bag, "--checkpoint", model, "--out", tmp_path / "out", "-p", "max_range:=0.01")
    status, _, complained = run(environment, *words)
    assert status == 1
    assert "the node ended with status 1" in complained and "max_range" in complained
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive"]


@pytest.mark.slow
@pytest.mark.ros
@needs_ros
def test_an_interrupted_demo_keeps_what_it_has_and_leaves_no_process(tmp_path, model, environment):
    bag = write_drive(tmp_path / "drive", [2.0 * i for i in range(300)])
    output, record = tmp_path / "out", tmp_path / "published"
    words = (bag, "--checkpoint", model, "--out", output, "--record", record)
    process = subprocess.Popen(
        command(*words), env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    seen = ""
    while not re.search(r"playing: .* [1-9]\d+/300", seen):
        letter = process.stderr.read(1)
        assert letter, seen
        seen += letter
    nodes = children(process.pid)
    assert len(nodes) == 1
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait(60) == 130
    for _ in range(100):
        if not any(os.path.exists(f"/proc/{node}") for node in nodes):
            break
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{node}") for node in nodes)
    report = json.loads((output / "report.json").read_text())
    frames = report["frames"]
    assert report["interrupted"] and 0 < frames["published"] < frames["played"] < 300
    assert frames["published"] + frames["dropped"] + frames["unfinished"] == frames["played"]
    assert (output / "video.mp4").stat().st_size > 0
    assert len(messages(record, "/points")) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "out", "published"]


def children(pid):
    """The processes that a process has started, which are Python."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    name, _, rest = file.read().rpartition(")")
            except OSError:
                continue
            if int(rest.split()[1]) == pid and "python" in name:
                found.append(int(entry))
    return found
