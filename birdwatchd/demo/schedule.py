"""Begin the schedule of birds once birdwatchd is ready for them, and end the demo when it is over.

Loading PyTorch and opening the cameras takes seconds, or minutes on a busy machine. A bird that comes meanwhile could
not be seen by anyone; so none comes before every camera's background is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from birdwatchd.demo.cameras.processes import SimulatedCamera
from birdwatchd.demo.load import CameraReports, CoreWait
from birdwatchd.flow import Stop

__all__ = ["Schedule"]

LEARN_S = 2.0  # of every camera's picture are looked at before birds come; the background takes 1.5 s
REST_S = 60.0  # once one camera is ready, the others have so long to be
NONE_S = 180.0  # so long after the model is loaded the demo is given up if no camera is ready
BEGIN_S = 10.0  # a camera whose schedule has not begun so long after the cue has died
POLL_S = 0.1


class Schedule:
    """When the birds of all simulated cameras come."""

    def __init__(
        self, cameras: Sequence[SimulatedCamera], reports: CameraReports, stop: Stop, seconds: float | None
    ) -> None:
        """
        Args:
            reports: what birdwatchd's camera processes report.
            stop: ends the demo; raised here `seconds` after the birds' beginning, if that is not None.
        """
        self._cameras, self._reports, self._stop, self._seconds = cameras, reports, stop, seconds
        self._made_s = time.monotonic()
        self.core_wait: CoreWait | None = None
        """Begun with the schedule."""

    def run(self, on_begin: Callable[[float], None]) -> None:
        """Wait until the cameras are ready, let the birds come, wait for the end.

        Args:
            on_begin: is called when birds may come, with the seconds since this object was made.
        """
        if not self._await_ready():
            return
        self.core_wait = CoreWait()
        self._begin()
        if self._stop.is_set():
            return
        on_begin(time.monotonic() - self._made_s)
        if self._seconds is not None and not self._stop.wait(self._seconds):
            self._stop.set(f"{self._seconds:.0f} seconds are over")

    def _await_ready(self) -> bool:
        """Wait for the cameras; False if the demo is over before."""
        loaded_s: float | None = None
        first_s: float | None = None
        while not self._stop.wait(POLL_S):
            now_s, ready = time.monotonic(), len(self._ready())
            if loaded_s is None and self._reports.started():
                loaded_s = now_s
            if first_s is None and ready:
                first_s = now_s
            if ready == len(self._cameras) or (first_s is not None and now_s - first_s >= REST_S):
                return True
            if not ready and loaded_s is not None and now_s - loaded_s >= NONE_S:
                self._stop.set(f"no camera was ready within {NONE_S:.0f} seconds")
        return False

    def _ready(self) -> list[SimulatedCamera]:
        """The cameras of which enough was looked at for the background to be known."""
        return [c for c in self._cameras if self._reports.looked_at(c.key) >= LEARN_S * c.fps]

    def _begin(self) -> None:
        """Give the cue to the cameras that are ready, and wait until their schedules have begun."""
        ready = self._ready()
        for camera in ready:
            camera.begin_schedule()
        until_s = time.monotonic() + BEGIN_S
        while any(camera.started is None for camera in ready) and time.monotonic() < until_s:
            if self._stop.wait(POLL_S):
                return
