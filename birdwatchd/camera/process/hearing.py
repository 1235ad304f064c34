"""Bound how much a camera process may say: one that was taken over fills no queue, log or database.

Evidence beyond the bound waits, so that none is lost. Reports beyond it are left out: a process says again and again
how it is, so the state that lasts is always heard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus

__all__ = ["Hearing"]

log = logging.getLogger(__name__)
# How many at once, and how many a second from then on. A flock at a feeder makes some dozens of revisions a second.
EVIDENCE = (1000.0, 100.0)
VISITS = (300.0, 1.0)
REPORTS = (20.0, 5.0)  # that say nothing new; one a second is usual
CHANGES = (12.0, 0.1)  # of state, or of the reason
CALM_S = 60.0  # after so long without too many changes, the next time is said again


class _Allowance:
    """A bucket of tokens: so many at once, and so many a second from then on. Belongs to one thread."""

    def __init__(self, rate: tuple[float, float], monotonic_s: Callable[[], float]) -> None:
        """
        Args:
            rate: how many at once, and how many a second.
            monotonic_s: gives monotonic seconds.
        """
        (self._most, self._per_s), self._monotonic_s = rate, monotonic_s
        self._left, self._at_s = self._most, monotonic_s()

    def wait_s(self) -> float:
        """Take one; returns how long to wait before it may be used, 0 while there are some."""
        self._refill()
        self._left -= 1.0
        return max(0.0, -self._left / self._per_s)

    def allows(self) -> bool:
        """Take one if there is one; False where there is none."""
        self._refill()
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _refill(self) -> None:
        now_s = self._monotonic_s()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s


class Hearing:
    """What is heard of one camera's processes. Belongs to the thread that reads them."""

    def __init__(self, camera: str, metrics: Metrics, monotonic_s: Callable[[], float]) -> None:
        """
        Args:
            monotonic_s: gives monotonic seconds.
        """
        self._camera, self._metrics, self._monotonic_s = camera, metrics, monotonic_s
        self._evidence, self._visits = _Allowance(EVIDENCE, monotonic_s), _Allowance(VISITS, monotonic_s)
        self._reports, self._changes = _Allowance(REPORTS, monotonic_s), _Allowance(CHANGES, monotonic_s)
        self._heard: tuple[CameraState, str] | None = None
        self._dropped_s = float("-inf")

    def evidence_wait_s(self, *, new: bool) -> float:
        """How long to wait before a piece of evidence is passed on; 0 for all that an honest process says.

        Args:
            new: it begins a visit.
        """
        wait_s = max(self._evidence.wait_s(), self._visits.wait_s() if new else 0.0)
        if wait_s > 0:
            self._metrics.add("evidence_wait_seconds_total", wait_s, camera=self._camera)
        return wait_s

    def passes(self, status: CameraStatus) -> bool:
        """Whether a report is passed on; the end of a process always is."""
        if status.state is CameraState.FINISHED:
            return True
        said = status.state, status.detail
        allowance = self._reports if said == self._heard else self._changes
        if allowance.allows():
            self._heard = said
            return True
        self._metrics.add("camera_reports_dropped_total", camera=self._camera)
        if allowance is self._changes:
            now_s = self._monotonic_s()
            if now_s - self._dropped_s > CALM_S:
                log.warning(
                    "camera %s: its state changes all the time; a change is reported once in %.0f s",
                    self._camera,
                    1 / CHANGES[1],
                )
            self._dropped_s = now_s
        return False
