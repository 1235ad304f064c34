"""Measure the health of each camera for its `health` topic: frame rate, age of the last frame, drops, blindness.

Whether a camera works is asked from far away, and a week without birds must look different from a broken camera.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus

__all__ = ["CameraHealth"]

HOUR = timedelta(hours=1)
DROP_REASONS = ("lane_full", "stopping")  # see flow.Mailbox


@dataclass(slots=True)
class _Reports:
    """What one camera reported; `dropped` holds the counter at each call of `payload`."""

    status: CameraStatus | None = None
    last_frame_at: datetime | None = None
    was_online: bool = False
    down: bool = False
    measured: bool = False  # the frame rate is known: it is not in the first report of a connection
    reconnects: deque[datetime] = field(default_factory=lambda: deque(maxlen=10_000))
    dropped: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=100))


class CameraHealth:
    """Collects the status reports of all cameras. `report` is called by their readers, `payload` by the publisher."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cameras: dict[str, _Reports] = {}
        self._changed: set[str] = set()

    def report(self, status: CameraStatus) -> None:
        """Take one status report of a camera process."""
        with self._lock:
            reports = self._cameras.setdefault(status.camera, _Reports())
            previous, reports.status = reports.status, status
            online = status.state is CameraState.ONLINE
            measured = online and previous is not None and previous.state is CameraState.ONLINE
            if measured is not reports.measured or (previous and previous.blind is not status.blind):
                self._changed.add(status.camera)
            reports.measured = measured
            if previous is None or status.frames != previous.frames:
                reports.last_frame_at = status.at if status.frames else reports.last_frame_at
            if online:
                if reports.down and reports.was_online:
                    reports.reconnects.append(status.at)
                reports.was_online, reports.down = True, False
            elif status.state is CameraState.OFFLINE:
                reports.down = True

    def take_changed(self) -> set[str]:
        """The cameras whose health is another since the last call: they went, came back, or see otherwise."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def clock_set(self, by: timedelta) -> None:
        """The station's time was put forward by so much: what was noted before keeps its age."""
        with self._lock:
            for reports in self._cameras.values():
                if reports.last_frame_at is not None:
                    reports.last_frame_at += by
                reports.reconnects = deque((at + by for at in reports.reconnects), reports.reconnects.maxlen)
                reports.dropped = deque(((at + by, number) for at, number in reports.dropped), reports.dropped.maxlen)

    def payload(self, camera: str, now: datetime) -> bytes:
        """The JSON of the topic `health`; drops of the last hour are counted if it is called about once a minute."""
        dropped = sum(self._metrics.get("crops_dropped_total", camera=camera, reason=reason) for reason in DROP_REASONS)
        with self._lock:
            reports = self._cameras.setdefault(camera, _Reports())
            _forget_old(reports, now)
            reports.dropped.append((now, dropped))
            online = reports.status is not None and reports.status.state is CameraState.ONLINE
            age_s = None if reports.last_frame_at is None else max(0.0, (now - reports.last_frame_at).total_seconds())
            facts = {
                "fps": _fps(reports),
                "last_frame_age_s": None if age_s is None else round(age_s, 1),
                "reconnects_1h": len(reports.reconnects),
                "dropped_crops_1h": int(dropped - reports.dropped[0][1]),
                "blind": reports.status.blind if reports.status is not None and online else None,
            }
        return json.dumps(facts, separators=(",", ":")).encode()


def _fps(reports: _Reports) -> float | None:
    """Frames per second; none of a camera that is offline, unknown (None) before it is measured."""
    if reports.status is None or reports.status.state is CameraState.STARTING:
        return None
    if reports.status.state is not CameraState.ONLINE:
        return 0.0
    return round(reports.status.fps, 1) if reports.measured else None


def _forget_old(reports: _Reports, now: datetime) -> None:
    """Forget reconnects and counters from more than an hour ago."""
    while reports.reconnects and now - reports.reconnects[0] > HOUR:
        reports.reconnects.popleft()
    while len(reports.dropped) > 1 and now - reports.dropped[1][0] >= HOUR:
        reports.dropped.popleft()
