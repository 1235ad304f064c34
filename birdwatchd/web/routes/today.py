"""`/`: the day so far: who came when, the newest visits, and how each camera is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response

from birdwatchd.alerts.daytime import sunrise_and_sunset
from birdwatchd.commands.status import CameraReport, examine
from birdwatchd.settings.station import StationSettings
from birdwatchd.store import day_bounds
from birdwatchd.store.pages.cards import Card, CardFilter
from birdwatchd.store.pages.species import DayVisit
from birdwatchd.web.home import Home
from birdwatchd.web.language.catalogue import Language
from birdwatchd.web.render import home_of, render, words_of

__all__ = ["Sun", "grid_of", "router", "sun_of"]

router = APIRouter()
NEWEST = 8
USUAL_HOURS = (6, 19)  # shown where nobody knows when the sun rises
MOST_SHADE = 5
RECENT = timedelta(days=30)  # of a camera's newest bird on the front


@dataclass(frozen=True, slots=True)
class GridRow:
    """A species in the grid of hours. `species` is None for birds without a name.

    Attributes:
        hours: visits and shade (0 … 5) of each hour that is shown.
    """

    name: str
    species: str | None
    total: int
    hours: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Species by hours of one day; `busy` are the hours in which birds came."""

    hours: tuple[int, ...]
    busy: frozenset[int]
    rows: tuple[GridRow, ...]


@dataclass(frozen=True, slots=True)
class Sun:
    """When the sun rises and sets on a day. Either may be beyond midnight; near the poles neither is on some days."""

    day: date
    rise: datetime
    set: datetime

    @property
    def never_rises(self) -> bool:
        """Whether it is polar night."""
        return self.rise == self.set

    @property
    def never_sets(self) -> bool:
        """Whether it is polar day."""
        return self.set - self.rise >= timedelta(days=1)

    @property
    def rise_hour(self) -> int | None:
        """The hour in which it rises; None where that is not on this day."""
        return self._hour(self.rise)

    @property
    def set_hour(self) -> int | None:
        """The hour in which it sets; None where that is not on this day."""
        return self._hour(self.set)

    def _hour(self, at: datetime) -> int | None:
        return at.hour if at.date() == self.day and not self.never_sets and not self.never_rises else None

    @property
    def light(self) -> tuple[int, int]:
        """The first and the last hour of this day with light; of the polar night that around noon."""
        if self.never_sets:
            return 0, 23
        return (self.rise.hour if self.rise.date() == self.day else 0), (
            self.set.hour if self.set.date() == self.day else 23
        )


@dataclass(frozen=True, slots=True)
class CameraTile:
    """A camera on the front: how it is, and its newest bird."""

    report: CameraReport
    newest: Card | None


@router.get("/")
def today(request: Request) -> Response:
    """The front."""
    home = home_of(request)
    now = home.now()
    day = now.astimezone(home.zone).date()
    start, end = day_bounds(day, home.zone)
    visits = home.store.species.between(start, end)
    sun = sun_of(day, home.config.station)
    return render(
        request,
        "today.html",
        grid=grid_of(visits, home, sun, words_of(request).language),
        sun=sun,
        visits=len(visits),
        named=len({visit.species for visit in visits if visit.species}),
        newest=home.store.cards.page(CardFilter(), NEWEST).cards,
        cameras=_cameras(home, now),
    )


def sun_of(day: date, station: StationSettings) -> Sun | None:
    """Sunrise and sunset by the station's clock, where the station says its place."""
    if station.latitude is None or station.longitude is None:
        return None
    rise, set_ = sunrise_and_sunset(day, station.latitude, station.longitude, station.zone)
    return Sun(day, rise.astimezone(station.zone), set_.astimezone(station.zone))


def grid_of(visits: Sequence[DayVisit], home: Home, sun: Sun | None, language: Language) -> Grid:
    """Species by hours, the most frequent first, birds without a name last; hours from before the first to after the
    last visit, and the light of the day.
    """
    hours = [visit.start.astimezone(home.zone).hour for visit in visits]
    light = USUAL_HOURS if sun is None else sun.light
    shown = range(min([*hours, light[0]]), max([*hours, light[1]]) + 1)
    counts: dict[str | None, Counter[int]] = {}
    names: dict[str | None, str] = {None: language.gettext("Not named yet")}
    for visit, hour in zip(visits, hours, strict=True):
        counts.setdefault(visit.species, Counter())[hour] += 1
        if visit.species is not None:
            names[visit.species] = visit.name or visit.species
    most = max((number for one in counts.values() for number in one.values()), default=1)
    rows = [
        GridRow(
            names[species],
            species,
            count.total(),
            tuple((count[hour], _shade(count[hour], most)) for hour in shown),
        )
        for species, count in counts.items()
    ]
    return Grid(
        tuple(shown), frozenset(hours), tuple(sorted(rows, key=lambda row: (row.species is None, -row.total, row.name)))
    )


def _shade(number: int, most: int) -> int:
    return 0 if number == 0 else max(1, round(MOST_SHADE * number / most))


def _cameras(home: Home, now: datetime) -> list[CameraTile]:
    reports = examine(home.config, now).cameras
    tiles = []
    for report in reports:
        wanted = CardFilter(camera=report.camera, since=now - RECENT)
        tiles.append(CameraTile(report, next(iter(home.store.cards.page(wanted, 1).cards), None)))
    return tiles
