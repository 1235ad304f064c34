"""What looks alike is found: exactly, and without ever copying what is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.records import FloatArray
from birdwatchd.species import memory as module
from birdwatchd.species.memory import Memory

DIM = 48


def vectors(count: int, seed: int = 0) -> FloatArray:
    """Random directions of random lengths, float32 (count, DIM)."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, DIM)) * rng.uniform(0.1, 30, (count, 1))).astype(np.float32)


def filled(known: FloatArray, step: int = 7) -> Memory:
    """A memory that got its vectors a few at a time; visit ids count up."""
    made = Memory(DIM)
    for begin in range(0, len(known), step):
        part = known[begin : begin + step]
        made.add([f"v{begin + i}" for i in range(len(part))], [i % 3 for i in range(len(part))], part)
    return made


def brute_force(known: FloatArray, asked: FloatArray, count: int) -> list[int]:
    """The reference: every cosine in float64."""
    wide, want = known.astype(np.float64), asked.astype(np.float64)
    cosines = wide @ want / np.linalg.norm(wide, axis=1) / np.linalg.norm(want)
    return [int(i) for i in np.argsort(-cosines, kind="stable")[:count]]


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 20), st.integers(0, 5))
def test_the_answers_are_those_of_brute_force(size: int, count: int, seed: int) -> None:
    """An index that is almost right makes a bird that was seen look new."""
    known, asked = vectors(size, seed), vectors(1, seed + 100)[0]
    found = filled(known).nearest(asked, count)
    wanted = brute_force(known, asked, count)
    hits = len({int(one.visit_id[1:]) for one in found} & set(wanted))
    assert len(found) == min(size, count)
    assert hits >= len(wanted) - (len(wanted) > 10)  # float16 may swap two that are equal to three digits
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)


def test_the_top_ten_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """99 % of float32's ten best, over many blocks."""
    monkeypatch.setattr(module, "BLOCK", 1000)
    known = vectors(20_000)
    memory = filled(known, 999)
    hits = sum(
        len({int(one.visit_id[1:]) for one in memory.nearest(asked, 10)} & set(brute_force(known, asked, 10)))
        for asked in vectors(40, seed=9)
    )
    assert hits >= 0.99 * 400


def test_adding_copies_nothing_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit a minute for years must not move a gigabyte a minute."""
    monkeypatch.setattr(module, "BLOCK", 16)
    memory = filled(vectors(40), 8)
    before = [block.data_ptr() for block in memory._blocks]
    memory.add(["new"], [0], vectors(1, seed=3))
    assert [block.data_ptr() for block in memory._blocks] == before
    assert len(memory) == 41
    assert memory.nearest(vectors(1, seed=3)[0], 1)[0].visit_id == "new"


def test_the_same_direction_is_one() -> None:
    """Whatever the length of the vectors."""
    known = vectors(30)
    memory = filled(known)
    (found,) = memory.nearest(known[17] * np.float32(0.01), 1)
    assert found.visit_id == "v17"
    assert found.similarity == pytest.approx(1.0, abs=1e-3)


def test_nothing_is_like_nothing() -> None:
    """A network that answers zeros, an empty memory, no wish."""
    assert Memory(DIM).nearest(vectors(1)[0], 5) == []
    memory = filled(vectors(3))
    assert memory.nearest(vectors(1)[0], 0) == []
    assert [one.similarity for one in memory.nearest(np.zeros(DIM, np.float32), 2)] == [0.0, 0.0]


def test_vectors_of_another_model_are_refused() -> None:
    """Two models' vectors live in different worlds; that they fit into one array means nothing."""
    with pytest.raises(ValueError, match="expected"):
        Memory(DIM).add(["v"], [0], np.zeros((1, DIM + 1), np.float32))
