"""A bound must hold, for whatever a network can answer; one that does not hides a bird for ever."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdwatchd.errors import DeviceLost
from birdwatchd.records import FloatArray
from birdwatchd.search import codes as module
from birdwatchd.search.codes import Hold, OnDevice, OnHost, encode, finer_type, lower, row_type, unit

ON_TORCH: Hold = partial(OnDevice, device="cpu")
HOLDS = pytest.mark.parametrize("hold", [OnHost, ON_TORCH], ids=["host", "torch"])
HALVES = hnp.arrays(
    np.float16,
    st.tuples(st.integers(1, 12), st.integers(1, 40)),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=16),
)


def bounds(hold: Hold, vectors: FloatArray, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Those of all vectors, and the nearer ones."""
    out, held, asked = np.empty(len(vectors), np.float32), hold(encode(vectors)[0]), unit(wanted).astype(np.float32)
    held.upper(asked, out)
    return out, held.nearer(out.copy(), np.arange(len(vectors)), asked)


def upper(hold: Hold, vectors: FloatArray, wanted: FloatArray) -> FloatArray:
    """The nearer bounds of all vectors."""
    return bounds(hold, vectors, wanted)[1]


@HOLDS
@settings(deadline=None, max_examples=300)
@given(HALVES, st.integers(0, 5))
def test_no_cosine_is_above_its_bound(hold: Hold, vectors: FloatArray, seed: int) -> None:
    """Zeros, NaN, infinity, one large number among small ones; and asked for one of them, or for anything."""
    anything = np.random.default_rng(seed).normal(size=vectors.shape[1]).astype(np.float32)
    wanted: FloatArray
    for wanted in (anything, vectors[seed % len(vectors)]):
        first, coarse = bounds(hold, vectors, wanted)
        fine = lower(coarse, encode(vectors)[1], unit(wanted).astype(np.float32))
        assert np.all(fine <= coarse + 1e-6)
        assert np.all(coarse <= first + 1e-6)
        assert np.all(unit(vectors) @ unit(wanted) <= fine.astype(np.float64))


@HOLDS
def test_bounds_are_close(hold: Hold) -> None:
    """Else everything would be asked for again: within 0.02 of the cosine, then 0.002; on a host far nearer."""
    rng = np.random.default_rng(0)
    vectors, wanted = rng.normal(size=(500, 768)).astype(np.float32), rng.normal(size=768).astype(np.float32)
    coarse, cosines = upper(hold, vectors, wanted), unit(vectors) @ unit(wanted)
    assert np.all(coarse - cosines < 0.02)
    fine = lower(coarse, encode(vectors)[1], unit(wanted).astype(np.float32))
    assert np.all(fine - cosines < (0.0003 if hold is OnHost else 0.002))


def test_what_does_not_look_alike_is_told_apart_by_half() -> None:
    """A picture of the same bird, at 0.68, is above all others, though only half of each row was looked at."""
    rng = np.random.default_rng(0)
    kind, vectors = rng.normal(size=768), rng.normal(size=(5000, 768)).astype(np.float32)
    vectors[0], wanted = (kind + 0.7 * rng.normal(size=768) for _ in range(2))
    first, coarse = bounds(OnHost, vectors, np.asarray(wanted, np.float32))
    assert coarse[0] < 0.7
    assert np.all(first[1:] < coarse[0] - 0.02)


def test_some_rows_are_gone_through_as_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that lie together, rows that do not, and none at all; more of them than are taken at once."""
    for name, value in (("STEP", 7), ("SPAN", 40)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(1)
    vectors, wanted = rng.normal(size=(201, 13)).astype(np.float32), rng.normal(size=13).astype(np.float32)
    first, coarse = bounds(OnHost, vectors, wanted)
    held, asked = OnHost(encode(vectors)[0]), unit(wanted).astype(np.float32)
    for places in (np.arange(50, 150), np.flatnonzero(rng.random(201) < 0.6), np.array([200]), np.empty(0, np.intp)):
        assert np.array_equal(held.nearer(first[places], places, asked), coarse[places])


def test_a_finer_row_that_is_damaged_is_not_heard() -> None:
    """They are too many to be checked before they are needed; a bit that flipped must not hide a bird."""
    rng = np.random.default_rng(0)
    vectors, wanted = rng.normal(size=(500, 24)).astype(np.float32), rng.normal(size=24).astype(np.float32)
    coarse, (_, finer) = upper(OnHost, vectors, wanted), encode(vectors)
    data = bytearray(finer.tobytes())
    for row in range(0, 500, 2):
        data[row * finer.itemsize + int(rng.integers(finer.itemsize))] ^= 1 << int(rng.integers(8))
    damaged = np.frombuffer(bytes(data), finer.dtype)
    fine = lower(coarse, damaged, unit(wanted).astype(np.float32))
    assert np.array_equal(fine[::2], coarse[::2])
    assert np.all(fine[1::2] < coarse[1::2])
    zeros = np.zeros(500, finer.dtype)
    assert np.array_equal(lower(coarse, zeros, unit(wanted).astype(np.float32)), coarse)


@HOLDS
def test_every_part_is_gone_through(hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that do not divide the rows, threads that share them, lengths that are no whole words."""
    for name, value in (("STEP", 7), ("SPAN", 40), ("DEVICE_SPAN", 33)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(1)
    vectors, wanted = rng.normal(size=(201, 13)).astype(np.float32), rng.normal(size=13).astype(np.float32)
    assert upper(hold, vectors, wanted) == pytest.approx(unit(vectors) @ unit(wanted), abs=0.02)


def test_rows_are_whole_words() -> None:
    """Files of them are summed up eight bytes at a time."""
    assert {kind(dim).itemsize % 8 for dim in (1, 8, 13, 768) for kind in (row_type, finer_type)} == {0}
    assert (row_type(768).itemsize, finer_type(768).itemsize) == (776, 784)


def test_a_device_that_is_not_there() -> None:
    """Torch's own words do not reach people."""
    with pytest.raises(DeviceLost, match="use device cpu"):
        OnDevice(encode(np.ones((1, 8), np.float32))[0], "cuda:99")
