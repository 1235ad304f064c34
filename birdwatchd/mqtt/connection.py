"""Connect to an MQTT broker with paho, driven by the caller's thread, and translate paho's, socket and TLS errors.

paho gets no thread of its own: the owner calls `loop`, so that every wait also ends at the owner's wake-up. paho keeps
unacknowledged QoS 1 messages over a reconnect of the same `Connection` and resends them itself, with the duplicate
flag; the owner must not.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from birdwatchd.address import Secret
from birdwatchd.errors import BrokerError, BrokerRefused, BrokerUnreachable, ConfigError
from birdwatchd.mqtt.answers import (
    CANNOT_WORK,
    REFUSED,
    TAKEN_OVER,
    TOO_LARGE,
    UNSPECIFIED,
    UNSUPPORTED_PROTOCOL,
    Limits,
)
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["Ack", "Connection", "Credentials", "Link", "ProtocolVersion", "Received", "broker_errors"]

CONNECT_TIMEOUT_S = 4.0  # for TCP and for TLS; leaves room within the daemon's 10 s for stopping
CONNACK_TIMEOUT_S = 5.0
FIRST_CONNACK_TIMEOUT_S = 0.8  # of an untested MQTT 5 connection: then MQTT 3.1.1 is tried, which every broker speaks
MAX_RECEIVED = 64  # messages kept until the owner reads them; later ones are dropped
MAX_RECEIVED_BYTES = 16_384  # an MQTT 5 broker does not forward larger packets to us
MAX_PACKET_BYTES = 268_435_455  # of the MQTT standard, for what follows the fixed header
KEEPALIVE_S = 30  # a half-open connection is noticed after at most twice that


class ProtocolVersion(Enum):
    """Version of the MQTT protocol."""

    V5 = MQTTProtocolVersion.MQTTv5
    V311 = MQTTProtocolVersion.MQTTv311

    @property
    def text(self) -> str:
        """The version as people write it."""
        return "MQTT 5" if self is ProtocolVersion.V5 else "MQTT 3.1.1"


class Link(Enum):
    """State of a connection."""

    DOWN = "down"
    CONNECTING = "connecting"  # CONNECT was sent, CONNACK has not arrived
    UP = "up"


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's PUBACK of one message. `code` is an MQTT 5 reason code; 0x80 and above are failures."""

    mid: int
    code: int
    reason: str

    @property
    def failed(self) -> bool:
        """The broker did not take the message."""
        return self.code >= 0x80


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker. `retained`: it was published before we subscribed."""

    topic: str
    payload: bytes
    retained: bool


@contextmanager
def broker_errors(settings: MqttSettings) -> Iterator[None]:
    """Translate errors of sockets, name resolution and TLS.

    Raises:
        BrokerRefused: TLS cannot be agreed on or a certificate is not trusted; retrying at once will not help.
        BrokerUnreachable: any other of them.
    """
    where = f"broker {settings.host}:{settings.port}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        why = getattr(error, "verify_message", "") or "unknown reason"  # raised in Python, it has none
        raise BrokerRefused(f"{where}: certificate not trusted ({why})", "check mqtt.url and mqtt.ca_file") from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError) as error:
        raise BrokerUnreachable(
            f"{where} closed the connection during the TLS handshake", "check the port, and whether it is running"
        ) from error
    except ssl.SSLError as error:
        why = (getattr(error, "reason", "") or "unknown reason").lower().replace("_", " ")
        raise BrokerRefused(
            f"{where}: TLS failed ({why})", "check the port, and whether it needs mqtts:// in mqtt.url"
        ) from error
    except TimeoutError as error:
        raise BrokerUnreachable(f"{where} does not answer", "check mqtt.url and the network") from error
    except (socket.gaierror, UnicodeError) as error:  # the latter: a label that is empty or too long
        raise BrokerUnreachable(f"{where}: unknown host name", "check mqtt.url and DNS") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise BrokerUnreachable(
            f"{where} cannot be reached ({why})", "check mqtt.url, and whether it is running"
        ) from error


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """TLS context with the certificates of the settings; the system's authorities unless `ca_file` names another.

    Raises:
        ConfigError: a file is missing or not a certificate, or the key has a passphrase.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file and settings.key_file:
            context.load_cert_chain(settings.cert_file, settings.key_file, _no_passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"mqtt: cannot use a certificate file ({error.strerror or error})",
            "check mqtt.ca_file, mqtt.cert_file and mqtt.key_file",
        ) from None
    return context


def _no_passphrase() -> str:
    """Fail where OpenSSL would otherwise prompt at the terminal and block."""
    raise ConfigError(
        "mqtt.key_file has a passphrase", "store the key without one, readable only for the daemon's user"
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """Password and TLS context, read once; later changes of the files take effect at the next start."""

    password: Secret
    tls: ssl.SSLContext | None

    @classmethod
    def read(cls, settings: MqttSettings) -> Credentials:
        """Read the files that the settings name.

        Raises:
            ConfigError: password file or certificates cannot be read.
        """
        return cls(settings.read_password(), tls_context(settings) if settings.tls else None)


@dataclass(slots=True)
class Connection:
    """A paho client of one protocol version, with its unacknowledged messages. Not thread-safe.

    Attributes:
        limits: of the broker, once up.
        acks: PUBACKs since the owner last read them; the owner empties it.
        received: messages since the owner last read them, at most `MAX_RECEIVED`; the owner empties it.
        subscribe_refused: the broker refused a subscription; None before it has answered.
        error: why the connection failed or was lost.
        ever_connected: this protocol version is known to work.
        was_up: the broker has accepted the connection that is there now, or was there last.
        version_unsupported: the broker answered that it does not support this version.
        closed_before_connack: the broker closed the connection without a CONNACK, as some old ones do.
        connack_timed_out: no CONNACK in time; an old broker may be waiting for more of a CONNECT that it misreads.
        taken_over: the connection was lost because another client connected with our id.
        too_large: the connection was lost because a packet was larger than the broker allows.
        publishes: there is a last will, so that the broker must keep messages.
    """

    settings: MqttSettings
    protocol: ProtocolVersion
    client: paho.Client
    link: Link = Link.DOWN
    limits: Limits = field(default_factory=Limits)
    acks: list[Ack] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    subscribe_refused: bool | None = None
    error: BrokerError | None = None
    ever_connected: bool = False
    was_up: bool = False
    version_unsupported: bool = False
    closed_before_connack: bool = False
    connack_timed_out: bool = False
    taken_over: bool = False
    too_large: bool = False
    publishes: bool = False

    @classmethod
    def make(
        cls,
        settings: MqttSettings,
        client_id: str,
        protocol: ProtocolVersion,
        credentials: Credentials,
        will: Message | None = None,
        *,
        max_received_bytes: int = MAX_RECEIVED_BYTES,
    ) -> Connection:
        """Prepare a connection; nothing is sent yet."""
        extra: dict[str, Any] = {} if protocol is ProtocolVersion.V5 else {"clean_session": True}
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=protocol.value, reconnect_on_failure=False, **extra
        )
        if settings.username:
            client.username_pw_set(settings.username, credentials.password.reveal())
        if credentials.tls is not None:
            client.tls_set_context(credentials.tls)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # unlimited here: the owner limits them
        properties = None
        if protocol is ProtocolVersion.V5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
            properties.MaximumPacketSize = max_received_bytes
        client.connect_async(settings.host, settings.port, keepalive=KEEPALIVE_S, properties=properties)
        connection = cls(settings, protocol, client, publishes=will is not None)
        client.on_connect = connection._on_connect
        client.on_disconnect = connection._on_disconnect
        client.on_publish = connection._on_publish
        client.on_message = connection._on_message
        client.on_subscribe = connection._on_subscribe
        return connection

    def open(self) -> None:
        """Open the socket and send CONNECT; waits for TCP and TLS only. Call `loop` until `link` is UP or DOWN.

        Raises:
            BrokerUnreachable, BrokerRefused: the socket or TLS could not be opened.
        """
        self.error = None
        self.version_unsupported = self.closed_before_connack = self.connack_timed_out = False
        self.taken_over = self.too_large = self.was_up = False
        with broker_errors(self.settings):
            self.client.reconnect()
        self.link = Link.CONNECTING

    def loop(self, wait_s: float, wake: socket.socket | None = None) -> None:
        """Run paho's network loop once; wait at most `wait_s` for the socket, less if `wake` becomes readable."""
        sock = self.client.socket()
        if sock is None or self.link is Link.DOWN:
            self._down("closed")
            return
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        waiting = select.poll()  # unlike select.select, not limited to the first 1024 files of a process
        waiting.register(sock, select.POLLIN | (select.POLLOUT if self.client.want_write() else 0))
        if wake is not None:
            waiting.register(wake, select.POLLIN)
        events = dict(waiting.poll(0.0 if pending else wait_s * 1000)).get(sock.fileno(), 0)
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        if pending or events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            code = self.client.loop_read()
        if events & select.POLLOUT and code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            code = self.client.loop_write()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            code = self.client.loop_misc()
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.client.socket() is None:
            self._down("network error")
        elif self.link is Link.CONNECTING and self.error is not None:  # it answered, and cannot be used
            self.client.disconnect()
            self._down("of no use")

    @property
    def connack_timeout_s(self) -> float:
        """How long to wait for CONNACK: short while an unsupported protocol version may be why none comes."""
        untested = self.protocol is ProtocolVersion.V5 and not self.ever_connected
        return FIRST_CONNACK_TIMEOUT_S if untested else CONNACK_TIMEOUT_S

    def abort_connecting(self) -> None:
        """CONNACK did not come in time: close the connection and set `error`."""
        self.close()
        where = f"broker {self.settings.host}:{self.settings.port}"
        self.error = BrokerUnreachable(
            f"{where} accepts connections but does not answer", "check that mqtt.url is an MQTT broker"
        )
        self.connack_timed_out, self.closed_before_connack = True, False

    @property
    def may_need_downgrade(self) -> bool:
        """Whether an older protocol version is worth trying."""
        return self.version_unsupported or (
            (self.closed_before_connack or self.connack_timed_out) and not self.ever_connected
        )

    def publish(self, message: Message) -> int | None:
        """Publish with QoS 1; the message id that its `Ack` will have, or None if MQTT cannot carry the message."""
        if self.packet_size(message) > MAX_PACKET_BYTES:  # paho would keep it, and fail at every reconnect
            return None
        try:
            info = self.client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        except ValueError:  # how paho reports a topic with a wildcard, or one that is too long
            return None
        return int(info.mid)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe to topic filters with QoS 1; messages arrive in `received`."""
        self.subscribe_refused = None
        if filters:
            self.client.subscribe([(one, 1) for one in filters])

    def packet_size(self, message: Message) -> int:
        """Bytes of the PUBLISH packet, rounded up (fixed header 5, topic length and id 2 + 2, properties 1)."""
        return len(message.payload) + len(message.topic.encode()) + 10

    def close(self) -> None:
        """Send DISCONNECT, so that the last will is not published (also while connecting), and close the socket."""
        if self.link is not Link.DOWN:
            self.client.disconnect()
            self.loop(0.0)
        sock = self.client.socket()
        if sock is not None:
            sock.close()
        self.link = Link.DOWN

    def _down(self, why: str) -> None:
        if self.link is not Link.DOWN or self.error is None:
            where = f"broker {self.settings.host}:{self.settings.port}"
            self.closed_before_connack = self.link is Link.CONNECTING and self.error is None
            self.error = self.error or BrokerUnreachable(f"{where}: connection lost ({why})", "see the broker's log")
        self.link = Link.DOWN

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        where = f"broker {self.settings.host}:{self.settings.port}"
        if not reason.is_failure:
            self.ever_connected, self.limits = True, Limits.of(properties)
            if not (self.publishes and self.limits.missing):
                self.link, self.was_up = Link.UP, True
            else:  # it should have refused the last will
                self.error = BrokerRefused(f"{where} cannot be used: {self.limits.missing}")
        elif reason.value == UNSUPPORTED_PROTOCOL:
            self.version_unsupported = True
            self.error = BrokerRefused(f"{where} does not support {self.protocol.text}", "use another broker")
        elif reason.value in REFUSED:
            self.error = BrokerRefused(f"{where} refused the connection: {REFUSED[reason.value]}")
        else:
            self.error = BrokerUnreachable(f"{where} is not ready ({str(reason).lower()})", "see the broker's log")

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        self.taken_over, self.too_large = reason.value == TAKEN_OVER, reason.value == TOO_LARGE
        if self.link is Link.UP and reason.value in CANNOT_WORK:
            where = f"broker {self.settings.host}:{self.settings.port}"
            self.error = BrokerRefused(f"{where} cannot be used: {CANNOT_WORK[reason.value]}")
        self._down("no reason given" if reason.value == UNSPECIFIED else str(reason).lower())

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: Any) -> None:
        self.acks.append(Ack(mid, reason.value, str(reason)))

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not every broker checks topics
            return
        if len(self.received) < MAX_RECEIVED:
            self.received.append(Received(topic, bytes(message.payload), message.retain))

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        self.subscribe_refused = bool(self.subscribe_refused) or any(reason.is_failure for reason in reasons)
