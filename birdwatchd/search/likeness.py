"""Keep what visits looked like in step with the database: read what is new, forget what is gone, hold the rest.

The database gives every visit another stamp whenever its embeddings change (store/schema.py). The stamps that are there
now, compared with those that a memory knows, say all there is to do, whatever happened in between: new visits, deleted
ones, others named by another model, a backup that was put back. Nothing is done while nobody asks; who asks reads what
came since somebody asked last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.search.codes import Hold, OnHost, encode
from birdwatchd.search.memory import Embedded, Found, Memory, among
from birdwatchd.search.memory_file import MemoryFile, tidy
from birdwatchd.store import StoreReader

__all__ = ["FOLDER", "Likeness"]

FOLDER = "similar"  # below home
PAGE = 500  # visits read at once
COMMIT_ROWS = 65_536  # after so many a first reading that is interrupted need not begin again
DEAD_SHARE = 0.25  # of the rows in the files; when more of them are of visits that are gone, they are written anew

Say = Callable[[str], None]
Watch = Callable[[range], Iterable[int]]
Numbers = NDArray[np.int64]


def _unseen(steps: range) -> Iterable[int]:
    return steps


class Likeness:
    """All visits that one model gave embeddings of. Used from one thread at a time."""

    def __init__(
        self, store: StoreReader, model: str, dim: int, *, hold: Hold = OnHost, say: Say, watch: Watch = _unseen
    ) -> None:
        """
        Args:
            dim: length of an embedding.
            hold: where embeddings are compared (search/codes.py).
            say: told, once, why there are no files and everything has to be read from the database; and what
                takes long.
            watch: given the numbers of the pages that have to be read, gives them back one by one, and can show it.
        """
        self._store, self._model = store, model
        self._root = store.home / FOLDER
        self._memory = Memory(dim, hold)
        self._say, self._watch = say, watch
        self._use_files = True

    def __len__(self) -> int:
        """How many visits are known."""
        return len(self._memory)

    def nearest(self, embedding: NDArray[np.float32], count: int) -> list[Found]:
        """The visits that look most alike as of the last `catch_up`, best first; a visit's best picture counts.

        Raises:
            StoreError, ModelError: as their classes say.
        """
        return self._memory.nearest(embedding, count, self._ask)

    def _ask(self, stamps: list[int]) -> Iterator[Embedded]:
        for one in self._store.embeddings.read(stamps):
            yield one.visit_id, one.vectors

    def catch_up(self) -> None:
        """Learn what the database says now.

        Raises:
            StoreError, ModelError: as their classes say.
        """
        file = self._open()
        try:
            self._step(file)
        finally:
            if file is not None:
                file.close()

    def _open(self) -> MemoryFile | None:
        if not self._use_files:
            return None
        try:
            like = self._store.path.stat()
            file = MemoryFile(self._root, self._model, self._memory.dim, like, self._wait)
        except OSError as error:
            self._without_files(error)
            return None
        if file.repaired:
            self._say(f"{self._root}: was damaged, and is made anew")
        return file

    def _wait(self) -> None:
        self._say(f"{self._root}: another birdwatchd reads embeddings; waiting for it")

    def _without_files(self, error: OSError) -> None:
        self._use_files = False
        self._say(f"{self._root}: cannot be kept ({error.strerror or error}); all embeddings are read every time")

    def _step(self, file: MemoryFile | None) -> None:
        stamps = self._store.embeddings.versions(self._model)
        if file is not None:
            into = file if file.writable and self._clean(file, stamps) else None
            self._take(file)
        else:
            into = None
        known = self._memory.stamps
        self._read(stamps[~among(stamps, known)], into)
        self._memory.keep(stamps)

    def _clean(self, file: MemoryFile, stamps: Numbers) -> bool:
        """Make room for what is to come; whether there is any."""
        tidy(self._root, [self._model, *self._store.embeddings.models()])
        alive = among(file.stamps, stamps)
        if file.counts[~alive].sum() > DEAD_SHARE * len(file.rows):
            return self._done(file.rewrite, alive)
        return True

    def _take(self, file: MemoryFile) -> None:
        """Take over what the files hold and memory does not; at first all, as it lies in the file."""
        if not len(self._memory):
            self._memory.add(file.stamps, file.counts, file.rows, file.finer)
            return
        fresh = ~among(file.stamps, self._memory.stamps)
        if fresh.any():
            of_fresh = np.repeat(fresh, file.counts)
            self._memory.add(file.stamps[fresh], file.counts[fresh], file.rows[of_fresh], file.finer[of_fresh])

    def _read(self, stamps: Numbers, into: MemoryFile | None) -> None:
        """Read visits from the database, and put them into the files where there are any."""
        waiting = 0
        for page in self._watch(range(-(-len(stamps) // PAGE))):
            found = self._store.embeddings.read(stamps[page * PAGE : (page + 1) * PAGE].tolist())
            if not found:
                continue
            mine = np.array([one.version for one in found], np.int64)
            counts = np.array([len(one.vectors) for one in found], np.int64)
            rows, finer = encode(np.concatenate([one.vectors for one in found]))
            self._memory.add(mine, counts, rows, finer)
            waiting += len(rows)
            if into is not None:
                into = into if self._done(into.append, mine, counts, rows, finer) else None
            if into is not None and waiting >= COMMIT_ROWS:
                into, waiting = into if self._done(into.commit) else None, 0
        if into is not None and waiting:
            self._done(into.commit)

    def _done(self, work: Callable[..., None], *given: Any) -> bool:
        """Do something with the files; whether it could be done. If not, there are none from now on."""
        try:
            work(*given)
        except OSError as error:
            self._without_files(error)
            return False
        return True
