"""Decide what is published about a visit: is it a first, is it news, which phase is it in. Pure functions.

They run inside the transaction that writes the visit, so that a "first" is never missed and never doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from birdwatchd.records import Message, Phase, State, Visit

__all__ = [
    "FIRSTS",
    "Compose",
    "Day",
    "News",
    "NewsContext",
    "StoredVisit",
    "decide_firsts",
    "decide_phase",
    "is_news",
    "name_before",
    "news_of",
    "periods_of",
    "season_of",
]

FIRSTS = ("ever", "year", "season", "today")  # most notable first


@dataclass(frozen=True, slots=True)
class News:
    """What a message says of a visit; a visit is published again when any of it has changed."""

    state: str
    rank: str
    common_name: str | None
    phase: str
    count_max: int


@dataclass(frozen=True, slots=True)
class StoredVisit:
    """A visit with what only the store can know of it.

    Attributes:
        firsts: subset of `FIRSTS`, most notable first; empty unless confirmed to species.
    """

    visit: Visit
    phase: Phase
    firsts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The visits that began on one local date.

    Attributes:
        visits: all that were not rejected, named or not.
        species: (name, visits) of the confirmed ones, most frequent first.
    """

    date: date
    visits: int
    species: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class NewsContext:
    """All that is needed to compose the messages about one visit revision.

    Attributes:
        stored: the visit as it is being written.
        last: the newest confirmed visit of this camera once this revision counts; may be the visit itself.
        last_changed: `last` is not, or no longer says, what this camera's subscribers hold.
        image: JPEG of the best crop of `last`; read only when `last_changed`, None when there is none.
        today: the camera's day so far; None for a visit of another day.
        present: whether a bird is at the camera now; None where nobody looked.
        was: the name under which the visit was last published, where this revision no longer says it.
    """

    stored: StoredVisit
    last: StoredVisit | None
    last_changed: bool
    image: bytes | None
    today: Day | None = None
    present: bool | None = None
    was: str | None = None


Compose = Callable[[NewsContext], Sequence[Message]]


def season_of(day: date) -> tuple[int, int]:
    """The meteorological season of a day: the year it began in, and 0 (from December on) … 3 (from September on).

    Source: World Meteorological Organization's three-month seasons. South of the equator only their names differ.
    """
    return (day.year - 1 if day.month < 3 else day.year), day.month % 12 // 3


def decide_firsts(start: datetime, neighbours: Sequence[datetime], zone: ZoneInfo) -> tuple[str, ...]:
    """Which firsts a visit is, given when the same species was also seen.

    Args:
        start: when this visit began.
        neighbours: starts of the nearest other visit before and the nearest after, as far as there are any.
            Since a day, a season and a year each are one unbroken stretch, no visit further away can matter.
        zone: whose midnight ends a day.
    """
    if not neighbours:
        return FIRSTS
    here, *others = (_periods(at, zone) for at in (start, *neighbours))
    return tuple(name for name in FIRSTS[1:] if all(here[name] != other[name] for other in others))


def _periods(at: datetime, zone: ZoneInfo) -> dict[str, object]:
    day = at.astimezone(zone).date()
    return {"year": day.year, "season": season_of(day), "today": day}


def periods_of(at: datetime, zone: ZoneInfo) -> dict[str, tuple[date, date] | None]:
    """The local dates on which each first's period around `at` begins, and on which the next one does; `ever` has none.

    The boundaries are those of `decide_firsts`.
    """
    day = at.astimezone(zone).date()
    began = date(day.year - (day.month < 3), (day.month % 12 // 3) * 3 or 12, 1)
    over = date(began.year + (began.month == 12), began.month % 12 + 3, 1)
    return {
        "ever": None,
        "year": (date(day.year, 1, 1), date(day.year + 1, 1, 1)),
        "season": (began, over),
        "today": (day, day + timedelta(days=1)),
    }


def decide_phase(visit: Visit, last: News | None) -> Phase:
    """Provisional while the bird is there, then final; corrected when what was final proves something else.

    Retracted when what was published proves no bird.

    Args:
        last: what was last published of the visit, if anything was.
    """
    verdict = visit.verdict
    if verdict.state is State.REJECTED and last is not None:
        return Phase.RETRACTED  # a rejected visit is never published first: it was published as something else
    if visit.end is None:
        return Phase.PROVISIONAL
    if last is None or last.phase == Phase.PROVISIONAL:
        return Phase.FINAL
    same = (last.state, last.rank, last.common_name) == (verdict.state, verdict.rank, verdict.common_name)
    return Phase(last.phase) if same else Phase.CORRECTED


def news_of(visit: Visit, phase: Phase) -> News:
    """What a message about this revision would say."""
    verdict = visit.verdict
    return News(verdict.state.value, verdict.rank.value, verdict.common_name, phase.value, visit.count_max)


def name_before(news: News, last: News | None) -> str | None:
    """The name that was last published of a visit, where it is another than now."""
    return last.common_name if last is not None and last.common_name != news.common_name else None


def is_news(news: News, last: News | None) -> bool:
    """Whether a revision is worth a message: the first about its visit, or one that differs from the last.

    A visit that was rejected before any message about it gets none.
    """
    if last is None:
        return news.state != State.REJECTED
    return news != last
