"""Squeeze embeddings into bytes, knowing how wrong that is: going through the bytes can then never miss the nearest.

Of an embedding of length one, u, whole numbers c of -127 … 127 are kept with a scale s, and the length e of what is
lost, |u - s·c|. For any q of length one the cosine u·q is within e of s·(c·q), by Cauchy and Schwarz: s·(c·q) + e and a
little more for what rounding can do is above every cosine. On a host `upper` multiplies the first half of each row
only, and takes the second for as much like q as its length allows: that tells apart what does not look alike at all,
which is nearly everything where something does look alike. `nearer` multiplies the second half of what is left.

What was lost is kept the same way once more, for `lower` to bring bounds that are of interest a hundred times nearer:
birds of one species look so much alike that 0.01, which e is, does not tell them apart. Who then asks the embeddings
themselves, from the highest bound down until none is above what was found, has the very nearest.

A million of 768 numbers take 0.78 GB, and as much again that is mostly not touched. Bytes, because NumPy makes float32
of them ten times as fast as of float16: measured 0.16 and 2.0 ns a number. No torch here unless a device of torch's is
asked for: it alone takes 0.5 GB.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, HalfArray

__all__ = ["Bounds", "Hold", "OnDevice", "OnHost", "Rows", "encode", "finer_type", "lower", "row_type", "unit"]

Rows = NDArray[np.void]  # of `row_type` or `finer_type`
Places = NDArray[np.intp]
Wide = NDArray[np.float64]

STEP = 512  # rows of which half is turned into float32 at once: 0.8 MB
SPAN = 16_384  # rows that one thread goes through
DEVICE_SPAN = 65_536  # rows that a device turns into float32 at once: 0.2 GB
THREADS = 8  # more would wait for memory


class Bounds(Protocol):
    """Rows that can be asked."""

    def upper(self, wanted: FloatArray, out: FloatArray) -> None:
        """Write for each row what its cosine to `wanted` (of length one, shape (dim,)) cannot exceed: shape (rows,)."""

    def nearer(self, upper: FloatArray, places: Places, wanted: FloatArray) -> FloatArray:
        """What is left of what `upper` wrote for some rows, shape (n,), when they are gone through whole.

        Each row once: a bound that is made nearer twice does not hold.

        Args:
            upper: what `upper` wrote for these rows, shape (n,).
            places: which rows they are, each greater than the one before, shape (n,).
            wanted: the same as for `upper`.
        """


def row_type(dim: int) -> np.dtype[np.void]:
    """How one embedding is kept: `scale`, `error`, and `codes`, zeros after them to whole words of eight bytes."""
    return np.dtype([("scale", "<f4"), ("error", "<f4"), ("codes", "i1", (-(-dim // 8) * 8,))])


def unit(vectors: NDArray[np.floating[Any]]) -> Wide:
    """Of length one, float64, same shape; a vector of zeros, with NaN or infinity too, is zeros and like nothing."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    sound = np.isfinite(norms) & (norms > 0)
    return np.where(sound, wide, 0.0) / np.where(sound, norms, 1.0)


def finer_type(dim: int) -> np.dtype[np.void]:
    """How what a row lost is kept: `scale`, `codes`, by how much that is nearer (`gain`), and a sum that checks it."""
    return np.dtype([("scale", "<f4"), ("gain", "<f4"), ("codes", "i1", (-(-dim // 8) * 8,)), ("check", "<u8")])


def encode(embeddings: FloatArray | HalfArray) -> tuple[Rows, Rows]:
    """Embeddings, shape (n, dim), of any length, as n rows and n finer ones."""
    vectors = unit(embeddings)
    count, dim = vectors.shape
    rows, finer = np.zeros(count, row_type(dim)), np.zeros(count, finer_type(dim))
    rows["codes"][:, :dim], rows["scale"], lost = _squeeze(vectors)
    rows["error"] = np.nextafter(np.linalg.norm(lost, axis=1).astype(np.float32), np.float32(2))
    finer["codes"][:, :dim], finer["scale"], lost = _squeeze(lost)
    gain = rows["error"] - np.linalg.norm(lost, axis=1)
    finer["gain"] = np.nextafter(gain.astype(np.float32), np.float32(-2))
    finer["check"] = _sums(finer)
    return rows, finer


def _squeeze(vectors: Wide) -> tuple[NDArray[np.int8], FloatArray, Wide]:
    """Codes, scales, and what is lost by them."""
    scale = (np.abs(vectors).max(axis=1, initial=0) / 127).astype(np.float32)
    wide = scale[:, None].astype(np.float64)
    codes = np.rint(vectors / np.where(wide > 0, wide, 1)).clip(-127, 127)
    return codes.astype(np.int8), scale, vectors - codes * wide


def _sums(finer: Rows) -> NDArray[np.uint64]:
    words = np.ascontiguousarray(finer).view("<u8").reshape(len(finer), -1)
    sums: NDArray[np.uint64] = np.invert(words[:, :-1].sum(axis=1, dtype=np.uint64))  # not 0 for zeros
    return sums


def lower(upper: FloatArray, finer: Rows, wanted: FloatArray) -> FloatArray:
    """What is left of bounds when the finer rows are heard; a row that is damaged changes nothing.

    Args:
        upper: from `Bounds.upper`, or from `Bounds.nearer`, shape (n,).
        finer: of the same rows, shape (n,).
        wanted: the same as for `upper`.
    """
    codes = finer["codes"][:, : len(wanted)].astype(np.float32)
    bounds = upper + (np.vecdot(codes, wanted) * finer["scale"] - finer["gain"])
    return np.where(_sums(finer) == finer["check"], bounds, upper)


class OnHost:
    """Rows in the host's memory, or in a mapped file; to begin, the second half of each is gone through."""

    def __init__(self, rows: Rows) -> None:
        width = rows.dtype["codes"].shape[0]
        self._rows, self._halves = rows, (slice(0, width // 2), slice(width // 2, width))
        self._second = np.empty(len(rows), np.float32)  # lengths of the second halves

        def measure(some: slice, wide: FloatArray) -> None:
            np.sqrt(np.vecdot(wide, wide), out=self._second[some])
            self._second[some] *= rows["scale"][some]

        self._go_through(len(rows), lambda some: some, self._halves[1], measure)

    def upper(self, wanted: FloatArray, out: FloatArray) -> None:
        """See `Bounds`."""
        first, second = self._split(wanted)
        length, slack = _length(second), _rounding(2 * len(first))

        def bound(some: slice, wide: FloatArray) -> None:
            mine = out[some]
            np.vecdot(wide, first, out=mine)
            mine *= self._rows["scale"][some]
            mine += self._second[some] * length + (self._rows["error"][some] + slack)

        self._go_through(len(self._rows), lambda some: some, self._halves[0], bound)

    def nearer(self, upper: FloatArray, places: Places, wanted: FloatArray) -> FloatArray:
        """See `Bounds`."""
        second, result = self._split(wanted)[1], np.empty_like(upper)
        length = _length(second)

        def which(some: slice) -> slice | Places:
            mine = places[some]
            together = mine[-1] - mine[0] == len(mine) - 1
            return slice(int(mine[0]), int(mine[-1]) + 1) if together else mine

        def bound(some: slice, wide: FloatArray) -> None:
            rows = which(some)
            exactly = np.vecdot(wide, second) * self._rows["scale"][rows]
            result[some] = upper[some] + (exactly - self._second[rows] * length)

        self._go_through(len(places), which, self._halves[1], bound)
        return result

    def _split(self, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What belongs to the first and the second half of a row."""
        padded = np.zeros(self._halves[1].stop, np.float32)
        padded[: len(wanted)] = wanted
        return padded[self._halves[0]], padded[self._halves[1]]

    def _go_through(
        self,
        count: int,
        which: Callable[[slice], slice | Places],
        half: slice,
        use: Callable[[slice, FloatArray], None],
    ) -> None:
        """Turn a half of `count` rows into float32, some at a time, on all cores.

        Args:
            which: the rows that some of the `count` are.
            use: given which of the `count`, and their numbers, shape (some, numbers).
        """
        codes = self._rows["codes"]

        def span(begin: int) -> None:
            room = np.empty((STEP, half.stop - half.start), np.float32)
            for at in range(begin, min(begin + SPAN, count), STEP):
                some = slice(at, min(at + STEP, begin + SPAN, count))
                wide = room[: some.stop - at]
                np.copyto(wide, codes[which(some), half])
                use(some, wide)

        begins = range(0, count, SPAN)
        threads = min(len(os.sched_getaffinity(0)), len(begins), THREADS)
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(span, begins):
                    pass
        else:
            for begin in begins:
                span(begin)


class OnDevice:
    """Rows on a device of torch's."""

    # Where CUDA may use TF32, factors are rounded to 10 bits: those of -127 … 127 exactly, `wanted` by 2⁻¹¹ at most.
    ROUNDING = 2.0**-10

    def __init__(self, rows: Rows, device: str) -> None:
        """
        Args:
            device: as torch names it.

        Raises:
            DeviceLost: there is no such device, or no room on it.
        """
        import torch

        self._count, self._device = len(rows), device
        with self._errors():
            self._codes = torch.empty(rows["codes"].shape, dtype=torch.int8, device=device)
            for at in range(0, len(rows), DEVICE_SPAN):
                part = np.ascontiguousarray(rows["codes"][at : at + DEVICE_SPAN])
                self._codes[at : at + len(part)] = torch.from_numpy(part).to(device)
            columns = (np.ascontiguousarray(rows[name], np.float32) for name in ("scale", "error"))
            self._scale, self._error = (torch.from_numpy(column).to(device) for column in columns)

    def upper(self, wanted: FloatArray, out: FloatArray) -> None:
        """See `Bounds`.

        Raises:
            DeviceLost: the device failed, or has no room.
        """
        import torch

        width = self._codes.shape[1]
        with self._errors():
            padded = torch.zeros(width, device=self._device)
            padded[: len(wanted)] = torch.from_numpy(wanted).to(self._device)
            for at in range(0, self._count, DEVICE_SPAN):
                part = slice(at, at + DEVICE_SPAN)
                bound = (self._codes[part].float() @ padded) * self._scale[part] + self._error[part]
                out[part] = bound.cpu().numpy()
        out += np.float32(_rounding(width) + self.ROUNDING)

    def nearer(self, upper: FloatArray, places: Places, wanted: FloatArray) -> FloatArray:
        """See `Bounds`; they are already as near as the bytes allow."""
        return upper

    def _errors(self) -> Any:
        from birdwatchd.errors import DeviceLost
        from birdwatchd.species.network.torch_errors import torch_errors

        return torch_errors(DeviceLost, f"{self._device} cannot search embeddings", "use device cpu")


Hold = Callable[[Rows], Bounds]


def _rounding(width: int) -> np.float32:
    """Twice what float32 can lose in a sum of `width` products (n·u: Higham, 3.5), in `wanted`, in what follows."""
    return np.float32(2 * (width + 16) * 2.0**-24)


def _length(half: FloatArray) -> np.float32:
    """Of a part of what is wanted; not less than it is."""
    length: np.float32 = np.nextafter(np.float32(np.linalg.norm(half.astype(np.float64))), np.float32(2))
    return length
