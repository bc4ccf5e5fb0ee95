# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The predictor and its backends: agreement, sizes, ranges, cameras, errors."""

from __future__ import annotations

import dataclasses
import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from clocks import StoppedClock

from monodepth2_ros import predictor as module
from monodepth2_ros.backends import (
    BackendError,
    create_backend,
    factory,
    precision_choice,
)
from monodepth2_ros.backends.base import CPU
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import random_checkpoint
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.predictor import DepthPredictor, OutputOptions
from monodepth2_ros.preprocessing import prepare_image, to_network_input

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")

CAMERA = PinholeCamera(320, 240, 280.0, 281.0, 158.0, 121.0)


@pytest.fixture(scope="module")
def checkpoint():
    """A small random model that is not flat: its last layers are drawn wide."""
    made = random_checkpoint(18, 96, 64, seed=4)
    generator = torch.Generator().manual_seed(4)
    head = made.state["depth"]["decoder.10.conv.weight"]
    made.state["depth"]["decoder.10.conv.weight"] = 3 * torch.randn(head.shape, generator=generator)
    return made


@pytest.fixture(scope="module")
def image():
    y, x = np.mgrid[0:240, 0:320]
    waves = [np.sin(x / 17), np.cos(y / 11), np.sin((x - y) / 23)]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return DepthPredictor(checkpoint, backend="torch", device="cpu", precision="fp32")


def reference_depth(checkpoint, image, crop=(0.0, 0.0, 0.0, 0.0)):
    """Depth by the definition, in float64."""
    metadata = checkpoint.metadata
    # Random weights make much of a pixel that NumPy and torch round differently.
    small = torch.from_numpy(prepare_image(image, crop, metadata.width, metadata.height))
    with torch.inference_mode():
        sigmoid = checkpoint.depth_network().double()(to_network_input(small)[None].double())
    return disparity_to_depth(sigmoid, metadata.min_depth, metadata.max_depth)[0, 0].numpy()


def test_depth_is_the_definition(predictor, checkpoint, image):
    depth = predictor(image)
    expected = reference_depth(checkpoint, image)
    assert depth.dtype == np.float32 and depth.shape == (64, 96)
    assert expected.max() / expected.min() > 3  # the model is not flat
    np.testing.assert_allclose(depth, expected, rtol=1e-3)


@pytest.mark.slow
@needs_openvino
def test_openvino_agrees_with_torch(checkpoint, image, predictor, tmp_path):
    other = DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
    expected = predictor(image)
    relative = np.abs(other(image) - expected) / expected
    assert np.median(relative) <= 1e-3
    # Again from the cache: same numbers, no second conversion.
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.xml")}
    assert len(files) == 1
    again = DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
    np.testing.assert_array_equal(again(image), other(image))
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.xml")} == files


@pytest.mark.slow
@needs_openvino
def test_other_weights_do_not_hit_the_cache(checkpoint, image, tmp_path):
    first = DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)(image)
    other = random_checkpoint(18, 96, 64, seed=5)
    second = DepthPredictor(other, backend="openvino", cache_dir=tmp_path)(image)
    assert np.median(np.abs(first - second) / first) > 1e-2
    np.testing.assert_allclose(second, reference_depth(other, image), rtol=1e-2)


@pytest.mark.slow
@needs_openvino
def test_openvino_starts_without_a_cache_folder(checkpoint, image, tmp_path, predictor):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache folder should be")
    other = DepthPredictor(checkpoint, backend="openvino", cache_dir=blocked / "cache")
    np.testing.assert_allclose(other(image), predictor(image), rtol=1e-2)


@pytest.mark.slow
@needs_openvino
def test_openvino_starts_on_a_full_disk(checkpoint, image, tmp_path, predictor, monkeypatch):
    import openvino

    def save_model(model, path, **options):
        path.write_bytes(b"half of")
        raise RuntimeError("basic_ios::clear: iostream error")  # what it raises then

    monkeypatch.setattr(openvino, "save_model", save_model)
    other = DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
    np.testing.assert_allclose(other(image), predictor(image), rtol=1e-2)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize(("suffix", "size"), [(".bin", 1000), (".bin", 0), (".xml", 1000)])
def test_openvino_replaces_a_damaged_cache(checkpoint, image, tmp_path, predictor, suffix, size):
    DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
    [converted] = tmp_path.glob("*.xml")
    whole = converted.with_suffix(suffix).read_bytes()
    for blob in tmp_path.rglob("*.blob"):
        blob.unlink()
    converted.with_suffix(suffix).write_bytes(whole[:size])
    other = DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
    np.testing.assert_allclose(other(image), predictor(image), rtol=1e-2)
    assert converted.with_suffix(suffix).stat().st_size == len(whole)


@pytest.mark.slow
@needs_openvino
def test_openvino_gives_back_torchs_threads(checkpoint, tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for _ in range(2):
            DepthPredictor(checkpoint, backend="openvino", cache_dir=tmp_path)
            assert torch.get_num_threads() == 1
        DepthPredictor(checkpoint, backend="torch", device="cpu")
        assert torch.get_num_threads() == 3
        DepthPredictor(checkpoint, backend="torch", device="cpu", threads=2)
        DepthPredictor(checkpoint, backend="torch", device="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_bf16_on_a_cpu_stays_close(checkpoint, image, predictor):
    half = DepthPredictor(checkpoint, backend="torch", device="cpu", precision="bf16")
    expected = predictor(image)
    assert np.median(np.abs(half(image) - expected) / expected) <= 1e-2


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_auto_measures_torchs_precision_on_a_cpu_once(
    checkpoint, image, tmp_path, monkeypatch, predictor, faster
):
    monkeypatch.setattr(precision_choice, "has_bfloat16", lambda: True)
    clock = StoppedClock()
    asked = []

    def measure(runs, metadata, _):
        asked.append(metadata)

        def timed(name):
            def run(picture):
                clock.now += 0.01 if name == faster else 0.02
                return runs[name](picture)

            return run

        timed_runs = {name: timed(name) for name in runs}
        # Of weights drawn as wide as these bfloat16 changes the depth by more than is allowed.
        monkeypatch.setattr(precision_choice, "LARGEST_CHANGE", 0.05)
        return real(timed_runs, metadata, clock)

    real = precision_choice.measure
    monkeypatch.setattr(precision_choice, "measure", measure)

    def load(made):
        return DepthPredictor(made, backend="torch", device="cpu", cache_dir=tmp_path)

    for _ in range(2):
        chosen = load(checkpoint)
        assert chosen.backend.precision == faster and len(asked) == 1
        depth = predictor(image)
        error = np.median(np.abs(chosen(image) - depth) / depth)
        assert (error < 1e-6) if faster == "fp32" else (1e-6 < error < 1e-2)
    load(random_checkpoint(18, 96, 64, seed=5))  # whose depth may change by more
    assert len(asked) == 2


def test_without_bfloat16_torch_computes_in_float32(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(precision_choice, "has_bfloat16", lambda: False)
    chosen = DepthPredictor(checkpoint, backend="torch", device="cpu", cache_dir=tmp_path)
    assert chosen.backend.precision == "fp32" and not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-3), ("fp16", 1e-2), ("bf16", 1e-2)])
def test_cuda_agrees_with_the_cpu(checkpoint, image, predictor, precision, bound):
    cuda = DepthPredictor(checkpoint, backend="torch", device="cuda", precision=precision)
    # Random weights make edges everywhere; this leaves out the sharpest.
    options = OutputOptions(points_edge_filter=2.0)
    outputs = ("depth", "color", "points")
    for _ in range(3):  # the captured graph must follow its input
        noise = np.random.default_rng(0).integers(0, 255, image.shape, dtype=np.uint8)
        cuda.predict(noise, CAMERA, options, outputs)
    actual = cuda.predict(image, CAMERA, options, outputs)
    expected = predictor.predict(image, CAMERA, options, outputs)
    assert np.median(np.abs(actual.depth - expected.depth) / expected.depth) <= bound
    both = np.isfinite(actual.points[..., 2]) & np.isfinite(expected.points[..., 2])
    assert both.mean() > 0.5
    # torch resizes bytes on a CPU and floats on a GPU, which may round to neighbouring levels.
    colors = (
        np.ascontiguousarray(prediction.points[..., 3]).view(np.uint8).astype(int)
        for prediction in (actual, expected)
    )
    assert np.abs(next(colors) - next(colors)).max() <= 1
    assert actual.color.shape == expected.color.shape


def test_points_are_the_back_projected_depth(predictor, image):
    result = predictor.predict(image, CAMERA, outputs=("depth", "points"))
    camera = CAMERA.resized(96, 64)
    assert result.camera == camera
    v, u = np.mgrid[0:64, 0:96]
    x = (u - camera.cx) / camera.fx * result.depth
    y = (v - camera.cy) / camera.fy * result.depth
    expected = np.stack([x, y, result.depth], axis=-1)
    np.testing.assert_allclose(result.points[..., :3], expected, rtol=1e-4, atol=1e-6)


def test_image_size_with_crop(checkpoint, image):
    cropped = DepthPredictor(checkpoint, backend="torch", device="cpu", crop=(0.0, 0.25, 0.1, 0.0))
    options = OutputOptions(output_size="image")
    result = cropped.predict(image, CAMERA, options, ("depth", "color", "points"))
    assert result.depth.shape == (240, 320) and result.points.shape == (240, 320, 4)
    assert result.camera == CAMERA
    valid = np.isfinite(result.depth)
    assert not valid[:60].any() and not valid[:, 288:].any() and valid[60:, :288].all()
    # Where depth is, it is the network's, and colours are the image's own pixels.
    expected = reference_depth(checkpoint, image, (0.0, 0.25, 0.1, 0.0))
    inner = result.depth[60:, :288]
    assert inner.min() >= expected.min() * 0.999 and inner.max() <= expected.max() * 1.001
    packed = result.points.view(np.int32)[..., 3]
    np.testing.assert_array_equal(packed >> 16, image[..., 0])
    assert (result.color[:60] == 0).all()


@pytest.mark.slow
def test_crop_moves_the_network_camera(checkpoint, image):
    cropped = DepthPredictor(checkpoint, backend="torch", device="cpu", crop=(0.0, 0.25, 0.0, 0.0))
    result = cropped.predict(image, CAMERA, outputs=("points",))
    assert result.camera == CAMERA.cropped(0, 60, 320, 180).resized(96, 64)
    np.testing.assert_allclose(
        cropped(image), reference_depth(checkpoint, image, (0.0, 0.25, 0.0, 0.0)), rtol=1e-3
    )


def test_scale_range_and_stride(predictor, image):
    plain = predictor(image)
    low, high = np.percentile(plain * 3.0, [30, 70])
    options = OutputOptions(scale=3.0, min_range=low, max_range=high, points_stride=3)
    result = predictor.predict(image, CAMERA, options, ("depth", "points"))
    inside = (plain * 3.0 >= low) & (plain * 3.0 <= high)
    agree = np.isfinite(result.depth) == inside
    assert agree.mean() > 0.999  # but for rounding at the bounds
    both = np.isfinite(result.depth) & inside
    np.testing.assert_allclose(result.depth[both], 3.0 * plain[both], rtol=1e-5)
    assert result.points.shape == (22, 32, 4)
    np.testing.assert_array_equal(result.points[..., 2], result.depth[::3, ::3])
    x = (3 * np.arange(32) - result.camera.cx) / result.camera.fx
    expected = x * result.depth[::3, ::3]
    np.testing.assert_allclose(result.points[..., 0], expected, rtol=1e-4, atol=1e-6)


def test_points_max_range_leaves_the_depth_alone(predictor, image):
    bound = float(np.median(predictor(image)))
    options = OutputOptions(points_max_range=bound)
    result = predictor.predict(image, CAMERA, options, ("depth", "points"))
    assert np.isfinite(result.depth).all()
    np.testing.assert_array_equal(np.isfinite(result.points[..., 2]), result.depth <= bound)


class StepBackend:
    """A network that sees a near object before a far wall."""

    name, precision, device = "step", "fp32", CPU

    def disparity(self, image):
        sigmoid = np.full((64, 96), 0.01, np.float32)
        sigmoid[20:50, 30:60] = 0.5
        return sigmoid


@pytest.mark.parametrize("size", ["network", "image"])
def test_edge_filter_removes_points_only(checkpoint, image, size):
    predictor = DepthPredictor(checkpoint, backend="torch", device="cpu")
    predictor.backend = StepBackend()
    options = OutputOptions(output_size=size)
    plain = predictor.predict(image, CAMERA, options, ("points",)).points.copy()
    filtered = dataclasses.replace(options, points_edge_filter=0.1)
    result = predictor.predict(image, CAMERA, filtered, ("depth", "points"))
    kept = np.isfinite(result.points[..., 2])
    np.testing.assert_array_equal(result.points[kept], plain[kept])
    assert np.isfinite(result.depth).all()
    assert 0.7 < kept.mean() < 0.95
    # Nothing is left between the object and the wall.
    depths = plain[..., 2]
    near, far = depths.min(), depths.max()
    between = (depths > 1.1 * near) & (depths < 0.9 * far)
    assert between.any() == (size == "image") and not (between & kept).any()
    # The middle of the object and the open wall stay.
    height, width = kept.shape
    assert kept[35 * height // 64, 45 * width // 96] and kept[5, 5]


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("size", ["network", "image"])
def test_far_filter_removes_the_sky_from_the_cloud_only(checkpoint, image, size, scale):
    class Sky(StepBackend):
        def disparity(self, image):
            sigmoid = super().disparity(image)
            sigmoid[:16] = 4e-4
            return sigmoid

    predictor = DepthPredictor(checkpoint, backend="torch", device="cpu")
    predictor.backend = Sky()
    options = OutputOptions(output_size=size, scale=scale)
    plain = predictor.predict(image, CAMERA, options, ("points",)).points.copy()
    filtered = dataclasses.replace(options, points_far_filter=0.001)
    result = predictor.predict(image, CAMERA, filtered, ("depth", "points"))
    kept = np.isfinite(result.points[..., 2])
    np.testing.assert_array_equal(result.points[kept], plain[kept])
    assert np.isfinite(result.depth).all() and np.isfinite(plain).all()
    rows = kept.shape[0]
    assert not kept[: rows // 5].any() and kept[rows // 3 :].all()
    # A bound that is nearer still holds.
    nearest = float(np.nanmin(plain[..., 2]))
    bounded = dataclasses.replace(filtered, points_max_range=1.1 * nearest)
    points = predictor.predict(image, CAMERA, bounded, ("points",)).points
    assert np.nanmax(points[..., 2]) <= 1.1 * nearest


def test_millimetres(predictor, image):
    metres = predictor(image)
    options = OutputOptions(depth_encoding="16UC1", scale=10.0, max_range=float(metres.max()) * 9)
    depth = predictor.predict(image, options=options).depth
    assert depth.dtype == np.uint16
    known = depth > 0
    assert not known.all()
    np.testing.assert_allclose(depth[known], 1e4 * metres[known], atol=0.6, rtol=1e-4)
    far = OutputOptions(depth_encoding="16UC1", scale=1000.0)
    beyond = predictor.predict(image, options=far).depth[metres > 0.0656]
    assert (beyond == 0).all()  # more than 65.535 m does not fit


def test_fixed_and_adapting_colours(predictor, image):
    fixed = OutputOptions(color_map="gray", color_range=(0.1, 100.0))
    grey = predictor.predict(image, options=fixed, outputs=("color",)).color[..., 0]
    depth = predictor(image)
    expected = 255 * (1 / depth - 0.01) / (10 - 0.01)
    np.testing.assert_allclose(grey, expected, atol=1.0)
    fresh = DepthPredictor(predictor.checkpoint, backend="torch", device="cpu")
    auto = fresh.predict(image, options=OutputOptions(color_map="gray"), outputs=("color",)).color
    assert auto.min() == 0 and auto.max() == 255


@pytest.mark.slow
def test_automatic_colours_follow_the_scene_slowly(predictor, image):
    """By hand: the first frame sets the range, each further one moves it."""
    fresh = DepthPredictor(predictor.checkpoint, backend="torch", device="cpu")
    grey = OutputOptions(color_map="gray")
    fixed = OutputOptions(color_map="gray", color_range=(0.1, 100.0))
    low = high = None
    for number, frame in enumerate((image, image[::-1] // 2, 255 - image)):
        frame = np.ascontiguousarray(frame)
        disparity = torch.from_numpy(1.0 / predictor(frame))
        ends = torch.quantile(disparity[::4, ::4].double(), torch.tensor([0.02, 0.98]).double())
        new_low, new_high = ends.tolist()
        if number == 0:
            low, high = new_low, new_high
        else:
            # A tenth of the way for a step of up to 0.075 of the range, all for one of 0.3.
            step = max(abs(new_low - low), abs(new_high - high))
            relative = step / min(new_high - new_low, high - low)
            share = min(max((relative - 0.05) / 0.25, 0.1), 1.0)
            low, high = low + share * (new_low - low), high + share * (new_high - high)
        color = fresh.predict(frame, options=grey, outputs=("color",)).color[..., 0]
        expected = np.clip(255 * (disparity.numpy() - low) / (high - low), 0, 255)
        np.testing.assert_allclose(color, expected, atol=1.0)
    fresh.predict(image, options=fixed, outputs=("color",))  # the range begins again afterwards
    color = fresh.predict(image, options=grey, outputs=("color",)).color
    other = DepthPredictor(predictor.checkpoint, backend="torch", device="cpu")
    first = other.predict(image, options=grey, outputs=("color",)).color
    np.testing.assert_array_equal(color, first)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize(
    "options",
    [
        OutputOptions(),
        OutputOptions(output_size="image", points_edge_filter=0.05, points_stride=2),
        OutputOptions(color_range=(0.5, 20.0), depth_encoding="16UC1"),
    ],
)
def test_images_that_overlap_give_the_same_bits(checkpoint, image, backend, options, tmp_path):
    """What is left of one is done in another thread while the next one is in the network."""
    made = [
        DepthPredictor(checkpoint, backend=backend, device="cpu", cache_dir=tmp_path)
        for _ in range(2)
    ]
    images = [np.ascontiguousarray(np.roll(image, 40 * shift, axis=1)) for shift in range(4)]
    names = ("depth", "color", "points")
    expected = [made[0].predict(one, CAMERA, options, names) for one in images]
    with ThreadPoolExecutor(1) as finisher:
        begun = made[1].begin(images[0], CAMERA, options, names)
        found = []
        for one in images[1:]:
            under_way = finisher.submit(begun)
            begun = made[1].begin(one, CAMERA, options, names)
            found.append(under_way.result())
        found.append(begun())
    assert not np.array_equal(found[0].depth, found[1].depth)
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.camera == wanted.camera
        assert set(actual.seconds) == {"preprocess", "network", "outputs"}
        for name in names:
            np.testing.assert_array_equal(getattr(actual, name), getattr(wanted, name))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_a_batch_is_its_images(checkpoint, image, backend, tmp_path):
    predictor = DepthPredictor(
        checkpoint, backend=backend, device="cpu", cache_dir=tmp_path, crop=(0.0, 0.25, 0.1, 0.0)
    )
    images = np.stack([image, 255 - image, image[::-1]])
    depth = predictor.predict_batch(images)
    assert depth.dtype == np.float32 and depth.shape == (3, 64, 96)
    for one, found in zip(images, depth, strict=True):
        np.testing.assert_allclose(found, predictor(one), rtol=1e-4)
    assert np.abs(depth[0] / depth[1] - 1.0).max() > 0.1
    with pytest.raises(ValueError, match=r"\(240, 320, 3\) and type uint8; \(B, H, W, 3\)"):
        predictor.predict_batch(image)


def test_read_only_images_are_fine(predictor, image):
    frozen = image.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(predictor(frozen), predictor(image))


def test_stage_times(predictor, image):
    seconds = predictor.predict(image).seconds
    assert list(seconds) == ["preprocess", "network", "outputs"]
    assert all(value > 0 for value in seconds.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((4, 4), np.uint8)}, r"shape \(4, 4\)"),
        ({"image": np.zeros((4, 4, 3), np.float32)}, "float32"),
        ({"outputs": ("points",)}, "points need a camera"),
        ({"outputs": ("dept",)}, r"unknown outputs \['dept'\]"),
        ({"camera": CAMERA.resized(64, 64)}, "64x64 image, the image is 320x240"),
    ],
)
def test_misuse_is_named(predictor, image, arguments, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(**{"image": image, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "tensorrt"}, "backend is 'tensorrt'; it must be one of auto, torch"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:97"}, "set device to 'cpu'"),
        ({"backend": "openvino", "device": "cuda"}, "runs on the CPU.*set device to 'cpu'"),
        ({"device": "cpu", "precision": "fp16"}, "set precision to 'fp32'"),
        ({"backend": "openvino", "precision": "fp16"}, "set precision to 'fp32'"),
    ],
)
def test_backends_that_cannot_start_say_why(checkpoint, arguments, message):
    with pytest.raises(BackendError, match=message):
        create_backend(checkpoint, **arguments)


def test_missing_openvino_names_the_alternative(checkpoint, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(BackendError, match="cannot be imported.*set backend to 'torch'"):
        create_backend(checkpoint, backend="openvino")


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_only_what_is_installed_is_an_alternative(checkpoint, monkeypatch, backend):
    monkeypatch.setattr(factory, "is_installed", lambda name: False)
    with pytest.raises(BackendError, match=r"pip install 'monodepth2_ros\[\w+\]'$"):
        create_backend(checkpoint, backend, device="cpu")


@pytest.mark.slow
def test_auto_falls_back_to_torch_without_openvino(checkpoint, monkeypatch):
    monkeypatch.setattr(factory, "is_installed", lambda name: name == "torch")
    assert create_backend(checkpoint, device="cpu").name == "torch"


def test_options_are_plain_data():
    assert dataclasses.replace(OutputOptions(), scale=2.0).scale == 2.0
    assert set(module.OUTPUTS) == {"depth", "color", "points"}
