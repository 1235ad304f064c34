"""Say what the JSON of `/api/v1` looks like; the OpenAPI description is made of these."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "CameraJson",
    "CamerasJson",
    "ErrorJson",
    "PictureJson",
    "ReviewJson",
    "Size",
    "SpeciesJson",
    "SpeciesListJson",
    "VisitFullJson",
    "VisitJson",
    "VisitsJson",
]


Size = Literal["160", "320"]  # pixels of the longer side of a small picture


class Shape(BaseModel):
    """What all have in common: every key is always there."""

    model_config = ConfigDict(frozen=True)


class ErrorJson(Shape):
    """What was not done and why; `hint` says what to do, and may be empty."""

    error: str
    hint: str


class VisitLinks(Shape):
    """Addresses of one visit. `picture` shows most of the bird; null where none is kept."""

    self: str
    page: str
    picture: str | None
    small_picture: str | None
    clip: str | None


class VisitJson(Shape):
    """A visit as `visits --json` writes it and MQTT publishes it, with addresses."""

    visit_id: str
    revision: int
    phase: str
    camera: str
    media: str | None
    start: str
    end: str | None
    start_s: float | None
    end_s: float | None
    state: str
    rank: str
    common_name: str | None
    scientific_name: str | None
    score: float
    raw_score: float | None
    rare: bool
    top: list[tuple[str, float]]
    reasons: list[str]
    moments: int
    count_max: int
    box: list[float] | None
    model: str
    firsts: list[str]
    reviewed: bool
    links: VisitLinks


class PictureJson(Shape):
    """A picture of a visit; `top` is what was found in it alone."""

    number: int
    at: str
    quality: float
    bird_evidence: float | None
    width: int
    height: int
    top: list[tuple[str, float]]
    original: str
    px320: str
    px160: str


class ReviewJson(Shape):
    """What somebody said of a visit."""

    at: str
    verdict: str
    species: str | None
    by: str


class VisitFullJson(VisitJson):
    """All that is known of one visit. `raw_top` is what the network alone says; empty where nothing else had a say."""

    raw_top: list[tuple[str, float]]
    pictures: list[PictureJson]
    reviews: list[ReviewJson]
    told_at: str | None


class VisitsJson(Shape):
    """A page of visits, newest first; `next` is the address of the page after it, null at the end."""

    visits: list[VisitJson]
    next: str | None


class SpeciesJson(Shape):
    """A species that was confirmed. `species` is the name to ask with; `most` is how many were there at once."""

    species: str
    name: str
    visits: int
    first: str
    last: str
    most: int
    picture: str | None
    visits_link: str


class SpeciesListJson(Shape):
    """The species that were confirmed, the one seen last first."""

    species: list[SpeciesJson]


class CameraJson(Shape):
    """A camera. `state` is null where nothing is known of it now; `last_frame_s` is the age of its last picture."""

    camera: str
    name: str
    state: str | None
    last_frame_s: float | None
    configured: bool
    visits_link: str


class CamerasJson(Shape):
    """The cameras of the configuration, then those that had visits before."""

    cameras: list[CameraJson]
