"""Serialise visits to the JSON payloads of MQTT and of alerts. The payload is a contract; a test freezes it.

No message holds the station's position: where a rare bird nests is worth money to the wrong people.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message, Phase, State, rfc3339
from birdwatchd.store import CameraSummary, Day, NewsContext, StoredVisit

__all__ = ["Composer", "alert_payload", "day_json", "event_type", "visit_json", "without_image"]


class Composer:
    """Composes the messages of a visit revision, inside the transaction in which the store writes it."""

    def __init__(self, topics: Topics, *, images: bool = True) -> None:
        """
        Args:
            images: also publish pictures; a retained picture outlives the daemon.
        """
        self._topics, self._images = topics, images

    def __call__(self, context: NewsContext) -> list[Message]:
        """The visit's event, then the states that it changes; an empty `last` or image removes it at the broker."""
        stored = context.stored
        visit = stored.visit
        event = {"event_type": event_type(stored), **visit_json(stored), "was": context.was}
        key = f"{visit.visit_id}:{visit.revision}"
        messages = [Message(self._topics.visit(visit.camera), _encode(event), key=key)]
        if context.last_changed:
            last = self._last(context.last, context.image)
            messages.append(self._state(self._topics.last(visit.camera), last))
            if self._images:
                messages.append(self._state(self._topics.image(visit.camera), context.image or b""))
        return messages + self._today_and_present(visit.camera, context.today, context.present)

    def states(self, summary: CameraSummary) -> list[Message]:
        """All states of a camera that depend on its visits, as of now."""
        last = self._last(summary.last, summary.image)
        messages = [self._state(self._topics.last(summary.camera), last)]
        if self._images:
            messages.append(self._state(self._topics.image(summary.camera), summary.image or b""))
        return messages + self._today_and_present(summary.camera, summary.today, summary.present)

    def time_dependent_states(self, camera: str, today: Day, present: bool) -> list[Message]:
        """The states that also change without a visit: at midnight, or when another program writes to the database."""
        return self._today_and_present(camera, today, present)

    def station_today(self, today: Day, species_total: int) -> Message:
        """The state of all cameras together."""
        return self._state(self._topics.station_today, _encode(day_json(today) | {"species_total": species_total}))

    def _last(self, last: StoredVisit | None, image: bytes | None) -> bytes:
        """The state `last`; empty before the first confirmed visit."""
        return _encode(visit_json(last) | {"image": bool(image) and self._images}) if last else b""

    def _today_and_present(self, camera: str, today: Day | None, present: bool | None) -> list[Message]:
        messages = []
        if today is not None:
            messages.append(self._state(self._topics.today(camera), _encode(day_json(today))))
        if present is not None:
            messages.append(self._state(self._topics.present(camera), b"ON" if present else b"OFF"))
        return messages

    @staticmethod
    def _state(topic: str, payload: bytes) -> Message:
        """A retained state; an empty payload removes it at the broker."""
        return Message(topic, payload, retain=True, coalesce=True)


def event_type(stored: StoredVisit) -> str:
    """`retracted`, else `first_ever`, else `rare`, else the most notable other `first_…`, else `visit`."""
    if stored.phase is Phase.RETRACTED:
        return "retracted"
    verdict = stored.visit.verdict
    if verdict.rare and verdict.state is State.CONFIRMED and "ever" not in stored.firsts:
        return "rare"
    return f"first_{stored.firsts[0]}" if stored.firsts else "visit"


def visit_json(stored: StoredVisit) -> dict[str, Any]:
    """The Visit JSON of the MQTT contract, without `event_type`."""
    visit, verdict = stored.visit, stored.visit.verdict
    return {
        "visit_id": visit.visit_id,
        "revision": visit.revision,
        "state": verdict.state.value,
        "phase": stored.phase.value,
        "rank": verdict.rank.value,
        "common_name": verdict.common_name,
        "scientific_name": verdict.scientific_name,
        "score": round(verdict.score, 4),
        "camera": visit.camera,
        "start": rfc3339(visit.start),
        "end": rfc3339(visit.end) if visit.end else None,
        "moments": visit.moments,
        "count_max": visit.count_max,
        "box": visit.box.rounded() if visit.box else None,
        "model": visit.model,
        "firsts": list(stored.firsts),
    }


def alert_payload(stored: StoredVisit, rule: str, reasons: Sequence[str], image: bytes | None = None) -> bytes:
    """The JSON of an alert: the Visit JSON with the rule that fired and why, and a JPEG as base64 if one is given."""
    alert = {"event_type": event_type(stored), **visit_json(stored), "rule": rule, "reasons": list(reasons)}
    if image:
        alert["image_b64"] = base64.b64encode(image).decode("ascii")
    return _encode(alert)


def without_image(payload: bytes) -> bytes:
    """An alert's JSON with its picture left out."""
    alert: dict[str, Any] = json.loads(payload)
    alert.pop("image_b64", None)
    return _encode(alert)


def day_json(day: Day) -> dict[str, Any]:
    """The state `today` of the MQTT contract."""
    return {"date": day.date.isoformat(), "visits": day.visits, "species": dict(day.species)}


def _encode(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
