"""Tell how well each camera works: a few numbers a minute, over the last hour, from what its process reports.

"Is it working?" is asked from far away; a quiet week must look different from a broken one.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus

__all__ = ["Health"]

HOUR = timedelta(hours=1)
REASONS = ("lane_full", "stopping")  # for which crops are dropped, see flow.Mailbox


@dataclass(slots=True)
class _Seen:
    status: CameraStatus | None = None
    frame_at: datetime | None = None
    was_online: bool = False
    down: bool = False
    reconnects: deque[datetime] = field(default_factory=lambda: deque(maxlen=10_000))
    dropped: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=100))


class Health:
    """Remembers what cameras reported. `note` comes from their readers, `payload` from the publisher."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cameras: dict[str, _Seen] = {}

    def note(self, status: CameraStatus) -> None:
        """Take one report of a camera process."""
        with self._lock:
            seen = self._cameras.setdefault(status.camera, _Seen())
            before, seen.status = seen.status, status
            if before is None or status.frames != before.frames:
                seen.frame_at = status.at if status.frames else seen.frame_at
            if status.state is CameraState.ONLINE:
                if seen.down and seen.was_online:
                    seen.reconnects.append(status.at)
                seen.was_online, seen.down = True, False
            elif status.state is CameraState.OFFLINE:
                seen.down = True

    def payload(self, camera: str, now: datetime) -> bytes:
        """The state `health` of the MQTT contract. Call it about once a minute."""
        dropped = sum(self._metrics.get("crops_dropped_total", camera=camera, reason=reason) for reason in REASONS)
        with self._lock:
            seen = self._cameras.setdefault(camera, _Seen())
            _forget(seen, now)
            seen.dropped.append((now, dropped))
            online = seen.status is not None and seen.status.state is CameraState.ONLINE
            age = None if seen.frame_at is None else max(0.0, (now - seen.frame_at).total_seconds())
            numbers = {
                "fps": round(seen.status.fps, 1) if seen.status is not None and online else 0.0,
                "last_frame_age_s": None if age is None else round(age, 1),
                "reconnects_1h": len(seen.reconnects),
                "dropped_crops_1h": int(dropped - seen.dropped[0][1]),
            }
        return json.dumps(numbers, separators=(",", ":")).encode()


def _forget(seen: _Seen, now: datetime) -> None:
    """Let go of what is more than an hour old."""
    while seen.reconnects and now - seen.reconnects[0] > HOUR:
        seen.reconnects.popleft()
    while len(seen.dropped) > 1 and now - seen.dropped[1][0] >= HOUR:
        seen.dropped.popleft()
