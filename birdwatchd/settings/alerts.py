"""Describe an alert rule: of which visits, or of which faults of the station itself, somebody wants to hear at once.

A rule is about visits or about the station, never both: what `when` names decides.
"""

from __future__ import annotations

import re
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from birdwatchd.settings.base import SLUG, DurationField, Settings
from birdwatchd.settings.hours import WindowField

__all__ = ["FAULTS", "OCCASIONS", "AlertSettings", "fault_of", "unseen_days"]

OCCASIONS = ("every", "first_ever", "first_year", "first_season", "first_today", "rare")
_UNSEEN = re.compile(r"unseen_([1-9]\d{0,3})d")
# Faults of the station, and how long each lasts before somebody hears of it. `disk_full` waits for nothing.
FAULTS = MappingProxyType(
    {
        "camera_offline": timedelta(minutes=10),
        "camera_blind": timedelta(hours=1),
        "no_visit_for": timedelta(days=2),
        "disk_full": timedelta(0),
        "broker_offline": timedelta(minutes=10),
        "channel_failing": timedelta(hours=1),
        "backup_old": timedelta(days=8),
    }
)
_FAULT = re.compile(rf"({'|'.join(FAULTS)})(?:_([1-9]\d{{0,4}})([smhd]))?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_OF_VISITS = ("species", "states", "zones", "hours", "quiet", "min_count", "cooldown", "daily_cap", "mqtt_image")


def unseen_days(occasion: str) -> int | None:
    """The days of `unseen_30d`; None for any other occasion."""
    match = _UNSEEN.fullmatch(occasion)
    return int(match[1]) if match else None


def fault_of(occasion: str) -> tuple[str, timedelta] | None:
    """The fault, and how long it has to last, of `camera_offline` or `camera_offline_30m`; None for an occasion."""
    match = _FAULT.fullmatch(occasion)
    if match is None or (match[1] == "disk_full" and match[2]):
        return None
    lasts = timedelta(seconds=int(match[2]) * _UNITS[match[3]]) if match[2] else FAULTS[match[1]]
    return match[1], lasts


def _known_occasion(value: str) -> str:
    if value not in OCCASIONS and unseen_days(value) is None and fault_of(value) is None:
        raise ValueError(
            f"is not an occasion; use {', '.join(OCCASIONS)}, unseen_30d for not seen for 30 days,"
            f" or for the station itself {', '.join(FAULTS)}"
        )
    return value


Occasion = Annotated[str, AfterValidator(_known_occasion)]


class AlertSettings(Settings):
    """One rule. A visit must fit every key that is given; of the values of one key, any will do.

    `when` is what makes a visit worth an alert. `species` holds names of species, genera or families; `zones` names
    polygons of the visit's camera; the visit must begin in one of `hours` and in none of `quiet`. A rule is silent on
    a species for `cooldown` after a visit that it reported, and for the rest of a day on which it reported `daily_cap`.
    It notifies the channels of `to` and, unless `mqtt` is false, the topic `alert`, there with a crop if `mqtt_image`.

    A rule about the station names faults in `when`, takes `cameras`, `to` and `mqtt`, and publishes to `station_alert`.
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

    @property
    def about_station(self) -> bool:
        """Whether it is about faults of the station, and not about visits."""
        return fault_of(self.when[0]) is not None

    @model_validator(mode="after")
    def _about_one_kind(self) -> AlertSettings:
        faults = [occasion for occasion in self.when if fault_of(occasion) is not None]
        if faults and len(faults) < len(self.when):
            raise ValueError(f"is about visits and about the station ({', '.join(faults)}); make two rules of it")
        given = [key for key in _OF_VISITS if key in self.model_fields_set]
        if faults and given:
            raise ValueError(f"has {', '.join(given)}, which is for rules about visits; leave it out")
        return self
