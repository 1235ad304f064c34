"""`/api/v1`: what the page shows, as JSON and CSV for programs; it only reads. Described by `/api/v1/openapi.json`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from birdwatchd.commands.status import examine
from birdwatchd.commands.visits import CSV_COLUMNS, formula_free
from birdwatchd.mqtt.payloads import visit_json
from birdwatchd.records import State, rfc3339
from birdwatchd.store import day_bounds
from birdwatchd.store.pages.cards import Card, CardFilter, Place
from birdwatchd.store.pages.species import SpeciesSummary
from birdwatchd.store.reader import StoredMoment
from birdwatchd.web.home import Home, card_of
from birdwatchd.web.render import home_of
from birdwatchd.web.routes import api_shapes as shapes
from birdwatchd.web.routes import media
from birdwatchd.web.routes.list_filter import place_of, place_text

__all__ = ["PREFIX", "router"]

router = APIRouter(responses={code: {"model": shapes.ErrorJson} for code in (401, 404, 405, 414, 421, 422, 429, 503)})
PREFIX = "/api/v1"
MOST_LISTED = 200
CSV_PART = 500  # visits that are read at once
FIRST_YEAR, LAST_YEAR = 1970, 8999  # beyond are no visits, and the ends of the calendar


def _bounded(at: datetime) -> datetime:
    """A time within the years of visits: at the ends of the calendar there is no time in another zone."""
    if at.year < FIRST_YEAR:
        return datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    return at.astimezone(UTC) if at.year <= LAST_YEAR else datetime(LAST_YEAR, 12, 31, tzinfo=UTC)


def _written(text: object) -> object:
    """Pydantic would take a number for seconds since 1970."""
    if isinstance(text, str) and text[4:5] != "-":
        raise ValueError("write a time as 2026-05-01T06:30:00Z, a day as 2026-05-01")
    return text


VisitId = Annotated[str, InPath(min_length=1, max_length=64, description="the id of a visit, in full")]
Time = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_bounded)]
Day = Annotated[date, BeforeValidator(_written)]
Truth = Annotated[bool, Query()]


class Wanted(BaseModel):
    """The filters of the page, and a span of time."""

    model_config = ConfigDict(frozen=True, extra="forbid")  # a filter that is misspelt would give all visits

    species: Annotated[str | None, Query(max_length=255, description="scientific name, as `/species` lists it")] = None
    camera: Annotated[str | None, Query(max_length=64, description="key of the camera")] = None
    state: Annotated[State | None, Query(description="without it all but rejected")] = None
    day: Annotated[Day | None, Query(description="local date of the station")] = None
    since: Annotated[Time | None, Query(description="it began then or later")] = None
    until: Annotated[Time | None, Query(description="it began before")] = None
    firsts: Truth = False
    rare: Truth = False
    unreviewed: Truth = False

    def as_filter(self, home: Home) -> CardFilter:
        """What to look for in the database."""
        since, until = self.since, self.until
        if self.day is not None:
            known = FIRST_YEAR <= self.day.year <= LAST_YEAR
            begin, end = day_bounds(self.day if known else date(FIRST_YEAR, 1, 1), home.zone)
            since = max(begin, since) if since is not None else begin
            until = min(end, until) if until is not None else end
        return CardFilter(
            species=self.species or None,
            camera=self.camera or None,
            states=(self.state,) if self.state is not None else (),
            since=since,
            until=until,
            firsts=self.firsts,
            rare=self.rare,
            unreviewed=self.unreviewed,
        )


class WantedPage(Wanted):
    """A page of them."""

    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50
    after: Annotated[str | None, Query(max_length=100, description="where to go on: take it from `next`")] = None


@router.get("/visits", response_model=shapes.VisitsJson)
def visits(request: Request, asked: Annotated[WantedPage, Query()]) -> Response:
    """Visits, newest first, a page at a time."""
    home = home_of(request)
    page = home.store.cards.page(asked.as_filter(home), asked.limit, _place(asked.after))
    following = None
    if page.older is not None:
        given = {name: value for name, value in request.query_params.items() if name != "after"}
        following = f"{_base(request)}/visits?{urlencode(given | {'after': place_text(page.older)})}"
    return JSONResponse({"visits": [_visit(request, home, card) for card in page.cards], "next": following})


@router.get(
    "/visits.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "a line a visit"}},
)
def visits_csv(request: Request, asked: Annotated[Wanted, Query()]) -> Response:
    """All visits that are wanted, newest first, with the columns of `birdwatchd visits --csv`."""
    home = home_of(request)
    wanted = asked.as_filter(home)
    _ = home.store  # a database that cannot be read is said before the first line
    headers = {"content-disposition": 'attachment; filename="visits.csv"', "cache-control": "no-store"}
    return StreamingResponse(_csv_lines(home, wanted), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/visits/{visit_id}", response_model=shapes.VisitFullJson)
def visit(request: Request, visit_id: VisitId) -> Response:
    """All that is known of one visit."""
    home = home_of(request)
    card = card_of(home, visit_id)
    camera = card.stored.visit.camera
    moments = [one for one in home.store.visits.moments(visit_id) if one.crop is not None and home.shows(camera)]
    history = home.store.histories.of(visit_id)
    more = {
        "raw_top": [[name, round(share, 4)] for name, share in card.stored.visit.verdict.raw_top],
        "pictures": [_picture(request, one) for one in moments],
        "reviews": [
            {"at": rfc3339(one.at), "verdict": one.verdict, "species": one.species, "by": one.by}
            for one in history.reviews
        ],
        "told_at": rfc3339(history.told_at) if history.told_at is not None else None,
    }
    return JSONResponse(_visit(request, home, card) | more)


@router.get(
    "/visits/{visit_id}/pictures/{number}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/webp": {}}, "description": "the picture"}},
)
def picture(request: Request, visit_id: VisitId, number: int, size: shapes.Size | None = None) -> Response:
    """A picture of a visit: the JPEG that was classified, or a WebP of at most so many pixels."""
    return media.picture_of(request, visit_id, number, size or "")


@router.get(
    "/visits/{visit_id}/clip",
    response_class=Response,
    responses={
        200: {"content": {"video/mp4": {}}, "description": "the clip"},
        206: {"content": {"video/mp4": {}, "multipart/byteranges": {}}, "description": "the ranges asked for"},
        400: {"content": {"text/plain": {}}, "description": "the header Range cannot be read"},
        416: {"content": {"text/plain": {}}, "description": "the clip is shorter"},
    },
)
def clip(request: Request, visit_id: VisitId, download: bool = False) -> Response:
    """The clip of a visit, also in parts (header `Range`); `download` names it as a file to keep."""
    return media.clip_of(request, visit_id, download=download)


@router.get("/species", response_model=shapes.SpeciesListJson)
def species_list(request: Request) -> Response:
    """The species that were confirmed, the one seen last first."""
    home = home_of(request)
    return JSONResponse({"species": [_species(request, one) for one in home.store.species.all()]})


@router.get("/species/{name:path}", response_model=shapes.SpeciesJson)
def species(request: Request, name: Annotated[str, InPath(min_length=1, max_length=255)]) -> Response:
    """One species, by its scientific name."""
    found = home_of(request).store.species.of(name)
    if found is None:
        raise HTTPException(404, "This species was not seen here.")
    return JSONResponse(_species(request, found))


@router.get("/cameras", response_model=shapes.CamerasJson)
def cameras(request: Request) -> Response:
    """The cameras, and how they are."""
    home = home_of(request)
    reports = {report.camera: report for report in examine(home.config, home.now()).cameras}
    keys = list(dict.fromkeys([*home.config.cameras, *home.store.cards.cameras()]))
    found = []
    for key in keys:
        report = reports.get(key)
        found.append(
            {
                "camera": key,
                "name": home.camera_name(key),
                "state": report.state if report is not None else None,
                "last_frame_s": report.last_frame_s if report is not None else None,
                "configured": key in home.config.cameras,
                "visits_link": f"{_base(request)}/visits?{urlencode({'camera': key})}",
            }
        )
    return JSONResponse({"cameras": found})


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "the stream"}},
)
async def events(request: Request) -> Response:
    """Server-Sent Events: `birds` within a second of each change; ask again for what you show when it comes.

    Send the last id that you know as `Last-Event-ID`: if anything was missed since, an event comes at once.
    """
    full = JSONResponse({"error": "as many listen as may", "hint": "try again later"}, 503, {"retry-after": "30"})
    return media.NewsResponse(request, full)


def _base(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root if root.endswith(PREFIX) else root + PREFIX


def _visit(request: Request, home: Home, card: Card) -> dict[str, Any]:
    """The visit of `visits --json` and of MQTT, with its links."""
    found = card.stored.visit
    address = f"{_base(request)}/visits/{quote(found.visit_id, safe='')}"
    shown = home.shows(found.camera)
    picture = f"{address}/pictures/{card.picture}" if card.picture is not None and shown else None
    links = {
        "self": address,
        "page": f"{_base(request).removesuffix(PREFIX)}/visits/{quote(found.visit_id, safe='')}",
        "picture": picture,
        "small_picture": f"{picture}?size=320" if picture is not None else None,
        "clip": f"{address}/clip" if found.clip is not None and shown else None,
    }
    return found.to_json() | visit_json(card.stored) | {"reviewed": card.reviewed, "links": links}


def _picture(request: Request, moment: StoredMoment) -> dict[str, Any]:
    address = f"{_base(request)}/visits/{quote(moment.visit_id, safe='')}/pictures/{moment.idx}"
    return {
        "number": moment.idx,
        "at": rfc3339(moment.at),
        "quality": round(moment.quality, 3),
        "bird_evidence": None if moment.bird_evidence is None else round(moment.bird_evidence, 2),
        "width": moment.width,
        "height": moment.height,
        "top": [[name, round(share, 4)] for name, share in moment.top],
        "original": address,
        "px320": f"{address}?size=320",
        "px160": f"{address}?size=160",
    }


def _species(request: Request, found: SpeciesSummary) -> dict[str, Any]:
    base = _base(request)
    shown = found.picture
    return {
        "species": found.species,
        "name": found.name,
        "visits": found.visits,
        "first": rfc3339(found.first),
        "last": rfc3339(found.last),
        "most": found.most,
        "picture": f"{base}/visits/{quote(shown[0], safe='')}/pictures/{shown[1]}" if shown is not None else None,
        "visits_link": f"{base}/visits?{urlencode({'species': found.species})}",
    }


def _csv_lines(home: Home, wanted: CardFilter) -> Iterator[str]:
    """The table, some visits at a time: it is read as slowly as it is fetched, and never held whole."""
    written = io.StringIO()
    table = csv.DictWriter(written, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    place: Place | None = None
    while True:
        page = home.store.cards.page(wanted, CSV_PART, place)
        for card in page.cards:
            table.writerow({key: formula_free(value) for key, value in card.stored.visit.to_json().items()})
        yield written.getvalue()
        written.seek(0)
        written.truncate()
        place = page.older
        if place is None:
            return


def _place(text: str | None) -> Place | None:
    """Where a list goes on.

    Raises:
        HTTPException: there is no such place.
    """
    place = place_of(text) if text is not None else None
    if text is not None and place is None:
        raise HTTPException(404, "after: there is no such place in the list; take it from `next`")
    return place
