"""Find the visits whose embeddings are nearest to a query: exact brute force in NumPy over a float16 copy.

Comparing a million embeddings takes a fraction of a second, reading them from the database far longer, so a copy is
kept in one file per model below `home`. The store gives a visit a new version whenever its embeddings change: versions
that the copy lacks are read from the database, rows whose version is gone are not counted, and the file is rewritten
when either is more than a small share. It is only ever replaced as a whole and ends with a checksum, so processes need
no lock, and a file that is cut short or damaged is noticed and replaced.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.errors import StoreError
from birdwatchd.records import FloatArray
from birdwatchd.store import StoreReader

__all__ = ["FOLDER", "Match", "Progress", "Report", "has_copy", "make_folder", "nearest_visits"]

FOLDER = "similar"  # below home
PAGE = 500  # visits read at once
SPAN = 16_384  # rows that one thread compares
BLOCK = 128  # rows converted to float32 at once, so that they stay in the processor's cache
STALE_SHARE = 0.02  # of the visits that may be missing or gone before the file is rewritten
RESERVE = 512_000_000  # bytes of the disk that are left to the visits themselves
ABANDONED_S = 3600.0  # after which an unfinished file is deleted
_FILE = re.compile(r"([0-9a-f]{16})(?:-[0-9a-f]{16})?\.(f16|part)")
# For backup programs: https://bford.info/cachedir/
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# birdwatchd makes this anew from its database.\n"

Rows = NDArray[np.void]  # of `_row_type`
Versions = NDArray[np.int64]
Unit = NDArray[np.float64]  # vectors of length 1
Report = Callable[[str], None]
Progress = Callable[[range], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Match:
    """A visit, and the cosine of its nearest embedding to the query, -1 … 1."""

    visit_id: str
    similarity: float


def nearest_visits(
    store: StoreReader, model: str, query: FloatArray, count: int, *, report: Report, progress: Progress = iter
) -> list[Match]:
    """The visits with the embeddings of highest cosine to a query, best first; equals by id.

    Args:
        model: which made the query; embeddings of other models are not compared.
        query: an embedding of any length, shape (dim,).
        count: how many visits at most, 1 or more.
        report: called with a line of text if the copy is damaged or cannot be written.
        progress: wraps the pages to be read, as progress bars do.

    Raises:
        StoreError: the database failed, or its embeddings are of another size.
    """
    unit, path = _unit(query), store.home / FOLDER / f"{_hashed(model)}.f16"
    copy = _open(path, len(query), report)
    held, current = copy["version"][_starts(copy["version"])], store.embeddings.versions(model)
    missing, gone = _without(current, held), _without(held, current)
    chunks = [copy[at : at + SPAN] for at in range(0, len(copy), SPAN)]
    chunks += _read(store, missing, len(query), progress)
    if len(missing) + len(gone) > STALE_SHARE * len(current):
        try:
            _write(path, chunks, gone, store)
        except OSError as error:
            reason = error.strerror or error
            report(f"{path.parent}: cannot be written ({reason}), so `similar` reads all embeddings every time")
    return _best(store, chunks, unit, count) if chunks else []


def has_copy(store: StoreReader, model: str) -> bool:
    """Whether there is a copy of a model's embeddings: without one, all of them are read into memory first."""
    return (store.home / FOLDER / f"{_hashed(model)}.f16").exists()


def _unit(vectors: NDArray[np.floating[Any]]) -> Unit:
    """Scaled to length 1, same shape; zeros for a vector of zeros or with NaN or infinity."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    sound = np.isfinite(norms) & (norms > 0)
    return np.where(sound, wide, 0.0) / np.where(sound, norms, 1.0)


def _starts(versions: Versions) -> NDArray[np.intp]:
    """The first row of each visit."""
    return np.flatnonzero(np.append(True, versions[1:] != versions[:-1])[: len(versions)])


def _without(versions: Versions, others: Versions) -> Versions:
    """Those that are not among others: `numpy.setdiff1d` takes five times as long for 250,000."""
    ordered = np.append(np.sort(others), 0)
    place = np.searchsorted(ordered[:-1], versions)
    missing: NDArray[np.bool_] = (place == len(others)) | (ordered[place] != versions)
    return versions[missing]


def _row_type(dim: int) -> np.dtype[np.void]:
    """A vector's visit version, 1 / length (0 if zero or not finite) and float16 bits, padded to words of 8 bytes."""
    return np.dtype([("version", "<i8"), ("scale", "<f8"), ("bits", "<i2", (-(-dim // 4) * 4,))])


def _read(store: StoreReader, versions: Versions, dim: int, progress: Progress) -> Iterator[Rows]:
    """Rows from the database, visit by visit; visits that changed or were deleted meanwhile are left out."""
    for page in progress(range(-(-len(versions) // PAGE))):
        if found := store.embeddings.read(versions[page * PAGE : (page + 1) * PAGE].tolist()):
            vectors = np.concatenate([one.vectors for one in found])
            if vectors.shape[1] != dim:
                raise StoreError(f"stored embeddings have {vectors.shape[1]} numbers, the query has {dim}")
            wide = vectors.astype(np.float32)
            norms = np.sqrt(np.vecdot(wide, wide))
            rows = np.zeros(len(vectors), _row_type(dim))
            rows["version"] = np.repeat([one.version for one in found], [len(one.vectors) for one in found])
            np.divide(1, norms, out=rows["scale"], where=np.isfinite(norms) & (norms > 0))
            rows["bits"][:, :dim] = vectors.view(np.int16)
            yield rows


def _best(store: StoreReader, chunks: Sequence[Rows], unit: Unit, count: int) -> list[Match]:
    """Rank by float32 cosines, then all that rounding may have put in or out again by float64 from the database."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        cosines = np.concatenate(list(pool.map(lambda rows: _cosines(rows, unit), chunks)))
    versions = np.concatenate([rows["version"] for rows in chunks])
    starts = _starts(versions)
    versions, highest = versions[starts], np.maximum.reduceat(cosines, starts)
    slack = 4 * (len(unit) + 16) * 2.0**-24  # twice what float32 can lose in a sum of products (Higham, 3.5)
    while True:
        least = np.partition(highest, -count)[-count] if count < len(highest) else -2.0
        near = np.flatnonzero(highest >= least - slack)
        found = store.embeddings.read(versions[near].tolist())
        if len(found) == len(near):
            break
        lost = near[~np.isin(versions[near], [one.version for one in found])]  # changed or deleted meanwhile
        versions, highest = np.delete(versions, lost), np.delete(highest, lost)
    matches = [Match(one.visit_id, float(np.vecdot(_unit(one.vectors), unit).max())) for one in found]
    return sorted(matches, key=lambda match: (-match.similarity, match.visit_id))[:count]


def _cosines(rows: Rows, unit: Unit) -> FloatArray:
    """Cosine of each row to a vector of length 1, in float32."""
    width = rows.dtype["bits"].shape[0]
    products, wide = np.empty(len(rows), np.float32), np.empty((BLOCK, width), np.int32)
    # The bits of a float16 shifted to their places in a float32 are the number times 2⁻¹¹² (infinity and NaN become
    # finite, and their scale is 0). NumPy's own conversion takes five times as long.
    query = np.zeros(width, np.float32)
    query[: len(unit)] = unit * 2.0**112
    for at in range(0, len(rows), BLOCK):
        block = wide[: min(BLOCK, len(rows) - at)]
        np.copyto(block, rows["bits"][at : at + BLOCK])
        block <<= 13
        block &= np.int32(-0x70000001)  # clears the copies of the sign in bits 28 to 30
        np.vecdot(block.view(np.float32), query, out=products[at : at + BLOCK])
    return products * rows["scale"].astype(np.float32)


def _open(path: Path, dim: int, report: Report) -> Rows:
    """The rows of a file, memory-mapped; none if there is no file or it is damaged."""
    kind, words = _row_type(dim), np.empty(0, np.uint64)
    with (
        suppress(OSError),
        os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file,
    ):
        facts = os.fstat(file.fileno())
        size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0  # a pipe in its place would wait for ever
        if size % kind.itemsize == 8:
            words = np.frombuffer(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ), np.uint64)
        if not len(words) or _checksum(_sum(words[:-1])) != words[-1:].tobytes():
            report(f"{path}: is damaged and will be rewritten")
            words = words[:0]
    return words[:-1].view(kind)


def _write(path: Path, chunks: Sequence[Rows], gone: Versions, store: StoreReader) -> None:
    """Replace a file by these rows, without those of visits that are gone.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    database, total = store.path.stat(), 0
    _make_folder(path.parent, database)
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < sum(rows.nbytes for rows in chunks) + RESERVE:
        raise OSError(errno.ENOSPC, "too little room on the disk")
    part = path.with_name(f"{path.stem}-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            _own(part, database, database.st_mode & 0o666)
            for rows in chunks:
                living = rows[~np.isin(rows["version"], gone)] if len(gone) else rows
                words = living.view(np.uint64)
                file.write(words.data)
                total += _sum(words)
            file.write(_checksum(total))
        os.replace(part, path)  # without fsync, which takes long: what a power cut leaves fails the checksum
    finally:
        part.unlink(missing_ok=True)
    _sweep(path.parent, {_hashed(model) for model in store.embeddings.models()})


def make_folder(database: Path) -> None:
    """Make the folder of the copies beside a database, for who may not make one later.

    Raises:
        OSError: it cannot be made, or there is no database.
    """
    _make_folder(database.with_name(FOLDER), database.stat())


def _make_folder(folder: Path, database: os.stat_result) -> None:
    with suppress(FileExistsError):
        folder.mkdir()
        _own(folder, database, database.st_mode & 0o666 | (database.st_mode & 0o444) >> 2)
        (folder / "CACHEDIR.TAG").write_bytes(_TAG)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder")


def _own(path: Path, database: os.stat_result, mode: int) -> None:
    """Set rights as the database has, and its owner where root runs the command in somebody else's home."""
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, database.st_uid, database.st_gid)


def _sweep(folder: Path, models: set[str]) -> None:
    """Delete the files of models that have no embeddings left, and files that were never finished."""
    for entry in os.scandir(folder):
        if name := _FILE.fullmatch(entry.name):
            with suppress(OSError):  # another process deleted it first
                age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age_s > ABANDONED_S if name[2] == "part" else name[1] not in models:
                    os.unlink(entry)


def _hashed(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()[:16]


def _sum(words: NDArray[np.uint64]) -> int:
    return int(words.sum(dtype=np.uint64))


def _checksum(total: int) -> bytes:
    return (~total % 2**64).to_bytes(8, "little")  # inverted, so that a file of zeros does not pass
