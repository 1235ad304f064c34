"""Test the broker as `birdwatchd run` uses it, for `birdwatchd check --probe`.

It connects with a last will, publishes a message that the broker must keep, reads it back, publishes below Home
Assistant's prefix, and tries how large a message may be. What it published is removed again. Its client id and topic
are its own, so that a daemon that runs meanwhile is not disturbed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.mqtt.build import build_discovery
from birdwatchd.mqtt.connection import Ack, Connection, Credentials, Link, ProtocolVersion
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message
from birdwatchd.settings.config import Config
from birdwatchd.settings.mqtt import MqttSettings

__all__ = ["probe", "probe_broker"]

PROTOCOLS = (ProtocolVersion.V5, ProtocolVersion.V311)
ANSWER_S = 2.0  # for one message to be acknowledged, or to come back
VISIT_BYTES = 2_000  # a message about a visit, with room for long names
PICTURE_BYTES = 60_000  # a crop of usual size


def probe_broker(config: Config, timeout_s: float) -> str:
    """Test the broker of a configuration; what was found, in words.

    Raises:
        BrokerUnreachable, BrokerRefused, ConfigError: as `probe`.
    """
    topics = Topics(config.mqtt.base, config.station.name)
    described = build_discovery(config.mqtt, topics, config.cameras, alerts=bool(config.alerts)).messages
    largest = max((len(message.payload) + len(message.topic) for message in described), default=0)
    return probe(config.mqtt, topics, timeout_s, largest)


def probe(settings: MqttSettings, topics: Topics, timeout_s: float, described_bytes: int = 0) -> str:
    """Connect, publish and read back; what was found, in words.

    Args:
        described_bytes: of the largest description for Home Assistant; 0 where there is none.

    Raises:
        BrokerUnreachable: it does not answer within `timeout_s`, or the connection was lost.
        BrokerRefused: the broker refused something that `run` needs; the hint says what to allow.
        ConfigError: password file or certificates cannot be read.
    """
    test = _Probe(settings, topics, Credentials.read(settings), time.monotonic() + timeout_s)
    try:
        test.connect()
        test.keep_and_read_back()
        test.describe()
        return test.said(test.largest(described_bytes), described_bytes)
    finally:
        test.close()


@dataclass(slots=True)
class _Probe:
    """One test of a broker.

    Attributes:
        readable: messages that were published come back, so that nothing has to be believed.
    """

    settings: MqttSettings
    topics: Topics
    credentials: Credentials
    deadline_s: float
    readable: bool = False
    mark: bytes = field(default_factory=lambda: secrets.token_hex(8).encode())
    _connection: Connection | None = None
    _kept: bool = False  # a message of ours may still be at the broker

    @property
    def where(self) -> str:
        return f"broker {self.settings.host}:{self.settings.port}"

    @property
    def connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def connect(self) -> None:
        """Connect as `run` does, with MQTT 3.1.1 where the broker does not speak MQTT 5."""
        for protocol in PROTOCOLS:
            self._connection = self._open(protocol)
            if self.connection.link is Link.UP:
                return
            if not self.connection.may_need_downgrade or time.monotonic() >= self.deadline_s:
                break
        raise self._why_not()

    def _why_not(self) -> BrokerRefused | BrokerUnreachable:
        """Why there is no connection: where there is one without a last will, that is the cause."""
        error = self.connection.error
        if isinstance(error, BrokerUnreachable) and self.connection.closed_before_connack:
            plain = self._open(self.connection.protocol, has_will=False)
            if plain.link is Link.UP:
                plain.close()
                return BrokerRefused(
                    f"{self.where} takes the connection without a last will only",
                    "allow retained messages, and messages with QoS 1 (mosquitto: retain_available, max_qos)",
                )
        if isinstance(error, BrokerRefused | BrokerUnreachable):
            return error
        return BrokerUnreachable(
            f"{self.where} accepts connections but does not answer", "check that mqtt.url is an MQTT broker"
        )

    def _open(self, protocol: ProtocolVersion, *, has_will: bool = True) -> Connection:
        will = Message(self.topics.probe, b"", retain=True) if has_will else None  # also cleans up, should it be sent
        connection = Connection.make(
            self.settings,
            f"birdwatchd-probe-{secrets.token_hex(4)}",
            protocol,
            self.credentials,
            will,
            max_received_bytes=2 * PICTURE_BYTES,
        )
        connection.open()
        connack_by_s = min(self.deadline_s, time.monotonic() + connection.connack_timeout_s)
        while connection.link is Link.CONNECTING and time.monotonic() < connack_by_s:
            connection.loop(0.1)
        if connection.link is Link.CONNECTING:
            connection.abort_connecting()
        return connection

    def keep_and_read_back(self) -> None:
        """Publish a message to be kept, and read it as one that was kept."""
        self._kept = True
        if not self._publish(Message(self.topics.probe, self.mark, retain=True)):
            raise self._hung_up()
        self.connection.subscribe([self.topics.probe])
        self._until(lambda: self.connection.subscribe_refused or self._came_back(self.mark))
        if any(one.retained for one in self.connection.received if one.payload == self.mark):
            self.readable = True
            return
        live = self.mark[::-1]
        if not self._publish(Message(self.topics.probe, live)):
            raise self._hung_up()
        self._until(lambda: self.connection.subscribe_refused or self._came_back(live))
        if self._came_back(live):
            raise BrokerRefused(
                f"{self.where} keeps no messages, and states must be kept",
                "allow retained messages in its configuration",
            )
        if self.connection.protocol is ProtocolVersion.V311:  # which acknowledges what it throws away
            raise self._swallowed(f"{self.topics.prefix}#")

    def describe(self) -> None:
        """Publish an empty message below Home Assistant's prefix: it says that nothing is there, as is the case."""
        if not self.settings.discovery:
            return
        topic = f"{self.settings.discovery}/device/birdwatch_{self.topics.station}_probe/config"
        believed = self.connection.protocol is ProtocolVersion.V5  # older ones acknowledge what they throw away
        if not believed:
            self.connection.subscribe([topic])
        if not self._publish(Message(topic, b"", retain=True)):
            raise self._hung_up()
        self._until(lambda: believed or self._came_back(b""))
        if not believed and not self._came_back(b""):
            raise self._swallowed(f"{self.settings.discovery}/#", ", or set mqtt.discovery to false")

    def largest(self, described_bytes: int) -> int | None:
        """The largest of some sizes that the broker takes; None where all of them pass.

        What it announces is tried too: the limit of a payload may be another one than that of a packet.
        """
        announced = self.connection.limits.maximum_packet_size or PICTURE_BYTES
        sizes = {PICTURE_BYTES, max(described_bytes, VISIT_BYTES), VISIT_BYTES, announced}
        for size in sorted((one for one in sizes if one <= min(announced, PICTURE_BYTES)), reverse=True):
            if self._takes(size):
                return None if size == PICTURE_BYTES else size
        return 0

    def _takes(self, size: int) -> bool:
        """Whether a packet of this size arrives; connects again where the broker hung up on it."""
        empty = Message(self.topics.probe, self.mark)
        payload = self.mark + bytes(max(0, size - self.connection.packet_size(empty)))
        try:
            taken = self._publish(empty.with_payload(payload))
        except BrokerRefused:  # quota, or too large
            taken = False
        if taken and self.readable:
            self._until(lambda: self._came_back(payload))
            taken = self._came_back(payload)
        if self.connection.link is not Link.UP:
            self._connection = again = self._open(self.connection.protocol)
            if again.link is not Link.UP:
                raise self._why_not()
            if self.readable:
                self.connection.subscribe([self.topics.probe])
        self.connection.received.clear()
        return taken

    def said(self, limit: int | None, described_bytes: int) -> str:
        """What was found.

        Args:
            limit: bytes that are known to be taken; None where there is no limit that matters.

        Raises:
            BrokerRefused: visits, or what Home Assistant is told of the cameras, are too large for it.
        """
        what, size = "the description of a camera for Home Assistant", described_bytes
        if limit is not None and limit < VISIT_BYTES:
            what, size = "a message about a visit", VISIT_BYTES
        if limit is not None and limit < size:
            raise BrokerRefused(
                f"{self.where} does not take messages of {size:,} bytes, which {what} needs",
                "allow larger ones (mosquitto: max_packet_size, message_size_limit)"
                + ("" if limit < VISIT_BYTES else ", or set mqtt.discovery to false"),
            )
        text = f"{self.where} answers, {self.connection.protocol.text}; "
        text += (
            "a message was kept and read back"
            if self.readable
            else "a message was taken (the user has no right to read it)"
        )
        if limit is not None and self.settings.images:
            text += f"; no pictures, for it takes {limit:,} bytes, not {PICTURE_BYTES:,}"
        return text

    def close(self) -> None:
        """Remove what was published, and disconnect."""
        if self._connection is None:
            return
        if self._kept and self._connection.link is Link.UP:
            mid = self._connection.publish(Message(self.topics.probe, b"", retain=True))
            self._until(lambda: any(ack.mid == mid for ack in self.connection.acks))
        self._connection.close()

    def _publish(self, message: Message) -> bool:
        """Publish and wait for the acknowledgement; False where the connection was lost instead.

        Raises:
            BrokerRefused: the broker said no.
            BrokerUnreachable: it said nothing.
        """
        self.connection.acks.clear()
        mid = self.connection.publish(message)
        self._until(lambda: self._ack(mid) is not None)
        if self.connection.link is not Link.UP:
            return False
        if (ack := self._ack(mid)) is None:
            raise BrokerUnreachable(f"{self.where} does not acknowledge a message", "see the broker's log")
        if ack.failed:
            ours = message.topic.startswith(self.topics.prefix)
            what = f"{self.topics.prefix}#" if ours else f"{self.settings.discovery}/#, or set mqtt.discovery to false"
            raise BrokerRefused(
                f"{self.where} refused a message: {ack.reason.lower()}",
                f"the MQTT user (mqtt.username) needs write access to {what}",
            )
        return True

    def _ack(self, mid: int | None) -> Ack | None:
        return next((ack for ack in self.connection.acks if ack.mid == mid), None)

    def _came_back(self, payload: bytes) -> bool:
        return any(one.payload == payload for one in self.connection.received)

    def _until(self, happened: Callable[[], object]) -> None:
        """Wait until something happened, the connection is lost, or it takes too long."""
        until_s = min(self.deadline_s, time.monotonic() + ANSWER_S)
        while self.connection.link is Link.UP and not happened() and time.monotonic() < until_s:
            self.connection.loop(0.05)

    def _swallowed(self, topics: str, otherwise: str = "") -> BrokerRefused:
        """The broker acknowledged a message, and threw it away."""
        return BrokerRefused(
            f"{self.where} says that it took a message, and the message does not come back",
            f"give the MQTT user (mqtt.username) the right to write and to read {topics}{otherwise}",
        )

    def _hung_up(self) -> BrokerRefused:
        """The broker closed the connection on a small message."""
        if isinstance(self.connection.error, BrokerRefused):
            return self.connection.error
        return BrokerRefused(
            f"{self.where} closes the connection on a message that is to be kept, with QoS 1",
            "allow such messages (mosquitto: retain_available, max_qos, and the access rules of the MQTT user)",
        )
