"""Put the page together: its routes behind the guard, and what is answered when something is not there."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from birdwatchd.errors import BirdwatchError, ConfigError, NoSuchVisit, ReviewRefused, StoreError, StoreUnavailable
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.store.pages.changes import Changes
from birdwatchd.web.guard import Guard, Hosts
from birdwatchd.web.home import Home
from birdwatchd.web.jobs import Jobs
from birdwatchd.web.live import Live
from birdwatchd.web.login import Login
from birdwatchd.web.looks import Looks
from birdwatchd.web.render import render
from birdwatchd.web.routes import entrance, health, looks_map, many, media, review, species, today, visits

__all__ = ["build_app", "routes"]

NOTHING = "There is nothing under this address."


class _Static(StaticFiles):
    """Files of ours, whose addresses change with their contents."""

    def file_response(self, *args: object, **more: object) -> Response:
        response = super().file_response(*args, **more)  # type: ignore[arg-type]
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def routes() -> FastAPI:
    """The routes alone, without a home and a guard."""
    app = FastAPI(title="birdwatchd", openapi_url=None, docs_url=None, redoc_url=None)
    for part in (today, visits, review, many, looks_map, species, health, media, entrance):
        app.include_router(part.router)
    app.mount("/static", _Static(directory=str(files("birdwatchd.web") / "static")), name="static")
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, _not_found)
    app.add_exception_handler(BirdwatchError, _failed)
    return app


def build_app(config: Config, login: Login, stop: Stop) -> Guard:
    """The page of one home.

    Args:
        stop: ends the streams of open pages.
    """
    app = routes()
    app.state.home = home = Home(config)
    app.state.live = Live(Changes(home.database), stop)
    app.state.login = login
    app.state.jobs, app.state.looks = Jobs(config, stop), Looks()

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return Guard(inner, Hosts(config.web), login)


async def _not_found(request: Request, error: Exception) -> Response:
    status, text = 404, NOTHING  # also where a number is none
    if isinstance(error, HTTPException) and error.status_code not in (404, 405):
        status, text = error.status_code, str(error.detail)
    return render(request, "problem.html", status, problem=text, hint="")


async def _failed(request: Request, error: Exception) -> Response:
    """What could not be done, in words: a person can do something about each."""
    assert isinstance(error, BirdwatchError)
    status = 500
    if isinstance(error, NoSuchVisit):
        status = 404
    elif isinstance(error, ReviewRefused):
        status = 409
    elif isinstance(error, StoreUnavailable):
        status = 503
    elif isinstance(error, StoreError):
        status = 409 if request.method == "POST" else 503
    elif isinstance(error, ConfigError):
        status = 422
    return render(request, "problem.html", status, problem=error.message, hint=error.hint)
