"""Serve a live MPEG-TS stream over HTTP to any number of viewers, each from a key frame on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

__all__ = ["Broadcast", "Chunk", "StreamServer"]

_PATH = "/feeder.ts"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The MPEG-TS bytes of one picture; `key` when a client may begin here."""

    data: bytes
    key: bool


class _Client:
    """One viewer's queue of chunks: bounded; when it is full the viewer is dropped, as a camera would."""

    def __init__(self, room: int) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue(room + 1)
        self._room = room
        self._begun = self._over = False

    def offer(self, chunk: Chunk) -> None:
        self._begun = self._begun or chunk.key
        if not self._begun or self._over:
            return
        if self._chunks.qsize() >= self._room:
            self.finish()
        else:
            self._chunks.put_nowait(chunk.data)

    def finish(self) -> None:
        """Nothing more will come; what is queued may still be read."""
        if not self._over:
            self._over = True
            self._chunks.put_nowait(None)

    def read(self) -> Iterator[bytes]:
        while (data := self._chunks.get()) is not None:
            yield data


class Broadcast:
    """Give every chunk to every client there is; forget it when there is none."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._clients: list[_Client] = []
        self._lock = threading.Lock()
        self._over = False
        self.joined = threading.Event()
        """Set once the first client has come."""

    def join(self) -> _Client:
        """A new client's queue."""
        client = _Client(self._room)
        with self._lock:
            if self._over:
                client.finish()
            self._clients.append(client)
        self.joined.set()
        return client

    def leave(self, client: _Client) -> None:
        """The client is gone."""
        with self._lock:
            self._clients.remove(client)

    def watched(self) -> bool:
        """Whether anyone is there."""
        with self._lock:
            return bool(self._clients)

    def send(self, chunk: Chunk) -> None:
        """Queue the chunk for everyone; never waits."""
        with self._lock:
            for client in self._clients:
                client.offer(chunk)

    def finish(self) -> None:
        """End every client's stream."""
        with self._lock:
            self._over = True
            for client in self._clients:
                client.finish()


class StreamServer(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 that gives everyone the chunks of one broadcast."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, broadcast: Broadcast) -> None:
        super().__init__(("127.0.0.1", port), _Viewer)
        self.broadcast = broadcast

    @property
    def url(self) -> str:
        """Where the stream is."""
        return f"http://127.0.0.1:{self.server_address[1]}{_PATH}"


class _Viewer(BaseHTTPRequestHandler):
    """Copy the stream to one client until either side ends."""

    protocol_version = "HTTP/1.1"
    timeout = 5.0

    def do_GET(self) -> None:
        """Answer with the endless stream; any other path is not found."""
        if self.path.partition("?")[0] != _PATH:
            self.send_error(404, f"the stream is at {_PATH}")
            return
        broadcast = cast(StreamServer, self.server).broadcast
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")  # or libav takes the end for a failure
        self.send_header("Connection", "close")
        self.end_headers()
        client = broadcast.join()
        try:
            for data in client.read():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the viewer went away: cameras do not mind
        finally:
            broadcast.leave(client)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: standard error is for failures."""
