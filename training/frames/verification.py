# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compares the checksums of frame stores while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from training.frames.store import damaged_files


class StoreDamage(ValueError):
    """A store is not what it was when it was complete; the message names file and frames."""


class BackgroundVerification:
    """Verifies stores in a thread, one after the other, while its block runs.

    Reading and CRC-32 release the GIL; a thread verifies what is in
    memory, else as fast as the disk reads.

    Parameters
    ----------
    stores : sequence of Path
        None verifies nothing.
    """

    def __init__(self, stores: Sequence[Path]) -> None:
        self._stores = list(dict.fromkeys(stores))
        self._stopped = threading.Event()
        self._damage = ""
        self._thread = threading.Thread(target=self._run, name="verification", daemon=True)
        self._thread.start()

    def __enter__(self) -> BackgroundVerification:
        """Return the verification, which has begun."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, finished or not."""
        self._stopped.set()
        self._thread.join()

    def raise_if_damaged(self) -> None:
        """Raise StoreDamage if some was found so far."""
        if self._damage:
            raise StoreDamage(self._damage)

    def finish(self) -> None:
        """Wait for the end; raise StoreDamage if some was found."""
        self._thread.join()
        self.raise_if_damaged()

    def _run(self) -> None:
        """Verify until there is damage or nothing left."""
        for store in self._stores:
            try:
                found = next(damaged_files(store, self._stopped.is_set), "")
            except (OSError, ValueError) as error:
                found = str(error)
            if self._stopped.is_set():
                return
            if found:
                self._damage = found
                return
