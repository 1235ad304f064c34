"""Keep the newest state of station, cameras and disk for the broker, which may lose what it keeps.

They belong to no visit and need no database: that the disk is full must be known while it is. What waits is published
before any row of the outbox, and all of it again after every connect. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Literal, TypeAlias

from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message

__all__ = ["OFFLINE_AFTER_S", "CameraTold", "States"]

OFFLINE_AFTER_S = 10.0  # a camera is published as offline when it was not back by then: entities must not flap
CameraTold: TypeAlias = Literal["online", "offline", "disabled"]


class States:
    """The states as they are, and which of them the broker has not been given yet.

    Attributes:
        will: what the broker says of the station when it is gone without a word.
        offline_after_s: for how long a camera that was online may be away before it is published as offline.
    """

    def __init__(self, topics: Topics, offline_after_s: float = OFFLINE_AFTER_S) -> None:
        self._topics = topics
        self.will = Message(topics.status, b"offline", retain=True)
        self.offline_after_s = offline_after_s
        self._lock = threading.Lock()
        self._newest = {topics.status: Message(topics.status, b"online", retain=True)}
        self._to_publish: dict[str, Message] = {}  # by topic, in order
        self._away: dict[str, float | None] = {}  # by topic of a camera's state: since when

    @property
    def waiting(self) -> bool:
        """Whether any is to be published."""
        return bool(self._to_publish)

    def camera(self, camera: str, state: CameraTold) -> None:
        """Take the state of a camera; that one which was online is offline counts from `find_offline` on."""
        message = Message(self._topics.camera_status(camera), state.encode(), retain=True)
        with self._lock:
            before = self._newest.get(message.topic)
            if state == "offline" and before is not None and before.payload == b"online":
                self._away.setdefault(message.topic, None)
            else:
                self._away.pop(message.topic, None)
                self._keep(message)

    def storage(self, payload: bytes) -> None:
        """Take the state of the disk."""
        with self._lock:
            self._keep(Message(self._topics.storage, payload, retain=True))

    def find_offline(self, now_s: float) -> None:
        """Publish which cameras are offline, of those that are not back in time."""
        with self._lock:
            for topic, at_s in list(self._away.items()):
                self._away[topic] = since_s = now_s if at_s is None else at_s
                if now_s - since_s >= self.offline_after_s:
                    self._keep(Message(topic, b"offline", retain=True))
                    del self._away[topic]

    def all_again(self) -> None:
        """Publish every state, and nothing else that waits: a broker was connected to."""
        with self._lock:
            self._to_publish = dict(self._newest)

    def put(self, messages: Iterable[Message]) -> None:
        """Publish other retained messages with the states, once."""
        with self._lock:
            self._to_publish.update((message.topic, message) for message in messages)

    def take(self, most: int) -> list[Message]:
        """The next messages to publish, at most so many; they do not wait any more."""
        with self._lock:
            taken = list(self._to_publish.values())[: max(0, most)]
            for message in taken:
                del self._to_publish[message.topic]
        return taken

    def end(self) -> None:
        """Publish that the station is offline, and nothing else."""
        with self._lock:
            self._to_publish.clear()
            self._keep(self.will)

    def _keep(self, message: Message) -> None:
        self._newest[message.topic] = self._to_publish[message.topic] = message
