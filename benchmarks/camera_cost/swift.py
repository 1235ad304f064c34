"""The camera's process as the daemon starts it, in a world where nobody has to wait for the next picture.

A file that plays a camera gives each picture when it is due. Here time passes in waiting alone, and waiting takes none:
everything is dated and paced as at a camera, read as fast as it can be, and nothing is ever late. All else is
`birdwatchd.camera.process.worker` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from birdwatchd.camera.capture.clock import Playback
from birdwatchd.camera.process import worker


class SwiftWorld:
    """Wall time that passes only while somebody waits."""

    def __init__(self, began: datetime) -> None:
        self._began, self._passed_s = began, 0.0

    def now(self) -> datetime:
        """Wall time, UTC."""
        return self._began + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return self._passed_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._passed_s += seconds

    def playback(self, *_: Callable[..., object]) -> Playback:
        """A `Playback` by this world's time, whatever clocks it is given."""
        return Playback(self.now, self.monotonic, self.wait)


def main() -> NoReturn:
    """Run the worker with this world's clocks in place of the real ones."""
    world = SwiftWorld(datetime.now(UTC))
    worker.utc_now = world.now
    worker.Playback = world.playback
    worker.main()


if __name__ == "__main__":
    main()
