"""Keep the process of the page running: start it, start it again when it dies, end it with this program.

The page is served by a process of its own, so that nothing that is asked of it can cost a visit. The listening socket
is made here and handed on: while the process is started again, browsers wait instead of being refused. What is to be
served comes as one line on its stdin, whose end is the stop, so that it never outlives the program that started it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from birdwatchd.camera.process.memory import anonymous_mb
from birdwatchd.errors import ConfigError
from birdwatchd.flow import Backoff, Stop
from birdwatchd.settings.base import Listening
from birdwatchd.settings.config import Config
from birdwatchd.settings.web import WebSettings

__all__ = ["BEGIN_ANEW", "MODULE", "WORK", "PageProcess", "environment", "listeners", "listening", "page_served"]

log = logging.getLogger(__name__)

MODULE = "birdwatchd.web.child"
WORK = "page-work"  # below home: what SQLite sorts and cannot hold in memory; empty between two requests
RESTART_FIRST_S, RESTART_LAST_S = 0.5, 60.0
HEALTHY_S = 60.0  # a process that lived this long is started again at once
TAKEN_S = 30.0  # between two looks whether an address that another program uses is free, and the password there
STOP_S = 2.0  # for the process to end; it has nothing to lose, a review is one transaction
STARTING_S = 5.0  # in which it is still loading its libraries, and is not asked
POLL_S = 0.2
PASSED = frozenset({"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV"})
PASSED_FAMILIES = ("PYTHON", "LC_", "COVERAGE")
BEGIN_ANEW = 75  # exit status: the database is another one, and what it may reach was settled at its start
MOST_MB = 600  # of memory; 100 are usual, and 64 more for each password that is checked
BACKLOG = 64  # connections that wait while the process is started again


def listening(settings: Listening, key: str = "bind") -> socket.socket:
    """A socket that listens where the page is to be served.

    Args:
        key: of the configuration's `web`, which says where.

    Raises:
        ConfigError: the address is used by another program, or is none of this machine.
    """
    six = ":" in settings.host
    listener = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        what = "is used by another program" if taken else f"cannot be used ({error.strerror})"
        raise ConfigError(f"web.{key} {settings.bind} {what}", "give the page another port, or `web: off`") from None
    return listener


def listeners(settings: WebSettings) -> list[socket.socket]:
    """The sockets of a page: its own, and that for Home Assistant's ingress where there is to be one.

    Raises:
        ConfigError: as `listening`.
    """
    found = [listening(settings)]
    if settings.ingress:
        try:
            found.append(listening(settings.ingress_at, "ingress"))
        except ConfigError:
            found[0].close()
            raise
    return found


class PageProcess:
    """The page as the program that starts it sees it: `run` ends only after the stop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False  # and has not lived for long since

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def run(self, stop: Stop, given: Sequence[socket.socket] = ()) -> None:
        """Serve the page until the stop; each reason why there is none is said once, and tried again.

        Args:
            given: sockets that listen already (`listeners`); they are closed at the end.
        """
        sockets = given or self._listeners(stop)
        backoff = Backoff(RESTART_FIRST_S, RESTART_LAST_S, random.random)
        with ExitStack() as held:
            for one in sockets:
                held.enter_context(one)
            while not stop.is_set():
                start_s = time.monotonic()
                ending = self._serve(sockets, stop)
                if stop.is_set():
                    return
                if time.monotonic() - start_s > HEALTHY_S:
                    backoff.reset()
                if ending == f"status {BEGIN_ANEW}":
                    log.info("the page's process restarts: the database was replaced")
                    stop.wait(RESTART_FIRST_S)
                    continue
                wait_s = backoff.next_wait_s()
                log.warning("the page's process ended (%s); starting it again in %.1f s", ending, wait_s)
                self._ended = True
                stop.wait(wait_s)

    def _listeners(self, stop: Stop) -> list[socket.socket]:
        said = ""
        while not stop.is_set():
            try:
                self._config.web.read_password_hash()  # without it the process could only end
                found = listeners(self._config.web)
            except ConfigError as error:
                if said != str(error):
                    said = str(error)
                    log.error("there is no page: %s", said)
                stop.wait(TAKEN_S)
            else:
                log.info("the page is at %s", self._config.web.local_url)
                return found
        return []

    def _serve(self, sockets: Sequence[socket.socket], stop: Stop) -> str:
        """Run one process; returns how it ended."""
        start_s = time.monotonic()
        descriptors = [one.fileno() for one in sockets]
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, *map(str, descriptors)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=environment(os.environ, self._config.home),
            )
        except OSError as error:  # out of processes, files or memory
            return f"cannot be started: {os.strerror(error.errno or 0)}"
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone already
            process.stdin.write(json.dumps(self._config.without_secrets()).encode() + b"\n")
            process.stdin.flush()
        too_large = False
        while process.poll() is None and not stop.wait(POLL_S):
            if anonymous_mb(process.pid) > MOST_MB:
                too_large = True
                process.kill()
            if self._ended and time.monotonic() - start_s > HEALTHY_S:
                log.info("the page is served again")
                self._ended = False
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            code = process.wait(STOP_S if time.monotonic() - start_s > STARTING_S else 0.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if too_large:
            return f"killed: it had more than {MOST_MB} MB of memory"
        return f"killed by signal {-code}" if code < 0 else f"status {code}"


def environment(given: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the process gets of the environment: not the variables that hold passwords for the configuration.

    What it needs to write for a moment goes to a folder below the home, as it may write nowhere else. SQLite too reads
    the name of that folder (`TMPDIR`), when it is imported, so the process cannot set it for itself.
    """
    harmless = {name: value for name, value in given.items() if name in PASSED or name.startswith(PASSED_FAMILIES)}
    work = str(home / WORK)
    return harmless | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": work}


@contextmanager
def page_served(config: Config, begin: threading.Event | None = None) -> Iterator[PageProcess | None]:
    """Serve the page as long as the block runs; None where there is to be none.

    Args:
        begin: the page's address is told, and its process started, once this is set; at once where there is none.
    """
    if not config.web.bind:
        yield None
        return
    stop, page = Stop(), PageProcess(config)

    def serve() -> None:
        while begin is not None and not begin.wait(POLL_S):
            if stop.is_set():
                return
        page.run(stop)

    thread = threading.Thread(target=serve, name="page", daemon=True)
    thread.start()
    try:
        yield page
    finally:
        stop.set("the program ends")
        thread.join(STOP_S + 1.0)
