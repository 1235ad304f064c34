"""Describe an alert rule: which visits somebody wants to hear of at once, and by which channels."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from birdwatchd.settings.base import SLUG, DurationField, Settings
from birdwatchd.settings.hours import WindowField

__all__ = ["OCCASIONS", "AlertSettings", "unseen_days"]

OCCASIONS = ("every", "first_ever", "first_year", "first_season", "first_today", "rare")
_UNSEEN = re.compile(r"unseen_([1-9]\d{0,3})d")


def unseen_days(occasion: str) -> int | None:
    """The days of `unseen_30d`; None for any other occasion."""
    match = _UNSEEN.fullmatch(occasion)
    return int(match[1]) if match else None


def _known_occasion(value: str) -> str:
    if value not in OCCASIONS and unseen_days(value) is None:
        raise ValueError(f"is not an occasion; use {', '.join(OCCASIONS)}, or unseen_30d for not seen for 30 days")
    return value


Occasion = Annotated[str, AfterValidator(_known_occasion)]


class AlertSettings(Settings):
    """One rule. A visit must fit every key that is given; of the values of one key, any will do.

    `when` is what makes a visit worth an alert. `species` holds names of species, genera or families; `zones` names
    polygons of the visit's camera; the visit must begin in one of `hours` and in none of `quiet`. A rule is silent on
    a species for `cooldown` after a visit that it reported, and for the rest of a day on which it reported `daily_cap`.
    It notifies the channels of `to` and, unless `mqtt` is false, the topic `alert`, there with a crop if `mqtt_image`.
    """

    name: str
    when: tuple[Occasion, ...] = ("every",)
    species: tuple[str, ...] = ()
    states: tuple[Literal["confirmed", "uncertain", "unknown"], ...] = ("confirmed",)
    cameras: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    hours: tuple[WindowField, ...] = ()
    quiet: tuple[WindowField, ...] = ()
    min_count: Annotated[int, Field(ge=1, le=1000)] = 1
    cooldown: DurationField = timedelta(0)
    daily_cap: Annotated[int, Field(ge=1, le=100_000)] | None = None
    to: tuple[str, ...] = ()
    mqtt: bool = True
    mqtt_image: bool = False

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError(f"'{value}' stands in every message of the rule; use a-z, 0-9, _ and -")
        return value

    @field_validator("when", "states")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("is empty, so the rule would never notify; leave it out for the default")
        return value
