"""One connection to the broker: paho, driven by the caller's thread, with its errors in our words.

paho gets no thread of its own: the owner calls `serve`, so that every wait listens to the owner's wake-up and
nothing happens behind its back. paho keeps QoS 1 messages that were not acknowledged over a reconnect of the
same `Connection` and sends them again (with the duplicate flag) itself; the owner must not.
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
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["Ack", "Connection", "Credentials", "Heard", "Link", "Protocol", "broker_errors"]

CONNECT_TIMEOUT_S = 4.0  # for TCP and for TLS; leaves room within the daemon's 10 s for stopping
GREETING_S = 5.0  # a broker that takes longer to say hello is as good as away
SILENCE_S = 0.8  # after this a silent broker is tried with MQTT 3.1.1, which all of them speak
KEPT_HEARD = 64  # nobody has so much to say to us; what comes beyond is forgotten
MAX_HEARD_BYTES = 16_384  # an MQTT 5 broker keeps larger ones to itself
KEEPALIVE_S = 30  # a half-open connection is noticed after at most twice that

UNSUPPORTED_PROTOCOL, TAKEN_OVER = 0x84, 0x8E
_REFUSED = {
    0x80: "it gives no reason",
    0x85: "client id not valid; check station.name",
    0x86: "bad user or password; check mqtt.username and mqtt.password_file",
    0x87: "bad user or password, or no right to connect; check mqtt.username, mqtt.password_file and its access rules",
    0x8A: "this client is banned; ask the broker's administrator",
    0x8C: "bad authentication method; check the broker's configuration",
    0x9D: "it moved to another address; check mqtt.url",
}


class Protocol(Enum):
    """Version of MQTT."""

    V5 = MQTTProtocolVersion.MQTTv5
    V311 = MQTTProtocolVersion.MQTTv311

    @property
    def text(self) -> str:
        """For people."""
        return "MQTT 5" if self is Protocol.V5 else "MQTT 3.1.1"


class Link(Enum):
    """Where a connection stands."""

    DOWN = "down"
    GREETING = "greeting"  # CONNECT is on its way, CONNACK has not come
    UP = "up"


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to one message. `code` is an MQTT 5 reason code; 0x80 and above mean no."""

    mid: int
    code: int
    reason: str

    @property
    def failed(self) -> bool:
        """The broker did not take the message."""
        return self.code >= 0x80


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that came from the broker. `retained`: it is old, the broker only kept it."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(slots=True)
class Limits:
    """What the broker said it accepts."""

    packet: int | None = None
    receive: int = 65_535


@contextmanager
def broker_errors(settings: MqttSettings) -> Iterator[None]:
    """Translate what sockets and TLS raise.

    Raises:
        BrokerRefused: the certificates do not fit; trying again at once will not help.
        BrokerUnreachable: everything else.
    """
    where = f"broker {settings.host}:{settings.port}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or "unknown reason"
        raise BrokerRefused(
            f"{where}: its certificate is not trusted ({why})", "check mqtt.url and mqtt.ca_file"
        ) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise BrokerUnreachable(f"{where} hung up while TLS began", "check the port, and that it runs") from error
    except ssl.SSLError as error:
        why = (error.reason or "unknown reason").lower().replace("_", " ")
        raise BrokerRefused(f"{where}: no TLS ({why})", "check the port and mqtts:// in mqtt.url") from error
    except TimeoutError as error:
        raise BrokerUnreachable(f"{where} does not answer", "check mqtt.url and the network") from error
    except (socket.gaierror, UnicodeError) as error:  # the latter: a label that is empty or too long
        raise BrokerUnreachable(f"{where}: the name is not known", "check mqtt.url and DNS") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise BrokerUnreachable(f"{where} is away ({why})", "check mqtt.url and that it runs") from error


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """Certificates of the settings, the system's authorities unless `ca_file` names another.

    Raises:
        ConfigError: a file is missing or no certificate, or the key has a passphrase.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file and settings.key_file:
            context.load_cert_chain(settings.cert_file, settings.key_file, _no_passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"mqtt: a certificate cannot be used ({error.strerror or error})",
            "check mqtt.ca_file, mqtt.cert_file and mqtt.key_file",
        ) from None
    return context


def _no_passphrase() -> str:
    """Without this OpenSSL would ask at the terminal, and wait."""
    raise ConfigError("mqtt.key_file has a passphrase", "store the key without one, for the daemon's user only")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are and whom we trust, read once: what happens to the files later is for the next start."""

    password: Secret
    context: ssl.SSLContext | None

    @classmethod
    def read(cls, settings: MqttSettings) -> Credentials:
        """What the settings name.

        Raises:
            ConfigError: password file or certificates cannot be read.
        """
        return cls(settings.read_password(), tls_context(settings) if settings.tls else None)


@dataclass(slots=True)
class Connection:
    """A paho client of one protocol version, with its unacknowledged messages. Belongs to one thread.

    Attributes:
        link: whether it is up.
        limits: what the broker accepts, once up.
        acks: answers since the owner last looked; the owner empties it.
        heard: messages since the owner last looked, at most `KEPT_HEARD`; the owner empties it.
        deaf: the broker refused a subscription.
        error: why it went down or never came up.
        ever_up: this protocol version is known to work.
        unsupported: the broker said that it does not speak this version.
        hung_up: the broker closed the connection without a greeting, as some old ones do.
        silent: the broker did not greet in time; an old one may be waiting for the rest of a CONNECT that it
            misreads.
        taken_over: it went down because another client came with our id.
    """

    settings: MqttSettings
    protocol: Protocol
    client: paho.Client
    link: Link = Link.DOWN
    limits: Limits = field(default_factory=Limits)
    acks: list[Ack] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    deaf: bool = False
    error: BrokerError | None = None
    ever_up: bool = False
    unsupported: bool = False
    hung_up: bool = False
    silent: bool = False
    taken_over: bool = False

    @classmethod
    def make(
        cls,
        settings: MqttSettings,
        client_id: str,
        protocol: Protocol,
        credentials: Credentials,
        will: Message | None = None,
    ) -> Connection:
        """Prepare a connection; nothing is sent yet."""
        extra: dict[str, Any] = {} if protocol is Protocol.V5 else {"clean_session": True}
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=protocol.value, reconnect_on_failure=False, **extra
        )
        if settings.username:
            client.username_pw_set(settings.username, credentials.password.reveal())
        if credentials.context is not None:
            client.tls_set_context(credentials.context)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # unlimited here: the owner keeps the window
        asking = None
        if protocol is Protocol.V5:
            asking = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
            asking.MaximumPacketSize = MAX_HEARD_BYTES
        client.connect_async(settings.host, settings.port, keepalive=KEEPALIVE_S, properties=asking)
        connection = cls(settings, protocol, client)
        client.on_connect = connection._on_connect
        client.on_disconnect = connection._on_disconnect
        client.on_publish = connection._on_publish
        client.on_message = connection._on_message
        client.on_subscribe = connection._on_subscribe
        return connection

    def open(self) -> None:
        """Connect and send CONNECT; waits for TCP and TLS only. `serve` until `link` is UP or DOWN.

        Raises:
            BrokerUnreachable, BrokerRefused: it could not even be reached.
        """
        self.error = None
        self.unsupported = self.hung_up = self.silent = self.taken_over = False
        with broker_errors(self.settings):
            self.client.reconnect()
        self.link = Link.GREETING

    def serve(self, wait_s: float, wake: socket.socket | None = None) -> None:
        """Read and write what there is; wait at most `wait_s` for more, less if `wake` can be read."""
        sock = self.client.socket()
        if sock is None or self.link is Link.DOWN:
            self._down("the connection was closed")
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
            self._down("the connection broke")

    @property
    def patience_s(self) -> float:
        """How long to wait for the greeting: short while an older version may be the reason for the silence."""
        return SILENCE_S if self.protocol is Protocol.V5 and not self.ever_up else GREETING_S

    def give_up(self) -> None:
        """The greeting did not come in time: hang up and say so."""
        self.close()
        where = f"broker {self.settings.host}:{self.settings.port}"
        self.error = BrokerUnreachable(f"{where} does not greet", "check that mqtt.url is a broker")
        self.silent, self.hung_up = True, False

    @property
    def may_be_older(self) -> bool:
        """Whether an older protocol version is worth a try."""
        return self.unsupported or ((self.hung_up or self.silent) and not self.ever_up)

    def publish(self, message: Message) -> int | None:
        """Send with QoS 1; the id by which the answer will come, or None if MQTT cannot carry such a message."""
        try:
            info = self.client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        except ValueError:  # a topic with + or #, or more than 256 MB
            return None
        return int(info.mid)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages; what comes is in `heard`."""
        self.deaf = False
        if filters:
            self.client.subscribe([(one, 1) for one in filters])

    def size_of(self, message: Message) -> int:
        """Bytes of the packet, a few more rather than fewer (fixed header 5, lengths and ids 2 + 2, properties 1)."""
        return len(message.payload) + len(message.topic.encode()) + 10

    def close(self) -> None:
        """Say goodbye, so that the last will is not published (also while greeting), and hang up."""
        if self.link is not Link.DOWN:
            self.client.disconnect()
            self.serve(0.0)
        sock = self.client.socket()
        if sock is not None:
            sock.close()
        self.link = Link.DOWN

    def _down(self, why: str) -> None:
        if self.link is not Link.DOWN or self.error is None:
            where = f"broker {self.settings.host}:{self.settings.port}"
            self.hung_up = self.link is Link.GREETING and self.error is None
            self.error = self.error or BrokerUnreachable(f"{where} is away ({why})", "it is tried again")
        self.link = Link.DOWN

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        where = f"broker {self.settings.host}:{self.settings.port}"
        if not reason.is_failure:
            self.link, self.ever_up = Link.UP, True
            self.limits = Limits(
                getattr(properties, "MaximumPacketSize", None), getattr(properties, "ReceiveMaximum", 65_535)
            )
        elif reason.value == UNSUPPORTED_PROTOCOL:
            self.unsupported = True
            self.error = BrokerRefused(f"{where} does not speak {self.protocol.text}", "use another broker")
        elif reason.value in _REFUSED:
            self.error = BrokerRefused(f"{where} refused: {_REFUSED[reason.value]}")
        else:
            self.error = BrokerUnreachable(f"{where} is not ready ({reason})", "it is tried again")

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        self.taken_over = reason.value == TAKEN_OVER
        self._down(str(reason).lower())

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: Any) -> None:
        self.acks.append(Ack(mid, reason.value, str(reason)))

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not every broker looks
            return
        if len(self.heard) < KEPT_HEARD:
            self.heard.append(Heard(topic, bytes(message.payload), message.retain))

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        self.deaf = self.deaf or any(reason.is_failure for reason in reasons)
