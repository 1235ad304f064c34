"""Subscribe to topics of a broker and pass on each message with its time of arrival.

The daemon does not use it: it is the other end of the connection, for programs that react to visits, and for the demo,
which measures what was published.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from birdwatchd.errors import BrokerUnreachable
from birdwatchd.mqtt.connection import Credentials, broker_errors
from birdwatchd.mqtt.topics import Topics
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["Subscriber", "received_visits"]

SUBSCRIBE_TIMEOUT_S = 60.0  # on a busy machine a broker is slow, not broken

OnMessage = Callable[[str, bytes, datetime], None]


class Subscriber:
    """A context manager that is subscribed while its block runs. `on_message` is called in paho's thread."""

    def __init__(self, settings: MqttSettings, topic_filters: tuple[str, ...], on_message: OnMessage) -> None:
        """
        Args:
            on_message: gets topic, payload and time of arrival (UTC).

        Raises:
            ConfigError: password file or certificates cannot be read.
        """
        self._settings, self._topic_filters, self._deliver = settings, topic_filters, on_message
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        credentials = Credentials.read(settings)
        if settings.username:
            self._client.username_pw_set(settings.username, credentials.password.reveal())
        if credentials.tls is not None:
            self._client.tls_set_context(credentials.tls)
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


def received_visits(
    settings: MqttSettings, *, station: str = "+", camera: str = "+"
) -> Generator[dict[str, Any], None, None]:
    """Give the visits that birdwatchd publishes, as they come: one for each change of a visit.

    It subscribes when the first one is asked for and stays subscribed, also over restarts of the broker, until it is
    closed. A visit that was published before is not repeated.

    Args:
        settings: where the broker is, and `base`, with which all topics begin.
        station, camera: only visits of these; `+` stands for all.

    Yields:
        The JSON of a visit with its `event_type`, as docs/reference/mqtt.md describes it. What is no JSON object is
        left out.

    Raises:
        ConfigError: password file or certificates cannot be read.
        BrokerUnreachable, BrokerRefused: the broker cannot be connected to, or did not confirm in time.
    """
    arrived: SimpleQueue[bytes] = SimpleQueue()  # without bound: a blocked network thread would lose the broker
    topic = Topics(settings.base, station).visit(camera)
    with Subscriber(settings, (topic,), lambda _topic, payload, _at: arrived.put(payload)):
        while True:
            try:
                visit = json.loads(arrived.get())
            except ValueError:  # also bytes that are no text
                continue
            if isinstance(visit, dict):
                yield visit
