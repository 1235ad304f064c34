"""Say an alert in a few words, for a phone's screen."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from birdwatchd.records import Phase
from birdwatchd.settings.alerts import unseen_days

__all__ = ["Note", "note_of", "reason_in_words"]

_PHASES = {Phase.CORRECTED: "Corrected: ", Phase.RETRACTED: "Retracted: "}
_OCCASIONS = {
    "first_ever": "first ever",
    "first_year": "first of the year",
    "first_season": "first of the season",
    "first_today": "first today",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A message for people; `image` is a JPEG."""

    title: str
    body: str
    image: bytes | None = None


def note_of(payload: bytes, zone: tzinfo, cameras: Mapping[str, str]) -> Note:
    """An alert's JSON in words.

    Args:
        zone: whose clock is shown.
        cameras: display names by key.
    """
    alert: dict[str, Any] = json.loads(payload)
    bird = alert["common_name"] or ("no bird" if alert["state"] == "rejected" else "unknown bird")
    where = cameras.get(alert["camera"]) or alert["camera"]
    title = f"{_PHASES.get(alert['phase'], '')}{bird}, {where}"
    at = datetime.fromisoformat(alert["start"]).astimezone(zone)
    facts = [reason_in_words(reason) for reason in alert["reasons"] if reason != "every"]
    facts.append(f"{at:%H:%M}")
    if alert["state"] != "rejected":
        facts.append(f"{alert['score']:.0%} sure")
    if alert["count_max"] > 1:
        facts.append(f"{alert['count_max']} birds")
    image = alert.get("image_b64")
    return Note(title, ", ".join(facts), base64.b64decode(image) if image else None)


def reason_in_words(reason: str) -> str:
    """An occasion of a rule (`first_ever`) for people; anything else as it is."""
    days = unseen_days(reason)
    return _OCCASIONS.get(reason, reason) if days is None else f"not seen for {days} days"
