"""Put the page together: its routes behind the guard, and what is answered when something is not there."""

from __future__ import annotations

import os
import traceback
from hashlib import sha256
from importlib.resources import files

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from birdwatchd import __version__
from birdwatchd.errors import BirdwatchError, ConfigError, NoSuchVisit, ReviewRefused, StoreError, StoreUnavailable
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.store.pages.changes import Changes
from birdwatchd.web.access.guard import Guard, headers_of_all
from birdwatchd.web.access.ingress import Ingress
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.proxies import Proxies, below, path_of
from birdwatchd.web.access.roles import Role
from birdwatchd.web.access.tokens import Tokens
from birdwatchd.web.asked.evidence import EvidenceMaps
from birdwatchd.web.asked.selftest import SelfTests
from birdwatchd.web.home import Home
from birdwatchd.web.jobs import Jobs
from birdwatchd.web.live import Live
from birdwatchd.web.looks import Looks
from birdwatchd.web.render import render
from birdwatchd.web.routes import (
    api,
    cameras,
    entrance,
    evidence,
    foot,
    health,
    looks_map,
    many,
    media,
    review,
    species,
    today,
    visits,
)
from birdwatchd.web.routes.camera_now import CameraNow

__all__ = ["build_app", "routes"]

BROKE = "the page itself has a fault, which is in its log as fault %s"
REPORT = "if it happens again, report it with these lines of the log"
NOTHING = "there is nothing under this address."


class _Static(StaticFiles):
    """Files of ours. A browser keeps one for ever whose address says its contents (`?v=`), another for an hour."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_versioned = scope["query_string"].startswith(b"v=")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if is_versioned else "max-age=3600"
        return response


def routes() -> FastAPI:
    """The routes alone, without a home and a guard."""
    app = FastAPI(title="birdwatchd", openapi_url=None, docs_url=None, redoc_url=None)
    for part in (today, visits, evidence, review, many, looks_map, species, health, cameras, media, entrance, foot):
        app.include_router(part.router)
    app.mount(api.PREFIX, _api(), name="api")
    app.mount("/static", _Static(directory=str(files("birdwatchd.web") / "static")), name="static")
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, _not_found)
    app.add_exception_handler(BirdwatchError, _failed)
    app.add_exception_handler(Exception, _broke)
    return app


def _api() -> FastAPI:
    """What programs ask, with JSON for errors and a description that has nothing of the pages."""
    token = HTTPBearer(auto_error=False, description="made by `birdwatchd web --token NAME`; the guard checks it")
    app = FastAPI(title="birdwatchd", version=__version__, docs_url=None, redoc_url=None, dependencies=[Depends(token)])
    app.include_router(api.router)
    app.add_exception_handler(HTTPException, _not_found_json)
    app.add_exception_handler(RequestValidationError, _misspelled_json)
    app.add_exception_handler(BirdwatchError, _failed_json)
    app.add_exception_handler(Exception, _broke_json)
    return app


def build_app(config: Config, login: Login, stop: Stop) -> ASGIApp:
    """The page of one home.

    Args:
        stop: ends the streams of open pages.
    """
    app = routes()
    app.state.home = home = Home(config)
    app.state.live = Live(Changes(home.database), stop)
    app.state.login = login
    app.state.camera_now = CameraNow(config.home)
    app.state.jobs, app.state.looks = Jobs(config, stop), Looks()
    app.state.evidence, app.state.selftests = EvidenceMaps(config, home.pictures), SelfTests(config)
    for part in app.routes:
        if isinstance(part, Mount) and isinstance(part.app, FastAPI):
            part.app.state = app.state

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    async def broke(request: Request, error: Exception) -> Response:
        """A fault in front of the routes: it is not known who asks, so nobody is offered anything."""
        known = {"session": "", "token": login.token(""), "role": Role.NOBODY, "is_ingress": False}
        placed = ingress.placed(request.scope) if ingress.is_entered(request.scope) else proxies.believed(request.scope)
        scope = {**(placed or below(config.web.root_path, request.scope)), "app": app, "state": known}
        said = _broke_json if path_of(scope).startswith(f"{api.PREFIX}/") else _broke
        answer = await said(Request(scope), error)
        may_frame = ingress.is_entered(scope)
        answer.headers.update({name.decode(): value.decode() for name, value in headers_of_all(may_frame=may_frame)})
        return answer

    ingress, proxies = Ingress(config.web), Proxies(config.web)
    return ServerErrorMiddleware(Guard(inner, config.web, login, Tokens(config.home)), handler=broke)


async def _not_found(request: Request, error: Exception) -> Response:
    if path_of(request.scope).startswith(f"{api.PREFIX}/"):  # a line break in it, at which patterns of addresses end
        return JSONResponse({"error": NOTHING, "hint": ""}, 404)
    status, text = 404, NOTHING  # also where a number is none
    if isinstance(error, HTTPException) and error.status_code not in (404, 405):
        status, text = error.status_code, str(error.detail)
    return render(request, "problem.html", status, problem=text, hint="")


async def _failed(request: Request, error: Exception) -> Response:
    """What could not be done, in words: a person can do something about each."""
    assert isinstance(error, BirdwatchError)
    problem, hint = error.message, error.hint
    if request.state.role is not Role.OWNER and not isinstance(error, NoSuchVisit):  # it may name files
        problem, hint = "the station cannot show this now", ""
    return render(request, "problem.html", _status(request, error), problem=problem, hint=hint)


async def _broke(request: Request, error: Exception) -> Response:
    """A fault of this program. The server writes what it was into the log: nothing of that leaves the station."""
    return render(request, "problem.html", 500, problem=BROKE % _noted(request, error), hint=REPORT)


async def _broke_json(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": BROKE % _noted(request, error), "hint": REPORT}, 500)


def _noted(request: Request, error: Exception) -> str:
    """Note in the log's traceback under which id a fault was shown; returns that.

    The same fault has the same id: of one that repeats the log has some, and counts the others.
    """
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
    fault = sha256("\n".join([type(error).__name__, *places]).encode()).hexdigest()[:8]
    note = f"fault {fault} of the page"
    if not any(one.startswith(note) for one in getattr(error, "__notes__", ())):  # each application around it asks
        error.add_note(f"{note}, at {request.method} {request.url.path!r}")
    return fault


async def _not_found_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    usual = error.detail in ("Not Found", "Method Not Allowed")
    text, status = NOTHING if usual else error.detail, 404 if error.status_code == 405 else error.status_code
    return JSONResponse({"error": text, "hint": ""}, status)


async def _misspelled_json(request: Request, error: Exception) -> Response:
    """A filter that nobody understands is said: a program would take all visits for those that it wanted."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])[:64]
    what = "there is no such parameter" if first["type"] == "extra_forbidden" else first["msg"]
    return JSONResponse({"error": f"{name}: {what}", "hint": f"see {api.PREFIX}/openapi.json"}, 422)


async def _failed_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, BirdwatchError)
    return JSONResponse({"error": error.message, "hint": error.hint}, _status(request, error))


def _status(request: Request, error: BirdwatchError) -> int:
    """The status that says whose turn it is."""
    if isinstance(error, NoSuchVisit):
        return 404
    if isinstance(error, ReviewRefused):
        return 409
    if isinstance(error, StoreUnavailable):
        return 503
    if isinstance(error, StoreError):
        return 409 if request.method == "POST" else 503
    return 422 if isinstance(error, ConfigError) else 500
