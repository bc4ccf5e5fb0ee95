# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A slot for each camera between two threads, in which the newest item wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Hands the newest item of each slot over; an older one that was not taken is dropped.

    Slots are served in turns, so that a fast camera cannot keep a slow one waiting for longer than
    one item of every other camera takes.

    Parameters
    ----------
    slots : int
        How many; one for each camera.
    """

    def __init__(self, slots: int = 1) -> None:
        self._condition = threading.Condition()
        self._items: list[Item | None] = [None] * slots
        self._next = 0
        self._closed = False

    def put(self, item: Item, slot: int = 0) -> bool:
        """Leave an item in a slot; return whether an older one was dropped for it."""
        with self._condition:
            dropped = self._items[slot] is not None
            self._items[slot] = item
            self._condition.notify()
            return dropped

    def take(self) -> Item | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._condition:
            while not self._closed:
                item = self._take_next()
                if item is not None:
                    return item
                self._condition.wait()
            return None

    def take_waiting(self) -> list[Item]:
        """Take what waits in all slots, in their turns; empty if nothing does."""
        with self._condition:
            taken: list[Item] = []
            while not self._closed and (item := self._take_next()) is not None:
                taken.append(item)
            return taken

    def _take_next(self) -> Item | None:
        """Take the item whose turn it is, if there is any."""
        count = len(self._items)
        for slot in ((self._next + turn) % count for turn in range(count)):
            item = self._items[slot]
            if item is not None:
                self._items[slot] = None
                self._next = (slot + 1) % count
                return item
        return None

    def has_item(self) -> bool:
        """Whether an item waits to be taken."""
        return any(item is not None for item in self._items)

    def close(self) -> None:
        """Wake the taker up for good; items still inside are dropped."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
