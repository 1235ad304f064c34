"""Ask the broker whether it would have us, for `birdwatchd check --probe`."""

from __future__ import annotations

import secrets
import time

from birdwatchd.errors import BrokerUnreachable
from birdwatchd.mqtt.connection import Connection, Credentials, Link, Protocol
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["probe"]


def probe(settings: MqttSettings, timeout_s: float) -> str:
    """Connect under an id of its own (a running daemon is not disturbed), hang up, and say what was found.

    Raises:
        BrokerUnreachable: nobody answered within `timeout_s`, or hung up.
        BrokerRefused: the answer was no, in words.
        ConfigError: password file or certificates cannot be read.
    """
    until = time.monotonic() + timeout_s
    where = f"broker {settings.host}:{settings.port}"
    credentials = Credentials.read(settings)
    for protocol in (Protocol.V5, Protocol.V311):
        connection = Connection.make(settings, f"birdwatchd-probe-{secrets.token_hex(4)}", protocol, credentials)
        connection.open()
        patience = min(until, time.monotonic() + connection.patience_s)
        while connection.link is Link.GREETING and time.monotonic() < patience:
            connection.serve(0.1)
        if connection.link is Link.UP:
            connection.close()
            return f"{where} answers, {protocol.text}"
        if connection.link is Link.GREETING:
            connection.give_up()
        if not connection.may_be_older or time.monotonic() >= until:
            break
    raise connection.error or BrokerUnreachable(f"{where} does not greet", "check that mqtt.url is a broker")
