"""Settings of the station: its name, place and time zone."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from birdwatchd.settings.base import Settings, check_slug

__all__ = ["StationSettings"]


class StationSettings(Settings):
    """Where this daemon stands."""

    name: str = "home"
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: str = "UTC"

    @field_validator("name")
    @classmethod
    def _name_is_slug(cls, value: str) -> str:
        return check_slug(value)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is not a time zone; use a name such as Asia/Jerusalem or Europe/Berlin")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)
