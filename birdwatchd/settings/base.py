"""Say what all settings share, and the kinds of values that several of them have."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from birdwatchd.address import Secret

__all__ = [
    "LOOPBACK",
    "SLUG",
    "BindField",
    "DurationField",
    "Fraction",
    "Listening",
    "Point",
    "Polygon",
    "SecretField",
    "Settings",
    "check_slug",
]

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST = timedelta(days=3660)  # ten years
LOOPBACK = "127.0.0.1"
_BIND = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


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


def _to_bind(value: object) -> object:
    """`false` is none; a port alone is one of this machine."""
    if value is False:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{LOOPBACK}:{value}"
    return value


BindField = Annotated[str, BeforeValidator(_to_bind)]


class Listening(Settings):
    """Where something is served: `bind` is ADDRESS:PORT, or a port of this machine; empty or false for nowhere."""

    bind: BindField = ""

    @field_validator("bind")
    @classmethod
    def _is_address(cls, value: str) -> str:
        match = _BIND.fullmatch(value)
        if not value:
            return value
        try:
            usable = match is not None and bool(ip_address(match["six"] or match["four"]))
        except ValueError:
            usable = False
        if match is None or not usable or not 0 < int(match["port"]) < 65536:
            raise ValueError("is not an address with a port; write 127.0.0.1:9108, or false")
        return value

    @property
    def host(self) -> str:
        """The address to listen at, without brackets."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen at; 0 where nothing is served."""
        return int(self.bind.rpartition(":")[2] or 0)

    @property
    def local_url(self) -> str:
        """Where this machine itself reads them, as http://ADDRESS:PORT; empty where nothing is served."""
        if not self.bind:
            return ""
        address = ip_address(self.host)
        if address.is_unspecified:  # every address of this machine
            address = ip_address("::1" if address.version == 6 else LOOPBACK)
        return f"http://[{address}]:{self.port}" if address.version == 6 else f"http://{address}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can read them."""
        return not self.bind or ip_address(self.host).is_loopback
