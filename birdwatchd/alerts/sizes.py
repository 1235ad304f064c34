"""Find out which message is too large for a broker that does not say so: MQTT 3.1.1 knows no limit, it hangs up.

Three connections in a row that break before anything is acknowledged, while something large is on its way: then the
largest is taken to be what the broker hangs up on. Without this, one picture would hold back every visit after it.
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
    _broken: int = 0

    def sent(self, mid: int, size: int) -> None:
        """A packet is on its way."""
        self._flying[mid] = size

    def acknowledged(self, mid: int) -> None:
        """The broker has one."""
        self._flying.pop(mid, None)
        self._broken = 0

    def broke_off(self) -> bool:
        """The connection broke; True if a limit was learned from it."""
        self._broken += 1
        largest = max(self._flying.values(), default=0)
        if self._broken < PATIENCE or largest <= SMALL:
            return False
        self.limit, self._broken = largest - 1, 0
        return True

    def forget(self) -> None:
        """Nothing is on its way any more."""
        self._flying.clear()
