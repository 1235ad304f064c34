"""Stand in front of every route: who asks, under which name, from where; and what every answer carries.

Nothing is served that is not allowed here: a route that somebody adds is closed to strangers without a word of its own.

- The name in the address must be one of this station's. A page of a stranger whose name resolves to this machine (DNS
  rebinding) asks under the stranger's name.
- What changes something is a POST, comes from a page of this origin, and holds the token of its session.
- Without a login there is the login page and its style sheet, no picture, no clip; what else is whose, says `roles.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from math import ceil
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from birdwatchd.errors import ConfigError
from birdwatchd.settings.web import WebSettings
from birdwatchd.web.access.ingress import FORMS, Ingress, is_from_own_page
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.places import Places
from birdwatchd.web.access.proxies import Proxies, path_of
from birdwatchd.web.access.roles import Role, may
from birdwatchd.web.access.tokens import Tokens
from birdwatchd.web.access.tries import network_of
from birdwatchd.web.cookies import cookie
from birdwatchd.web.language.catalogue import ENGLISH, N_, language
from birdwatchd.web.language.choice import chosen

__all__ = ["COOKIE", "Guard", "Hosts", "headers_of_all", "own_path"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)

COOKIE = "birdwatchd_session"
MOST_BODY_BYTES = 10_000  # a form has a few words
FORM_S = 10.0  # for all of them to arrive
MOST_PATH_BYTES = 2_000
TOO_OLD = N_("This page is out of date. Load it again and try once more.")
TOO_MANY = N_("Too many ask for this page at once. Try again in some seconds.")
LOG_IN_FIRST = N_("Log in first.")
API = "/api/"  # for programs: what is wrong is said as JSON, and no login page is shown
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self';"
    " manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
FRAMED = (b"frame-ancestors 'none'", b"frame-ancestors 'self'")


class Hosts:
    """The names of this station's page in an address.

    An address in numbers is always one: nobody can make a name of a stranger's resolve to it and be asked under it.
    """

    def __init__(self, settings: WebSettings) -> None:
        own = socket.gethostname().lower()
        self._names = {"localhost", *settings.hosts, *([] if settings.is_local else [own, f"{own}.local"])}

    def has(self, host: str) -> bool:
        """Whether a `Host` header (name, or name:port) is one of them."""
        try:
            parts = urlsplit(f"//{host}")
            name, _ = (parts.hostname or "").rstrip("."), parts.port  # a port that is no number is an error too
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


class Guard:
    """An ASGI application that lets the right requests through to another.

    What it lets through has in `scope["state"]`: `session` (empty without), `token` for its forms (that of `forms_of`),
    `role`, `is_ingress`, and `form`, the fields of a POST.
    """

    def __init__(self, app: App, settings: WebSettings, login: Login, tokens: Tokens) -> None:
        self._app, self._login, self._tokens = app, login, tokens
        self._hosts, self._proxies, self._ingress = Hosts(settings), Proxies(settings), Ingress(settings)
        self._places = Places()
        self._stranger = Role.GUEST if settings.guest else Role.NOBODY
        self._language = settings.language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        is_ingress = self._ingress.is_entered(scope)
        placed = self._ingress.placed(scope) if is_ingress else self._proxies.believed(scope)
        if placed is None:
            send = _with_headers("", send, may_frame=False)
            await _answer(scope, send, 403, "Only Home Assistant is answered here.")
            return
        device = "" if is_ingress or placed["client"] == scope["client"] else network_of(_peer(placed))
        scope = placed
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope = {**scope, "language": chosen(headers, self._language), "headers": _without_cookies(scope)}
        send = _with_headers(scope["root_path"], send, may_frame=is_ingress)
        refusal = self._refusal(scope, headers, is_ingress=is_ingress)
        if refusal:
            more = [(b"allow", ", ".join(_methods(scope)).encode())] if refusal[0] == 405 else []
            await _answer(scope, send, *refusal, more)
            return
        session = cookie(headers.get("cookie", ""), COOKIE)
        known = bool(session) and self._login.knows(session)
        session = session if known else ""
        is_owner = is_ingress or known or self._login.is_open
        token = _bearer(headers) if path_of(scope).startswith(API) and not is_owner else ""
        wait_s = self._login.tokens.wait_s(_peer(scope)) if token else 0.0
        if wait_s > 0:
            retry = [(b"retry-after", str(ceil(wait_s)).encode())]
            await _answer(scope, send, 429, "There were too many wrong tokens from there.", retry)
            return
        role = Role.OWNER if is_owner else self._program(token, _peer(scope))
        forms_of = FORMS if is_ingress else session
        scope["state"] = {"session": session, "forms_of": forms_of, "token": self._login.token(forms_of), "role": role}
        scope["state"]["is_ingress"] = is_ingress
        at_the_door = may(Role.NOBODY, scope["method"], path_of(scope))
        with self._places.place(device, role, at_the_door=at_the_door) as free:
            if not free:
                await _answer(scope, send, 503, TOO_MANY, [(b"retry-after", b"5")])
            elif may(role, scope["method"], path_of(scope)):
                await self._hand_on(scope, headers, receive, send)
            else:
                await self._to_login(scope, headers, send)

    async def _hand_on(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        """Let a request through; a form only from a page of its session."""
        if scope["method"] == "POST":
            try:
                form = await asyncio.wait_for(_read_form(receive), FORM_S)
            except TimeoutError:
                await _answer(scope, send, 408, N_("The form did not arrive in time."))
                return
            if form is None:
                await _answer(scope, send, 413, N_("That is too much for a form."))
                return
            given = headers.get("x-csrf-token") or form.get("token", "")
            if not self._login.is_token(scope["state"]["forms_of"], given):
                await _answer(scope, send, 403, TOO_OLD)
                return
            scope["state"]["form"] = form
        if scope["method"] == "HEAD":  # the server leaves out the body
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str], *, is_ingress: bool) -> tuple[int, str] | None:
        """Why a request is refused whoever sends it; None for one that is not."""
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_PATH_BYTES:
            return 414, N_("This address is too long.")
        if scope["method"] not in _methods(scope):
            return 405, f"Only {', '.join(_methods(scope))} are answered."
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not is_ingress and (len(hosts) != 1 or not self._hosts.has(headers["host"])):
            text = N_("This page is not known under this name. Add it to `web: hosts` in the station's configuration.")
            return 421, text
        from_own_page = is_from_own_page if is_ingress else _same_origin
        if scope["method"] == "POST" and not from_own_page(headers):
            return 403, N_("This was sent from a page of another site and was refused.")
        return None

    def _program(self, token: str, peer: str) -> Role:
        """What somebody without a session is, who may have sent a token."""
        if not token:
            return self._stranger
        try:
            name = self._tokens.name_of(token)
        except ConfigError as error:
            log.error("the page: no token is accepted: %s", error)
            name = None
        if name is None:
            self._login.refuse_token(peer, token)
        return Role.NOBODY if name is None else Role.PROGRAM

    @staticmethod
    async def _to_login(scope: Scope, headers: dict[str, str], send: Send) -> None:
        browses = "text/html" in headers.get("accept", "") and "hx-request" not in headers
        wants_page = browses and not path_of(scope).startswith(API)
        if scope["method"] != "GET" or not wants_page:
            asks = [(b"www-authenticate", b"Bearer")] if path_of(scope).startswith(API) else []
            await _answer(scope, send, 401, LOG_IN_FIRST, asks)
            return
        asked = path_of(scope) + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        await _answer(scope, send, 303, LOG_IN_FIRST, [(b"location", f"/login?next={quote(asked, safe='')}".encode())])


def _methods(scope: Scope) -> tuple[str, ...]:
    """What may be done with an address; programs only read."""
    return ("GET", "HEAD") if path_of(scope).startswith(API) else ("GET", "HEAD", "POST")


def own_path(path: str, otherwise: str) -> str:
    """A path of this page that a form or an address wants to go on to; another's address is not followed."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else otherwise


def _same_origin(headers: dict[str, str]) -> bool:
    """Whether the browser says that a page of ours sent it: by `Origin`, or where there is none by `Sec-Fetch-Site`."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == headers.get("host", "").lower()


def _peer(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _bearer(headers: dict[str, str]) -> str:
    """The token of a program. It stands in a header and nowhere else: addresses end up in logs and histories."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def _read_form(receive: Receive) -> dict[str, str] | None:
    """The fields of a form; None where it is too large. Of a field that is there twice the last one counts."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return {}
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            return None
        if not message.get("more_body"):
            break
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def headers_of_all(*, may_frame: bool) -> list[tuple[bytes, bytes]]:
    """What every answer carries, and that nobody keeps it where it says nothing else.

    Args:
        may_frame: pages of the same origin may show it in a frame, as Home Assistant's do.
    """
    headers = [(name, value.replace(*FRAMED) if may_frame else value) for name, value in HEADERS]
    return [*headers, (b"cache-control", b"no-store")]


def _with_headers(root_path: str, send: Send, *, may_frame: bool) -> Send:
    """What every answer carries. Where it leads to an address of the page (`Location`), that is below the root path.

    Args:
        may_frame: pages of the same origin may show it in a frame, as Home Assistant's do.
    """
    headers = headers_of_all(may_frame=may_frame)

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            sent = [
                (name, root_path.encode() + value if name.lower() == b"location" and value[:1] == b"/" else value)
                for name, value in message.get("headers", [])
            ]
            given = {name.lower() for name, _ in sent}
            extra = [one for one in headers if one[0] != b"cache-control" or one[0] not in given]
            message = {**message, "headers": [*sent, *extra]}
        await send(message)

    return sending


def _without_cookies(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers for the page, which needs no cookie: FastAPI would parse all, and `http.cookies` is slow at some."""
    return [(name, value) for name, value in scope["headers"] if name != b"cookie"]


async def _answer(
    scope: Scope, send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    said = language(scope.get("language", ENGLISH)).gettext(text)
    body, kind = f"{said}\n".encode(), b"text/plain; charset=utf-8"
    if path_of(scope).startswith(API):
        body, kind = json.dumps({"error": text, "hint": ""}).encode(), b"application/json"
    plain = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
