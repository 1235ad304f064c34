"""A clock that was wrong and is put right holds nothing on a date that has not come, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from birdwatchd.errors import StoreError
from birdwatchd.records import Message, new_visit_id
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import Shifted, Store, outbox
from birdwatchd.store.retention.plan import GB
from birdwatchd.store.timekeeping.doubt import Doubt
from birdwatchd.testing import example_moment, example_visit
from tests.support.clocks import Clocks

NOW = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Station:
    """A home and the computer that it is on."""

    open_store: Callable[[], Store]
    computer: Clocks

    def __post_init__(self) -> None:
        self.numbers = count()
        self.start()

    def start(self) -> Shifted:
        """A run begins."""
        self.computer.restart()
        self.store = self.open_store()
        return self.store.clocks.begin(self.computer.clock)

    def now(self) -> datetime:
        return self.computer.clock.now()

    def visit(self, name: str = "House sparrow", **fields: Any) -> str:
        """A bird is there now, for 9 seconds."""
        start = self.now()
        self.computer.wait(9)
        visit = example_visit(new_visit_id(start, next(self.numbers)), name, start=start, end=self.now(), **fields)
        visit = replace(visit, clock=self.store.clocks.current)
        self.store.writer().record(visit, [example_moment()], self.now())
        return visit.visit_id

    def watch(self, minutes: int) -> None:
        """A camera is online all the while."""
        for _ in range(minutes):
            self.store.effort.note("nut", self.now(), "online", self.store.clocks.current)
            self.computer.wait(60)

    def follow(self) -> Shifted:
        change = self.computer.clock.look()
        assert change is not None
        return self.store.clocks.change(self.computer.clock, change)

    def firsts(self) -> dict[str, tuple[str, ...]]:
        return {one.visit.visit_id: one.firsts for one in self.store.visits.stored()}

    def last(self) -> str | None:
        last = self.store.cameras.summary("nut", self.now()).last
        return None if last is None else last.visit.visit_id


@pytest.fixture
def station(open_store: Callable[[], Store]) -> Callable[..., Station]:
    return lambda **computer: Station(open_store, Clocks(**computer))


def test_a_clock_that_was_ahead_is_put_right_with_all_that_it_stamped(station: Callable[..., Station]) -> None:
    """Three days ahead until network time came: neither `last`, nor firsts, nor effort wait for that day."""
    here = station(wall=NOW + 3 * DAY)
    here.watch(5)
    early = here.visit()
    here.computer.wall -= 3 * DAY
    here.computer.synchronised = True
    done = here.follow()
    assert (done.visits, done.spans, done.cameras) == ((early,), 1, ("nut",))
    here.watch(5)
    late = here.visit()
    assert here.last() == late
    assert here.firsts() == {early: ("ever", "year", "season", "today"), late: ()}
    visits = here.store.visits.find()
    assert [visit.visit_id for visit in visits] == [early, late]
    assert [visit.start for visit in visits] == [NOW + timedelta(minutes=5), NOW + timedelta(minutes=10, seconds=9)]
    assert all(visit.end is not None and visit.end - visit.start == timedelta(seconds=9) for visit in visits)
    (moment,) = here.store.visits.moments(early)
    assert moment.at < here.now()
    spans = here.store.effort.spans()
    assert sum(((span.end - span.start) for span in spans), timedelta()) == timedelta(minutes=8)
    assert all(NOW <= span.start <= span.end <= here.now() for span in spans)
    assert [one.doubt for one in here.store.stretches()] == [None, None]


def test_a_station_that_starts_in_2000_goes_on_after_its_last_visit(station: Callable[..., Station]) -> None:
    """No visit is of 2000 and none is 26 years long, and the real time comes with network time."""
    here = station(synchronised=True)
    before = here.visit()
    here.computer.wall, here.computer.synchronised, here.computer.steady = datetime(2000, 1, 1, tzinfo=UTC), False, 30.0
    here.store.close()
    here.start()
    here.computer.wait(60)
    dark = here.visit()
    assert [one.doubt for one in here.store.stretches()] == [None, Doubt.BEHIND]
    assert [visit.start.year for visit in here.store.visits.find()] == [2026, 2026]
    assert here.last() == dark
    assert "ever" not in here.firsts()[dark]
    assert "today" not in here.firsts()[dark], "the earliest that it can have been is the same day"
    here.computer.wall, here.computer.synchronised = NOW + 2 * DAY, True
    assert here.follow().visits == (dark,)
    found = {visit.visit_id: visit.start for visit in here.store.visits.find()}
    assert found == {before: NOW, dark: NOW + 2 * DAY - timedelta(seconds=9)}
    assert "today" in here.firsts()[dark]
    assert [one.doubt for one in here.store.stretches()] == [None, None, None]


def test_what_is_said_later_of_a_visit_is_put_right_like_the_rest_of_it(station: Callable[..., Station]) -> None:
    """Its camera goes on stamping it by the old time, and evidence waits in queues."""
    here = station(wall=NOW + 3 * DAY)
    start = here.now()
    visit = replace(example_visit("v1", start=start, end=None), clock=here.store.clocks.current)
    here.store.writer().record(visit, [], here.now())
    here.computer.wait(60)
    here.computer.wall -= 3 * DAY
    here.follow()
    over = replace(visit, revision=2, end=start + timedelta(seconds=90), last_seen=start + timedelta(seconds=90))
    moment = replace(example_moment(1).moment, at=start + timedelta(seconds=80))
    dated, moments = here.store.clocks.dated(over, [moment])
    assert (dated.start, dated.end) == (NOW, NOW + timedelta(seconds=90))
    assert [one.at for one in moments] == [NOW + timedelta(seconds=80)]
    new = replace(visit, clock=here.store.clocks.current)
    assert here.store.clocks.dated(new, []) == (new, [])


def test_effort_is_not_forgotten_when_the_clock_is_put_right(station: Callable[..., Station]) -> None:
    """It is written every half a minute only; what waits belongs to the old time."""
    here = station(wall=NOW + 3 * DAY)
    for second in (0, 10, 20):
        here.store.effort.note("nut", here.now() + timedelta(seconds=second), "online", here.store.clocks.current)
    here.computer.wait(25)
    here.store.effort.flush()
    here.computer.wall -= 3 * DAY
    here.follow()
    (span,) = here.store.effort.spans()
    assert (span.start, span.end) == (NOW, NOW + timedelta(seconds=20))


def test_a_clock_that_is_set_twice_by_hand_is_as_right_as_the_second_time(station: Callable[..., Station]) -> None:
    """Who mistypes the year sets it again, and what was stamped before both comes along."""
    here = station(wall=NOW + 3 * DAY)
    visit = here.visit()
    here.computer.wall += timedelta(days=365)
    here.follow()
    here.computer.wall -= timedelta(days=368)
    here.follow()
    assert here.store.visits.get(visit).start == NOW  # type: ignore[union-attr]


def test_what_a_clock_that_was_ahead_has_stored_counts_for_nothing_after_a_restart(
    station: Callable[..., Station],
) -> None:
    """Nobody saw by how much it was set: it is marked until somebody says so; then firsts are reckoned anew."""
    here = station(wall=NOW + 3 * DAY)
    here.watch(5)
    wrong = here.visit()
    here.computer.wall, here.computer.synchronised = NOW, True
    here.store.close()
    marked = here.start()
    assert (marked.visits, marked.spans) == ((wrong,), 1)
    here.watch(5)
    right = here.visit()
    assert here.last() == right
    assert here.firsts()[right] == ("ever", "year", "season", "today")
    assert here.store.visits.newest_bird("nut").visit_id == right  # type: ignore[union-attr]
    assert here.store.visits.last_seen("Passer domesticus", NOW + 9 * DAY, right) is None
    assert max(span.end for span in here.store.effort.spans() if span.start < NOW + DAY) > NOW
    here.computer.wait(3 * 86400.0)  # the false date comes: it is still false
    here.watch(2)
    assert here.store.cameras.day(here.now().date()).visits == 0
    (ahead,) = [one for one in here.store.stretches() if one.doubt is Doubt.AHEAD]
    by = timedelta(days=-4)
    planned = here.store.clocks.shift(by, here.now(), stretch=ahead.number, dry_run=True)
    assert here.store.visits.get(wrong).start > NOW + 2 * DAY  # type: ignore[union-attr]
    assert here.store.clocks.shift(by, here.now(), stretch=ahead.number) == planned
    assert here.firsts() == {wrong: ("ever", "year", "season", "today"), right: ("today",)}
    assert not [one for one in here.store.stretches() if one.doubt]


def test_a_shift_into_the_future_is_refused(station: Callable[..., Station]) -> None:
    """A mistyped sign must not make it worse; nothing of it stays."""
    here = station()
    visit = here.visit()
    with pytest.raises(StoreError, match="has not come"):
        here.store.clocks.shift(DAY, here.now(), stretch=here.store.clocks.current)
    with pytest.raises(StoreError, match="no stretch 99"):
        here.store.clocks.shift(-DAY, here.now(), stretch=99)
    assert here.store.visits.get(visit).start == NOW  # type: ignore[union-attr]


def test_visits_of_older_versions_are_shifted_by_their_dates(station: Callable[..., Station]) -> None:
    """A station has a season of 2000 in its database, from before this could be known."""
    here = station()
    old = datetime(2000, 1, 1, 0, 10, tzinfo=UTC)
    here.store.writer().record(example_visit("old", start=old, end=old + timedelta(seconds=5)), [], old)
    here.store.effort.note("nut", old, "online")
    recording = example_visit("card", start=old, end=old + timedelta(seconds=5), media="card.mp4")
    here.store.writer().record(recording, [], old)
    span = old - timedelta(minutes=10), old + DAY
    done = here.store.clocks.shift(NOW - old, here.now(), span=span)
    assert (done.visits, done.spans) == (("old",), 1)
    assert here.store.visits.get("old").start == NOW  # type: ignore[union-attr]
    assert here.store.visits.get("card").start == old  # type: ignore[union-attr]
    with pytest.raises(StoreError, match="no older version"):
        here.store.clocks.shift(DAY, here.now(), span=span)


def test_synchronised_runs_are_one_stretch_and_effort_goes_on_over_a_restart(station: Callable[..., Station]) -> None:
    """Both are right; a restart of a minute is no gap."""
    here = station(synchronised=True)
    here.watch(3)
    here.store.close()
    here.start()
    here.watch(3)
    assert len(here.store.stretches()) == 1
    (span,) = here.store.effort.spans()
    assert span.end - span.start == timedelta(minutes=5)


def test_alerts_that_wait_are_not_too_old_when_the_clock_is_put_right(station: Callable[..., Station]) -> None:
    """Their age is how long they have waited, not how wrong the clock was."""
    here = station(wall=datetime(2026, 1, 1, tzinfo=UTC))
    with here.store._database.writing() as connection:
        outbox.add(connection, [Message("alert", b"{}", channel="phone")], here.now())
    here.computer.wait(60)
    here.computer.wall = NOW
    here.follow()
    assert here.store.outbox.drop_older("phone", here.now() - timedelta(hours=1)) == 0
    assert here.store.outbox.oldest_s(here.now(), "phone") == 60.0


def test_nothing_is_too_old_for_a_clock_that_nobody_keeps_right(station: Callable[..., Station]) -> None:
    """Ten years ahead for a week, and again after a restart: no picture may go for it."""
    here = station(synchronised=True)
    for _ in range(3):  # a first, the best of its month, and one that may go
        here.visit()
    limits = RetentionSettings(keep_days=30)
    here.computer.synchronised = False
    for _ in range(2):
        here.store.close()
        here.computer.wall += timedelta(days=3650)
        here.start()
        here.watch(3)
        here.visit("Great tit")
        assert list(here.store.retention(limits).plan(here.computer.clock.certain()).items()) == []
    here.computer.synchronised = True
    here.computer.wall = NOW + timedelta(days=100)
    here.follow()
    assert list(here.store.retention(limits).plan(here.computer.clock.certain()).items())


def test_pictures_of_a_false_future_can_be_deleted(station: Callable[..., Station]) -> None:
    """Else `max_gb` could not be kept until that day comes; and what is older goes first, wherever it lies."""
    here = station(wall=NOW + timedelta(days=800))
    for _ in range(3):
        here.visit()
    here.computer.wall, here.computer.synchronised = NOW, True
    here.store.close()
    here.start()
    usage = here.store.retention(RetentionSettings()).usage()
    plan = here.store.retention(RetentionSettings(max_gb=usage.database / GB)).plan(here.now())
    assert len(list(plan.items())) == 3
    assert plan.above_max <= 0
