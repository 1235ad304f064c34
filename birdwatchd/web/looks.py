"""Keep the newest maps of looks: each is drawn once a minute at most, and named by what it shows.

A line that somebody drew on one must not pick other birds because a new one came meanwhile.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from birdwatchd.search.looks import MOST_POINTS, LooksMap, draw_looks
from birdwatchd.store import StoreReader
from birdwatchd.store.pages.cards import CardFilter

__all__ = ["Looks", "NamedMap", "read_outline"]

FRESH_S = 60.0
KEPT = 3
MOST_CORNERS = 80
SCALE = 1000  # of the numbers of an outline


@dataclass(frozen=True, slots=True)
class NamedMap:
    """A map and its name, which says what it shows."""

    name: str
    map: LooksMap


class Looks:
    """The newest maps. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, NamedMap] = OrderedDict()
        self._drawn_s = float("-inf")
        self._lock = threading.Lock()

    def newest(self, store: StoreReader) -> NamedMap:
        """A map of the newest visits, at most `FRESH_S` old. One at a time is drawn.

        Raises:
            StoreError: the database failed.
        """
        with self._lock:
            if self._kept and time.monotonic() - self._drawn_s < FRESH_S:
                return next(reversed(self._kept.values()))
            cards = store.cards.these(store.cards.ids(CardFilter(over=True), MOST_POINTS))
            visits = [card.stored.visit for card in cards]
            drawn = draw_looks(store, [(visit, visit.verdict.common_name or "") for visit in visits])
            name = hashlib.sha256(repr(drawn).encode()).hexdigest()[:12]
            self._kept[name] = made = NamedMap(name, drawn)
            self._kept.move_to_end(name)
            self._drawn_s = time.monotonic()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return made

    def named(self, name: str) -> LooksMap | None:
        """A map by its name; None for one that is not kept any more."""
        with self._lock:
            found = self._kept.get(name)
            return found.map if found is not None else None


def read_outline(text: str) -> list[tuple[float, float]]:
    """The corners of a line as an address has them, `-120_340~…` in thousandths; none where they are none."""
    corners = []
    for corner in text.split("~")[:MOST_CORNERS]:
        x, _, y = corner.partition("_")
        try:
            corners.append((int(x[:6]) / SCALE, int(y[:6]) / SCALE))
        except ValueError:
            return []
    return corners if len(corners) > 2 else []
