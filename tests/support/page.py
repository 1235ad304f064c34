"""Ask the page for something without a network: one request through the guard, as a web server hands it on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.web.access.guard import COOKIE
from birdwatchd.web.access.ingress import FORMS
from birdwatchd.web.access.login import Login
from birdwatchd.web.app import build_app

HOST = "127.0.0.1:8787"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    """Somebody who asks: with a session or without. The headers are those that browsers send."""

    config: Config
    login: Login
    peer: str = "127.0.0.1"
    session: str = ""
    port: int = 8787  # of the listener
    app: Any = field(init=False)

    def __post_init__(self) -> None:
        self.app = build_app(self.config, self.login, _stopped())

    def get(self, address: str, method: str = "GET", **headers: str) -> Answer:
        return self.ask(method, address, {"accept": "text/html", **_named(headers)})

    def post(self, address: str, form: Mapping[str, str], *, token: str | None = None, **headers: str) -> Answer:
        """Send a form, from a page of this origin and with the session's token, unless the headers say otherwise."""
        web = self.config.web
        forms_of = FORMS if web.ingress and self.port == web.ingress_at.port else self.session
        given = {"token": self.login.token(forms_of) if token is None else token} | dict(form)
        usual = {"origin": f"http://{HOST}", "content-type": "application/x-www-form-urlencoded"}
        return self.ask("POST", address, {**usual, **_named(headers)}, urlencode(given).encode())

    def ask(self, method: str, address: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request; a header that is empty is not sent."""
        parts = urlsplit(address)
        sent = {"host": HOST, **headers}
        if self.session:
            sent["cookie"] = f"{COOKIE}={self.session}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": _decoded(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items() if value],
            "client": (self.peer, 50000),
            "server": ("127.0.0.1", self.port),
        }
        answer = asyncio.run(_run(self.app, scope, body))
        for cookie in SimpleCookie(answer.headers.get("set-cookie", "")).values():
            if cookie.key == COOKIE:
                self.session = cookie.value
        return answer


def browser(home: Path, *, login: Login | None = None, **config: Any) -> Browser:
    """Somebody at a station's own machine; logged in nowhere."""
    return Browser(Config.model_validate({"home": home, **config}), login if login is not None else Login(""))


async def _run(app: Any, scope: dict[str, Any], body: bytes) -> Answer:
    got: dict[str, Any] = {"body": b""}
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(3600)  # a browser that stays
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            got["status"] = message["status"]
            got["headers"] = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            got["body"] += message.get("body", b"")

    await app(scope, receive, send)
    return Answer(got["status"], got["headers"], got["body"])


def _decoded(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """`sec_fetch_site` is the header sec-fetch-site."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _stopped() -> Stop:
    """Streams of news end after their first line."""
    stop = Stop()
    stop.set("a test")
    return stop


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")
