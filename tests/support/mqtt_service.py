"""The MQTT service of a station with some cameras, running against a broker, and what the broker then keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from birdwatchd.address import Source
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.build import MqttService, build_mqtt
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.mqtt import MqttSettings

BELOW = "birdwatch/reserve1/"
Wait = Callable[..., None]


class Daemon:
    """The MQTT service with some cameras, its publisher in a thread."""

    def __init__(self, world: Any, url: str, cameras: Collection[str] = ("nut", "pond"), **settings: Any) -> None:
        now = settings.pop("clock", lambda: datetime(2026, 5, 1, 6, 45, tzinfo=UTC))
        station = settings.pop("station", "reserve1")
        names = settings.pop("names", {})
        service = {key: settings.pop(key) for key in ("decide", "species", "switch") if key in settings}
        areas = settings.pop("areas", {})
        every = {
            key: CameraSettings(source=Source("x.mp4"), name=names.get(key, ""), area=areas.get(key, ""))
            for key in cameras
        }
        self.metrics, self.world = Metrics(), world
        chosen = MqttSettings(url=url, **({"heartbeat": ""} | settings))
        self.mqtt: MqttService = build_mqtt(world.store, chosen, station, every, self.metrics, clock=now, **service)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.mqtt.publisher.run, args=(self.stop,), daemon=True)
        self.thread.start()
        world.endings.append(self.end)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(15)
        assert not self.thread.is_alive()

    def all_sent(self) -> bool:
        """Every message was acknowledged: seen twice, since a message may be in no list for a moment."""
        return self._is_quiet() and not self.stop.wait(0.1) and self._is_quiet()

    def _is_quiet(self) -> bool:
        publisher = self.mqtt.publisher
        quiet = not (publisher._in_flight or publisher._states.waiting or publisher._delivered)
        return self.metrics.get("mqtt_connected") == 1 and quiet and not self.world.store.outbox.depth()


def kept(world: Any, port: int, wait_until: Wait) -> dict[str, bytes]:
    """What the broker keeps, as a newcomer gets it; the marker at the end comes last."""
    newcomer = world.subscriber(port, "#", client_id=f"newcomer {threading.get_native_id()} {len(world.endings)}")
    newcomer.client.publish("birdwatch/marker", b"", qos=1)
    wait_until(lambda: newcomer.payloads("birdwatch/marker"))
    return {topic: payload for topic, payload, retained in newcomer.got if retained}
