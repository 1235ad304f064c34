"""The clock is followed once, what depends on it is told, and a busy database only delays it."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Stop
from birdwatchd.stages.timekeeping import Timekeeping, in_words
from birdwatchd.store.rescue.notes import read_note
from birdwatchd.testing import bird_image, example_moment, example_visit, temporary_store
from tests.support.clocks import Clocks

DAY = timedelta(days=1)


def test_a_clock_that_is_put_right_is_followed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """Database, pictures and broker say the new time, and the log says what was done."""
    caplog.set_level(logging.INFO)
    data, told = io.BytesIO(), list[timedelta]()
    bird_image().save(data, "JPEG")
    computer = Clocks()
    with temporary_store(ZoneInfo("UTC")) as store:
        store.clocks.begin(computer.clock)
        writer, start = store.writer(), computer.wall
        visit = example_visit("v1", start=start, end=start + timedelta(seconds=9))
        writer.record(replace(visit, clock=store.clocks.current), [example_moment(jpeg=data.getvalue())], start)
        stage = Timekeeping(computer.clock, store.clocks, renew_note=writer.renew_note, on_change=told.append)
        stage.run_once()
        assert told == []
        computer.wall += 3 * DAY
        stage.run_once()
        stage.run_once()
        assert told == [3 * DAY]
        assert store.visits.get("v1").start == start + 3 * DAY  # type: ignore[union-attr]
        stop = Stop()
        stage._renewed.append("v1")

        def renew(visit_id: str) -> None:
            writer.renew_note(visit_id)
            stop.set("test")

        stage._renew_note, stage._renewed = renew, ["v1"]
        stage.run(stop)
        (moment,) = store.visits.moments("v1")
        assert moment.crop is not None
        note = read_note(moment.crop)
        assert note is not None
        assert note.visit.start == start + 3 * DAY
    assert [record.getMessage() for record in caplog.records if record.name.startswith("birdwatchd")] == [
        "the system's clock was put forward by 3 days; 1 visits of this run are put right by as much"
    ]


def test_a_busy_database_delays_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is written next would be of another time than what was written before."""
    computer = Clocks()
    with temporary_store(ZoneInfo("UTC")) as store:
        store.clocks.begin(computer.clock)
        stage = Timekeeping(computer.clock, store.clocks)
        computer.wall += DAY
        before = computer.clock.now()

        def busy(*_: object) -> None:
            raise StoreBusy("another program holds it", "wait")

        with monkeypatch.context() as held:
            held.setattr(store.clocks, "change", busy)
            stage.run_once()
        assert computer.clock.now() == before
        stage.run_once()
        assert computer.clock.now() == before + DAY


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (9617 * DAY, "26 years"),
        (-3 * DAY, "3 days"),
        (timedelta(hours=1.5), "90 minutes"),
        (DAY / 8640, "10 s"),
    ],
)
def test_how_much_it_was_is_said_in_words(by: timedelta, words: str) -> None:
    """Nobody reads seconds."""
    assert in_words(by) == words
