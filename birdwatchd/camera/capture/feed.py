"""Read one stream's packets into its ring for ever, in a thread of its own, and know whether any come now.

Each stream of a camera with two has its feed. Nothing is decoded here: whoever wants frames reads the ring.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import Playback
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.errors import SourceError, SourceRefused, SourceUnusable
from birdwatchd.flow import Backoff, Stop
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Feed", "Retry"]

RETRY_FIRST_S, RETRY_LAST_S = 1.0, 60.0
REFUSED_WAIT_S = 300.0  # a wrong password tried every second locks many cameras' accounts
HEALTHY_S = 10.0  # a stream that lasted this long starts the back-off anew
PAUSE_S = 0.4  # between reads in quiet: some packets at once cost less than one at a time, because caches stay warm
FRESH_S = 0.12  # a packet younger than this was the last that had come
SILENT_S = 3.0  # packets further apart than this: the other stream is looked at meanwhile


class Retry:
    """How long to wait before a source is opened again, for ever."""

    def __init__(self) -> None:
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_LAST_S, random.random)

    def wait_s(self, error: SourceError, lasted_s: float | None) -> float:
        """Seconds to wait.

        Args:
            error: why it ended.
            lasted_s: how long frames came; None if none came.
        """
        if lasted_s is not None and lasted_s > HEALTHY_S:
            self._backoff.reset()
        return REFUSED_WAIT_S if isinstance(error, SourceRefused) else self._backoff.next_wait_s()


class Feed:
    """One stream's packets. `run` in a thread of its own; all else from any."""

    def __init__(
        self,
        source: Source,
        settings: CameraSettings,
        ring: Ring,
        stop: Stop,
        clock: Callable[[], datetime],
        *,
        playback: Playback | None = None,
        quiet: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            clock: wall time, UTC.
            quiet: whether packets may wait a little before they are read.
            playback: gives the packets of files when they are due; shared by streams that belong together.
        """
        self.source, self.ring = source, ring
        self._settings, self._stop, self._clock, self._playback = settings, stop, clock, playback
        self._quiet = quiet
        self._silent_s = SILENT_S if settings.poll_s == "auto" else max(SILENT_S, 2 * settings.poll_s)
        self._thread: threading.Thread | None = None
        self._retry = Retry()
        self._first_s: float | None = None  # monotonic, of the first packet since it was opened
        self._newest_s = float("-inf")  # monotonic, of the newest packet
        self.error: SourceError | None = None
        """Why it gave nothing when it was last tried; None once it gives packets again, and before the first try."""
        self.ended = False
        """It is a file that has ended or cannot be read further: nothing more will come."""

    def start(self) -> None:
        """Run in a thread, which ends with the process; once, however often it is asked for."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name=f"feed {self.source.kind}", daemon=True)
            self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether packets come."""
        return self._first_s is not None and time.monotonic() - self._newest_s < self._silent_s

    @property
    def alive_s(self) -> float:
        """For how long packets have come without a break, seconds."""
        first_s = self._first_s
        return time.monotonic() - first_s if first_s is not None and self.alive else 0.0

    @property
    def ended_well(self) -> bool:
        """Whether it is a file that was read to its end."""
        return self.ended and self.error is None

    def run(self) -> None:
        """Read until the stop or the end of a file."""
        while not self._stop.is_set() and not self.ended:
            try:
                self._read()
                return
            except SourceError as error:
                first_s, self._first_s = self._first_s, None
                self.ring.clear()  # what is lost is not shown as if it were now
                self.error = error
                if isinstance(error, SourceUnusable) and not self.source.is_live:
                    self.ended = True
                    return
                lasted_s = self._newest_s - first_s if first_s is not None else None
                self._stop.wait(self._retry.wait_s(error, lasted_s))

    def _read(self) -> None:
        self.ring.clear()  # what comes now does not follow on
        playback = self._playback if not self.source.is_live else None
        with Stream(self.source, self._settings, self._clock, playback=playback, wait=self._stop.wait) as stream:
            for packet in stream.packets():
                if self._stop.is_set():
                    return
                self._take(packet)
                if self._quiet() and (self._clock() - packet.at).total_seconds() < FRESH_S:
                    self._stop.wait(PAUSE_S)
        self.ended = True

    def _take(self, packet: Packet) -> None:
        now_s = time.monotonic()
        if self._first_s is None or now_s - self._newest_s >= self._silent_s:
            self._first_s = now_s
        self._newest_s = now_s
        self.error = None
        self.ring.append(packet)
