"""Serve `/healthz`, `/readyz` and `/metrics` over HTTP so that no client can hold up the daemon.

One thread with one event loop answers everybody. A connection has 5 seconds in all; at most 32 are open, and a new one
pushes out the one that has been open longest, so that a thousand silent clients do not keep a real one from its answer.
Where the address cannot be used, it is logged once and tried again; the daemon goes on without.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Answer", "MonitorServer", "Page"]

log = logging.getLogger(__name__)
CONNECTION_S = 5.0  # for one question and its answer; a scrape takes milliseconds
MOST_OPEN = 32
MOST_LINE = 8192  # bytes of one line of a request
MOST_HEADERS = 100
RETRY_S = 30.0  # between tries to use the address
CLOSE_S = 1.0  # how long the end of the daemon waits for the thread, which does nothing that needs to be finished


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[str], Answer]  # is given the `Accept` header


class MonitorServer:
    """The web server; `start` returns at once and never fails."""

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        """
        Args:
            host, port: where to listen.
            pages: what answers each path; called in the server's thread.
        """
        self._host, self._port, self._pages = host, port, pages
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await self._listen()
        if server is None:
            return
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        until_s = self._loop.time() + CLOSE_S / 2
        while self._open and self._loop.time() < until_s:
            await asyncio.sleep(0.01)

    async def _listen(self) -> asyncio.Server | None:
        """Take the address, however long that takes; None where the stop comes first."""
        where, failed = f"{self._host} port {self._port}", False
        while not self._stop.is_set():
            try:
                server = await asyncio.start_server(self._meet, self._host, self._port, limit=MOST_LINE)
            except OSError as error:
                if not failed:
                    why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
                    log.error("metrics are not served: %s: %s; change metrics.bind, or free the port", where, why)
                failed = True
                await self._wait_for_stop(RETRY_S)
            else:
                log.info("metrics are served at %s", where)
                return server
        return None

    async def _wait_for_stop(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client, or hang up."""
        while len(self._open) >= MOST_OPEN:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(CONNECTION_S):
                writer.write(await self._answer(reader))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, ValueError) as error:  # too slow, gone, or a line without end
            log.debug("a client of the metrics got no answer (%s)", type(error).__name__)
        finally:
            writer.transport.abort()  # nothing happens to one that is closed
            self._open.pop(writer, None)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request and return the bytes of the response.

        Raises:
            ValueError: a line is too long.
            OSError: the client is gone.
        """
        words = (await reader.readline()).decode("latin-1").split()
        accept = await _read_accept(reader)
        if len(words) != 3 or not words[2].startswith("HTTP/") or accept is None:
            return _response(_text(HTTPStatus.BAD_REQUEST, "this is not an HTTP request"))
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            answer = _text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
            return _response(answer, "Allow: GET, HEAD\r\n")
        page = self._pages.get(target.partition("?")[0])
        answer = page(accept) if page else _text(HTTPStatus.NOT_FOUND, f"there are: {', '.join(self._pages)}")
        return _response(answer, body=method == "GET")


async def _read_accept(reader: asyncio.StreamReader) -> str | None:
    """Read the headers and return `Accept`, empty where it is missing; None for headers without end."""
    accept = ""
    for _ in range(MOST_HEADERS):
        line = (await reader.readline()).decode("latin-1")
        name, _, value = line.partition(":")
        if name.strip().casefold() == "accept":
            accept = value.strip()
        if not line.strip():
            return accept
    return None


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())


def _response(answer: Answer, headers: str = "", *, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode("latin-1") + (answer.body if body else b"")
