"""Take alerts from the outbox to one channel that is not MQTT, in order, and delete a row only when it was taken.

Each channel is a stage in a thread of its own: one that is away holds up nobody else. A row that was sent and not yet
deleted when the power goes is sent again: at least once, and (visit_id, revision, rule) says which are the same. What
nobody answers to waits, until it is older than `max_age`: a push of last week helps nobody. What is refused is tried
`TRIES` times and dropped.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from birdwatchd.address import Secret
from birdwatchd.channels.apprise import Push
from birdwatchd.channels.webhook import Webhook
from birdwatchd.channels.wording import note_of
from birdwatchd.errors import ChannelError, ChannelRefused
from birdwatchd.flow import Backoff, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.publisher import Stopping
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import Outbox, OutboxRow

__all__ = ["Channel", "Send", "open_channels", "sender_of"]

log = logging.getLogger(__name__)

POLL_S = 1.0  # how late a row may be noticed; a push takes about as long
MEASURE_S = 5.0
TRIES = 3  # for a message that is refused; a wrong address is seldom right a minute later

Send = Callable[[bytes], None]


class Channel:
    """The stage between the outbox and one channel."""

    def __init__(
        self,
        name: str,
        settings: ChannelSettings,
        send: Send,
        outbox: Outbox,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        drain_s: float = 2.0,
    ) -> None:
        """
        Args:
            send: takes an alert's JSON to the channel, or raises a ChannelError.
            clock: wall time, to which the age of messages is reckoned.
            chance: numbers in 0 … 1 that spread the tries.
            drain_s: how long a clean stop may take to send what is left.
        """
        self.name, self._max_age, self._send = name, settings.max_age, send
        self._outbox, self._metrics, self._clock, self._drain_s = outbox, metrics, clock, drain_s
        self._retry = StoreRetry(on_each=lambda: metrics.add("publish_store_retries_total"))
        self._away = Backoff(5.0, 600.0, chance)
        self._refused = Backoff(80.0, 600.0, chance)  # jitter takes up to a quarter: never below 60
        self._sent: int | None = None  # a row that was taken and is not yet deleted
        self._refusals = 0  # in a row
        self._said, self._said_old = "", False  # what is wrong, as it was last logged; empty while all is well
        self._next_try = self._measured_at = float("-inf")

    def run(self, stop: Stopping) -> None:
        """Send until the stop, then what is left, as long as all goes well and time allows."""
        while not stop.is_set():
            began = time.monotonic()
            wait = self.run_once(began)
            self._next_try += time.monotonic() - began  # the pause begins where a try that took long has ended
            stop.wait(min(POLL_S, wait))
        until = time.monotonic() + self._drain_s
        while not self._said and time.monotonic() < until and self.run_once(time.monotonic()) == 0.0:
            continue

    def run_once(self, now: float) -> float:
        """Send the oldest message, if there is one and it is time.

        Args:
            now: monotonic seconds.

        Returns:
            Seconds after which to come back; 0 if there may be more to do at once.
        """
        return self._retry.attempt(lambda: self._step(now), POLL_S)

    def _step(self, now: float) -> float:
        self._measure(now)
        self._settle()
        if now < self._next_try:
            return self._next_try - now
        rows = self._outbox.pending(0, 1, self.name)
        if not rows:
            return POLL_S
        if self._drop_old(rows[0]):
            return 0.0
        wait = self._try(rows[0])
        self._next_try = now + wait
        self._settle()
        return wait

    def _try(self, row: OutboxRow) -> float:
        """Send one message; seconds until the next may be tried."""
        try:
            self._send(row.message.payload)
        except ChannelRefused as error:
            self._metrics.add("channel_failures_total", channel=self.name)
            self._refusals += 1
            self._say("refused", logging.ERROR, f"{error}; after {TRIES} tries messages are dropped")
            if self._refusals >= TRIES:
                self._drop(1, "refused")
                self._sent = row.id
            return self._refused.next_wait()
        except ChannelError as error:
            self._metrics.add("channel_failures_total", channel=self.name)
            self._say("away", logging.WARNING, f"{error.message}; messages wait in the outbox")
            return self._away.next_wait()
        self._sent, self._refusals, self._said_old = row.id, 0, False
        self._metrics.add("channel_sent_total", channel=self.name)
        if self._said:
            self._say("", logging.INFO, "takes messages again")
        self._away.reset()
        self._refused.reset()
        return 0.0

    def _settle(self) -> None:
        """Delete the row that was taken; it is not sent again while this must wait."""
        if self._sent is not None:
            self._outbox.delivered([self._sent], self._clock())
            self._sent = None

    def _drop_old(self, oldest: OutboxRow) -> bool:
        before = self._clock() - self._max_age
        if oldest.created_at >= before:
            return False
        count = self._outbox.drop_older(self.name, before)
        self._drop(count, "old")
        if not self._said_old:
            log.warning("channel %s: messages older than %s are dropped", self.name, self._max_age)
        self._said_old = True
        return True

    def _drop(self, count: int, reason: str) -> None:
        self._metrics.add("channel_dropped_total", count, channel=self.name, reason=reason)

    def _say(self, state: str, level: int, text: str) -> None:
        """Log a change of state, once."""
        if state != self._said:
            log.log(level, "channel %s: %s", self.name, text)
        self._said = state

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= MEASURE_S:
            self._measured_at = now
            self._metrics.set("channel_outbox_depth", self._outbox.depth(self.name), channel=self.name)
            oldest = self._outbox.oldest_s(self._clock(), self.name) or 0.0
            self._metrics.set("channel_outbox_oldest_seconds", oldest, channel=self.name)


def sender_of(name: str, settings: ChannelSettings, config: Config) -> Send:
    """What takes an alert's JSON to a channel.

    Raises:
        ConfigError: a file with the address or headers cannot be used.
    """
    address: Secret = settings.read_address(name)
    if settings.is_webhook:
        return Webhook(address, settings.read_headers(name)).send
    push = Push(address)
    zone, cameras = config.station.zone, {key: camera.name for key, camera in config.cameras.items()}

    def send(payload: bytes) -> None:
        note = note_of(payload, zone, cameras)
        push.send(note.title, note.body, note.image)

    return send


def open_channels(config: Config, outbox: Outbox, metrics: Metrics, *, drain_s: float = 2.0) -> list[Channel]:
    """All channels of a configuration; what waits for channels that are gone is deleted.

    Raises:
        ConfigError: a file with an address or headers cannot be used.
    """
    senders = {name: sender_of(name, settings, config) for name, settings in config.channels.items()}
    if gone := outbox.keep_channels(config.channels.keys()):
        log.warning("%d messages were for channels that are not in the configuration any more; dropped", gone)
    return [
        Channel(name, config.channels[name], send, outbox, metrics, drain_s=drain_s) for name, send in senders.items()
    ]
