"""What retention deletes, in which order, and what it never touches."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from birdwatchd.errors import StoreFull
from birdwatchd.records import Rank, State, Verdict, clip_path, new_visit_id
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.database import Database
from birdwatchd.store.media import MADE, made_path
from birdwatchd.store.rescue.rebuild import rebuild_rows
from birdwatchd.store.retention.going import add_going
from birdwatchd.store.retention.plan import GB
from birdwatchd.store.retention.retention import Retention
from birdwatchd.store.retention.value import FRESH_S, Item, Kind, Limit, Value
from birdwatchd.testing import example_moment, example_visit, temporary_store

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SPECIES = {"House sparrow": "Passer domesticus", "Great tit": "Parus major", "Eurasian hoopoe": "Upupa epops"}


@dataclass(frozen=True)
class Bird:
    """A visit to draw."""

    days: float
    name: str = "House sparrow"
    state: State = State.CONFIRMED
    rare: bool = False
    reviewed: bool = False
    clip: int = 0
    pictures: tuple[float, ...] = (0.5,)
    camera: str = "nut"
    size: int = 1000


def put(store: Store, birds: Sequence[Bird]) -> list[str]:
    """Store the visits, oldest first so that the firsts are theirs; their ids in the order of `birds`."""
    ids = {}
    for number, bird in sorted(enumerate(birds), key=lambda one: -one[1].days):
        start = NOW - timedelta(days=bird.days)
        visit_id = ids[number] = new_visit_id(start, number)
        verdict = Verdict(
            bird.state, Rank.SPECIES, bird.name, SPECIES[bird.name], 0.8, ((bird.name, 0.8),), rare=bird.rare
        )
        visit = example_visit(visit_id, start=start, camera=bird.camera, verdict=verdict)
        rows = [example_moment(i, quality=q, jpeg=bytes(bird.size)) for i, q in enumerate(bird.pictures)]
        store.writer().record(visit, rows, NOW)
        if bird.clip:
            name = clip_path(bird.camera, visit_id)
            (store.home / name).parent.mkdir(parents=True, exist_ok=True)
            (store.home / name).write_bytes(bytes(bird.clip))
            store.writer().record(replace(visit, revision=2, clip=name), [], NOW)
        if bird.reviewed:
            store.writer().review(visit_id, Review(ReviewVerdict.CONFIRM, by="me"), NOW)
    return [ids[number] for number in range(len(birds))]


def retention(store: Store, **limits: Any) -> Retention:
    return Retention(store._database, RetentionSettings(**limits))


def media_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in (store.home / "media").rglob("*") if path.is_file())


def run(one: Retention, now: datetime = NOW) -> None:
    for _ in one.steps(one.plan(now).items(), now):
        pass


def left(store: Store) -> set[str]:
    """What is left: `<visit id>-<index>.jpg`, `<visit id>.mp4`."""
    return {path.name for path in (store.home / "media").rglob("*") if path.is_file()} - {".swept"}


def check_rows_and_files_agree(home: Path) -> None:
    with closing(sqlite3.connect(home / "birdwatchd.sqlite3")) as database:
        named = {row[0] for row in database.execute("SELECT crop FROM moment WHERE crop IS NOT NULL")}
        named |= {row[0] for row in database.execute("SELECT clip FROM visit WHERE clip IS NOT NULL")}
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    there = {str(path.relative_to(home)) for path in (home / "media").rglob("*.*") if path.suffix}
    assert named == there


def test_nothing_is_deleted_unless_a_limit_is_set(store: Store) -> None:
    """Who has not asked for it must never lose a picture."""
    put(store, [Bird(4000, clip=10), Bird(1)])
    assert list(retention(store).plan(NOW).items()) == []


def test_ordinary_pictures_go_by_age_and_visits_stay(store: Store) -> None:
    """`keep_days` is about pictures and clips; what was seen when is small, and the point of it all."""
    ids = put(
        store,
        [
            Bird(800, pictures=(0.9, 0.5)),  # first ever
            Bird(799, pictures=(0.6, 0.9), clip=10),  # of which one is the best of its month
            Bird(798, pictures=(0.6, 0.8), clip=10),
            Bird(797, state=State.UNCERTAIN),
            Bird(1500, state=State.UNCERTAIN, name="Great tit"),
            Bird(795, name="Eurasian hoopoe", rare=True),
            Bird(794, reviewed=True),
            Bird(364, pictures=(0.6, 0.8), clip=10),
        ],
    )
    run(retention(store, keep_days=365))
    assert len(store.visits.find()) == 8
    gone = {
        f"{ids[1]}-0.jpg",
        f"{ids[1]}.mp4",
        f"{ids[2]}-0.jpg",
        f"{ids[2]}-1.jpg",
        f"{ids[2]}.mp4",
    }
    everything = {f"{one}-0.jpg" for one in ids} | {f"{ids[i]}-1.jpg" for i in (0, 1, 2, 7)}
    everything |= {f"{ids[i]}.mp4" for i in (1, 2, 7)}
    best = {f"{ids[1]}-1.jpg"} if f"{ids[1]}-1.jpg" in left(store) else {f"{ids[0]}-0.jpg"}
    assert left(store) | gone | best == everything
    assert left(store) & gone == set()
    check_rows_and_files_agree(store.home)


def test_clips_go_before_pictures_and_pictures_before_visits(store: Store) -> None:
    """A clip takes as much as a hundred pictures, and a picture as much as many rows."""
    put(store, [Bird(10 + n, clip=50_000, size=20_000, pictures=(0.5, 0.4)) for n in range(30)])
    size = retention(store).usage()
    kinds: list[Kind] = []
    for allowed in (size.total - 100_000, size.total - size.clips - 50_000, size.database // 2):
        plan = retention(store, max_gb=allowed / GB).plan(NOW)
        kinds = [item.kind for item in plan.items()]
        assert kinds == sorted(kinds, key=list(Kind).index)
        assert plan.above_max <= 0
    assert set(kinds) == set(Kind)


def test_visits_that_nobody_can_see_again_stay(store: Store) -> None:
    """Without the first hoopoe the next one would be the first ever once more; and a review is somebody's work."""
    ids = put(
        store,
        [
            Bird(500, "Eurasian hoopoe"),
            Bird(30, reviewed=True),
            *(Bird(100 + n, state=State.UNKNOWN) for n in range(20)),
            Bird(300),
        ],
    )
    one = retention(store, max_gb=0.00001)
    run(one)
    assert {visit.visit_id for visit in store.visits.find()} == {ids[0], ids[1], ids[-1]}
    assert one.plan(NOW).above_max > 0, "and the plan says that the limit cannot be reached"
    assert left(store) == set()


def test_uncertain_visits_stay_until_nothing_old_and_ordinary_is_left(store: Store) -> None:
    """Somebody may still name them; but they must not fill the disk against everything new."""
    ids = put(
        store,
        [
            Bird(900),  # first ever
            Bird(800, state=State.UNCERTAIN, pictures=(0.5,) * 4, clip=100),
            *(Bird(500 - n, state=State.UNKNOWN) for n in range(3)),
            Bird(20, state=State.UNKNOWN),
            Bird(10, name="Eurasian hoopoe", rare=True),
        ],
    )
    run(retention(store, keep_days=100))
    assert {f"{ids[1]}-{n}.jpg" for n in range(4)} | {f"{ids[1]}.mp4"} <= left(store), "no age is too old"
    put(store, [Bird(499 - n / 10, state=State.UNKNOWN) for n in range(3)])
    order = [item.visit_id for item in retention(store, max_gb=1e-9).plan(NOW).items() if item.kind is Kind.PICTURES]
    assert order[-4:] == [ids[1], ids[5], ids[0], ids[6]], "both firsts last"
    assert len(order) == 7


def test_what_is_new_or_going_on_stays(store: Store) -> None:
    """Its clip is still being written, and Home Assistant is just loading its picture."""
    ids = put(store, [Bird(0.02), Bird(3)])
    start = NOW - timedelta(days=2)
    store.writer().record(example_visit("going-on", start=start, end=None), [example_moment()], NOW)
    run(retention(store, max_gb=0.0000001))
    assert left(store) == {f"{ids[0]}-0.jpg", "going-on-0.jpg"}


def test_a_visit_with_unsent_messages_stays(store: Store, sightings: Any) -> None:
    """After a month without a connection its message still has to arrive."""
    start = NOW - timedelta(days=40)
    put(store, [Bird(50), Bird(45)])
    visit = example_visit("unsent", start=start)
    store.writer(sightings.compose).record(visit, [], NOW)
    run(retention(store, max_gb=0.0000001))
    assert store.visits.get("unsent") is not None
    assert store.outbox.depth() == 1


def test_a_review_between_plan_and_deletion_counts(store: Store) -> None:
    """A plan may take hours to be carried out, and a person does not know of it."""
    ids = put(store, [Bird(600, pictures=(0.1,)), Bird(500, pictures=(0.1, 0.2)), Bird(499, pictures=(0.9,))])
    one = retention(store, keep_days=365)
    items = list(one.plan(NOW).items())
    assert {item.visit_id for item in items} == {ids[1]}
    store.writer().review(ids[1], Review(ReviewVerdict.CONFIRM, by="me"), NOW)
    assert not one.delete(items, NOW)
    assert f"{ids[1]}-0.jpg" in left(store)


def test_files_that_a_backup_shares_do_not_make_room(store: Store, tmp_path: Path) -> None:
    """Deleting all pictures for `min_free_gb` while a backup on the same disk holds them would free nothing."""
    put(store, [Bird(300 + n, clip=1000) for n in range(4)])
    for path in (store.home / "media").rglob("*.mp4"):
        os.link(path, tmp_path / path.name)
    items = list(retention(store, min_free_gb=99_999).plan(NOW).items())
    assert items
    assert {item.kind for item in items} == {Kind.PICTURES}
    assert all(item.freed for item in items)


def test_a_disk_that_others_fill_costs_no_picture_that_cannot_be_taken_again(store: Store) -> None:
    """Whatever were deleted, a log file that grows would take it all."""
    put(store, [Bird(500, reviewed=True), Bird(400, rare=True), Bird(300, pictures=(0.2, 0.7)), Bird(299)])
    items = list(retention(store, min_free_gb=99_999).plan(NOW).items())
    assert items
    assert {item.value for item in items} <= {Value.ORDINARY, Value.UNCERTAIN}
    assert {item.limit for item in items} == {Limit.MIN_FREE_GB}


def test_what_the_page_made_of_a_picture_goes_with_it(store: Store) -> None:
    """`keep_days` is about pictures of people too; a small one of each would stay for years."""
    (visit_id,) = put(store, [Bird(400, state=State.UNKNOWN)])
    (moment,) = store.visits.moments(visit_id)
    assert moment.crop is not None
    made = [made_path(store.home, moment.crop.relative_to(store.home).as_posix(), kind) for kind in MADE]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"small")
    run(retention(store, keep_days=365))
    assert left(store) == set()
    assert [path for path in made if path.exists()] == []


def test_empty_folders_go(store: Store) -> None:
    """Ten years are 3650 folders for each camera, which every start would look into."""
    put(store, [Bird(400), Bird(399), Bird(390, clip=5, state=State.UNKNOWN, camera="other")])
    store.writer().review(store.visits.find(limit=1)[0].visit_id, Review(ReviewVerdict.NOT_A_BIRD, by="me"), NOW)
    assert (store.home / "media/nut/2025").is_dir()
    run(retention(store, max_gb=0.0000001))
    assert {path.name for path in (store.home / "media").rglob("*")} == {"nut", "other"}


def test_a_full_disk_is_freed_though_no_row_can_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite needs a page to forget a file; on a disk without one the file has to go first."""
    put(store, [Bird(400 + n, clip=100) for n in range(3)])
    one = retention(store, keep_days=1)
    database = store._database
    real = type(database).writing

    @contextmanager
    def writing(self: Any, *, durable: bool = False) -> Iterator[Any]:
        if len(list((store.home / "media").rglob("*.mp4"))) > 1:  # that of the first sparrow stays
            raise StoreFull("no room on the disk")
        with real(self, durable=durable) as connection:
            yield connection

    monkeypatch.setattr(type(database), "writing", writing)
    run(one)
    assert sum(name.endswith(".mp4") for name in left(store)) == 1
    check_rows_and_files_agree(store.home)


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import Store
left = int(sys.argv[2])
real = Path.unlink
def unlink(self, missing_ok=False):
    global left
    if self.suffix == ".jpg":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    real(self, missing_ok=missing_ok)
Path.unlink = unlink
now = datetime.fromisoformat(sys.argv[3])
with Store.open(Path(sys.argv[1]), zone=ZoneInfo("UTC")) as store:
    one = store.retention(RetentionSettings(keep_days=100))
    for _ in one.steps(one.plan(now).items(), now):
        pass
"""


@pytest.mark.parametrize("unlinked", [0, 5, 23])
def test_what_a_kill_leaves_is_deleted_by_the_next_start(store: Store, unlinked: int) -> None:
    """It is no picture of a lost row: `doctor --repair` would bring back what was to go."""
    put(store, [Bird(400 + n) for n in range(40)])
    store.close()
    command = [sys.executable, "-c", KILLED, str(store.home), str(unlinked), NOW.isoformat()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with closing(Database.open(store.home)) as database:
        rebuilt = rebuild_rows(database, ZoneInfo("UTC"), NOW)
        assert (rebuilt.visits, rebuilt.crops) == (0, 0), "also where nobody has started since"
    with Store.open(store.home, zone=ZoneInfo("UTC")) as again:
        swept = again.sweep(NOW)
        assert (swept.moved, swept.left) == (0, 0)
        check_rows_and_files_agree(again.home)
        run(retention(again, keep_days=100))
        check_rows_and_files_agree(again.home)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT count(*) FROM going").fetchone() == (0,)
    assert not (store.home / "lost+found").exists()


def test_a_file_that_is_named_again_is_not_deleted(store: Store) -> None:
    """A recording was scanned anew after its visit went: its picture has the same name."""
    ids = put(store, [Bird(400), Bird(399)])
    names = sorted(path.relative_to(store.home).as_posix() for path in (store.home / "media").rglob("*.jpg"))
    with store._database.writing() as connection:
        add_going(connection, [*names, "../outside.jpg", "media/../birdwatchd.sqlite3"])
    store.sweep(NOW)
    assert left(store) == {f"{one}-0.jpg" for one in ids}
    assert store.path.exists()


BIRDS = st.builds(
    Bird,
    days=st.floats(0.1, 1500),
    name=st.sampled_from(list(SPECIES)),
    state=st.sampled_from(list(State)),
    rare=st.booleans(),
    reviewed=st.sampled_from([False, False, False, True]),
    clip=st.sampled_from([0, 3000, 9000]),
    pictures=st.lists(st.floats(0, 1), max_size=3).map(tuple),
    camera=st.sampled_from(["nut", "pond"]),
    size=st.integers(500, 5000),
)


def worth(
    store: Store, birds: Sequence[Bird], ids: Sequence[str], keep_days: int | None
) -> dict[tuple[Kind, str], tuple[float, float]]:
    """The worth of every file, in another way than the plan reckons it: larger is more, as (reason, minus age)."""
    by_id = dict(zip(ids, birds, strict=True))
    firsts = {one.visit.visit_id: one.firsts for one in store.visits.stored()}
    best: dict[tuple[str, str], tuple[float, str, str]] = {}
    for visit_id, bird in by_id.items():
        month = (NOW - timedelta(days=bird.days)).strftime("%Y-%m")
        visit = store.visits.get(visit_id)
        assert visit is not None
        if visit.verdict.species and bird.days * 86400 >= 3600:
            for index, quality in enumerate(bird.pictures):
                found = (quality, visit_id, f"{visit_id}-{index}.jpg")
                best[bird.name, month] = max(best.get((bird.name, month), found), found)
    reasons = {}
    for visit_id, bird in by_id.items():
        reviewed = bird.reviewed and bird.state is not State.REJECTED
        reason: float = (
            6 if reviewed else 5 if "ever" in firsts[visit_id] else 4 if "year" in firsts[visit_id] else 3 * bird.rare
        )
        if not reason and bird.state is State.UNCERTAIN:
            reason = 1.0
        elif not reason and bird.days < min(FRESH_S / 86400, keep_days or 10_000):
            reason = 1.5
        age = bird.days
        reasons[Kind.CLIP, f"{visit_id}.mp4"] = float(reason), -age
        for index in range(len(bird.pictures)):
            name = f"{visit_id}-{index}.jpg"
            is_best = reason in (0, 1.5) and any(found[2] == name for found in best.values())
            reasons[Kind.PICTURES, name] = (2.0, -bird.days) if is_best else (float(reason), -age)
    return reasons


@given(
    birds=st.lists(BIRDS, min_size=1, max_size=18),
    share=st.floats(0.0, 1.0),
    keep_days=st.none() | st.integers(1, 1500),
)
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_nothing_goes_while_something_of_less_value_stays(
    birds: list[Bird], share: float, keep_days: int | None
) -> None:
    """The promise of retention, at every single step, for any visits and limits."""
    check_every_step(birds, share, keep_days)


def test_nothing_of_many_visits_goes_while_something_of_less_value_stays() -> None:
    """The same with so many that months, species and reasons all have several."""
    chance = random.Random(2026)
    birds = [
        Bird(
            days=chance.uniform(0.1, 900),
            name=chance.choice(list(SPECIES)),
            state=chance.choice([State.CONFIRMED] * 6 + list(State)),
            rare=chance.random() < 0.03,
            reviewed=chance.random() < 0.05,
            clip=chance.choice([0, 0, 5000]),
            pictures=tuple(chance.random() for _ in range(chance.randint(0, 4))),
            camera=chance.choice(["nut", "pond"]),
            size=chance.randint(500, 5000),
        )
        for _ in range(250)
    ]
    check_every_step(birds, 0.15, 700)


def check_every_step(birds: list[Bird], share: float, keep_days: int | None) -> None:
    birds = [replace(bird, reviewed=bird.reviewed and bird.state is not State.REJECTED) for bird in birds]
    birds = [replace(bird, reviewed=bird.reviewed and bird.state is not State.UNKNOWN) for bird in birds]
    with temporary_store(ZoneInfo("UTC")) as store:
        ids = put(store, birds)
        worths = worth(store, birds, ids, keep_days)
        usage = retention(store).usage()
        assert usage.clips + usage.pictures == media_bytes(store)
        allowed = usage.database + share * (usage.clips + usage.pictures) + 1
        one = retention(store, max_gb=allowed / GB, keep_days=keep_days)
        plan = one.plan(NOW)
        there, by_age = left(store), True
        fresh = {i for i, bird in zip(ids, birds, strict=True) if bird.days * 86400 < 3600}
        for item in plan.items():
            names = {Path(name).name for name in item.files}
            assert item.kind is not Kind.VISIT
            if item.limit is Limit.KEEP_DAYS:
                assert by_age, "what is too old goes first"
                assert item.value.by_age
                assert keep_days is not None
                assert all(-worths[item.kind, name][1] > keep_days for name in names)
            else:
                by_age = False
                stay = {name for name in there - names if name.split("-")[0].split(".")[0] not in fresh}
                kind = ".mp4" if item.kind is Kind.CLIP else ".jpg"
                assert item.kind is Kind.CLIP or not any(name.endswith(".mp4") for name in stay)
                least = min((worths[item.kind, name] for name in stay if name.endswith(kind)), default=(9.0, 0.0))
                assert max(worths[item.kind, name] for name in names) <= least
                assert media_bytes(store) + usage.database > allowed, "no more goes than has to"
            assert one.delete([item], NOW)
            there -= names
            assert left(store) == there
        check_rows_and_files_agree(store.home)
        assert len(store.visits.find()) == len(birds)
        old = [name for name in there if name.split("-")[0].split(".")[0] not in fresh]
        assert media_bytes(store) + usage.database <= allowed or not old
        if keep_days is not None:
            for name in old:
                reason, age = worths[Kind.CLIP if name.endswith(".mp4") else Kind.PICTURES, name]
                assert reason >= 1 or -age <= keep_days


@given(birds=st.lists(BIRDS, min_size=1, max_size=25), allowed=st.floats(0.1, 1.0))
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_the_order_of_visits_is_that_of_their_value(birds: list[Bird], allowed: float) -> None:
    """Where even rows have to go, the oldest ordinary ones go first, and what must stay stays."""
    birds = [replace(bird, pictures=(), clip=0, reviewed=False) for bird in birds]
    with temporary_store(ZoneInfo("UTC")) as store:
        ids = put(store, birds)
        firsts = {one.visit.visit_id: one.firsts for one in store.visits.stored()}
        usage = retention(store).usage()
        items = list(retention(store, max_gb=allowed * usage.database / GB).plan(NOW).items())

        def place(visit_id: str, bird: Bird) -> tuple[float, float]:
            fresh = 1.5 if bird.days < FRESH_S / 86400 else 0.0
            return 2.0 if bird.rare else 1.0 if bird.state is State.UNCERTAIN else fresh, -bird.days

        may_go = [
            (place(visit_id, bird), visit_id)
            for visit_id, bird in zip(ids, birds, strict=True)
            if not {"ever", "year"} & set(firsts[visit_id]) and bird.days * 86400 >= 3600
        ]
        wanted = [visit_id for _, visit_id in sorted(may_go)]
        assert [item.visit_id for item in items] == wanted[: len(items)]
        each = usage.database // usage.visits
        assert len(items) == len(wanted) or usage.database - len(items) * each <= allowed * usage.database + 1


def test_a_plan_reads_no_more_months_than_it_needs(store: Store) -> None:
    """A station of years frees some room each hour, and must not read a million file names for it."""
    put(store, [Bird(30.0 * n + 1, size=10_000, pictures=(0.5, 0.6)) for n in range(24)])
    one = retention(store)
    usage = one.usage()
    listed: list[str] = []
    real = one.folders.files

    class Counting(type(one.folders)):  # type: ignore[misc]
        def files(self, folders: list[str]) -> Any:
            listed.extend(folders)
            return real(folders)

    one.folders = Counting(store.home)
    one.limits = RetentionSettings(max_gb=(usage.total - 5_000) / GB)
    one.folders.measure()
    listed.clear()
    items: list[Item] = list(one.plan(NOW).items())
    assert len(items) == 1
    assert 0 < len(listed) <= 4
