"""One transaction per visit revision: visit, moments, firsts and messages, together or not at all."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdwatchd.errors import StoreDamaged, StoreError, StoreFull
from birdwatchd.records import LIFELESS, Phase, Rank, State
from birdwatchd.store import Store, Writer, schema
from birdwatchd.store.database import _give_logarithm
from birdwatchd.store.reader import best_first
from birdwatchd.store.reviews import Review, ReviewVerdict
from birdwatchd.store.writer import MOST_MOMENTS

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)


def crops(home: Path) -> set[Path]:
    return {path for path in (home / "media").rglob("*") if path.is_file() and path.name != ".swept"}


def test_what_is_written_is_read_back(store: Store, writer: Writer, sightings: Any) -> None:
    """Every field survives, to the microsecond: pages, exports and `similar` live from it."""
    visit = replace(sightings.visit(ended=True), media="a.mp4", start_s=1.5, end_s=10.25)
    writer.record(visit, [sightings.moment(0), sightings.moment(1)], NOW)
    assert store.visits.get("v1") == replace(visit, last_seen=visit.end)
    first, second = store.visits.moments("v1")
    assert (first.idx, second.idx, first.at) == (0, 1, sightings.start)
    assert second.crop is not None
    assert second.crop.read_bytes() == b"jpeg 1"
    assert second.crop.relative_to(store.home) == Path("media/nut/2026/05/01/v1-1.jpg")
    assert first.top == (("House sparrow", 0.9),)


def test_a_visit_keeps_its_best_pictures_and_no_more_than_a_few(store: Store, writer: Writer, sightings: Any) -> None:
    """Two dozen pictures of every sparrow would fill a card in weeks; the one good one may come late."""
    rows = [sightings.moment(index) for index in range(20)]
    quality = [(7 * index % 20) / 20 for index in range(20)]
    rows = [replace(row, moment=replace(row.moment, quality=q)) for row, q in zip(rows, quality, strict=True)]
    for revision, first in enumerate((0, 1, 2, 7, 16), 1):
        last = {0: 1, 1: 2, 2: 7, 7: 16, 16: 20}[first]
        visit = replace(sightings.visit(revision=revision, ended=last == 20), moments=last)
        assert writer.record(visit, rows[first:last], NOW).recorded
    kept = store.visits.moments("v1")
    assert sorted(moment.quality for moment in kept) == sorted(quality)[-MOST_MOMENTS:]
    assert crops(store.home) == {moment.crop for moment in kept}
    assert all(m.crop is not None and m.crop.read_bytes() == f"jpeg {m.idx}".encode() for m in kept)
    known = store.visits.get("v1")
    assert known is not None
    assert known.moments == 20


def test_the_crops_that_show_most_of_a_bird_are_kept_however_sharp_the_others_are(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """A perch is sharper than a bird that lands on it."""
    rows = [replace(sightings.moment(index), bird_evidence=float(index % 12)) for index in range(12)]
    rows = [replace(row, moment=replace(row.moment, quality=1 - row.moment.index / 20)) for row in rows]
    for revision, first in enumerate((0, 6), 1):
        assert writer.record(
            replace(sightings.visit(revision=revision), moments=12), rows[first : first + 6], NOW
        ).recorded
    assert {m.idx for m in store.visits.moments("v1")} == set(range(12 - MOST_MOMENTS, 12))


def test_a_picture_stays_when_the_revision_that_surpasses_it_is_not_kept(
    store: Store, writer: Writer, sightings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the wrong second must not leave rows whose pictures are gone."""
    rows = [sightings.moment(index) for index in range(MOST_MOMENTS + 1)]
    poor = [replace(row, moment=replace(row.moment, quality=0.1)) for row in rows[:-1]]
    writer.record(sightings.visit(), poor, NOW)
    before = crops(store.home)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("birdwatchd.store.revision.Revision.write", full)
    with pytest.raises(StoreFull):
        writer.record(sightings.visit(revision=2), rows[-1:], NOW)
    assert crops(store.home) == before
    assert {moment.crop for moment in store.visits.moments("v1")} == before


def test_embeddings_are_little_endian_half_floats(store: Store, writer: Writer, sightings: Any) -> None:
    """Other programs read the BLOB: its byte order must not depend on the machine that wrote it."""
    row = sightings.moment(0, dim=5)
    writer.record(sightings.visit(), [replace(row, logits=row.embedding)], NOW)
    (kept,) = store.visits.moments("v1")
    assert kept.embedding.dtype == np.float16
    np.testing.assert_array_equal(kept.embedding, row.embedding.astype(np.float16))
    assert kept.logits is not None
    assert kept.logits.dtype == np.float32
    raw = sqlite3.connect(store.path).execute("SELECT embedding, dim FROM moment").fetchone()
    assert raw == (row.embedding.astype("<f2").tobytes(), 5)


def test_naive_time_is_refused(store: Store, writer: Writer, sightings: Any) -> None:
    """Camera time without a zone taken for UTC is hours wrong everywhere; better an error at the door."""
    with pytest.raises(StoreError, match="no time zone"):
        writer.record(sightings.visit(start=datetime(2026, 5, 1)), [], NOW)
    with pytest.raises(StoreError, match="no time zone"):
        store.effort.note("nut", datetime(2026, 5, 1), "online")
    assert store.visits.find() == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(1, 6), min_size=1, max_size=10))
def test_only_a_newer_revision_counts(sightings: Any, order: list[int]) -> None:
    """Evidence may come twice or late; the database must look as if only the new ones had ever come."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), zone=sightings.zone) as store:
        newest = 0
        for revision in order:
            visit = sightings.visit(revision=revision, count_max=revision)
            recorded = store.writer(sightings.compose).record(visit, [sightings.moment(revision)], NOW)
            assert recorded.recorded == (revision > newest)
            newest = max(newest, revision)
        risers = sorted({r for i, r in enumerate(order) if all(r > earlier for earlier in order[:i])})
        kept = store.visits.get("v1")
        assert kept is not None
        assert kept.revision == kept.count_max == max(order)
        assert [moment.idx for moment in store.visits.moments("v1")] == risers
        assert len(crops(store.home)) == len(risers)
        assert [row.revision for row in store.outbox.pending(0, 99)] == risers


def test_a_camera_cannot_change_a_visit_of_another(
    store: Store, sightings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera's process reads what comes from the network; one that was taken over knows other ids."""
    writer = store.writer(sightings.compose)
    mine = sightings.visit(revision=1)
    assert writer.record(mine, [sightings.moment(1)], NOW).recorded
    foreign = replace(sightings.visit(revision=7, count_max=9), camera="another")
    assert not writer.record(foreign, [sightings.moment(2)], NOW).recorded
    assert "camera another sent a visit of camera" in caplog.text
    kept = store.visits.get(mine.visit_id)
    assert kept is not None
    assert (kept.camera, kept.revision, kept.count_max) == (mine.camera, 1, mine.count_max)


def test_messages_are_composed_only_for_news(writer: Writer, sightings: Any) -> None:
    """A phone buzzes for a new name, an end or a second bird, not for every frame."""
    told = []
    for revision, changes in enumerate([{}, {}, {"count_max": 2}, {"count_max": 2, "ended": True}], start=1):
        visit = sightings.visit(revision=revision, **changes)
        told.append(writer.record(visit, [], NOW).queued)
    assert told == [True, False, True, True]
    assert [t.stored.phase for t in sightings.contexts] == [Phase.PROVISIONAL, Phase.PROVISIONAL, Phase.FINAL]


def test_a_retraction_is_told_and_last_goes_back(writer: Writer, sightings: Any) -> None:
    """Home Assistant must not show a squirrel as the newest bird until the next one comes."""
    earlier = sightings.visit("v0", start=sightings.start - timedelta(hours=1))
    writer.record(earlier, [sightings.moment(0, jpeg=b"earlier")], NOW)
    writer.record(sightings.visit(), [sightings.moment(0)], NOW)
    squirrel = sightings.visit(revision=2, verdict=sightings.verdict(None, State.REJECTED, Rank.BIRD))
    assert writer.record(squirrel, [], NOW).phase is Phase.RETRACTED
    context = sightings.contexts[-1]
    assert (context.last.visit.visit_id, context.image, context.last_changed) == ("v0", b"earlier", True)
    nothing = sightings.visit("v0", 2, start=earlier.start, verdict=squirrel.verdict)
    writer.record(nothing, [], NOW)
    assert sightings.contexts[-1].last is None
    assert sightings.contexts[-1].last_changed


def test_a_late_revision_of_an_old_visit_does_not_touch_last(writer: Writer, sightings: Any) -> None:
    """Two birds overlap; the end of the first must not bring it back as the newest."""
    writer.record(sightings.visit("v1"), [], NOW)
    writer.record(sightings.visit("v2", start=sightings.start + timedelta(seconds=3)), [], NOW)
    writer.record(sightings.visit("v1", 2, ended=True), [], NOW)
    assert [t.last_changed for t in sightings.contexts] == [True, True, False]


def test_firsts_are_decided_once_and_repeated(store: Store, sightings: Any) -> None:
    """A first is neither missed nor doubled: one visit has it, in all its revisions, and no later one."""
    assert store.writer().record(sightings.visit("v1"), [], NOW).firsts == ("ever", "year", "season", "today")
    assert store.writer().record(sightings.visit("v2"), [], NOW).firsts == ()
    assert store.writer().record(sightings.visit("v1", 2), [], NOW).firsts[0] == "ever"
    next_day = sightings.visit("v3", start=sightings.start + timedelta(days=1))
    assert store.writer().record(next_day, [], NOW).firsts == ("today",)
    tit = sightings.visit("v3", 2, start=next_day.start, verdict=sightings.verdict("Great tit"))
    assert store.writer().record(tit, [], NOW).firsts[0] == "ever"
    unsure = replace(tit, revision=3, verdict=sightings.verdict("Great tit", State.UNCERTAIN))
    assert store.writer().record(unsure, [], NOW).firsts == ()


def test_a_failing_composer_leaves_nothing_behind(store: Store, sightings: Any) -> None:
    """If the messages cannot be written, neither row nor file may stay: they belong together."""

    def broken(context: object) -> list[Any]:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        store.writer(broken).record(sightings.visit(), [sightings.moment(0)], NOW)
    assert store.visits.find() == []
    assert crops(store.home) == set()


def test_vectors_of_changed_length_are_refused(store: Store, sightings: Any) -> None:
    """Distances between vectors of two networks mean nothing; the same name with another length is a mistake."""
    store.writer().record(sightings.visit("v1"), [sightings.moment(0, dim=8)], NOW)
    with pytest.raises(StoreError, match="another version"):
        store.writer().record(sightings.visit("v2"), [sightings.moment(0, dim=9)], NOW)
    store.writer().record(sightings.visit("v3", model="demo@2"), [sightings.moment(0, dim=9)], NOW)
    assert len(crops(store.home)) == 2


def test_interrupted_visits_are_ended_when_last_seen(open_store: Callable[[], Store], sightings: Any) -> None:
    """After kill -9 a bird must not sit at the feeder for ever, and its end must be told."""
    open_store().writer(sightings.compose).record(sightings.visit(), [sightings.moment(0)], NOW)
    again = open_store()
    (ended,) = again.writer(sightings.compose).close_interrupted(NOW)
    assert (ended.end, ended.revision) == (sightings.start + timedelta(seconds=5), 2)
    assert sightings.contexts[-1].stored.phase is Phase.FINAL
    assert again.writer(sightings.compose).close_interrupted(NOW) == []


def test_interrupted_visits_of_a_camera_that_is_taken_out_are_ended_too(store: Store, sightings: Any) -> None:
    """Nobody else would: not so while another process watches the camera, nor those of a scan that goes on."""
    for camera in ("ours", "gone", "watched"):
        store.writer().record(sightings.visit(camera, camera=camera), [], NOW)
    store.writer().record(replace(sightings.visit("read", camera="scan"), media="card.mp4"), [], NOW)
    soon, later = NOW + timedelta(minutes=4), NOW + timedelta(minutes=6)
    store.effort.note("gone", NOW, "online")
    store.effort.note("watched", soon, "online")
    assert [visit.visit_id for visit in store.writer().close_interrupted(soon, {"ours"})] == ["ours"]
    assert [visit.visit_id for visit in store.writer().close_interrupted(later, {"ours"})] == ["gone"]


def test_a_disk_that_is_full_for_crops_keeps_the_visit(
    store: Store, writer: Writer, sightings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a picture: a visit matters more. Keep it and its embeddings, leave no file, name none."""

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert writer.record(sightings.visit(), [sightings.moment(0)], NOW).recorded
    assert crops(store.home) == set()
    assert [moment.crop for moment in store.visits.moments("v1")] == [None]
    assert writer.record(sightings.visit(revision=2), [sightings.moment(1)], NOW).recorded
    assert [path.name for path in crops(store.home)] == ["v1-1.jpg"]


def test_a_really_full_disk(tmp_path: Path, sightings: Any) -> None:
    """On a real file system that runs full, every error is StoreFull and the database stays whole."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        number, full = 0, False
        with Store.open(disk / "home", zone=sightings.zone) as store:
            while not full:
                row = sightings.moment(0, jpeg=b"x" * 20_000)
                try:
                    store.writer(sightings.compose).record(sightings.visit(f"v{number}"), [row], NOW)
                    number += 1
                except StoreFull:
                    full = True
        assert number > 3
        written = sorted(crops(disk / "home"))
        assert len(written) > 3
        for path in written[:3]:
            path.unlink()
        with Store.open(disk / "home", zone=sightings.zone) as store:
            visits = store.visits.find()
            assert len(visits) == number
            named = {moment.crop for visit in visits for moment in store.visits.moments(visit.visit_id)}
            assert named - {None} == set(written), "the last ones may have had room for the row only"
            assert store.writer(sightings.compose).record(sightings.visit("after"), [], NOW).recorded
        assert sqlite3.connect(disk / "home/birdwatchd.sqlite3").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_file_that_may_not_grow_is_a_store_error(tmp_path: Path) -> None:
    """Whatever the system forbids comes out as our error with a remedy, never as SQLAlchemy's."""
    script = f"""
import resource, signal
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo
from birdwatchd.errors import StoreError
from birdwatchd.records import Message
from birdwatchd.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path({str(tmp_path)!r}), zone=ZoneInfo("UTC"))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
number = 0
try:
    while True:
        number += 1
        store.outbox.add_daily(str(number), date.today(), Message("t", b"x" * 50_000), datetime.now(UTC))
except StoreError as error:
    print(type(error).__name__, error)
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Store")


def test_a_damaged_file_says_what_to_do(tmp_path: Path, sightings: Any) -> None:
    """`database disk image is malformed` helps nobody."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "birdwatchd.sqlite3").write_bytes(b"this is no database at all " * 100)
    with pytest.raises(StoreDamaged, match="birdwatchd doctor --repair"):
        Store.open(home, zone=sightings.zone)


def test_what_the_network_alone_said_is_kept(store: Store, sightings: Any) -> None:
    """Who doubts a prior must be able to take it out again, years later."""
    verdict = replace(
        sightings.verdict(), raw_score=0.4, raw_top=(("Keel-billed toucan", 0.55), ("House sparrow", 0.4)), rare=True
    )
    store.writer().record(sightings.visit(verdict=verdict), [], sightings.start)
    kept = store.visits.get("v1")
    assert kept is not None
    assert kept.verdict == verdict
    assert kept.to_json()["raw_score"] == 0.4
    assert kept.to_json()["rare"] is True


def test_the_picture_that_is_published_is_the_one_that_shows_most_of_the_bird(writer: Writer, sightings: Any) -> None:
    """The sharpest picture of a visit is often the one of the empty perch."""
    empty = replace(sightings.moment(0, quality=0.9, jpeg=b"empty"), bird_evidence=-2.0)
    bird = replace(sightings.moment(1, quality=0.3, jpeg=b"bird"), bird_evidence=5.0)
    writer.record(sightings.visit(ended=True), [empty, bird], NOW)
    assert sightings.contexts[-1].image == b"bird"


def test_a_part_of_a_bird_at_the_edge_is_not_shown_before_the_whole_one(
    writer: Writer, store: Store, sightings: Any
) -> None:
    """The network says how much it looks like a bird; the quality, how much of it is in the picture. As for names."""
    part = replace(sightings.moment(0, quality=0.1, jpeg=b"tail"), bird_evidence=6.0)
    whole = replace(sightings.moment(1, quality=0.6, jpeg=b"whole"), bird_evidence=5.0)
    none = replace(sightings.moment(2, quality=1.0, jpeg=b"perch"), bird_evidence=-0.1)
    doubtful = replace(sightings.moment(3, quality=0.05, jpeg=b"wing"), bird_evidence=0.1)
    writer.record(sightings.visit(ended=True), [part, whole, none, doubtful], NOW)
    assert sightings.contexts[-1].image == b"whole"
    moments = sorted(store.visits.moments("v1"), key=lambda one: one.sort_key, reverse=True)
    assert [one.idx for one in moments] == [1, 0, 3, 2]
    with store._database.reading() as connection:
        query = sa.select(schema.moment.c.idx).order_by(*best_first())
        assert list(connection.execute(query).scalars()) == [1, 0, 3, 2]


def test_of_moments_of_older_versions_the_best_picture_is_published(writer: Writer, sightings: Any) -> None:
    """Nobody asked then how much of a bird they show."""
    rows = [sightings.moment(0, quality=0.3, jpeg=b"blur"), sightings.moment(1, quality=0.9, jpeg=b"sharp")]
    writer.record(sightings.visit(ended=True), rows, NOW)
    assert sightings.contexts[-1].image == b"sharp"


def nothing(sightings: Any, revision: int, **more: Any) -> Any:
    rejected = sightings.verdict(None, State.REJECTED, Rank.BIRD)
    return replace(sightings.visit("v1", revision, ended=True, verdict=rejected), **more)


def test_what_was_no_visit_goes_with_its_pictures_and_is_taken_back(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """Who was told of a bird is told that there was none, also after the row that the message was about has gone."""
    writer.record(sightings.visit("v1"), [sightings.moment(0)], NOW)
    writer.record(sightings.visit("v0"), [sightings.moment(0)], NOW)
    writer.withdraw(nothing(sightings, 2), NOW)
    assert [visit.visit_id for visit in store.visits.find()] == ["v0"]
    assert [crop.name for crop in (store.home / "media").rglob("*.jpg")] == ["v0-0.jpg"]
    assert sightings.contexts[-1].stored.phase is Phase.RETRACTED
    assert sightings.contexts[-1].last.visit.visit_id == "v0"
    assert len(store.outbox.pending(0, 100)) == 3  # two visits, and that one of them was none


def test_what_was_never_stored_needs_no_taking_back(store: Store, writer: Writer, sightings: Any) -> None:
    """Its first revision is its last."""
    writer.withdraw(nothing(sightings, 1), NOW)
    assert (store.visits.find(), sightings.contexts) == ([], [])


def test_what_a_person_has_reviewed_is_never_removed(store: Store, writer: Writer, sightings: Any) -> None:
    """They said what it is, whatever a machine finds out later."""
    writer.record(sightings.visit("v1", ended=True), [sightings.moment(0)], NOW)
    writer.review("v1", Review(ReviewVerdict.CONFIRM, "me"), NOW)
    writer.withdraw(nothing(sightings, 9), NOW)
    assert [visit.visit_id for visit in store.visits.find()] == ["v1"]


def test_the_clip_of_what_was_no_visit_is_removed(store: Store, writer: Writer, sightings: Any) -> None:
    """Else the next sweep moves it to lost+found, and somebody wonders whose it was."""
    clip = store.home / "media/nut/2026/05/01/v1.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"clip")
    writer.withdraw(nothing(sightings, 3, clip=str(clip.relative_to(store.home))), NOW)
    assert not clip.exists()


def test_what_only_the_network_confirmed_and_did_not_move_like_an_animal_is_no_example(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """A leaf that was once called a tit would soon be what a tit looks like here; unless a person says it was one."""
    for name, reasons in (("bird", ("why",)), ("leaf", (LIFELESS, "why")), ("owl", (LIFELESS,))):
        verdict = replace(sightings.verdict(), reasons=reasons)
        writer.record(sightings.visit(name, ended=True, verdict=verdict), [sightings.moment(0)], NOW)
    writer.review("owl", Review(ReviewVerdict.CONFIRM, "me"), NOW)
    assert {one.visit_id for one in store.examples.of_model("demo@1", 10)} == {"bird", "owl"}


def test_a_kill_while_a_visit_is_removed_leaves_nothing_to_rescue(
    store: Store, writer: Writer, sightings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures would come back as a visit with the next repair."""
    writer.record(sightings.visit("v1"), [sightings.moment(0)], NOW)
    with monkeypatch.context() as killed:
        killed.setattr(type(writer._setup.media), "remove_crop", lambda self, name: None)
        writer.withdraw(nothing(sightings, 2), NOW)
    assert len(crops(store.home)) == 1
    store.sweep(datetime.now(UTC))
    assert crops(store.home) == set()
    assert not (store.home / "lost+found").exists()


def test_a_database_library_without_mathematics_gets_a_logarithm() -> None:
    """SQLite is built with or without its mathematical functions, as who packs it likes."""

    class Bare(sqlite3.Connection):
        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            if sql == "SELECT ln(1.0)":
                raise sqlite3.OperationalError("no such function: ln")
            return super().execute(sql, *more)

    with closing(sqlite3.connect(":memory:", factory=Bare)) as connection:
        _give_logarithm(connection)
        assert connection.execute("SELECT ln(2.0) + max(0.5, 0.01)").fetchone() == (pytest.approx(1.1931472),)
        with pytest.raises(sqlite3.OperationalError, match="user-defined function"):  # it is ours that answers
            connection.execute("SELECT ln(0.0)").fetchone()
