"""Make pages of templates: what every template may use, and what every page has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from birdwatchd import __version__
from birdwatchd.web import words
from birdwatchd.web.access.proxies import path_of
from birdwatchd.web.access.roles import Role, may
from birdwatchd.web.home import Home
from birdwatchd.web.language.catalogue import LANGUAGES, Language, language
from birdwatchd.web.language.choice import chosen
from birdwatchd.web.language.sentences import sentence

__all__ = ["home_of", "render", "words_of"]

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
_ADDRESS = re.compile(r"""(\s(?:href|src|action|poster|data-still|hx-(?:get|post|push-url))=")(?=/[^/])""")


class BelowRoot(Extension):
    """Lets templates write addresses as if the page were at the root of its host: its path is put before them."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Write `{{ root }}` before each address of the page that stands in an attribute."""
        return _ADDRESS.sub(r"\1{{ root }}", source)


@cache
def _environment(spoken: Language) -> Environment:
    said = words.Words(spoken)
    environment = Environment(
        loader=PackageLoader("birdwatchd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n", BelowRoot],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        age=said.age,
        frame_age=said.frame_age,
        span=said.span,
        watched=said.watched,
        size=said.size,
        percent=said.percent,
        number=spoken.number,
        title=said.title,
        sure=said.sure,
        first_words=said.first,
        camera_state=said.camera_state,
        person=said.person,
        whole_day=said.whole_day,
        weekday=said.weekday,
        date=said.date,
        hour=said.hour,
        sentence=lambda text: sentence(text, spoken),
        clause=lambda text: sentence(text, spoken, whole=False),
        segment=lambda text: quote(str(text), safe=""),
        state=lambda state: spoken.gettext(words.STATE_WORDS[state]),
    )
    # As Jinja's newstyle gettext: a text of the catalogue may hold elements, and its values are escaped.
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # of the extension
    environment.globals.update(
        _=partial(_gettext, spoken),
        gettext=partial(_gettext, spoken),
        ngettext=partial(_ngettext, spoken),
        pgettext=partial(_pgettext, spoken),
        lasted=said.lasted,
        said=said.said,
        language=spoken,
        languages=LANGUAGES,
        version=__version__,
        htmx_config=HTMX,
    )
    return environment


def _gettext(spoken: Language, text: str, **values: object) -> Markup:
    return Markup(spoken.texts.gettext(text)) % spoken.isolated(values)  # noqa: S704  # the catalogue is ours


def _ngettext(spoken: Language, one: str, many: str, number: int, **values: object) -> Markup:
    text = Markup(spoken.texts.ngettext(one, many, number))  # noqa: S704  # the catalogue is ours
    return text % {"num": spoken.number(number), **spoken.isolated(values)}


@cache
def _static(name: str) -> str:
    """The address of a file of ours, which changes with its contents: a browser may keep it for ever."""
    contents = files("birdwatchd.web").joinpath("static", *name.split("/")).read_bytes()
    return f"/static/{name}?v={sha256(contents).hexdigest()[:12]}"


def _pgettext(spoken: Language, context: str, text: str) -> Markup:
    return Markup(spoken.texts.pgettext(context, text)) % {}  # noqa: S704  # the catalogue is ours


def home_of(request: Request) -> Home:
    """The home that the page shows."""
    home: Home = request.app.state.home
    return home


def words_of(request: Request) -> words.Words:
    """The words of the language that somebody is answered in."""
    said_by_guard = request.scope.get("language")  # a fault of the guard itself is answered without it
    return words.Words(language(said_by_guard or chosen(request.headers, home_of(request).config.web.language)))


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one.

    Args:
        values: what the template shows.
    """
    home = home_of(request)
    root, inside = str(request.scope["root_path"]), path_of(request.scope)

    def clock(at: datetime, *, seconds: bool = False) -> str:
        return words.clock(at, home.zone, seconds=seconds)

    def address(path: str = "", /, **changes: object) -> str:
        """This address, or another page's, with other parameters; None takes one away, as is the place in a list."""
        given = {name: value for name, value in request.query_params.items() if name != "after"} | changes
        kept: Mapping[str, object] = {name: value for name, value in given.items() if value not in (None, "")}
        where = root + path if path else request.url.path
        return f"{where}?{urlencode(kept)}" if kept else where

    said, now = words_of(request), home.now()
    today = now.astimezone(home.zone).date()
    common = {
        "root": root,
        "static": lambda name: root + _static(name),
        "here": request.url.path,
        "station": home.config.station.name,
        "token": request.state.token,
        "has_session": bool(request.state.session),
        "is_owner": request.state.role is Role.OWNER,
        "may_see": lambda path: may(request.state.role, "GET", path),
        "now": now,
        "today": today,
        "whole_address": f"{inside}?{request.url.query}".rstrip("?") if request.method == "GET" else "/",
        "clock": clock,
        "day_words": lambda day, inside=False: said.day(day, today, inside=inside),
        "local_day": lambda at: at.astimezone(home.zone).date(),
        "since": lambda at: words.since_s(at, now),
        "camera_name": home.camera_name,
        "shows": home.shows,
        "has_live": home.has_live,
        "address": address,
    }
    text = _environment(said.language).get_template(template).render(common | values)
    return HTMLResponse(text, status)
