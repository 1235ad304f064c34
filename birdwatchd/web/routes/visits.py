"""`/visits`: lists of visits, each state of which is an address, and `/visits/ID`: all that is known of one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from birdwatchd.commands.similar import similar_visits
from birdwatchd.commands.terminal import NO_SPECIES
from birdwatchd.errors import StoreError
from birdwatchd.records import Verdict, Visit
from birdwatchd.search.nearest import has_copy
from birdwatchd.store import StoredMoment, day_bounds
from birdwatchd.store.pages.cards import Card
from birdwatchd.store.pages.clip_span import clip_span
from birdwatchd.web.asked.evidence import EvidenceMaps, EvidenceState
from birdwatchd.web.home import Home, card_of
from birdwatchd.web.render import home_of, render, words_of
from birdwatchd.web.routes.list_filter import choices_of, list_query, misread, place_of, place_text, read_filter
from birdwatchd.web.routes.today import grid_of, sun_of
from birdwatchd.web.words import STATE_WORDS

__all__ = ["TopRow", "guesses_of", "likeness", "router", "top_rows"]

router = APIRouter()
PAGE = 24
RAIL_DAYS = 21
THE_PAST = datetime(1900, 1, 1, tzinfo=UTC)
MOST_UNCOPIED = 20_000  # visits whose embeddings are read into memory, for a copy of them: some 100 MB
ALIKE = 24  # visits that are shown as similar
LIKELY = 0.02  # what is less likely is no name to offer
_one_search = threading.Lock()


@dataclass(frozen=True, slots=True)
class TopRow:
    """One of the five most probable species: after place, season and reviews, and as the network alone has it."""

    name: str
    share: float | None
    raw: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A picture of a visit, and where in the clip it was taken."""

    number: int
    place_s: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Marks:
    """Where in a clip of so many seconds the pictures are."""

    seconds: float
    marks: tuple[Mark, ...]


@router.get("/visits")
def visits(request: Request) -> Response:
    """A page of the list, newest first."""
    home = home_of(request)
    asked = read_filter(request.query_params, home.zone)
    wanted, day = asked.wanted, asked.day
    page = home.store.cards.page(wanted, PAGE, place_of(request.query_params.get("after", "")))
    by_day = groupby(page.cards, key=lambda card: card.stored.visit.start.astimezone(home.zone).date())
    species = home.store.species.names()
    called = dict(species).get(wanted.species, wanted.species) if wanted.species else None
    camera = home.camera_name(wanted.camera) if wanted.camera else None
    chosen = choices_of(asked, words_of(request), called, camera)
    sun = sun_of(day, home.config.station) if day else None
    whole_day = day is not None and len(chosen) == 1  # all that came on it
    visits_of_day = home.store.species.between(*day_bounds(day, home.zone)) if day and whole_day else []
    return render(
        request,
        "visits.html",
        days=[(one, list(cards)) for one, cards in by_day],
        older=place_text(page.older) if page.older is not None else None,
        first_page="after" not in request.query_params,
        misread=misread(request.query_params),
        species=species,
        cameras=list(dict.fromkeys([*home.config.cameras, *home.store.cards.cameras()])),
        states=list(STATE_WORDS),
        wanted=wanted,
        chosen=chosen,
        listed=list_query(request.query_params),
        grid=grid_of(visits_of_day, home, sun, words_of(request).language) if whole_day else None,
        sun=sun,
        day=day,
        hour=asked.hour,
        rail=_rail(home, day),
        day_before=day - timedelta(days=1) if day and _any_before(home, day) else None,
        day_after=day + timedelta(days=1) if day else None,
    )


@router.get("/visits/{visit_id}")
def visit(request: Request, visit_id: str) -> Response:
    """All that is known of one visit."""
    home = home_of(request)
    card = card_of(home, visit_id)
    found = card.stored.visit
    moments = home.store.visits.moments(visit_id)
    listed = list_query(dict(parse_qsl(request.query_params.get("list", ""))))
    newer, older = home.store.cards.neighbours(visit_id, read_filter(dict(parse_qsl(listed)), home.zone).wanted)
    has_clip = found.clip is not None and home.shows(found.camera) and home.media.has_clip(found.clip)
    return render(
        request,
        "visit.html",
        card=card,
        visit=found,
        moments=[moment for moment in moments if moment.crop is not None and home.shows(found.camera)],
        has_clip=has_clip,
        top=top_rows(found.verdict),
        guesses=guesses_of(found.verdict),
        history=home.store.histories.of(visit_id),
        newer=newer,
        older=older,
        marks=_marks(home, found, moments) if has_clip else None,
        evidence=_evidence(request, card),
        listed=listed,
        back=f"/visits/{quote(visit_id, safe='')}" + (f"?{urlencode({'list': listed})}" if listed else ""),
    )


def _evidence(request: Request, card: Card) -> EvidenceState:
    """How the map of a visit's best picture is."""
    maps: EvidenceMaps = request.app.state.evidence
    name = home_of(request).store.cards.picture(card.stored.visit.visit_id, card.picture or 0)
    return maps.state(name) if name is not None else EvidenceState()


@router.get("/visits/{visit_id}/similar")
def similar(request: Request, visit_id: str) -> Response:
    """The visits that look most like one: searched for when somebody asks."""
    home = home_of(request)
    card = card_of(home, visit_id)
    found = dict(likeness(home, card.stored.visit, ALIKE))
    cards = home.store.cards.these(list(found))
    alike = [(one, found[one.stored.visit.visit_id]) for one in cards]
    return render(request, "similar.html", card=card, visit=card.stored.visit, alike=alike)


def likeness(home: Home, visit: Visit, count: int) -> list[tuple[str, float]]:
    """The ids of the visits that look most like one, best first, each with its likeness.

    One search at a time: it reads all embeddings, if there is no copy of them yet.

    Raises:
        StoreError: there is none, and to make it would take more memory than a page should; or the database failed.
    """
    with _one_search:
        if not has_copy(home.store, visit.model) and len(home.store.embeddings.versions(visit.model)) > MOST_UNCOPIED:
            hint = "run `birdwatchd similar last` once; the search is quick from then on"
            raise StoreError("there are too many visits to search them here for the first time", hint)
        return [(one.visit_id, share) for one, share in similar_visits(home.store, visit, count)]


def _marks(home: Home, visit: Visit, moments: Sequence[StoredMoment]) -> Marks | None:
    """Where in the clip the pictures are; None where the clip does not say when it begins."""
    assert visit.clip is not None
    span = clip_span(home.config.home / visit.clip)
    if span is None or span.seconds <= 0:
        return None
    places = [(moment, span.place_s(moment.at)) for moment in moments]
    found = [Mark(moment.idx, place, moment.at) for moment, place in places if place is not None]
    return Marks(span.seconds, tuple(found)) if found else None


def _rail(home: Home, chosen: date | None) -> list[date]:
    """The newest days to jump to: those of the last weeks on which birds came, and the chosen one."""
    today = home.now().astimezone(home.zone).date()
    days = [today - timedelta(days=number) for number in range(RAIL_DAYS)]
    came = home.store.cards.are_in([day_bounds(day, home.zone) for day in days])
    return [day for day, some in zip(days, came, strict=True) if some or day == chosen]


def _any_before(home: Home, day: date) -> bool:
    """Whether there are birds to go back to."""
    return home.store.cards.are_in([(THE_PAST, day_bounds(day, home.zone)[0])])[0]


def top_rows(verdict: Verdict) -> list[TopRow]:
    """The most probable species with both scores, the adjusted one first; at most seven."""
    top, raw = dict(verdict.top), dict(verdict.raw_top)
    names = list(dict.fromkeys([*top, *raw]))[:7]
    return [TopRow(name, top.get(name), raw.get(name)) for name in names]


def guesses_of(verdict: Verdict) -> tuple[tuple[str, float], ...]:
    """Up to three other names that are also likely, best first: one of them may be the right one."""
    rows = [(row.name, row.share) for row in top_rows(verdict) if row.share is not None]
    others = [(name, share) for name, share in rows if name != verdict.common_name and share >= LIKELY]
    return tuple(one for one in others if one[0].casefold() not in NO_SPECIES)[:3]
