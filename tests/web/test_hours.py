"""The table of species by the hours of a day, and the light of that day, also near the poles."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.settings.station import StationSettings
from birdwatchd.store.pages.species import DayVisit
from birdwatchd.testing import temporary_store
from birdwatchd.web.home import Home
from birdwatchd.web.language.catalogue import language
from birdwatchd.web.routes.species import bars_of
from birdwatchd.web.routes.today import grid_of, sun_of
from tests.support.page import browser

ZONE = ZoneInfo("Asia/Jerusalem")
ENGLISH = language("en")
REYKJAVIK = {"latitude": 64.15, "longitude": -21.94, "timezone": "Atlantic/Reykjavik"}
TROMSO = {"latitude": 69.65, "longitude": 18.96, "timezone": "Europe/Oslo"}
ROVANIEMI = {"latitude": 66.5, "longitude": 25.7, "timezone": "Europe/Helsinki"}
JERUSALEM = {"latitude": 31.8, "longitude": 35.2, "timezone": "Asia/Jerusalem"}


def test_the_grid_counts_by_the_stations_hours() -> None:
    """A bird at 22:30 UTC came at half past one in the morning in Israel."""
    visits = [
        DayVisit(datetime(2026, 5, 1, hour, 30, tzinfo=UTC), species, species)
        for hour, species in ((22, "a"), (8, "b"), (9, "b"), (9, "b"), (9, None))
    ]
    grid = grid_of(visits, SimpleNamespace(zone=ZONE), None, ENGLISH)  # type: ignore[arg-type]
    assert (grid.hours[0], grid.hours[-1]) == (1, 19)
    assert [(row.name, row.total) for row in grid.rows] == [("b", 3), ("a", 1), ("Not named yet", 1)]
    assert dict(zip(grid.hours, grid.rows[0].hours, strict=True))[12] == (2, 5)
    assert [bar.height for bar in bars_of([("x", 2), ("y", 1), ("z", 0)])] == [80, 40, 0]


@pytest.mark.parametrize(
    ("place", "day", "light", "rise", "set_"),
    [
        (JERUSALEM, date(2026, 6, 21), (5, 19), 5, 19),
        (REYKJAVIK, date(2026, 6, 21), (2, 23), 2, None),  # until some minutes after midnight
        (REYKJAVIK, date(2026, 12, 21), (11, 15), 11, 15),
        (TROMSO, date(2026, 6, 21), (0, 23), None, None),
        (ROVANIEMI, date(2026, 6, 21), (0, 23), None, None),  # its midnight is at quarter past one
        (ROVANIEMI | {"timezone": "Europe/London"}, date(2026, 6, 3), (0, 22), None, 22),  # rises before midnight
        (TROMSO, date(2026, 12, 21), (11, 11), None, None),
    ],
)
def test_the_hours_of_light_are_those_of_the_day(
    place: dict[str, object], day: date, light: tuple[int, int], rise: int | None, set_: int | None
) -> None:
    """Where the sun sets after midnight, three hours of the night were shown as the day."""
    sun = sun_of(day, StationSettings.model_validate(place))
    assert sun is not None
    assert (sun.light, sun.rise_hour, sun.set_hour) == (light, rise, set_)
    grid = grid_of([], SimpleNamespace(zone=sun.rise.tzinfo), sun, ENGLISH)  # type: ignore[arg-type]
    assert grid.hours == tuple(range(light[0], light[1] + 1))


@pytest.mark.parametrize(
    ("month", "said"), [(6, "the sun does not set"), (12, "the sun does not rise"), (3, "sunrise")]
)
def test_today_says_when_the_sun_does_not_set(monkeypatch: pytest.MonkeyPatch, month: int, said: str) -> None:
    """In the polar night it was said to rise and to set at noon."""
    now = datetime(2026, month, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(Home, "now", staticmethod(lambda: now))
    with temporary_store() as store:
        text = browser(store.home, station=TROMSO).get("/").text
    assert [one for one in ("the sun does not set", "the sun does not rise", "sunrise") if one in text] == [said]
