"""A computer whose clocks the test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from birdwatchd.clock import ClockReading, StationClock

__all__ = ["Clocks"]


@dataclass
class Clocks:
    """The clocks of one computer, and the station's time as it follows them."""

    wall: datetime = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
    synchronised: bool = False
    steady: float = 1000.0
    clock: StationClock = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The daemon is started again."""
        self.clock = StationClock(self.read, lambda: self.steady)

    def read(self) -> ClockReading:
        """What the system says."""
        return ClockReading(self.wall, self.steady, self.synchronised)

    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds

    def follow(self) -> float:
        """Look, and make the change; by how many seconds the time was changed."""
        change = self.clock.look()
        if change is None:
            return 0.0
        self.clock.accept(change)
        return change.by.total_seconds()
