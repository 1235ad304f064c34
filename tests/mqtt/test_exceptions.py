"""Every exception of paho, sockets and TLS becomes an error of ours; those of our own mistakes are left alone.

The tables name each exception class of a library. A class that a later version adds is in no table, and the test says
so: somebody must decide what it means for the connection to the broker.
"""

from __future__ import annotations

import builtins
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt
import pytest

from birdwatchd.errors import BrokerError, BrokerRefused, BrokerUnreachable, ConfigError
from birdwatchd.mqtt.connection import (
    MAX_PACKET_BYTES,
    Connection,
    Credentials,
    Link,
    ProtocolVersion,
    broker_errors,
    tls_context,
)
from birdwatchd.mqtt.reconnect import ConnectAttempt
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings
from tests.support.exceptions import defined_in, defined_in_package, make

SETTINGS = MqttSettings(url="mqtt://broker.example")
OURS = (TypeError("ours"), AttributeError("ours"), KeyError("ours"), RuntimeError("ours"), AssertionError("ours"))

# What opening a connection may raise, and whether a person must do something (refused) or time will (unreachable).
OPENING: dict[str, type[BrokerError]] = {
    "builtins.OSError": BrokerUnreachable,
    "builtins.TimeoutError": BrokerUnreachable,
    "socket.gaierror": BrokerUnreachable,
    "socket.herror": BrokerUnreachable,
    "ssl.SSLCertVerificationError": BrokerRefused,
    "ssl.SSLEOFError": BrokerUnreachable,
    "ssl.SSLError": BrokerRefused,
    "ssl.SSLSyscallError": BrokerUnreachable,
    "ssl.SSLWantReadError": BrokerRefused,  # these two: never from a handshake that waits
    "ssl.SSLWantWriteError": BrokerRefused,
    "ssl.SSLZeroReturnError": BrokerUnreachable,
    "paho.mqtt.client.WebsocketConnectionError": BrokerUnreachable,  # never: we use TCP
}
# The exceptions of paho that never leave it, with the reason.
INTERNAL = {
    "paho.mqtt.exception.MalformedPacket": "paho closes the connection: the test of malformed packets",
    "paho.mqtt.exception.MQTTException": "of properties that we do not set, or converted to MalformedPacket",
    "paho.mqtt.subscribeoptions.MQTTException": "of subscribe options, which we do not use",
}
SYSTEM = sorted(
    {kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, OSError)}, key=str
)


def exceptions() -> dict[str, type[BaseException]]:
    return defined_in(socket, ssl) | defined_in_package(paho.mqtt)


def test_every_exception_of_the_libraries_is_known() -> None:
    """One that nobody thought of would end the daemon, and with it every camera."""
    assert set(exceptions()) == OPENING.keys() | INTERNAL.keys()


@pytest.mark.parametrize("name", OPENING)
def test_an_exception_of_opening_becomes_a_broker_error(name: str) -> None:
    """A broker that restarts is tried again at once; a certificate only a person can change."""
    with pytest.raises(BrokerError, match=r"broker\.example:1883") as caught, broker_errors(SETTINGS):
        raise make(exceptions()[name])
    assert type(caught.value) is OPENING[name]
    assert caught.value.hint


@pytest.mark.parametrize("kind", [*SYSTEM, UnicodeError], ids=lambda kind: kind.__name__)
def test_a_system_error_is_unreachable(kind: type[OSError]) -> None:
    """Networks come back."""
    with pytest.raises(BrokerUnreachable, match=r"broker\.example:1883"), broker_errors(SETTINGS):
        raise kind(113, "No route to host") if issubclass(kind, OSError) else kind("label empty or too long")


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_mistake_of_ours_is_no_broker_error(error: Exception) -> None:
    """Taken for a broker that is away, it would be tried for ever and found by nobody."""
    with pytest.raises(type(error), match="ours"), broker_errors(SETTINGS):
        raise error


@pytest.fixture
def broker() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(params=list(ProtocolVersion), ids=lambda version: version.text)
def connected(request: Any, broker: socket.socket) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection that is up, and the broker's end of it."""
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{broker.getsockname()[1]}")
    connection = Connection.make(settings, "x", request.param, Credentials.read(settings))
    connection.open()
    end, _ = broker.accept()
    end.sendall(b"\x20\x02\x00\x00" if request.param is ProtocolVersion.V311 else b"\x20\x03\x00\x00\x00")
    while connection.link is not Link.UP:
        connection.loop(1.0)
    yield connection, end
    connection.close()
    end.close()


MALFORMED = {
    "reserved packet type": b"\xf0\x01\x00",
    "length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "empty PUBLISH": b"\x30\x00",
    "PUBLISH with a topic longer than the packet": b"\x30\x04\xff\xff\x41\x42",
    "PUBLISH with half an id": b"\x32\x04\x00\x01\x41\x00",
    "PUBACK of one byte": b"\x40\x01\x00",
    "PUBACK with an unknown reason code": b"\x40\x03\x00\x01\xee",
    "PUBACK with a property that it must not have": b"\x40\x06\x00\x01\x00\x02\x27\x00",
    "SUBACK of one byte": b"\x90\x01\x00",
    "CONNACK of one byte": b"\x20\x01\x00",
    "PINGRESP with a body": b"\xd0\x01\x00",
    "DISCONNECT with an unknown reason code": b"\xe0\x01\x77",
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_packet_closes_the_connection(connected: tuple[Connection, socket.socket], packet: bytes) -> None:
    """Whoever answers at the broker's address must not be able to end the daemon."""
    connection, end = connected
    end.sendall(packet)
    for _ in range(20):
        if connection.link is Link.DOWN:
            break
        connection.loop(0.1)
    assert connection.link is Link.DOWN
    assert type(connection.error) is BrokerUnreachable


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_mistake_in_a_callback_leaves_paho(connected: tuple[Connection, socket.socket], error: Exception) -> None:
    """paho can be told to log and forget what a callback raises; then a bug of ours would lose commands in silence."""
    connection, end = connected

    def fail(*_: Any) -> None:
        raise error

    connection.client.on_message = fail
    end.sendall(b"\x30\x04\x00\x01t\x00" if connection.protocol is ProtocolVersion.V5 else b"\x30\x03\x00\x01t")
    with pytest.raises(type(error), match="ours"):
        connection.loop(1.0)


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_the_connect_thread_is_noticed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """An exception ends a thread and nothing else; the publisher would wait for an attempt that is over."""

    def fail(self: Connection) -> None:
        raise error

    monkeypatch.setattr(Connection, "open", fail)
    attempt = ConnectAttempt(Connection.make(SETTINGS, "x", ProtocolVersion.V5, Credentials.read(SETTINGS)))
    with pytest.raises(RuntimeError, match="failed unexpectedly"):
        attempt.done(10.0)


class Huge(bytes):
    """A payload as long as an MQTT packet may be, without the memory."""

    def __len__(self) -> int:
        return MAX_PACKET_BYTES - 5


@pytest.mark.parametrize(
    "message",
    [
        *(Message(f"a/{text}", b"") for text in ("+", "#", "\x05", "\0", "\x80", "\ud800", "\ufffe")),
        *(Message("a" * 65_536, b""), Message("a", Huge())),
    ],
    ids=["wildcard +", "wildcard #", "control", "NUL", "C1", "surrogate", "none", "topic too long", "payload too long"],
)
def test_a_message_that_mqtt_cannot_carry_is_none(
    connected: tuple[Connection, socket.socket], message: Message
) -> None:
    """It is dropped with one line in the log. Kept by paho, it would fail again at every reconnect."""
    connection, _ = connected
    assert connection.publish(message) is None
    assert connection.client.drop_out_messages() == []


def test_a_message_of_a_wrong_type_is_a_mistake_of_ours(connected: tuple[Connection, socket.socket]) -> None:
    """Dropped as one that MQTT cannot carry, a bird would be missing and nobody would know why."""
    connection, _ = connected
    with pytest.raises(TypeError):
        connection.publish(Message("t", ["not", "bytes"]))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        connection.publish(Message(7, b""))  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, "folder", "no certificate"])
def test_a_certificate_that_cannot_be_used_is_a_mistake_in_the_configuration(tmp_path: Path, content: str) -> None:
    """Said at the start, with the keys to look at; not by a traceback of OpenSSL."""
    file = tmp_path / "ca.pem"
    if content == "folder":
        file.mkdir()
    elif content:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"cannot use a certificate file .*mqtt\.ca_file"):
        tls_context(MqttSettings(url="mqtts://h", ca_file=file))
    with pytest.raises(ConfigError, match=r"cannot use a certificate file .*mqtt\.key_file"):
        tls_context(MqttSettings(url="mqtts://h", cert_file=file, key_file=file))
