# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A training step on a GPU waits for nothing, and compiled it computes the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from monodepth2_ros.geometry import pose_matrix
from training import objective as objective_module
from training.learning.augmentation import Draws, draw, jitter_colors, jitter_whole
from training.learning.dataset import Batch, on_device
from training.learning.depth_and_motion import DepthAndMotion, _Float32Conv
from training.learning.learner import Learner, build_learner, prepare
from training.learning.options import TrainOptions
from training.objective import SelfSupervisedObjective

HEIGHT, WIDTH, BATCH = 64, 96, 4


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU, on tensors that only claim to be on one.

    The values of such tensors are unknown, so whatever would look at one fails by itself; here come
    copies from pageable memory, of which the host waits for the end, and the checks of linear
    algebra, which look at a flag.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._overloadpacket._qualified_op_name
        if name in ("aten::_to_copy", "aten::copy_"):
            source = args[1] if name == "aten::copy_" else args[0]
            waits = (source.device.type, result.device.type) in (("cpu", "cuda"), ("cuda", "cpu"))
            assert not waits or source.dim() == 0, f"{name} between {source.device} and a GPU"
        assert name not in ("aten::_linalg_check_errors", "aten::nonzero"), name
        return result


@pytest.fixture
def fake_gpu() -> Iterator[torch.device]:
    """Stand in for a GPU with tensors that have shapes, but no values."""
    with FakeTensorMode():
        yield torch.device("cuda", 0)


def gpu_batch(device: torch.device) -> Batch:
    """Make a batch that has arrived on a device."""
    intrinsics = torch.eye(4, device=device).repeat(BATCH, 1, 1)
    images = torch.zeros(BATCH, 3, HEIGHT, WIDTH, 3, dtype=torch.uint8, device=device)
    return Batch(images, intrinsics, torch.zeros(BATCH, device=device))


def gpu_draws(device: torch.device) -> Draws:
    """Make an augmentation whose numbers have arrived on a device."""
    some = torch.zeros(BATCH, device=device)
    return Draws(some > 0, some > 0, some, some, some, some, (2, 0, 3, 1), some, some)


@pytest.mark.slow
@pytest.mark.parametrize("pose", ["separate", "flow"])
@pytest.mark.parametrize("full_resolution", [True, False])
def test_a_forward_pass_waits_for_nothing(
    fake_gpu: torch.device, pose: Any, full_resolution: bool
) -> None:
    with fake_gpu:
        model = DepthAndMotion(pose="none" if pose == "flow" else pose)
    objective = SelfSupervisedObjective(full_resolution=full_resolution)
    learner = Learner(model, objective, (True, False), channels_last=True, anchor=1.0)
    batch = gpu_batch(fake_gpu)
    if pose == "flow":
        flow = torch.zeros(BATCH, 2, 3, HEIGHT // 8, WIDTH // 8, device=fake_gpu)
        batch = replace(batch, flow=flow.half())
    with NoWaiting():
        views = prepare(batch, gpu_draws(fake_gpu))
        predictions, output = learner.evaluate(views)
    # The backward pass asks for the real device, which the test below does.
    assert output.loss.device == fake_gpu and output.loss.dtype == torch.float32
    assert predictions.disparities[0].shape == (BATCH, 1, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: torch.ones(3).to(x.device),
        lambda x: x.cpu(),
        lambda x: torch.linalg.inv(x),
        lambda x: torch.linalg.solve(x, x),
    ],
)
def test_what_waits_is_noticed(fake_gpu: torch.device, wait: Callable[[Tensor], Any]) -> None:
    x = torch.zeros(4, 4, device=fake_gpu)
    with NoWaiting(), pytest.raises((AssertionError, RuntimeError)):
        wait(x)


@pytest.mark.gpu
def test_a_step_waits_for_nothing_on_a_gpu() -> None:
    device = torch.device("cuda", 0)
    model, learner = build_learner(TrainOptions(pose="separate"), device)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], fused=True)
    batch = gpu_batch(torch.device("cpu"))
    batch = Batch(
        *(part.pin_memory() for part in (batch.images, batch.intrinsics, batch.baselines))
    )
    steps = 0
    for loaded in on_device([batch] * 4, device):
        if steps == 1:  # the first step loads libraries
            torch.cuda.set_sync_debug_mode("error")
        try:
            draws = draw(BATCH, torch.Generator().manual_seed(0))
            optimizer.zero_grad()
            learner.evaluate(prepare(loaded, draws))[1].loss.backward()
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        steps += 1
    assert steps == 4


@pytest.mark.gpu
@pytest.mark.slow
def test_compiled_steps_learn_like_eager_ones() -> None:
    device = torch.device("cuda", 0)
    generator = torch.Generator().manual_seed(0)
    size = (BATCH, 3, HEIGHT, WIDTH, 3)
    batch = gpu_batch(device)
    images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    batch = replace(batch, images=images.to(device))
    batch.intrinsics[:, 0, 0] = batch.intrinsics[:, 1, 1] = 50.0
    losses = []
    for compiled in (False, True):
        options = TrainOptions(pose="separate", precision="fp32", tie_break=0.0)
        options = replace(options, compile=compiled)
        torch.manual_seed(0)
        model, learner = build_learner(options, device)
        if compiled:
            mode = objective_module.compile_mode(device)
            learner = replace(learner, model=torch.compile(model, mode=mode, dynamic=False))
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
        own = []
        for step in range(4):
            draws = draw(BATCH, torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            loss = learner.evaluate(prepare(batch, draws, compiled))[1].loss
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        losses.append(own)
    assert losses[0][0] != losses[0][-1]
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)


def test_whole_batches_are_jittered_like_chosen_samples() -> None:
    """A GPU changes all samples and keeps some; a CPU changes those alone."""
    images = torch.rand(6, 2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    draws = draw(6, torch.Generator().manual_seed(1))
    assert 0 < draws.jitter.sum() < 6
    chosen = jitter_colors(images, draws)
    torch.testing.assert_close(jitter_whole(images, draws), chosen, rtol=0, atol=1e-6)


def evaluated(dtype: torch.dtype, compiled: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Evaluate the objective; return its value, and gradients by disparities and motions."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 2, 3, 8, 10, generator=generator)
    target, *sources = (
        functional.interpolate(image, (24, 32), mode="bicubic").clamp(0, 1).to(dtype)
        for image in coarse
    )
    disparities = [
        torch.rand(2, 1, 24 >> s, 32 >> s, generator=generator).to(dtype).requires_grad_()
        for s in range(2)  # the others are evaluated as these are; each costs seconds of tracing
    ]
    motions = [
        pose_matrix(*(0.02 * torch.randn(2, 2, 1, 3, generator=generator))).to(dtype)
        for _ in range(2)
    ]
    leaves = [*disparities, *(motion.requires_grad_() for motion in motions)]
    intrinsics = torch.tensor([[20.0, 0, 15, 0], [0, 22, 11, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    objective = SelfSupervisedObjective(tie_break=0.0, compiled=compiled)
    loss = objective(
        disparities, target, sources, intrinsics.repeat(2, 1, 1).to(dtype), motions
    ).loss
    return loss.detach(), torch.autograd.grad(loss, leaves)


@pytest.mark.slow
def test_the_compiled_objective_agrees_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """As traced and derived for the compiler; making code of it would need another compiler."""
    # Here, as the import takes as long as that of torch itself, in every process of tests.
    from torch._dynamo.testing import CompileCounterWithBackend

    counts = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(SelfSupervisedObjective._evaluate, backend=counts, fullgraph=True)
    monkeypatch.setattr(objective_module, "_compiled_evaluation", lambda mode: compiled)
    loss, gradients = evaluated(torch.float64, compiled=False)
    # In float64 the plain formulas are those derived by hand, and in float32 nearly so.
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 2e-2)):
        own, own_gradients = evaluated(dtype, compiled=True)
        torch.testing.assert_close(own.double(), loss, rtol=min(tolerance, 1e-5), atol=0)
        for gradient, expected in zip(own_gradients, gradients, strict=True):
            error = (gradient.double() - expected).norm() / expected.norm()
            assert error < tolerance
    assert counts.frame_count == 2  # the compiler got all of it, once for each type


def test_heads_as_sums_are_convolutions() -> None:
    head = _Float32Conv(16, 1, kernel_size=3, padding=1, padding_mode="reflect").double()
    x = torch.randn(2, 16, 6, 7, dtype=torch.float64, requires_grad=True)
    results = [function(x) for function in (head, head._fused)]
    torch.testing.assert_close(*results)
    leaves = [x, *head.parameters()]
    for pair in zip(*(torch.autograd.grad(r.square().sum(), leaves) for r in results), strict=True):
        torch.testing.assert_close(*pair)
