"""A child process in place of a camera's: says what a real one said of drawn birds, faster than time passes.

It speaks the real wire to the real supervisor: evidence of visits, and a report for every second. Which visits it began
it notes in a file, in the order of the wire: so what had to arrive is known even of one that was killed. It imports
neither libav nor OpenCV, since nothing is decoded.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.faults.recorded import read_visits
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.records import CameraState, CameraStatus, Evidence, new_visit_id

__all__ = ["ENVIRONMENT", "OVER", "Pace"]

ENVIRONMENT = "BIRDWATCHD_FAULTS_DAY"
OVER = "over"  # a file beside the notes: no visit begins any more
STEP_S = 0.02
DAWN_H, DUSK_H = 5.0, 20.0
RARE_EVERY = 60  # one of so many visits is of the rare species


@dataclass(frozen=True, slots=True)
class Pace:
    """How simulated time passes.

    Attributes:
        began_s: when it began, in seconds since the epoch of the real clock.
        start: the simulated time then.
        factor: simulated seconds in a real one.
        visits: by day and camera.
        common, rare: recordings of visits.
        truth: folder for the notes.
    """

    began_s: float
    start: datetime
    factor: float
    visits: int
    common: Path
    rare: Path
    truth: Path

    def now(self) -> datetime:
        """The simulated time."""
        return self.start + timedelta(seconds=(time.time() - self.began_s) * self.factor)

    def as_text(self) -> str:
        """For the environment of child processes."""
        files = [str(path) for path in (self.common, self.rare, self.truth)]
        return json.dumps([self.began_s, self.start.isoformat(), self.factor, self.visits, *files])

    @classmethod
    def from_environment(cls) -> Pace:
        """As the process that began it says."""
        began_s, start, factor, visits, *files = json.loads(os.environ[ENVIRONMENT])
        return cls(began_s, datetime.fromisoformat(start), factor, visits, *map(Path, files))


class DayCamera:
    """One camera's visits and reports."""

    def __init__(self, camera: str, pace: Pace, pipe: Pipe, chance: random.Random) -> None:
        self._camera, self._pace, self._pipe, self._chance = camera, pace, pipe, chance
        self._recorded = {False: read_visits(pace.common), True: read_visits(pace.rare)}
        self._truth = (pace.truth / f"{camera}.txt").open("a", encoding="utf-8")
        self._due: list[Evidence] = []  # of the visit that goes on
        self._next_visit = self._next_start(pace.now())
        self._next_report = pace.now()
        self._frames = 0

    def run_once(self) -> None:
        """Say what is due."""
        now = self._pace.now()
        while self._next_report <= now:
            self._frames += 8
            at, self._next_report = self._next_report, self._next_report + timedelta(seconds=1)
            self._pipe.send(
                CameraStatus(
                    self._camera,
                    CameraState.ONLINE,
                    at,
                    8.0,
                    self._frames,
                    width=640,
                    height=360,
                    extra=(("ring_seconds", 60.0), ("ring_bytes", 4_000_000), ("motion_age_seconds", 1.0)),
                )
            )
        if not self._due and self._next_visit <= now and not (self._pace.truth / OVER).exists():
            self._due = self._visit(self._next_visit)
        while self._due and self._due[0].last_seen <= now:
            item = self._due.pop(0)
            self._pipe.send(item)
            if item.revision == 1 or item.end is not None:
                self._truth.write(f"{item.visit_id} {'end' if item.end else 'begin'}\n")
                self._truth.flush()
        if not self._due and self._next_visit <= now:
            self._next_visit = self._next_start(now)

    def _visit(self, start: datetime) -> list[Evidence]:
        rare = self._chance.random() < 1 / RARE_EVERY
        recorded: Sequence[Evidence] = self._chance.choice(self._recorded[rare])
        visit_id, shift = new_visit_id(start), start - recorded[0].start
        return [
            replace(
                item,
                visit_id=visit_id,
                camera=self._camera,
                start=item.start + shift,
                end=item.end + shift if item.end else None,
                last_seen=item.last_seen + shift,
                moments=tuple(replace(moment, at=moment.at + shift) for moment in item.moments),
            )
            for item in recorded
        ]

    def _next_start(self, now: datetime) -> datetime:
        """Visits come by chance, between dawn and dusk."""
        mean_s = (DUSK_H - DAWN_H) * 3600 / self._pace.visits
        start = now + timedelta(seconds=self._chance.expovariate(1 / mean_s))
        if DAWN_H <= start.hour + start.minute / 60 < DUSK_H:
            return start
        dawn = start.replace(hour=int(DAWN_H), minute=0, second=0)
        return (dawn if dawn > start else dawn + timedelta(days=1)) + timedelta(seconds=self._chance.uniform(0, mean_s))


def _await_end(over: threading.Event) -> None:
    sys.stdin.buffer.read()
    over.set()


def main() -> None:
    """Run until standard input ends, as a camera's process does."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    pipe = Pipe(os.fdopen(os.dup(1), "wb"))
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    camera = DayCamera(order["camera"], Pace.from_environment(), pipe, random.Random())
    try:
        while not over.wait(STEP_S):
            camera.run_once()
        pipe.send(CameraStatus(order["camera"], CameraState.FINISHED, datetime.now(UTC)))
    except BrokenPipeError:
        pass  # the daemon is gone
    os._exit(0)


if __name__ == "__main__":
    main()
