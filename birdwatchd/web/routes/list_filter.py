"""Read which visits an address asks for, and say it in words: the same for the list and for the review of many."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from birdwatchd.records import State
from birdwatchd.store import day_bounds, hour_bounds
from birdwatchd.store.pages.cards import CardFilter, Place
from birdwatchd.web.words import STATE_WORDS, Words

__all__ = ["Asked", "Choice", "choices_of", "list_query", "misread", "place_of", "place_text", "read_filter"]

_YES, _NO = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
MOST_QUERY = 500  # letters of it within another address
# The filters of an address, and how their values are written.
FILTERS = {
    "species": "a scientific name",
    "camera": "the key of a camera",
    "state": f"one of {', '.join(state.value for state in STATE_WORDS)}",
    "day": "a date such as 2026-05-01",
    "hour": "an hour from 0 to 23, together with a day",
    "firsts": "1",
    "rare": "1",
    "unreviewed": "1",
    "least": "a whole percentage such as 85",
    "most": "a whole percentage such as 85",
    "after": "taken from the link to older visits",
}
# What the form calls those whose values can be misread (`templates/visits.html`).
LABELS = {
    "state": "Name is",
    "day": "Day",
    "hour": "Hour",
    "firsts": "firsts",
    "rare": "rare",
    "unreviewed": "not reviewed",
    "least": "Score from, in percent",
    "most": "Score to, in percent",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which visits an address asks for.

    Attributes:
        day: the local day among it, whose visits alone are wanted.
        hour: the hour of that day.
    """

    wanted: CardFilter
    day: date | None
    hour: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One filter that is set: in words, and the parameters of the address without which it is not."""

    words: str
    parameters: tuple[str, ...]


def read_filter(given: Mapping[str, str], zone: ZoneInfo) -> Asked:
    """Which visits an address asks for; what it misspells (`misread`) is left out."""
    day = _day(given.get("day", ""))
    hour = _hour(given.get("hour", "")) if day is not None else None
    since, until = None, None
    if day is not None:
        since, until = day_bounds(day, zone) if hour is None else hour_bounds(day, hour, zone)
    state = next((one for one in State if one.value == given.get("state")), None)
    species = given.get("species", "").strip()
    wanted = CardFilter(
        species=species[:255] or None,
        camera=given.get("camera", "")[:64] or None,
        states=(state,) if state is not None else (),
        since=since,
        until=until,
        firsts=_is_ticked(given.get("firsts", "")),
        rare=_is_ticked(given.get("rare", "")),
        unreviewed=_is_ticked(given.get("unreviewed", "")),
        least=_share(given.get("least", "")),
        most=_share(given.get("most", "")),
    )
    return Asked(wanted, day, hour)


def choices_of(asked: Asked, said: Words, species: str | None, camera: str | None) -> list[Choice]:
    """The filters that are set, each in words.

    Args:
        species, camera: what the wanted ones are called.
    """
    _, wanted = said.language.gettext, asked.wanted
    found = [
        Choice(species or "", ("species",)),
        Choice(camera or "", ("camera",)),
        *(Choice(_(STATE_WORDS[state]).lower(), ("state",)) for state in wanted.states),
        Choice(said.date(asked.day) if asked.day else "", ("day", "hour")),
        Choice(said.hour(asked.hour) if asked.hour is not None else "", ("hour",)),
        Choice(_("firsts") if wanted.firsts else "", ("firsts",)),
        Choice(_("rare") if wanted.rare else "", ("rare",)),
        Choice(_("not reviewed") if wanted.unreviewed else "", ("unreviewed",)),
        Choice(
            _("score from %(share)s", share=said.percent(wanted.least)) if wanted.least is not None else "", ("least",)
        ),
        Choice(_("score to %(share)s", share=said.percent(wanted.most)) if wanted.most is not None else "", ("most",)),
    ]
    return [one for one in found if one.words]


def misread(given: Mapping[str, str], besides: Collection[str] = ()) -> list[str]:
    """What of an address is no filter, or has a value that cannot be read, and how it would be written.

    Args:
        besides: names that an address may also have.
    """
    found = []
    for name, value in given.items():
        if name not in FILTERS and name not in besides:
            close = difflib.get_close_matches(name, FILTERS, n=1)
            found.append(f"unknown filter {name[:64]}{f'; did you mean {close[0]}?' if close else ''}")
        elif name in FILTERS and value.strip() and not _is_read(name, value, given):
            called = f"“{LABELS[name]}” ({name})" if name in LABELS else name
            found.append(f"{called}: {value[:64]} cannot be read; write {FILTERS[name]}")
    return found


def list_query(given: Mapping[str, str]) -> str:
    """The filters of an address and its place in the list, as an address has them; empty where there are none.

    What is no filter is left out, so that nothing else can come into a link; so is what would make an address too long.
    """
    text = urlencode({name: value for name, value in given.items() if name in FILTERS and value})
    return text if len(text) <= MOST_QUERY else ""


def place_text(place: Place) -> str:
    """Where a list goes on, as an address has it."""
    return f"{place.start:%Y-%m-%dT%H:%M:%S.%fZ}~{place.visit_id}"


def place_of(text: str) -> Place | None:
    """Where a list goes on; None for what says no place."""
    start, tilde, visit_id = text.partition("~")
    try:
        at = datetime.fromisoformat(start)
    except ValueError:
        return None
    # the ends of the calendar have no time in another zone
    return Place(at, visit_id[:64]) if tilde and at.tzinfo is not None and 1970 <= at.year < 9000 else None


def _is_read(name: str, value: str, given: Mapping[str, str]) -> bool:
    readers: Mapping[str, Callable[[str], bool]] = {
        "state": lambda text: any(text == state.value for state in State),
        "day": lambda text: _day(text) is not None,
        "hour": lambda text: _hour(text) is not None and _day(given.get("day", "")) is not None,
        "least": lambda text: _share(text) is not None,
        "most": lambda text: _share(text) is not None,
        "after": lambda text: place_of(text) is not None,
    }
    if name in ("firsts", "rare", "unreviewed"):
        return value.casefold() in _YES + _NO
    return readers[name](value) if name in readers else True


def _is_ticked(text: str) -> bool:
    return text.casefold() in _YES


def _number(text: str, most: int) -> int | None:
    """A whole number up to `most`; None for what is none."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else None
    return None if number is None or number > most else number


def _hour(text: str) -> int | None:
    return _number(text, 23)


def _share(percent: str) -> float | None:
    """`85` of an address as 0.85."""
    number = _number(percent, 100)
    return None if number is None else number / 100


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9000 else None  # the ends of the calendar have no neighbours
