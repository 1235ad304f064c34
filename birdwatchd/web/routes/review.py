"""`/review`: put names right, with the keyboard, through the code of the command `review`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.commands.review import ReviewOptions, review_visit
from birdwatchd.errors import BirdwatchError, ConfigError, NoSuchVisit, ReviewRefused
from birdwatchd.records import State
from birdwatchd.species.verdict.named import find_species, similar_species
from birdwatchd.store import ReviewVerdict
from birdwatchd.store.pages.cards import Card, CardFilter
from birdwatchd.web.access.guard import own_path
from birdwatchd.web.home import Home, card_of
from birdwatchd.web.language.catalogue import N_
from birdwatchd.web.render import home_of, render
from birdwatchd.web.routes.visits import guesses_of
from birdwatchd.web.words import PAGE_REVIEWER

__all__ = ["router"]

router = APIRouter()
SHOWN = 24
PICTURES = 5  # of one visit
SORTS = {
    "unsure": N_("Uncertain and unknown"),
    "all": N_("Everything"),
}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A visit with what is needed to judge it.

    Attributes:
        pictures: numbers of the moments whose pictures are shown.
        guesses: names that the network also found likely, without the visit's own.
        problem: why the last review of it was not taken.
        typed: the name in it, to be put right.
    """

    card: Card
    pictures: tuple[int, ...]
    guesses: tuple[tuple[str, float], ...]
    problem: str = ""
    typed: str = ""


@router.get("/review")
def review(request: Request) -> Response:
    """The visits that nobody has judged yet, the uncertain ones first."""
    home = home_of(request)
    show = request.query_params.get("show", "unsure")
    show = show if show in SORTS else "unsure"
    order = [State.UNCERTAIN, State.UNKNOWN, *([State.CONFIRMED] if show == "all" else [])]
    cards: list[Card] = []
    for state in order:
        wanted = CardFilter(states=(state,), unreviewed=True, over=True)
        cards += home.store.cards.page(wanted, SHOWN + 1).cards
    more = len(cards) > SHOWN
    return render(
        request,
        "review.html",
        items=[_item(home, card) for card in cards[:SHOWN]],
        more=more,
        show=show,
        sorts=SORTS,
        guess_hidden=_hides(request.query_params),
        back=f"/review?{request.url.query}".rstrip("?"),
    )


@router.post("/visits/{visit_id}/review")
def say(request: Request, visit_id: str) -> Response:
    """Store what a person says of a visit; the answer is the visit as it is then, or the page it was said on."""
    home, form = home_of(request), request.state.form
    problem, back = "", own_path(form.get("back", ""), "/review")
    try:
        _store(home, visit_id, form)
    except NoSuchVisit:
        raise
    except BirdwatchError as error:
        if "hx-request" not in request.headers:
            raise
        problem = str(error)
    if "hx-request" not in request.headers:
        return RedirectResponse(back, 303)
    card = card_of(home, visit_id)
    template = "visit_verdict.html" if form.get("part") == "verdict" else "review_item.html"
    item = replace(_item(home, card), problem=problem, typed=form.get("species", "")[:255] if problem else "")
    return render(request, template, guess_hidden=_hides(form), back=back, **_parts(home, item))


@router.get("/names")
def names(request: Request) -> Response:
    """Species whose names begin or go on like a text: those seen here first."""
    home = home_of(request)
    asked = request.query_params.get("q", "")[:100]
    seen = frozenset(species for species, _ in home.store.species.names())
    return render(request, "names.html", names=home.names.find(asked, seen), asked=asked)


def _hides(given: Mapping[str, str]) -> bool:
    """Whether the network's guess is shown only to who asks for it, so that it leads nobody."""
    return given.get("guess") == "hidden"


def _store(home: Home, visit_id: str, form: dict[str, str]) -> None:
    """Store a review or take one back; one at a time, since each opens the database for writing."""
    said = form.get("verdict", "")
    verdicts = {one.value: one for one in ReviewVerdict}
    if said != "undo" and said not in verdicts:
        raise ConfigError("this says nothing about the visit", "confirm it, name a species, or say that it is no bird")
    species = form.get("species", "").strip()[:255]
    if said == ReviewVerdict.SPECIES and not species:
        raise ConfigError("no species is named", "write its name")
    if said == ReviewVerdict.SPECIES and find_species(species, home.config.species) is None:
        similar = similar_species(species, home.config.species)
        raise ConfigError(f"no species is called {species}", f"did you mean {similar}?" if similar else "")
    # The visit as it is named here, in full: the command also takes a beginning, or `last`.
    name = card_of(home, visit_id).stored.visit.verdict.common_name
    if said == ReviewVerdict.CONFIRM and name and form.get("name", name) != name:  # since the page was opened
        raise ReviewRefused(f"its name has changed to {name}", "look at it again")
    options = ReviewOptions(visit_id, verdicts.get(said), species, undo=said == "undo", by=PAGE_REVIEWER)
    with _one_at_a_time:
        review_visit(home.config, options, home.now())


def _item(home: Home, card: Card) -> ReviewItem:
    visit = card.stored.visit
    moments = [
        moment
        for moment in home.store.visits.moments(visit.visit_id)
        if moment.crop is not None and home.shows(visit.camera)
    ]
    best = sorted(moments, key=lambda moment: moment.sort_key, reverse=True)[:PICTURES]
    return ReviewItem(card, tuple(moment.idx for moment in best), guesses_of(visit.verdict))


def _parts(home: Home, item: ReviewItem) -> dict[str, Any]:
    """What a part of a page needs that shows one visit."""
    history = home.store.histories.of(item.card.stored.visit.visit_id)
    visit = item.card.stored.visit
    return {"item": item, "card": item.card, "visit": visit, "history": history, "guesses": item.guesses}
