"""`nearest_visits` answers as brute force over the database does, whatever happened to the database or to its copy."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from birdwatchd.errors import StoreError
from birdwatchd.records import Box, Crop, FloatArray, HalfArray, Moment, Rank, State, Verdict, Visit
from birdwatchd.search import nearest as module
from birdwatchd.search.nearest import Match, nearest_visits
from birdwatchd.store import Embeddings, MomentRow, Store, StoreReader, VisitEmbeddings

DIM = 24
START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
VERDICT = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, ())
HALVES = hnp.arrays(
    np.float16,
    st.tuples(st.integers(1, 12), st.integers(1, 40)),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=16),
)


def unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Scaled to length 1; zeros for what has no direction."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(norms) & (norms > 0), wide / norms, 0.0)


def ranked(embeddings: dict[str, NDArray[Any]], query: NDArray[Any], count: int) -> list[tuple[str, float]]:
    """The reference: every cosine in float64, the best of each visit, equals by id."""
    found = [(visit_id, float(np.vecdot(unit(rows), unit(query)).max())) for visit_id, rows in embeddings.items()]
    return sorted(found, key=lambda one: (-one[1], one[0]))[:count]


def pairs(matches: list[Match]) -> list[tuple[str, float]]:
    return [(match.visit_id, match.similarity) for match in matches]


class FakeStore:
    """What `nearest_visits` uses of a database, kept in memory; counts the visits whose embeddings are read."""

    def __init__(self, home: Path, embeddings: list[HalfArray]) -> None:
        self.home, self.path = home, home / "database"
        home.mkdir(exist_ok=True)
        self.path.write_bytes(b"")
        rng = np.random.default_rng(len(embeddings))
        self.visits = {int(rng.integers(-(2**63), 2**63)): vectors for vectors in embeddings}
        self.deleted: set[int] = set()  # since the versions were read
        self.counted = 0

    @property
    def embeddings(self) -> FakeStore:
        return self

    def versions(self, model: str) -> NDArray[np.int64]:
        return np.array(list(self.visits), np.int64)

    def read(self, versions: list[int]) -> list[VisitEmbeddings]:
        wanted = set(versions) - self.deleted
        self.counted += len(wanted)
        return [VisitEmbeddings(one, str(one), rows) for one, rows in self.visits.items() if one in wanted]

    def models(self) -> list[str]:
        return ["demo@1"]

    def nearest(self, query: NDArray[Any], count: int, said: list[str] | None = None) -> list[tuple[str, float]]:
        report = said.append if said is not None else pytest.fail
        return pairs(nearest_visits(self, "demo@1", query, count, report=report))  # type: ignore[arg-type]

    def expected(self, query: NDArray[Any], count: int) -> list[tuple[str, float]]:
        kept = {str(one): rows for one, rows in self.visits.items() if one not in self.deleted}
        return ranked(kept, query, count)


def some_visits(count: int, seed: int = 0, spread: float = 1.0, dim: int = DIM) -> list[HalfArray]:
    """Embeddings of visits of one to three moments, in random directions of random lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.1, 30, count)
    sizes = rng.integers(1, 4, count)
    return [
        ((1 + spread * rng.normal(size=(n, dim))) * s).astype(np.float16) for n, s in zip(sizes, lengths, strict=True)
    ]


def direction(seed: int, dim: int = DIM) -> FloatArray:
    return np.random.default_rng(1000 + seed).normal(size=dim).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 5), st.sampled_from([1e-4, 0.01, 0.3, 3.0]))
def test_the_answers_are_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory, size: int, count: int, seed: int, spread: float
) -> None:
    """An index that is almost right makes a bird that was seen look new; also where all birds look nearly the same."""
    store = FakeStore(tmp_path_factory.mktemp("home"), some_visits(size, seed, spread, dim=49))
    for query in (direction(seed, 49), next(iter(store.visits.values()))[0]):
        for _ in ("read from the database", "read from the copy"):
            assert store.nearest(query, count) == store.expected(query, count)


@settings(deadline=None, max_examples=200)
@given(HALVES, st.integers(0, 5))
def test_whatever_a_network_answers(tmp_path_factory: pytest.TempPathFactory, vectors: HalfArray, seed: int) -> None:
    """Zeros, NaN, infinity, one large number among small ones; as a stored embedding and as the query."""
    store = FakeStore(tmp_path_factory.mktemp("home"), [row[None] for row in vectors])
    for query in (direction(seed, vectors.shape[1]), vectors[seed % len(vectors)]):
        assert store.nearest(query, 3) == store.expected(query, 3)


def test_float16_becomes_float32_exactly() -> None:
    """All 63,488 finite numbers, subnormal ones too: shifted bits are the same number."""
    halves = np.arange(65_536, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    rows = np.zeros(len(finite), module._row_type(3))
    rows["scale"], rows["bits"][:, 1] = 1, finite.view(np.int16)
    assert np.array_equal(module._cosines(rows, np.array([0.0, 1.0, 0.0])), finite.astype(np.float32))


def test_few_embeddings_are_read_again(tmp_path: Path) -> None:
    """Ranking in float64 is for those that float32 cannot tell apart, not for everything."""
    store = FakeStore(tmp_path, some_visits(4000))
    store.nearest(direction(0), 10)
    store.counted = 0
    assert store.nearest(direction(1), 10) == store.expected(direction(1), 10)
    assert store.counted < 20


def test_visits_cross_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, blocks and pages that do not divide the rows; each visit is still one."""
    for name, value in (("SPAN", 7), ("BLOCK", 3), ("PAGE", 11)):
        monkeypatch.setattr(module, name, value)
    store = FakeStore(tmp_path, some_visits(400, spread=0.1))
    for seed in range(5):
        assert store.nearest(direction(seed), 30) == store.expected(direction(seed), 30)


def test_equals_come_by_id(tmp_path: Path) -> None:
    """The same file scanned twice: hundreds of visits that look the very same."""
    store = FakeStore(tmp_path, [np.ones((1, DIM), np.float16)] * 300)
    assert store.nearest(direction(0), 5) == store.expected(direction(0), 5)


def test_visits_deleted_meanwhile_leave_their_places_to_others(tmp_path: Path) -> None:
    """A visit can be deleted after its version was read."""
    store = FakeStore(tmp_path, some_visits(300))
    store.nearest(direction(2), 1)
    store.deleted = {int(visit_id) for visit_id, _ in store.expected(direction(2), 290)}
    assert store.nearest(direction(2), 8) == store.expected(direction(2), 8)
    store.deleted = set(store.visits)
    assert store.nearest(direction(2), 8) == []


def test_embeddings_of_another_size(tmp_path: Path) -> None:
    """Other weights under the name of the old ones: an error, and nothing is written."""
    with pytest.raises(StoreError, match="have 24 numbers, the query has 32"):
        FakeStore(tmp_path, some_visits(3)).nearest(direction(0, 32), 5)
    assert not (tmp_path / module.FOLDER).exists()


@dataclass
class World:
    """A home with a database that changes, and what was reported of its copy."""

    home: Path
    seed: int = 0
    said: list[str] = field(default_factory=list)
    read: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.store = Store.open(self.home, zone=ZoneInfo("UTC"))

    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.home, zone=ZoneInfo("UTC"))

    def visit(self, visit_id: str, count: int = 2, model: str = "demo@1", first: int = 0) -> None:
        """Write a revision of a visit with more moments."""
        self.revision += 1
        end = START + timedelta(seconds=9)
        visit = Visit(visit_id, "nut", self.revision, START, end, VERDICT, count, 1, None, model, last_seen=end)
        self.store.writer().record(visit, [self.moment(first + i) for i in range(count)], START)

    def moment(self, index: int) -> MomentRow:
        vector = (1 + 0.3 * self.rng.normal(size=DIM)).astype(np.float32)
        return MomentRow(Moment(index, START, Box(0, 0, 0.1, 0.1), 0.5, Crop(b"x", 8, 8)), vector, ())

    def sql(self, statement: str, *values: object) -> None:
        connection = sqlite3.connect(self.store.path)
        connection.execute("PRAGMA foreign_keys=ON")
        with connection:
            connection.execute(statement, values)
        connection.close()

    def nearest(self, query: FloatArray, count: int = 10, model: str = "demo@1") -> list[tuple[str, float]]:
        return pairs(nearest_visits(self.store, model, query, count, report=self.said.append))

    def brute_force(self, query: FloatArray, count: int = 10, model: str = "demo@1") -> list[tuple[str, float]]:
        """Straight from the tables."""
        statement = (
            "SELECT moment.visit_id, embedding FROM moment JOIN model ON model.id = moment.model_id "
            "JOIN visit ON visit.id = moment.visit_id WHERE name || '@' || version = ?"
        )
        connection = sqlite3.connect(self.store.path)
        visits: dict[str, list[HalfArray]] = {}
        for visit_id, vector in connection.execute(statement, (model,)):
            visits.setdefault(visit_id, []).append(np.frombuffer(vector, "<f2"))
        connection.close()
        return ranked({visit_id: np.stack(rows) for visit_id, rows in visits.items()}, query, count)

    def check(self, model: str = "demo@1", count: int = 10) -> None:
        """The answers are those of brute force over the tables as they are now."""
        query = self.rng.normal(size=DIM).astype(np.float32)
        assert self.nearest(query, count, model) == self.brute_force(query, count, model)

    def reads(self) -> int:
        """How many visits a search reads, beside the one that it finds."""
        before = self.read
        self.nearest(np.ones(DIM, np.float32), 1)
        return self.read - before - 1

    def names(self) -> set[str]:
        return {path.name for path in (self.home / module.FOLDER).iterdir()}


def name_of(model: str) -> str:
    return f"{module._hashed(model)}.f16"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world that counts how many visits are read from its database."""
    made = World(tmp_path / "home")
    real = Embeddings.read

    def counted(embeddings: Embeddings, versions: list[int]) -> list[VisitEmbeddings]:
        found = real(embeddings, versions)
        made.read += len(found)
        return found

    monkeypatch.setattr(Embeddings, "read", counted)
    yield made
    made.store.close()


def test_only_what_is_new_is_read(world: World) -> None:
    """A million embeddings take long to read; a day's take no time."""
    for number in range(60):
        world.visit(f"v{number}")
    assert [world.reads(), world.reads()] == [60, 0]
    world.visit("new")
    assert [world.reads(), world.reads()] == [1, 1]  # few are not worth a new file
    world.visit("v3", 1, first=2)
    assert [world.reads(), world.reads()] == [2, 0]
    world.check()
    assert world.said == []


def test_a_copy_holds_what_is_there_and_no_more(world: World) -> None:
    """Retention deletes as much as comes, for years."""
    for number in range(120):
        world.visit(f"v{number:03}", 1)
        if number >= 20:
            world.sql("DELETE FROM visit WHERE id = ?", f"v{number - 20:03}")
        if number % 4 == 0:
            world.check()
    assert world.names() == {"CACHEDIR.TAG", name_of("demo@1")}
    size = (world.home / module.FOLDER / name_of("demo@1")).stat().st_size
    assert size == 20 * (16 + 2 * DIM) + 8


def test_models_are_not_mixed(world: World) -> None:
    """Vectors of two models live in different spaces; the file of one that has no embeddings left is deleted."""
    world.visit("v1", 1)
    world.visit("v2", 1, "demo@2")
    world.check("demo@1")
    world.check("demo@2")
    assert world.names() == {"CACHEDIR.TAG", name_of("demo@1"), name_of("demo@2")}
    world.store.writer().relabel("v1", VERDICT, "demo@2", [world.moment(0)], START)
    world.check("demo@2")
    world.check("demo@1")
    assert world.nearest(direction(0), model="demo@1") == []
    assert world.names() >= {name_of("demo@2")}
    world.visit("v3", 1, "demo@2")
    world.check("demo@2")
    assert world.names() == {"CACHEDIR.TAG", name_of("demo@2")}


def add(world: World) -> None:
    for _ in range(int(world.rng.integers(1, 9))):
        world.visit(f"v{world.revision:05}", int(world.rng.integers(1, 4)), str(world.rng.choice(["demo@1", "demo@2"])))


def some(world: World) -> list[str]:
    connection = sqlite3.connect(world.store.path)
    ids = [row[0] for row in connection.execute("SELECT id FROM visit ORDER BY random() LIMIT 3")]
    connection.close()
    return ids


def delete(world: World) -> None:
    for visit_id in some(world):
        world.sql("DELETE FROM visit WHERE id = ?", visit_id)


def rewrite(world: World) -> None:
    for visit_id in some(world):
        vector = world.moment(0).embedding.astype("<f2").tobytes()
        world.sql("UPDATE moment SET embedding = ? WHERE visit_id = ? AND idx = 0", vector, visit_id)


def relabel(world: World) -> None:
    for visit_id in some(world):
        model = str(world.rng.choice(["demo@1", "demo@2"]))
        world.store.writer().relabel(visit_id, VERDICT, model, [world.moment(0)], START)


def more_moments(world: World) -> None:
    for visit_id in some(world):
        visit = world.store.visits.get(visit_id)
        assert visit is not None
        world.visit(visit_id, 2, visit.model, first=10 + 2 * world.revision)


def save(world: World) -> None:
    world.reopen()
    shutil.copy(world.store.path, world.home.parent / "backup")


def restore(world: World) -> None:
    if (world.home.parent / "backup").exists():
        world.store.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{world.store.path}{suffix}").unlink(missing_ok=True)
        shutil.copy(world.home.parent / "backup", world.store.path)
        world.store = Store.open(world.home, zone=ZoneInfo("UTC"))


def forget_files(world: World) -> None:
    shutil.rmtree(world.home / module.FOLDER, ignore_errors=True)


def tear_files(world: World) -> None:
    for path in world.home.glob(f"{module.FOLDER}/*.f16"):
        path.write_bytes(path.read_bytes()[: int(world.rng.integers(path.stat().st_size))])


OPERATIONS: list[Callable[[World], None]] = [
    add, add, add, delete, rewrite, relabel, more_moments, save, restore, forget_files, tear_files,
]  # fmt: skip


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens(tmp_path: Path, seed: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A season in a minute, with a copy that is nearly fresh and with one that is half stale."""
    monkeypatch.setattr(module, "STALE_SHARE", share)
    world = World(tmp_path / "home", seed)
    for _ in range(25):
        OPERATIONS[int(world.rng.integers(len(OPERATIONS)))](world)
        for model in ("demo@1", "demo@2"):
            world.check(model)
    assert all("damaged" in text for text in world.said)
    world.store.close()


def test_a_home_that_cannot_be_written(world: World) -> None:
    """Somebody's file in the place of the folder: slower, and said each time."""
    (world.home / module.FOLDER).write_text("")
    for number in range(5):
        world.visit(f"v{number}")
    world.check()
    world.check()
    assert len(world.said) == 2
    assert all("not a folder" in text and "every time" in text for text in world.said)


@contextmanager
def as_stranger() -> Iterator[None]:
    """Be another user than the daemon's."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_reads_the_daemons_copy(world: World) -> None:
    """Without a copy first, which cannot be written, then with the one that the daemon's user made."""
    for number in range(60):
        world.visit(f"v{number}")
    for folder in (world.home, *list(world.home.parents)[:-2]):
        folder.chmod(0o755)
    for name in ("new", "newer"):
        with as_stranger(), StoreReader.open_existing(world.home) as store:
            query = direction(0)
            found = pairs(nearest_visits(store, "demo@1", query, 10, report=world.said.append))
        assert found == world.brute_force(query)
        world.check()
        world.visit(name)
    assert len(world.said) == 1
    assert "Permission denied" in world.said[0]


def test_root_leaves_files_as_private_as_the_database(world: World) -> None:
    """Who may not read the database may not read its copy either, and its owner may replace it."""
    world.store.path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(world.store.path, 1234, 4321)
    world.visit("v1", 1)
    world.check()
    folder, database = world.home / module.FOLDER, world.store.path.stat()
    copy = (folder / name_of("demo@1")).stat()
    assert (copy.st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o640, 0o750)
    assert {(one.st_uid, one.st_gid) for one in (copy, folder.stat())} == {(database.st_uid, database.st_gid)}
    assert (folder / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Root may ask in a home that belongs to somebody else."""
    store, said, folder = FakeStore(tmp_path / "home", some_visits(5)), list[str](), tmp_path / "home" / module.FOLDER
    (elsewhere := tmp_path / "elsewhere").mkdir()
    folder.symlink_to(elsewhere)
    assert store.nearest(direction(0), 3, said) == store.expected(direction(0), 3)
    assert len(said) == 1
    assert list(elsewhere.iterdir()) == []
    folder.unlink()
    folder.mkdir()
    (target := tmp_path / "target").write_text("mine")
    (folder / name_of("demo@1")).symlink_to(target)
    assert store.nearest(direction(0), 3) == store.expected(direction(0), 3)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("kind", ["flip", "zeros", "short", "long", "empty", "all zeros"])
def test_damage_is_seen(tmp_path: Path, kind: str) -> None:
    """A bit that flipped, a page of zeros, a file that is shorter or longer: the copy is made anew."""
    store = FakeStore(tmp_path, some_visits(50))
    path = tmp_path / module.FOLDER / name_of("demo@1")
    for seed in range(6):
        store.nearest(direction(0), 1, [])
        whole, said = path.read_bytes(), list[str]()
        path.write_bytes(damaged(bytearray(whole), kind, np.random.default_rng(seed)))
        assert store.nearest(direction(1), 10, said) == store.expected(direction(1), 10)
        assert len(said) == 1
        assert "damaged" in said[0]
        assert path.read_bytes() == whole


def damaged(data: bytearray, kind: str, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    if kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "zeros":
        data[at // 2 :] = bytes(len(data) - at // 2)
    elif kind == "short":
        del data[at:]
    elif kind == "long":
        data += bytes(rng.integers(1, 256, int(rng.integers(1, 199)), np.uint8))
    return bytes(len(data)) if kind == "all zeros" else b"" if kind == "empty" else bytes(data)


def test_a_crash_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file or the new one, never half of one; what is left behind is deleted later."""
    visits, folder = some_visits(80), tmp_path / "home" / module.FOLDER
    before, after = FakeStore(tmp_path / "home", visits[:40]), FakeStore(tmp_path / "home", visits)
    before.nearest(direction(0), 1)
    old = (folder / name_of("demo@1")).read_bytes()
    kept = set()
    for step in itertools.count():
        (folder / name_of("demo@1")).write_bytes(old)
        if (child := os.fork()) == 0:
            die_at(step)
            after.nearest(direction(0), 1, [])
            os._exit(0)
        finished = os.waitpid(child, 0)[1] == 0
        kept.add((finished, (folder / name_of("demo@1")).read_bytes() == old))
        assert after.nearest(direction(1), 10) == after.expected(direction(1), 10)
        if finished:
            break
    assert kept == {(False, True), (False, False), (True, False)}
    assert step > 4
    assert any(path.suffix == ".part" for path in folder.iterdir())
    (folder / "notes.part").write_text("somebody's")
    for path in folder.iterdir():
        os.utime(path, (0, time.time() - 2 * module.ABANDONED_S))
    before.nearest(direction(0), 1)
    assert {path.name for path in folder.iterdir()} == {"CACHEDIR.TAG", name_of("demo@1"), "notes.part"}


def die_at(step: int) -> None:
    """Kill this process at the given call of those that write."""
    left = itertools.count(step, -1)

    def fatal(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if next(left) <= 0:
                os._exit(9)
            return real(*given)

        return call

    for owner, name in ((module, "_own"), (module, "_sum"), (module, "_checksum"), (os, "replace"), (module, "_sweep")):
        setattr(owner, name, fatal(getattr(owner, name)))


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes all the same, the old file stays, and nothing half written takes up room."""
    visits = some_visits(80)
    before, after = FakeStore(tmp_path, visits[:40]), FakeStore(tmp_path, visits)
    before.nearest(direction(0), 1)
    files = {path: path.read_bytes() for path in (tmp_path / module.FOLDER).iterdir()}
    said: list[str] = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        found = after.nearest(direction(1), 10, said)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found == after.expected(direction(1), 10)
    monkeypatch.setattr(module, "RESERVE", 10**18)  # visits are worth more than a quick answer
    assert after.nearest(direction(1), 10, said) == after.expected(direction(1), 10)
    assert ["File too large" in said[0], "too little room" in said[1], len(said)] == [True, True, 2]
    assert {path: path.read_bytes() for path in (tmp_path / module.FOLDER).iterdir()} == files


def test_while_visits_come(world: World) -> None:
    """The daemon writes, two people ask: all answers are whole, and right in the end."""
    stop, failures = threading.Event(), list[object]()

    def write() -> None:
        while not stop.is_set():
            world.visit(f"v{world.revision:05}", 1)

    def ask() -> None:
        try:
            for _ in range(15):
                known = len(world.store.embeddings.versions("demo@1"))
                found = [visit_id for visit_id, _ in world.nearest(np.ones(DIM, np.float32))]
                if len(found) < min(10, known) or len(set(found)) != len(found):
                    failures.append(found)
        except Exception as error:  # noqa: BLE001  # a thread's failure is told to the test
            failures.append(error)

    writer, askers = threading.Thread(target=write), [threading.Thread(target=ask) for _ in range(2)]
    for thread in (writer, *askers):
        thread.start()
    for thread in askers:
        thread.join()
    stop.set()
    writer.join()
    assert failures == []
    world.check()
    assert world.said == []


COMMAND = """
import sys
from pathlib import Path
import numpy as np
from birdwatchd.search.nearest import nearest_visits
from birdwatchd.store import StoreReader
with StoreReader.open_existing(Path(sys.argv[1])) as store:
    sys.stdin.read()
    found = nearest_visits(store, "demo@1", np.ones(24, np.float32), 5, report=print)
    print([one.visit_id for one in found])
    assert "torch" not in sys.modules
"""


def test_several_processes_ask_for_the_first_time(world: World) -> None:
    """Nobody waits for another, one that is killed does no harm, and one file is left."""
    for number in range(200):
        world.visit(f"v{number:03}", 1)
    call = [sys.executable, "-c", COMMAND, str(world.home)]
    runs = [subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.stdin = None
    runs[0].kill()
    answers = {run.communicate(timeout=60)[0] for run in runs[1:]}
    expected = [visit_id for visit_id, _ in world.brute_force(np.ones(DIM, np.float32), 5)]
    assert answers == {f"{expected}\n"}
    runs[0].communicate()
    assert world.reads() == 0
    assert len([name for name in world.names() if name.endswith(".f16")]) == 1


def test_a_pipe_in_the_place_of_the_file_is_replaced(world: World) -> None:
    """Opening it would wait for ever."""
    world.visit("v1")
    world.check()
    path = world.home / module.FOLDER / name_of("demo@1")
    path.unlink()
    os.mkfifo(path)
    world.check()
    assert path.is_file()
    assert any("is damaged and will be rewritten" in line for line in world.said)
