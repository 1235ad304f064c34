"""Compose the daily summary, less than a kilobyte about the day before, for stations with a narrow or costly uplink.

It is published on the retained topic `heartbeat`, once a day from a local time of the owner's choice on, through the
outbox: after a week without a connection the newest summary arrives, with the age of the oldest unsent message.
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

__all__ = ["MAX_PACKET_BYTES", "DailySummary"]

MAX_PACKET_BYTES = 1024
HEADER_BYTES = 10  # of these, for what MQTT adds to topic and payload
NAME = "heartbeat"  # in the table of what is published once a day


@dataclass(slots=True)
class DailySummary:
    """Enqueues the summary once a day, also over restarts; one that was missed is enqueued at the next start.

    Attributes:
        due: local time of day from which on the summary is due.
        cameras: how many cameras are enabled.
    """

    store: Store
    topic: str
    due: time
    cameras: int
    _enqueued_on: date | None = None

    def enqueue_if_due(self, now: datetime) -> bool:
        """Put the summary into the outbox if it is due and was not published today; whether it was.

        Raises:
            StoreBusy, StoreFull: nothing was enqueued; call again.
        """
        local = now.astimezone(self.store.zone)
        today = local.date()
        if today == self._enqueued_on or local.time() < self.due:
            return False
        enqueued = not self.store.outbox.has_daily(NAME, today) and self.store.outbox.add_daily(
            NAME, today, Message(self.topic, self.payload(now, today), retain=True, coalesce=True), now
        )
        self._enqueued_on = today
        return enqueued

    def newest(self, now: datetime) -> Message | None:
        """The summary that a broker should have now, for one that may have lost it; None before the first one.

        Raises:
            StoreBusy, StoreError: it cannot be read.
        """
        today = now.astimezone(self.store.zone).date()
        for day in (today, today - timedelta(days=1)):  # yesterday's until today's is due
            if self.store.outbox.has_daily(NAME, day):
                return Message(self.topic, self.payload(now, day), retain=True, coalesce=True)
        return None

    def payload(self, now: datetime, published: date) -> bytes:
        """The summary that a local day brings, of the day before: JSON, as many species as fit, most frequent first."""
        yesterday = published - timedelta(days=1)
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
        room = MAX_PACKET_BYTES - HEADER_BYTES - len(self.topic)
        payloads = list(_ever_shorter(facts, day.species))
        return next((payload for payload in payloads if len(payload) <= room), payloads[-1])

    def _effort_s(self, day: date) -> float:
        """Seconds in which cameras were online on a local day, summed over cameras."""
        start, end = day_bounds(day, self.store.zone)
        spans = [span for span in self.store.effort.spans(start) if span.state == CameraState.ONLINE]
        return sum(max(0.0, (min(s.end, end) - max(s.start, start)).total_seconds()) for s in spans)


def _ever_shorter(facts: dict[str, Any], species: tuple[tuple[str, int], ...]) -> Iterator[bytes]:
    """The payload with all species, then with one fewer each time."""
    for kept in range(len(species), -1, -1):
        named = {"species": dict(species[:kept]), "other_species": len(species) - kept}
        yield json.dumps(facts | named, ensure_ascii=False, separators=(",", ":")).encode()
