"""Say what all settings share, and the kinds of values that several of them have."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from birdwatchd.address import Secret

__all__ = ["SLUG", "DurationField", "Fraction", "Point", "Polygon", "SecretField", "Settings", "check_slug"]

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST = timedelta(days=3660)  # ten years


class Settings(BaseModel):
    """What all settings share: unknown keys are errors, nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False, hide_input_in_errors=True
    )


def check_slug(value: str) -> str:
    """Give back a camera key or station name that may stand in topics, folders and file names.

    Raises:
        ValueError: it may not.
    """
    if not SLUG.fullmatch(value):
        raise ValueError(f"name '{value}' goes into topics and folders; use a-z, 0-9, _ and -")
    return value


def _to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("is not text; put the password in quotes")
    return Secret(value)


def _to_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a length of time; write for example 45s, 30m, 2h or 1d")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"is too long; use {LONGEST.days}d or less")
    return timedelta(seconds=seconds)


SecretField = Annotated[Secret, BeforeValidator(_to_secret)]
DurationField = Annotated[timedelta, BeforeValidator(_to_duration)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Fraction, Fraction]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]
