# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node ``depth``: camera images in, depth images and point clouds out.

One executor thread takes messages and leaves the newest frame of each camera in a mailbox; one
worker thread decodes, predicts and publishes, and leaves the publishing to another thread where
the next frame waits already. See docs/reference/node.md for topics and parameters.

Imported at the top is only what the node's creation needs. NumPy, OpenCV and the messages take
longer than all of that; they come after it, while others discover the node.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.time import Time

from monodepth2_ros.node.finisher import Finisher
from monodepth2_ros.node.log_limit import LogLimit
from monodepth2_ros.node.mailbox import Mailbox
from monodepth2_ros.node.memory import give_memory_back
from monodepth2_ros.node.parameters import (
    BY_NAME,
    camera_parameter,
    check_together,
    declare_camera_parameters,
    declare_parameters,
)
from monodepth2_ros.node.qos import check_overrides, override_names, overriding_options
from monodepth2_ros.node.shutdown import BackgroundCall, EndSignals
from monodepth2_ros.node.together import process_together
from monodepth2_ros.options import BackendError, CheckpointError
from monodepth2_ros.user_paths import user_path

if TYPE_CHECKING:
    from monodepth2_ros.camera_batch import CameraBatch
    from monodepth2_ros.node.camera_stream import CameraStream
    from monodepth2_ros.node.frame_processor import ReceivedFrame
    from monodepth2_ros.predictor import DepthPredictor

# Nanoseconds between looks at who listens and who publishes: while a camera may be needed any
# moment, and while all are subscribed to.
_INPUT_PERIOD_NS = 100_000_000
_SETTLED_PERIOD_NS = 500_000_000

# The end of builtin_interfaces/Time, which counts seconds in 32 bits.
_LATEST_STAMP = 2**31 * 1_000_000_000 - 1

_Transition = Callable[["DepthNode", LifecycleState], TransitionCallbackReturn]


def _logging_errors(transition: _Transition) -> _Transition:
    """Log what a transition raises, because rclpy swallows it.

    After a signal exceptions follow from that and are not logged. rclpy, which hears of signals in
    a thread, may not have shut down yet.
    """

    @functools.wraps(transition)
    def logged(self: DepthNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception:
            if self.context.ok() and not self._signals.heard:
                self.get_logger().error(traceback.format_exc())
            raise

    return logged


class DepthNode(LifecycleNode):
    """The managed node; see docs/reference/node.md.

    Parameters
    ----------
    signals : EndSignals, optional
    loads_early : bool
        Begin to load the model at once, as the node is about to be configured with the parameters
        that it starts with.
    **kwargs
        For rclpy's node.

    Attributes
    ----------
    while_loading : callable or None
        Called with seconds, again and again, while a model is loaded; it may spin an executor for
        as long, so that services answer. Only for transitions that no callback of that executor
        has asked for.
    """

    def __init__(
        self, signals: EndSignals | None = None, loads_early: bool = False, **kwargs: Any
    ) -> None:
        super().__init__("depth", **kwargs)
        self._signals = signals or EndSignals()
        self._loads_early = loads_early
        self.while_loading: Callable[[float], Any] | None = None
        try:
            self._set_up()
        except BaseException:
            self.destroy_node()  # or its shared memory outlives the process
            raise

    def _set_up(self) -> None:
        """Declare parameters, create what a node has in every state."""
        self._state = "unconfigured"
        self._values = declare_parameters(self)
        self._own_values = declare_camera_parameters(self, self._values)
        # Wakes the executor that spins while a model is loaded.
        self._model_is_loaded = self.create_guard_condition(lambda: None)
        # A model that is being loaded, with the parameters for it.
        self._loading: tuple[dict[str, Any], BackgroundCall] | None = None
        if self._loads_early and self._values["autostart"]:
            self._load_early()

        from monodepth2_ros.node.frames import TurnedFrame

        self._predictor: DepthPredictor | None = None
        self._batch: CameraBatch | None = None
        self._turned_frame = TurnedFrame(self)
        self._streams: list[CameraStream] = []
        self._make_streams()
        self._mailbox: Mailbox[tuple[CameraStream, ReceivedFrame]] = Mailbox()
        self._worker: threading.Thread | None = None
        self._limit = LogLimit()
        # Steady clocks: these timers must run while a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        check_overrides(self, [("/diagnostics", "publisher")])
        self._diagnostics = self.create_publisher(
            DiagnosticArray,
            "/diagnostics",
            10,
            qos_overriding_options=overriding_options(self, "/diagnostics", "publisher"),
        )
        self._diagnostics_timer = self.create_timer(
            self._values["diagnostics_period"], self._publish_diagnostics, clock=steady
        )
        self._input_period = _INPUT_PERIOD_NS
        self._input_timer = self.create_timer(
            1e-9 * _INPUT_PERIOD_NS, self._tend_inputs, clock=steady
        )
        # Last: it needs what is above, and rclpy calls it for each QoS override that it declares.
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def _load_early(self) -> None:
        """Load the model while the rest of the node is made.

        The imports come first and in this thread: they need the GIL most of the time, which reading
        and compiling the model do not.
        """
        values = self._values
        try:
            from monodepth2_ros.backends.factory import import_engine
            from monodepth2_ros.predictor import DepthPredictor  # noqa: F401

            import_engine(values["backend"], values["device"], values["precision"])
        except Exception:  # it fails again where it is reported
            if self._signals.heard:  # and this is what the import made of the signal
                raise KeyboardInterrupt from None
        self._loading = (values, self._begin_loading(values))

    def _begin_loading(self, values: dict[str, Any]) -> BackgroundCall:
        """Begin to load the model.

        In a thread: a file on a dead network mount may never be read, and only the main thread
        hears signals.
        """
        return BackgroundCall(lambda: self._load(values), "model_loader")

    def _begun_loading(self, values: dict[str, Any]) -> BackgroundCall:
        """Return the loading of the model, begun now or earlier."""
        loading, self._loading = self._loading, None
        if loading is not None and loading[0] == values:
            return loading[1]
        return self._begin_loading(values)

    def _make_streams(self) -> None:
        """Make a stream for each camera, unless they are there."""
        from monodepth2_ros.node.camera_stream import CameraStream

        names = self._values["cameras"]
        if [stream.name for stream in self._streams] != names:
            self._streams = [
                CameraStream(self, name, self._values_of(name), self._turned_frame, self.refuse)
                for name in names
            ]

    def _values_of(self, camera: str) -> dict[str, Any]:
        """Return the parameters of a camera."""
        return {**self._values, **self._own_values.get(camera, {})}

    # Parameters

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        """Check changes, refuse those that cannot happen now, apply the others."""
        values = dict(self._values)
        own_values = {camera: dict(own) for camera, own in self._own_values.items()}
        for change in changes:
            name, target = change.name, values
            parameter = BY_NAME.get(name)
            if parameter is None:
                found = camera_parameter(name, values["cameras"])
                if found is None:
                    continue  # rclpy's own
                camera, parameter = found
                target = own_values[camera]
            value = parameter.plain(change.value)
            refusal = parameter.check(value)
            frozen = not parameter.live and self._state != "unconfigured"
            if not refusal and frozen and value != target.get(parameter.name):
                refusal = (
                    f"{name} is read when the node configures; call the lifecycle "
                    "transitions deactivate and cleanup first, or restart the node"
                )
            if refusal:
                return SetParametersResult(successful=False, reason=refusal)
            target[parameter.name] = value
        for own in ({}, *own_values.values()):
            refusal = check_together({**values, **own})
            if refusal:
                return SetParametersResult(successful=False, reason=refusal)
        self._values, self._own_values = values, own_values
        period = round(1e9 * values["diagnostics_period"])
        if period != self._diagnostics_timer.timer_period_ns:
            self._diagnostics_timer.timer_period_ns = period
            self._diagnostics_timer.reset()  # else it first waits for the end of the old period
        for stream in self._streams:
            if stream.name in values["cameras"]:
                stream.update(self._values_of(stream.name))
        return SetParametersResult(successful=True)

    # Lifecycle

    @_logging_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create publishers, so that others find them early, and load the model."""
        started = time.monotonic()
        self._state = "configuring"
        values = self._values
        try:
            self._own_values = declare_camera_parameters(self, values)
            self._make_streams()
            self._create_publishers()
        except ValueError as error:
            return self._refuse_to_configure(str(error))
        except (InvalidQosOverridesError, RuntimeError) as error:
            if not self.context.ok() or not override_names(self):
                raise
            return self._refuse_to_configure(f"QoS overrides: {error}")
        try:
            loading = self._begun_loading(values)
            _import_resizer()
            predictor = loading.wait(self.while_loading)
        except (CheckpointError, BackendError) as error:
            return self._refuse_to_configure(str(error))
        self._predictor = predictor
        predictors = []
        for number, stream in enumerate(self._streams):
            crop = _crop(self._values_of(stream.name))
            is_first = number == 0 and crop == _crop(values)
            predictors.append(predictor if is_first else predictor.sharing(crop))
            stream.use(predictors[-1])
        self._batch = _make_batch(predictors, values["batch_cameras"])
        checkpoint, backend = predictor.checkpoint, predictor.backend
        if checkpoint.is_random:
            self.get_logger().warning("THE WEIGHTS ARE RANDOM: depth is meaningless")
        metadata = checkpoint.metadata
        self.get_logger().info(
            f"{checkpoint.source}: ResNet-{metadata.num_layers} at {metadata.width}x"
            f"{metadata.height} on {backend.device} ({backend.name}, {backend.precision}), "
            f"{'metric' if metadata.is_metric else 'up to scale'}; loaded in "
            f"{time.monotonic() - started:.1f} s"
        )
        self._state = "inactive"
        return TransitionCallbackReturn.SUCCESS

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        """Log why configuring failed and go back."""
        self._release()
        self._state = "unconfigured"
        self.get_logger().error(reason)
        return TransitionCallbackReturn.FAILURE

    def _load(self, values: dict[str, Any]) -> DepthPredictor:
        """Load the model, then wake the executor."""
        try:
            return _load(values)
        finally:
            with contextlib.suppress(Exception):  # the end of ROS
                self._model_is_loaded.trigger()

    @_logging_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        mailbox: Mailbox[tuple[CameraStream, ReceivedFrame]] = Mailbox(len(self._streams))
        self._mailbox = mailbox
        self._worker = threading.Thread(
            target=self._work, args=(mailbox,), name="depth_worker", daemon=True
        )
        self._worker.start()
        for slot, stream in enumerate(self._streams):
            stream.open(functools.partial(_hand_over, mailbox, stream, slot))
        self._state = "active"
        return super().on_activate(state)

    @_logging_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the worker finish its frame."""
        self._stop()
        self._state = "inactive"
        return super().on_deactivate(state)

    @_logging_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers."""
        self._release()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    @_logging_errors
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._stop()
        self._release()
        self._state = "finalized"
        return TransitionCallbackReturn.SUCCESS

    @_logging_errors
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unforeseen error in a transition."""
        self._stop()
        self._release()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def stop_worker(self, timeout: float | None = None) -> bool:
        """End the worker; return whether it has ended within `timeout` seconds."""
        self._mailbox.close()
        if self._worker is None:
            return True
        self._worker.join(timeout)
        return not self._worker.is_alive()

    def destroy_node(self) -> None:
        """Destroy the node, and what rclpy forgets when it destroys a lifecycle node.

        The state machine holds on to the node and so to its DDS participant, whose shared memory
        (70 MB with config/fastdds.xml) would outlive the process, until the machine restarts.
        """
        super().destroy_node()
        # rclpy has no public way to the state machine.
        machine = getattr(self, "_state_machine", None)
        if machine is not None:
            machine.destroy_when_not_in_use()

    def _stop(self) -> None:
        """Stop taking frames."""
        for stream in self._streams:
            stream.close()
        self.stop_worker()
        self._worker = None

    def _create_publishers(self) -> None:
        """Create the outputs, and check QoS overrides."""
        topics = [("/diagnostics", "publisher"), ("/tf_static", "publisher")]
        for stream in self._streams:
            stream.take(self._values_of(stream.name))
            topics += stream.topics()
        unused = check_overrides(self, topics)
        for stream in self._streams:
            stream.create_publishers()
        for name in unused:
            self.get_logger().warning(f"parameter '{name}' fits no topic of this node; ignored")

    def _release(self) -> None:
        """Free what configuring made."""
        for stream in self._streams:
            stream.release()
        self._batch = None
        predictor, self._predictor = self._predictor, None
        if predictor is None:
            return
        is_on_gpu = predictor.backend.device.type == "cuda"
        del predictor
        give_memory_back()
        if is_on_gpu:
            import torch

            torch.cuda.empty_cache()  # for other processes

    # Executor thread

    def refuse(self, origin: str, error: Exception) -> None:
        """Log and count a message, request or timer whose callback failed.

        Parameters
        ----------
        origin : str
            Topic or service, or the kind of what ran.
        error : Exception
        """
        reason = f"{type(error).__name__}: {error}"[:500]
        of_camera = (stream for stream in self._streams if origin in stream.input_topics)
        next(of_camera, self._streams[0]).statistics.count_refusal(origin, reason)
        where = traceback.extract_tb(error.__traceback__)
        last = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
        if self._limit.is_due(origin, 1.0):
            # repr: a message may hold line feeds and terminal escapes.
            self.get_logger().error(f"{origin}: refused: {reason!r}{last}")

    def _tend_inputs(self) -> None:
        is_soon = [stream.tend_input() for stream in self._streams]
        period = _INPUT_PERIOD_NS if any(is_soon) else _SETTLED_PERIOD_NS
        if period != self._input_period:
            self._input_timer.timer_period_ns = self._input_period = period

    def _publish_diagnostics(self) -> None:
        """Publish a status for each camera."""
        from monodepth2_ros.node.diagnostics import diagnostic_status

        report = DiagnosticArray()
        now = min(self.get_clock().now().nanoseconds, _LATEST_STAMP)  # a hostile /clock
        report.header.stamp = Time(nanoseconds=now).to_msg()
        name = self.get_fully_qualified_name().lstrip("/")
        period = self._values["diagnostics_period"]
        report.status = [
            diagnostic_status(
                f"{name}: {stream.name or 'depth'}",
                level,
                message,
                stream.image_topic,
                values,
            )
            for stream in self._streams
            for level, message, values in [stream.report(self._state, period, self._predictor)]
        ]
        self._diagnostics.publish(report)

    # Worker thread

    def _work(self, mailbox: Mailbox[tuple[CameraStream, ReceivedFrame]]) -> None:
        """Process frames until the mailbox closes; nothing a frame does ends the node."""
        finisher = Finisher()
        try:
            while (item := mailbox.take()) is not None:
                others = [] if self._batch is None else mailbox.take_waiting()
                if self._batch is not None and others:
                    finisher.wait()
                    process_together(
                        self._batch, self._streams, [item, *others], self._note_failure
                    )
                    if not self.context.ok():
                        return
                    continue
                stream, frame = item
                try:
                    publish = self._process(stream, frame)
                except Exception as error:
                    if not self.context.ok():
                        return  # publishing fails once ROS is shut down
                    finisher.wait()
                    stream.note_failure(frame, error)
                    continue
                if publish is None:
                    continue
                finish = functools.partial(self._finish, stream, frame, publish)
                # Where no frame waits for the worker, it is done sooner without another thread.
                if stream.can_overlap and mailbox.has_item():
                    finisher.give(finish)
                else:
                    finisher.wait()
                    finish()
        finally:
            finisher.close()

    def _process(self, stream: CameraStream, frame: ReceivedFrame) -> Callable[[], None] | None:
        """Turn one frame into messages; what is returned publishes them."""
        return stream.begin(frame)

    def _finish(
        self, stream: CameraStream, frame: ReceivedFrame, publish: Callable[[], None]
    ) -> None:
        """Do what is left of a frame."""
        try:
            publish()
        except Exception as error:
            self._note_failure(stream, frame, error)

    def _note_failure(self, stream: CameraStream, frame: ReceivedFrame, error: Exception) -> None:
        """Count and log what a frame raised; publishing fails once ROS is shut down."""
        if self.context.ok():
            stream.note_failure(frame, error)


def _hand_over(
    mailbox: Mailbox[tuple[CameraStream, ReceivedFrame]],
    stream: CameraStream,
    slot: int,
    frame: ReceivedFrame,
) -> bool:
    """Leave a frame for the worker; return whether an older one was dropped for it."""
    return mailbox.put((stream, frame), slot)


def _crop(values: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Return the crop that parameters ask for, None for the checkpoint's own."""
    left, top, right, bottom = values["crop"]
    return None if left < 0.0 else (left, top, right, bottom)


def _load(values: dict[str, Any]) -> DepthPredictor:
    """Load the model that the parameters ask for."""
    _read_through(values["checkpoint"])
    # Here and not above: torch takes most of the start, and while it is imported others can
    # discover the node already.
    from monodepth2_ros.predictor import DepthPredictor

    return DepthPredictor(
        values["checkpoint"],
        backend=values["backend"],
        device=values["device"],
        precision=values["precision"],
        threads=values["threads"],
        cache_dir=values["cache_dir"] or None,
        crop=_crop(values),
    )


def _make_batch(predictors: list[DepthPredictor], wanted: str) -> CameraBatch | None:
    """Return what predicts for several cameras at once; None where they take turns.

    Parameters
    ----------
    predictors : list of DepthPredictor
        One for each camera.
    wanted : {"auto", "true", "false"}
        "auto": with torch, which takes less time for a batch; OpenVINO computes one image with all
        cores and gains nothing.
    """
    is_wanted = predictors[0].backend.name == "torch" if wanted == "auto" else wanted == "true"
    if not is_wanted or len(predictors) < 2:
        return None
    from monodepth2_ros.camera_batch import CameraBatch

    return CameraBatch(predictors)


def _import_resizer() -> None:
    """Import what the first image needs, while the model is loaded."""
    from monodepth2_ros import compiled_resize

    compiled_resize.is_available()


def _read_through(checkpoint: str) -> None:
    """Read the files of a checkpoint once, so that they are in memory when libraries map them.

    Libraries read while they hold the GIL. If the files never come, from a dead network mount,
    nothing of Python would run any more, not even a signal handler. Python's own reads release it.
    """
    if checkpoint in ("", "default", "random"):
        return
    path = user_path(checkpoint)
    files = sorted(path.glob("*.pth")) if path.is_dir() else [path, path.with_suffix(".bin")]
    for file in files:
        # What cannot be read is reported by those who load it.
        with contextlib.suppress(OSError), file.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass
