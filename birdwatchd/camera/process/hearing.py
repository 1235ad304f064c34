"""Judge what a camera's process says: too much, or nothing, because it stands still.

How much it may say is bounded: one that was taken over fills no queue, log or database. Evidence beyond the bound
waits, so that none is lost. Reports beyond it are left out: a process says again and again how it is, so the state that
lasts is always heard.

A process that sees pictures says so once a second; one that sees none says so after its own time-outs at the latest.
Its silence is counted only while it could have spoken: neither while this process did not run either (the machine was
suspended, or everything was stopped), nor while the child waited for a core of a busy machine. `/proc` tells of a
process that was stopped by a signal: such a one waits for no camera, so the time-outs do not excuse it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus

__all__ = ["Hearing", "ProcessState", "Stand", "Standing", "WatchGaps", "process_state"]

log = logging.getLogger(__name__)
# How many at once, and how many a second from then on. A flock at a feeder makes some dozens of revisions a second.
EVIDENCE = (1000.0, 100.0)
VISITS = (300.0, 1.0)
REPORTS = (20.0, 5.0)  # that say nothing new; one a second is usual
CHANGES = (12.0, 0.1)  # of state, or of the reason
CALM_S = 60.0  # after so long without too many changes, the next time is said again

NOTICED_S = 5.0  # of silence, beyond what it may wait for its camera: it is said that nothing is seen
STOPPED_S = 10.0  # for so long a process may be stopped by a signal
HANGS_S = 20.0  # of silence beyond its own time-outs: it hangs in a decoder or driver
LEAST_GAP_S = 5.0  # without a picture: a shorter one counts as watched
UNUSUAL = 3.0  # times the usual time between two reports that pictures come; cameras may send one in ten seconds
MOST_STEP_S = 1.0  # between two looks; if more passed, this process did not run either
_STOPPED = {"T": "stopped by a signal", "t": "stopped by a debugger"}
_OTHERWISE = {"D": "it waits for a device or a disk", "R": "it computes"}


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


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What Linux says of a process.

    Attributes:
        letter: its state, as in proc(5): `R` runs, `S` and `D` wait, `T` is stopped; empty where it is not known.
        core_wait_s: for how long, since it began, its main thread wanted to run and had no core; 0 where not known.
    """

    letter: str = ""
    core_wait_s: float = 0.0


def process_state(pid: int) -> ProcessState:
    """The state of a process; unknown when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ProcessState()
    letter = stat.rpartition(")")[2].split()[0]  # the name in brackets may hold anything
    try:
        return ProcessState(letter, int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9)
    except (OSError, IndexError):  # a kernel without CONFIG_SCHED_INFO
        return ProcessState(letter)


class Stand(Enum):
    """What is to be made of a process's silence; each is returned once."""

    GOES_ON = auto()
    NOTICED = auto()
    HANGS = auto()


class Standing:
    """How long one process has stood still. Belongs to one thread.

    Attributes:
        silent_s: seconds of silence in which it could have spoken.
        why: what is known of the reason, without a full stop.
    """

    def __init__(self, open_timeout_s: float, read_timeout_s: float, now_s: float) -> None:
        """
        Args:
            now_s: monotonic seconds, as everywhere here.
        """
        self._open_s, self._read_s = open_timeout_s, read_timeout_s
        self._looked_s = self._heard_s = now_s
        self.silent_s = self._stopped_s = self._core_wait_s = 0.0
        self.why = ""
        self._said = Stand.GOES_ON

    def notice(self) -> str:
        """What stands, and what will be done, in one line."""
        return (
            f"its process stands still ({self.why}), nothing was heard of it for {self.silent_s:.0f} s;"
            f" it is started again in {self._left_s():.0f} s unless it goes on"
        )

    def _left_s(self) -> float:
        """How much longer it may be silent before it hangs, seconds."""
        stopped_s = STOPPED_S - self._stopped_s if self._stopped_s else float("inf")
        return max(0.0, min(stopped_s, self._open_s + self._read_s + HANGS_S - self.silent_s))

    def look(self, now_s: float, heard_s: float, state: ProcessState, *, online: bool) -> Stand:
        """Look at it; to be called several times a second.

        Args:
            heard_s: when it said something last.
            online: what it said was that pictures come, so all it may wait for is the next one.
        """
        step_s = min(now_s - self._looked_s, MOST_STEP_S)
        waited_s = max(0.0, state.core_wait_s - self._core_wait_s)
        self._looked_s, self._core_wait_s = now_s, state.core_wait_s
        if heard_s != self._heard_s:
            self._heard_s, self.silent_s, self._stopped_s, self._said = heard_s, 0.0, 0.0, Stand.GOES_ON
            return Stand.GOES_ON
        self.silent_s += max(0.0, step_s - waited_s)
        stopped = state.letter in _STOPPED
        self._stopped_s = self._stopped_s + step_s if stopped else 0.0
        self.why = _STOPPED.get(state.letter) or _OTHERWISE.get(state.letter, "it waits")
        excused_s = 0.0 if stopped else self._read_s + (0.0 if online else self._open_s)
        since_s = self._stopped_s if stopped else self.silent_s
        if self._left_s() == 0.0 and self._said is not Stand.HANGS:
            self._said = Stand.HANGS
            return Stand.HANGS
        if since_s > excused_s + NOTICED_S and self._said is Stand.GOES_ON:
            self._said = Stand.NOTICED
            return Stand.NOTICED
        return Stand.GOES_ON


class WatchGaps:
    """For how long a camera was not watched between two reports, though the first one said that pictures come."""

    def __init__(self) -> None:
        self._online_s: float | None = None
        self._usual_s = 0.0  # between the last two reports that pictures come

    def unwatched_s(self, state: CameraState, now_s: float) -> float:
        """Seconds before this report in which nothing was seen; 0 where the last report holds until now.

        Args:
            now_s: of a clock that nobody can set and that counts while the machine sleeps.
        """
        online_s, online = self._online_s, state is CameraState.ONLINE
        self._online_s = now_s if online else None
        if online_s is None:
            self._usual_s = 0.0
            return 0.0
        gap_s, usual_s = now_s - online_s, self._usual_s
        self._usual_s = gap_s
        paused = usual_s > 0.0 and gap_s > max(LEAST_GAP_S, UNUSUAL * usual_s)
        return gap_s if paused or not online else 0.0
