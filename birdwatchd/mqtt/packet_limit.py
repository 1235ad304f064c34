"""Infer the broker's maximum packet size from lost connections, for brokers that do not announce one (MQTT 3.1.1).

Such a broker closes the connection when a packet is too large, and the same message would be resent for ever: one
picture would hold back every visit after it. A large message that was in flight when three connections in a row were
lost is taken to be the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["PacketLimit"]

LOST_CONNECTIONS = 3  # in a row with the same largest message, before it is taken to be the cause
ALWAYS_ACCEPTED = 4096  # bytes; every broker takes packets of this size


@dataclass(slots=True)
class PacketLimit:
    """Sizes of the packets in flight, and the limit inferred from them.

    Attributes:
        limit: bytes that the broker seems to accept; None while nothing is known.
    """

    limit: int | None = None
    _in_flight: dict[int, int] = field(default_factory=dict)  # size by message id
    _suspect: int | None = None  # the largest message in flight when the last connection was lost
    _losses: int = 0

    def sent(self, mid: int, size: int) -> None:
        """A packet of `size` bytes was sent."""
        self._in_flight[mid] = size

    def acknowledged(self, mid: int) -> None:
        """The broker acknowledged a packet."""
        self._in_flight.pop(mid, None)

    def connection_lost(self) -> bool:
        """The connection was lost; True if a limit was inferred from it."""
        largest = max(self._in_flight, key=lambda mid: self._in_flight[mid], default=None)
        self._losses = self._losses + 1 if largest == self._suspect else 1
        self._suspect = largest
        if largest is None or self._in_flight[largest] <= ALWAYS_ACCEPTED or self._losses < LOST_CONNECTIONS:
            return False
        self.limit, self._suspect = self._in_flight[largest] - 1, None
        return True

    def reset_in_flight(self) -> None:
        """Nothing is in flight any more; the limit stays."""
        self._in_flight.clear()
