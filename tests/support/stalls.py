"""Measure for how long the machine gave a test no processor, so that its bounds need not be loose where it did."""

from __future__ import annotations

import threading
import time
from types import TracebackType

__all__ = ["Stalls"]

STEP_S = 0.01
JITTER_S = 0.02  # which every system has


class Stalls:
    """While the block runs, `seconds` counts by how much short sleeps of a thread lasted too long."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def _measure(self) -> None:
        while not self._ended.is_set():
            began_s = time.monotonic()
            time.sleep(STEP_S)
            late_s = time.monotonic() - began_s - STEP_S
            self.seconds += late_s if late_s > JITTER_S else 0.0

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
