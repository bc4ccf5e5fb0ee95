# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An image's way through a GPU, in the same steps on a CPU, gives what the direct way does."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import random_checkpoint
from monodepth2_ros.device_pipeline import DevicePipeline, as_tensor
from monodepth2_ros.pipeline import HostPipeline, PipelineResult
from monodepth2_ros.predictor import OUTPUTS, DepthPredictor, OutputOptions

CPU = torch.device("cpu")
CAMERA = PinholeCamera(160, 120, 140.0, 141.0, 79.0, 60.0)
OPTIONS = [
    OutputOptions(),
    OutputOptions(output_size="image", points_edge_filter=0.05, points_stride=2),
    OutputOptions(depth_encoding="16UC1", max_range=3.0, points_max_range=2.0),
    OutputOptions(color_range=(0.2, 20.0), color_map="turbo"),
]


@pytest.fixture(scope="module")
def checkpoint():
    made = random_checkpoint(18, 96, 64, seed=4)
    made.state["depth"]["decoder.10.conv.weight"] *= 40.0
    return made


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(2)
    coarse = generator.integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(10, axis=1).repeat(10, axis=2))


@pytest.fixture(scope="module")
def made(checkpoint):
    """Two predictors; loading takes longer than predicting."""
    crop = (0.0, 0.1, 0.0, 0.0)
    return [DepthPredictor(checkpoint, backend="torch", device="cpu", crop=crop) for _ in range(2)]


class DirectPipeline:
    """Computes with tensors when an image is submitted, without any of a GPU's steps."""

    depth = 1

    def __init__(self):
        self.done = []

    def submit(self, image, key, compute):
        with torch.inference_mode():
            results = compute(as_tensor(image), lambda stage: None)
        self.done.append({name: tensor.numpy() for name, tensor in results.items()})

    def collect(self):
        return PipelineResult(self.done.pop(0), {})


@pytest.fixture
def predictors(made):
    """A predictor that goes the direct way, and one that goes a GPU's on the CPU; both as new."""
    direct, staged = made
    for predictor in made:
        predictor._use_device_pipeline()
        predictor._cameras.clear()
    direct._pipeline = DirectPipeline()
    return direct, staged


def assert_same(actual, expected):
    assert actual.camera == expected.camera
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_both_ways_give_the_same_bits(predictors, images, options):
    direct, staged = predictors
    seen = set()
    for image in images:
        expected = direct.predict(image, CAMERA, options, OUTPUTS)
        assert_same(staged.predict(image, CAMERA, options, OUTPUTS), expected)
        seen.add(expected.color.tobytes())
    assert len(seen) == len(images)  # equal pictures would prove nothing


@pytest.mark.slow
def test_a_stream_gives_what_single_calls_do(predictors, images):
    direct, staged = predictors
    expected = [direct.predict(image, CAMERA, outputs=OUTPUTS) for image in images]
    taken = []

    def camera_images():
        for image in images:
            taken.append(len(taken))
            frame = image.copy()
            yield frame
            frame[:] = 0  # a driver reuses its memory

    stream = staged.predict_stream(camera_images(), CAMERA, outputs=OUTPUTS)
    for number, (actual, wanted) in enumerate(zip(stream, expected, strict=True)):
        assert len(taken) == min(number + 2, len(images))  # the next one is under way
        assert_same(actual, wanted)


def test_a_stream_that_is_left_leaves_nothing_behind(predictors, images):
    direct, staged = predictors
    stream = staged.predict_stream(images)
    next(stream)
    with pytest.raises(RuntimeError, match="predict_stream .* under way; exhaust or close"):
        staged.predict(images[0])
    with pytest.raises(RuntimeError, match="predict_stream .* under way; exhaust or close"):
        next(staged.predict_stream(images))
    stream.close()
    np.testing.assert_array_equal(staged(images[4]), direct(images[4]))


def test_a_wrong_image_ends_a_stream_in_order(predictors, images):
    _, staged = predictors
    with pytest.raises(ValueError, match="float32"):
        list(staged.predict_stream([images[0], images[1].astype(np.float32)]))
    np.testing.assert_array_equal(staged(images[2]), staged(images[2]))


@pytest.mark.slow
def test_sizes_and_options_may_change_from_image_to_image(predictors, images):
    direct, staged = predictors
    for round_ in range(2):
        for number in range(6):  # more than are kept
            image = images[round_][: 120 - 8 * number]
            camera = CAMERA.cropped(0, 0, 160, image.shape[0])
            options = OPTIONS[number % len(OPTIONS)]
            expected = direct.predict(image, camera, options, OUTPUTS)
            assert_same(staged.predict(image, camera, options, OUTPUTS), expected)


@pytest.mark.slow
def test_depth_alone_is_recorded_for_any_camera(predictors, images):
    """Intrinsics of a zoom change with every frame, and only points depend on them."""
    direct, staged = predictors
    for number, image in enumerate(images):
        camera = PinholeCamera(160, 120, 140.0 + number, 141.0, 79.0, 60.0)
        for outputs in (("depth",), OUTPUTS):
            expected = direct.predict(image, camera, outputs=outputs)
            actual = staged.predict(image, camera, outputs=outputs)
            assert actual.camera == expected.camera and actual.camera.fx != 140.0
            np.testing.assert_array_equal(actual.points, expected.points)
        assert sum(key[1][2] == ("depth",) for key in staged._pipeline._recorded) == 1


def test_on_a_gpu_runs_before_a_recording_are_the_networks_own(predictors, images, monkeypatch):
    """Another recording's replay would leave cuDNN, in this thread, without its kernels."""

    class Recorded:
        device = torch.device("cuda")
        disparities = staticmethod(predictors[0].backend.disparities)

        def disparity(self, image):
            raise AssertionError("a recording was replayed")

    predictor, _ = predictors
    expected = predictor(images[0])
    monkeypatch.setattr(predictor, "backend", Recorded())
    pixels = torch.from_numpy(images[0])
    with torch.inference_mode():
        actual = predictor._compute(pixels, None, OutputOptions(), ("depth",), lambda _: None)
    np.testing.assert_array_equal(actual["depth"].numpy(), expected)


@pytest.fixture
def no_collector():
    """Let only what no cycle holds be freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_read_only_images_are_freed_at_once(no_collector):
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    image.flags.writeable = False
    kept = weakref.ref(image)
    tensor = as_tensor(image)
    del image
    assert kept() is not None and tensor.flatten().tolist() == list(range(12))
    del tensor
    assert kept() is None


@pytest.mark.slow
def test_a_predictor_is_freed_at_once(checkpoint, images, no_collector):
    """It holds a model and recordings, which may be much of a GPU's memory."""
    predictor = DepthPredictor(checkpoint, backend="torch", device="cpu")
    predictor._use_device_pipeline()
    predictor.predict(images[0], CAMERA, outputs=OUTPUTS)
    kept = weakref.ref(predictor)
    del predictor
    assert kept() is None


class Forbidden(TorchDispatchMode):
    """Fails on what makes the host wait for a device."""

    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._overloadpacket.__name__
        assert name not in self.waiting, f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_"):
            kinds = [tensor.dtype for tensor in args[1] if tensor is not None]
            assert torch.bool not in kinds, f"{name} with a mask waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", OPTIONS)
def test_a_computation_waits_for_nothing(predictors, images, options):
    predictor, _ = predictors
    pixels = torch.from_numpy(images[0])
    camera = CAMERA if options.output_size == "image" else predictor.network_camera(CAMERA)
    arguments = (pixels, camera, options, OUTPUTS, lambda stage: None)
    with torch.no_grad():
        predictor._compute(*arguments)
        with Forbidden():
            results = predictor._compute(*arguments)
    assert set(results) == set(OUTPUTS)


def test_waiting_would_be_found():
    values = torch.arange(3.0)
    for wait in (lambda: values.sum().item(), lambda: values[values > 1], values.nonzero):
        with Forbidden(), pytest.raises(AssertionError, match="waits"):
            wait()


def counting(pixels, lap):
    if isinstance(pixels, np.ndarray):
        total = pixels.sum(dtype=np.int32, keepdims=True).reshape(1)
        return {"sum": total, "half": pixels[::2].astype(np.float16)}
    return {"sum": pixels.sum(dtype=torch.int32)[None], "half": pixels[::2].half()}


@pytest.mark.parametrize("kind", [HostPipeline, lambda: DevicePipeline(CPU)])
def test_results_come_in_order_and_in_their_types(kind):
    pipeline = kind()
    frames = [np.full((4, 3, 3), value, np.uint8) for value in range(5)]
    for frame in frames[: pipeline.depth]:
        pipeline.submit(frame, "count", counting)
    for number, following in enumerate([*frames[pipeline.depth :], *[None] * pipeline.depth]):
        arrays = pipeline.collect().arrays
        assert arrays["sum"].dtype == np.int32 and arrays["sum"][0] == 36 * number
        assert arrays["half"].dtype == np.float16 and arrays["half"].shape == (2, 3, 3)
        assert (arrays["half"] == number).all()
        if following is not None:
            pipeline.submit(following, "count", counting)


def test_too_many_under_way_are_refused():
    pipeline = DevicePipeline(CPU)
    frame = np.zeros((2, 2, 3), np.uint8)
    pipeline.submit(frame, "count", counting)
    pipeline.submit(frame, "count", counting)
    with pytest.raises(RuntimeError, match="2 images are under way; collect one"):
        pipeline.submit(frame, "count", counting)


def test_a_recording_leaves_the_state_as_it_was():
    state = torch.zeros(1)

    def compute(pixels, lap):
        state.add_(1.0)
        return {"state": state.clone()}

    pipeline = DevicePipeline(CPU, kept=(state,))
    for count in (1.0, 2.0):
        pipeline.submit(np.zeros((2, 2, 3), np.uint8), "count", compute)
        assert pipeline.collect().arrays["state"] == count


@pytest.mark.gpu
@pytest.mark.parametrize("options", OPTIONS)
def test_a_gpu_stream_gives_what_single_calls_do(checkpoint, images, options):
    cuda = DepthPredictor(checkpoint, backend="torch", device="cuda")
    again = DepthPredictor(checkpoint, backend="torch", device="cuda")
    direct = DepthPredictor(checkpoint, backend="torch", device="cpu")
    stream = cuda.predict_stream(images, CAMERA, options, OUTPUTS)
    for image, actual in zip(images, stream, strict=True):
        assert_same(actual, again.predict(image, CAMERA, options, OUTPUTS))
        assert list(actual.seconds) == ["preprocess", "network", "outputs"]
        expected = direct.predict(image, CAMERA, options, OUTPUTS)
        known = np.isfinite(expected.depth) & (expected.depth > 0)
        both = known & np.isfinite(actual.depth) & (actual.depth > 0)
        assert both.sum() > 0.95 * known.sum()
        error = np.abs(actual.depth[both].astype(float) / expected.depth[both] - 1.0)
        assert np.median(error) < 1e-2
        assert np.abs(actual.color.astype(int) - expected.color).mean() < 3.0


@pytest.mark.gpu
@pytest.mark.parametrize("options", OPTIONS)
def test_a_gpu_computation_waits_for_nothing(checkpoint, images, options):
    cuda = DepthPredictor(checkpoint, backend="torch", device="cuda")
    pixels = torch.from_numpy(images[0]).cuda()
    camera = CAMERA if options.output_size == "image" else cuda.network_camera(CAMERA)
    arguments = (pixels, camera, options, OUTPUTS, lambda stage: None)
    with torch.inference_mode():
        cuda._compute(*arguments)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            cuda._compute(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_gpu_predicts_in_other_threads(checkpoint, images):
    """As in the node: made in one thread, used in another, whose cuDNN knows nothing yet."""
    cuda = DepthPredictor(checkpoint, backend="torch", device="cuda")
    depths, errors = [], []

    def work():
        try:
            depths.extend(cuda(image) for image in images)
            image = torch.zeros((64, 96, 3), dtype=torch.uint8, device="cuda")
            cuda.backend.disparity(image)
        except Exception as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert not errors
    for image, depth in zip(images, depths, strict=True):
        np.testing.assert_allclose(cuda(image), depth, rtol=1e-2)
