"""The upkeep stage: camera states to log, effort and MQTT, and heartbeats to the service manager's watchdog.

These belong to no visit, so no other stage handles them; this one runs every half second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from birdwatchd.camera.blindness import explain
from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    Blindness,
    CameraState,
    CameraStatus,
)

__all__ = ["Upkeep"]

log = logging.getLogger(__name__)
RING_GAUGES = ("ring_seconds", "ring_bytes")  # how far back a camera's kept video reaches, and its memory
AGAIN = " again"  # how a notice ends that says that a fault is over
LOOKED = timedelta(minutes=2)  # after which a new process of a camera would have said that it is blind
KEPT_CHANGES = 8  # changes of state per camera that wait to be handled; different notices likewise


class Upkeep:
    """Passes on what cameras report of themselves, and feeds the watchdog while every stage is alive."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        on_status: Callable[[CameraStatus], None],
        on_change: Callable[[CameraStatus], None],
        healthy: Callable[[], bool],
        beat_service: Callable[[], None],
    ) -> None:
        """
        Args:
            on_status: called with every report (effort).
            on_change: called when a camera's state changes (MQTT).
            healthy: whether every stage beats.
            beat_service: sends a heartbeat to the service manager.
        """
        self._metrics, self._on_status, self._on_change = metrics, on_status, on_change
        self._healthy, self._beat_service = healthy, beat_service
        self._lock = threading.Lock()
        self._new: dict[str, deque[CameraStatus]] = {}
        self._notices: dict[str, dict[str, bool]] = {}  # of each camera, and whether they are logged
        self._frames: dict[str, tuple[int, int]] = {}  # that came and were late, as each camera's process counted last
        self._retry = StoreRetry(
            on_first=lambda error: log.error("camera effort is not written: %s", error),
            on_each=lambda: metrics.add("store_retries_total"),
            on_again=lambda: log.info("camera effort is written again"),
        )
        self._blind: dict[str, Blindness | None] = {}  # as it was logged last
        self._unclear: dict[str, datetime | None] = {}  # was blind; since when a new process has not found it so
        self._store_busy = False  # in this round
        self.cameras: dict[str, CameraStatus] = {}
        self.beat_s = time.monotonic()

    def take_status(self, status: CameraStatus) -> None:
        """Called by the camera readers; quick. Keeps the newest report of each state, a few changes per camera.

        If `run_once` does not come for long (a locked database), the oldest changes of a camera are dropped; its
        newest state never is.
        """
        with self._lock:
            notices = self._notices.setdefault(status.camera, {})
            if status.notice and len(notices) < KEPT_CHANGES:
                notices.setdefault(status.notice, False)
            mine = self._new.setdefault(status.camera, deque(maxlen=KEPT_CHANGES))
            if mine and mine[-1].state is status.state and not (mine[-1].unwatched_s or status.unwatched_s):
                mine[-1] = status
            else:
                mine.append(status)

    def run(self, stop: Stop) -> None:
        """Run every half second, and once more at the stop (which comes when the cameras have ended)."""
        while not stop.wait(0.5):
            self.beat_s = time.monotonic()
            self.run_once()
        self.run_once()

    def run_once(self) -> None:
        """Handle what cameras reported since the last time."""
        with self._lock:
            reports, self._new = self._new, {}
            notices = [(camera, text) for camera, texts in self._notices.items() for text in texts if not texts[text]]
            for camera, text in notices:
                self._notices[camera][text] = True
        for camera, text in notices:
            over = text.endswith(AGAIN)
            log.log(logging.INFO if over else logging.WARNING, "camera %s: %s", camera, text)
            if over:  # what was said before may happen, and be said, once more
                with self._lock:
                    self._notices[camera].clear()
        self._store_busy = False
        for status in (status for changes in reports.values() for status in changes):
            self._metrics.set("camera_fps", status.fps, camera=status.camera)
            self._count_frames(status)
            self._metrics.set("camera_lag_seconds", status.lag_s, camera=status.camera)
            for name, value in status.extra:
                if name in RING_GAUGES:
                    self._metrics.set(f"camera_{name}", value, camera=status.camera)
            before = self.cameras.get(status.camera)
            self.cameras[status.camera] = status
            self._note_effort(status)
            if before is None or before.state is not status.state:
                self._log_change(before, status)
                self._on_change(status)
            elif before.detail != status.detail:
                self._log_detail(status)
            if status.state is CameraState.STARTING:
                if self._blind.pop(status.camera, None) is not None:  # a new process has not looked yet
                    self._unclear[status.camera] = None
            elif status.state is CameraState.ONLINE:
                self._note_sight(status)
        if self._healthy():
            self._beat_service()

    def _count_frames(self, status: CameraStatus) -> None:
        """Count frames, and those skipped because they were late, also across restarts of a camera's process.

        A process counts from its own start; the counters here must not fall when it is started again.
        """
        frames, late = self._frames.get(status.camera, (0, 0))
        if status.frames < frames or status.late < late:
            frames = late = 0  # another process
        self._frames[status.camera] = status.frames, status.late
        self._metrics.add("frames_total", status.frames - frames, camera=status.camera)
        self._metrics.add("frames_skipped_total", status.late - late, camera=status.camera)

    def _note_sight(self, status: CameraStatus) -> None:
        """Log when a camera that gives pictures can no longer see birds in them, and when it can again."""
        self._metrics.set("camera_blind", float(status.blind is not None), camera=status.camera)
        if status.camera in self._unclear:
            since = self._unclear[status.camera] = self._unclear[status.camera] or status.at
            if status.blind is not None or status.at - since >= LOOKED:
                del self._unclear[status.camera]
                if status.blind is None:
                    log.info("camera %s: birds can be seen again", status.camera)
        if status.blind is self._blind.get(status.camera):
            return
        self._blind[status.camera] = status.blind
        if status.blind is not None:
            log.warning("camera %s: birds can hardly be seen: %s", status.camera, explain(status.blind))
        else:
            log.info("camera %s: birds can be seen again", status.camera)

    def _note_effort(self, status: CameraStatus) -> None:
        """Write effort. A busy or full database costs seconds of it, not the daemon: the next report extends the span.

        It is tried once a round: each try may wait for seconds, and the watchdog must be fed meanwhile.
        """
        if self._store_busy:
            return
        self._retry.attempt(lambda: self._on_status(status), None)
        self._store_busy = self._retry.failing

    def _log_detail(self, status: CameraStatus) -> None:
        """Log what a camera reports without a change of its state."""
        if status.detail:
            level = logging.WARNING if status.state is CameraState.ONLINE else logging.INFO
            log.log(level, "camera %s: %s", status.camera, status.detail)
        else:
            log.info("camera %s: both streams are back", status.camera)

    def _log_change(self, before: CameraStatus | None, status: CameraStatus) -> None:
        if status.state is CameraState.ONLINE:
            log.info("camera %s: online, %d×%d pixels", status.camera, status.width, status.height)
            if status.detail:
                self._log_detail(status)
        elif status.state is CameraState.OFFLINE:
            level = logging.ERROR if status.refused else logging.WARNING
            log.log(level, "camera %s: offline: %s", status.camera, status.detail)
        elif status.state in (CameraState.FINISHED, CameraState.DISABLED) and before is not None:
            log.info("camera %s: stopped%s", status.camera, f" ({status.detail})" if status.detail else "")
