"""`/health`: how the station is, as `birdwatchd status` says it, its self-test and its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.camera.blindness import explain
from birdwatchd.commands.status import EFFORT, StationReport, examine
from birdwatchd.store import EffortSpan
from birdwatchd.web.access.login import Login
from birdwatchd.web.asked.daemon_log import LEVELS, DaemonLog, daemon_log
from birdwatchd.web.asked.selftest import PARTS, SelfTests, station_lines
from birdwatchd.web.home import Home
from birdwatchd.web.render import home_of, render

__all__ = ["router"]

router = APIRouter()
STRIP = 700.0  # units of the drawing for a week
MOST_PEERS = 10  # with wrong passwords, and as many with wrong tokens: the newest
THINNEST = 0.8  # of a span, so that it can be seen


@dataclass(frozen=True, slots=True)
class StripSpan:
    """A stretch of a camera's week in a drawing that is 700 units wide."""

    state: str
    left: float
    width: float


@router.get("/health")
def health(request: Request) -> Response:
    """How the station is now, when it watched in the last seven days, and what it logged."""
    home = home_of(request)
    report = examine(home.config, home.now())
    strips = _strips(home, [camera.camera for camera in report.cameras])
    days = [home.now() - EFFORT + timedelta(days=number) for number in range(8)]
    level = request.query_params.get("log", "")
    level = level if level in LEVELS else ""
    refreshes = "hx-request" in request.headers  # which takes only what changes by itself
    log = DaemonLog() if refreshes else daemon_log(home.config.home, home.zone, level)
    shown: dict[str, Any] = {
        "report": report,
        "strips": strips,
        "days": days,
        "levels": LEVELS,
        "level": level,
        "log": log,
        "explain": explain,
        "names_file": home.config.species.names_file,
    }
    return render(request, "health.html", **shown, **_wrong(request), **_test(request, report))


@router.get("/health/selftest")
def selftest(request: Request) -> Response:
    """How the self-test went, or how far it is, as a part of the page."""
    return render(request, "selftest.html", **_test(request, examine(home_of(request).config, home_of(request).now())))


@router.post("/health/selftest")
def begin_selftest(request: Request) -> Response:
    """Begin a self-test."""
    _tests(request).ask()
    return selftest(request) if "hx-request" in request.headers else RedirectResponse("/health#selftest", 303)


def _wrong(request: Request) -> dict[str, Any]:
    """Who sent wrong passwords and tokens; the rest is in the log, a line each."""
    login: Login = request.app.state.login
    passwords, tokens = login.passwords.seen(), login.tokens.seen()
    return {
        "wrong_passwords": passwords[:MOST_PEERS],
        "wrong_tokens": tokens[:MOST_PEERS],
        "wrong_devices": len({one.peer for one in (*passwords, *tokens)}),
        "nobody_s": login.everybodys_wait_s(),
    }


def _tests(request: Request) -> SelfTests:
    found: SelfTests = request.app.state.selftests
    return found


def _test(request: Request, report: StationReport) -> dict[str, Any]:
    names = {one.camera: home_of(request).camera_name(one.camera) for one in report.cameras}
    return {"test": _tests(request).result(), "parts": PARTS, "cameras_and_disk": tuple(station_lines(report, names))}


def _strips(home: Home, cameras: list[str]) -> dict[str, list[StripSpan]]:
    """The last week of each camera."""
    now = home.now()
    begin = now - EFFORT
    strips: dict[str, list[StripSpan]] = {camera: [] for camera in cameras}
    for span in home.store.effort.spans(begin):
        if span.camera in strips:
            start, end = (max(span.start, begin) - begin) / EFFORT, (span.end - begin) / EFFORT
            strips[span.camera].append(_drawn(span, start, end))
    return strips


def _drawn(span: EffortSpan, start: float, end: float) -> StripSpan:
    left = min(start * STRIP, STRIP - THINNEST)
    return StripSpan(span.state, round(left, 2), round(max((end - start) * STRIP, THINNEST), 2))
