"""`/login` and `/logout`, where a password is asked for."""

from __future__ import annotations

from math import ceil

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.web.access.guard import COOKIE, own_path
from birdwatchd.web.access.login import SESSION_S, Login
from birdwatchd.web.access.roles import Role
from birdwatchd.web.render import render, words_of

__all__ = ["router"]

router = APIRouter()


@router.get("/login")
def ask(request: Request) -> Response:
    """Ask for the password; who is in already goes on."""
    following = own_path(request.query_params.get("next", ""), "/")
    if request.state.role is Role.OWNER:
        return RedirectResponse(following, 303)
    return render(request, "login.html", following=following, problem="")


@router.post("/login")
def enter(request: Request) -> Response:
    """Check the password; the session has a new id."""
    login: Login = request.app.state.login
    form = request.state.form
    following = own_path(form.get("next", ""), "/")
    peer = request.client.host if request.client is not None else ""
    session = login.enter(form.get("password", ""), peer)
    if session is None:
        wait_s = login.wait_s(peer)
        said = words_of(request).language
        problem = said.gettext("That is not the password.")
        if wait_s:
            problem = said.gettext("Too many wrong passwords. Try again in %(seconds)s s.", seconds=ceil(wait_s))
        return render(request, "login.html", 429 if wait_s else 403, following=following, problem=problem)
    login.leave(request.state.session)
    answer = RedirectResponse(following, 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_S),
        path=_cookie_path(request),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
def leave(request: Request) -> Response:
    """End the session."""
    login: Login = request.app.state.login
    login.leave(request.state.session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path=_cookie_path(request))
    return answer


def _cookie_path(request: Request) -> str:
    """Where the session is sent: not to other pages of the same host."""
    root_path: str = request.scope["root_path"]
    return root_path or "/"
