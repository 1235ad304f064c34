"""What is searched is what the database says, whatever happened to it, or to the files, since somebody asked last."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from birdwatchd.records import Box, Crop, FloatArray, Moment, Rank, State, Verdict, Visit
from birdwatchd.search import likeness as module
from birdwatchd.search import memory_file
from birdwatchd.search.codes import unit
from birdwatchd.search.likeness import Likeness
from birdwatchd.store import Embeddings, MomentRow, Store, StoreReader, VisitEmbeddings

DIM = 24
START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
VERDICT = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, ())


@dataclass
class World:
    """A home with a database that changes, and what was said of its files."""

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

    def likeness(self, model: str = "demo@1") -> Likeness:
        return Likeness(self.store, model, DIM, say=self.said.append)

    def asked(self) -> FloatArray:
        return self.rng.normal(size=DIM).astype(np.float32)

    def brute_force(self, wanted: FloatArray, model: str = "demo@1") -> list[tuple[str, float]]:
        """Every visit with its best cosine, straight from the tables."""
        query = (
            "SELECT moment.visit_id, embedding FROM moment JOIN model ON model.id = moment.model_id "
            "JOIN visit ON visit.id = moment.visit_id WHERE name || '@' || version = ?"
        )
        connection = sqlite3.connect(self.store.path)
        best: dict[str, float] = {}
        for visit_id, vector in connection.execute(query, (model,)):
            cosine = float(np.vecdot(unit(np.frombuffer(vector, "<f2")[None]), unit(wanted))[0])
            best[visit_id] = max(cosine, best.get(visit_id, -2))
        connection.close()
        return sorted(best.items(), key=lambda one: (-one[1], one[0]))

    def check(self, likeness: Likeness, model: str = "demo@1", count: int = 10) -> None:
        """What it answers is what brute force does, of the tables as they are now."""
        likeness.catch_up()
        wanted = self.asked()
        expected = self.brute_force(wanted, model)
        assert len(likeness) == len(expected)
        assert [(one.visit_id, one.similarity) for one in likeness.nearest(wanted, count)] == expected[:count]

    @property
    def files(self) -> Path:
        """The folder of the one model that has one."""
        (found,) = (path for path in (self.home / module.FOLDER).iterdir() if path.is_dir())
        return found


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


def reads(world: World, likeness: Likeness) -> int:
    """How many visits it reads to catch up."""
    before = world.read
    likeness.catch_up()
    return world.read - before


def test_only_what_is_new_is_read(world: World) -> None:
    """A million embeddings take minutes to read; a day's take no time."""
    for number in range(30):
        world.visit(f"v{number}")
    assert reads(world, world.likeness()) == 30
    likeness = world.likeness()
    assert reads(world, likeness) == 0
    world.visit("new")
    world.visit("v3", 1, first=2)
    assert [reads(world, likeness), reads(world, likeness), reads(world, world.likeness())] == [2, 0, 0]
    world.check(likeness)
    world.check(world.likeness())
    assert world.said == []


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
    for path in world.home.glob(f"{module.FOLDER}/*/*.rows"):
        data = path.read_bytes()
        if data:
            path.write_bytes(data[: int(world.rng.integers(len(data)))])


OPERATIONS: list[Callable[[World], None]] = [
    add, add, add, delete, rewrite, relabel, more_moments, save, restore, forget_files, tear_files,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens(tmp_path: Path, seed: int) -> None:
    """A season in a minute: one who asks all the time, and one who asks now and then, both get what is true."""
    world = World(tmp_path / "home", seed)
    old: dict[str, Likeness] = {}
    for _ in range(25):
        operation = OPERATIONS[int(world.rng.integers(len(OPERATIONS)))]
        operation(world)
        for model in ("demo@1", "demo@2"):
            if operation is restore:
                old.pop(model, None)  # its store is closed
            world.check(old.setdefault(model, world.likeness(model)), model)
            if world.rng.random() < 0.3:
                world.check(world.likeness(model), model)
    assert all("damaged" in text for text in world.said)
    world.store.close()


def test_files_do_not_grow_for_ever(world: World) -> None:
    """Retention deletes as much as comes; what is gone takes a quarter of the room at most."""
    for number in range(120):
        world.visit(f"v{number:03}", 1)
        if number >= 20:
            world.sql("DELETE FROM visit WHERE id = ?", f"v{number - 20:03}")
        if number % 4 == 0:
            world.likeness().catch_up()
    world.check(world.likeness())
    (rows,) = world.files.glob("*.rows")
    assert rows.stat().st_size <= 20 / 0.75 * 56 + 5 * 56
    assert len(list(world.files.iterdir())) == 5


def test_a_model_that_is_no_more_leaves_no_files(world: World) -> None:
    """After `relabel` with other weights, nobody can ask by the old ones any more."""
    world.visit("v1", 1)
    world.likeness().catch_up()
    world.store.writer().relabel("v1", VERDICT, "demo@2", [world.moment(0)], START)
    world.check(world.likeness("demo@2"), "demo@2")
    assert world.files.name == memory_file._name("demo@2")


def test_without_files_it_is_slower_and_says_so_once(world: World) -> None:
    """A home that may not be written, or somebody's file in the place of the folder."""
    (world.home / module.FOLDER).write_text("")
    for number in range(5):
        world.visit(f"v{number}")
    likeness = world.likeness()
    world.check(likeness)
    world.visit("new")
    world.check(likeness)
    assert len(world.said) == 1
    assert "is no folder" in world.said[0]
    assert "read every time" in world.said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_who_may_only_read(world: World) -> None:
    """Another user asks while the daemon runs: without files first, then with those that the daemon's user made."""
    for number in range(5):
        world.visit(f"v{number}")
    for folder in (world.home, *list(world.home.parents)[:-2]):
        folder.chmod(0o755)
    for name in ("new", "newer"):
        os.seteuid(65534)
        try:
            with StoreReader.open_existing(world.home) as store:
                likeness = Likeness(store, "demo@1", DIM, say=world.said.append)
                likeness.catch_up()
                likeness.catch_up()
                wanted = world.asked()
                found = [(one.visit_id, one.similarity) for one in likeness.nearest(wanted, 10)]
        finally:
            os.seteuid(0)
        assert found == world.brute_force(wanted)
        world.likeness().catch_up()
        world.visit(name)
    assert len(world.said) == 1
    assert "Permission denied" in world.said[0]


def test_a_disk_that_is_full(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a first reading: the answer comes all the same, and the next one begins again."""
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "COMMIT_ROWS", 8)
    for number in range(20):
        world.visit(f"v{number:02}")
    with monkeypatch.context() as patch:
        real, left = memory_file.os.pwrite, [8]

        def full(*given: int) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return real(*given)

        patch.setattr(memory_file.os, "pwrite", full)
        world.check(world.likeness())
    assert len(world.said) == 1
    assert "No space left" in world.said[0]
    likeness = world.likeness()
    assert 0 < reads(world, likeness) < 20
    world.check(likeness)


def test_while_visits_come(world: World) -> None:
    """The daemon writes, two people ask: nobody waits for long, and all are right in the end."""
    stop, failures = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            world.visit(f"v{world.revision:05}", 1)

    def ask() -> None:
        try:
            likeness = world.likeness()
            for _ in range(15):
                likeness.catch_up()
                found = [one.visit_id for one in likeness.nearest(np.ones(DIM, np.float32), 10)]
                if len(found) != min(10, len(likeness)) or len(set(found)) != len(found):
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
    world.check(world.likeness())
    assert world.said == []


COMMAND = """
import sys
from pathlib import Path
import numpy as np
from birdwatchd.search.likeness import Likeness
from birdwatchd.store import StoreReader
with StoreReader.open_existing(Path(sys.argv[1])) as store:
    likeness = Likeness(store, "demo@1", 24, say=print)
    sys.stdin.read()
    likeness.catch_up()
    print([one.visit_id for one in likeness.nearest(np.ones(24, np.float32), 5)])
    assert "torch" not in sys.modules
"""


def test_several_processes_ask_for_the_first_time(world: World) -> None:
    """One reads, the others wait for it; one that is killed meanwhile is no harm."""
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
    expected = [visit_id for visit_id, _ in world.brute_force(np.ones(DIM, np.float32))[:5]]
    assert answers == {f"{expected}\n"}
    runs[0].communicate()
    assert reads(world, world.likeness()) == 0
