"""Put the parts that tell together: composer, publisher, announcer, heartbeat, commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.daily_summary import Heartbeat
from birdwatchd.mqtt.health import Health
from birdwatchd.mqtt.home_assistant import Discovery
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.retained import Announcer
from birdwatchd.mqtt.topics import Topics
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import Decide, Store, Writer

__all__ = ["Desk", "composer_of", "open_desk"]


@dataclass(frozen=True, slots=True)
class Desk:
    """All that tells, ready to run.

    Attributes:
        writer: of visits; what is news of them goes to the broker.
        off: cameras that a command switched off, and none switched on again.
    """

    writer: Writer
    publisher: Publisher
    health: Health
    off: frozenset[str]


def open_desk(
    store: Store,
    settings: MqttSettings,
    station: str,
    cameras: Mapping[str, CameraSettings],
    metrics: Metrics,
    *,
    switch: Callable[[str, bool], None] = lambda camera, on: None,
    decide: Decide | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    drain_s: float = 5.0,
) -> Desk:
    """Prepare to tell of a station's cameras over MQTT; nothing is sent yet.

    Args:
        switch: starts or stops a camera, when a command says so.
        decide: the alert rules, None where there are none.

    Raises:
        ConfigError: password file or certificates cannot be read.
    """
    topics = Topics(settings.base, station)
    composer, health = Composer(topics, images=settings.images), Health(metrics)
    writer = store.writer(composer, decide)
    fixed = {key for key, camera in cameras.items() if not camera.enabled}
    allowed, at = settings.commands, settings.heartbeat_at
    off = frozenset(store.cameras.switched_off() & cameras.keys()) if "enable" in allowed else frozenset[str]()
    announcer = Announcer(
        store,
        composer,
        _discovery(settings, topics, cameras),
        health,
        clock,
        heartbeat=Heartbeat(store, topics.heartbeat, at, len(cameras) - len(fixed)) if at else None,
        commands=Commands(
            store,
            writer,
            topics,
            metrics,
            allowed=allowed,
            cameras=cameras,
            off=off,
            fixed=fixed,
            switch=switch,
        ),
    )
    publisher = Publisher(
        store.outbox, settings, station, topics, metrics, clock=clock, drain_s=drain_s, announcer=announcer
    )
    return Desk(writer, publisher, health, off)


def _discovery(settings: MqttSettings, topics: Topics, cameras: Mapping[str, CameraSettings]) -> Discovery:
    return Discovery(
        settings.discovery,
        topics,
        {key: camera.name for key, camera in cameras.items()},
        images=settings.images,
        commands=settings.commands,
        heartbeat=settings.heartbeat_at is not None,
    )


def composer_of(config: Config) -> Composer | None:
    """Who writes the messages; None where there is no broker."""
    if not config.mqtt.url:
        return None
    return Composer(Topics(config.mqtt.base, config.station.name), images=config.mqtt.images)
