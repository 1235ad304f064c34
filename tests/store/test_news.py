"""What is a first, what is news, and in which phase a visit is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import Phase, State
from birdwatchd.store.news import FIRSTS, News, decide_firsts, decide_phase, is_news, season_of

ZONE = ZoneInfo("Asia/Jerusalem")
LAST = News("confirmed", "species", "House sparrow", "provisional", 1)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("day", "season"),
    [
        (date(2026, 2, 28), (2025, 0)),
        (date(2026, 3, 1), (2026, 1)),
        (date(2026, 11, 30), (2026, 3)),
        (date(2026, 12, 1), (2026, 0)),
    ],
)
def test_a_winter_is_one_season_across_new_year(day: date, season: tuple[int, int]) -> None:
    """A robin on 2 January is not the first of the winter if one came on 30 December."""
    assert season_of(day) == season


def test_a_day_ends_at_the_stations_midnight() -> None:
    """`first today` at 23:30 UTC is already tomorrow in Jerusalem: people read their own calendar."""
    late = datetime(2026, 5, 1, 20, 50, tzinfo=UTC)
    assert "today" not in decide_firsts(late, [late - timedelta(hours=1)], ZONE)
    assert "today" in decide_firsts(late + timedelta(minutes=20), [late - timedelta(hours=1)], ZONE)


def test_nothing_before_is_every_first() -> None:
    """The first of its kind ever is also the first of the year, the season and the day."""
    assert decide_firsts(datetime(2026, 5, 1, tzinfo=UTC), [], ZONE) == FIRSTS


@given(TIMES, st.lists(TIMES, min_size=1, max_size=8))
def test_the_nearest_neighbours_decide_as_well_as_all_do(start: datetime, others: list[datetime]) -> None:
    """Two index look-ups must give the same answer as reading the whole history."""
    before = [max((o for o in others if o <= start), default=None), min((o for o in others if o > start), default=None)]
    assert decide_firsts(start, [o for o in before if o], ZONE) == decide_firsts(start, others, ZONE)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "uncertain"},
        {"rank": "genus"},
        {"common_name": "Great tit"},
        {"phase": "final"},
        {"count_max": 2},
    ],
)
def test_a_change_that_people_would_notice_is_news(change: dict[str, Any]) -> None:
    """The right name that comes later must not be dropped as a duplicate."""
    assert is_news(replace(LAST, **change), LAST)


def test_the_same_again_is_no_news() -> None:
    """A better score alone would make a phone buzz ten times per bird."""
    assert not is_news(LAST, LAST)


def test_a_leaf_is_never_told() -> None:
    """What is rejected before anyone heard of it is nobody's business."""
    assert is_news(LAST, None)
    assert not is_news(replace(LAST, state="rejected"), None)


def test_phases(sightings: Any) -> None:
    """Provisional, final, and retracted only for those who had been told something else."""
    rejected = sightings.verdict(None, State.REJECTED)
    assert decide_phase(sightings.visit(), None) is Phase.PROVISIONAL
    assert decide_phase(sightings.visit(ended=True), LAST) is Phase.FINAL
    assert decide_phase(sightings.visit(verdict=rejected), None) is Phase.PROVISIONAL
    assert decide_phase(sightings.visit(verdict=rejected), LAST) is Phase.RETRACTED
