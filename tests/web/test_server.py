"""The page's server on a real socket: who says nothing is let go, who is being answered is not."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import listeners
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web import live
from birdwatchd.web.access import guard, patience
from birdwatchd.web.server import serve
from tests.support.peers import free_port

SHORT_S = 0.3
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


def test_too_much_of_a_head_is_refused(port: int) -> None:
    """Nobody's browser sends 20,000 letters of cookies."""
    with connected(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + b"x" * 40_000) as sock:
        assert sock.recv(65536).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b""))
