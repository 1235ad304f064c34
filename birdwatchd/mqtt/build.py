"""Build the MQTT service from the configuration: composer, publisher, retained topics, daily summary, commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.daily_summary import DailySummary
from birdwatchd.mqtt.health import CameraHealth
from birdwatchd.mqtt.home_assistant import Discovery
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.retained import RetainedTopics
from birdwatchd.mqtt.topics import Topics
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.store import Decide, Store, Writer

__all__ = ["MqttService", "build_composer", "build_discovery", "build_mqtt"]


@dataclass(frozen=True, slots=True)
class MqttService:
    """The parts of MQTT that the daemon uses.

    Attributes:
        writer: of visits; the messages about them are for this broker.
        switched_off: cameras that are off because of a command.
    """

    writer: Writer
    publisher: Publisher
    health: CameraHealth
    switched_off: frozenset[str]


def build_mqtt(
    store: Store,
    settings: MqttSettings,
    station: str,
    cameras: Mapping[str, CameraSettings],
    metrics: Metrics,
    *,
    switch: Callable[[str, bool], None] = lambda camera, on: None,
    decide: Decide | None = None,
    species: SpeciesSettings | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    drain_s: float = 5.0,
) -> MqttService:
    """Build the MQTT service of a station; nothing is sent yet.

    Args:
        switch: starts or stops a camera, on a command.
        decide: decides which alert rules fire; None where there are none.
        species: in whose names visits are corrected by a command.

    Raises:
        ConfigError: password file or certificates cannot be read.
    """
    topics = Topics(settings.base, station)
    composer, health = Composer(topics, images=settings.images), CameraHealth(metrics)
    writer = store.writer(composer, decide)
    disabled = {key for key, camera in cameras.items() if not camera.enabled}
    can_switch = "enable" in settings.commands
    off = frozenset(store.cameras.switched_off() & cameras.keys()) if can_switch else frozenset[str]()
    allowed = settings.commands
    commands = Commands(
        store,
        writer,
        topics,
        metrics,
        allowed=allowed,
        cameras=cameras,
        switched_off=off,
        disabled=disabled,
        switch=switch,
        species=species,
    )
    discovery = build_discovery(settings, topics, cameras, alerts=decide is not None)
    summary = _daily_summary(store, settings, topics, cameras)
    retained = RetainedTopics(store, composer, discovery, health, clock, daily_summary=summary, commands=commands)
    publisher = Publisher(
        store.outbox, settings, station, topics, metrics, clock=clock, drain_s=drain_s, retained=retained
    )
    return MqttService(writer, publisher, health, off)


def _daily_summary(
    store: Store, settings: MqttSettings, topics: Topics, cameras: Mapping[str, CameraSettings]
) -> DailySummary | None:
    if settings.heartbeat_at is None:
        return None
    enabled = sum(camera.enabled for camera in cameras.values())
    return DailySummary(store, topics.heartbeat, settings.heartbeat_at, enabled)


def build_discovery(
    settings: MqttSettings, topics: Topics, cameras: Mapping[str, CameraSettings], *, alerts: bool
) -> Discovery:
    """What is told to Home Assistant about a station and its cameras."""
    return Discovery(
        settings.discovery,
        topics,
        {key: camera.name for key, camera in cameras.items()},
        images=settings.images,
        without_pictures={key for key, camera in cameras.items() if camera.store == "nothing"},
        commands=settings.commands,
        heartbeat=settings.heartbeat_at is not None,
        alerts=alerts,
        areas={key: camera.area for key, camera in cameras.items()},
        page_url=settings.page_url,
    )


def build_composer(config: Config) -> Composer | None:
    """The composer of MQTT messages; None if no broker is configured."""
    if not config.mqtt.url:
        return None
    return Composer(Topics(config.mqtt.base, config.station.name), images=config.mqtt.images)
