# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the processor of this machine is and what it is good at."""

from __future__ import annotations

import functools
import os
import platform
import re
from pathlib import Path

_CPU_INFORMATION = Path("/proc/cpuinfo")

# Flags of x86 and features of Arm processors that compute in bfloat16.
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")  # on Linux
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def machine_load() -> float:
    """Return the load average of the last minute for each usable core; 0 where it is not known."""
    try:
        return os.getloadavg()[0] / usable_cores()
    except OSError:
        return 0.0


def is_busy() -> bool:
    """Whether other programs want half of this process's cores or more, by the load average."""
    return machine_load() >= 0.5


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU is known to multiply matrices in bfloat16 faster than in float32.

    x86 processors with AMX do, several times as fast. Those with AVX512_BF16 alone differ: one was
    faster with it, another slower, so it is measured where that is possible. Linux lists AMX only
    where it may be used.
    """
    return "amx_bf16" in _flags()


@functools.cache
def has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 at all, fast or not."""
    return bool(_flags() & set(_BFLOAT16))


@functools.cache
def processor_name() -> str:
    """Return the processor's model, and as much of its flags as changes what is fast."""
    text = _information()
    fields = ("model name", "CPU implementer", "CPU part", "CPU variant", "CPU revision")
    found = [
        match[1].strip()
        for field in fields
        if (match := re.search(rf"^{field}\s*:\s*(.*)$", text, re.MULTILINE))
    ]
    flags = sorted(_flags() & {*_BFLOAT16, "avx2", "avx512f", "avx512_vnni", "amx_tile"})
    return " ".join([platform.machine(), *found, *flags])


def forget() -> None:
    """Look at the processor again the next time; for tests."""
    for function in (has_fast_bfloat16, has_bfloat16, processor_name):
        function.cache_clear()


def _flags() -> set[str]:
    """Return the flags of the first core."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", _information(), re.MULTILINE)
    return set(match[1].split()) if match else set()


def _information() -> str:
    """Return what Linux says of the processor; nothing elsewhere."""
    try:
        return _CPU_INFORMATION.read_text()
    except OSError:
        return ""
