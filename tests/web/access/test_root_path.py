"""The page under a path of a reverse proxy: every address that it writes is below that path, and answers."""

from __future__ import annotations

import http.client
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.settings.web import OWN_ADDRESSES, WebSettings
from birdwatchd.stages.page_process import listeners
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store
from birdwatchd.web.access.login import Login
from birdwatchd.web.app import routes
from birdwatchd.web.server import serve
from tests.support.page import Answer, Browser, browser
from tests.support.peers import free_port
from tests.support.reverse_proxy import reverse_proxy

ROOT = "/garden/birds"
PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # as it is kept, but made quickly
CLIPS = "media/nut/2026/05/01"
STATIC = Path(__file__).parents[3] / "birdwatchd/web/static"
ADDRESS = re.compile(r"""\s(?:href|src|data-still|action|poster|hx-[a-z]+|content)="(/[^"]*|\d+;url=[^"]*)\"""")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    picture = io.BytesIO()
    bird_image().save(picture, "JPEG")
    with temporary_store() as store:
        (store.home / CLIPS).mkdir(parents=True)
        for number in range(30):  # more than fit on a page
            clip = f"{CLIPS}/v{number}.mp4"
            (store.home / clip).write_bytes(bytes(100))
            visit = example_visit(f"v{number}", clip=clip)
            store.writer().record(visit, [example_moment(jpeg=picture.getvalue())], START)
        yield store.home


def addresses(page: str) -> set[str]:
    return {unescape(found) for found in ADDRESS.findall(page)}


def crawl(get: Callable[[str], Answer], root: str) -> set[str]:
    """Follow every address of every page from the front on; returns them all."""
    seen, waiting = set[str](), [f"{root}/"]
    while waiting and len(seen) < 250:
        address = waiting.pop(0)
        seen.add(address)
        answer = get(address)
        assert answer.status == 200 or "/review" in address, (address, answer.status)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        for found in addresses(answer.text):
            assert found.startswith(f"{root}/"), f"{address} leads to {found}"
            where = found.partition("#")[0]
            if where not in seen and where not in waiting and not where.endswith(("/logout", "/language")):
                waiting.append(where)
    return seen


@pytest.mark.parametrize(
    ("settings", "headers", "asked"),
    [
        ({"root_path": ROOT}, {}, ROOT),  # the proxy keeps the path
        ({"root_path": f"{ROOT}/"}, {}, ""),  # or takes it away
        ({"trusted_proxies": ["127.0.0.1"]}, {"x_forwarded_prefix": ROOT}, ""),
        ({"trusted_proxies": ["127.0.0.1"]}, {"x_forwarded_prefix": ROOT}, ROOT),
    ],
)
def test_every_address_is_below_the_path_and_answers(
    home: Path, tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], asked: str
) -> None:
    """One that forgot the path leads to another program of the same host, or to nothing."""
    somebody = browser(home, web={"password_file": tmp_path / "p", **settings})
    seen = crawl(lambda address: somebody.get(asked + address.removeprefix(ROOT), **headers), ROOT)
    kinds = ("visits/v", "pictures/0", "/clip", "species/", "static/page.css", "static/page.js", "/health", "after=")
    assert [kind for kind in kinds if not any(kind in address for address in seen)] == []


def test_the_root_without_a_slash_is_the_front(home: Path) -> None:
    """`proxy_pass` with a path that people type without the last slash."""
    assert "<h1" in browser(home, web={"root_path": ROOT}).get(ROOT).text


def test_links_for_programs_are_below_the_path(home: Path) -> None:
    """A program follows `next` and the links of a visit as they stand; OpenAPI names where the paths begin."""
    somebody = browser(home, web={"root_path": ROOT})
    page = json.loads(somebody.get(f"{ROOT}/api/v1/visits?limit=2").body)
    links = [page["next"], *page["visits"][0]["links"].values()]
    assert len(links) == 6
    assert all(somebody.get(link).status == 200 for link in links if link.startswith(f"{ROOT}/"))
    assert [link for link in links if not link.startswith(f"{ROOT}/")] == []
    described = json.loads(somebody.get(f"{ROOT}/api/v1/openapi.json").body)
    assert described["servers"] == [{"url": f"{ROOT}/api/v1"}]
    plain = json.loads(browser(home).get("/api/v1/openapi.json").body)
    assert plain["servers"] == [{"url": "/api/v1"}]


def test_the_manifest_and_the_script_know_no_root(home: Path) -> None:
    """They are the same files under every path."""
    manifest = json.loads((STATIC / "manifest.json").read_text())
    where = f"http://x{ROOT}/static/manifest.json"
    assert urljoin(where, manifest["start_url"]) == urljoin(where, manifest["scope"]) == f"http://x{ROOT}/"
    for icon in manifest["icons"]:
        assert browser(home, web={"root_path": ROOT}).get(urlsplit(urljoin(where, icon["src"])).path).status == 200
    script = "\n".join(path.read_text() for path in STATIC.glob("*.js"))
    assert re.findall(r"""["'`]/[a-z][^"'`]*""", script) == [], "begin it with ${root}"
    assert "url(/" not in "\n".join(path.read_text() for path in STATIC.glob("*.css"))


def test_what_may_be_kept_for_ever_says_its_contents(home: Path) -> None:
    """The icon in the manifest has a bare address: a year later it would still be that of today."""
    page = browser(home).get("/").text
    addresses = {one for one in re.findall(r'(?:href|src)="(/static/[^"]+)"', page) if "manifest" not in one}
    assert len(addresses) >= 4
    for address in addresses:
        assert "immutable" in browser(home).get(address).headers["cache-control"]
    manifest = json.loads((STATIC / "manifest.json").read_text())
    for icon in manifest["icons"]:
        assert browser(home).get(f"/static/{icon['src']}").headers["cache-control"] == "max-age=3600"


def test_the_session_stays_below_the_path(home: Path, tmp_path: Path) -> None:
    """Another program under the same name must not be sent the session; and after the login one is where one wanted."""
    settings = {"root_path": ROOT, "password_file": tmp_path / "p"}
    somebody = browser(home, login=Login(HASH), web=settings)
    asked = somebody.get(f"{ROOT}/visits?day=2026-05-01")
    assert asked.headers["location"] == f"{ROOT}/login?next=%2Fvisits%3Fday%3D2026-05-01"
    assert f'action="{ROOT}/login"' in somebody.get(f"{ROOT}/login").text
    answer = somebody.post(f"{ROOT}/login", {"password": PASSWORD, "next": "/visits?day=2026-05-01"})
    assert answer.headers["location"] == f"{ROOT}/visits?day=2026-05-01"
    assert f"Path={ROOT};" in answer.headers["set-cookie"]
    left = somebody.post(f"{ROOT}/logout", {})
    assert (left.headers["location"], f"Path={ROOT};" in left.headers["set-cookie"]) == (f"{ROOT}/login", True)


@pytest.mark.parametrize(
    "said",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/birds\r\nset-cookie: a=b",
        '/x"onload="alert(1)',
        "/<script>",
        "/..",
        "/a/../b",
        "/a//b",
        "birds",
        "/birds, /evil",
        "/" + "x" * 300,
        "/birds?x",
        "/b%2f",
        "/bïrds",
    ],
)
def test_a_path_that_is_none_is_not_believed(home: Path, tmp_path: Path, said: str) -> None:
    """A proxy that hands on what the browser sent would else let a link lead elsewhere, or a header be split."""
    web = {"trusted_proxies": ["127.0.0.1"], "password_file": tmp_path / "p"}
    somebody = browser(home, login=Login(HASH), web=web)
    answer = somebody.get("/visits", x_forwarded_prefix=said)
    assert answer.headers["location"] == "/login?next=%2Fvisits"
    assert 'action="/login"' in somebody.get("/login", x_forwarded_prefix=said).text
    with pytest.raises(ValidationError):
        WebSettings(root_path=said)


def test_nobody_else_moves_the_page(home: Path, tmp_path: Path) -> None:
    """The header counts from a proxy of the configuration alone, and not against a path that stands there."""
    for settings, peer in (
        ({}, "127.0.0.1"),
        ({"trusted_proxies": ["10.0.0.1"], "password_file": tmp_path / "p"}, "127.0.0.1"),
    ):
        somebody = Browser(Config.model_validate({"home": home, "web": settings}), Login(HASH), peer)
        for header in ("x_forwarded_prefix", "x_ingress_path", "x_script_name", "x_forwarded_path"):
            answer = somebody.get("/visits", **{header: "/evil"})
            assert answer.headers["location"].startswith("/login?")
    fixed = {"trusted_proxies": ["127.0.0.1"], "password_file": tmp_path / "p", "root_path": ROOT}
    answer = browser(home, login=Login(HASH), web=fixed).get("/visits", x_forwarded_prefix="/evil")
    assert answer.headers["location"].startswith(f"{ROOT}/login?")


def test_a_path_that_is_an_address_of_the_page_is_refused() -> None:
    """Below /visits nobody could tell whether a proxy took that away."""
    own = {route.path.split("/")[1] for route in routes().routes if hasattr(route, "path")} - {""}
    assert own <= OWN_ADDRESSES
    for name in own:
        with pytest.raises(ValidationError, match="begins as addresses of the page do"):
            WebSettings(root_path=f"/{name}")


@pytest.mark.parametrize(
    ("web", "headers", "port"),
    [
        ({"root_path": ROOT}, {}, 8787),
        ({"trusted_proxies": ["127.0.0.1"]}, {"x_forwarded_prefix": ROOT}, 8787),
        ({"ingress": 8099, "ingress_peers": ["127.0.0.1"]}, {"x_ingress_path": ROOT}, 8099),
    ],
    ids=["the configuration", "a proxy", "Home Assistant"],
)
def test_a_fault_of_the_guard_leads_back_below_the_path(
    home: Path, monkeypatch: pytest.MonkeyPatch, web: dict[str, Any], headers: dict[str, str], port: int
) -> None:
    """The page that says it has links and a style sheet; outside of the path they are another program's."""

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    async def served(*call: Any) -> None:
        with suppress(ZeroDivisionError):  # which goes on to the server's log, after the answer
            await app(*call)

    somebody = browser(home, web={"password_file": home / "p", **web})
    somebody.port = port
    app, somebody.app = somebody.app, served
    monkeypatch.setattr("birdwatchd.web.access.guard.chosen", broken)
    answer = somebody.get("/visits", **headers)
    assert answer.status == 500
    shown = addresses(answer.text)
    assert f"{ROOT}/" in shown
    assert [one for one in shown if not one.startswith(f"{ROOT}/")] == []


@pytest.mark.parametrize(
    ("strips", "settings", "sets"),
    [
        (True, {"root_path": ROOT}, {}),
        (False, {"root_path": ROOT}, {}),
        (True, {"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-Prefix": ROOT}),
    ],
)
def test_behind_a_real_proxy(
    home: Path, tmp_path: Path, strips: bool, settings: dict[str, Any], sets: dict[str, str]
) -> None:
    """Sockets, a login with its cookie and form, every address, and the stream of news."""
    password = tmp_path / "password"
    password.write_text(HASH)
    port, stop = free_port(), Stop()
    web = {"bind": port, "password_file": password, **settings}
    config = Config.model_validate({"home": home, "web": web})
    thread = threading.Thread(target=serve, args=(config, listeners(config.web), stop))
    thread.start()
    try:
        with reverse_proxy(port, ROOT, strips=strips, sets={"X-Forwarded-For": "192.0.2.7"} | sets) as outer:
            here, cookie = f"http://127.0.0.1:{outer}", ""

            def ask(address: str, body: str = "", **headers: str) -> Answer:
                connection = http.client.HTTPConnection("127.0.0.1", outer, timeout=5)
                sent = {"Accept": "text/html", "Cookie": cookie, "Origin": here, **headers}
                connection.request("POST" if body else "GET", address, body or None, sent)
                got = connection.getresponse()
                answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
                connection.close()
                return answer

            led = ask(f"{ROOT}/visits").headers["location"]
            form = ask(led).text
            token = re.search(r'name="token" value="([0-9a-f]+)"', form)
            action = re.search(r'action="([^"]+)"', form)
            assert token is not None
            assert action is not None
            entered = ask(action[1], f"password={PASSWORD}&token={token[1]}&next=/visits".replace(" ", "+"))
            assert (entered.status, entered.headers["location"]) == (303, f"{ROOT}/visits")
            cookie = entered.headers["set-cookie"].partition(";")[0]
            assert len(crawl(ask, ROOT)) > 40
            news = http.client.HTTPConnection("127.0.0.1", outer, timeout=5)
            news.request("GET", f"{ROOT}/events", headers={"Cookie": cookie})
            stream = news.getresponse()
            assert (stream.status, stream.readline()[:6]) == (200, b"retry:")
            news.close()
    finally:
        stop.set("the test is over")
        thread.join(5)
    assert not thread.is_alive()


def test_what_was_done_leads_back_below_the_path(home: Path) -> None:
    """Without JavaScript a form is answered with the address to go on to, and that has the path once."""
    somebody = browser(home, web={"root_path": ROOT}, model={"name": "demo", "download": False})
    for where in ("/visits/v0/evidence", "/health/selftest"):
        answer = somebody.post(f"{ROOT}{where}", {})
        assert answer.status == 303
        assert somebody.get(answer.headers["location"].partition("#")[0]).status == 200
