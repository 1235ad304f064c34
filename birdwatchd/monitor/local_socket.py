"""Ask the running daemon something from the same machine: a Unix socket in its home, for its own user and root only.

A request is one line of JSON (`ask`, `bytes`) and so many bytes; the answer is JSON lines until the end. The socket has
mode 0600, and who connects is checked by the kernel's word (SO_PEERCRED, unix(7)) as well. It answers one client at a
time, each within a bounded time, and can change nothing: the daemon does a self-test or shows its newest log lines.
What the cameras show now, and why birds can hardly be seen there, is asked at a socket of its own, so that no self-test
holds it up.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdwatchd.flow import Stop
from birdwatchd.records import Blindness

if TYPE_CHECKING:
    from io import BufferedRWPair

__all__ = ["BLIND", "LIVE_SOCKET_NAME", "SOCKET_NAME", "LocalSocket", "NobodyAnswers", "ask", "blind_cameras"]

log = logging.getLogger(__name__)

SOCKET_NAME = "birdwatchd.sock"
LIVE_SOCKET_NAME = "birdwatchd-live.sock"
BLIND = "blind"  # asks at the live socket why birds can hardly be seen at each camera
BLIND_S = 1.0  # it is answered at once
MOST_BYTES = 4_000_000  # of a request
REQUEST_S = 5.0  # for a request to arrive, all of it
POLL_S = 0.5
BACKLOG = 128  # clients that wait, one more is refused at once: as many as a page may ask at a time, and commands
_PEER = struct.Struct("iII")  # pid, uid, gid

Answers = Mapping[str, Callable[[bytes], Iterator[dict[str, Any]]]]


class NobodyAnswers(Exception):
    """No daemon answers at this home; the text says what was found."""


class LocalSocket:
    """The daemon's end. `run` it in a thread; make it only while holding the home (`Store.claim`)."""

    def __init__(self, home: Path, answers: Answers, name: str = SOCKET_NAME) -> None:
        """
        Args:
            answers: what answers each `ask`, given the bytes of the request; called in the socket's thread.
            name: of the socket in the home.
        """
        self._home, self._answers, self._name = home, answers, name
        self._failing = False

    def run(self, stop: Stop) -> None:
        """Answer until the stop. Where there can be no socket, that is logged, and the daemon goes on without."""
        try:
            listener = _listen(self._home, self._name)
        except OSError as error:
            what = ", ".join(self._answers)
            log.warning("%s cannot be made (%s); nobody can ask for: %s", self._home / self._name, error.strerror, what)
            return
        with closing(listener):
            while not stop.is_set():
                if (client := self._next_client(listener, stop)) is not None:
                    with closing(client):
                        self._meet(client)
        with suppress(OSError):
            (self._home / self._name).unlink()

    def _next_client(self, listener: socket.socket, stop: Stop) -> socket.socket | None:
        """Wait for one, for a moment. Where none can be taken (out of files), it is no reason to end the daemon."""
        try:
            client, _ = listener.accept()
        except TimeoutError:
            return None
        except OSError as error:
            if not self._failing:
                log.warning("%s takes no questions now: %s", self._home / self._name, error.strerror)
            self._failing = True
            stop.wait(POLL_S)
            return None
        if self._failing:
            log.info("%s takes questions again", self._home / self._name)
        self._failing = False
        return client

    def _meet(self, client: socket.socket) -> None:
        if _uid_of(client) not in (os.geteuid(), 0):
            return
        client.settimeout(REQUEST_S)
        try:
            with client.makefile("rwb") as stream:
                for line in self._answer(stream, time.monotonic() + REQUEST_S):
                    stream.write(json.dumps(line).encode() + b"\n")
                    stream.flush()
        except (OSError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            log.debug("a client of the local socket got no answer (%s)", type(error).__name__)

    def _answer(self, stream: BufferedRWPair, until_s: float) -> Iterator[dict[str, Any]]:
        """Read a request and give its answer.

        Raises:
            OSError, ValueError, TypeError: it is none, or does not come in time.
        """
        request = json.loads(stream.readline(1000))
        size = int(request.get("bytes", -1)) if isinstance(request, dict) else -1
        if not 0 <= size <= MOST_BYTES:
            raise ValueError("too large")
        body = bytearray()
        while len(body) < size:
            part = stream.read1(size - len(body))
            if not part or time.monotonic() > until_s:
                raise ValueError("cut off")
            body += part
        answer = self._answers.get(str(request.get("ask")))
        if answer is None:
            yield {"problem": f"the daemon answers only to: {', '.join(self._answers)}; is it of another version?"}
            return
        yield from answer(bytes(body))


def ask(
    home: Path, what: str, body: bytes = b"", *, name: str = SOCKET_NAME, timeout_s: float = 30.0
) -> Iterator[dict[str, Any]]:
    """Ask the daemon of a home; gives the lines of its answer as they come.

    Args:
        name: of the socket in the home.
        timeout_s: for which it may be silent.

    Raises:
        NobodyAnswers: there is no daemon, or it may not be asked, or it fell silent.
    """
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout_s)
    with closing(client):
        try:
            folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                client.connect(f"/proc/self/fd/{folder}/{name}")
            finally:
                os.close(folder)
        except PermissionError:
            raise NobodyAnswers("its socket is not yours; run this as the daemon's user, or as root") from None
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NobodyAnswers("no daemon listens there") from None
        except OSError as error:
            raise NobodyAnswers(f"its socket cannot be used ({error.strerror})") from None
        got = False
        try:
            with client.makefile("rwb") as stream:
                stream.write(json.dumps({"ask": what, "bytes": len(body)}).encode() + b"\n" + body)
                stream.flush()
                for line in stream:
                    got = True
                    yield json.loads(line)
        except TimeoutError:
            raise NobodyAnswers(f"the daemon has been silent for {timeout_s:.0f} s") from None
        except (OSError, ValueError):
            if got:
                raise NobodyAnswers("the daemon hung up in the middle of its answer") from None
        if not got:
            raise NobodyAnswers("the daemon hung up without an answer; run this as its user, or as root")


def blind_cameras(home: Path) -> dict[str, Blindness | None]:
    """Why birds can hardly be seen at each camera of a home; empty where no daemon says so."""
    try:
        found = list(ask(home, BLIND, name=LIVE_SOCKET_NAME, timeout_s=BLIND_S))
    except NobodyAnswers:
        return {}
    reasons = {why.value: why for why in Blindness}
    return {str(one["camera"]): reasons.get(one["blind"]) for one in found if "camera" in one}  # none of an older one


def _listen(home: Path, name: str) -> socket.socket:
    """A listening socket that only its own user can connect to; takes the place of one that a killed daemon left.

    Raises:
        OSError: it cannot be made.
    """
    part = f".{name}.part"
    with suppress(FileNotFoundError):
        (home / part).unlink()
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # what bind gives the file, so that it never has another mode
        listener.bind(f"/proc/self/fd/{folder}/{part}")  # a path may have 107 characters only, a home more
        listener.listen(BACKLOG)
        os.replace(home / part, home / name)
        listener.settimeout(POLL_S)
    except OSError:
        listener.close()
        with suppress(OSError):
            (home / part).unlink()  # exFAT under FUSE makes a file, and says that it cannot be made
        raise
    finally:
        os.close(folder)
    return listener


def _uid_of(client: socket.socket) -> int:
    """The user at the other end, as the kernel noted it when it connected."""
    _, uid, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)
