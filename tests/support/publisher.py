"""Publish weights on this machine: a web server that holds one file, and birder's registry that names it."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from birder.model_registry import registry

from tests.support.random_networks import SMALL

NAME = "davit_testling_published"
PIECE = 10_000  # bytes between two pauses


class Publisher:
    """The web server, and how it behaves.

    Attributes:
        send: bytes, after which each answer breaks off.
        silent_s: how long the connection stays open after that.
        pause_s: after each piece: the line is slow.
        ranges: it can send the rest of a file.
        asked, sent: requests, and bytes of the file.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.status, self.send, self.silent_s, self.pause_s, self.ranges = 200, len(content), 0.0, 0.0, True
        self.asked = self.sent = 0
        publisher = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/models"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        rest = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "") if self.ranges else None
        start, whole = int(rest[1]) if rest else 0, len(self.content)
        if start >= whole:
            request.send_error(416)
            return
        request.send_response(206 if rest else self.status)
        request.send_header("Content-Length", str(whole - start))
        if rest:
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        request.end_headers()
        end = min(whole, start + self.send)
        for position in range(start, end, PIECE):
            piece = self.content[position : min(end, position + PIECE)]
            try:
                request.wfile.write(piece)
                request.wfile.flush()
            except OSError:  # the client was killed
                return
            self.sent += len(piece)
            time.sleep(self.pause_s)
        time.sleep(self.silent_s)


def register(url: str, sha256: str) -> None:
    """Make birder's registry of this process know the weights."""
    registry.register_weights(
        NAME,
        {
            "url": url,
            "description": "for tests",
            "resolution": (64, 64),
            "formats": {"pt": {"file_size": 0.1, "sha256": sha256}},
            "net": {"network": SMALL, "tag": "published"},
        },
    )
