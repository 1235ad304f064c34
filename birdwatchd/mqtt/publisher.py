"""Take messages from the outbox to the broker, in order, and delete a row only when the broker has it.

Any number of rows may wait; at most `WINDOW` are on their way. When the broker is away only the outbox grows.
paho sends what was on its way again after a reconnect, so the ids of those messages are kept over reconnects
and a row is given to one `Connection` only once. State topics that belong to no visit (is the station, is a
camera online) live in memory in their newest form and are sent again after every reconnect: the broker may
have lost them. An `Announcer` adds what else belongs to the broker, and takes what the broker has to say.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.flow import StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.connect_thread import Knock
from birdwatchd.mqtt.connection import Ack, Connection, Credentials, Link
from birdwatchd.mqtt.connection import Protocol as Mqtt
from birdwatchd.mqtt.packet_limit import Sizes
from birdwatchd.mqtt.payloads import without_image
from birdwatchd.mqtt.reconnect import Temper
from birdwatchd.mqtt.retained import Announcer
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import Outbox, OutboxRow

__all__ = ["Publisher", "Stopping"]

log = logging.getLogger(__name__)

WINDOW = 16  # messages on their way; most brokers accept 20
POLL_S = 0.5  # how late a row written by another process may be noticed
MEASURE_S = 5.0
GOODBYE_S = 1.0  # kept back from draining for `offline` and DISCONNECT
NOT_AUTHORIZED = 0x87
POISON = {0x90, 0x95, 0x99}  # bad topic name, packet too large, bad payload format: never will be taken


class Stopping(Protocol):
    """What `run` needs of a stop (`flow.Stop`, `threading.Event`)."""

    def is_set(self) -> bool:
        """Whether the end was asked for."""

    def wait(self, seconds: float, /) -> bool:
        """Sleep, but wake when the end is asked for; True if it is."""


class Publisher:
    """The stage between outbox and broker. `run` it in a thread; `wake` and `camera_status` come from others."""

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
        announcer: Announcer | None = None,
    ) -> None:
        """
        Args:
            clock: wall time, for the database.
            chance: numbers in 0 … 1 that spread reconnects.
            drain_s: how long a clean stop may take to send what is left.
            announcer: what else is told; None to tell of visits and of who is online only.

        Raises:
            ConfigError: password file or certificates cannot be read.
        """
        self._outbox, self._settings, self._topics, self._metrics = outbox, settings, topics, metrics
        self._clock, self._drain_s, self._announcer = clock, drain_s, announcer
        self._retry = StoreRetry(on_each=lambda: metrics.add("publish_store_retries_total"))
        self._client_id = f"birdwatchd-{station}"
        self._will = Message(topics.status, b"offline", retain=True)
        self._credentials = Credentials.read(settings)
        self._connection = self._connect_with(Mqtt.V5)
        self._temper = Temper(f"broker {settings.host}:{settings.port}", self._client_id, chance)
        self._cursor = 0  # rows up to here were given to this connection
        self._sent: dict[int, int | str] = {}  # message id -> row id, or topic of a state
        self._done: list[int] = []  # rows the broker has, not yet deleted
        self._lock = threading.Lock()
        self._states = {topics.status: Message(topics.status, b"online", retain=True)}
        self._unsent: dict[str, Message] = {}  # states to send, by topic, in order
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._up = self._trying = False  # what was last noticed of the connection
        self._knocking: Knock | None = None
        self._greeting_since: float | None = None
        self._next_try = self._measured_at = float("-inf")
        self._too_large: set[str] = set()
        self._sizes = Sizes()
        self._forbidden: set[str] = set()
        self._deaf = False

    def wake(self) -> None:
        """There may be new rows. Cheap, never waits, from any thread."""
        try:
            self._waker.send(b"!")
        except OSError:  # full: it will wake anyway; closed: it has ended
            return

    def camera_status(self, camera: str, state: Literal["online", "offline", "disabled"]) -> None:
        """Tell the state of a camera, now and after every reconnect. From any thread."""
        message = Message(self._topics.camera_status(camera), state.encode(), retain=True)
        with self._lock:
            self._states[message.topic] = self._unsent[message.topic] = message
        self.wake()

    def run(self, stop: Stopping) -> None:
        """Publish until the stop, then send what is left, say `offline` and hang up."""
        while not stop.is_set():
            self._wait(self.run_once(time.monotonic()), stop)
        self._finish(time.monotonic() + self._drain_s)

    def run_once(self, now: float) -> float:
        """Do what can be done without waiting (except for some of the time that connecting takes).

        Args:
            now: monotonic seconds.

        Returns:
            Seconds after which to come back, if nothing happens at the connection before.
        """
        if self._connection.link is not Link.DOWN:
            self._connection.serve(0.0)
        elif now >= self._next_try and not (self._up or self._trying):  # first notice how the last try ended
            self._greeting_since, self._trying = None, True
            self._knocking = Knock(self._connection)
        if self._knocking is not None:
            if not self._knocking.over(POLL_S):
                return 0.0
            self._knocking = None
        self._follow(now)
        return self._retry.attempt(lambda: self._step(now), 2 * POLL_S)

    def _step(self, now: float) -> float:
        """What needs the store."""
        self._measure(now)
        self._settle(now)
        self._announce(now)
        if self._connection.link is Link.UP:
            self._send()
        return POLL_S if self._connection.link is not Link.DOWN else max(0.0, self._next_try - now)

    def _wait(self, seconds: float, stop: Stopping) -> None:
        if self._connection.link is Link.DOWN:
            stop.wait(min(seconds, MEASURE_S))
            return
        self._connection.serve(min(seconds, POLL_S), self._woken)
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            return

    def _connect_with(self, protocol: Mqtt) -> Connection:
        return Connection.make(self._settings, self._client_id, protocol, self._credentials, self._will)

    def _follow(self, now: float) -> None:
        """Notice that the connection came up, went down, or does not get anywhere."""
        connection = self._connection
        if connection.link is Link.GREETING:
            self._greeting_since = now if self._greeting_since is None else self._greeting_since
            if now - self._greeting_since > connection.patience_s:
                connection.give_up()
        if connection.link is Link.UP:
            self._temper.is_up(now)
            if not self._up:
                self._came_up()
        elif connection.link is Link.DOWN and (self._up or self._trying):
            self._went_down(now)

    def _came_up(self) -> None:
        self._up, self._trying = True, False
        self._temper.came_up(self._connection.protocol.text)
        self._metrics.set("mqtt_connected", 1)
        self._metrics.add("mqtt_connects_total")
        with self._lock:
            self._unsent = dict(self._states)
        if self._announcer is not None:
            self._announcer.connected()
            self._connection.subscribe(self._announcer.filters)

    def _announce(self, now: float) -> None:
        """Let the announcer hear what came, and take what it has to say."""
        heard, self._connection.heard = self._connection.heard, []
        if self._announcer is None:
            return
        for one in heard:
            self._announcer.hear(one)
        messages = self._announcer.turn(now)
        with self._lock:
            self._unsent.update((message.topic, message) for message in messages)
        if self._connection.deaf and not self._deaf:
            self._deaf = True
            log.error("the broker lets us hear nothing; allow reading %s", " and ".join(self._announcer.filters))

    def _went_down(self, now: float) -> None:
        was_up, self._up, self._trying = self._up, False, False
        self._metrics.set("mqtt_connected", 0)
        connection = self._connection
        if not was_up and connection.may_be_older and connection.protocol is Mqtt.V5:
            self._replace(Mqtt.V311)  # at once: an old broker is no reason to wait
            self._next_try = now
            return
        error = connection.error or BrokerUnreachable("broker is away")
        if was_up and self._sizes.broke_off():
            log.warning("the broker hangs up on messages of more than %d bytes", self._sizes.limit)
            self._replace(connection.protocol)
            was_up = False  # nobody else was at fault
        self._next_try = now + self._temper.went_down(error, now, was_up, connection.taken_over)
        if not was_up and connection.protocol is Mqtt.V311 and not connection.ever_up:
            self._replace(Mqtt.V5)

    def _replace(self, protocol: Mqtt) -> None:
        """Go on with a fresh client, which knows of no message; what was on its way is read again."""
        self._connection = self._connect_with(protocol)
        self._sent.clear()
        self._sizes.forget()
        self._cursor = 0

    def _settle(self, now: float) -> None:
        """Delete the rows that the broker has."""
        acks, self._connection.acks = self._connection.acks, []
        for ack in acks:
            what = self._sent.pop(ack.mid, None)
            self._sizes.acknowledged(ack.mid)
            if what is None:
                continue
            if ack.failed and isinstance(what, str) and not what.startswith(self._topics.below):
                self._not_ours(what, ack.reason)
                continue
            if ack.failed and ack.code not in POISON:
                self._refused(ack, now)
                break
            if ack.failed:
                log.error("the broker will not take message %s (%s); it is dropped", what, ack.reason.lower())
                self._metrics.add("mqtt_dropped_total")
            if isinstance(what, int):
                self._done.append(what)
            elif self._announcer is not None:
                self._announcer.delivered(what)
        if self._done:
            self._outbox.delivered(self._done, self._clock())
            self._metrics.add("mqtt_delivered_total", len(self._done))
            self._done = []

    def _not_ours(self, topic: str, reason: str) -> None:
        """Discovery, or what an earlier station name left: that it cannot be told must not hold back any visit."""
        if topic not in self._forbidden:
            self._forbidden.add(topic)
            log.error("the broker refused %s (%s); allow mqtt.username to write it", topic, reason.lower())

    def _refused(self, ack: Ack, now: float) -> None:
        """The broker took the connection but not a message (access rules, quota): keep the rows, try again later."""
        self._connection.close()
        self._replace(self._connection.protocol)
        rights = f"let the user of mqtt.username write below {self._topics.below}"
        self._connection.error = BrokerRefused(
            f"broker {self._settings.host}:{self._settings.port} refused a message: {ack.reason.lower()}",
            rights if ack.code == NOT_AUTHORIZED else "see the broker's log",
        )
        self._went_down(now)

    def _send(self) -> None:
        """Fill the window: states first, then rows in order."""
        room = min(WINDOW, self._connection.limits.receive) - len(self._sent)
        with self._lock:
            states = list(self._unsent.values())[: max(0, room)]
            for message in states:
                del self._unsent[message.topic]
        for message in states:
            self._hand_over(self._fitting(message) or message.with_payload(b""), message.topic)
        room -= len(states)
        if room > 0:
            for row in self._outbox.pending(self._cursor, room):
                self._cursor = row.id
                self._send_row(row)

    def _send_row(self, row: OutboxRow) -> None:
        if row.message.retain and self._announcer is not None:
            topic = row.message.topic
            if not self._announcer.wants(topic) or self._announcer.outdated(topic, row.id):
                self._done.append(row.id)  # of a camera that is gone, or told already as it is now
                return
            self._announcer.noted(row.message)
        message = self._fitting(row.message)
        if message is None or not self._hand_over(message, row.id):
            self._done.append(row.id)

    def _fitting(self, message: Message) -> Message | None:
        """The message as the broker will take it, None if in no way.

        A state that is too large is emptied, since an old one would lie; an alert goes without its picture.
        """
        limit = min((n for n in (self._connection.limits.packet, self._sizes.limit) if n is not None), default=None)
        if limit is None or self._connection.size_of(message) <= limit:
            return message
        self._metrics.add("mqtt_dropped_total")
        if message.topic not in self._too_large:
            self._too_large.add(message.topic)
            size = len(message.payload)
            log.warning("%s: %d bytes are more than the broker accepts (%d); left out", message.topic, size, limit)
        if message.topic == self._topics.alert:
            message = message.with_payload(without_image(message.payload))
            return message if self._connection.size_of(message) <= limit else None
        return message.with_payload(b"") if message.retain else None

    def _hand_over(self, message: Message, what: int | str) -> bool:
        mid = self._connection.publish(message)
        if mid is None:
            self._metrics.add("mqtt_dropped_total")
            log.error("MQTT cannot carry a message on %r; it is dropped", message.topic)
            return False
        self._sent[mid] = what
        self._sizes.sent(mid, self._connection.size_of(message))
        return True

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= MEASURE_S:
            self._measured_at = now
            self._metrics.set("outbox_depth", self._outbox.depth())
            self._metrics.set("outbox_oldest_seconds", self._outbox.oldest_s(self._clock()) or 0.0)

    def _finish(self, until: float) -> None:
        """Send what is left until shortly before the deadline, then say `offline` and hang up."""
        self._drain(until - GOODBYE_S)
        self._announcer = None
        if self._connection.link is Link.UP:
            with self._lock:
                self._states[self._topics.status] = Message(self._topics.status, b"offline", retain=True)
                self._unsent = {self._topics.status: self._states[self._topics.status]}
            self._drain(until)
        self._connection.close()
        for end in (self._woken, self._waker):
            end.close()

    def _drain(self, until: float) -> None:
        """Serve until nothing is left, the broker is away, or `until` (monotonic)."""
        while (now := time.monotonic()) < until:
            self.run_once(now)
            if self._connection.link is Link.DOWN:
                return
            if self._connection.link is Link.UP and not (self._sent or self._done or self._unsent):
                return
            self._connection.serve(min(0.1, until - now))
