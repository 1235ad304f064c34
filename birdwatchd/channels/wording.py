"""Format an alert as a short notification for a phone: a title and a line of text."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from birdwatchd.records import Phase
from birdwatchd.settings.alerts import unseen_days

__all__ = ["TEST_MODEL", "Notification", "describe_reason", "notification_of"]

TEST_MODEL = "test"  # of the test message, in the place of a model id, which has an @ in it

_PHASES = {Phase.CORRECTED: "Corrected: ", Phase.RETRACTED: "Retracted: "}
_OCCASIONS = {
    "first_ever": "first ever",
    "first_year": "first of the year",
    "first_season": "first of the season",
    "first_today": "first today",
}


@dataclass(frozen=True, slots=True)
class Notification:
    """A message for people; `image` is a JPEG."""

    title: str
    body: str
    image: bytes | None = None


def notification_of(payload: bytes, zone: tzinfo, cameras: Mapping[str, str]) -> Notification:
    """Format an alert's JSON.

    Args:
        zone: for the time of day.
        cameras: display names by key.
    """
    alert: dict[str, Any] = json.loads(payload)
    if "text" in alert:  # about the station itself
        over = alert["phase"] == "ended"
        name = cameras.get(alert["camera"]) if alert["camera"] else None
        text = alert["text"].replace(f"camera {alert['camera']} ", f"camera {name} ", 1) if name else alert["text"]
        return Notification(f"{alert['station']}: {'all right again' if over else 'needs you'}", text)
    if alert["model"] == TEST_MODEL:
        return Notification("birdwatchd test", "this channel works")
    bird = alert["common_name"] or ("not a bird" if alert["state"] == "rejected" else "unknown bird")
    where = cameras.get(alert["camera"]) or alert["camera"]
    title = f"{_PHASES.get(alert['phase'], '')}{bird}, {where}"
    start = datetime.fromisoformat(alert["start"]).astimezone(zone)
    facts = [describe_reason(reason) for reason in alert["reasons"] if reason != "every"]
    facts.append(f"{start:%H:%M}")
    if alert["state"] != "rejected":
        facts.append(f"{alert['score']:.0%} sure")
    if alert["count_max"] > 1:
        facts.append(f"{alert['count_max']} birds")
    image = alert.get("image_b64")
    return Notification(title, ", ".join(facts), base64.b64decode(image) if image else None)


def describe_reason(reason: str) -> str:
    """A value of a rule's `when` (`first_ever`) in words; any other text as it is."""
    days = unseen_days(reason)
    return _OCCASIONS.get(reason, reason) if days is None else f"not seen for {days} days"
