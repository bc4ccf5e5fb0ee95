# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work in threads, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    ahead: int,
    name: str = "",
) -> Iterator[_Result]:
    """Apply a function to items in threads, some items ahead of their use.

    Parameters
    ----------
    function : callable
    items : iterable
    workers, ahead : int
        Threads, and items in flight.
    name : str
        Name of the threads.

    Yields
    ------
    object
        Results in the order of the items. When the caller stops, what has not begun is cancelled.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
