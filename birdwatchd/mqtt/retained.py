"""Maintain the retained topics: discovery, states and health are published, topics no longer in use are removed.

A broker may lose what it retained, and it keeps topics of cameras that no longer exist. So everything is republished
after each connect and after each birth message of Home Assistant, states fresh from the database. Every topic is
written to the database before anything is published to it; a stale one gets an empty message and is struck out when
the broker has acknowledged it.

An older state must never follow a newer one. What `due` returns is published before any row of the outbox that is read
later, and states that were already in the outbox when `due` read the database are not published (`is_superseded`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.connection import MAX_RECEIVED, Received
from birdwatchd.mqtt.daily_summary import DailySummary
from birdwatchd.mqtt.health import CameraHealth
from birdwatchd.mqtt.home_assistant import Discovery, is_discovery
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.topics import is_text_of_mqtt
from birdwatchd.records import Message
from birdwatchd.store import Store

__all__ = ["RetainedTopics"]

log = logging.getLogger(__name__)

UPDATE_INTERVAL_S = 60.0  # of health, and of states that change without a visit
HEALTH_INTERVAL_S = 5.0  # at least between two messages about a camera that went or came back
REPUBLISH_INTERVAL_S = 2.0  # at least between two answers to birth messages: each reads every camera's picture


@dataclass(slots=True)
class RetainedTopics:
    """The retained topics of one station. Used by the publisher's thread only.

    Attributes:
        clock: wall time.
        daily_summary: None if it is switched off.
        commands: None if commands are not taken.
    """

    store: Store
    composer: Composer
    discovery: Discovery
    health: CameraHealth
    clock: Callable[[], datetime]
    daily_summary: DailySummary | None = None
    commands: Commands | None = None
    _stale_topics: set[str] | None = None  # to be removed at the broker; None until read from the database
    _removed_topics: set[str] = field(default_factory=set)  # removed at the broker, not yet struck out
    _republish: bool = False
    _republish_from_s: float = float("-inf")
    _next_update_s: float = float("-inf")
    _next_health_s: float = float("-inf")
    _unsent: int = 0  # messages, as was published last
    _received: list[Received] = field(default_factory=list)
    _retained: dict[str, bytes] = field(default_factory=dict)  # what the broker has of the time-dependent states
    _read_at_row: dict[str, int] = field(default_factory=dict)  # by topic: newest outbox row when the state was read
    _topics_in_use: frozenset[str] = frozenset()
    _time_dependent: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        topics, cameras = self.discovery.topics, self.discovery.cameras
        self._topics_in_use = frozenset(self._all_topics())
        of_cameras = frozenset(name(camera) for camera in cameras for name in (topics.today, topics.present))
        self._time_dependent = of_cameras | {topics.station_today}

    @property
    def topic_filters(self) -> list[str]:
        """What to subscribe to: Home Assistant's birth messages and commands."""
        return self.discovery.birth_topics + (self.commands.topic_filters if self.commands else [])

    def is_in_use(self, topic: str) -> bool:
        """Whether something may be retained under this topic."""
        return topic in self._topics_in_use

    def is_superseded(self, topic: str, row: int) -> bool:
        """Whether a state in the outbox is older than what `due` has returned for its topic."""
        return row <= self._read_at_row.get(topic, 0)

    def connected(self) -> None:
        """The broker is connected (again) and may have lost everything."""
        self._republish, self._republish_from_s = True, float("-inf")
        self._retained.clear()

    def changed(self) -> None:
        """States are others than the broker has, beside what the outbox said."""
        self._republish = True

    def receive(self, received: Received) -> None:
        """Take a message from the broker; commands are executed by `due`."""
        if received.topic in self.discovery.birth_topics:
            if received.payload == b"online" and not received.retained:  # a retained one is from before we connected
                self._republish = True
            return
        if len(self._received) < MAX_RECEIVED:  # more only if the database is locked for long
            self._received.append(received)

    def acknowledged(self, topic: str) -> None:
        """The broker has acknowledged a retained message that `due` returned."""
        if self._stale_topics and topic in self._stale_topics:
            self._stale_topics.discard(topic)
            self._removed_topics.add(topic)

    def sent(self, message: Message) -> None:
        """A retained message from the outbox was sent."""
        if message.topic in self._time_dependent:
            self._retained[message.topic] = message.payload

    def due(self, now_s: float) -> list[Message]:
        """All retained messages to publish now, the newest of each topic; executes the commands received.

        Args:
            now_s: monotonic seconds.

        Raises:
            StoreBusy, StoreFull: call again; nothing is lost.
        """
        at = self.clock()
        self._find_stale_topics()
        if self._removed_topics:
            self.store.retained.removed(sorted(self._removed_topics))
            self._removed_topics.clear()
        republish, update = self._republish and now_s >= self._republish_from_s, now_s >= self._next_update_s
        newest = self.store.outbox.newest_id() if republish or update else 0
        messages = self._everything(at, newest) if republish else []
        if update:
            messages += self._updates(at, newest)
            self._next_update_s = now_s + UPDATE_INTERVAL_S
        if now_s >= self._next_health_s:
            changed = self.health.take_changed()
            messages += [self._health(camera, at) for camera in self.discovery.cameras if camera in changed]
            messages += [self._station_health(at)] if self._unsent and not self.store.outbox.depth() else []
            self._next_health_s = now_s + HEALTH_INTERVAL_S
        if republish:
            self._republish, self._republish_from_s = False, now_s + REPUBLISH_INTERVAL_S
        self._retained.update((one.topic, one.payload) for one in messages if one.topic in self._time_dependent)
        while self._received:
            received = self._received.pop(0)
            if self.commands is not None:
                messages += self.commands.execute(received, at)
        return messages

    def _find_stale_topics(self) -> None:
        if self._stale_topics is not None:
            return
        stale = self.store.retained.announce(self._topics_in_use)
        if damaged := [topic for topic in stale if not is_text_of_mqtt(topic)]:
            log.warning("%d topics in the database are damaged; they are forgotten", len(damaged))
            self.store.retained.removed(damaged)
        self._stale_topics = set(stale).difference(damaged)
        if self._stale_topics:
            log.info("removing %d retained topics from the broker that are no longer used", len(self._stale_topics))

    def _everything(self, at: datetime, newest: int) -> list[Message]:
        """Discovery first, so that Home Assistant knows whose states follow; then removals, then states.

        Of what is removed, descriptions go first: an entity that is still there would complain of its empty state.
        """
        messages = self.discovery.messages
        stale = sorted(self._stale_topics or (), key=lambda topic: (not is_discovery(topic), topic))
        messages += [Message(topic, b"", retain=True, coalesce=True) for topic in stale]
        messages += self.commands.states() if self.commands else []
        for camera in self.discovery.cameras:
            states = self.composer.states(self.store.cameras.summary(camera, at))
            self._read_at_row |= {one.topic: newest for one in states}
            messages += [*states, self._health(camera, at)]
        summary = None
        if self.daily_summary is not None:
            self.daily_summary.enqueue_if_due(
                at
            )  # or what is sent here would be yesterday's, and the last of a short run
            summary = self.daily_summary.newest(at)
        messages += [self._station_today(at), self._station_health(at)]
        return messages if summary is None else [*messages, summary]

    def _updates(self, at: datetime, newest: int) -> list[Message]:
        """Health, and states that midnight or another program changed; the daily summary goes through the outbox."""
        if self.daily_summary is not None:
            self.daily_summary.enqueue_if_due(at)
        messages = [self._health(camera, at) for camera in self.discovery.cameras]
        messages.append(self._station_health(at))
        day = at.astimezone(self.store.zone).date()
        for camera in self.discovery.cameras:
            stored = self.store.cameras
            states = self.composer.time_dependent_states(camera, stored.day(day, camera), stored.is_present(camera))
            self._read_at_row |= {one.topic: newest for one in states}
            messages += [one for one in states if self._retained.get(one.topic) != one.payload]
        today = self._station_today(at)
        return messages + ([today] if self._retained.get(today.topic) != today.payload else [])

    def _station_today(self, at: datetime) -> Message:
        day = self.store.cameras.day(at.astimezone(self.store.zone).date())
        return self.composer.station_today(day, self.store.species.total())

    def _station_health(self, at: datetime) -> Message:
        oldest_s = self.store.outbox.oldest_s(at)
        self._unsent = self.store.outbox.depth()
        waiting = {
            "unsent": self._unsent,
            "oldest_unsent_s": None if oldest_s is None else round(oldest_s),
        }
        topic = self.discovery.topics.station_health
        return Message(topic, json.dumps(waiting, separators=(",", ":")).encode(), retain=True, coalesce=True)

    def _health(self, camera: str, at: datetime) -> Message:
        topic = self.discovery.topics.health(camera)
        return Message(topic, self.health.payload(camera, at), retain=True, coalesce=True)

    def _all_topics(self) -> list[str]:
        """Every topic under which something may be retained with this configuration."""
        topics = self.discovery.topics
        found = [topics.status, topics.storage, topics.station_today, topics.station_health]
        found += [message.topic for message in self.discovery.messages]
        found += [message.topic for message in self.commands.states()] if self.commands else []
        found += [topics.heartbeat] if self.daily_summary else []
        for camera in self.discovery.cameras:
            found += [topics.camera_status(camera), topics.last(camera), topics.today(camera), topics.present(camera)]
            found += [topics.health(camera), *([topics.image(camera)] if self.discovery.images else [])]
        return found
