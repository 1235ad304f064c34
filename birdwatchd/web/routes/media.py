"""Pictures, clips and the stream of news. What is served is named by a visit's id and a number, never by a path."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from birdwatchd.web.live import Live
from birdwatchd.web.render import home_of

__all__ = ["router"]

router = APIRouter()
SIZES = (160, 320)  # pixels of the longer side of a small picture
PRIVATE = {"cache-control": "private, max-age=86400"}  # a crop never changes; whoever logs out may want it gone


@router.get("/visits/{visit_id}/pictures/{number}")
def picture(request: Request, visit_id: str, number: int) -> Response:
    """A picture of a visit: as it was classified, or smaller (`?size=160`, `?size=320`) as WebP."""
    home = home_of(request)
    name = home.store.cards.picture(visit_id, number)
    jpeg = home.media.picture(name) if name is not None else None
    if name is None or jpeg is None:
        raise HTTPException(404)
    size = request.query_params.get("size", "")
    if size not in map(str, SIZES):
        return Response(jpeg, media_type="image/jpeg", headers=PRIVATE)
    small = home.small_pictures.of(name, jpeg, int(size))
    if small is None:
        raise HTTPException(404)
    return Response(small, media_type="image/webp", headers=PRIVATE)


@router.get("/visits/{visit_id}/clip")
def clip(request: Request, visit_id: str) -> Response:
    """The clip of a visit, in the parts that a player asks for; `?download=1` to keep it."""
    home = home_of(request)
    visit = home.store.visits.get(visit_id)
    if visit is None or visit.clip is None or not home.shows(visit.camera) or not home.media.has_clip(visit.clip):
        raise HTTPException(404)
    kept = f"{visit.camera}-{visit.start:%Y%m%d-%H%M%S}.mp4" if request.query_params.get("download") else None
    return FileResponse(home.config.home / visit.clip, media_type="video/mp4", filename=kept, headers=PRIVATE)


@router.get("/events")
async def events(request: Request) -> Response:
    """The stream of news of one open page."""
    live: Live = request.app.state.live
    if live.is_full:
        return PlainTextResponse("Too many pages are open.\n", 503, {"retry-after": "30"})
    last = request.headers.get("last-event-id")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(live.events(last and last[:64]), media_type="text/event-stream", headers=headers)
