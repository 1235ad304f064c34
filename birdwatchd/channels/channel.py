"""Deliver alerts from the outbox to one channel, in order, and delete each row when it was delivered.

Each channel is a stage in a thread of its own, so that an unreachable one delays no other. Delivery is at least once: a
row that was sent but not yet deleted when the power fails is sent again, and (visit_id, revision, rule) identifies the
duplicate. Messages for an unreachable channel wait until they are older than `max_age`, since a push about last week
helps nobody. A message that is refused is tried `MAX_ATTEMPTS` times and dropped.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from birdwatchd.address import Secret
from birdwatchd.channels.apprise import AppriseSender
from birdwatchd.channels.webhook import Webhook
from birdwatchd.channels.wording import notification_of
from birdwatchd.errors import ChannelError, ChannelRefused
from birdwatchd.flow import Backoff, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.publisher import StopSignal
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import Outbox, OutboxRow

__all__ = ["Channel", "Send", "build_channels", "build_sender"]

log = logging.getLogger(__name__)

POLL_S = 1.0  # how late a row may be noticed; a push takes about as long
METRICS_INTERVAL_S = 5.0
MAX_ATTEMPTS = 3  # for a message that is refused; a wrong address is seldom right a minute later

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
            send: delivers an alert's JSON, or raises a ChannelError.
            clock: wall time, for the age of messages.
            chance: numbers in 0 … 1 for the jitter of retries.
            drain_s: how long a clean stop may take to send what is left.
        """
        self.name, self._max_age, self._send = name, settings.max_age, send
        self._outbox, self._metrics, self._clock, self._drain_s = outbox, metrics, clock, drain_s
        self._retry = StoreRetry(
            on_first=lambda error: log.error("channel %s: messages wait: %s", name, error),
            on_each=lambda: metrics.add("publish_store_retries_total"),
            on_again=lambda: log.info("channel %s: messages are sent again", name),
        )
        self._unreachable = Backoff(5.0, 600.0, chance)
        self._refused = Backoff(80.0, 600.0, chance)  # jitter takes up to a quarter: never below 60
        self._delivered: int | None = None  # id of a row that was delivered and is not yet deleted
        self._refusals = 0  # consecutive
        self._logged, self._old_logged = "", False  # the last logged state; empty while the channel works
        self._next_attempt_s = self._metrics_at_s = float("-inf")
        self.beat_s = time.monotonic()
        for gauge in ("channel_outbox_oldest_seconds", "channel_failing"):
            self._metrics.set(gauge, 0.0, channel=name)
        for reason in ("old", "refused"):
            self._count_dropped(0, reason)

    def run(self, stop: StopSignal) -> None:
        """Deliver until the stop, then what is left while the channel works and time allows."""
        while not stop.is_set():
            began_s = self.beat_s = time.monotonic()
            wait_s = self.run_once(began_s)
            self._next_attempt_s += time.monotonic() - began_s  # the back-off starts at the end of a slow attempt
            stop.wait(min(POLL_S, wait_s))
        deadline_s = time.monotonic() + self._drain_s
        while not self._logged and time.monotonic() < deadline_s and self.run_once(time.monotonic()) == 0.0:
            continue

    def run_once(self, now_s: float) -> float:
        """Deliver the oldest message, if there is one and it is time.

        Args:
            now_s: monotonic seconds.

        Returns:
            Seconds until the next call; 0 if there may be another message.
        """
        return self._retry.attempt(lambda: self._deliver_oldest(now_s), POLL_S)

    def _deliver_oldest(self, now_s: float) -> float:
        self._update_metrics(now_s)
        self._delete_delivered()
        if now_s < self._next_attempt_s:
            return self._next_attempt_s - now_s
        rows = self._outbox.pending(0, 1, self.name)
        if not rows:
            return POLL_S
        if self._drop_old(rows[0]):
            return 0.0
        wait_s = self._deliver(rows[0])
        self._next_attempt_s = now_s + wait_s
        self._delete_delivered()
        return wait_s

    def _deliver(self, row: OutboxRow) -> float:
        """Send one message; seconds until the next attempt."""
        try:
            self._send(row.message.payload)
        except ChannelRefused as error:
            self._metrics.add("channel_failures_total", channel=self.name)
            self._refusals += 1
            self._log_change("refused", logging.ERROR, f"{error}; messages are dropped after {MAX_ATTEMPTS} attempts")
            if self._refusals >= MAX_ATTEMPTS:
                self._count_dropped(1, "refused")
                self._delivered = row.id
            return self._refused.next_wait_s()
        except ChannelError as error:
            self._metrics.add("channel_failures_total", channel=self.name)
            self._log_change("unreachable", logging.WARNING, f"{error.message}; messages wait in the outbox")
            return self._unreachable.next_wait_s()
        self._delivered, self._refusals = row.id, 0
        if self._old_logged:
            self._old_logged = False
            log.info("channel %s: messages arrive in time again", self.name)
        self._metrics.add("channel_sent_total", channel=self.name)
        if self._logged:
            self._log_change("", logging.INFO, "accepts messages again")
        self._unreachable.reset()
        self._refused.reset()
        return 0.0

    def _delete_delivered(self) -> None:
        """Delete the row that was delivered (or dropped); while this cannot be done, it is not sent again."""
        if self._delivered is not None:
            self._outbox.delivered([self._delivered], self._clock())
            self._delivered = None

    def _drop_old(self, oldest: OutboxRow) -> bool:
        limit = self._clock() - self._max_age
        if oldest.created_at >= limit:
            return False
        count = self._outbox.drop_older(self.name, limit)
        self._count_dropped(count, "old")
        if not self._old_logged:
            log.warning("channel %s: messages older than %s (max_age) are dropped", self.name, self._max_age)
        self._old_logged = True
        return True

    def _count_dropped(self, count: int, reason: str) -> None:
        self._metrics.add("channel_dropped_total", count, channel=self.name, reason=reason)

    def _log_change(self, state: str, level: int, text: str) -> None:
        if state != self._logged:
            log.log(level, "channel %s: %s", self.name, text)
        self._logged = state
        self._metrics.set("channel_failing", float(bool(state)), channel=self.name)

    def _update_metrics(self, now_s: float) -> None:
        if now_s - self._metrics_at_s >= METRICS_INTERVAL_S:
            self._metrics_at_s = now_s
            self._metrics.set("channel_outbox_depth", self._outbox.depth(self.name), channel=self.name)
            oldest = self._outbox.oldest_s(self._clock(), self.name) or 0.0
            self._metrics.set("channel_outbox_oldest_seconds", oldest, channel=self.name)


def build_sender(name: str, settings: ChannelSettings, config: Config) -> Send:
    """The function that delivers an alert's JSON to a channel.

    Raises:
        ConfigError: a file with the address or headers cannot be used.
    """
    address: Secret = settings.read_address(name)
    if settings.is_webhook:
        return Webhook(address, settings.read_headers(name)).send
    service = AppriseSender(address)
    zone, cameras = config.station.zone, {key: camera.name for key, camera in config.cameras.items()}

    def send(payload: bytes) -> None:
        notification = notification_of(payload, zone, cameras)
        service.send(notification.title, notification.body, notification.image)

    return send


def build_channels(
    config: Config,
    outbox: Outbox,
    metrics: Metrics,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    drain_s: float = 2.0,
) -> list[Channel]:
    """All channels of a configuration; messages that wait for removed channels are deleted.

    Args:
        clock: wall time, for the age of messages.

    Raises:
        ConfigError: a file with an address or headers cannot be used.
    """
    senders = {name: build_sender(name, settings, config) for name, settings in config.channels.items()}
    if dropped := outbox.keep_channels(config.channels.keys()):
        log.warning("dropped %d messages for channels that are no longer configured", dropped)
    return [
        Channel(name, config.channels[name], send, outbox, metrics, clock=clock, drain_s=drain_s)
        for name, send in senders.items()
    ]
