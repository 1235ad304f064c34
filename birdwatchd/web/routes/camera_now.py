"""Ask the daemon what a camera shows now, for the page: its newest picture, and what its motion gate sees in it.

The two newest pictures of a camera are kept here, so that what is drawn over a picture belongs to that picture.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME, NobodyAnswers, ask

__all__ = ["CameraNow", "NoPicture", "Now"]

FRESH_S = 1.5  # a picture of before is waited for no longer than PATIENCE_S
PATIENCE_S = 2.0
AGAIN_S = 0.1  # between two questions
DAEMON_S = 2.0  # for its answer, which it gives at once
KEPT = 2  # pictures of a camera


class NoPicture(Exception):
    """A camera has no picture now; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A box in a picture, in its pixels, and a word to it."""

    x: float
    y: float
    w: float
    h: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """What a camera shows: attributes as those of `birdwatchd.records.LiveView`, boxes in pixels.

    Attributes:
        birds, others: what is followed: what is taken for a bird, and what is not yet.
    """

    number: int
    age_s: float
    width: int
    height: int
    state: str
    regions: tuple[Place, ...]
    ignored: tuple[Place, ...]
    birds: tuple[Place, ...]
    others: tuple[Place, ...]
    part: tuple[float, float, float, float]


class CameraNow:
    """What the cameras of a home show, as far as its daemon says it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pictures: dict[str, dict[int, bytes]] = {}

    async def newest(self, camera: str) -> Now:
        """What a camera shows now, or showed last where no newer picture comes in time.

        Raises:
            NoPicture: there is none.
        """
        until_s = time.monotonic() + PATIENCE_S
        while True:
            over = time.monotonic() > until_s
            now = await run_in_threadpool(self._ask, camera)
            if now is not None and (over or now.age_s < FRESH_S):
                return now
            if over:
                raise NoPicture("There is no picture yet: the camera has sent none since this page was opened.")
            await asyncio.sleep(AGAIN_S)

    def picture(self, camera: str, number: int) -> bytes | None:
        """One of the newest pictures of a camera, JPEG."""
        return self._pictures.get(camera, {}).get(number)

    def _ask(self, camera: str) -> Now | None:
        """What the daemon says at once; None where there is no picture yet."""
        kept = self._pictures.setdefault(camera, {})
        known = max(kept, default=0)
        try:
            told = next(
                ask(self._home, "live", f"{camera} {known}".encode(), name=LIVE_SOCKET_NAME, timeout_s=DAEMON_S)
            )
        except NobodyAnswers as error:
            raise NoPicture(f"The daemon does not answer: {error}.") from None
        if "problem" in told:
            kept.clear()
            raise NoPicture(str(told["problem"]))
        if "number" not in told:
            return None
        if told["jpeg"] is not None:
            if told["number"] < known:  # of a daemon that was started again
                kept.clear()
            kept[told["number"]] = b64decode(told["jpeg"])
            for number in sorted(kept)[:-KEPT]:
                kept.pop(number, None)
        return _now(told)


def _now(told: dict[str, Any]) -> Now:
    width, height = told["width"], told["height"]

    def place(box: list[float], why: str = "") -> Place:
        x, y, w, h = box
        return Place(round(x * width, 1), round(y * height, 1), round(w * width, 1), round(h * height, 1), why)

    return Now(
        number=told["number"],
        age_s=told["age_s"],
        width=width,
        height=height,
        state=told["state"],
        regions=tuple(place(box) for box in told["regions"]),
        ignored=tuple(place(box, why) for box, why in told["ignored"]),
        birds=tuple(place(box) for box, confirmed in told["tracks"] if confirmed),
        others=tuple(place(box) for box, confirmed in told["tracks"] if not confirmed),
        part=tuple(told["part"]),
    )
