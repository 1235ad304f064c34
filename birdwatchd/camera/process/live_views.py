"""Ask a camera's process for a live picture when somebody looks, and keep the newest one, in memory only.

A picture is asked for one at a time and only while somebody looks, so a station that nobody looks at makes none, and a
process that was taken over can fill nothing: what nobody asked for is not taken. Imports neither libav nor OpenCV.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from birdwatchd.records import LiveView

__all__ = ["LIVE_STATES", "MOST_BOXES", "MOST_JPEG", "MOST_SIDE", "Live", "LiveViews", "jpeg_size"]

LIVE_STATES = ("watching", "learning", "changed")
MOST_SIDE = 640  # pixels of a live picture
MOST_JPEG = 512 * 1024  # bytes; usual are 40 kB, pure noise has 330
MOST_BOXES = 60  # of a kind
EVERY_S = 0.8  # between two pictures of a camera, however many look at it

_SOI, _EOI, _SOS = b"\xff\xd8\xff", b"\xff\xd9", 0xDA
_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive: what browsers draw


@dataclass(frozen=True, slots=True)
class Live:
    """The newest live view of a camera, its number since the start, and its age in seconds."""

    view: LiveView
    number: int
    age_s: float


class LiveViews:
    """The live pictures of one camera, between its process and who looks. Methods may be called from any thread."""

    def __init__(self, monotonic_s: Callable[[], float], *, allowed: bool) -> None:
        """
        Args:
            monotonic_s: gives monotonic seconds.
            allowed: whether there may be any: not where no picture of the camera is to be kept or shown.
        """
        self.allowed = allowed
        self._monotonic_s, self._lock = monotonic_s, threading.Lock()
        self._wanted = self._ordered = False
        self._newest: LiveView | None = None
        self._number, self._at_s = 0, float("-inf")

    def look(self) -> Live | None:
        """The newest view, if there was one since the camera was switched on; asks for another one. Returns at once."""
        with self._lock:
            age_s = self._monotonic_s() - self._at_s
            self._wanted = self._wanted or (self.allowed and age_s > EVERY_S)
            return Live(self._newest, self._number, age_s) if self._newest is not None else None

    def begin(self) -> None:
        """A new process begins, to which nothing was said yet."""
        with self._lock:
            self._ordered = False

    def order_due(self) -> bool:
        """Whether to ask the process for a picture now; True at most once until it came."""
        with self._lock:
            due = self._wanted and not self._ordered
            self._ordered = self._ordered or due
            return due

    def take(self, view: LiveView) -> bool:
        """Keep a picture in place of the last one; False for one that nobody asked for."""
        with self._lock:
            if not self._ordered:
                return False
            self._wanted = self._ordered = False
            self._newest, self._at_s, self._number = view, self._monotonic_s(), self._number + 1
            return True

    def forget(self) -> None:
        """Keep none: the camera is switched off."""
        with self._lock:
            self._newest, self._wanted, self._at_s = None, False, float("-inf")


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels that a JPEG says (ITU-T T.81, annex B); None for what is no whole JPEG.

    Only its frame is read: nothing is decoded here.
    """
    if not data.startswith(_SOI) or not data.endswith(_EOI):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF and data[at + 1] != _SOS:
        if data[at + 1] in _FRAME_HEADERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None
