"""Hear what a subscriber would hear, and when: the other end of the wire, for the demo and for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from birdwatchd.mqtt.connection import broker_errors
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["Listener"]

Hear = Callable[[str, bytes, datetime], None]


class Listener:
    """Subscribe to some topics for as long as the context lasts; `hear` is called in paho's thread."""

    def __init__(self, settings: MqttSettings, topic_filters: tuple[str, ...], hear: Hear) -> None:
        """
        Args:
            hear: gets topic, payload and the time of arrival (UTC).
        """
        self._settings, self._filters, self._hear = settings, topic_filters, hear
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        if settings.username:
            self._client.username_pw_set(settings.username, settings.read_password().reveal())
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Listener:
        with broker_errors(self._settings):
            self._client.connect(self._settings.host, self._settings.port)
        self._client.loop_start()
        self._subscribed.wait(10.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(topic, 1) for topic in self._filters])

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed.set()

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        del client, userdata
        self._hear(message.topic, bytes(message.payload), datetime.now(UTC))
