"""Pictures, clips and the stream of news. What is served is named by a visit's id and a number, never by a path."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from birdwatchd.web.access.roles import Role
from birdwatchd.web.live import Live
from birdwatchd.web.pictures.small import SIZES
from birdwatchd.web.render import home_of

__all__ = ["NewsResponse", "clip_of", "picture_of", "router"]

router = APIRouter()
PRIVATE = {"cache-control": "private, max-age=86400"}  # a crop never changes; whoever logs out may want it gone


@router.get("/visits/{visit_id}/pictures/{number}")
def picture(request: Request, visit_id: str, number: int) -> Response:
    """A picture of a visit: as it was classified, or smaller (`?size=160`, `?size=320`) as WebP."""
    return picture_of(request, visit_id, number, request.query_params.get("size", ""))


def picture_of(request: Request, visit_id: str, number: int, size: str) -> Response:
    """A picture of a visit; the original where no size is one of `SIZES`."""
    home = home_of(request)
    name = home.store.cards.picture(visit_id, number)
    if name is None:
        raise HTTPException(404)
    found = home.small_pictures.of(name, size) if size in SIZES else home.media.picture(name)
    if found is None:
        raise HTTPException(404)
    return Response(found, media_type="image/webp" if size in SIZES else "image/jpeg", headers=PRIVATE)


@router.get("/visits/{visit_id}/clip")
def clip(request: Request, visit_id: str) -> Response:
    """The clip of a visit, in the parts that a player asks for; `?download=1` to keep it."""
    return clip_of(request, visit_id, download=bool(request.query_params.get("download")))


def clip_of(request: Request, visit_id: str, *, download: bool) -> Response:
    """The clip of a visit; with a file name where it is to be kept."""
    home = home_of(request)
    visit = home.store.visits.get(visit_id)
    if visit is None or visit.clip is None or not home.shows(visit.camera) or not home.media.has_clip(visit.clip):
        raise HTTPException(404)
    kept = f"{visit.camera}-{visit.start:%Y%m%d-%H%M%S}.mp4" if download else None
    return FileResponse(home.config.home / visit.clip, media_type="video/mp4", filename=kept, headers=PRIVATE)


@router.get("/events")
async def events(request: Request) -> Response:
    """The stream of news of one open page."""
    return NewsResponse(request, PlainTextResponse("Too many pages are open.\n", 503, {"retry-after": "30"}))


class NewsResponse(StreamingResponse):
    """A stream of news. Who listens has a place from its first byte until the connection ends, however it ends."""

    def __init__(self, request: Request, otherwise: Response) -> None:
        """
        Args:
            otherwise: the answer where as many listen as may.
        """
        self._live: Live = request.app.state.live
        self._otherwise = otherwise
        self._is_guest = request.state.role is Role.GUEST
        last = request.headers.get("last-event-id")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        stream = self._live.events(last and last[:64], ends=request.state.is_ingress)
        super().__init__(stream, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with self._live.place(is_guest=self._is_guest) as free:
            await (super().__call__ if free else self._otherwise)(scope, receive, send)
