"""Keep a memory's rows in files, so that a million embeddings need not be read from the database for every question.

A folder for each model: `head.json` says which files count and how far; `GENERATION.rows`, `GENERATION.finer` (see
`codes.py`) and `GENERATION.visits` (stamp and number of rows of each visit) are only ever appended to. The head is
replaced as a whole, after what it speaks of is on the disk, and holds the sums of the files: what a crash left behind
the end is overwritten; files that are shorter than the head says, or sum up to something else, are thrown away. (Finer
rows have a sum each, so that they need not all be read.) All can be deleted at any time.

One process at a time opens a folder; what it was given stays mapped, and stays as it is, when it lets go. Who may read
but not write reads.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.search.codes import Rows, finer_type, row_type

__all__ = ["MemoryFile", "tidy"]

FORMAT = 1  # of rows, visits and head; files of another one are thrown away
WAIT_S = 900.0  # for another process, which may be reading a million embeddings from a slow disk
SAY_S = 2.0  # of waiting, after which it is said
RESERVE = 512_000_000  # bytes of the disk that are left to what birdwatchd is there for
CHUNK = 65_536  # rows copied at once
VISIT = np.dtype([("stamp", "<i8"), ("rows", "<i8")])
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NAME = re.compile(r"[0-9a-f]{16}")
# For programs that make backups: https://bford.info/cachedir/
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# birdwatchd makes this anew from its database.\n"


@dataclass(frozen=True, slots=True)
class _Head:
    """What counts; the sums are of all words of eight bytes, modulo 2⁶⁴."""

    format: int
    model: str
    dim: int
    generation: str
    rows: int = 0
    rows_sum: int = 0
    visits: int = 0
    visits_sum: int = 0


class MemoryFile:
    """The rows of one model, locked until `close`.

    Attributes:
        stamps, counts: of each visit, its stamp and how many rows it has; int64, shape (visits,).
        rows, finer: of all visits, one after the other; mapped.
        writable: whether `append`, `commit` and `rewrite` may be used.
        repaired: what was there was damaged and is thrown away.
    """

    stamps: NDArray[np.int64]
    counts: NDArray[np.int64]
    rows: Rows
    finer: Rows

    def __init__(
        self, root: Path, model: str, dim: int, like: os.stat_result, waiting: Callable[[], None] = lambda: None
    ) -> None:
        """Open the files of a model, or begin them.

        Args:
            root: where the folders of all models are.
            like: of whose owner, group and rights the files are to be: the database's.
            waiting: called once if another process keeps them for some time.

        Raises:
            OSError: they can be neither made nor read; TimeoutError: another process held them all the time.
        """
        self._root, self._like = root, like
        self._folder = root / _name(model)
        self._types = {"rows": row_type(dim), "finer": finer_type(dim), "visits": VISIT}
        self._files: dict[str, int] = {}
        self._empty = self._head = self._pending = _Head(FORMAT, model, dim, "")
        self.repaired = False
        try:
            self._make_folders()
            self._lock = self._open("lock", os.O_RDWR | os.O_CREAT)
            self.writable = os.access(self._folder, os.W_OK, effective_ids=True)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            self.writable = False
            try:
                self._lock = self._open("lock", os.O_RDONLY)
            except FileNotFoundError:
                raise error from None
        with ExitStack() as undo:
            undo.callback(self.close)
            _wait_for(self._lock, self._folder, waiting)
            self._load()
            undo.pop_all()

    def close(self) -> None:
        """Let others have it, without what was not committed; rows stay readable."""
        if self.writable:
            with suppress(OSError):  # whatever lies behind the end is overwritten by the next one
                self._cut()
        for file in (*self._files.values(), self._lock):
            os.close(file)
        self._files.clear()

    def append(self, stamps: NDArray[np.int64], counts: NDArray[np.int64], rows: Rows, finer: Rows) -> None:
        """Keep more visits; they count from the next `commit` on.

        Raises:
            OSError: the disk is full, or nearly.
        """
        visits = np.empty(len(stamps), VISIT)
        visits["stamp"], visits["rows"] = stamps, counts
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < rows.nbytes + finer.nbytes + RESERVE:
            raise OSError(errno.ENOSPC, "too little room on the disk", str(self._folder))
        head = self._pending
        self._write("rows", rows, head.rows)
        self._write("finer", finer, head.rows)
        self._write("visits", visits, head.visits)
        head = replace(head, rows=head.rows + len(rows), rows_sum=_total(rows, head.rows_sum))
        self._pending = replace(head, visits=head.visits + len(visits), visits_sum=_total(visits, head.visits_sum))

    def commit(self) -> None:
        """Let what was appended count, also after a power cut.

        Raises:
            OSError: it cannot be written.
        """
        for file in self._files.values():
            os.fsync(file)
        with os.fdopen(self._open("head.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as part:
            part.write(json.dumps(asdict(self._pending)).encode())
            part.flush()
            os.fsync(part.fileno())
        os.replace(self._folder / "head.part", self._folder / "head.json")
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._head = self._pending

    def rewrite(self, keep: NDArray[np.bool_]) -> None:
        """Keep only some of the visits, in new files; what others have mapped stays.

        Args:
            keep: shape (visits,).

        Raises:
            OSError: there is no room for both.
        """
        stamps, counts, rows, finer = self.stamps, self.counts, self.rows, self.finer
        wanted, none = np.repeat(keep, counts), np.empty(0, np.int64)
        self._begin()
        for at in range(0, len(rows), CHUNK):
            mine = slice(at, at + CHUNK)
            self.append(none, none, rows[mine][wanted[mine]], finer[mine][wanted[mine]])
        self.append(stamps[keep], counts[keep], rows[:0], finer[:0])
        self.commit()
        self._read()
        self._sweep()

    def _load(self) -> None:
        head = self._read_head()
        if head is not None:
            self._head = self._pending = head
            try:
                self._open_files(os.O_RDWR if self.writable else os.O_RDONLY)
                self._read()
            except (FileNotFoundError, ValueError):
                self.repaired, head = True, None
        if head is None:
            if not self.writable:
                raise OSError(errno.EIO, "empty or damaged, and may not be written", str(self._folder))
            self._begin()
            self.commit()
            self._read()
        if self.writable:
            self._cut()
            self._sweep()

    def _read_head(self) -> _Head | None:
        """The head; None where there is none that speaks of such files."""
        try:
            with os.fdopen(self._open("head.json", os.O_RDONLY), "rb") as file:
                head = _Head(**json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            self.repaired = True
            return None
        mine = (head.format, head.model, head.dim) == (FORMAT, self._empty.model, self._empty.dim)
        sound = all(type(value) is int and value >= 0 for value in (head.rows, head.visits))
        self.repaired = not (mine and sound and _NAME.fullmatch(str(head.generation)))
        return None if self.repaired else head

    def _begin(self) -> None:
        self._pending = replace(self._empty, generation=secrets.token_hex(8))
        self._open_files(os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def _open_files(self, flags: int) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        for kind in self._types:
            self._files[kind] = self._open(f"{self._pending.generation}.{kind}", flags)

    def _read(self) -> None:
        """Map what counts.

        Raises:
            ValueError: it is not what the head says.
        """
        self.rows, self.finer = (self._mapped(kind, self._head.rows) for kind in ("rows", "finer"))
        visits = self._mapped("visits", self._head.visits)
        self.stamps, self.counts = visits["stamp"].astype(np.int64), visits["rows"].astype(np.int64)
        sums = _total(self.rows), _total(visits), int(self.counts.sum())
        whole = sums == (self._head.rows_sum, self._head.visits_sum, self._head.rows)
        if not whole or self.counts.min(initial=1) < 1:
            raise ValueError("not what was written")

    def _mapped(self, kind: str, count: int) -> Rows:
        kind_of = self._types[kind]
        if not count:
            return np.empty(0, kind_of)
        length = count * kind_of.itemsize
        if os.fstat(self._files[kind]).st_size < length:
            raise ValueError("shorter than it was")
        return np.frombuffer(mmap.mmap(self._files[kind], length, prot=mmap.PROT_READ), kind_of)

    def _cut(self) -> None:
        """Give back to the disk what was appended and never counted."""
        if self._files and self._pending.generation == self._head.generation:
            for kind, kind_of in self._types.items():
                count = self._head.visits if kind == "visits" else self._head.rows
                os.ftruncate(self._files[kind], count * kind_of.itemsize)

    def _sweep(self) -> None:
        """Delete files that do not count, as far as they let themselves be deleted."""
        files = {f"{self._head.generation}.{kind}" for kind in self._types}
        for entry in os.scandir(self._folder):
            if entry.name not in files | {"lock", "head.json"}:
                with suppress(OSError):
                    os.unlink(entry)

    def _write(self, kind: str, array: NDArray[Any], at: int) -> None:
        data, offset = memoryview(np.ascontiguousarray(array).tobytes()), at * array.dtype.itemsize
        while data:
            written = os.pwrite(self._files[kind], data, offset)
            data, offset = data[written:], offset + written

    def _open(self, name: str, flags: int) -> int:
        mode = self._like.st_mode & 0o666
        file = os.open(self._folder / name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        if flags & os.O_CREAT:
            with suppress(PermissionError):  # it was there already, and is somebody else's
                os.fchmod(file, mode)
                if os.geteuid() == 0:
                    os.fchown(file, self._like.st_uid, self._like.st_gid)
        return file

    def _make_folders(self) -> None:
        mode = self._like.st_mode & 0o666
        for folder in (self._root, self._folder):
            with suppress(FileExistsError):
                folder.mkdir()
                folder.chmod(mode | (mode & 0o444) >> 2)
                if os.geteuid() == 0:
                    os.chown(folder, self._like.st_uid, self._like.st_gid)
                if folder == self._root:
                    (folder / "CACHEDIR.TAG").write_bytes(_TAG)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))


def tidy(root: Path, models: Collection[str]) -> None:
    """Delete the files of all other models, as far as they let themselves be deleted."""
    names = {_name(model) for model in models}
    for entry in os.scandir(root):
        if _NAME.fullmatch(entry.name) and entry.name not in names and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry, ignore_errors=True)


def _name(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()[:16]


def _total(array: NDArray[Any], before: int = 0) -> int:
    words = np.ascontiguousarray(array).view("<u8")
    return (before + int(words.sum(dtype=np.uint64))) % 2**64


def _wait_for(lock: int, folder: Path, waiting: Callable[[], None]) -> None:
    since, pause, said = time.monotonic(), threading.Event(), False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - since
            if waited > WAIT_S:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds it", str(folder)) from None
            if waited > SAY_S and not said:
                waiting()
                said = True
            pause.wait(0.02)
        else:
            return
