"""A broken home: nothing is deleted, one line says what to do, and `doctor` brings every picture back."""

from __future__ import annotations

import io
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from birdwatchd.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreTooNew
from birdwatchd.records import Crop, Message, State
from birdwatchd.store import NewsContext, Store, StoreReader
from birdwatchd.store.database import Database
from birdwatchd.store.rescue import repair
from birdwatchd.store.rescue.examine import examine_database, examine_media
from birdwatchd.store.rescue.exif import with_exif, without_exif
from birdwatchd.store.rescue.notes import read_note
from birdwatchd.store.rescue.rebuild import Rebuilt, rebuild_rows
from birdwatchd.store.rescue.repair import Repaired, repair_database
from birdwatchd.testing import example_moment, example_visit
from tests.support import homes

ZONE = ZoneInfo("UTC")
NOW = datetime.now(UTC) + timedelta(hours=2)  # a clip of the last hour may yet get its row


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with 12 visits, to be copied."""
    home = tmp_path_factory.mktemp("whole") / "home"
    homes.fill(home)
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "home")
    return tmp_path / "home"


def mend(home: Path) -> tuple[Repaired | None, Rebuilt]:
    """What `birdwatchd doctor --repair` does."""
    found = examine_database(home)
    repaired = repair_database(home, found, NOW) if found.is_damaged else None
    with closing(Database.open(home)) as database:
        rebuilt = rebuild_rows(database, ZONE, NOW)
    assert not examine_database(home).is_damaged
    return repaired, rebuilt


def visits(home: Path) -> dict[str, tuple[str | None, State, datetime, datetime | None]]:
    with StoreReader.open_existing(home) as store:
        found = store.visits.find()
        moments = [moment for visit in found for moment in store.visits.moments(visit.visit_id)]
    assert all(moment.crop is not None and moment.crop.is_file() for moment in moments)
    return {one.visit_id: (one.verdict.common_name, one.verdict.state, one.start, one.end) for one in found}


@pytest.mark.parametrize("how", homes.BREAKS)
def test_a_broken_database_loses_no_picture_and_no_visit(home: Path, how: str) -> None:
    """A station that nobody visits for months must not answer a bad sector by deleting its pictures."""
    before, files = visits(home), homes.media(home)
    homes.BREAKS[how](home)
    if how != "index entries lost":  # which reads like an empty database
        with pytest.raises(StoreError, match="doctor --repair") as caught, StoreReader.open_existing(home) as store:
            store.visits.find()
        assert "\n" not in str(caught.value)
    if how != "lost":
        with pytest.raises(StoreDamaged) as damage:
            Store.open(home, zone=ZONE, check=True).close()
        assert damage.value.exit_status == 3, "systemd must not try for ever"
    mend(home)
    assert visits(home) == before
    assert homes.media(home) == homes.named(home) == files


def test_new_indexes_are_enough_where_only_an_index_is_damaged(home: Path) -> None:
    """Nothing else is lost then, not even what no picture knows."""
    homes.spoil_index(home)
    repaired, rebuilt = mend(home)
    assert repaired is not None
    assert repaired.salvaged is None
    assert rebuilt == Rebuilt()


def test_the_old_file_is_kept_unchanged(home: Path) -> None:
    """A better tool, or a person, may find more in it."""
    homes.truncate(home)
    damaged = homes.database(home).read_bytes()
    repaired, _ = mend(home)
    assert repaired is not None
    assert repaired.kept is not None
    assert repaired.kept.name == f"birdwatchd.sqlite3.damaged-{NOW:%Y%m%d-%H%M%S}"
    assert repaired.kept.read_bytes() == damaged
    assert not (home / repair.WORK_NAME).exists()


@pytest.mark.parametrize("seed", range(40))
def test_bytes_that_change_anywhere_end_in_one_line_and_are_mended(whole: Path, tmp_path: Path, seed: int) -> None:
    """Cards age: whatever a page says then, it is a sentence and no traceback, and the pictures know the rest."""
    home = tmp_path / "home"
    shutil.copytree(whole, home)
    files = homes.media(home)
    homes.flip(home, seed)
    with suppress(StoreError), StoreReader.open_existing(home) as store:  # nothing else
        for visit in store.visits.find():
            store.visits.moments(visit.visit_id)
    mend(home)
    assert homes.media(home) == files <= homes.named(home)
    assert len(visits(home)) >= 12


@pytest.mark.parametrize("moments_are_left", [True, False])
def test_a_visit_whose_id_was_damaged_is_listed_once(home: Path, moments_are_left: bool) -> None:
    """Its pictures know the right one; made a visit of their own, they were there twice."""
    before = visits(home)
    right = sorted(before)[5]
    with closing(sqlite3.connect(homes.database(home))) as connection:
        connection.execute("UPDATE visit SET id = ? WHERE id = ?", (f"{right[:-1]})", right))
        if not moments_are_left:
            connection.execute("DELETE FROM moment WHERE visit_id = ?", (right,))
        connection.commit()
    mend(home)
    assert visits(home) == before
    with closing(sqlite3.connect(homes.database(home))) as connection:
        assert connection.execute("SELECT count(*) FROM moment").fetchone() == (36,)


def test_an_old_backup_gets_the_visits_that_it_lacks(home: Path) -> None:
    """Who restores the backup of last week loses this week's rows; their pictures are moved aside, and come back."""
    backup = homes.database(home).read_bytes()
    homes.fill(home, 9, first=12)
    before, files = visits(home), homes.media(home)
    homes.database(home).write_bytes(backup)
    for name in ("birdwatchd.sqlite3-wal", "birdwatchd.sqlite3-shm"):
        (home / name).unlink(missing_ok=True)
    (home / "media" / ".swept").unlink(missing_ok=True)
    with Store.open(home, zone=ZONE, check=True) as store:
        swept = store.sweep(NOW)
        assert (swept.moved, swept.left, swept.deleted) == (9 * 3 + 3, 0, 0)
    found = examine_media(home, NOW, database=True)
    assert (found.lost, found.unnamed_crops, found.missing_crops) == (30, 0, 0)
    _, rebuilt = mend(home)
    assert (rebuilt.visits, rebuilt.crops, rebuilt.clips, rebuilt.kept) == (9, 27, 3, 0)
    assert visits(home) == before
    assert homes.media(home) == homes.named(home) == files


def test_a_new_database_deletes_nothing(home: Path) -> None:
    """The file is gone, the station begins anew: all pictures are moved aside, where `doctor` finds them."""
    files = homes.media(home)
    homes.lose(home)
    with Store.open(home, zone=ZONE, check=True) as store:
        assert store.sweep(NOW).moved == len(files)
    assert homes.media(home) == set()
    assert {f"lost+found/{name}" for name in files} == {
        path.relative_to(home).as_posix() for path in (home / "lost+found").rglob("*.*") if path.is_file()
    }
    mend(home)
    assert homes.media(home) == homes.named(home) == files


def test_what_cannot_be_moved_stays(home: Path) -> None:
    """`lost+found` of a disk's root belongs to root; media may be another disk."""
    files = homes.media(home)
    (home / "lost+found").write_text("a file is in the way")
    homes.lose(home)
    with Store.open(home, zone=ZONE) as store:
        swept = store.sweep(NOW)
    assert (swept.moved, swept.left) == (0, len(files))
    assert swept.problem
    assert homes.media(home) == files


def test_a_file_in_lost_and_found_is_never_replaced(home: Path) -> None:
    """Two pictures may have had the same name; both are somebody's bird."""
    crop = sorted(name for name in homes.media(home) if name.endswith("-0.jpg"))[0]
    other = home / "lost+found" / crop
    other.parent.mkdir(parents=True)
    other.write_bytes(homes.picture(4711))
    homes.lose(home)
    with Store.open(home, zone=ZONE) as store:
        store.sweep(NOW)
    assert other.read_bytes() == homes.picture(4711)
    twin = other.with_name(f"{other.stem}~2.jpg")
    assert read_note(twin) is not None


def test_rows_come_back_whole(home: Path) -> None:
    """Embeddings, boxes, reviews and firsts too: `similar`, learning and the list of firsts need them."""
    with StoreReader.open_existing(home) as store:
        first = min(store.visits.find(), key=lambda visit: visit.start)
        before = store.visits.moments(first.visit_id), store.visits.reviews()
        everything = list(store.visits.stored())
    homes.lose(home)
    mend(home)
    with StoreReader.open_existing(home) as store:
        after = store.visits.moments(first.visit_id), store.visits.reviews()
        assert [(m.idx, m.at, m.box, m.quality, m.top, m.model, m.width) for m in after[0]] == [
            (m.idx, m.at, m.box, m.quality, m.top, m.model, m.width) for m in before[0]
        ]
        for one, other in zip(after[0], before[0], strict=True):
            assert one.embedding.tobytes() == other.embedding.tobytes()
        assert after[1] == before[1] == [(first.visit_id, "confirm", "Passer domesticus")]
        again = list(store.visits.stored())
    assert [one.firsts for one in again] == [one.firsts for one in everything]
    assert [replace(one.visit, revision=0) for one in again] == [replace(one.visit, revision=0) for one in everything]


def test_pictures_of_older_versions_become_unnamed_visits(home: Path) -> None:
    """They have no note; path and name still say when and where, and `relabel` can name them."""
    for name in homes.media(home):
        if name.endswith(".jpg"):
            (home / name).write_bytes(homes.picture(1))
    before = visits(home)
    homes.lose(home)
    _, rebuilt = mend(home)
    assert (rebuilt.visits, rebuilt.unnamed, rebuilt.crops) == (12, 12, 36)
    after = visits(home)
    assert {visit_id: one[2] for visit_id, one in after.items()} == {
        visit_id: one[2].replace(microsecond=0) for visit_id, one in before.items()
    }
    assert {one[1] for one in after.values()} == {State.UNKNOWN}


def test_the_row_is_right_and_not_the_picture(home: Path) -> None:
    """A review changes the row at once; a note that was left behind must not undo it."""
    with Store.open(home, zone=ZONE) as store:
        visit = store.visits.find()[-1]
        moments = store.visits.moments(visit.visit_id)
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        connection.execute("UPDATE visit SET common_name = 'Rook' WHERE id = ?", (visit.visit_id,))
        connection.execute("DELETE FROM moment WHERE visit_id = ? AND idx = 0", (visit.visit_id,))
    _, rebuilt = mend(home)
    assert (rebuilt.visits, rebuilt.crops) == (0, 1)
    with StoreReader.open_existing(home) as store:
        after = store.visits.get(visit.visit_id)
        assert after is not None
        assert after.verdict.common_name == "Rook"
        assert len(store.visits.moments(visit.visit_id)) == len(moments)


def test_a_repair_that_was_cut_short_is_begun_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power may fail again, just then; until the new file is whole, the old one has its place."""
    homes.truncate(home)
    damaged = homes.database(home).read_bytes()

    def killed(copy: Path, fresh: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repair, "salvage", killed)
    with pytest.raises(KeyboardInterrupt):
        repair_database(home, examine_database(home), NOW)
    assert homes.database(home).read_bytes() == damaged
    monkeypatch.undo()
    files = homes.media(home)
    mend(home)
    assert homes.named(home) == files


def test_a_database_that_is_in_use_is_not_repaired(home: Path) -> None:
    """A daemon that writes into the old file would lose what it writes."""
    program = (
        "import sys; from pathlib import Path; from zoneinfo import ZoneInfo; from birdwatchd.store import Store\n"
        "store = Store.open(Path(sys.argv[1]), zone=ZoneInfo('UTC')); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"open\n"
        findings = replace(examine_database(home), problems=["damaged"])
        with pytest.raises(StoreBusy, match="stop birdwatchd"):
            repair_database(home, findings, NOW)
        daemon.communicate()


def test_no_room_for_a_repair(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a new database on a full disk helps nobody; say how much is needed first."""
    homes.truncate(home)
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StoreFull, match="are needed"):
        repair_database(home, examine_database(home), NOW)


def test_a_newer_database_is_not_repaired(home: Path) -> None:
    """This version does not know its tables."""
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    found = examine_database(home)
    assert found.is_newer
    with pytest.raises(StoreTooNew):
        repair_database(home, found, NOW)


def test_without_the_sqlite3_program_rows_are_saved_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few stations have it installed."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    before = visits(home)
    homes.truncate(home)
    repaired, _ = mend(home)
    assert repaired is not None
    assert repaired.salvaged is not None
    assert repaired.salvaged.rows["visit"] > 0
    assert visits(home) == before


def test_a_lost_camera_row_is_made_again(home: Path) -> None:
    """One bad page must not cost all visits of a camera."""
    before = visits(home)
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        connection.execute("DELETE FROM camera")
        connection.execute("DELETE FROM model")
    repaired, _ = mend(home)
    assert repaired is not None
    assert repaired.salvaged is not None
    assert repaired.salvaged.rows["visit"] == 12
    assert visits(home) == before
    with StoreReader.open_existing(home) as store:
        assert {visit.camera for visit in store.visits.find()} == {"nut"}


def test_a_missing_log_costs_the_last_visits_only(home: Path) -> None:
    """Who copies the file without its -wal has an older state; the pictures have the newest."""
    store = Store.open(home, zone=ZONE)
    copied = homes.database(home).read_bytes()
    homes.fill(home, 3, first=12)
    before, files = visits(home), homes.media(home)
    store.close()
    homes.database(home).write_bytes(copied)
    (home / "birdwatchd.sqlite3-wal").unlink(missing_ok=True)
    (home / "birdwatchd.sqlite3-shm").unlink(missing_ok=True)
    assert len(visits(home)) == 12
    _, rebuilt = mend(home)
    assert rebuilt.visits == 3
    assert visits(home) == before
    assert homes.named(home) == files


def test_a_check_at_the_start_takes_no_longer_than_it_may(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years of visits are gigabytes; the whole check is for `doctor`. Here it has no time at all."""
    monkeypatch.setattr("birdwatchd.store.database.QUICK_CHECK_S", 0.0)
    Store.open(home, zone=ZONE, check=True).close()


def test_many_damaged_pages_cost_the_rows_on_them_only(home: Path) -> None:
    """And what SQLite says of them is a list of problems, of which a few are shown."""
    homes.fill(home, 60, 8, first=12)
    size = 4096
    data = bytearray(homes.database(home).read_bytes())
    of_moments = [page for page in range(len(data) // size) if b"-1.jpg" in data[page * size : (page + 1) * size]]
    for page in of_moments[::4]:
        data[page * size : (page + 1) * size] = bytes([0xA5]) * size
    homes.database(home).write_bytes(data)
    found = examine_database(home)
    assert found.is_damaged
    assert not [problem for problem in found.problems if "\n" in problem or len(problem) > 200]
    with pytest.raises(StoreDamaged) as damage:
        Store.open(home, zone=ZONE, check=True).close()
    assert len(str(damage.value)) < 500
    files = homes.media(home)
    repaired, _ = mend(home)
    assert repaired is not None
    assert repaired.salvaged is not None
    assert repaired.salvaged.rows["visit"] == 72
    assert 0 < repaired.salvaged.rows["moment"] < 12 * 3 + 60 * 8
    assert homes.media(home) == homes.named(home) == files
    assert len(visits(home)) == 72


def test_the_picture_is_unchanged_and_is_sent_without_its_note(tmp_path: Path) -> None:
    """A crop is classified from the very picture that is kept; who gets it by phone gets no reviewer's name."""
    sent, jpeg = [], homes.picture(5)

    def compose(context: NewsContext) -> list[Message]:
        sent.append(context.image)
        return []

    with Store.open(tmp_path, zone=ZONE) as store:
        row = example_moment()
        row = replace(row, moment=replace(row.moment, crop=Crop(jpeg, 24, 24)))
        store.writer(compose).record(example_visit(), [row], NOW)
        crop = store.visits.moments("v1")[0].crop
    assert crop is not None
    assert sent == [jpeg]
    kept = crop.read_bytes()
    assert kept != jpeg
    assert without_exif(kept) == jpeg
    note = read_note(crop)
    assert note is not None
    assert note.visit.end == example_visit().end
    with Image.open(crop) as one, Image.open(io.BytesIO(jpeg)) as other:
        assert one.tobytes() == other.tobytes()


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_whatever_bytes_a_file_has_its_picture_stays(data: bytes, exif: bytes) -> None:
    """A crop of a camera process that was taken over, or of a bad card, must not stop the writer."""
    exif = b"Exif\0\0" + exif
    jpeg = without_exif(b"\xff\xd8" + data)
    assert without_exif(with_exif(jpeg, exif)) == without_exif(jpeg)
    assert with_exif(with_exif(jpeg, b"Exif\0\0old"), exif) == with_exif(jpeg, exif)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_picture_says_nothing_or_the_truth(whole: Path, tmp_path: Path, seed: int) -> None:
    """Cards age under pictures too; a note is used whole, or not at all."""
    crop = sorted((whole / "media").rglob("*.jpg"))[seed]
    good = read_note(crop)
    assert good is not None
    chance = random.Random(seed)
    data = bytearray(crop.read_bytes())
    for _ in range(5):
        data[chance.randrange(2, 700)] = chance.randrange(256)
    copy = tmp_path / crop.name
    copy.write_bytes(data)
    note = read_note(copy)
    assert note is None or isinstance(note.visit.start, datetime)
