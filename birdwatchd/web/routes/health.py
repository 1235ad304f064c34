"""`/health`: how the station is, as `birdwatchd status` says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response

from birdwatchd.commands.status import EFFORT, examine
from birdwatchd.store import EffortSpan
from birdwatchd.web.home import Home
from birdwatchd.web.render import home_of, render

__all__ = ["router"]

router = APIRouter()
STRIP = 700.0  # units of the drawing for a week
THINNEST = 0.8  # of a span, so that it can be seen


@dataclass(frozen=True, slots=True)
class StripSpan:
    """A stretch of a camera's week in a drawing that is 700 units wide."""

    state: str
    left: float
    width: float


@router.get("/health")
def health(request: Request) -> Response:
    """How the station is now, and when it watched in the last seven days."""
    home = home_of(request)
    report = examine(home.config, home.now())
    strips = {camera.camera: _strip(home, camera.camera) for camera in report.cameras}
    days = [home.now() - EFFORT + timedelta(days=number) for number in range(8)]
    return render(request, "health.html", report=report, strips=strips, days=days)


def _strip(home: Home, camera: str) -> list[StripSpan]:
    now = home.now()
    begin = now - EFFORT
    spans = [span for span in home.store.effort.spans(begin) if span.camera == camera]
    return [_drawn(span, (max(span.start, begin) - begin) / EFFORT, (span.end - begin) / EFFORT) for span in spans]


def _drawn(span: EffortSpan, start: float, end: float) -> StripSpan:
    left = min(start * STRIP, STRIP - THINNEST)
    return StripSpan(span.state, round(left, 2), round(max((end - start) * STRIP, THINNEST), 2))
