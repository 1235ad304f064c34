"""Ask the page's own process for each of its pages, and let two hundred listen."""

from __future__ import annotations

import http.client
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Asked", "Heard", "ask", "fetch", "free_port", "listen", "memory_mb", "served"]

START_S = 30.0
CSV = "/api/v1/visits.csv"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one address cost: seconds from the request to its last byte, processor time, bytes."""

    name: str
    median_s: float
    most_s: float
    cpu_s: float
    size: int


@dataclass(frozen=True, slots=True)
class Heard:
    """How long it took from a commit until so many who listen had heard of it, seconds."""

    listeners: int
    first_s: float
    last_s: float
    page_s: float
    refused: bool


def free_port() -> int:
    """A port that no program has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def served(home: Path, port: int) -> Iterator[int]:
    """`birdwatchd web` on a home; gives the id of the process that answers, which the command has started."""
    config = home / "page.yaml"
    config.write_text(f"home: {home}\nweb: {{bind: {port}}}\n", encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "birdwatchd", "web", "--config", str(config)])
    try:
        until_s = time.monotonic() + START_S
        while True:
            try:
                fetch(port, "/login")
                break
            except OSError:
                if time.monotonic() > until_s or process.poll() is not None:
                    raise
                time.sleep(0.1)
        (answers,) = psutil.Process(process.pid).children()
        yield answers.pid
    finally:
        process.terminate()
        process.wait(10)


def ask(pid: int, port: int, name: str, path: str, times: int) -> Asked:
    """Ask for an address so many times, one after the other; the first time counts as the others do."""
    took_s, size, before_s = [], 0, _cpu_s(pid)
    for _ in range(times):
        began_s = time.perf_counter()
        size = fetch(port, path)
        took_s.append(time.perf_counter() - began_s)
    cpu_s = (_cpu_s(pid) - before_s) / times
    return Asked(name, statistics.median(took_s), statistics.quantiles(took_s, n=20)[18], cpu_s, size)


def listen(port: int, home: Path, path: str, listeners: int) -> Heard:
    """Let so many listen, commit something, and wait until all have heard; ask for a page meanwhile."""
    tabs = [_stream(port) for _ in range(listeners)]
    for tab in tabs:
        _until(tab, b"id: ")
    over = _stream(port)
    refused = over.recv(64).startswith(b"HTTP/1.1 503")
    over.close()
    with sqlite3.connect(home / "birdwatchd.sqlite3") as connection:
        connection.execute("UPDATE camera SET name = CASE name WHEN key THEN key || '.' ELSE key END")
    began_s, heard = time.perf_counter(), []
    for tab in tabs:
        _until(tab, b"event: birds")
        heard.append(time.perf_counter() - began_s)
    asked_s = time.perf_counter()
    fetch(port, path)
    page_s = time.perf_counter() - asked_s
    for tab in tabs:
        tab.close()
    return Heard(listeners, min(heard), max(heard), page_s, refused)


def memory_mb(pid: int) -> float:
    """What a process holds in memory, MB (10**6 bytes), shared libraries included."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def _cpu_s(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def fetch(port: int, path: str) -> int:
    """Ask for an address; the bytes that came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET", path, headers={"accept": "text/html"})
        answer = connection.getresponse()
        size = 0
        while part := answer.read(65536):
            size += len(part)
    finally:
        connection.close()
    if answer.status not in (200, 303):
        raise RuntimeError(f"{path}: {answer.status}")
    return size


def _stream(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return sock


def _until(sock: socket.socket, wanted: bytes) -> None:
    heard = b""
    while wanted not in heard:
        more = sock.recv(4096)
        if not more:
            raise RuntimeError("a stream of news ended")
        heard += more
