"""What looks alike is found: exactly, visit by visit, and without ever copying what is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.records import FloatArray
from birdwatchd.search import memory as module
from birdwatchd.search.codes import Hold, OnDevice, OnHost, encode, unit
from birdwatchd.search.memory import Embedded, Found, Memory

DIM = 48
HOLDS = pytest.mark.parametrize("hold", [OnHost, partial(OnDevice, device="cpu")], ids=["host", "torch"])


class Visits:
    """Visits with embeddings, as a database would keep them; counts whose embeddings are asked for."""

    def __init__(self) -> None:
        self.embeddings: dict[int, FloatArray] = {}
        self.asked = 0

    def more(self, count: int, seed: int = 0, moments: int = 3, spread: float = 1.0) -> list[int]:
        """Make visits of one to `moments` moments in random directions of random lengths; their stamps."""
        rng = np.random.default_rng(seed)
        made = []
        for _ in range(count):
            vectors = 1 + spread * rng.normal(size=(int(rng.integers(1, moments + 1)), DIM))
            stamp = int(rng.integers(-(2**63), 2**63))
            self.embeddings[stamp] = (vectors * rng.uniform(0.1, 30)).astype(np.float16)
            made.append(stamp)
        return made

    def tell(self, memory: Memory, stamps: list[int], step: int = 7) -> None:
        """Let a memory know of visits, a few at a time."""
        for begin in range(0, len(stamps), step):
            part = stamps[begin : begin + step]
            counts = np.array([len(self.embeddings[stamp]) for stamp in part], np.int64)
            rows, finer = encode(np.concatenate([self.embeddings[stamp] for stamp in part]))
            memory.add(np.array(part, np.int64), counts, rows, finer)

    def ask(self, stamps: list[int]) -> Iterator[Embedded]:
        """Those that are still there."""
        self.asked += len(stamps)
        return ((str(stamp), self.embeddings[stamp]) for stamp in stamps if stamp in self.embeddings)

    def brute_force(self, wanted: FloatArray, count: int) -> list[Found]:
        """The reference: every cosine in float64, each visit's best."""
        found = [Found(str(s), float(np.vecdot(unit(e), unit(wanted)).max())) for s, e in self.embeddings.items()]
        return sorted(found, key=lambda one: (-one.similarity, one.visit_id))[:count]


def direction(seed: int) -> FloatArray:
    """Something to look for."""
    return np.random.default_rng(1000 + seed).normal(size=DIM).astype(np.float32)


@HOLDS
@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 5), st.sampled_from([1e-4, 0.01, 0.3, 3.0]))
def test_the_answers_are_those_of_brute_force(hold: Hold, size: int, count: int, seed: int, spread: float) -> None:
    """An index that is almost right makes a bird that was seen look new; also where all birds look nearly the same."""
    visits, memory = Visits(), Memory(DIM, hold)
    visits.tell(memory, visits.more(size, seed, spread=spread))
    for wanted in (direction(seed), next(iter(visits.embeddings.values()))[0]):
        assert memory.nearest(wanted, count, visits.ask) == visits.brute_force(wanted, count)


def test_the_top_ten_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many blocks; and few of the visits are asked for again."""
    monkeypatch.setattr(module, "BLOCK", 1000)
    visits, memory = Visits(), Memory(DIM)
    visits.tell(memory, visits.more(4000), 999)
    for seed in range(10):
        assert memory.nearest(direction(seed), 10, visits.ask) == visits.brute_force(direction(seed), 10)
    assert visits.asked / 10 < 150


def test_where_all_look_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feeder with one species: bounds of bytes do not tell them apart, and reading them all would take seconds."""
    monkeypatch.setattr(module, "BLOCK", 1000)
    visits, memory = Visits(), Memory(DIM)
    visits.tell(memory, visits.more(4000, spread=0.003), 999)
    for seed in range(5):
        assert memory.nearest(direction(seed), 10, visits.ask) == visits.brute_force(direction(seed), 10)
    assert visits.asked / 5 < 400


def test_no_bound_is_ever_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and little at once, in every step; a row that is made nearer twice has a bound that does not hold."""
    for name, value in (("BLOCK", 50), ("FIRST", 10), ("ASKED", 3), ("LOWERED", 5)):
        monkeypatch.setattr(module, name, value)
    visits, memory = Visits(), Memory(DIM)
    visits.tell(memory, visits.more(400, spread=0.05), 9)
    rows = np.concatenate([visits.embeddings[stamp] for stamp in memory.stamps.tolist()])
    wanted = direction(0)
    cosines, nearer, tighten = unit(rows) @ unit(wanted), np.zeros(len(rows), int), Memory._tighter

    def watched(
        self: Memory, tighter: Any, of_rows: FloatArray, ends: Any, counts: Any, asked: FloatArray
    ) -> FloatArray:
        before, result = of_rows.copy(), tighten(self, tighter, of_rows, ends, counts, asked)
        assert np.all(of_rows >= cosines)
        assert np.all(of_rows <= before + 1e-6)
        mine = np.concatenate([np.arange(end - count, end) for end, count in zip(ends, counts, strict=True)])
        assert np.array_equal(result, [of_rows[e - c : e].max() for e, c in zip(ends, counts, strict=True)])
        nearer[mine] += tighter is module._nearer
        return result

    monkeypatch.setattr(Memory, "_tighter", watched)
    assert memory.nearest(wanted, 10, visits.ask) == visits.brute_force(wanted, 10)
    assert nearer.max() == 1


@pytest.mark.parametrize("seed", range(10))
def test_little_at_once(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every step takes more than one turn."""
    for name, value in (("BLOCK", 1000), ("FIRST", 10), ("ASKED", 3), ("LOWERED", 5)):
        monkeypatch.setattr(module, name, value)
    visits, memory = Visits(), Memory(DIM)
    visits.tell(memory, visits.more(400, seed, spread=0.003), 99)
    assert memory.nearest(direction(seed), 10, visits.ask) == visits.brute_force(direction(seed), 10)


def test_equals_come_by_id() -> None:
    """The same file scanned twice: hundreds of visits that look the very same, more than are asked for at once."""
    visits, memory = Visits(), Memory(DIM)
    stamps = visits.more(300)
    for stamp in stamps:
        visits.embeddings[stamp] = np.ones((1, DIM), np.float16)
    visits.tell(memory, stamps)
    found = memory.nearest(direction(0), 5, visits.ask)
    assert found == visits.brute_force(direction(0), 5)


def test_adding_copies_nothing_but_the_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit a minute for years must not move a gigabyte a minute."""
    monkeypatch.setattr(module, "BLOCK", 16)
    visits, memory = Visits(), Memory(DIM)
    visits.tell(memory, visits.more(40, moments=1), 8)
    before = list(memory._blocks)
    new = visits.more(1, seed=3)
    visits.tell(memory, new)
    assert all(block is old for block, old in zip(memory._blocks[:-1], before, strict=False))
    assert len(memory) == 41
    (found,) = memory.nearest(visits.embeddings[new[0]][0], 1, visits.ask)
    assert found.visit_id == str(new[0])


def test_who_is_forgotten_is_not_found() -> None:
    """Nor takes the place of another; and who comes back is found again."""
    visits, memory = Visits(), Memory(DIM)
    stamps = visits.more(100)
    visits.tell(memory, stamps)
    gone = {stamp: visits.embeddings.pop(stamp) for stamp in stamps[::2]}
    memory.keep(np.array(stamps[1::2], np.int64))
    assert len(memory) == 50
    assert set(memory.stamps.tolist()) == set(stamps[1::2])
    assert memory.nearest(direction(1), 50, visits.ask) == visits.brute_force(direction(1), 50)
    assert visits.asked == 50
    visits.embeddings |= gone
    visits.tell(memory, stamps[::2])
    assert memory.nearest(direction(1), 99, visits.ask) == visits.brute_force(direction(1), 99)


def test_who_went_meanwhile_leaves_the_place_to_others() -> None:
    """A visit can be deleted between the look at the stamps and the question."""
    visits, memory = Visits(), Memory(DIM)
    stamps = visits.more(300)
    visits.tell(memory, stamps)
    for found in visits.brute_force(direction(2), 290):
        del visits.embeddings[int(found.visit_id)]
    assert memory.nearest(direction(2), 8, visits.ask) == visits.brute_force(direction(2), 8)


def test_nothing_is_like_nothing() -> None:
    """A network that answers zeros or NaN, an empty memory, no wish."""
    visits, memory = Visits(), Memory(DIM)
    assert memory.nearest(direction(0), 5, visits.ask) == []
    visits.tell(memory, visits.more(3))
    assert memory.nearest(direction(0), 0, visits.ask) == []
    for nothing in (np.zeros(DIM, np.float32), np.full(DIM, np.nan, np.float32)):
        assert [one.similarity for one in memory.nearest(nothing, 2, visits.ask)] == [0.0, 0.0]


def test_what_does_not_belong_together_is_refused() -> None:
    """Two models' vectors live in different worlds; a count that is wrong gives one visit the looks of another."""
    one, (rows, finer) = np.array([1], np.int64), encode(np.ones((1, DIM), np.float32))
    with pytest.raises(ValueError, match="expected"):
        Memory(DIM + 8).add(one, one, rows, finer)
    for counts in (np.array([2]), np.array([1, 0]), np.array([0])):
        with pytest.raises(ValueError, match="together"):
            Memory(DIM).add(one, counts, rows, finer)
    with pytest.raises(ValueError, match="together"):
        Memory(DIM).add(one, one, rows, finer[:0])
