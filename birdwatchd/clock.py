"""Keep the station's time: it goes on evenly while the system's clock is put right, and then follows it in one step.

A station without a battery clock starts in the past, and another one may be days ahead until network time comes. What
the system's clock says is compared with seconds that nobody can set. `StationClock` decides what to make of a
difference; the stage `birdwatchd.stages.timekeeping` carries it out. Nothing here waits.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["BUILT", "ClockChange", "ClockReading", "Dial", "StationClock", "read_clocks", "steady_s"]

BUILT = datetime(2025, 1, 1, tzinfo=UTC)  # this program is younger: a clock that says less is wrong
JUMP_S = 2.0  # a larger difference is a clock that was set; leap seconds and slow corrections stay below it
HOLD_S = (
    900.0  # how long a synchronised time is kept after somebody set the clock to another one, in case it comes back
)
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # made by systemd-timesyncd at the first answer (its manual)
_STA_UNSYNC, _TIME_ERROR = 0x0040, 5  # adjtimex(2)


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2) up to `status`; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clocks of the system say at one moment.

    Attributes:
        wall: its time of day, UTC.
        steady_s: seconds since the system was started; nobody can set them, and they count while it sleeps.
        synchronised: another clock keeps it right, by network, satellite or radio.
    """

    wall: datetime
    steady_s: float
    synchronised: bool


def steady_s() -> float:
    """Seconds that nobody can set, the same in all processes; also those in which the system slept."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def read_clocks() -> ClockReading:
    """Read the system's clocks."""
    return ClockReading(datetime.fromtimestamp(time.time(), UTC), steady_s(), _is_synchronised())


def _is_synchronised() -> bool:
    """Whether the kernel or systemd says that something keeps the clock right; no where neither can be asked."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is not None:
        state = _Timex()
        code = adjtimex(ctypes.byref(state))
        if 0 <= code != _TIME_ERROR and not state.status & _STA_UNSYNC:
            return True
    return _TIMESYNCD.exists()


@dataclass(frozen=True, slots=True)
class Dial:
    """How seconds become times of day, for who keeps time by itself.

    Attributes:
        zero: the time of day at second 0 of `steady_s`.
        stretch: number, in the database, of the stretch of time that is stamped so; None before there is one.
    """

    zero: datetime
    stretch: int | None = None


@dataclass(frozen=True, slots=True)
class ClockChange:
    """What has become of the system's clock: it was set, or is known to be right from now on.

    Attributes:
        by: to be added to the station's time; 0 where only `synchronised` is new.
        was_synchronised: something kept the station's time right so far.
        synchronised: something keeps it right from now on.
    """

    by: timedelta
    was_synchronised: bool
    synchronised: bool


class StationClock:
    """The time of this station. `now` may be called from any thread; all else from one.

    The system's clock is followed where it was set, except that it is known to be wrong: it says less than the newest
    visit that is stored, or than the year in which this program was written, and nothing synchronises it; or it was
    synchronised until somebody set it. Until it is right the station's time goes on from the last time that is known.

    Attributes:
        synchronised: something keeps the time right, or did when it was followed last.
        behind: the system's clock is known to be behind; the time is the earliest that it can be.
    """

    def __init__(self, read: Callable[[], ClockReading] = read_clocks, steady: Callable[[], float] = steady_s) -> None:
        self._read, self._steady, self._lock = read, steady, threading.Lock()
        self.synchronised = self.behind = False
        self._least = BUILT
        self._stretch: int | None = None
        self._sure: datetime | None = None  # as `_zero`, of a time that has certainly come
        self._expected = timedelta()  # by which the system's clock differs, as far as that is known
        self._held_until_s: float | None = None
        self.begin(None)

    def begin(self, newest: datetime | None) -> None:
        """Begin anew with what the system's clock says.

        Args:
            newest: the newest time of which it is known that it has passed; None where there is none.
        """
        reading = self._read()
        self._least = max(BUILT, newest) if newest is not None else BUILT
        self._held_until_s = None
        self.synchronised = reading.synchronised
        self.behind = not reading.synchronised and reading.wall < self._least - timedelta(seconds=JUMP_S)
        now = self._least if self.behind else reading.wall
        with self._lock:
            self._zero = now - timedelta(seconds=reading.steady_s)
            self._sure = None
        self._expected = reading.wall - now

    def now(self) -> datetime:
        """The time, UTC."""
        with self._lock:
            return self._zero + timedelta(seconds=self._steady())

    def dial(self) -> Dial:
        """How seconds become times now."""
        with self._lock:
            return Dial(self._zero, self._stretch)

    def number(self, stretch: int, sure: datetime) -> None:
        """What is stamped from now on belongs to this stretch; `sure` is a time that has certainly come."""
        with self._lock:
            self._stretch = stretch
            self._sure = sure - timedelta(seconds=self._steady())

    def certain(self) -> datetime:
        """The latest time that has certainly come: who deletes what is old goes by it. At most `now`."""
        with self._lock:
            zero = self._zero if self._sure is None or self.synchronised else min(self._zero, self._sure)
            return zero + timedelta(seconds=self._steady())

    def look(self) -> ClockChange | None:
        """Compare with the system's clock; returns what is to be done: `accept` it, or it is said again."""
        reading = self._read()
        drift = reading.wall - self._zero - timedelta(seconds=reading.steady_s)
        if reading.synchronised:
            self._held_until_s = None
            if _differ(drift, timedelta()):
                return ClockChange(drift, self.synchronised, synchronised=True)
            return None if self.synchronised else ClockChange(timedelta(), False, synchronised=True)
        if _differ(drift, self._expected):  # somebody set it
            if not self.synchronised and reading.wall >= self._least:
                return ClockChange(drift, was_synchronised=False, synchronised=False)
            self._expected = drift
            self._held_until_s = reading.steady_s + HOLD_S if self.synchronised else None
        elif self._held_until_s is not None and reading.steady_s > self._held_until_s:
            return ClockChange(drift, was_synchronised=True, synchronised=False)
        return None

    def accept(self, change: ClockChange) -> None:
        """Make a change that `look` said."""
        with self._lock:
            self._zero += change.by
        self.synchronised, self.behind = change.synchronised, False
        self._expected, self._held_until_s = timedelta(), None


def _differ(drift: timedelta, expected: timedelta) -> bool:
    return abs(drift - expected).total_seconds() >= JUMP_S
