"""Sum up the day before in less than a kilobyte, for stations at the far end of a thin line.

One message a day at a local time of the owner's choice, through the outbox: a station that was out of reach for a
week is heard of with its newest summary, and the age of the oldest message that it could not send.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from birdwatchd import __version__
from birdwatchd.records import CameraState, Message
from birdwatchd.store import Store, day_bounds

__all__ = ["LIMIT", "Heartbeat"]

LIMIT = 1024  # bytes of the whole packet
OVERHEAD = 10  # of these for what MQTT puts around topic and payload
NAME = "heartbeat"


@dataclass(slots=True)
class Heartbeat:
    """Tells once a day, also over restarts; a day on which nothing ran at that time is made up for at the next start.

    Attributes:
        at: local time from which on the day's summary is due.
        cameras: how many cameras are to be watched.
    """

    store: Store
    topic: str
    at: time
    cameras: int
    _told: date | None = None

    def beat(self, now: datetime) -> bool:
        """Put the summary into the outbox if it is due and was not told today; whether it was put there.

        Raises:
            StoreBusy, StoreFull: nothing was told; try again.
        """
        local = now.astimezone(self.store.zone)
        today = local.date()
        if today == self._told or local.time() < self.at:
            return False
        told = not self.store.outbox.has_daily(NAME, today) and self.store.outbox.add_daily(
            NAME, today, Message(self.topic, self.payload(now), retain=True, coalesce=True), now
        )
        self._told = today
        return told

    def payload(self, now: datetime) -> bytes:
        """The summary of the local day before `now`, as many of its species by name as fit, the most frequent first."""
        yesterday = now.astimezone(self.store.zone).date() - timedelta(days=1)
        day = self.store.cameras.day(yesterday)
        disk = shutil.disk_usage(self.store.home)
        oldest = self.store.outbox.oldest_s(now)
        facts = {
            "date": yesterday.isoformat(),
            "visits": day.visits,
            "cameras": self.cameras,
            "effort_min": round(self._effort_s(yesterday) / 60),
            "disk_free_gb": round(disk.free / 1e9, 1),
            "disk_free_percent": round(100 * disk.free / disk.total),
            "unsent": self.store.outbox.depth(),
            "oldest_unsent_s": None if oldest is None else round(oldest),
            "version": __version__,
        }
        room = LIMIT - OVERHEAD - len(self.topic)
        texts = list(_shorter_and_shorter(facts, day.species))
        return next((text for text in texts if len(text) <= room), texts[-1])

    def _effort_s(self, day: date) -> float:
        """Seconds in which cameras gave pictures on a local day, summed over cameras."""
        start, end = day_bounds(day, self.store.zone)
        spans = [span for span in self.store.effort.spans(start) if span.state == CameraState.ONLINE]
        return sum(max(0.0, (min(s.end, end) - max(s.start, start)).total_seconds()) for s in spans)


def _shorter_and_shorter(facts: dict[str, Any], species: tuple[tuple[str, int], ...]) -> Iterator[bytes]:
    for kept in range(len(species), -1, -1):
        named = {"species": dict(species[:kept]), "other_species": len(species) - kept}
        yield json.dumps(facts | named, ensure_ascii=False, separators=(",", ":")).encode()
