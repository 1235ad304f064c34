"""Other nearest-neighbour searches with the arguments of `nearest_visits`, to be timed in its place.

`python -m benchmarks.search.others NAME similar VISIT …` runs the command line with one of them.
"""

from __future__ import annotations

import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.search.nearest import Match
from birdwatchd.store import StoreReader

RERANKED = 200  # rows of which the visits are ranked again from the database
PAGE = 500  # visits read at once
STALE_SHARE = 0.02  # more missing visits than that are written to the index's files, as birdwatchd does
Halves = NDArray[np.float16]
Floats = NDArray[np.float32]


def unit(vectors: NDArray[Any]) -> Floats:
    """Scaled to length 1, float32."""
    wide = vectors.astype(np.float32)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True)


class Other(ABC):
    """A library's index of all rows in files, and beside it the version of each row's visit."""

    folder: Path
    versions: NDArray[np.int64]

    def nearest(
        self,
        store: StoreReader,
        model: str,
        query: Floats,
        count: int,
        *,
        report: Callable[[str], None],
        progress: Callable[[range], Iterable[int]] = iter,
    ) -> list[Match]:
        """As `nearest_visits` does it: bring the index up to date, search it, rank the best again by the database."""
        self.open(store, model, len(query))
        return self.best(store, query, count)

    def open(self, store: StoreReader, model: str, dim: int) -> None:
        """Load the index, or build it if it lacks too many visits; a few that it lacks are candidates anyway."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept, current = self.folder / "versions.npy", store.embeddings.versions(model)
        self.versions = np.load(kept) if kept.exists() else np.empty(0, np.int64)
        self.missing = current[~np.isin(current, self.versions)]
        if len(self.missing) > STALE_SHARE * len(current):
            read: list[NDArray[np.int64]] = []
            self.build(self._rows(store, current, read), dim)
            self.versions, self.missing = np.concatenate(read), current[:0]
            np.save(kept, self.versions)
        self.load(dim)

    def _rows(self, store: StoreReader, current: NDArray[np.int64], read: list[NDArray[np.int64]]) -> Iterator[Floats]:
        for at in range(0, len(current), PAGE):
            found = store.embeddings.read(current[at : at + PAGE].tolist())
            read.append(np.repeat([one.version for one in found], [len(one.vectors) for one in found]))
            yield unit(np.concatenate([one.vectors for one in found]))

    def best(self, store: StoreReader, query: Floats, count: int) -> list[Match]:
        """The best visits of the `RERANKED` best rows, by their stored float16."""
        rows = self.search(unit(query), min(RERANKED, len(self.versions)))
        candidates = np.unique(np.concatenate([self.versions[rows], self.missing]))
        wanted, found = query / np.linalg.norm(query.astype(np.float64)), []
        for one in store.embeddings.read(candidates.tolist()):
            wide = one.vectors.astype(np.float64)
            found.append(Match(one.visit_id, float((wide @ wanted / np.linalg.norm(wide, axis=1)).max())))
        return sorted(found, key=lambda match: (-match.similarity, match.visit_id))[:count]

    @abstractmethod
    def build(self, parts: Iterator[Floats], dim: int) -> None:
        """Write the index of vectors of length 1, given some thousands at a time."""

    @abstractmethod
    def load(self, dim: int) -> None:
        """Open the files."""

    @abstractmethod
    def search(self, query: Floats, count: int) -> NDArray[np.intp]:
        """Numbers of the rows of highest cosine to a vector of length 1."""


class Faiss(Other):
    """Brute force over a scalar quantizer of faiss: 8 bit a number, or float16."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def build(self, parts: Iterator[Floats], dim: int) -> None:
        """See `Other`; the quantizer learns its ranges from the first 16,000 or so."""
        import faiss

        index = faiss.IndexScalarQuantizer(dim, getattr(faiss.ScalarQuantizer, self._kind), faiss.METRIC_INNER_PRODUCT)
        while batch := list(islice(parts, 8)):
            vectors = np.concatenate(batch)
            if not index.is_trained:
                index.train(vectors)
            index.add(vectors)
        faiss.write_index(index, str(self.folder / "index.faiss"))

    def load(self, dim: int) -> None:
        """See `Other`."""
        import faiss

        self._index = faiss.read_index(str(self.folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)

    def search(self, query: Floats, count: int) -> NDArray[np.intp]:
        """See `Other`."""
        found: NDArray[np.intp] = self._index.search(query[None], count)[1][0]
        return found


class Usearch(Other):
    """The approximate index (HNSW) of usearch, of float16."""

    def build(self, parts: Iterator[Floats], dim: int) -> None:
        """See `Other`."""
        from usearch.index import Index

        index = Index(ndim=dim, metric="ip", dtype="f16")
        for vectors in parts:
            index.add(np.arange(len(index), len(index) + len(vectors)), vectors)
        index.save(str(self.folder / "index.usearch"))

    def load(self, dim: int) -> None:
        """See `Other`."""
        from usearch.index import Index

        self._index = Index(ndim=dim, metric="ip", dtype="f16")
        self._index.view(str(self.folder / "index.usearch"))

    def search(self, query: Floats, count: int) -> NDArray[np.intp]:
        """See `Other`."""
        return np.asarray(self._index.search(query, count).keys, np.intp)


class Flat(Other):
    """A memory-mapped file of float16, and a function that finds the best rows."""

    def __init__(self, top: Callable[[Halves, Floats, int], NDArray[np.intp]]) -> None:
        self._top = top

    def build(self, parts: Iterator[Floats], dim: int) -> None:
        """See `Other`."""
        with (self.folder / "rows.f16").open("wb") as file:
            for vectors in parts:
                file.write(vectors.astype(np.float16).tobytes())

    def load(self, dim: int) -> None:
        """See `Other`."""
        self._rows = np.asarray(np.memmap(self.folder / "rows.f16", np.float16, "c")).reshape(-1, dim)  # type: ignore[assignment, method-assign]

    def search(self, query: Floats, count: int) -> NDArray[np.intp]:
        """See `Other`."""
        return self._top(self._rows, query, count)  # type: ignore[arg-type]


class Unkept(Other):
    """No index at all: everything straight from the database, by SQL and float32."""

    def open(self, store: StoreReader, model: str, dim: int) -> None:
        """There is nothing to do before the search."""
        self._path, self._model = store.path, model

    def best(self, store: StoreReader, query: Floats, count: int) -> list[Match]:
        """Go through the whole table."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        rows = connection.execute(
            "SELECT visit_id, embedding FROM moment "
            "WHERE model_id = (SELECT id FROM model WHERE name || '@' || version = ?)",
            (self._model,),
        )
        wanted, ids, cosines = unit(query), list[str](), list[Floats]()
        while page := rows.fetchmany(512):
            names, vectors = zip(*page, strict=True)
            wide = np.frombuffer(b"".join(vectors), np.float16).astype(np.float32).reshape(len(page), -1)
            cosines.append(wide @ wanted / np.sqrt(np.vecdot(wide, wide)))
            ids += names
        connection.close()
        every, best = np.concatenate(cosines), dict[str, float]()
        for row in np.argsort(-every)[: 100 * count].tolist():
            best.setdefault(ids[row], float(every[row]))
        return [Match(visit_id, cosine) for visit_id, cosine in best.items()][:count]

    def build(self, parts: Iterator[Floats], dim: int) -> None:
        """Unused."""

    def load(self, dim: int) -> None:
        """Unused."""

    def search(self, query: Floats, count: int) -> NDArray[np.intp]:
        """Unused."""
        raise NotImplementedError


def highest(cosines: NDArray[Any], count: int) -> NDArray[np.intp]:
    return np.argpartition(cosines, len(cosines) - count)[len(cosines) - count :]


def by_numpy(rows: Halves, query: Floats, count: int) -> NDArray[np.intp]:
    """NumPy's own conversion, block by block on one core."""
    parts = (rows[at : at + 512].astype(np.float32) @ query for at in range(0, len(rows), 512))
    return highest(np.concatenate(list(parts)), count)


def by_numkong(rows: Halves, query: Floats, count: int) -> NDArray[np.intp]:
    """NumKong, formerly SimSIMD: kernels for every processor's own float16 instructions."""
    import numkong

    return highest(np.asarray(numkong.cdist(query.astype(np.float16)[None], rows, "dot"))[0], count)


def by_torch(rows: Halves, query: Floats, count: int) -> NDArray[np.intp]:
    """torch, which birdwatchd has anyway for its network."""
    import torch

    return highest((torch.from_numpy(rows) @ torch.from_numpy(query).half()).float().numpy(), count)


def by_usearch(rows: Halves, query: Floats, count: int) -> NDArray[np.intp]:
    """usearch's exact search."""
    from usearch.index import MetricKind, search

    return np.asarray(search(rows, query.astype(np.float16), count, MetricKind.IP, exact=True).keys, np.intp).ravel()


# Name on the page, module that is needed, folder of its files, and how to make it.
OTHERS: dict[str, tuple[str, str, str, Callable[[], Other]]] = {
    "sqlite": ("straight from SQLite, no files", "numpy", "none", Unkept),
    "numpy": ("NumPy `astype(float32)` in blocks", "numpy", "flat", lambda: Flat(by_numpy)),
    "torch": ("torch float16", "torch", "flat", lambda: Flat(by_torch)),
    "faiss-8bit": ("faiss scalar quantizer, 8 bit", "faiss", "faiss-8bit", lambda: Faiss("QT_8bit")),
    "faiss-fp16": ("faiss scalar quantizer, fp16", "faiss", "faiss-fp16", lambda: Faiss("QT_fp16")),
    "usearch": ("usearch exact, f16", "usearch", "flat", lambda: Flat(by_usearch)),
    "usearch-hnsw": ("usearch HNSW, f16", "usearch", "usearch-hnsw", Usearch),
    "numkong": ("NumKong (SimSIMD) dot, f16", "numkong", "flat", lambda: Flat(by_numkong)),
}


def installed() -> list[str]:
    """Those whose library is there."""
    return [name for name, (_, needed, *_) in OTHERS.items() if find_spec(needed)]


def other(name: str, home: Path) -> Other:
    """One of them, with its files below a home."""
    _, _, folder, make = OTHERS[name]
    made = make()
    made.folder = home / "others" / folder
    return made


def main() -> None:
    """Run the command line with another search."""
    from birdwatchd.__main__ import main as command
    from birdwatchd.commands import similar

    name, *sys.argv[1:] = sys.argv[1:]
    home = Path(sys.argv[sys.argv.index("--home") + 1])
    similar.nearest_visits = other(name, home).nearest  # type: ignore[attr-defined]
    sys.exit(command())  # type: ignore[func-returns-value]


if __name__ == "__main__":
    main()
