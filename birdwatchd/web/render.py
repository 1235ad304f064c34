"""Make pages of templates: what every template may use, and what every page has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.ext import Extension

from birdwatchd import __version__
from birdwatchd.web import words
from birdwatchd.web.access.proxies import path_of
from birdwatchd.web.access.roles import Role, may
from birdwatchd.web.home import Home

__all__ = ["home_of", "render"]

# htmx reads these from a meta element: nothing in a page is evaluated, and nothing is asked of another host.
HTMX = json.dumps(
    {
        "allowEval": False,
        "allowScriptTags": False,
        "includeIndicatorStyles": False,
        "selfRequestsOnly": True,
        "historyCacheSize": 0,
        "defaultFocusScroll": False,
    }
)
# An attribute that holds an address of the page, as templates write it.
_ADDRESS = re.compile(r"""(\s(?:href|src|action|poster|hx-(?:get|post|push-url))=")(?=/[^/])""")


class BelowRoot(Extension):
    """Lets templates write addresses as if the page were at the root of its host: its path is put before them."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Write `{{ root }}` before each address of the page that stands in an attribute."""
        return _ADDRESS.sub(r"\1{{ root }}", source)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("birdwatchd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=[BelowRoot],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        age=words.age,
        size=words.size,
        percent=words.percent,
        title=words.title_of,
        sure=words.sure_words,
        first_words=words.first_of,
        segment=lambda text: quote(str(text), safe=""),
        state=lambda state: words.STATE_WORDS[state],
    )
    environment.globals.update(lasted=words.lasted, version=__version__, htmx_config=HTMX)
    return environment


@cache
def _static(name: str) -> str:
    """The address of a file of ours, which changes with its contents: a browser may keep it for ever."""
    contents = files("birdwatchd.web").joinpath("static", *name.split("/")).read_bytes()
    return f"/static/{name}?v={sha256(contents).hexdigest()[:12]}"


def home_of(request: Request) -> Home:
    """The home that the page shows."""
    home: Home = request.app.state.home
    return home


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one.

    Args:
        values: what the template shows.
    """
    home = home_of(request)
    root: str = request.scope["root_path"]

    def clock(at: datetime, *, seconds: bool = False) -> str:
        return words.clock(at, home.zone, seconds=seconds)

    def address(path: str = "", /, **changes: object) -> str:
        """This address, or another page's, with other parameters; None takes one away, as is the place in a list."""
        given = {name: value for name, value in request.query_params.items() if name != "after"} | changes
        kept: Mapping[str, object] = {name: value for name, value in given.items() if value not in (None, "")}
        where = root + path if path else request.url.path
        return f"{where}?{urlencode(kept)}" if kept else where

    now = home.now()
    common = {
        "root": root,
        "static": lambda name: root + _static(name),
        "here": request.url.path,
        "here_inside": path_of(request.scope),
        "station": home.config.station.name,
        "token": request.state.token,
        "has_session": bool(request.state.session),
        "is_owner": request.state.role is Role.OWNER,
        "may_see": lambda path: may(request.state.role, "GET", path),
        "now": now,
        "today": now.astimezone(home.zone).date(),
        "clock": clock,
        "day_words": lambda day: words.day_words(day, now.astimezone(home.zone).date()),
        "local_day": lambda at: at.astimezone(home.zone).date(),
        "since": lambda at: words.since_s(at, now),
        "camera_name": home.camera_name,
        "shows": home.shows,
        "address": address,
    }
    text = _environment().get_template(template).render(common | values)
    return HTMLResponse(text, status)
