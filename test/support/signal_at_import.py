# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a command that gets a signal at a chosen one of its imports.

python test/support/signal_at_import.py SIGINT 120 training.train --data frames --out run
python test/support/signal_at_import.py SIGINT torch training.start:train --data frames --out run

The signal comes when the interpreter looks for the 120th module, or for the module ``torch``. A
module runs as with ``python -m``, a function as the console script. Where the command has ended
before, the last line on stderr is "imports: N".
"""

import importlib
import os
import runpy
import signal
import sys

_SIGNAL, _MOMENT, _TARGET, *_ARGUMENTS = sys.argv[1:]
_count = 0


def _look(event: str, values: "tuple[object, ...]") -> None:
    """Send the signal; called by the interpreter for each of its audit events."""
    global _count
    if event != "import":
        return
    _count += 1
    if _MOMENT in (str(_count), values[0]):
        os.kill(os.getpid(), getattr(signal, _SIGNAL))


if __name__ == "__main__":
    sys.argv = [_TARGET, *_ARGUMENTS]
    sys.path[0] = os.getcwd()
    module, _, function = _TARGET.partition(":")
    sys.addaudithook(_look)
    try:
        if function:
            sys.exit(getattr(importlib.import_module(module), function)())
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        print(f"imports: {_count}", file=sys.stderr, flush=True)
