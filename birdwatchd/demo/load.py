"""Measure whether this machine kept up: camera frames that were not looked at, and time spent waiting for a core.

birdwatchd promises to see every bird in the frames that it looks at. On a machine that is too slow, or busy with other
work, it leaves frames out and counts them; the demo must not call that a fault of the software.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from birdwatchd.demo.cameras.processes import LeftOut
from birdwatchd.records import CameraState, CameraStatus

__all__ = ["BUSY_SHARE", "RECOVER_S", "CameraReports", "CoreWait", "Frames", "Load"]

BUSY_SHARE = 0.5
"""Waiting for a core for more than this share of the time makes everything come at least twice as late."""

RECOVER_S = 5.0
"""So long after frames that were not looked at a camera's background may still be wrong."""


class CameraReports:
    """The reports of every camera's process, as birdwatchd gets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, list[CameraStatus]] = {}

    def take(self, status: CameraStatus) -> None:
        """Keep one report; called from the threads that read the cameras."""
        with self._lock:
            self._reports.setdefault(status.camera, []).append(status)

    def started(self) -> bool:
        """Whether any camera has reported, which it does once the model is loaded."""
        with self._lock:
            return bool(self._reports)

    def looked_at(self, camera: str) -> int:
        """Frames of this camera that its present process has looked at in time."""
        reports = self.online(camera)
        return reports[-1].frames - reports[-1].late if reports else 0

    def online(self, camera: str) -> tuple[CameraStatus, ...]:
        """The reports of a camera that had a picture, oldest first."""
        with self._lock:
            return tuple(r for r in self._reports.get(camera, ()) if r.state is CameraState.ONLINE)


@dataclass(frozen=True, slots=True)
class Frames:
    """What became of one camera's frames.

    Attributes:
        fps: frames a second that were due.
        since, until: when the schedule of birds began and ended.
        left_out: what the simulated camera could not draw in time.
        reports: what birdwatchd's process of the camera reported while it had a picture, oldest first.
    """

    fps: float
    since: datetime
    until: datetime
    left_out: tuple[LeftOut, ...] = ()
    reports: tuple[CameraStatus, ...] = ()

    @property
    def due(self) -> int:
        """Frames of the whole schedule."""
        return max(0, round((self.until - self.since).total_seconds() * self.fps))

    def not_looked_at(self, since: datetime | None = None, until: datetime | None = None) -> int:
        """Frames between two times that were not drawn in time, or came too late to be looked at.

        Both are reported about once a second: those of the second around either end count, too.

        Args:
            since, until: the whole schedule by default.
        """
        since, until = since or self.since, until or self.until
        never_drawn = sum(gap.frames for gap in self.left_out if gap.since < until and gap.until > since)
        spans = (
            (before, after)
            for before, after in pairwise(self.reports)
            if _seen_until(before) < until and _seen_until(after) > since
        )
        return never_drawn + sum(_late_between(before, after) for before, after in spans)


def _seen_until(report: CameraStatus) -> datetime:
    """When the frame was taken that was the newest one at this report."""
    return report.at - timedelta(seconds=report.lag_s)


def _late_between(before: CameraStatus, after: CameraStatus) -> int:
    """Frames that came too late between two reports; a process that was started again counts from zero."""
    return after.late - before.late if after.frames >= before.frames else after.late


@dataclass(frozen=True, slots=True)
class Load:
    """How this machine kept up with the demo.

    Attributes:
        frames: of each camera.
        waited: share of the time in which birdwatchd had work that it waited for a core; None where that is not known.
        crops_dropped: pictures of birds that were dropped because the classifier was too slow.
    """

    frames: Mapping[str, Frames]
    waited: float | None = None
    crops_dropped: int = 0

    @property
    def is_busy(self) -> bool:
        """Whether other work kept the cores from birdwatchd, so that everything came late."""
        return self.waited is not None and self.waited > BUSY_SHARE

    @property
    def is_slow(self) -> bool:
        """Whether this machine did not keep up in any way."""
        return self.is_busy or self.crops_dropped > 0 or any(f.not_looked_at() for f in self.frames.values())

    def slowed(self, camera: str, since: datetime, until: datetime) -> bool:
        """Whether this machine was too slow to look at a camera between two times, or shortly before."""
        if self.crops_dropped:
            return True
        frames = self.frames.get(camera)
        return frames is not None and frames.not_looked_at(since - timedelta(seconds=RECOVER_S), until) > 0

    def fell_behind(self, camera: str) -> bool:
        """Whether any frame of this camera was not looked at, also before the schedule."""
        frames = self.frames.get(camera)
        return frames is not None and (bool(frames.left_out) or any(report.late for report in frames.reports))


class CoreWait:
    """How long the threads of this process wait for a core, from now on (proc(5): task/*/schedstat)."""

    def __init__(self, tasks: Path = Path("/proc/self/task"), ran_s: Callable[[], float] = time.process_time) -> None:
        """
        Args:
            ran_s: for how long the threads of this process have run.
        """
        self._tasks, self._ran_s = tasks, ran_s
        self._before_s, self._ran_before_s = dict(self._read()), ran_s()

    def share(self) -> float | None:
        """Share of the time in which a thread had work that it waited for a core; None where that is not known.

        Threads that have ended meanwhile do not count.
        """
        after_s = dict(self._read())
        if not after_s:
            return None
        waited_s = sum(seconds - self._before_s.get(task, 0.0) for task, seconds in after_s.items())
        ran_s = self._ran_s() - self._ran_before_s
        return waited_s / (waited_s + ran_s) if waited_s + ran_s > 0 else 0.0

    def _read(self) -> Iterator[tuple[str, float]]:
        """How long each thread has waited while it was ready to run, seconds."""
        for path in self._tasks.glob("*/schedstat"):
            try:
                _, waited_ns, _ = path.read_text().split()
            except OSError:  # a thread that has just ended
                continue
            yield path.parent.name, int(waited_ns) / 1e9
