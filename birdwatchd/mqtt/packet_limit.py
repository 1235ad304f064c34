"""Find out which message is too large for a broker that does not say so: MQTT 3.1.1 knows no limit, it hangs up.

A large message that was on its way when three connections in a row broke is taken to be what the broker hangs up on.
Without this, one picture would hold back every visit after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Sizes"]

PATIENCE = 3  # connections
SMALL = 4096  # bytes that every broker takes


@dataclass(slots=True)
class Sizes:
    """Sizes of the packets on their way, by message id.

    Attributes:
        limit: bytes that the broker seems to take, once that is known.
    """

    limit: int | None = None
    _flying: dict[int, int] = field(default_factory=dict)
    _suspect: int | None = None
    _broken: int = 0

    def sent(self, mid: int, size: int) -> None:
        """A packet is on its way."""
        self._flying[mid] = size

    def acknowledged(self, mid: int) -> None:
        """The broker has one."""
        self._flying.pop(mid, None)

    def broke_off(self) -> bool:
        """The connection broke; True if a limit was learned from it."""
        largest = max(self._flying, key=lambda mid: self._flying[mid], default=None)
        self._broken = self._broken + 1 if largest == self._suspect else 1
        self._suspect = largest
        if largest is None or self._flying[largest] <= SMALL or self._broken < PATIENCE:
            return False
        self.limit, self._suspect = self._flying[largest] - 1, None
        return True

    def forget(self) -> None:
        """Nothing is on its way any more."""
        self._flying.clear()
