"""Remember what visits looked like to one model, and find those that look most like something: exactly.

What is held are the rows of `codes.py`; a search asks them for bounds, and then asks for the embeddings of the few
visits that may be among the nearest. Those come from where they are kept for good, so that no answer is of a visit that
changed or went meanwhile. Visits are named by a number, their stamp, that changes with their embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, HalfArray
from birdwatchd.search.codes import Bounds, Hold, OnHost, Rows, finer_type, lower, row_type, unit

__all__ = ["Embedded", "Found", "Memory", "among"]

BLOCK = 16_384  # rows that lie together at least; fewer are copied when more come
FIRST = 1024  # visits that are gone through whole to choose of them who is asked first
ASKED = 64  # visits whose embeddings are asked for at once
LOWERED = 4096  # rows whose bounds are lowered at once

Numbers = NDArray[np.int64]
Places = NDArray[np.intp]
Embedded = tuple[str, HalfArray]  # a visit's id and its embeddings, shape (moments, dim)
Ask = Callable[[list[int]], Iterable[Embedded]]  # of stamps; who changed or went is left out


@dataclass(frozen=True, slots=True)
class Found:
    """A visit that looks alike.

    Attributes:
        similarity: cosine of its most similar embedding, -1 … 1.
    """

    visit_id: str
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Rows that lie together, and the finer ones; `last` are those that were given, while more may come to them."""

    held: Bounds
    finer: Rows
    last: Rows | None


class Memory:
    """The embeddings of one model. Used from one thread at a time."""

    def __init__(self, dim: int, hold: Hold = OnHost) -> None:
        """
        Args:
            dim: length of an embedding.
            hold: where rows are kept and asked; the host, or a device of torch's.
        """
        self.dim = dim
        self._hold = hold
        self._blocks: list[_Block] = []
        self._stamps: list[Numbers] = [np.empty(0, np.int64)]
        self._counts: list[Numbers] = [np.empty(0, np.int64)]
        self._known: NDArray[np.bool_] = np.empty(0, np.bool_)

    def __len__(self) -> int:
        """How many visits are remembered."""
        return int(self._known.sum())

    @property
    def stamps(self) -> Numbers:
        """Of the visits that are remembered, in the order in which they came."""
        known: Numbers = self._all_stamps()[self._known]
        return known

    def add(self, stamps: Numbers, counts: Numbers, rows: Rows, finer: Rows) -> None:
        """Remember visits: their stamps, how many rows each has (1 or more), and the rows, visit by visit.

        Raises:
            ValueError: they are of another model, for their length differs; or they do not belong together.
        """
        if (rows.dtype, finer.dtype) != (row_type(self.dim), finer_type(self.dim)):
            raise ValueError(f"rows of {rows.dtype} given, embeddings of {self.dim} numbers expected")
        if len(stamps) != len(counts) or {counts.sum(), len(finer)} != {len(rows)} or counts.min(initial=1) < 1:
            raise ValueError(f"{len(stamps)} visits, {len(counts)} counts and {len(rows)} rows do not belong together")
        if not len(rows):
            return
        self._stamps.append(stamps)
        self._counts.append(counts)
        self._known = np.append(self._known, np.ones(len(stamps), np.bool_))
        if self._blocks and self._blocks[-1].last is not None:
            before = self._blocks.pop()
            rows, finer = np.concatenate([before.last, rows]), np.concatenate([before.finer, finer])
        self._blocks.append(_Block(self._hold(rows), finer, rows if len(rows) < BLOCK else None))

    def keep(self, stamps: Numbers) -> None:
        """Forget all others; their rows stay where they are, unasked."""
        self._known &= among(self._all_stamps(), stamps)

    def nearest(self, embedding: FloatArray, count: int, ask: Ask) -> list[Found]:
        """The visits with an embedding that points most nearly the same way, best first; of equals, by id.

        Args:
            embedding: shape (dim,), of any length.
            count: how many at most.
            ask: gives the embeddings themselves.
        """
        if not len(self) or count < 1:
            return []
        wanted = unit(embedding)
        asked = wanted.astype(np.float32)
        stamps, counts = self._all_stamps(), self._all_counts()
        ends = np.cumsum(counts)
        of_rows = self._upper(asked)
        bounds: FloatArray = np.maximum.reduceat(of_rows, ends - counts)
        bounds[~self._known] = -np.inf
        best: list[Found] = []

        def tighten(tighter: _Tighter, places: Places) -> None:
            bounds[places] = self._tighter(tighter, of_rows, ends[places], counts[places], asked)

        def look_at(places: Places) -> None:
            for visit_id, vectors in ask(stamps[places].tolist()):
                best.append(Found(visit_id, float(np.vecdot(unit(vectors), wanted).max())))
            best.sort(key=lambda found: (-found.similarity, found.visit_id))
            del best[count:]
            bounds[places] = -np.inf

        def of_interest() -> Places:
            return np.flatnonzero((bounds >= _least(best, count)) & (bounds > -np.inf))

        first = np.sort(_highest(bounds, max(FIRST, 2 * count)))
        tighten(_nearer, first)
        look_at(first[_highest(bounds[first], max(ASKED, 2 * count))])
        rest = of_interest()
        tighten(_nearer, rest[~among(rest, first)])
        rest = of_interest()
        if len(rest) > ASKED:
            tighten(_lower, rest)
        rest = rest[np.argsort(-bounds[rest])]
        for at in range(0, len(rest), ASKED):
            hopeful = rest[at : at + ASKED]
            hopeful = hopeful[bounds[hopeful] >= _least(best, count)]
            if not len(hopeful):
                break
            look_at(hopeful)
        return best

    def _all_stamps(self) -> Numbers:
        self._stamps = [np.concatenate(self._stamps)]
        return self._stamps[0]

    def _all_counts(self) -> Numbers:
        self._counts = [np.concatenate(self._counts)]
        return self._counts[0]

    def _upper(self, wanted: FloatArray) -> FloatArray:
        """What no row's cosine exceeds, by what is quickly gone through."""
        bounds, at = np.empty(sum(len(block.finer) for block in self._blocks), np.float32), 0
        for block in self._blocks:
            block.held.upper(wanted, bounds[at : at + len(block.finer)])
            at += len(block.finer)
        return bounds

    def _tighter(
        self, tighter: _Tighter, of_rows: FloatArray, ends: Numbers, counts: Numbers, wanted: FloatArray
    ) -> FloatArray:
        """What no cosine of some visits exceeds, when more of their rows is heard, which is noted in `of_rows` too.

        Args:
            ends: the place after the last row of each visit, rising.
        """
        firsts = np.cumsum(counts) - counts
        places = np.repeat(ends - counts - firsts, counts) + np.arange(counts.sum())
        begin = 0
        for block in self._blocks:
            mine = places[np.searchsorted(places, begin) : np.searchsorted(places, begin + len(block.finer))]
            of_rows[mine] = tighter(block, of_rows[mine], mine - begin, wanted)
            begin += len(block.finer)
        result: FloatArray = np.maximum.reduceat(of_rows[places], firsts)
        return result


_Tighter = Callable[[_Block, FloatArray, Places, FloatArray], FloatArray]  # bounds of some rows of a block


def _nearer(block: _Block, bounds: FloatArray, places: Places, wanted: FloatArray) -> FloatArray:
    return block.held.nearer(bounds, places, wanted)


def _lower(block: _Block, bounds: FloatArray, places: Places, wanted: FloatArray) -> FloatArray:
    lowered = np.empty_like(bounds)
    for at in range(0, len(places), LOWERED):
        part = slice(at, at + LOWERED)
        lowered[part] = lower(bounds[part], block.finer[places[part]], wanted)
    return lowered


def among(some: Numbers, others: Numbers) -> NDArray[np.bool_]:
    """Which of some numbers are among others: `numpy.isin` takes five times as long for 250,000."""
    if not len(others):
        return np.zeros(len(some), np.bool_)
    ordered = np.sort(others)
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, some), len(ordered) - 1)] == some
    return found


def _highest(bounds: FloatArray, count: int) -> Places:
    """Places of the highest finite bounds."""
    split = max(0, len(bounds) - count)
    places = np.argpartition(bounds, split)[split:] if split else np.arange(len(bounds))
    return places[bounds[places] > -np.inf]


def _least(best: list[Found], count: int) -> np.float64:
    """What a bound must reach to be of interest."""
    return np.float64(best[-1].similarity if len(best) == count else -np.inf)
