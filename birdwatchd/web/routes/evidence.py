"""`/visits/ID/evidence`: what in its best picture led the model to a name, as a map that is made on request."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.store.pages.cards import Card
from birdwatchd.web.access.proxies import path_of
from birdwatchd.web.asked.evidence import EvidenceMaps, EvidenceState
from birdwatchd.web.home import card_of
from birdwatchd.web.render import home_of, render

__all__ = ["router"]

router = APIRouter()
NO_PICTURE = EvidenceState(
    problem="no picture of this visit is kept",
    hint="retention or somebody has removed it, or its camera has `store: nothing`",
)


@router.get("/visits/{visit_id}/evidence")
def evidence(request: Request, visit_id: str) -> Response:
    """The map, how far it is, or why there is none."""
    return _page(request, visit_id, asked=False)


@router.post("/visits/{visit_id}/evidence")
def ask(request: Request, visit_id: str) -> Response:
    """Let the map be made."""
    _, crop = _crop(request, visit_id)
    if crop is not None:
        _maps(request).ask(crop)
    if request.headers.get("hx-request"):
        return _page(request, visit_id, asked=True)
    return RedirectResponse(path_of(request.scope), 303)  # the guard puts the root path before it


@router.get("/visits/{visit_id}/evidence/map")
def picture(request: Request, visit_id: str) -> Response:
    """The map itself; not kept by the browser, as another model makes another one."""
    _, crop = _crop(request, visit_id)
    found = _maps(request).picture(crop) if crop is not None else None
    if found is None:
        raise HTTPException(404)
    return Response(found, media_type="image/jpeg")


def _page(request: Request, visit_id: str, *, asked: bool) -> Response:
    card, crop = _crop(request, visit_id)
    state = NO_PICTURE if crop is None else _maps(request).state(crop, asked=asked)
    return render(request, "evidence.html", card=card, visit=card.stored.visit, state=state)


def _maps(request: Request) -> EvidenceMaps:
    found: EvidenceMaps = request.app.state.evidence
    return found


def _crop(request: Request, visit_id: str) -> tuple[Card, str | None]:
    """A visit, and the file of its best picture; None where none is there that may be shown.

    Raises:
        NoSuchVisit: there is no such visit.
    """
    home = home_of(request)
    card = card_of(home, visit_id)
    crop = home.store.cards.picture(visit_id, card.picture) if card.picture is not None else None
    return card, crop if crop is not None and home.media.version(crop) is not None else None
