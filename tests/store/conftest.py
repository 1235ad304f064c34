"""Visits and moments to write, and a store in a temporary home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from birdwatchd.records import Box, Crop, Message, Moment, Rank, State, Verdict, Visit
from birdwatchd.store import MomentRow, NewsContext, Store, Writer

ZONE = ZoneInfo("Asia/Jerusalem")
START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)


@dataclass
class Sightings:
    """Makes records with sensible defaults, and remembers what a composer was asked."""

    start: datetime = START
    zone: ZoneInfo = ZONE
    contexts: list[NewsContext] = field(default_factory=list)

    def verdict(
        self, name: str | None = "House sparrow", state: State = State.CONFIRMED, rank: Rank = Rank.SPECIES
    ) -> Verdict:
        scientific = {"House sparrow": "Passer domesticus", "Great tit": "Parus major"}.get(name or "")
        return Verdict(state, rank, name, scientific, 0.9, ((name or "bird", 0.9), ("Great tit", 0.05)), ("why",))

    def visit(
        self,
        visit_id: str = "v1",
        revision: int = 1,
        *,
        start: datetime = START,
        ended: bool = False,
        verdict: Verdict | None = None,
        camera: str = "nut",
        count_max: int = 1,
        model: str = "demo@1",
    ) -> Visit:
        return Visit(
            visit_id=visit_id,
            camera=camera,
            revision=revision,
            start=start,
            end=start + timedelta(seconds=9) if ended else None,
            verdict=verdict or self.verdict(),
            moments=1,
            count_max=count_max,
            box=Box(0.1, 0.2, 0.3, 0.4),
            model=model,
            last_seen=start + timedelta(seconds=5),
        )

    def moment(self, index: int = 0, *, quality: float = 0.5, dim: int = 8, jpeg: bytes = b"") -> MomentRow:
        at = self.start + timedelta(seconds=index)
        crop = Crop(jpeg or f"jpeg {index}".encode(), 64, 64)
        embedding = np.linspace(-3, 3, dim, dtype=np.float32) + index
        return MomentRow(
            Moment(index, at, Box(0.1, 0.2, 0.3, 0.4), quality, crop), embedding, (("House sparrow", 0.9),)
        )

    def compose(self, context: NewsContext) -> Sequence[Message]:
        self.contexts.append(context)
        visit = context.stored.visit
        return [Message(f"b/s/{visit.camera}/visit", b"{}", key=f"{visit.visit_id}:{visit.revision}")]


@pytest.fixture
def sightings() -> Sightings:
    return Sightings()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(Store.open(tmp_path / "home", zone=ZONE))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture
def writer(store: Store, sightings: Sightings) -> Writer:
    """Writes visits into the store, and has their messages composed by `sightings`."""
    return store.writer(sightings.compose)
