"""What an alert says on a phone's screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.channels.wording import TEST_MODEL, Notification, describe_reason, notification_of
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.records import Phase, Rank, State, Verdict
from birdwatchd.store import StoredVisit

HOME = ZoneInfo("Asia/Jerusalem")
NO_BIRD = Verdict(State.REJECTED, Rank.BIRD, None, None, 0.9, ())


@pytest.mark.parametrize(
    ("changes", "phase", "reasons", "title", "body"),
    [
        ({}, Phase.PROVISIONAL, ["every"], "House sparrow, Nut feeder", "09:30, 91% sure"),
        ({}, Phase.FINAL, ["rare"], "House sparrow, Nut feeder", "rare, 09:30, 91% sure"),
        ({"count_max": 7}, Phase.FINAL, ["first_year"], "House sparrow, Nut feeder",
         "first of the year, 09:30, 91% sure, 7 birds"),
        ({"verdict": NO_BIRD}, Phase.RETRACTED, ["not a bird; was reported as House sparrow"],
         "Retracted: not a bird, Nut feeder", "not a bird; was reported as House sparrow, 09:30"),
        ({}, Phase.CORRECTED, ["now House sparrow; was reported as Dunnock"], "Corrected: House sparrow, Nut feeder",
         "now House sparrow; was reported as Dunnock, 09:30, 91% sure"),
        ({"verdict": replace(NO_BIRD, state=State.UNKNOWN), "camera": "pond"}, Phase.FINAL, ["every"],
         "unknown bird, pond", "09:30, 90% sure"),
    ],
)  # fmt: skip
def test_which_bird_where_why_and_when(
    world: Any, changes: dict[str, Any], phase: Phase, reasons: list[str], title: str, body: str
) -> None:
    """Two lines, read at a glance: the name first, the station's own clock, and no jargon of rules."""
    payload = alert_payload(StoredVisit(world.visit("v0", **changes), phase, ()), "r", reasons)
    assert notification_of(payload, HOME, {"nut": "Nut feeder", "pond": ""}) == Notification(title, body)


def test_a_test_message_is_no_bird(world: Any) -> None:
    """Somebody else's phone may ring with it: it must not look like a bird that is unknown and 0% sure."""
    payload = alert_payload(
        StoredVisit(world.visit("v0", model=TEST_MODEL), Phase.FINAL, ()), "test", ["this is a test"]
    )
    assert notification_of(payload, HOME, {}) == Notification("birdwatchd test", "this channel works")


def test_occasions_are_words() -> None:
    """`unseen_30d` is for the configuration."""
    assert describe_reason("unseen_30d") == "not seen for 30 days"
    assert describe_reason("first_season") == "first of the season"
    assert describe_reason("not a bird") == "not a bird"
