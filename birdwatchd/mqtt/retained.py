"""Keep at the broker what belongs there, and nothing else: descriptions, states, the traces of cameras that are gone.

All that is retained can be told again at any time: after every connect (the broker may have lost it), and when Home
Assistant has started. States come fresh from the database then. Every topic was written down before anything was sent
to it; one that is not wanted any more gets an empty message, and is struck out when the broker has acknowledged that.

Order keeps states right: what is returned here is handed to the broker before any row of the outbox that is read later,
and states that were in the outbox when a newer reading was made are not sent (`outdated`), so that an older value can
never follow a newer one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.connection import KEPT_HEARD, Heard
from birdwatchd.mqtt.daily_summary import Heartbeat
from birdwatchd.mqtt.health import Health
from birdwatchd.mqtt.home_assistant import Discovery
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.records import Message
from birdwatchd.store import Store

__all__ = ["Announcer"]

log = logging.getLogger(__name__)

MINUTE_S = 60.0
BETWEEN_BIRTHS_S = 2.0  # somebody may play with the birth topic; each greeting reads every camera's picture


@dataclass(slots=True)
class Announcer:
    """What a station says beside its visits. Belongs to the publisher's thread.

    Attributes:
        clock: wall time.
    """

    store: Store
    composer: Composer
    discovery: Discovery
    health: Health
    clock: Callable[[], datetime]
    heartbeat: Heartbeat | None = None
    commands: Commands | None = None
    _ghosts: set[str] | None = None
    _greet: bool = False
    _greet_from: float = float("-inf")
    _next: float = float("-inf")
    _heard: list[Heard] = field(default_factory=list)
    _gone: set[str] = field(default_factory=set)  # removed at the broker, not yet struck out
    _held: dict[str, bytes] = field(default_factory=dict)  # what the broker has of the states that change by themselves
    _read_at: dict[str, int] = field(default_factory=dict)  # by state: the newest row there was when it was read
    _wanted: frozenset[str] = frozenset()
    _by_themselves: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        topics, cameras = self.discovery.topics, self.discovery.cameras
        self._wanted = frozenset(self._topics())
        self._by_themselves = frozenset(name(camera) for camera in cameras for name in (topics.today, topics.present))

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return self.discovery.births + (self.commands.filters if self.commands else [])

    def wants(self, topic: str) -> bool:
        """Whether something may be retained under this topic."""
        return topic in self._wanted

    def outdated(self, topic: str, row: int) -> bool:
        """Whether a state in the outbox is older than what `turn` has returned of it."""
        return row <= self._read_at.get(topic, 0)

    def connected(self) -> None:
        """The broker is there (again), and may have forgotten everything."""
        self._greet, self._greet_from = True, float("-inf")
        self._held.clear()

    def hear(self, heard: Heard) -> None:
        """Take a message from the broker."""
        if heard.topic in self.discovery.births:
            if heard.payload == b"online" and not heard.retained:  # a retained one is older than our greeting
                self._greet = True
            return
        if len(self._heard) < KEPT_HEARD:  # more only if the database is held for long
            self._heard.append(heard)

    def delivered(self, topic: str) -> None:
        """The broker has acknowledged a retained message of ours."""
        if self._ghosts and topic in self._ghosts:
            self._ghosts.discard(topic)
            self._gone.add(topic)

    def turn(self, now: float) -> list[Message]:
        """All that is to be sent now, each topic's newest.

        Args:
            now: monotonic seconds.

        Raises:
            StoreBusy, StoreFull: call again; nothing is forgotten.
        """
        at = self.clock()
        if self._ghosts is None:
            self._ghosts = set(self.store.retained.announce(self._wanted))
            if self._ghosts:
                log.info("%d retained topics are not wanted any more and are removed at the broker", len(self._ghosts))
        if self._gone:
            self.store.retained.removed(sorted(self._gone))
            self._gone.clear()
        greet, due = self._greet and now >= self._greet_from, now >= self._next
        newest = self.store.outbox.newest_id() if greet or due else 0
        messages = self._greeting(at, newest) if greet else []
        if due:
            messages += self._minute(at, newest)
            self._next = now + MINUTE_S
        if greet:
            self._greet, self._greet_from = False, now + BETWEEN_BIRTHS_S
        self._held.update((one.topic, one.payload) for one in messages if one.topic in self._by_themselves)
        while self._heard:
            heard = self._heard.pop(0)
            if self.commands is not None:
                messages += self.commands.take(heard, at)
        return messages

    def _greeting(self, at: datetime, newest: int) -> list[Message]:
        """Descriptions first, so that Home Assistant knows whose states they are; then removals, then states."""
        messages = self.discovery.messages
        messages += [Message(topic, b"", retain=True, coalesce=True) for topic in sorted(self._ghosts or ())]
        messages += self.commands.states() if self.commands else []
        for camera in self.discovery.cameras:
            states = self.composer.states(self.store.cameras.summary(camera, at))
            self._read_at |= {one.topic: newest for one in states}
            messages += [*states, self._health(camera, at)]
        return messages

    def _minute(self, at: datetime, newest: int) -> list[Message]:
        """Health; what midnight or another program changed; the daily summary, which goes through the outbox."""
        if self.heartbeat is not None:
            self.heartbeat.beat(at)
        messages = [self._health(camera, at) for camera in self.discovery.cameras]
        day = at.astimezone(self.store.zone).date()
        for camera in self.discovery.cameras:
            stored = self.store.cameras
            states = self.composer.brief(camera, stored.day(day, camera), stored.is_present(camera))
            self._read_at |= {one.topic: newest for one in states}
            messages += [one for one in states if self._held.get(one.topic) != one.payload]
        return messages

    def noted(self, message: Message) -> None:
        """A message from the outbox is on its way."""
        if message.topic in self._by_themselves:
            self._held[message.topic] = message.payload

    def _health(self, camera: str, at: datetime) -> Message:
        topic = self.discovery.topics.health(camera)
        return Message(topic, self.health.payload(camera, at), retain=True, coalesce=True)

    def _topics(self) -> list[str]:
        """Every retained topic there may be."""
        topics = self.discovery.topics
        wanted = [topics.status, *(message.topic for message in self.discovery.messages)]
        wanted += [message.topic for message in self.commands.states()] if self.commands else []
        wanted += [topics.heartbeat] if self.heartbeat else []
        for camera in self.discovery.cameras:
            wanted += [topics.camera_status(camera), topics.last(camera), topics.today(camera), topics.present(camera)]
            wanted += [topics.health(camera), *([topics.image(camera)] if self.discovery.images else [])]
        return wanted
