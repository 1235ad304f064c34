"""What the foot of each page leads to: `/language`, the choice of one, and `/help`, what words and keys mean."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.web.access.guard import own_path
from birdwatchd.web.language.catalogue import LANGUAGES
from birdwatchd.web.language.choice import COOKIE
from birdwatchd.web.render import render

__all__ = ["router"]

router = APIRouter()
KEPT_S = 400 * 86_400  # which is as long as browsers keep one


@router.post("/language")
def choose(request: Request) -> Response:
    """Keep the language, and go back to the page; a language that there is none of changes nothing."""
    form = request.state.form
    answer = RedirectResponse(own_path(form.get("next", ""), "/"), 303)
    code = form.get("to", "")
    if code in LANGUAGES:
        answer.set_cookie(
            COOKIE,
            code,
            max_age=KEPT_S,
            path=request.scope["root_path"] or "/",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return answer


@router.get("/help")
def explain(request: Request) -> Response:
    """What the words and keys of the page mean."""
    return render(request, "help.html")
