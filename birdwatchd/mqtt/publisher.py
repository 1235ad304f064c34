"""Publish the outbox to the broker, in order, and delete each row when the broker has acknowledged it.

Any number of rows may wait; at most `MAX_IN_FLIGHT` are unacknowledged. While the broker is unreachable only the outbox
grows. paho resends unacknowledged messages after a reconnect, so their ids are kept over reconnects and a row is given
to one `Connection` only once. The states of station and cameras belong to no visit and need no database (`states.py`).
`RetainedTopics` supplies the other retained topics and takes the messages received.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.flow import StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.connection import Ack, Connection, Credentials, Link, ProtocolVersion
from birdwatchd.mqtt.packet_limit import PacketLimit, TooLarge
from birdwatchd.mqtt.reconnect import ConnectAttempt, ReconnectPolicy
from birdwatchd.mqtt.retained import RetainedTopics
from birdwatchd.mqtt.states import OFFLINE_AFTER_S, CameraTold, States
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import Outbox, OutboxRow

__all__ = ["Publisher", "StopSignal"]

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 16  # unacknowledged messages; most brokers accept 20
POLL_S = 0.5  # how late a row written by another process may be noticed
METRICS_INTERVAL_S = 5.0
DISCONNECT_S = 1.0  # of the time for draining, reserved for `offline` and DISCONNECT
NOT_AUTHORIZED = 0x87
NEVER_ACCEPTED = {0x90, 0x95, 0x99}  # topic name invalid, packet too large, payload format invalid


class StopSignal(Protocol):
    """What `run` needs of a stop (`flow.Stop`, `threading.Event`)."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, timeout_s: float, /) -> bool:
        """Sleep, but wake at once on a stop; True if there is one."""


class Publisher:
    """The stage between outbox and broker. `run` it in a thread; other threads call `wake` and `camera_status`."""

    def __init__(
        self,
        outbox: Outbox,
        settings: MqttSettings,
        station: str,
        topics: Topics,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        drain_s: float = 5.0,
        offline_after_s: float = OFFLINE_AFTER_S,
        retained: RetainedTopics | None = None,
    ) -> None:
        """
        Args:
            clock: wall time, for the database.
            chance: numbers in 0 … 1 for the jitter of reconnects.
            drain_s: how long a clean stop may take to publish what is left.
            retained: the other retained topics; None to publish visits and online states only.

        Raises:
            ConfigError: password file or certificates cannot be read.
        """
        self._outbox, self._settings, self._topics, self._metrics = outbox, settings, topics, metrics
        self._clock, self._drain_s, self._retained = clock, drain_s, retained
        self._retry = StoreRetry(
            on_first=lambda error: log.error("MQTT messages wait: %s", error),
            on_each=lambda: metrics.add("publish_store_retries_total"),
            on_again=lambda: log.info("MQTT messages are sent again"),
        )
        self._client_id = f"birdwatchd-{station}"
        self._states = States(topics, offline_after_s)
        self._credentials = Credentials.read(settings)
        self._connection = self._new_connection(ProtocolVersion.V5)
        self._reconnect = ReconnectPolicy(f"broker {settings.host}:{settings.port}", self._client_id, chance)
        self._cursor = 0  # rows up to this id were given to this connection
        self._in_flight: dict[int, int | str] = {}  # message id -> row id, or topic of a state
        self._delivered: list[int] = []  # acknowledged rows, not yet deleted
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._was_up = self._was_connecting = False  # the connection's state at the last look
        self._attempt: ConnectAttempt | None = None
        self._connecting_since_s: float | None = None
        self._next_attempt_s = self._metrics_at_s = float("-inf")
        self.beat_s = time.monotonic()
        self._packet_limit, self._too_large = PacketLimit(), TooLarge(topics.alert)
        self._refused_topics: set[str] = set()
        self._subscribe_refused_logged = False
        self._changed = threading.Event()

    def wake(self) -> None:
        """Look for new rows at once. Never blocks; thread-safe."""
        try:
            self._wake_writer.send(b"!")
        except OSError:  # full: it will wake anyway; closed: the publisher has ended
            return

    def camera_status(self, camera: str, state: CameraTold) -> None:
        """Publish the state of a camera, now and after every reconnect; see OFFLINE_AFTER_S. Thread-safe."""
        self._states.camera(camera, state)
        self.wake()

    def storage(self, payload: bytes) -> None:
        """Publish the state of the disk, now and after every reconnect; needs no database. Thread-safe."""
        self._states.storage(payload)
        self.wake()

    def republish(self) -> None:
        """Publish everything that is retained anew, for it has changed beside the outbox. Thread-safe."""
        self._changed.set()
        self.wake()

    def run(self, stop: StopSignal) -> None:
        """Publish until the stop, then publish what is left and `offline`, and disconnect."""
        while not stop.is_set():
            self.beat_s = time.monotonic()
            self._wait(self.run_once(self.beat_s), stop)
        self._finish(time.monotonic() + self._drain_s)

    def run_once(self, now_s: float) -> float:
        """Do all that can be done now; blocks only for part of a connection attempt.

        Args:
            now_s: monotonic seconds.

        Returns:
            Seconds until the next call, unless something happens at the connection before.
        """
        self._states.find_offline(now_s)
        if self._connection.link is not Link.DOWN:
            self._connection.loop(0.0)
        elif now_s >= self._next_attempt_s and not (self._was_up or self._was_connecting):
            # Where it was, the end of the last connection has not been handled yet.
            self._connecting_since_s, self._was_connecting = None, True
            self._attempt = ConnectAttempt(self._connection)
        if self._attempt is not None:
            if not self._attempt.done(POLL_S):
                return 0.0
            self._attempt = None
        self._track_connection(now_s)
        wait_s = self._retry.attempt(lambda: self._exchange(now_s), 2 * POLL_S)
        if self._retry.failing and self._connection.link is Link.UP:
            self._send_states()  # that the disk is full must not wait until it is not
        return wait_s

    def _exchange(self, now_s: float) -> float:
        """Do what needs the store: delete what was acknowledged, take what was received, publish what waits."""
        self._update_metrics(now_s)
        self._handle_acks(now_s)
        self._update_retained(now_s)
        if self._connection.link is Link.UP:
            self._send()
        return POLL_S if self._connection.link is not Link.DOWN else max(0.0, self._next_attempt_s - now_s)

    def _wait(self, wait_s: float, stop: StopSignal) -> None:
        if self._connection.link is Link.DOWN:
            stop.wait(min(wait_s, METRICS_INTERVAL_S))
            return
        self._connection.loop(min(wait_s, POLL_S), self._wake_reader)
        try:
            self._wake_reader.recv(4096)
        except BlockingIOError:
            return

    def _new_connection(self, protocol: ProtocolVersion) -> Connection:
        return Connection.make(self._settings, self._client_id, protocol, self._credentials, self._states.will)

    def _track_connection(self, now_s: float) -> None:
        """React to a connection that was established or lost, or that gets no CONNACK."""
        connection = self._connection
        if connection.link is Link.CONNECTING:
            self._connecting_since_s = now_s if self._connecting_since_s is None else self._connecting_since_s
            if now_s - self._connecting_since_s > connection.connack_timeout_s:
                connection.abort_connecting()
        if connection.link is Link.UP:
            if self._reconnect.still_up(now_s):
                self._packet_limit.settled()
            if not self._was_up:
                self._on_connected()
        elif connection.link is Link.DOWN and (self._was_up or self._was_connecting):
            self._on_disconnected(now_s)

    def _on_connected(self) -> None:
        self._was_up, self._was_connecting = True, False
        self._reconnect.connected(self._connection.protocol.text)
        self._metrics.set("mqtt_connected", 1)
        self._metrics.add("mqtt_connects_total")
        self._states.all_again()
        if self._retained is not None:
            self._retained.connected()
            self._connection.subscribe(self._retained.topic_filters)

    def _update_retained(self, now_s: float) -> None:
        """Pass on the messages received, and put the retained messages that are due among the pending."""
        received, self._connection.received = self._connection.received, []
        if self._retained is None:
            return
        if self._changed.is_set():
            self._changed.clear()
            self._retained.changed()
        for message in received:
            self._retained.receive(message)
        self._states.put(self._retained.due(now_s))
        refused = self._connection.subscribe_refused
        if refused is not None and refused is not self._subscribe_refused_logged:
            self._subscribe_refused_logged = refused
            topics = " and ".join(self._retained.topic_filters)
            if refused:
                log.error("the broker refused a subscription; the MQTT user needs read access to %s", topics)
            else:
                log.info("the broker accepts the subscriptions again (%s)", topics)

    def _on_disconnected(self, now_s: float) -> None:
        connection = self._connection
        was_up = self._was_up or connection.was_up  # it may have come and gone between two looks
        self._was_up = self._was_connecting = False
        self._metrics.set("mqtt_connected", 0)
        if not was_up and connection.may_need_downgrade and connection.protocol is ProtocolVersion.V5:
            self._replace(ProtocolVersion.V311)  # at once: an old broker needs no back-off
            self._next_attempt_s = now_s
            return
        error = connection.error or BrokerUnreachable("broker: connection lost")
        if was_up and self._is_too_large(connection, now_s):
            self._replace(connection.protocol)
            self._next_attempt_s = now_s + self._reconnect.explained()
            return
        if was_up and self._packet_limit.suspicious:
            was_up = False  # or another client with our id would be blamed
            if self._packet_limit.careful:
                self._replace(connection.protocol)  # or paho would send all that was in flight at once
        self._next_attempt_s = now_s + self._reconnect.disconnected(error, now_s, was_up, connection.taken_over)
        if not was_up and connection.protocol is ProtocolVersion.V311 and not connection.ever_connected:
            self._replace(ProtocolVersion.V5)

    def _is_too_large(self, connection: Connection, now_s: float) -> bool:
        """Whether it is known now that the broker hung up because a message was too large."""
        for ack in connection.acks:
            self._packet_limit.acknowledged(ack.mid)
        short = self._reconnect.is_short(now_s)
        if not self._packet_limit.connection_lost(short=short, too_large=connection.too_large):
            return False
        log.warning(
            "the broker closes the connection on messages larger than %d bytes; larger ones are left out",
            self._packet_limit.limit,
        )
        return True

    def _replace(self, protocol: ProtocolVersion) -> None:
        """Continue with a new client without unacknowledged messages; those are read from the outbox again."""
        self._connection = self._new_connection(protocol)
        self._in_flight.clear()
        self._packet_limit.reset_in_flight()
        self._cursor = 0

    def _handle_acks(self, now_s: float) -> None:
        """Delete the rows that the broker has acknowledged; react to what it refused."""
        acks, self._connection.acks = self._connection.acks, []
        for ack in acks:
            what = self._in_flight.pop(ack.mid, None)
            self._packet_limit.acknowledged(ack.mid)
            if what is None:
                continue
            if ack.failed and isinstance(what, str) and not what.startswith(self._topics.prefix):
                self._on_topic_refused(what, ack.reason)
                continue
            if ack.failed and ack.code not in NEVER_ACCEPTED:
                self._on_message_refused(ack, now_s)
                break
            if isinstance(what, str) and what in self._refused_topics and not ack.failed:
                self._refused_topics.discard(what)
                log.info("the broker accepts %s again", what)
            if ack.failed:
                log.error("the broker rejected message %s (%s); dropped", what, ack.reason.lower())
                self._metrics.add("mqtt_dropped_total")
            if isinstance(what, int):
                self._delivered.append(what)
            elif self._retained is not None:
                self._retained.acknowledged(what)
        if self._delivered:
            self._outbox.delivered(self._delivered, self._clock())
            self._metrics.add("mqtt_delivered_total", len(self._delivered))
            self._delivered = []

    def _on_topic_refused(self, topic: str, reason: str) -> None:
        """A topic outside ours (discovery, stale ones of an earlier station name) was refused; visits go on."""
        if topic not in self._refused_topics:
            self._refused_topics.add(topic)
            log.error("the broker refused %s (%s); the MQTT user needs write access to it", topic, reason.lower())

    def _on_message_refused(self, ack: Ack, now_s: float) -> None:
        """A message was refused (access rules, quota): disconnect, keep the rows, try again later."""
        self._connection.close()
        self._replace(self._connection.protocol)
        rights = f"the MQTT user (mqtt.username) needs write access to {self._topics.prefix}#"
        self._connection.error = BrokerRefused(
            f"broker {self._settings.host}:{self._settings.port} refused a message: {ack.reason.lower()}",
            rights if ack.code == NOT_AUTHORIZED else "see the broker's log",
        )
        self._on_disconnected(now_s)

    def _send(self) -> None:
        """Publish up to `MAX_IN_FLIGHT` messages: states first, then rows in order."""
        room = self._send_states()
        if room > 0:
            for row in self._outbox.pending(self._cursor, room):
                self._cursor = row.id
                self._send_row(row)

    def _send_states(self) -> int:
        """Publish the states that wait; returns how many more messages may be in flight."""
        most = 1 if self._packet_limit.careful else min(MAX_IN_FLIGHT, self._connection.limits.receive_maximum)
        room = most - len(self._in_flight)
        states = self._states.take(room)
        for message in states:
            self._publish(self._fit_to_limit(message) or message.with_payload(b""), message.topic)
        return room - len(states)

    def _send_row(self, row: OutboxRow) -> None:
        if row.message.retain and self._retained is not None:
            topic = row.message.topic
            if not self._retained.is_in_use(topic) or self._retained.is_superseded(topic, row.id):
                self._delivered.append(row.id)  # of a removed camera, or already published in a newer form
                return
            self._retained.sent(row.message)
        message = self._fit_to_limit(row.message)
        if message is None or not self._publish(message, row.id):
            self._delivered.append(row.id)

    def _fit_to_limit(self, message: Message) -> Message | None:
        """The message in a form that the broker accepts; None if there is none."""
        limits = (self._connection.limits.maximum_packet_size, self._packet_limit.limit)
        limit = min((n for n in limits if n is not None), default=None)
        fitted = self._too_large.fit(message, limit, self._connection.packet_size)
        if fitted is not message:
            self._metrics.add("mqtt_dropped_total")
        return fitted

    def _publish(self, message: Message, what: int | str) -> bool:
        mid = self._connection.publish(message)
        if mid is None:
            self._metrics.add("mqtt_dropped_total")
            log.error("cannot publish on %r: topic invalid or message too large; dropped", message.topic)
            return False
        self._in_flight[mid] = what
        self._packet_limit.sent(mid, message.topic, self._connection.packet_size(message))
        return True

    def _update_metrics(self, now_s: float) -> None:
        if now_s - self._metrics_at_s >= METRICS_INTERVAL_S:
            self._metrics_at_s = now_s
            self._metrics.set("outbox_depth", self._outbox.depth())
            self._metrics.set("outbox_oldest_seconds", self._outbox.oldest_s(self._clock()) or 0.0)

    def _finish(self, deadline_s: float) -> None:
        """Publish what is left until shortly before the deadline (monotonic), then `offline`, and disconnect."""
        self._states.offline_after_s = 0.0
        self._drain(deadline_s - DISCONNECT_S)
        self._retained = None
        if self._connection.link is Link.UP:
            self._states.end()
            self._drain(deadline_s)
        self._connection.close()
        for end in (self._wake_reader, self._wake_writer):
            end.close()

    def _drain(self, deadline_s: float) -> None:
        """Publish until nothing is left, the connection is lost, or the deadline (monotonic)."""
        while (now_s := time.monotonic()) < deadline_s:
            self.run_once(now_s)
            if self._connection.link is Link.DOWN:
                return
            if self._connection.link is Link.UP and not (self._in_flight or self._delivered or self._states.waiting):
                return
            self._connection.loop(min(0.1, deadline_s - now_s))
