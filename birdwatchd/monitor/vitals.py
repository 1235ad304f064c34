"""Keep what is asked of a running station from outside: is it alive, is it ready, when was each camera last of use.

Written by the threads of the daemon, read by the monitoring server; nothing here waits or reads a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from birdwatchd.records import Blindness, CameraState, CameraStatus, State, Visit

__all__ = ["BEAT_PATIENCE_S", "MOTION_AGE", "Vitals"]

BEAT_PATIENCE_S = 120.0  # as WatchdogSec of the service: after this long the service would be restarted
MOTION_AGE = "motion_age_seconds"  # how a camera's process calls it in its reports


class Vitals:
    """What is known of the running station. Safe to use from several threads.

    Attributes:
        cameras: keys of the enabled cameras.
        model, device: what was loaded; empty until then.
    """

    def __init__(self, cameras: Iterable[str], *, monotonic: Callable[[], float], utc_now: Callable[[], datetime]):
        """
        Args:
            cameras: keys of the enabled cameras.
            monotonic: the clock of ages, seconds.
            utc_now: the clock of visits.
        """
        self.cameras = tuple(cameras)
        self.model = self.device = ""
        self._monotonic, self._utc_now = monotonic, utc_now
        self._lock = threading.Lock()
        self._started_s = monotonic()
        self._beat_s: float | None = None
        self._stopping = False
        self._status: dict[str, CameraStatus] = {}
        self._seen: set[str] = set()
        self._frame_s: dict[str, float] = {}
        self._motion_s: dict[str, float] = {}
        self._visit_s: dict[str, float] = {}
        self._present: dict[str, set[str]] = {key: set() for key in self.cameras}

    def load(self, model: str, device: str) -> None:
        """The model is loaded."""
        self.model, self.device = model, device

    def beat(self) -> None:
        """Every stage is alive; the service manager's watchdog was fed."""
        self._beat_s = self._monotonic()

    def stop(self) -> None:
        """The daemon is stopping: it is not ready any more."""
        self._stopping = True

    def take_status(self, status: CameraStatus) -> None:
        """Take a report of a camera."""
        now_s = self._monotonic()
        with self._lock:
            before = self._status.get(status.camera)
            self._status[status.camera] = status
            if status.state is CameraState.ONLINE:
                self._seen.add(status.camera)
            if status.frames and (before is None or before.frames != status.frames):
                self._frame_s[status.camera] = now_s
            for name, age_s in status.extra:
                if name == MOTION_AGE:
                    self._motion_s[status.camera] = now_s - age_s

    def recall_frame(self, camera: str, at: datetime) -> None:
        """A camera gave pictures before the daemon was started, `at` for the last time."""
        then_s = self._monotonic() - max(0.0, (self._utc_now() - at).total_seconds())
        with self._lock:
            self._frame_s[camera] = max(then_s, self._frame_s.get(camera, then_s))

    def take_visit(self, visit: Visit) -> None:
        """Take a stored revision of a visit; one that was rejected shows no bird."""
        now_s, now = self._monotonic(), self._utc_now()
        with self._lock:
            present = self._present.setdefault(visit.camera, set())
            if visit.verdict.state is State.REJECTED or visit.end is not None:
                present.discard(visit.visit_id)
            else:
                present.add(visit.visit_id)
            if visit.verdict.state is not State.REJECTED:
                seen_at = visit.end or visit.last_seen or visit.start
                seen_s = now_s - max(0.0, (now - seen_at).total_seconds())
                self._visit_s[visit.camera] = max(seen_s, self._visit_s.get(visit.camera, seen_s))

    def uptime_s(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._started_s

    def beat_age_s(self) -> float | None:
        """Seconds since the last beat; None before the first, while the model and the cameras are opened."""
        return None if self._beat_s is None else self._monotonic() - self._beat_s

    def unhealthy(self) -> str:
        """Why the daemon should be restarted; empty while it works, and while it starts."""
        age_s = self.beat_age_s()
        if age_s is not None and age_s > BEAT_PATIENCE_S:
            return f"a stage has given no sign of life for {age_s:.0f} s"
        return ""

    def not_ready(self) -> list[str]:
        """Why the daemon does not watch every camera yet; empty when it does."""
        with self._lock:
            off = {key for key, status in self._status.items() if status.state is CameraState.DISABLED}
            unseen = [key for key in self.cameras if key not in self._seen and key not in off]
        reasons = [] if self.model else ["the model is not loaded yet"]
        reasons += [f"camera {key} has given no picture since the start" for key in unseen]
        return [*reasons, "the daemon is stopping"] if self._stopping else reasons

    def state_of(self, camera: str) -> CameraState:
        """The state of a camera."""
        with self._lock:
            status = self._status.get(camera)
        return status.state if status is not None else CameraState.STARTING

    def detail_of(self, camera: str) -> str:
        """What a camera said last of why it gives no pictures."""
        with self._lock:
            status = self._status.get(camera)
        return status.detail if status is not None else ""

    def blindness_of(self, camera: str) -> Blindness | None:
        """Why birds can hardly be seen at a camera that gives pictures; None while they can."""
        with self._lock:
            status = self._status.get(camera)
        return status.blind if status is not None and status.state is CameraState.ONLINE else None

    def ages_s(self, camera: str) -> dict[str, float]:
        """Seconds since the last `frame`, `motion` and `visit` of a camera; without those that never were."""
        now_s = self._monotonic()
        with self._lock:
            ages = {"frame": self._frame_s.get(camera), "motion": self._motion_s.get(camera)}
            found = {name: max(0.0, now_s - then_s) for name, then_s in ages.items() if then_s is not None}
            if self._present.get(camera):
                found["visit"] = 0.0
            elif camera in self._visit_s:
                found["visit"] = max(0.0, now_s - self._visit_s[camera])
        return found
