"""Which visits an address asks for: a day and an hour of the station, said in words and taken away by a press."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.records import new_visit_id
from birdwatchd.store import day_bounds, hour_bounds
from birdwatchd.testing import example_visit, temporary_store
from birdwatchd.web.routes.list_filter import misread, read_filter
from tests.support.page import Browser, browser

JERUSALEM = ZoneInfo("Asia/Jerusalem")
NOW = datetime.now(UTC)
TODAY = f"{NOW:%Y-%m-%d}"
EARLY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
SPARROW, TIT, LATER = (new_visit_id(EARLY + timedelta(minutes=minutes), 1) for minutes in (0, 59, 60))


@pytest.fixture
def home() -> Iterator[Path]:
    """Three visits of today in UTC: a sparrow and a tit in the first hour, a tit in the second, whatever time it is."""
    with temporary_store() as store:
        for visit_id, name, minutes in (
            (SPARROW, "House sparrow", 0),
            (TIT, "Great tit", 59),
            (LATER, "Great tit", 60),
        ):
            visit = example_visit(visit_id, name, start=EARLY + timedelta(minutes=minutes))
            store.writer().record(visit, [], NOW)
        yield store.home


@pytest.fixture
def owner(home: Path) -> Browser:
    return browser(home, cameras={"nut": {"source": "/", "name": "Nut feeder"}})


def cards(text: str) -> list[str]:
    return re.findall(r'class="card" id="v-(\w+)"', text)


def test_a_day_is_the_stations() -> None:
    """The first of May begins at midnight in Israel, 21:00 UTC the evening before."""
    asked = read_filter({"day": "2026-05-01", "rare": "1"}, JERUSALEM)
    assert (asked.day, asked.hour, asked.wanted.rare) == (date(2026, 5, 1), None, True)
    assert asked.wanted.since == datetime(2026, 4, 30, 21, tzinfo=UTC)
    for odd in ("9999-12-31", "0001-01-01", "2026-13-01", ""):
        assert read_filter({"day": odd}, JERUSALEM).day is None


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Asia/Jerusalem", date(2026, 5, 1)),
        ("Asia/Jerusalem", date(2026, 3, 27)),  # from 02:00 to 03:00
        ("Asia/Jerusalem", date(2026, 10, 25)),  # from 02:00 back to 01:00
        ("Asia/Beirut", date(2026, 3, 29)),  # from 00:00 to 01:00: the day begins late
        ("Asia/Beirut", date(2026, 10, 24)),  # from 00:00 back to 23:00: its last hour comes twice
        ("America/Havana", date(2026, 11, 1)),  # from 01:00 back to 00:00
        ("Australia/Lord_Howe", date(2026, 4, 5)),  # from 02:00 back to 01:30
        ("Australia/Lord_Howe", date(2026, 10, 4)),  # from 02:00 to 02:30
        ("Asia/Kathmandu", date(2026, 5, 1)),
    ],
)
def test_an_hour_holds_what_the_clock_said(zone: str, day: date) -> None:
    """Each minute is in the hour that the station's clock showed, as in the table of hours, and in no other."""
    place = ZoneInfo(zone)
    begin, end = day_bounds(day, place)
    hours = [hour_bounds(day, hour, place) for hour in range(24)]
    minutes = [begin + timedelta(minutes=number) for number in range(int((end - begin).total_seconds()) // 60)]
    assert len(minutes) in (23 * 60, 23.5 * 60, 24 * 60, 24.5 * 60, 25 * 60)
    for at in minutes:
        assert [hour for hour, (since, until) in enumerate(hours) if since <= at < until] == [at.astimezone(place).hour]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (f"?day={TODAY}", [LATER, TIT, SPARROW]),
        (f"?day={TODAY}&hour=0", [TIT, SPARROW]),
        (f"?day={TODAY}&hour=0&species=Parus+major", [TIT]),
        (f"?day={TODAY}&hour=1", [LATER]),
        (f"?day={TODAY}&hour=2", []),
        (f"?day={TODAY}&hour=", [LATER, TIT, SPARROW]),
    ],
)
def test_an_hour_of_a_day_is_an_address(owner: Browser, query: str, shown: list[str]) -> None:
    """Who came at seven can be sent to a friend."""
    assert cards(owner.get(f"/visits{query}").text) == shown


def test_an_hour_needs_a_day(owner: Browser) -> None:
    """Of all years would be a look at every visit: it is refused in words, and not left out in silence."""
    assert misread({"hour": "7"}) == [
        "“Hour” (hour): 7 cannot be read; write an hour from 0 to 23, together with a day"
    ]
    assert misread({"hour": "24", "day": TODAY}) != []
    assert misread({"hour": "7", "day": TODAY}) == []
    assert owner.get("/review/many?hour=7").status == 422
    assert "00:00–01:00, not reviewed" in owner.get(f"/review/many?day={TODAY}&hour=0").text.replace(
        "\u2066", ""
    ).replace("\u2069", "")


def test_the_cells_of_the_table_of_hours_lead_to_their_visits(owner: Browser) -> None:
    """A number that surprises is looked at: this species, this day, this hour."""
    grid = owner.get("/").text.partition('class="grid"')[2].partition("</table>")[0]
    links = [unescape(one) for one in re.findall(r'href="(/visits\?[^"]*hour=[^"]*)"', grid)]
    of_species = [one for one in links if "species=" in one]
    assert [len(cards(owner.get(one).text)) for one in of_species] == [1, 1, 1]
    assert {cards(owner.get(one).text)[0] for one in of_species} == {SPARROW, TIT, LATER}
    of_all = [cards(owner.get(one).text) for one in links if "species=" not in one]
    assert of_all == [[TIT, SPARROW], [LATER]]  # of the headings: all birds of the hour, where there are some
    assert "1 visit" in re.findall(r'<td class="s\d"><a [^>]*aria-label="([^"]*)"', grid)[0]


def test_any_day_has_its_table_of_hours(owner: Browser) -> None:
    """In the morning one asks who came when yesterday: only *Today* had the table, and only today's."""
    text = owner.get(f"/visits?day={TODAY}").text
    grid = text.partition('class="grid"')[2].partition("</table>")[0]
    assert f"/visits?species=Parus%20major&amp;day={TODAY}&amp;hour=1" in grid
    for other in (f"?day={TODAY}&hour=0", f"?day={TODAY}&camera=nut", "?day=2020-01-01", ""):  # not all that came
        assert 'class="grid"' not in owner.get(f"/visits{other}").text


def test_filters_that_are_set_are_said_and_taken_away_by_a_press(owner: Browser) -> None:
    """On a phone the filters are folded away; what is set is in sight, and each can go without unfolding them."""
    text = owner.get(f"/visits?species=Parus+major&day={TODAY}&hour=0&camera=nut&state=confirmed&least=10").text
    assert '<details class="choose" id="choose">' in text
    chips = re.search(r'<ul class="chips".*?</ul>', text, re.DOTALL)
    assert chips is not None
    found = {
        said: unescape(to)
        for to, said in re.findall(r'<a href="([^"]+)" aria-label="Remove the filter ([^"]+)"', chips[0])
    }
    assert list(found)[:3] == ["Great tit", "Nut feeder", "confirmed"]
    assert "species" not in found["Great tit"]
    day, hour = list(found)[3:5]
    assert "hour" in found["Great tit"]
    assert ("day" in found[hour], "hour" in found[hour]) == (True, False)
    assert ("day" in found[day], "hour" in found[day]) == (False, False)  # an hour is one of a day
    assert list(found)[5] == "score from 10 %".replace(" %", "\u00a0%")
    assert 'class="chips"' not in owner.get("/visits").text
