"""Start the whole daemon again and again, know where it stands, and kill it: alone or with its camera processes."""

from __future__ import annotations

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support.peers import LONG_S, wait_for

ROOT = Path(__file__).parent.parent.parent
SHARED = "/dev/shm/"
POLL_S = 0.02


class Nursery:
    """Where daemons come from: forked from a process that has imported torch already, or started like a user's."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-m", "tests.support.forked_daemon"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._ready = False

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def wait_ready(self, seconds: float) -> None:
        """Wait until it has imported what daemons need."""
        if not self._ready:
            assert self._lines.get(timeout=seconds) == "ready"
            self._ready = True

    def forked(self, config: Path, log: Path) -> tuple[int, Callable[[float], int]]:
        """Start a daemon; its process id, and how to wait for its end and status."""
        self.wait_ready(LONG_S)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(config), str(log)]) + "\n")
        self._process.stdin.flush()
        return int(self._lines.get(timeout=LONG_S)), lambda seconds: int(self._lines.get(timeout=seconds))

    @staticmethod
    def typed(config: Path, log: Path) -> tuple[int, Callable[[float], int]]:
        """Start a daemon as a user does."""
        command = [sys.executable, "-m", "birdwatchd", "run", "-c", str(config)]
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        return process.pid, process.wait

    def close(self) -> None:
        self._process.kill()  # it has nothing to save, and torch takes five seconds to say goodbye
        self._process.wait(60)
        self._listener.join(60)
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()


class Home:
    """A daemon's home, its configuration, and what its database says. Reading never repairs anything on the way."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.config, self.log_file = folder / "home", folder / "birdwatchd.yaml", folder / "birdwatchd.log"
        self.log_file.touch()
        self.settings: dict[str, Any] = {"station": {"name": "test"}, "model": {"name": "demo"}, "web": False}
        self.settings["home"] = str(self.folder)
        self.configure(**config)

    @property
    def path(self) -> Path:
        return self.folder / "birdwatchd.sqlite3"

    def configure(self, **config: Any) -> None:
        self.settings |= config
        self.config.write_text(yaml.safe_dump(self.settings))

    def reader(self) -> sqlite3.Connection:
        """A connection that only reads: the last writer to close would tidy up what the next start must."""
        return sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=10)

    def rows(self, query: str) -> list[Any]:
        with closing(self.reader()) as database:
            return database.execute(query).fetchall()

    def count(self, query: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {query}")[0][0])


class Life:
    """One run of the daemon."""

    def __init__(self, home: Home, start: Callable[[Path, Path], tuple[int, Callable[[float], int]]]) -> None:
        self.home = home
        self._said_before, self._ended = home.log_file.stat().st_size, False
        self.pid, self._wait = start(home.config, home.log_file)
        wait_for(lambda: os.getpgid(self.pid) == self.pid, "a process group of its own", 10)

    @property
    def log(self) -> str:
        with self.home.log_file.open("rb") as file:
            file.seek(self._said_before)
            return file.read().decode(errors="replace")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Poll until it is so; fails when the daemon ends before."""
        until = time.monotonic() + LONG_S
        while not condition():
            assert psutil.pid_exists(self.pid), f"it ended while {what} was waited for:\n{self.log}"
            assert time.monotonic() < until, f"waited in vain for {what}:\n{self.log}"
            time.sleep(POLL_S)

    def until_it_opens_the_database(self) -> None:
        self.wait_until(lambda: str(self.home.path) in _open_files(self.pid), "the database to be opened")

    def until_it_watches(self) -> None:
        cameras = len(self.home.settings["cameras"])
        self.wait_until(lambda: self.log.count(": online, ") >= cameras, "the cameras")

    def until_it_writes(self, query: str) -> None:
        """Wait until there is something that the query counts."""
        with closing(self.home.reader()) as database:
            count = f"SELECT count(*) FROM {query}"
            self.wait_until(lambda: database.execute(count).fetchone()[0] > 0, query)

    def family(self) -> list[psutil.Process]:
        """The daemon and its camera processes."""
        with suppress(psutil.NoSuchProcess):
            me = psutil.Process(self.pid)
            return [me, *me.children(recursive=True)]
        return []

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def status(self, seconds: float = 30.0) -> int:
        """Wait for its end."""
        status = self._wait(seconds)
        self._ended = True
        return status

    def close(self) -> None:
        """Leave nothing running when a test has failed."""
        if not self._ended:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(queue.Empty, subprocess.TimeoutExpired):
                self.status()  # or the next life would read it

    def kill(self, *, alone: bool) -> Orphans:
        """SIGKILL to the daemon, alone or with all its camera processes; returns those whom it left behind."""
        family = self.family()
        shared = {file for one in family for file in _shared_memory(one.pid)}
        with suppress(ProcessLookupError):
            (os.kill if alone else os.killpg)(self.pid, signal.SIGKILL)
        orphans = Orphans(family[1:], shared, alone=alone)
        status = self.status()
        assert status in (-signal.SIGKILL, 0), f"it ended by itself:\n{self.log}"  # 0: it had been told to stop
        return orphans


class Orphans:
    """The camera processes of a daemon that was killed, with it or not, and files in shared memory that it had."""

    def __init__(self, processes: list[psutil.Process], shared: set[str], *, alone: bool) -> None:
        self.left_behind = alone and bool(processes)
        self.processes, self._shared = processes, shared
        self.outlived_s = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        began = time.monotonic()
        while any(_lives(one) for one in self.processes) and time.monotonic() - began < LONG_S:
            time.sleep(0.05)
            self.outlived_s = time.monotonic() - began

    def check(self, most_s: float) -> None:
        """They must have ended by themselves soon after the daemon, and leave nothing in memory."""
        self._thread.join(LONG_S)
        assert self.outlived_s < most_s, f"camera processes outlived their daemon by {self.outlived_s:.1f} s"
        assert not [file for file in self._shared if os.path.exists(file)], "shared memory is left"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _open_files(pid: int) -> set[str]:
    files = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                files.add(os.readlink(entry.path))
    return files


def _shared_memory(pid: int) -> set[str]:
    """Files in shared memory that a process has open or mapped."""
    files = {file for file in _open_files(pid) if file.startswith(SHARED)}
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        files |= {line.split(maxsplit=5)[5] for line in lines if f" {SHARED}" in line}
    return {file for file in files if not file.endswith("(deleted)")}


def idle(home: Home) -> bool:
    """Nothing is going on and everything is told."""
    return not home.count("outbox") and not home.count("visit WHERE ended_at IS NULL")


def wait_until_idle(home: Home, seconds: float = LONG_S) -> None:
    wait_for(lambda: idle(home), "nothing more to tell", seconds)
