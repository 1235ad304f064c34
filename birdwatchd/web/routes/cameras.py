"""`/cameras/…`: what a camera shows now, what its motion gate sees, and lines for places drawn in its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from birdwatchd.commands.status import examine
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.web.language.catalogue import N_
from birdwatchd.web.render import home_of, render
from birdwatchd.web.routes.camera_lines import (
    WHOLE,
    CannotBeWritten,
    Drawn,
    Part,
    Polygon,
    drawn_shapes,
    into_main,
    into_part,
    lines_of,
)
from birdwatchd.web.routes.camera_now import CameraNow, NoPicture, Now

__all__ = ["router"]

router = APIRouter(prefix="/cameras/{camera}")
KEYS = {"ignore": N_("A place to ignore"), "mask": N_("A place to blacken"), "zones": N_("A zone")}
NO_STORE = {"cache-control": "no-store"}


@router.get("")
async def camera_page(request: Request, camera: str) -> Response:
    """A camera's live picture, what its gate sees, and the drawing of places."""
    settings = _settings(request, camera)
    home, given = home_of(request), request.query_params
    now, why = await _seen(request, camera)
    report = await run_in_threadpool(examine, home.config, home.now())
    part = now.part if now is not None else WHOLE
    key = given.get("key", "mask")
    key = key if key in KEYS else "mask"
    shapes, lines, problem = _written(settings, key, given, part)
    return render(
        request,
        "camera.html",
        camera=camera,
        settings=settings,
        report=next((one for one in report.cameras if one.camera == camera), None),
        keys=KEYS,
        key=key,
        zone=given.get("zone", "")[:64],
        points=given.get("points", ""),
        instead=bool(given.get("instead")),
        shapes=shapes,
        lines=lines,
        problem=problem,
        **_shown(settings, now, why),
    )


@router.get("/now")
async def camera_now(request: Request, camera: str) -> Response:
    """The part of a camera's page that is asked for once a second: the picture and what is drawn over it."""
    settings = _settings(request, camera)
    now, why = await _seen(request, camera)
    return render(request, "camera_now.html", camera=camera, settings=settings, **_shown(settings, now, why))


@router.get("/still.jpg")
async def still(request: Request, camera: str) -> Response:
    """A camera's current picture; `?n=` for the one with that number, while it is among the newest."""
    _settings(request, camera)
    wanted = request.query_params.get("n", "")
    pictures: CameraNow = request.app.state.camera_now
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 12 else None
    if number is None or not home_of(request).shows(camera):
        now, why = await _seen(request, camera)
        if now is None:
            return PlainTextResponse(f"{why}\n", 404, NO_STORE)
        number = now.number
    jpeg = pictures.picture(camera, number)
    if jpeg is None:
        return PlainTextResponse("A newer picture has taken its place.\n", 404, NO_STORE)
    return Response(jpeg, media_type="image/jpeg", headers=NO_STORE)


def _settings(request: Request, camera: str) -> CameraSettings:
    """The camera's settings.

    Raises:
        HTTPException: there is no such camera.
    """
    settings = home_of(request).config.cameras.get(camera)
    if settings is None:
        raise HTTPException(404)
    return settings


async def _seen(request: Request, camera: str) -> tuple[Now | None, str]:
    """What a camera shows, or why it shows nothing."""
    if not home_of(request).shows(camera):
        return None, "No picture of this camera is kept or shown (store: nothing)."
    pictures: CameraNow = request.app.state.camera_now
    try:
        return await pictures.newest(camera), ""
    except NoPicture as problem:
        return None, str(problem)


def _shown(settings: CameraSettings, now: Now | None, why: str) -> dict[str, Any]:
    """What is drawn over the picture, in its pixels."""
    width, height = (now.width, now.height) if now is not None else (640, 360)
    part = now.part if now is not None else WHOLE

    def drawn(shapes: Sequence[Sequence[tuple[float, float]]]) -> list[str]:
        return [" ".join(f"{x * width:.1f},{y * height:.1f}" for x, y in shape) for shape in shapes]

    zones = {name: into_part(shape, part) for name, shape in settings.zones.items()}
    middles = {name: _middle(shape, width, height) for name, shape in zones.items()}
    return {
        "seen": now,
        "why": why,
        "size": (width, height),
        "ignore": drawn(settings.ignore),
        "mask": drawn(settings.mask),
        "zones": list(zip(zones, drawn(list(zones.values())), middles.values(), strict=True)),
        "other_view": part != WHOLE,
    }


def _middle(shape: Polygon, width: int, height: int) -> tuple[float, float]:
    return (
        round(sum(x for x, _ in shape) / len(shape) * width, 1),
        round(sum(y for _, y in shape) / len(shape) * height, 1),
    )


def _written(
    settings: CameraSettings, key: str, given: Mapping[str, str], part: Part
) -> tuple[list[Polygon], str, str]:
    """The places that were drawn, the lines for them, and why there are none."""
    shapes: list[Polygon] = []
    try:
        shapes = drawn_shapes(given.get("points", ""))
        if not shapes:
            return [], "", ""
        placed = [into_main(shape, part) for shape in shapes] if key == "zones" else shapes
        return (
            shapes,
            lines_of(settings, Drawn(key, placed, given.get("zone", ""), instead=bool(given.get("instead")))),
            "",
        )
    except CannotBeWritten as problem:
        return shapes, "", str(problem)
