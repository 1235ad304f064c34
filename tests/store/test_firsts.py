"""Firsts go to whom they belong: across midnight, new year, changed clocks, and when a visit was no bird after all."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import Label, Phase, State
from birdwatchd.store import Review, ReviewVerdict, Store, Writer
from birdwatchd.store.camera_state import day_bounds
from birdwatchd.store.news import decide_firsts, periods_of, season_of
from tests.support.stored import stored_visit

ZONES = [ZoneInfo(name) for name in ("Asia/Jerusalem", "America/Havana", "Asia/Beirut", "Pacific/Apia", "UTC")]
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))
NOBODY = Review(ReviewVerdict.NOT_A_BIRD, "Ann")


@given(MOMENTS, st.sampled_from(ZONES))
def test_every_moment_lies_in_its_day_season_and_year(at: datetime, zone: ZoneInfo) -> None:
    """Also on days of 23 and 25 hours, where midnight does not exist or comes twice, and where a day was left out."""
    day = at.astimezone(zone).date()
    start, end = day_bounds(day, zone)
    assert start <= at < end
    periods = periods_of(at, zone)
    assert periods["ever"] is None
    for name, days in periods.items():
        if days is not None:
            first, over = days
            assert first <= day < over, name
            before = day_bounds(first, zone)[0] - timedelta(seconds=1)
            assert name in decide_firsts(at, [before], zone)
            assert name not in decide_firsts(at, [day_bounds(over, zone)[0] - timedelta(seconds=1)], zone)
    assert season_of(periods["season"][0]) == season_of(day) == season_of(periods["season"][1] - timedelta(days=1))  # type: ignore[index]


def at(text: str, zone: str = "Asia/Jerusalem") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("2026-05-01T23:59:59", "2026-05-02T00:00:00", ("today",)),
        ("2026-05-01T00:00:00", "2026-05-01T23:59:59", ()),
        ("2026-12-31T23:59:59", "2027-01-01T00:00:00", ("year", "today")),
        ("2026-11-30T23:59:59", "2026-12-01T00:00:00", ("season", "today")),
        ("2027-02-28T12:00:00", "2027-03-01T12:00:00", ("season", "today")),
        ("2028-02-28T12:00:00", "2028-02-29T12:00:00", ("today",)),
        ("2026-03-27T01:59:59", "2026-03-27T03:00:01", ()),  # the clocks go forward
        ("2026-10-25T00:30:00", "2026-10-25T23:30:00", ()),  # and back
        ("2026-10-24T23:59:59", "2026-10-25T00:00:01", ("today",)),
    ],
)
def test_boundaries_are_those_of_the_stations_calendar(
    store: Store, sightings: Any, before: str, now: str, expected: tuple[str, ...]
) -> None:
    """People compare with the date on their wall, not with UTC."""
    store.writer().record(sightings.visit("v1", start=at(before)), [], at(before))
    assert store.writer().record(sightings.visit("v2", start=at(now)), [], at(now)).firsts == expected


def seen(store: Store, sightings: Any, visit_id: str, day: date, hour: int = 9, **changes: Any) -> None:
    """A whole visit, told when it is over."""
    start = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    visit = sightings.visit(visit_id, start=start, ended=True, **changes)
    store.writer(sightings.compose).record(visit, [], start)


def firsts(store: Store) -> dict[str, tuple[str, ...]]:
    found = {}
    for visit in store.visits.find():
        stored = stored_visit(store, visit.visit_id)
        assert stored is not None
        found[visit.visit_id] = stored.firsts
    return found


def test_the_next_visit_inherits_what_a_retracted_one_had(store: Store, writer: Writer, sightings: Any) -> None:
    """The first of the year was a leaf: then the sparrow of the day after is it, and those who listen are told so."""
    for number, day in enumerate((date(2025, 12, 30), date(2026, 1, 3), date(2026, 1, 3), date(2026, 1, 9)), start=1):
        seen(store, sightings, f"v{number}", day, 8 + number)
    assert firsts(store) == {
        "v1": ("ever", "year", "season", "today"),
        "v2": ("year", "today"),
        "v3": (),
        "v4": ("today",),
    }
    sightings.contexts.clear()
    writer.review("v2", NOBODY, at("2026-01-10T09:00:00"))
    assert firsts(store) == {
        "v1": ("ever", "year", "season", "today"),
        "v2": (),
        "v3": ("year", "today"),
        "v4": ("today",),
    }
    told = [(t.stored.visit.visit_id, t.stored.phase, t.stored.firsts) for t in sightings.contexts]
    assert told == [("v2", Phase.RETRACTED, ()), ("v3", Phase.CORRECTED, ("year", "today"))]
    rows = [(row.visit_id, row.revision) for row in store.outbox.pending(0, 99)]
    assert rows[-2:] == [("v2", 2), ("v3", 2)]


def test_taking_a_retraction_back_gives_all_back(store: Store, writer: Writer, sightings: Any) -> None:
    """A wrong press of a button must leave no trace in the year list."""
    for number in (1, 2):
        seen(store, sightings, f"v{number}", date(2026, 5, number))
    before = firsts(store)
    writer.review("v1", NOBODY, at("2026-05-03T09:00:00"))
    assert firsts(store) == {"v1": (), "v2": ("ever", "year", "season", "today")}
    writer.undo_review("v1", at("2026-05-03T09:01:00"))
    assert firsts(store) == before
    assert sightings.contexts[-1].stored.firsts == ("today",), "who was told of v2 as a first hears that it is none"


def test_a_visit_without_heirs_leaves_the_first_to_the_next_that_comes(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """Nobody else came this year yet: the next one is the first, as if the retracted one had never been."""
    seen(store, sightings, "v1", date(2026, 5, 1))
    writer.review("v1", NOBODY, at("2026-05-01T20:00:00"))
    seen(store, sightings, "v2", date(2026, 5, 2))
    assert firsts(store)["v2"] == ("ever", "year", "season", "today")


def test_a_corrected_name_takes_its_firsts_from_later_visits(store: Store, writer: Writer, sightings: Any) -> None:
    """A sparrow of Monday that was a tit makes Wednesday's tit the second one, and Tuesday's sparrow the first."""
    tit = sightings.verdict("Great tit")
    seen(store, sightings, "v1", date(2026, 5, 4))
    seen(store, sightings, "v2", date(2026, 5, 5))
    seen(store, sightings, "v3", date(2026, 5, 6), verdict=tit)
    review = Review(ReviewVerdict.SPECIES, "Ann", Label("Great tit", "Parus major"))
    writer.review("v1", review, at("2026-05-07T09:00:00"))
    assert firsts(store) == {
        "v1": ("ever", "year", "season", "today"),
        "v2": ("ever", "year", "season", "today"),
        "v3": ("today",),
    }


def test_of_two_that_came_in_the_same_moment_one_keeps_the_first(store: Store, writer: Writer, sightings: Any) -> None:
    """Recordings are dated by the second, so two birds of two cards do come at once."""
    for visit_id, name in (("v2", "Great tit"), ("v1", "House sparrow")):
        seen(store, sightings, visit_id, date(2026, 5, 4), verdict=sightings.verdict(name))
    review = Review(ReviewVerdict.SPECIES, "Ann", Label("Great tit", "Parus major"))
    writer.review("v1", review, at("2026-05-07T09:00:00"))
    assert firsts(store) == {"v1": (), "v2": ("ever", "year", "season", "today")}


def test_an_open_visit_inherits_without_a_revision_of_its_own(store: Store, writer: Writer, sightings: Any) -> None:
    """Its camera counts its revisions; one that we made up would make the next from the camera look old."""
    start = sightings.start
    writer.record(sightings.visit("v1", start=start), [], start)
    writer.record(sightings.visit("v2", start=start + timedelta(seconds=1), camera="pond"), [], start)
    leaf = sightings.visit("v1", 2, start=start, verdict=sightings.verdict(None, State.REJECTED))
    writer.record(leaf, [], start)
    heir = store.visits.get("v2")
    assert heir is not None
    assert (heir.revision, firsts(store)["v2"][0]) == (1, "ever")
    ended = sightings.visit("v2", 2, start=start + timedelta(seconds=1), camera="pond", ended=True)
    assert writer.record(ended, [], start).firsts[0] == "ever"
    assert sightings.contexts[-1].stored.firsts[0] == "ever"


def test_a_card_that_is_scanned_late_takes_nothing_from_anyone(store: Store, sightings: Any) -> None:
    """Yesterday's alert `first of the year` was right when it was sent; an old card does not make it wrong."""
    seen(store, sightings, "v2", date(2026, 5, 2))
    seen(store, sightings, "v1", date(2026, 5, 1))
    assert firsts(store) == {"v1": ("today",), "v2": ("ever", "year", "season", "today")}


def test_another_species_is_left_alone(store: Store, sightings: Any) -> None:
    """Retracting a sparrow must not make a first of a tit."""
    seen(store, sightings, "v1", date(2026, 5, 1))
    seen(store, sightings, "v2", date(2026, 5, 1), 10, verdict=sightings.verdict("Great tit"))
    seen(store, sightings, "v3", date(2026, 5, 1), 11, verdict=sightings.verdict("Great tit"))
    store.writer().review("v1", NOBODY, at("2026-05-01T20:00:00"))
    assert firsts(store)["v3"] == ()
    unsure = replace(sightings.visit("v4", start=at("2026-05-02T09:00:00")), verdict=sightings.verdict("Great tit"))
    assert store.writer().record(unsure, [], sightings.start).firsts == ("today",)


def truth(store: Store, said: dict[str, list[str | None]]) -> dict[str, tuple[str, ...]]:
    """Which firsts each visit has, by the rule alone: whoever came first in a period has it."""
    visits = sorted((visit for visit in store.visits.find() if visit.visit_id in said), key=lambda visit: visit.start)
    found: dict[str, tuple[str, ...]] = {}
    for number, visit in enumerate(visits):
        name = said[visit.visit_id][-1]
        before = [other.start for other in visits[:number] if said[other.visit_id][-1] == name]
        found[visit.visit_id] = decide_firsts(visit.start, before, store.zone) if name else ()
    return found


@pytest.mark.parametrize("seed", range(4))
def test_whatever_people_say_the_earliest_has_the_first(
    store: Store, writer: Writer, sightings: Any, seed: int
) -> None:
    """Corrections, retractions and changes of mind in any order end with the same list as if all had been known."""
    chance = random.Random(seed)
    names = (f"Tit {seed}", f"Sparrow {seed}")
    said: dict[str, list[str | None]] = {}
    for number, hours in enumerate(sorted(chance.choices(range(0, 5000, 12), k=6))):
        start, name = sightings.start + timedelta(hours=hours, minutes=number), chance.choice(names)
        visit = sightings.visit(f"v{number}", start=start, ended=True, verdict=sightings.verdict(name))
        writer.record(visit, [], start)
        said[visit.visit_id] = [name]
    for _ in range(14):
        one, word = chance.choice(list(said)), chance.choice((*names, None, "undo"))
        if len(said[one]) > 1 and said[one][-1] == word:  # the same again is no second review
            word = "undo"
        if word != "undo":
            review = Review(ReviewVerdict.SPECIES, "Ann", Label(word)) if word else NOBODY
            writer.review(one, review, sightings.start)
            said[one].append(word)
        elif len(said[one]) > 1:
            writer.undo_review(one, sightings.start)
            said[one].pop()
        assert firsts(store) == truth(store, said)
    told = {context.stored.visit.visit_id: context.stored.firsts for context in sightings.contexts}
    assert told == firsts(store), "what was said last of each is so"
