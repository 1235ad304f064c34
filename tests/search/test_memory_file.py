"""What is read back is what was committed, or nothing: after any crash, damage or meddling."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.search import memory_file as module
from birdwatchd.search.codes import Rows, encode
from birdwatchd.search.memory_file import MemoryFile, tidy

DIM = 12
MODEL = "demo@1"
Part = tuple[NDArray[np.int64], NDArray[np.int64], Rows, Rows]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the folders of all models are; beside it lies a database."""
    (tmp_path / "database").write_bytes(b"")
    (tmp_path / "database").chmod(0o640)
    return tmp_path / "similar"


def opened(root: Path, model: str = MODEL, dim: int = DIM) -> MemoryFile:
    return MemoryFile(root, model, dim, (root.parent / "database").stat())


def folder(root: Path) -> Path:
    (found,) = (path for path in root.iterdir() if path.is_dir())
    return found


def part(visits: int, seed: int) -> Part:
    """Visits with one to three rows."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, visits)
    return rng.integers(-(2**63), 2**63, visits), counts, *encode(rng.normal(size=(counts.sum(), DIM)))


def fill(root: Path, *parts: Part) -> None:
    """Append these, each committed."""
    with closing(opened(root)) as file:
        for one in parts:
            file.append(*one)
            file.commit()


def holds(file: MemoryFile, *parts: Part) -> bool:
    """Whether exactly these are there."""
    given = (file.stamps, file.counts, file.rows, file.finer)
    return all(
        mine.tobytes() == b"".join(column.tobytes() for column in wanted)
        for mine, wanted in zip(given, zip(*parts, strict=True) if parts else ((),) * 4, strict=True)
    )


def test_what_was_committed_is_there_again(root: Path) -> None:
    """Also in parts, by several processes one after the other; and nothing else is."""
    parts = [part(n, n) for n in (1, 40, 7)]
    with closing(opened(root)) as file:
        assert holds(file)
        assert not file.repaired
    fill(root, parts[0], parts[1])
    fill(root, parts[2])
    with closing(opened(root)) as file:
        assert holds(file, *parts)
        file.append(*part(5, 5))
    size = {path.suffix: path.stat().st_size for path in folder(root).iterdir()}
    assert (size[".rows"], size[".visits"]) == (file.rows.nbytes, 16 * 48)
    with closing(opened(root)) as again:
        assert holds(again, *parts)
        assert not again.repaired


class Crash(Exception):
    """The power is gone."""


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[int]]:
    """Let the given call that changes something on the disk be the last, half done where it can be."""
    left = [step]

    def last(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if left[0] == 0 and name == "pwrite":
                real(given[0], given[1][: len(given[1]) // 2], given[2])
            if left[0] <= 0:
                raise Crash
            left[0] -= 1
            return real(*given, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("pwrite", "replace", "fsync", "ftruncate", "unlink"):
            patch.setattr(module.os, name, last(name, getattr(os, name)))
        yield left


@pytest.mark.parametrize("rewrite", [False, True], ids=["append", "rewrite"])
def test_a_crash_at_any_moment(root: Path, monkeypatch: pytest.MonkeyPatch, rewrite: bool) -> None:
    """Before or after, never between; and the next one goes on from there."""
    before, after = part(30, 1), part(9, 2)
    keep = np.arange(30) % 3 == 0
    fill(root, before)
    shutil.copytree(root, root.parent / "saved")
    of_rows = np.repeat(keep, before[1])
    kept = before[0][keep], before[1][keep], before[2][of_rows], before[3][of_rows]
    outcomes = set()
    for step in range(100):
        shutil.rmtree(root)
        shutil.copytree(root.parent / "saved", root)
        file = opened(root)
        crashed = False
        with crashing(monkeypatch, step):
            try:
                if rewrite:
                    file.rewrite(keep)
                else:
                    file.append(*after)
                    file.commit()
            except Crash:
                crashed = True
        os.close(file._lock)  # all that is left to a process that is no more
        with closing(opened(root)) as next_one:
            assert not next_one.repaired
            new = holds(next_one, kept) if rewrite else holds(next_one, before, after)
            assert new or holds(next_one, before)
            outcomes.add((crashed, new))
            next_one.append(*part(2, 3))
            next_one.commit()
        with closing(opened(root)) as last:
            assert len(last.stamps) == len(next_one.stamps) + 2
            assert len(list(folder(root).iterdir())) == 5
        if not crashed:
            break
    assert (False, True) in outcomes
    assert (True, False) in outcomes
    assert step > 4


@pytest.mark.parametrize("name", ["head.json", "rows", "finer", "visits"])
@pytest.mark.parametrize("kind", ["flip", "zeros", "short", "long", "gone"])
def test_damage_is_seen(root: Path, name: str, kind: str) -> None:
    """A byte that flipped, a page of zeros, a file that is shorter or longer, or is not there."""
    parts = part(50, 1), part(3, 2)
    for seed in range(6):
        shutil.rmtree(root, ignore_errors=True)
        fill(root, *parts)
        (path,) = folder(root).glob(f"*{name}")
        damage(path, kind, np.random.default_rng(seed))
        with closing(opened(root)) as file:
            if name == "finer" and kind in ("flip", "zeros"):  # each of these rows is checked when it is needed
                whole = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
                assert holds(file, (*whole[:3], file.finer))
                continue
            assert holds(file) if file.repaired or (name, kind) == ("head.json", "gone") else holds(file, *parts)
            assert file.repaired or kind in ("long", "gone")
            begun_anew = not len(file.stamps)
            file.append(*parts[0])
            file.commit()
        with closing(opened(root)) as file:
            assert not file.repaired
            assert holds(file, parts[0]) if begun_anew else holds(file, *parts, parts[0])


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Do that to a file."""
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    if kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "zeros":
        data[at:] = bytes(len(data) - at)
    elif kind == "short":
        del data[at:]
    elif kind == "long":
        data += bytes(rng.integers(0, 256, 99, np.uint8))
    path.write_bytes(data)
    if kind == "gone":
        path.unlink()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"model": "demo@2"},
        {"dim": 16},
        {"generation": "../../etc"},
        {"rows": -1},
        {"visits": 1.5},
        {"more": 1},
    ],
)
def test_a_head_of_something_else(root: Path, change: dict[str, Any]) -> None:
    """Of a newer birdwatchd, of other weights, or of somebody who would like to have another file deleted."""
    fill(root, part(5, 1))
    head = folder(root) / "head.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | change))
    with closing(opened(root)) as file:
        assert file.repaired
        assert holds(file)


def test_what_is_mapped_stays(root: Path) -> None:
    """A search goes on while another process appends, or writes the files anew."""
    before = part(30, 1)
    fill(root, before)
    with closing(opened(root)) as file:
        pass
    fill(root, part(9, 2))
    with closing(opened(root)) as other:
        other.rewrite(np.zeros(39, np.bool_))
        assert len(other.rows) == 0
    assert holds(file, before)


def test_one_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that append to one file would write over each other; who waits says so once."""
    monkeypatch.setattr(module, "WAIT_S", 0.2)
    monkeypatch.setattr(module, "SAY_S", 0.01)
    said: list[str] = []
    with closing(opened(root)), pytest.raises(TimeoutError, match="another process"):
        MemoryFile(root, MODEL, DIM, root.parent.stat(), lambda: said.append("waiting"))
    assert said == ["waiting"]
    with closing(opened(root)) as file, closing(opened(root, "other@1")):
        assert file.writable


@contextmanager
def as_stranger() -> Iterator[None]:
    """Be somebody who is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def open_to_all(path: Path, rights: int) -> None:
    """Let others come here, and do there what they may."""
    path.chmod(rights)
    for parent in list(path.parents)[:-2]:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o055)


def test_who_may_only_read_reads(root: Path) -> None:
    """Another user than the daemon's."""
    (root.parent / "database").chmod(0o644)
    fill(root, part(5, 1))
    open_to_all(root.parent, 0o555)
    with as_stranger(), closing(opened(root)) as file:
        assert holds(file, part(5, 1))
        assert not file.writable
        with pytest.raises(PermissionError):
            opened(root, "other@1")


def test_files_are_as_private_as_the_database(root: Path) -> None:
    """Whoever may not read the database may not read here either."""
    fill(root, part(5, 1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*")) if path.name != "CACHEDIR.TAG"}
    assert {mode for name, mode in modes.items() if "." in name or name == "lock"} == {0o640}
    assert {modes[root.name], modes[folder(root).name]} == {0o750}
    assert (root / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_no_link_is_followed(root: Path) -> None:
    """Root may ask in a home that belongs to somebody else."""
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    root.symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        opened(root)
    root.unlink()
    fill(root, part(5, 1))
    (target := root.parent / "target").write_text("mine")
    for name in ("lock", "head.json"):
        path = folder(root) / name
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(OSError, match="symbolic") as error:
            opened(root)
        assert error.value.errno == errno.ELOOP
        path.unlink()
    assert target.read_text() == "mine"


def test_the_last_of_the_disk_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Visits are worth more than a quick answer."""
    monkeypatch.setattr(module, "RESERVE", 10**18)
    with closing(opened(root)) as file, pytest.raises(OSError, match="too little room"):
        file.append(*part(5, 1))


def test_models_that_are_no_more_leave_nothing(root: Path) -> None:
    """And what is not ours stays."""
    for model in ("old@1", "old@2", MODEL):
        with closing(opened(root, model)):
            pass
    (root / "notes").mkdir()
    tidy(root, [MODEL])
    assert {path.name for path in root.iterdir()} == {module._name(MODEL), "notes", "CACHEDIR.TAG"}
