"""The whole configuration as one frozen record.

Every part gets its own settings (`CameraSettings`, `ModelSettings`, …), never the whole. Secrets are `Secret`s: they
print as `***`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from birdwatchd.address import Source
from birdwatchd.settings.agreement import Disagreement, disagreements
from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.base import Settings, check_slug
from birdwatchd.settings.cameras import BirdSize, CameraSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.log import LogSettings
from birdwatchd.settings.metrics import MetricsSettings
from birdwatchd.settings.model import ModelSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.settings.station import StationSettings
from birdwatchd.settings.web import WebSettings

__all__ = ["Config", "default_home"]


class Config(Settings):
    """The whole file."""

    station: StationSettings = StationSettings()
    home: Path = Field(default_factory=lambda: default_home())  # noqa: PLW0108  # defined below
    cameras: Mapping[str, CameraSettings] = Field(default_factory=dict)
    model: ModelSettings = ModelSettings()
    species: SpeciesSettings = SpeciesSettings()
    mqtt: MqttSettings = MqttSettings()
    alerts: tuple[AlertSettings, ...] = ()
    channels: Mapping[str, ChannelSettings] = Field(default_factory=dict)
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @property
    def model_cache(self) -> Path:
        """Folder in which downloaded weights are kept."""
        return self.model.cache_dir or self.home / "models"

    @property
    def without_pictures(self) -> frozenset[str]:
        """Cameras of which no picture is kept or sent."""
        return frozenset(key for key, camera in self.cameras.items() if camera.store == "nothing")

    def of_recordings(self, camera: str, min_bird: BirdSize) -> CameraSettings:
        """How recordings of a camera are watched: with defaults, but what is kept of the camera is kept of them."""
        settings = CameraSettings(source=Source("/"), min_bird=min_bird)
        live = self.cameras.get(camera)
        kept = {"mask", "store", "keep_lifeless"}
        return settings.model_copy(update={key: getattr(live, key) for key in kept}) if live else settings

    @property
    def visit_alerts(self) -> tuple[AlertSettings, ...]:
        """The alert rules about visits."""
        return tuple(rule for rule in self.alerts if not rule.about_station)

    @property
    def station_alerts(self) -> tuple[AlertSettings, ...]:
        """The alert rules about faults of the station itself."""
        return tuple(rule for rule in self.alerts if rule.about_station)

    def without_secrets(self) -> dict[str, Any]:
        """Plain values, as JSON has them, that make this configuration again but for what opens anything.

        A camera's source is `/` in it, and a channel has no address: enough to read what is stored and to say who is
        told of a review, too little to be worth stealing.
        """
        locks = {"source", "gate_source", "tls", "tls_fingerprint"}
        keys = {"password", "password_file", "ca_file", "cert_file", "key_file"}
        ways = {"apprise", "apprise_file", "webhook", "webhook_file", "headers_file"}
        values: dict[str, Any] = _plain(
            self.model_dump(
                exclude_unset=True,
                exclude={"cameras": {"__all__": locks}, "mqtt": keys, "channels": {"__all__": ways}},
            )
        )
        for camera in values.get("cameras", {}).values():
            camera["source"] = "/"
        for channel in values.get("channels", {}).values():
            channel["apprise"] = "-"
        return values | {"home": str(self.home)}

    @field_validator("cameras")
    @classmethod
    def _camera_keys(cls, value: Mapping[str, CameraSettings]) -> Mapping[str, CameraSettings]:
        for key in value:
            check_slug(key)
        return value

    @model_validator(mode="after")
    def _alerts_agree_with_the_rest(self) -> Config:
        zones = {key: frozenset(camera.zones) for key, camera in self.cameras.items()}
        placed = self.station.latitude is not None and self.station.longitude is not None
        if problems := disagreements(self.alerts, self.channels, zones, placed=placed):
            raise Disagreement(problems)
        return self


def _plain(value: Any) -> Any:
    """A value of a dump as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, timedelta):
        return f"{value.total_seconds()}s"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def default_home() -> Path:
    """Where data lives when nobody says: /var/lib/birdwatchd for a service or root, else the user's data folder."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/birdwatchd")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "birdwatchd"
