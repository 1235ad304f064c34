"""The daemon's socket in its home: who may ask, what it survives, and what is said where nobody answers."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.flow import Stop
from birdwatchd.monitor import local_socket as module
from birdwatchd.monitor.local_socket import SOCKET_NAME, LocalSocket, NobodyAnswers, ask
from tests.support.peers import wait_for


@contextmanager
def served(home: Path) -> Iterator[None]:
    def echo(body: bytes) -> Iterator[dict[str, Any]]:
        yield {"size": len(body)}
        yield {"first": body[:3].decode("latin-1")}

    stop = Stop()
    thread = threading.Thread(target=LocalSocket(home, {"echo": echo}).run, args=(stop,))
    thread.start()
    wait_for((home / SOCKET_NAME).exists, "the socket", 10)
    yield
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_it_answers_its_own_user_and_nobody_else_could_open_it(tmp_path: Path) -> None:
    """The home may be readable for a group that looks at pictures."""
    with served(tmp_path):
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600
        assert list(ask(tmp_path, "echo", bytes(1_000_000))) == [{"size": 1_000_000}, {"first": "\x00\x00\x00"}]
        assert "it of another version" in next(ask(tmp_path, "delete everything"))["problem"]
    assert not (tmp_path / SOCKET_NAME).exists()


def test_another_user_gets_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode of a file can be changed by mistake; what the kernel says of who connects cannot."""
    monkeypatch.setattr(module, "_uid_of", lambda client: os.geteuid() + 1)
    with served(tmp_path), pytest.raises(NobodyAnswers, match="hung up without an answer"):
        list(ask(tmp_path, "echo"))


def test_a_home_with_a_long_path_and_a_socket_of_a_killed_daemon_are_no_obstacle(tmp_path: Path) -> None:
    """A Unix socket's path may have 107 characters, and kill -9 leaves it behind."""
    home = tmp_path / ("x" * 200)
    home.mkdir()
    (home / SOCKET_NAME).write_text("")
    with pytest.raises(NobodyAnswers, match="no daemon listens there"):
        list(ask(home, "echo"))
    thread = served(home)
    with thread:
        wait_for(lambda: stat.S_ISSOCK((home / SOCKET_NAME).stat().st_mode), "the new socket", 10)
        wait_for(lambda: (home / SOCKET_NAME).exists() and answers(home), "an answer", 10)


def answers(home: Path) -> bool:
    try:
        return list(ask(home, "echo", b"abc")) == [{"size": 3}, {"first": "abc"}]
    except NobodyAnswers:
        return False


@pytest.mark.parametrize(
    "junk",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b"7\n",
        b'{"ask": "echo"}\n',
        b'{"ask": "echo", "bytes": -1}\n',
        b'{"ask": "echo", "bytes": 99999999999}\n',
        b'{"ask": "echo", "bytes": "x"}\n',
        b'{"ask": "echo", "bytes": Infinity}\n',
        b"[" * 990 + b"\n",
        b'{"ask": ["echo"], "bytes": 0}\n',
        b"x" * 5000,
        b'{"ask": "echo", "bytes": 10}\nabc',
        b"",
    ],
)
def test_junk_is_hung_up_on_and_the_next_one_is_answered(tmp_path: Path, junk: bytes) -> None:
    """Anything may be written into a socket, and the daemon goes on."""
    with served(tmp_path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / SOCKET_NAME))
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(10)
            client.recv(4096)
        assert answers(tmp_path)


def test_a_client_that_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers one at a time: a silent one must not keep a person waiting."""
    monkeypatch.setattr(module, "REQUEST_S", 0.3)
    with served(tmp_path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / SOCKET_NAME))
        began_s = time.monotonic()
        client.settimeout(10)
        assert client.recv(10) == b""
        assert time.monotonic() - began_s < 5
        assert answers(tmp_path)


def test_many_who_ask_at_once_wait_for_their_turn(tmp_path: Path) -> None:
    """A page with many cameras, open in some browsers, asks for all pictures at once; a full queue refuses at once."""
    got: list[object] = []

    def ask_once() -> None:
        try:
            got.append(next(ask(tmp_path, "echo", b"abc"))["size"])
        except NobodyAnswers as why:
            got.append(str(why))

    with served(tmp_path):
        with socket.socket(socket.AF_UNIX) as slow:  # it is answered first, and says nothing yet
            slow.connect(str(tmp_path / SOCKET_NAME))
            threads = [threading.Thread(target=ask_once) for _ in range(40)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
        for thread in threads:
            thread.join(10)
    assert got == [3] * 40


def test_a_home_in_which_no_socket_can_be_made_costs_only_the_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Some network file systems have none."""
    LocalSocket(tmp_path / "gone", {"selftest": lambda body: iter(())}).run(Stop())
    assert "cannot be made (No such file or directory); nobody can ask for: selftest" in caplog.text
    with pytest.raises(NobodyAnswers, match="no daemon listens"):
        list(ask(tmp_path / "gone", "echo"))


def test_a_socket_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT under FUSE makes its file, and then says that it cannot: an empty file stayed in the home."""

    def failing(listener: socket.socket, backlog: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(socket.socket, "listen", failing)
    LocalSocket(tmp_path, {"selftest": lambda body: iter(())}).run(Stop())
    assert list(tmp_path.iterdir()) == []
