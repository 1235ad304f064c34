"""The page's server on a real socket: who says nothing is let go, who is being answered is not."""

from __future__ import annotations

import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import listeners
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web import live
from birdwatchd.web.access import guard, patience, places
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.patience import Crowd
from birdwatchd.web.home import Home
from birdwatchd.web.server import serve
from tests.support.peers import free_port

SHORT_S = 0.3
NEWS = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
VISIT, CLIP = "v1", "media/nut/2026/05/01/v1.mp4"


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        (store.home / CLIP).parent.mkdir(parents=True, exist_ok=True)
        with (store.home / CLIP).open("wb") as clip:
            clip.truncate(30_000_000)
        store.writer().record(example_visit(VISIT, clip=CLIP), [], START)
        yield store.home


@pytest.fixture
def port(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(patience, "REQUEST_S", SHORT_S)
    monkeypatch.setattr(guard, "FORM_S", SHORT_S)
    port, stop = free_port(), Stop()
    config = Config.model_validate({"home": home, "web": {"bind": port}})
    thread = threading.Thread(target=serve, args=(config, listeners(config.web), stop))
    thread.start()
    try:
        yield port
    finally:
        stop.set("the test is over")
        thread.join(5)
    assert not thread.is_alive()


def connected(port: int, said: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    sock.sendall(said)
    return sock


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", b"GET /species HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
)
def test_who_says_nothing_more_is_let_go(port: int, said: bytes) -> None:
    """Three hundred connections that say nothing, or a letter a minute, would be all that the page has."""
    began_s = time.monotonic()
    with connected(port, said) as sock:
        while sock.recv(65536):
            pass  # until the other end closes
    assert SHORT_S * 0.9 < time.monotonic() - began_s < 4


def test_a_form_that_does_not_come_is_given_up(port: int) -> None:
    """The head of a request is quickly sent; its body may be promised for ever."""
    here = f"Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head = f"POST /logout HTTP/1.1\r\n{here}Content-Length: 9\r\n\r\n"
    with connected(port, head.encode() + b"a=") as sock:
        assert sock.recv(65536).startswith(b"HTTP/1.1 408")


def test_a_page_that_waits_for_news_is_not_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing for hours, and is not silent: it is being answered."""
    monkeypatch.setattr(live, "HEARTBEAT_S", SHORT_S * 3)
    began_s = time.monotonic()
    with connected(port, b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as sock:
        heard = b""
        while b": still here" not in heard:
            more = sock.recv(65536)
            assert more, "hung up"
            heard += more
    assert time.monotonic() - began_s > SHORT_S * 2


def test_who_does_not_read_the_answer_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a clip and takes none of it would keep a connection, and the file open, for ever."""
    monkeypatch.setattr(patience, "STALLED_S", SHORT_S)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(5)
    slow.connect(("127.0.0.1", port))
    with slow:
        slow.sendall(f"GET /visits/{VISIT}/clip HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        began_s = time.monotonic()
        hung_up = select.poll()
        hung_up.register(slow, select.POLLERR | select.POLLHUP)
        ended = bool(hung_up.poll(4000))  # nothing is read meanwhile
    assert ended
    assert SHORT_S * 0.9 < time.monotonic() - began_s < 4


def is_ended(sock: socket.socket) -> bool:
    """Whether the other end has hung up, within a second."""
    sock.settimeout(1)
    try:
        return not sock.recv(1)
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def from_peer(port: int, peer: str, said: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(peer, 0))
    sock.sendall(said)
    return sock


@pytest.fixture
def only_one_is_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOPBACKS", ("127.0.0.1/32",))


@pytest.mark.parametrize(("said", "most"), [(b"GET / HTTP/1.1\r\nHost: 127", "MOST_SILENT"), (NEWS, "MOST_OPEN")])
def test_one_peer_cannot_have_all_connections(
    only_one_is_own: None, port: int, monkeypatch: pytest.MonkeyPatch, said: bytes, most: str
) -> None:
    """Half a request on each of 300 connections, or a stream of news: others would see no page."""
    monkeypatch.setattr(patience, most, 4)
    monkeypatch.setattr(patience, "REQUEST_S", 30.0)
    with ExitStack() as held:
        socks = []
        for _ in range(4):
            socks.append(held.enter_context(from_peer(port, "127.0.0.2", said)))
            if said is NEWS:
                assert socks[-1].recv(12) == b"HTTP/1.1 200"
        assert is_ended(held.enter_context(from_peer(port, "127.0.0.2", b"")))
        assert held.enter_context(from_peer(port, "127.0.0.3", NEWS)).recv(12) == b"HTTP/1.1 200"
        for _ in range(8):  # this machine's own are not counted
            assert held.enter_context(from_peer(port, "127.0.0.1", NEWS)).recv(12) == b"HTTP/1.1 200"
        socks[0].close()
        time.sleep(0.5)
        assert held.enter_context(from_peer(port, "127.0.0.2", NEWS)).recv(12) == b"HTTP/1.1 200"


def test_connections_are_counted_to_the_end(only_one_is_own: None, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is forgotten when it ends shuts a device out for ever after a day of pages."""
    monkeypatch.setattr(patience, "MOST_OPEN", 3)
    monkeypatch.setattr(patience, "MOST_SILENT", 3)
    asked = b"GET /species HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for said in (b"", asked, asked * 3, b"rubbish\r\n\r\n", NEWS) * 3:
        with from_peer(port, "127.0.0.2", said) as sock:
            assert not said or sock.recv(12).startswith(b"HTTP/1.1 ")
        time.sleep(0.1)


def test_who_is_one_peer() -> None:
    """In IPv6 anybody has a /64; proxies are one together, and this machine and Home Assistant are not counted."""
    crowd = Crowd(["10.0.0.0/8", "127.0.0.2"], ["172.30.32.2"])
    assert crowd.network("2001:db8::1") == crowd.network("2001:db8::2")
    assert crowd.network("::ffff:192.0.2.7") == crowd.network("192.0.2.7") == "192.0.2.7"
    assert [crowd.network(one) for one in ("127.0.0.1", "::1", "172.30.32.2", "::ffff:172.30.32.2", "")] == [""] * 5
    assert {crowd.network(one) for one in ("10.1.2.3", "::ffff:10.1.2.3", "127.0.0.2")} == {patience.PROXIES}


@pytest.fixture
def proxied(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A page with guests behind a proxy at 127.0.0.2, which is nobody's proxy at any other address."""
    monkeypatch.setattr(patience, "LOOPBACKS", ())
    monkeypatch.setattr(places, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(places, "MOST_STRANGERS", 10)
    monkeypatch.setattr(places, "MOST_AT_THE_DOOR", 12)
    monkeypatch.setattr(patience, "MOST_OF_PROXIES", 16)
    (tmp_path / "password").write_text(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse"))
    port, stop = free_port(), Stop()
    web = {"bind": port, "guest": True, "trusted_proxies": ["127.0.0.2"], "password_file": tmp_path / "password"}
    config = Config.model_validate({"home": home, "web": web})
    thread = threading.Thread(target=serve, args=(config, listeners(config.web), stop))
    thread.start()
    try:
        yield port
    finally:
        stop.set("the test is over")
        thread.join(5)
    assert not thread.is_alive()


def news_for(device: str, more: str = "", path: str = "/events") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {device}\r\n{more}\r\n".encode()


def status_of(sock: socket.socket) -> int:
    return int(sock.recv(12).split(b" ")[1])


def logged_in(port: int) -> str:
    """The cookie of somebody who knows the password."""
    with from_peer(port, "127.0.0.2", news_for("198.51.100.9", path="/login")) as sock:
        page = b""
        while some := sock.recv(65536):
            page += some
            if b"</html>" in page:
                break
    found = re.search(rb'name="token" value="(\w+)"', page)
    assert found is not None
    form = f"token={found[1].decode()}&password=correct+horse"
    head = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Length: {len(form)}\r\n\r\n"
    with from_peer(port, "127.0.0.2", (head + form).encode()) as sock:
        cookie = re.search(r"birdwatchd_session=[^;]+", sock.recv(65536).decode())
    assert cookie is not None
    return cookie[0]


def test_a_device_behind_a_proxy_has_its_own_bound(proxied: int) -> None:
    """All devices have the proxy's address: one guest's streams of news were all that the page has."""
    with ExitStack() as held:

        def asks(said: bytes, peer: str = "127.0.0.2") -> int:
            sock = held.enter_context(from_peer(proxied, peer, said))
            return status_of(sock)

        assert [asks(news_for("198.51.100.1")) for _ in range(5)] == [200] * 4 + [503]
        assert [asks(news_for("198.51.100.2")) for _ in range(4)] == [200] * 4
        assert asks(news_for("2001:db8::1")) == 200
        # Who is nobody's proxy takes no place of the device that it names.
        assert asks(news_for("198.51.100.1"), "127.0.0.3") == 200


def test_guests_leave_places_for_the_login_and_for_who_is_logged_in(proxied: int) -> None:
    """With as many addresses as they like: the owner comes in, and sees what happens."""
    with ExitStack() as held:

        def asks(said: bytes) -> int:
            return status_of(held.enter_context(from_peer(proxied, "127.0.0.2", said)))

        statuses = [asks(news_for(f"198.51.100.{number}")) for number in range(12)]
        assert statuses == [200] * 10 + [503] * 2
        cookie = f"Cookie: {logged_in(proxied)}\r\n"
        assert asks(news_for("198.51.100.1", cookie)) == 200
        assert asks(news_for("198.51.100.1", cookie, "/health")) == 200


def test_proxies_leave_connections_for_others(proxied: int) -> None:
    """One that opens hundreds of them, of which nobody knows whose they are, does not keep this machine out."""
    with ExitStack() as held:
        for _ in range(16):
            held.enter_context(from_peer(proxied, "127.0.0.2", b""))
        assert is_ended(held.enter_context(from_peer(proxied, "127.0.0.2", b"")))
        assert status_of(held.enter_context(from_peer(proxied, "127.0.0.3", NEWS))) == 200


def test_too_much_of_a_head_is_refused(port: int) -> None:
    """Nobody's browser sends 20,000 letters of cookies."""
    with connected(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + b"x" * 40_000) as sock:
        assert sock.recv(65536).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b""))


@pytest.mark.parametrize("path", ["/species", "/api/v1/species"])
@pytest.mark.parametrize("part", [(Home, "store"), (Login, "is_open")], ids=["a page", "the guard"])
def test_a_fault_of_the_page_is_said_as_one(
    port: int,
    path: str,
    part: tuple[type, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bare "Internal Server Error" is a dead end: nobody knows whose turn it is, nor what to look for in the log."""

    def broken(_: object) -> None:
        raise ZeroDivisionError("a secret of the station")

    monkeypatch.setattr(*part, property(broken))
    asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    answers = []
    for _ in range(2):
        with connected(port, asked.encode()) as sock:
            answers.append(b"".join(iter(lambda: sock.recv(65536), b"")).decode())
    assert [answer[:12] for answer in answers] == ["HTTP/1.1 500"] * 2
    faults = [re.findall(r"as fault ([0-9a-f]{8})", answer) for answer in answers]
    assert faults[0] == faults[1]  # of one that repeats the log has only some
    head, _, body = answers[0].partition("\r\n\r\n")
    assert "content-security-policy: default-src 'none'" in head
    assert "ZeroDivision" not in body
    assert "secret" not in body
    if path.startswith("/api"):
        assert json.loads(body)["error"].endswith(faults[0][0])
    else:
        assert '<p class="problem" role="alert">The page itself has a fault' in body
    logged = caplog.handler.format(next(one for one in caplog.records if one.exc_info))
    assert f"fault {faults[0][0]} of the page, at GET '{path}'" in logged
    assert "ZeroDivisionError: a secret of the station" in logged
    assert logged.count(" of the page, at ") == 1
