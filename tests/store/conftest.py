"""Visits and moments to write, and a store in a temporary home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.records import Message, Rank, State, Verdict, Visit
from birdwatchd.store import NewsContext, Store, Writer
from birdwatchd.testing import START, example_moment, example_visit

ZONE = ZoneInfo("Asia/Jerusalem")


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
        return example_visit(
            visit_id,
            camera=camera,
            revision=revision,
            start=start,
            end=start + timedelta(seconds=9) if ended else None,
            verdict=verdict or self.verdict(),
            count_max=count_max,
            model=model,
        )

    moment = staticmethod(example_moment)

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
