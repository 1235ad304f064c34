"""Subscribe to topics of a broker and pass on each message with its time of arrival.

The daemon does not use it: it is the other end of the connection, with which the demo measures what was published.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from birdwatchd.errors import BrokerUnreachable
from birdwatchd.mqtt.connection import broker_errors
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["Subscriber"]

SUBSCRIBE_TIMEOUT_S = 60.0  # on a busy machine a broker is slow, not broken

OnMessage = Callable[[str, bytes, datetime], None]


class Subscriber:
    """A context manager that is subscribed while its block runs. `on_message` is called in paho's thread."""

    def __init__(self, settings: MqttSettings, topic_filters: tuple[str, ...], on_message: OnMessage) -> None:
        """
        Args:
            on_message: gets topic, payload and time of arrival (UTC).

        Raises:
            ConfigError: the password file cannot be read.
        """
        self._settings, self._topic_filters, self._deliver = settings, topic_filters, on_message
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        if settings.username:
            self._client.username_pw_set(settings.username, settings.read_password().reveal())
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> Subscriber:
        """Connect and subscribe.

        Raises:
            BrokerUnreachable, BrokerRefused: the broker cannot be connected to, or did not confirm in time.
        """
        with broker_errors(self._settings):
            self._client.connect(self._settings.host, self._settings.port)
        self._client.loop_start()
        if not self._subscribed.wait(SUBSCRIBE_TIMEOUT_S):
            self._disconnect()
            where = f"broker {self._settings.host}:{self._settings.port}"
            raise BrokerUnreachable(f"{where} did not confirm the subscription", "see the broker's log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        if not reason.is_failure:
            client.subscribe([(topic, 1) for topic in self._topic_filters])

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed.set()

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self._deliver(message.topic, bytes(message.payload), datetime.now(UTC))
