"""Read what people write on a command line: times, addresses of cameras, and what overrides the configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from birdwatchd.address import Source
from birdwatchd.errors import ConfigError
from birdwatchd.settings.cameras import BirdSize, CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import UNSET, find_config, load_config

__all__ = ["is_model_file", "named_cameras", "overridden", "parse_since", "stored_config"]


def stored_config(path: Path | None, *, home: Path | None = None) -> Config:
    """The configuration for who only works with what is stored: passwords that are not set are no mistake.

    What says where things lie and how topics are called must be known all the same.

    Raises:
        ConfigError: as `load_config`.
    """
    path = path or find_config()
    try:
        config = load_config(path, needs_secrets=False)
        known = UNSET not in (config.station.name, config.mqtt.base, config.mqtt.discovery, *config.home.parts)
    except ConfigError:  # said again, of the values that there really are
        known = False
    return overridden(config if known else load_config(path), home=home)


def parse_since(text: str, now: datetime, zone: Any, option: str = "--since") -> datetime:
    """Read `--since`: how long ago (`90m`, `12h`, `7d`), `today`, `yesterday`, a date or a time in the station's zone.

    Raises:
        ConfigError: it is none of these.
    """
    problem = ConfigError(
        f"{option}: cannot understand the time {text}",
        "write for example 12h, 7d, today, yesterday, 2026-05-01 or 2026-05-01T06:30",
    )
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text):
        unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
        try:
            return now - timedelta(**{unit: float(match[1])})
        except OverflowError:  # before the year 1
            raise problem from None
    if text in ("today", "yesterday"):
        at = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return at if text == "today" else at - timedelta(days=1)  # on the wall clock: a day may have 23 hours
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise problem from None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def overridden(config: Config, *, home: Path | None = None, model: str | None = None) -> Config:
    """The configuration with what the command line overrides."""
    changes: dict[str, Any] = {}
    if home is not None:
        changes["home"] = home.absolute()
    if model is not None:
        named = {"file": Path(model).absolute()} if is_model_file(model) else {"name": model, "file": None}
        changes["model"] = config.model.model_copy(update=named)
    return config.model_copy(update=changes)


def is_model_file(model: str) -> bool:
    """Whether what was given as a model is a file of weights, and not the name of a published one."""
    return model.endswith((".pt", ".safetensors"))


def named_cameras(sources: Sequence[str], min_bird: BirdSize = "auto") -> dict[str, CameraSettings]:
    """Cameras from addresses, with keys made unique. Errors number the address; an address may hold a password."""
    cameras: dict[str, CameraSettings] = {}
    for position, text in enumerate(sources, 1):
        try:
            source = Source(text)
        except ValueError as error:
            raise ConfigError(f"source number {position} {error}") from None
        if source.kind == "file" and not Path(source.location).is_file():
            is_path = re.fullmatch(r"[^@=:?]+", source.location)  # else an address cut short
            what = f"no camera or file named {source}" if is_path else f"source number {position} is not a file"
            raise ConfigError(what, "check the path, or give a URL")
        slug, number = _camera_key(source), 2
        key = slug
        while key in cameras:
            key, number = f"{slug}_{number}", number + 1
        cameras[key] = CameraSettings(source=source, min_bird=min_bird)
    return cameras


def _camera_key(source: Source) -> str:
    """A key from the host, the device or the file's name."""
    if source.kind == "file":
        stem = Path(source.location).stem
    elif source.kind == "device":
        stem = Path(source.location).name
    else:
        stem = urlsplit(source.location).netloc
    return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:40] or "camera"
