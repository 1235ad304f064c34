"""Keep at the broker what belongs there, and nothing else: descriptions, states, the traces of cameras that are gone.

All that is retained can be told again at any time: after every connect (the broker may have lost it), and when Home
Assistant has started. States come fresh from the database then. Every topic was written down before anything was sent
to it; one that is not wanted any more gets an empty message, and is struck out when the broker has acknowledged that.

Order keeps states right: what is returned here is handed to the broker before any row of the outbox that is read later,
and takes the place of those that waited already, so that an older value can never follow a newer one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from birdwatchd.alerts.commands import Commands
from birdwatchd.alerts.connection import Heard
from birdwatchd.alerts.discovery import Discovery
from birdwatchd.alerts.health import Health
from birdwatchd.alerts.heartbeat import Heartbeat
from birdwatchd.alerts.payloads import Composer
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
    _wanted: frozenset[str] = frozenset()
    _by_themselves: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        topics, cameras = self.discovery.topics, self.discovery.cameras
        self._wanted = frozenset(self._topics())
        self._by_themselves = frozenset(name(camera) for camera in cameras for name in (topics.today, topics.present))

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        births = [self.discovery.birth] if self.discovery.prefix else []
        return births + (self.commands.filters if self.commands else [])

    def wants(self, topic: str) -> bool:
        """Whether something may be retained under this topic."""
        return topic in self._wanted

    def connected(self) -> None:
        """The broker is there (again), and may have forgotten everything."""
        self._greet, self._greet_from = True, float("-inf")
        self._held.clear()

    def hear(self, heard: Heard) -> None:
        """Take a message from the broker."""
        if self.discovery.prefix and heard.topic == self.discovery.birth:
            if heard.payload == b"online" and not heard.retained:  # a retained one is older than our greeting
                self._greet = True
            return
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
            self._ghosts = set(self.store.announce(self._wanted))
            if self._ghosts:
                log.info("%d retained topics are not wanted any more and are removed at the broker", len(self._ghosts))
        if self._gone:
            self.store.unannounce(sorted(self._gone))
            self._gone.clear()
        greet = self._greet and now >= self._greet_from
        messages = self._greeting(at) if greet else []
        if now >= self._next:
            messages += self._minute(at)
            self._next = now + MINUTE_S
        if greet:
            self._greet, self._greet_from = False, now + BETWEEN_BIRTHS_S
        self._held.update((one.topic, one.payload) for one in messages if one.topic in self._by_themselves)
        while self._heard:
            heard = self._heard.pop(0)
            if self.commands is not None:
                messages += self.commands.take(heard, at)
        return messages

    def _greeting(self, at: datetime) -> list[Message]:
        """Descriptions first, so that Home Assistant knows whose states they are; then removals, then states."""
        messages = self.discovery.messages
        messages += [Message(topic, b"", retain=True, coalesce=True) for topic in sorted(self._ghosts or ())]
        messages += self.commands.states() if self.commands else []
        for camera in self.discovery.cameras:
            board = self.store.board_instead(camera, at, self._states_of(camera))
            messages += [*self.composer.states(board), self._health(camera, at)]
        return messages

    def _minute(self, at: datetime) -> list[Message]:
        """Health; what midnight or another program changed; the daily summary, which goes through the outbox."""
        if self.heartbeat is not None:
            self.heartbeat.beat(at)
        messages = [self._health(camera, at) for camera in self.discovery.cameras]
        day = at.astimezone(self.store.zone).date()
        for camera in self.discovery.cameras:
            states = self.composer.brief(camera, self.store.day(day, camera), self.store.present(camera))
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
            wanted += [topics.camera_status(camera), topics.health(camera), *self._states_of(camera)]
        return wanted

    def _states_of(self, camera: str) -> list[str]:
        """The topics of a camera whose states come from its visits."""
        topics = self.discovery.topics
        images = [topics.image(camera)] if self.discovery.images else []
        return [topics.last(camera), *images, topics.today(camera), topics.present(camera)]
