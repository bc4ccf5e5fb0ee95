# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command ``depth_node``: run the node until it is told to end.

Everything heavy is imported inside functions, after the signal handlers are installed: a signal
that arrives while modules are imported must end the process with status 0, too.
"""

from __future__ import annotations

import os
import sys

from monodepth2_ros.node.shutdown import EndSignals, exit_after, exit_after_signal

TYPE_CHECKING = False  # importing typing would delay the signal handlers
if TYPE_CHECKING:
    from typing import NoReturn

    from rclpy.executors import Executor

    from monodepth2_ros.node.depth_node import DepthNode

# Seconds. A worker that has not ended by then does not keep the process from ending.
_SHUTDOWN_PATIENCE = 0.8

# Seconds. Closing takes 0.1 s. Fast DDS 2.14 can deadlock here while it holds the GIL (seen when a
# camera left at the same moment), so the process is ended after this time. Launch files kill
# after 5 s.
_CLOSING_PATIENCE = 3.0

# Seconds. A library that holds the GIL, while a model is loaded for example, keeps the process from
# hearing a signal; then this ends it. Longer than an orderly end takes.
_SIGNAL_PATIENCE = 5


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until ctrl-C, SIGTERM or the end of ROS; ends the process.

    The exit status is 1 if the node could not start or failed, with the reason in the log.
    """
    signals = EndSignals()
    signals.install()
    exit_after_signal(_SIGNAL_PATIENCE, 0)
    # torch's threads wait for each other by spinning unless this is set before torch is imported.
    # Where other programs want the cores too, a frame then takes ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        status = _run(args, signals)
    except KeyboardInterrupt:
        status = 0
    except ModuleNotFoundError as error:
        from monodepth2_ros.extras import explain_missing

        text = explain_missing(error)
        if text is None:
            raise
        print(f"depth_node: {text}", file=sys.stderr)
        status = 1
    except Exception as error:
        from monodepth2_ros.command_guard import report

        status = report("depth_node", error)
    import contextlib

    # Everything of ROS is closed. An ordinary exit would still take torch and OpenVINO apart, which
    # lasts most of a second, or hangs behind an inference that has not ended.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone, or its disk is full
            stream.flush()
    os._exit(status)


def _run(args: list[str] | None, signals: EndSignals) -> int:
    """Run the node and return the exit status."""
    import traceback

    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.lifecycle import TransitionCallbackReturn

    from monodepth2_ros.node.depth_node import DepthNode
    from monodepth2_ros.node.guarded_executor import GuardedExecutor

    signals.interrupt_from_now_on()
    node = executor = None
    status = 1
    try:
        try:
            rclpy.init(args=args)
            node = DepthNode(signals, loads_early=True)
        except Exception as error:
            if signals.heard:
                raise
            _explain(error)
            return status
        executor = GuardedExecutor(node.refuse)
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            success = TransitionCallbackReturn.SUCCESS
            node.while_loading = executor.spin_once
            if node.trigger_configure() != success or node.trigger_activate() != success:
                if signals.heard or not rclpy.ok():
                    status = 0
                    return status
                node.get_logger().fatal("the node could not start; see the error above")
                return status
            node.while_loading = None
        executor.spin()
        status = 0
    except (KeyboardInterrupt, ExternalShutdownException):
        status = 0
    except Exception:
        # A signal shuts ROS down at once, also during a callback that is about to publish or to
        # answer. What this callback raises then follows from the signal; it is not a failure.
        if rclpy.ok() and not signals.heard:
            traceback.print_exc()
            return status
        status = 0
    finally:
        signals.heard = True
        exit_after(_CLOSING_PATIENCE, status)
        _close(node, executor)
    return status


def _explain(error: Exception) -> None:
    """Log why the node could not start: a sentence for what a user can mend, else a traceback."""
    import traceback

    import rclpy

    # Parameters and arguments of ROS that rcl or rclpy refuse; ValueError is the node's own.
    of_the_user = isinstance(error, ValueError) or type(error).__module__.startswith("rclpy")
    text = str(error).strip() if of_the_user else traceback.format_exc()
    if "log directory" in text or "logging directory" in text:  # no home folder, or another's
        text += "; set ROS_LOG_DIR to a folder that this user may write to"
    rclpy.logging.get_logger("depth").fatal(f"the node could not start: {text}")


def _close(node: DepthNode | None, executor: Executor | None) -> None:
    """Close everything of ROS; parts that a signal has closed already are not errors."""
    import contextlib

    import rclpy

    with contextlib.suppress(Exception):
        if node is not None:
            # A worker that has not ended by then is in the middle of a slow frame. rclpy raises
            # InvalidHandle in it when it wants to publish; nothing is freed that is in use.
            node.stop_worker(_SHUTDOWN_PATIENCE)
    with contextlib.suppress(Exception):
        if executor is not None:
            executor.shutdown(timeout_sec=0.1)
    with contextlib.suppress(Exception):
        if node is not None:
            node.destroy_node()
    with contextlib.suppress(Exception):
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
