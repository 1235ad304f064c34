"""`/looks`: the newest visits, those that look alike close together; whoever draws a line around some reviews them."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Request
from fastapi.responses import Response

from birdwatchd.web.home import card_of
from birdwatchd.web.looks import Looks
from birdwatchd.web.render import home_of, render

__all__ = ["router"]

router = APIRouter()
COLOURS = 8  # names that have one of their own
ODD = 12


@router.get("/looks")
def looks(request: Request) -> Response:
    """The map, and the odd ones out as a list."""
    home = home_of(request)
    kept: Looks = request.app.state.looks
    made = kept.newest(home.store)
    counts = Counter(point.name for point in made.map.points)
    colours = {name: number for number, (name, _) in enumerate(counts.most_common(COLOURS))}
    odd = made.map.odd(ODD)
    cards = home.store.cards.these([point.visit_id for point in odd])
    return render(
        request, "looks.html", name=made.name, map=made.map, counts=counts, colours=colours, other=COLOURS, cards=cards
    )


@router.get("/looks/{visit_id}")
def looks_card(request: Request, visit_id: str) -> Response:
    """The visit of a point: a part of the page of the map."""
    return render(request, "looks_card.html", one=card_of(home_of(request), visit_id))
