"""The daily summary is small, comes once a day, and says what a far-away owner wants to know."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from birdwatchd.mqtt.daily_summary import MAX_PACKET_BYTES, DailySummary
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.store import Store

TOPIC = "birdwatch/reserve1/heartbeat"
DAY = datetime(2026, 4, 30, 21, 0, tzinfo=UTC)  # midnight in Jerusalem: the first of May begins


def new_summary(store: Store, due: time = time(7, 0)) -> DailySummary:
    return DailySummary(store, TOPIC, due, cameras=2)


def record(world: Any, name: str, times: int, state: State = State.CONFIRMED) -> None:
    for number in range(times):
        start = DAY + timedelta(minutes=number)
        visit = world.visit("v0", start=start, end=start, verdict=Verdict(state, Rank.SPECIES, name, name, 0.9, ()))
        world.store.writer().record(replace(visit, visit_id=f"{name} {number}"), [], DAY)


def summary(store: Store) -> dict[str, Any]:
    (row,) = store.outbox.pending(0, 9)
    assert (row.message.topic, row.message.retain, row.message.coalesce) == (TOPIC, True, True)
    found: dict[str, Any] = json.loads(row.message.payload)
    return found


def test_it_says_what_was_yesterday(world: Any) -> None:
    """Visits of the local day before, minutes of watching within it, room on the disk, what could not be sent."""
    record(world, "House sparrow", 3)
    record(world, "Great tit", 1)
    record(world, "Hoopoe", 2, State.UNCERTAIN)
    record(world, "leaf", 4, State.REJECTED)
    for minute in range(-60, 30):
        world.store.effort.note("nut", DAY + timedelta(minutes=minute), "online")
    assert new_summary(world.store).enqueue_if_due(DAY + timedelta(hours=31))
    found = summary(world.store)
    assert found["date"] == "2026-05-01"
    assert (found["visits"], found["species"], found["other_species"]) == (6, {"House sparrow": 3, "Great tit": 1}, 0)
    assert (found["effort_min"], found["cameras"]) == (29, 2)
    assert 0 <= found["disk_free_percent"] <= 100
    assert (found["unsent"], found["oldest_unsent_s"]) == (0, None)


def test_it_comes_once_a_day_also_over_restarts(world: Any) -> None:
    """A daemon that is restarted ten times a day must not use up the far-away line's budget."""
    store, enqueued = world.store, []
    daily_summary = new_summary(store)
    for quarter in range(4 * 24 * 3):  # three days
        now = DAY + timedelta(minutes=15 * quarter)
        if quarter % 5 == 0:
            daily_summary = new_summary(store)
        if daily_summary.enqueue_if_due(now):
            enqueued.append(now.astimezone(store.zone).strftime("%d %H:%M"))
    assert enqueued == ["01 07:00", "02 07:00", "03 07:00"]
    assert len(store.outbox.pending(0, 99)) == 1, "only the newest waits"


def test_what_was_missed_is_made_up_for(world: Any) -> None:
    """The generator ran from nine to five: the summary of seven o'clock is enqueued at nine."""
    assert not new_summary(world.store).enqueue_if_due(DAY + timedelta(hours=6, minutes=59))
    assert new_summary(world.store).enqueue_if_due(DAY + timedelta(hours=9))
    assert summary(world.store)["date"] == "2026-04-30"


def test_a_broker_that_lost_it_is_given_the_newest_one(world: Any) -> None:
    """A broker without persistence forgets it; without this it would be missing until the next morning."""
    daily_summary = new_summary(world.store)
    assert daily_summary.newest(DAY + timedelta(hours=6)) is None, "none was published yet"
    assert daily_summary.enqueue_if_due(DAY + timedelta(hours=7))
    (row,) = world.store.outbox.pending(0, 9)
    for hours in (8, 30, 31):  # until the next one is published
        newest = daily_summary.newest(DAY + timedelta(hours=hours))
        assert newest is not None
        assert (newest.topic, newest.retain) == (TOPIC, True)
        assert json.loads(newest.payload)["date"] == json.loads(row.message.payload)["date"] == "2026-04-30"
    assert daily_summary.newest(DAY + timedelta(hours=56)) is None, "it is too old"


@pytest.mark.parametrize(
    ("due", "asked", "says"),
    [
        (time(7), datetime(2026, 3, 27, 21, 30, tzinfo=UTC), "2026-03-26"),  # half past midnight, after 23 hours
        (time(23, 45), datetime(2026, 10, 25, 21, 30, tzinfo=UTC), "2026-10-23"),  # half past eleven, of 25 hours
    ],
)
def test_the_newest_one_is_found_when_the_clocks_change(world: Any, due: time, asked: datetime, says: str) -> None:
    """24 hours before is not yesterday then: the broker was given an older one in place of the newest, or none."""
    daily_summary = new_summary(world.store, due)
    for quarter in range(-4 * 72, 1):
        daily_summary.enqueue_if_due(asked + timedelta(minutes=15 * quarter))
    (row,) = world.store.outbox.pending(0, 9)
    newest = daily_summary.newest(asked)
    assert newest is not None
    assert json.loads(newest.payload)["date"] == json.loads(row.message.payload)["date"] == says


def test_it_fits_into_a_kilobyte(world: Any) -> None:
    """Sixty species with long names: the most frequent are named, the others counted, none forgotten."""
    for number in range(60):
        record(world, f"Very long-winded Madagascan wárbler number {number}", 1 + (number == 7))
    payload = new_summary(world.store).payload(DAY + timedelta(hours=31), date(2026, 5, 2))
    found = json.loads(payload)
    assert 900 < len(payload) + len(TOPIC) + 10 <= MAX_PACKET_BYTES == 1024
    assert next(iter(found["species"])).endswith("number 7")
    assert len(found["species"]) + found["other_species"] == 60
    assert 5 < len(found["species"]) < 20
    assert found["visits"] == 61


def test_the_oldest_message_that_waits_is_named(world: Any) -> None:
    """That a station could not be heard for three days is itself the news."""
    world.record(world.visit("v0"))
    then = world.store.outbox.pending(0, 1)[0].created_at
    found = json.loads(new_summary(world.store).payload(then + timedelta(days=3), then.date()))
    assert found["oldest_unsent_s"] == 3 * 86_400
    assert found["unsent"] == world.store.outbox.depth() > 0
