"""The self-test's way through the stages: where it stops is said, and what it writes is nowhere afterwards."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.camera.process.wire import encode
from birdwatchd.errors import StoreBusy, StoreFull
from birdwatchd.flow import Mailbox
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import TEST_CAMERA, Box, Crop, Evidence, Moment, new_visit_id
from birdwatchd.settings.base import SLUG
from birdwatchd.settings.config import Config
from birdwatchd.stages import selftest as module
from birdwatchd.stages.selftest import SelfTest, unpack
from birdwatchd.store import Store, Writer
from birdwatchd.testing import example_moment, example_visit
from tests.support.homes import fill

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
TOPICS = Topics("birdwatch", "reserve1")


def evidence(**changes: Any) -> Evidence:
    moment = Moment(0, NOW, Box(0.1, 0.2, 0.3, 0.4), 0.9, Crop(b"jpeg", 64, 64))
    return replace(Evidence(new_visit_id(NOW), TEST_CAMERA, 1, NOW, NOW, NOW, (moment,), 1), **changes)


def dump(home: Path) -> list[str]:
    """All that the database says."""
    with closing(sqlite3.connect(home / "birdwatchd.sqlite3")) as connection:
        return list(connection.iterdump())


def files(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in (home / "media").rglob("*") if path.is_file()}


class Chain:
    """The mailbox, a classify and record stage of few lines, and a test in between."""

    def __init__(self, home: Path, *, topics: Topics | None = TOPICS, classified: int = 1, dead: bool = False) -> None:
        self.store = Store.open(home, zone=ZoneInfo("UTC"))
        self.metrics = Metrics()
        self.mailbox = Mailbox(self.metrics)
        self.mailbox.open_lane("nut")
        rules = Config.model_validate({"alerts": [{"name": "every"}], "mqtt": {"url": "mqtt://h"}})
        self.writer = self.store.writer(Composer(TOPICS), build_alert_engine(rules))
        self.test = SelfTest(
            self.mailbox,
            self.writer,
            self.store.outbox,
            self.metrics,
            model="demo@1",
            topics=topics,
            wake=lambda: None,
            clock=lambda: NOW,
        )
        self.classified, self.dead = classified, dead

    def stages(self) -> None:
        while not self.dead and (batch := self.mailbox.take(8, 0.0, 0.1)) is not None:
            for item in batch:
                visit = example_visit(item.visit_id, camera=item.camera, start=item.start, end=item.end)
                self.test.take(visit, [example_moment()] * self.classified)

    def run(self) -> list[tuple[str, bool, str]]:
        thread = threading.Thread(target=self.stages)
        thread.start()
        found = [(one["step"], one["ok"], one["text"]) for one in self.test.answer(encode(evidence()))]
        self.mailbox.close_lane("nut")
        thread.join(10)
        assert not thread.is_alive()
        return found


@contextmanager
def chain(home: Path, **options: Any) -> Iterator[Chain]:
    made = Chain(home, **options)
    yield made
    made.store.close()


def test_a_test_goes_through_and_leaves_the_home_as_it_was(tmp_path: Path) -> None:
    """Not a row, not a file, not a number of a row: a first of tomorrow must be a first."""
    fill(tmp_path, visits=3, crops=1)
    before = dump(tmp_path), files(tmp_path)
    with chain(tmp_path, topics=None) as made:
        steps = made.run()
        assert [step for step, _, _ in steps] == ["camera", "classify", "verdict", "record", "publish"]
        assert all(ok for _, ok, _ in steps), steps
        assert [name for name, labels, _ in made.metrics.snapshot() if TEST_CAMERA in labels.values()] == []
        assert made.store.visits.find(limit=99, since=None) == made.store.visits.find(limit=3, since=None)
    assert (dump(tmp_path), files(tmp_path)) == before


def test_a_message_of_a_test_that_nobody_took_does_not_wait_for_next_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would arrive when the broker is back, and say that a test passed that failed."""
    monkeypatch.setattr(module, "PUBLISH_S", 0.3)
    with chain(tmp_path) as made:
        assert made.run()[-1] == ("publish", False, "not acknowledged in 0 s: the broker is not connected; see the log")
        assert made.store.outbox.depth() == 0


@pytest.mark.parametrize(
    ("options", "stops", "says"),
    [
        ({"dead": True}, "classify", "no answer in 0 s, 0 crops wait; see the log for its stage"),
        ({"classified": 0}, "classify", "the network gave no answer"),
    ],
)
def test_a_stage_that_stands_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], stops: str, says: str
) -> None:
    """`it does not work` is what the person knew before."""
    monkeypatch.setattr(module, "CLASSIFY_S", 0.3)
    with chain(tmp_path, **options) as made:
        step, passed, text = made.run()[-1]
    assert (step, passed) == (stops, False)
    assert says in text


@pytest.mark.parametrize("error", [StoreBusy("the database is busy"), StoreFull("no room on the disk")])
def test_a_database_that_takes_nothing_stops_the_test_and_not_the_record_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The stage has real visits to write, and would try a test for ever."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Writer, "rehearse", fails)
    with chain(tmp_path) as made:
        assert made.run()[-1] == ("record", False, str(error))


def test_what_is_no_test_bird_is_refused() -> None:
    """Nobody may put visits of real cameras into the daemon over this socket."""
    assert isinstance(unpack(encode(evidence())), Evidence)
    for wrong in (
        encode(evidence(camera="nut")),
        encode(evidence(moments=())),
        encode(evidence(end=None)),
        encode(evidence())[:50],
        b"",
        b"{}",
    ):
        assert isinstance(unpack(wrong), str)
    assert not SLUG.fullmatch(TEST_CAMERA), "no camera of a configuration may have this name"


def test_a_kill_in_the_middle_of_a_rehearsal_leaves_a_file_that_is_no_picture_of_a_visit(tmp_path: Path) -> None:
    """The sweep and the repair make visits of what lies in day folders; the test's crop lies elsewhere."""
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as store:
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / ".selftest.jpg").write_bytes(b"left by a kill")
        assert store.sweep(NOW).moved == 0
        store.writer().rehearse(example_visit(camera=TEST_CAMERA), [example_moment()], NOW)
        assert store.visits.find(limit=9, since=None) == []
    assert files(tmp_path) <= {"media/.swept"}


def test_lanes_of_many_tests_do_not_add_up() -> None:
    """A test each minute for years."""
    mailbox = Mailbox(Metrics())
    for _ in range(100):
        mailbox.open_lane(TEST_CAMERA)
        mailbox.put(TEST_CAMERA, evidence())
        mailbox.close_lane(TEST_CAMERA)
        assert len(mailbox.take(8, 0.0) or []) == 1
    assert len(mailbox._turn) == len(mailbox._lanes) == 1
