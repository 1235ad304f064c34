"""A webhook for channels: a real HTTP server on a loopback port that keeps what is posted, and answers as asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Peer", "serving"]


class Peer:
    """Start it, post to `url`, read `got`. `status` is what it answers; while `hold` is set it answers nothing."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.location = ""  # where a redirect goes; elsewhere here by default
        self.hold = threading.Event()
        self.release = threading.Event()
        self.on_post: Callable[[], None] = lambda: None
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> Peer:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer.headers.append(dict(self.headers.items()))
                peer.got.append(json.loads(body))
                peer.on_post()
                if peer.hold.is_set():
                    peer.release.wait(30)
                    return
                self.send_response(peer.status)
                if 300 <= peer.status < 400:
                    self.send_header("Location", peer.location or f"http://127.0.0.1:{peer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests read what is logged; this server's lines are not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.release.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def serving() -> Iterator[Peer]:
    """One that is there until the end of the block."""
    peer = Peer().start()
    try:
        yield peer
    finally:
        peer.stop()
