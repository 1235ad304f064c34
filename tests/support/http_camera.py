"""An HTTP camera with the manners of real ones: an ESP32-CAM, a snapshot address, a web page instead of a stream."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import cv2
import numpy as np


@lru_cache
def drawn_jpeg(number: int, size: tuple[int, int] = (160, 96)) -> bytes:
    """A picture with a bright bar whose place is its number."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    picture[:, 4 * number % size[0] : 4 * number % size[0] + 8] = 220
    return cv2.imencode(".jpg", picture)[1].tobytes()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fps: ClassVar[float] = 30.0
    asked: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        self.asked.append(time.monotonic())
        with suppress(OSError):
            answers = {
                "/esp32": self._esp32,
                "/hyphens": self._hyphens,
                "/snapshot": self._snapshot,
                "/untyped": lambda: self._answer("", drawn_jpeg(len(self.asked))),
                "/sometimes": self._sometimes,
                "/page": self._page,
                "/busy": self._busy,
            }
            answers.get(self.path, self._nothing)()

    def _esp32(self) -> None:
        """As the examples of Espressif's camera driver had it: the boundary stands behind each part."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=123456789000000000000987654321")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(1000):
            jpeg = drawn_jpeg(number)
            for part in (
                f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode(),
                jpeg,
                b"\r\n--123456789000000000000987654321\r\n",
            ):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            time.sleep(1 / self.fps)

    def _hyphens(self) -> None:
        """The hyphens that stand before a boundary are part of the one that is announced (Panasonic)."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=--myboundary")
        self.end_headers()
        for number in range(1000):
            jpeg = drawn_jpeg(number)
            head = f"--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            time.sleep(1 / self.fps)

    def _sometimes(self) -> None:
        """Every second time it is busy, by turns with a 503 and with a page that says so (Hikvision)."""
        if len(self.asked) % 2:
            self._snapshot()
        elif len(self.asked) % 4:
            self._busy()
        else:
            self._answer(
                "application/xml", b"<ResponseStatus><statusString>Device Busy</statusString></ResponseStatus>"
            )

    def _snapshot(self) -> None:
        self._answer("image/jpeg", drawn_jpeg(len(self.asked)))

    def _page(self) -> None:
        self._answer("text/html", b"<html><body>Web camera. <a href='/live'>Live view</a></body></html>" * 20)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _busy(self) -> None:
        self.send_error(503)

    def _nothing(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class HttpCamera:
    """Serves `/esp32`, `/hyphens`, `/snapshot`, `/untyped`, `/sometimes`, `/page` and `/busy` until it is left.

    Attributes:
        asked: when something was asked for, monotonic seconds.
    """

    def __enter__(self) -> HttpCamera:
        self.asked: list[float] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"asked": self.asked}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
