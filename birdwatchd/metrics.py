"""Count everything that is dropped, retried or late, so that an overload is a number and never a mystery.

Names follow Prometheus: a `_total` only grows; a gauge is set. Thread-safe; no library behind it.
"""

from __future__ import annotations

import threading
from collections import defaultdict

__all__ = ["Metrics"]

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """A set of counters and gauges that belongs to one running system (never a global)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = defaultdict(float)

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._values[name, _key(labels)] += amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[name, _key(labels)] = value

    def get(self, name: str, **labels: str) -> float:
        """Read one value; 0 if it was never touched."""
        with self._lock:
            return self._values.get((name, _key(labels)), 0.0)

    def total(self, name: str) -> float:
        """Sum of one name over all its labels."""
        with self._lock:
            return sum(v for (n, _), v in self._values.items() if n == name)

    def snapshot(self) -> list[tuple[str, dict[str, str], float]]:
        """All values, sorted by name and labels."""
        with self._lock:
            return [(name, dict(labels), value) for (name, labels), value in sorted(self._values.items())]


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
