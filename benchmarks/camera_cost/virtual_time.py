"""Run the camera's child process in virtual time: time passes only in waiting, and waiting takes none.

A file that plays a camera gives each packet when it is due. In virtual time everything is dated and paced as at a
camera, read as fast as it can be, and nothing is ever late. All else is `birdwatchd.camera.process.worker` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from birdwatchd.camera.capture.clock import Playback
from birdwatchd.camera.process import worker


class VirtualClock:
    """A clock that passes only while somebody waits."""

    def __init__(self, start: datetime) -> None:
        self._start, self._passed_s = start, 0.0

    def now(self) -> datetime:
        """Wall time, UTC."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """Seconds since its start."""
        return self._passed_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._passed_s += seconds

    def playback(self, *_: Callable[..., object]) -> Playback:
        """A `Playback` by this clock, whatever clocks it is given."""
        return Playback(self.now, self.monotonic, self.wait)


def main() -> NoReturn:
    """Run the worker with this clock in place of the real ones."""
    clock = VirtualClock(datetime.now(UTC))
    worker.utc_now = clock.now  # type: ignore[attr-defined]
    worker.Playback = clock.playback  # type: ignore[assignment, attr-defined]
    worker.main()


if __name__ == "__main__":
    main()
