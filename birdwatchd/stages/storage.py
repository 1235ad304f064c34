"""The storage stage: watch the room on the disk, say when it ends, and delete what is worth least in small steps.

It needs no database to say that the disk is full: the log and a state over MQTT do. Visits are recorded all the while:
a step is one short transaction, and between two of them the record stage has its turn.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from birdwatchd.disk import DiskRoom
from birdwatchd.disk import Storage as Kept
from birdwatchd.errors import StoreUnavailable
from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.store.retention.last_run import LastRun
from birdwatchd.store.retention.plan import Plan
from birdwatchd.store.retention.reserve import Reserve
from birdwatchd.store.retention.retention import Deleted, Retention

__all__ = ["Storage"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0  # between two looks at the disk
STEP_PAUSE_S = 0.2  # between two steps, for everybody else
CHECK_S = 120.0  # between two comparisons with max_gb and min_free_gb, which look at every day's folder
AGE_CHECK_S = 6 * 3600.0  # between two looks for what is too old, which read what is left of all those years
PUBLISH_S = 600.0  # between two messages that differ only in numbers
_TEXT = {
    Kept.GOOD: "clips and pictures are kept",
    Kept.NO_CLIPS: "no clips are recorded until there is more room",
    Kept.NO_PICTURES: "visits are kept without pictures and clips until there is more room",
    Kept.FULL: "visits have to wait as soon as the database finds no page; free some space",
}


@dataclass(slots=True)
class _Run:
    """Deletions that are going on."""

    plan: Plan
    steps: Iterator[Deleted]
    done: Deleted


class Storage:
    """Watches one home. `run` it in a thread."""

    def __init__(
        self,
        home: Path,
        retention: Retention,
        metrics: Metrics,
        *,
        publish: Callable[[bytes], None] = lambda payload: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            publish: gets the JSON of the topic `storage` when it changes.
            clock: wall time, by which ages are reckoned.
        """
        self._home, self._retention, self._metrics = home, retention, metrics
        self._publish, self._clock, self._reserve = publish, clock, Reserve(home)
        self._retry = StoreRetry(
            on_first=lambda error: log.error("retention waits: %s", error),
            on_each=lambda: metrics.add("store_retries_total"),
            on_again=lambda: log.info("retention goes on again"),
        )
        self._kept: Kept | None = None
        self._run: _Run | None = None
        self._look_s = self._check_s = self._age_check_s = self._publish_s = float("-inf")
        self._unreachable = False  # a limit, as was logged
        self._lost = False  # the home, as was logged
        self.beat_s = time.monotonic()
        self._spent = False  # the reserve, as was logged

    def run(self, stop: Stop) -> None:
        """Run until the stop; deletions that are going on then are taken up by the next start."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            self.beat_s = time.monotonic()
            wait_s = self.run_once(self.beat_s)

    def run_once(self, now_s: float) -> float:
        """Look at the disk if it is time, and do one step of deletion if there is one to do.

        Args:
            now_s: monotonic seconds.

        Returns:
            Seconds until the next call.
        """
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_EVERY_S
            self._look(now_s)
        if self._retention.limits.is_set:
            if self._run is None and now_s >= self._check_s:
                self._check_s = now_s + CHECK_S
                self._retry.attempt(lambda: self._begin(now_s), None)
            if self._run is not None and self._retry.attempt(self._step, True):
                return LOOK_EVERY_S if self._retry.failing else STEP_PAUSE_S
        return LOOK_EVERY_S

    def _look(self, now_s: float) -> None:
        try:
            room = DiskRoom.at(self._home)
        except OSError as error:
            if not self._lost:
                log.error("%s: %s; check that its disk is mounted", self._home, error.strerror)
            self._lost = True
            return
        if self._lost:
            log.info("%s: is there again", self._home)
        self._lost = False
        kept = room.storage
        changed = kept is not self._kept
        if changed and not (self._kept is None and kept is Kept.GOOD):
            level = logging.INFO if kept is Kept.GOOD else logging.ERROR
            log.log(level, "%s: %.2f GB free; %s", self._home, room.free / 1e9, _TEXT[kept])
        self._kept = kept
        if kept is Kept.GOOD:
            self._hold_reserve()
        elif kept is Kept.FULL and self._reserve.release():
            self._spent = True
            log.error("%s: the room that was held for a full disk is used for visits now", self._home)
        if changed or now_s >= self._publish_s:
            self._publish_s = now_s + PUBLISH_S
            numbers = {"state": kept.value, "free_gb": round(room.free / 1e9, 2), "size_gb": round(room.total / 1e9, 2)}
            self._publish(json.dumps(numbers, separators=(",", ":")).encode())

    def _hold_reserve(self) -> None:
        if self._reserve.hold() and self._spent:
            self._spent = False
            log.info("%s: room is held for a full disk again", self._home)

    def _begin(self, now_s: float) -> None:
        """Compare with the limits, and begin to delete where one is exceeded."""
        limits = self._retention.limits
        by_age = limits.keep_days is not None and now_s >= self._age_check_s
        if not by_age:
            limits = limits.model_copy(update={"keep_days": None})
        now = self._clock()
        plan = self._retention.plan(now, limits)
        self._metrics.set("home_bytes", plan.usage.total)
        if by_age:
            self._age_check_s = now_s + AGE_CHECK_S
        if by_age or plan.above_max > 0 or plan.below_free > 0:
            self._run = _Run(plan, self._retention.steps(plan.items(), now), Deleted())
        else:
            self._warn_unreachable(plan)

    def _step(self) -> bool:
        """Delete a little; False when all is done."""
        run = self._run
        assert run is not None
        try:
            deleted = next(run.steps, None)
        except StoreUnavailable:
            self._finish(run)  # what is left is planned anew
            raise
        if deleted is None:
            self._finish(run)
            self._warn_unreachable(run.plan)
            return False
        run.done.add(deleted)
        self._metrics.add("retention_clips_deleted_total", deleted.clips)
        self._metrics.add("retention_pictures_deleted_total", deleted.pictures)
        self._metrics.add("retention_visits_deleted_total", deleted.visits)
        self._metrics.add("retention_bytes_deleted_total", deleted.size)
        return True

    def _finish(self, run: _Run) -> None:
        self._run = None
        if run.done:
            done = run.done
            log.info("retention: deleted %s", done.text)
            LastRun(self._clock(), done.clips, done.pictures, done.visits, done.size).write(self._home)

    def _warn_unreachable(self, plan: Plan) -> None:
        """Say once that a limit cannot be kept by deleting, and once that it is kept again."""
        problem = plan.problem
        if problem and not self._unreachable:
            log.warning("retention: %s", problem)
        if self._unreachable and not problem:
            log.info("retention: the limits are kept again")
        self._unreachable = bool(problem)
