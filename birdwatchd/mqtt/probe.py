"""Test the connection to the broker, for `birdwatchd check --probe`."""

from __future__ import annotations

import secrets
import time

from birdwatchd.errors import BrokerUnreachable
from birdwatchd.mqtt.connection import Connection, Credentials, Link, ProtocolVersion
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["probe"]


def probe(settings: MqttSettings, timeout_s: float) -> str:
    """Connect under a random client id (a running daemon is not disturbed) and disconnect; what was found, in words.

    Raises:
        BrokerUnreachable: no CONNACK within `timeout_s`, or the connection was lost.
        BrokerRefused: the broker refused the connection.
        ConfigError: password file or certificates cannot be read.
    """
    deadline_s = time.monotonic() + timeout_s
    where = f"broker {settings.host}:{settings.port}"
    credentials = Credentials.read(settings)
    for protocol in (ProtocolVersion.V5, ProtocolVersion.V311):
        connection = Connection.make(settings, f"birdwatchd-probe-{secrets.token_hex(4)}", protocol, credentials)
        connection.open()
        connack_by_s = min(deadline_s, time.monotonic() + connection.connack_timeout_s)
        while connection.link is Link.CONNECTING and time.monotonic() < connack_by_s:
            connection.loop(0.1)
        if connection.link is Link.UP:
            connection.close()
            return f"{where} answers, {protocol.text}"
        if connection.link is Link.CONNECTING:
            connection.abort_connecting()
        if not connection.may_need_downgrade or time.monotonic() >= deadline_s:
            break
    raise connection.error or BrokerUnreachable(
        f"{where} accepts connections but does not answer", "check that mqtt.url is an MQTT broker"
    )
