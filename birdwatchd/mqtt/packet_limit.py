"""Infer the broker's maximum packet size from lost connections, and make messages fit into it.

A broker that announces none closes the connection when a packet is too large, and the same message would be resent for
ever: one picture would hold back every visit after it. A large message that was in flight when three connections in a
row were lost is taken to be the cause. A small one only if it was alone: after two short connections messages go one by
one (`careful`), and one that ends two connections that had just carried others is too large, whatever its size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from birdwatchd.mqtt.payloads import without_image
from birdwatchd.records import Message

__all__ = ["PacketLimit", "TooLarge"]

log = logging.getLogger(__name__)

LOST_CONNECTIONS = 3  # in a row with the same largest message, before it is taken to be the cause
CAUGHT = 2  # connections in a row that carried others, and ended with this one
MOSTLY_ACCEPTED = 4096  # bytes; a broker that takes less has to be caught in the act
ALWAYS_ACCEPTED = 256  # bytes; every broker takes packets of this size


@dataclass(slots=True)
class PacketLimit:
    """Sizes of the packets in flight, and the limit inferred from them.

    Attributes:
        limit: bytes that the broker seems to accept; None while nothing is known.
        careful: messages are to be sent one by one, since connections are lost with some in flight.
        suspicious: the last connection was lost with a message in flight that is larger than all that was ever taken,
            or that was in flight the last time too.
    """

    limit: int | None = None
    careful: bool = False
    suspicious: bool = False
    _in_flight: dict[int, tuple[str, int]] = field(default_factory=dict)  # topic and size by message id
    _suspect: str | None = None  # topic of the largest message in flight when the last connection was lost
    _losses: int = 0
    _caught: int = 0  # times in a row that it was alone on a connection that had carried others
    _accepted: int = 0  # bytes of the largest packet that was ever acknowledged
    _answered: bool = False  # this connection has carried something

    def sent(self, mid: int, topic: str, size: int) -> None:
        """A packet of `size` bytes was sent."""
        self._in_flight[mid] = topic, size

    def acknowledged(self, mid: int) -> None:
        """The broker acknowledged a packet."""
        if found := self._in_flight.pop(mid, None):
            topic, size = found
            self._accepted, self._answered = max(self._accepted, size), True
            if topic == self._suspect:
                self._suspect, self._losses = None, 0

    def connection_lost(self, *, short: bool = False, too_large: bool = False) -> bool:
        """The connection was lost; True if a limit was inferred from it.

        Args:
            short: it was not up for long.
            too_large: the broker said that a packet was too large.
        """
        topic, size = max(self._in_flight.values(), key=lambda one: one[1], default=(None, 0))
        caught = self.careful and self._answered and len(self._in_flight) == 1
        again = topic == self._suspect
        self._losses = self._losses + 1 if again else 1
        self._caught = (self._caught + 1 if again else 1) if caught else 0
        self._suspect, self._answered = topic, False
        self.suspicious = topic is not None and (size > self._accepted or again)
        self.careful = self.careful or (short and again and topic is not None)
        if topic is None or size <= ALWAYS_ACCEPTED:
            return False
        learned_before = caught and self.limit is not None and size > self._accepted
        proven = self._caught >= CAUGHT or (size > MOSTLY_ACCEPTED and self._losses >= LOST_CONNECTIONS)
        if not (too_large or learned_before or proven):
            return False
        self.limit, self._suspect, self.careful = size - 1, None, True
        self._accepted = min(self._accepted, self.limit)
        return True

    def settled(self) -> None:
        """The connection has lasted: several messages may be in flight again."""
        self.careful = False

    def reset_in_flight(self) -> None:
        """Nothing is in flight any more; the limit stays."""
        self._in_flight.clear()


class TooLarge:
    """Leaves out of messages what a broker does not take, and says so once for each topic."""

    def __init__(self, alert_topic: str) -> None:
        """
        Args:
            alert_topic: its messages lose their picture, if that helps; a state of another topic is emptied.
        """
        self._alert_topic = alert_topic
        self._too_large: set[str] = set()

    def fit(self, message: Message, limit: int | None, size_of: Callable[[Message], int]) -> Message | None:
        """The message, or what of it fits; None if nothing does.

        A state that is too large is emptied, since the old one would be wrong.

        Args:
            limit: bytes of the largest packet that the broker takes; None where every one is taken.
            size_of: bytes of a message as a packet.
        """
        topic = message.topic
        if limit is None or size_of(message) <= limit:
            if topic in self._too_large and message.payload:
                self._too_large.discard(topic)
                log.info("%s: is published again", topic)
            return message
        if topic not in self._too_large:
            self._too_large.add(topic)
            size = len(message.payload)
            log.warning("%s: left out, %d bytes exceed the broker's limit of %d", topic, size, limit)
        if topic == self._alert_topic:
            smaller = message.with_payload(without_image(message.payload))
            return smaller if size_of(smaller) <= limit else None
        return message.with_payload(b"") if message.retain else None
