"""What one kind of fault did: a line of the table, and whether anything was lost."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BUSY", "COLUMNS", "Row", "merged", "row_from_json"]

COLUMNS = (
    "fault",
    "times",
    "birds in view / stored",
    "visits in the database at a fault / kept",
    "messages due / received",
    "repeats",
    "pictures named / on disk",
    "seconds to recover, median",
    "most",
    "lost",
    "waited for a core",
)
BUSY = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault.

    Attributes:
        times: it was injected.
        birds: that could be seen from coming to going; `birds_stored`: of these, with a visit.
        visits: that the database held at any fault; `visits_kept`: of these, that it holds in the end.
        messages: about visits, that were to be published; `received`: of these, by a subscriber.
        repeats: messages that came once more.
        pictures: that rows name in the end; `pictures_there`: of these, whole on disk.
        recovered_s: seconds for each time.
        problems: what else went wrong.
        waited: share of the time in which this machine had work for the trial and gave it no core.
    """

    fault: str
    times: int
    birds: int = 0
    birds_stored: int = 0
    visits: int = 0
    visits_kept: int = 0
    messages: int = 0
    received: int = 0
    repeats: int = 0
    pictures: int = 0
    pictures_there: int = 0
    recovered_s: tuple[float, ...] = ()
    problems: tuple[str, ...] = ()
    waited: float = 0.0

    @property
    def was_busy(self) -> bool:
        """Whether the machine did too much else for a bird to be looked at, and its visit to be written, in time."""
        return self.waited > BUSY

    @property
    def lost(self) -> tuple[str, ...]:
        """What was lost, in words; empty where nothing was."""
        pairs = (
            *((("birds", self.birds, self.birds_stored),) if not self.was_busy else ()),
            ("visits", self.visits, self.visits_kept),
            ("messages", self.messages, self.received),
            ("pictures", self.pictures, self.pictures_there),
        )
        found = [f"{wanted - there} of {wanted} {what}" for what, wanted, there in pairs if there < wanted]
        return (*found, *self.problems)

    @property
    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS` say."""
        slowest = f"{max(self.recovered_s):.1f}" if self.recovered_s else "–"
        return (
            self.fault,
            str(self.times),
            f"{self.birds} / {self.birds_stored}",
            f"{self.visits} / {self.visits_kept}",
            f"{self.messages} / {self.received}",
            str(self.repeats),
            f"{self.pictures} / {self.pictures_there}",
            f"{statistics.median(self.recovered_s):.1f}" if self.recovered_s else "–",
            slowest,
            "; ".join(self.lost) or "nothing",
            f"{self.waited:.0%}",
        )


def row_from_json(data: Mapping[str, Any]) -> Row:
    """A row that has been through a file."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Row(**plain)


def merged(rows: Iterable[Row]) -> Row:
    """Rows of the same fault at several stations as one."""
    parts = list(rows)
    numbers = [name for name in Row.__slots__ if name not in ("fault", "recovered_s", "problems", "waited")]
    return Row(
        parts[0].fault,
        **{name: sum(getattr(part, name) for part in parts) for name in numbers},
        recovered_s=tuple(s for part in parts for s in part.recovered_s),
        problems=tuple(text for part in parts for text in part.problems),
        waited=max(part.waited for part in parts),
    )
