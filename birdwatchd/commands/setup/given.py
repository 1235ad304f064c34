"""Read what a person says of their station: the address of a camera, a place, a time zone, a broker."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import available_timezones

from birdwatchd.address import SCHEMES, Source
from birdwatchd.errors import ConfigError, shortened
from birdwatchd.settings.base import SLUG

__all__ = ["NONE", "broker_of", "camera_of", "names_a_stream", "position_of", "slug_of", "system_zone", "zone_of"]

# An address whose password has / # or ? in it as they are. With one @ there is no doubt about which host is meant.
_UNQUOTED = re.compile(
    r"([a-z]+://)([^:@/]+):([^@]+)@((?:\[[0-9a-f:]+\]|[a-z0-9][a-z0-9.-]*)(?::\d+)?(?:[/?][^@]*)?)", re.IGNORECASE
)
MOST_LETTERS = 64  # of the name of a place or camera
NONE = ("", "none", "no", "-")  # answers that mean: there is none
_HOST = re.compile(r"([^/@\s]+@)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:\d+)?")


def camera_of(text: str) -> str:
    """The address of a camera; a host alone becomes `rtsp://host`.

    Raises:
        ConfigError: it is none; the message holds no part of it, for it may hold a password.
    """
    text = text.strip()
    is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None
    if not is_url and not text.startswith(("/", ".")) and not os.path.lexists(text):
        if not _HOST.fullmatch(text):
            raise ConfigError(
                "the camera's address cannot be read", f"write a host, /dev/video0, or a URL: {', '.join(SCHEMES)}"
            )
        text = f"rtsp://{text}"
    try:
        source = Source(text)
    except ValueError as error:
        text = _quoted(text)
        try:
            source = Source(text)
        except ValueError:
            raise ConfigError(f"the camera's address {error}") from None
    if source.kind == "file" and not os.path.isfile(source.location):  # pathlib raises for a long name
        raise ConfigError(f"{source} is not a file", "check the path, or give a URL")
    return text


def _quoted(text: str) -> str:
    """An address whose user and password are written as in a URL, of one in which they stand as they are."""
    match = _UNQUOTED.fullmatch(text)
    if match is None:
        return text
    user, password = (quote(part, safe="") for part in match.group(2, 3))
    return f"{match[1]}{user}:{password}@{match[4]}"


def names_a_stream(address: str) -> bool:
    """Whether an address has a path, and not only a host."""
    parts = urlsplit(address)
    return parts.scheme not in ("rtsp", "rtsps") or bool(parts.path.strip("/") or parts.query)


def slug_of(text: str) -> str:
    """A name that may stand in topics: `My Garden` becomes `my_garden`.

    Raises:
        ConfigError: nothing of it is left, or it is too long.
    """
    slug = re.sub(r"[^a-z0-9-]+", "_", text.strip().casefold()).strip("_-")
    if len(slug) > MOST_LETTERS:
        hint = f"give a short one of at most {MOST_LETTERS}; it goes into topics and folders"
        raise ConfigError(f"{shortened(text, 80)} has {len(slug)} letters", hint)
    if not SLUG.fullmatch(slug):
        raise ConfigError(f"{text} cannot be a name", "it goes into topics and folders; use a-z, 0-9, _ and -")
    return slug


def position_of(text: str) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, as maps give them (`52.52, 13.40`); None where there is none.

    Raises:
        ConfigError: it is neither.
    """
    if text.strip().casefold() in NONE:
        return None
    numbers = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*[,; ]\s*(-?\d+(?:\.\d+)?)\s*", text)
    if numbers and abs(float(numbers[1])) <= 90 and abs(float(numbers[2])) <= 180:
        return float(numbers[1]), float(numbers[2])
    raise ConfigError(f"cannot understand the position {text}", "write latitude, longitude: 52.52, 13.40; or none")


def zone_of(text: str) -> str:
    """The name of a time zone, in any case; a city is enough.

    Raises:
        ConfigError: there is none.
    """
    wanted = text.strip().replace(" ", "_").casefold()
    zones = sorted(available_timezones())
    found = [zone for zone in zones if zone.casefold() == wanted] or [
        zone for zone in zones if zone.casefold().endswith(f"/{wanted}") and not zone.startswith(("posix/", "right/"))
    ]
    if len(found) == 1:
        return found[0]
    near = [zone for zone in zones if wanted and wanted in zone.casefold()][:4]
    hint = f"is it {' or '.join(near)}?" if near else "write for example Europe/Berlin"
    raise ConfigError(f"{text} is not a time zone", hint)


def system_zone(environ: Mapping[str, str], localtime: Path = Path("/etc/localtime")) -> str:
    """The time zone of this machine; UTC where it does not say."""
    named = (environ.get("TZ", "").removeprefix(":"), os.path.realpath(localtime).partition("/zoneinfo/")[2])
    zones = available_timezones()
    return next((name for name in named if name in zones), "UTC")


def broker_of(text: str) -> tuple[str, str, str]:
    """Address, user and password of a broker; all empty for none. A host alone becomes `mqtt://host`.

    Raises:
        ConfigError: it is no broker's; the message holds no password.
    """
    text = text.strip()
    if text.casefold() in NONE:
        return "", "", ""
    if "://" not in text:
        text = f"mqtt://{text}"
    wrong = ConfigError("the broker's address cannot be read", "write mqtt://host:1883, mqtts://host:8883, or none")
    try:
        late = "@" in urlsplit(text).path + urlsplit(text).query + urlsplit(text).fragment
        parts = urlsplit(_quoted(text) if late else text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.path.strip("/") or parts.query:
        raise wrong
    named = f"[{host}]" if ":" in host else host
    where = f"{named}:{port}" if port else named
    return f"{parts.scheme}://{where}", unquote(parts.username or ""), unquote(parts.password or "")
