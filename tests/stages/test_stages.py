"""The stages, one `run_once` at a time: what is asked of the classifier, what is written, what survives trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    Box,
    CameraState,
    CameraStatus,
    Crop,
    Evidence,
    Label,
    Moment,
    Prediction,
    State,
    Visit,
)
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.stages.classify import Classify, Judged
from birdwatchd.stages.record import Record
from birdwatchd.stages.upkeep import Upkeep

AT = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
LABELS = (Label("Great tit", "Parus major"), Label("House sparrow", "Passer domesticus"))


def moment(index: int, quality: float = 0.5) -> Moment:
    return Moment(index, AT, Box(0.1 * index, 0.2, 0.1, 0.1), quality, Crop(b"", 1, 1))


def evidence(visit: str, revision: int, *moments: Moment, end: datetime | None = None) -> Evidence:
    return Evidence(visit, "cam", revision, AT, end, AT + timedelta(seconds=revision), moments, 1)


@dataclass
class Oracle:
    """A classifier whose answers are given by the test, per moment index; keeps what it was asked."""

    logits: dict[int, tuple[float, float]]
    max_batch: int = 8
    asked: list[int] = field(default_factory=list)

    def predict(self, moments: Sequence[tuple[str, Moment]]) -> list[Prediction]:
        self.asked.append(len(moments))
        return [
            Prediction(visit, m, np.array(self.logits[m.index], np.float32), np.zeros(4, np.float32))
            for visit, m in moments
            if m.index in self.logits
        ]


def classify(oracle: Oracle, stop: Stop | None = None) -> Classify:
    fusion = Fusion(LABELS, SpeciesSettings())
    metrics = Metrics()
    out: Handover[tuple[Judged, ...]] = Handover("record", metrics)
    box = Mailbox(metrics)
    return Classify(box, out, oracle, fusion.running, metrics, max_wait_s=0, stop=stop or Stop())


def test_a_verdict_is_revised_as_moments_arrive() -> None:
    """One lucky frame must not decide: later, better looks change the name."""
    stage = classify(Oracle({0: (0.5, 0.0), 1: (0.0, 9.0)}))
    (first,) = stage.judge([evidence("v", 1, moment(0))])
    (second,) = stage.judge([evidence("v", 2, moment(1))])
    assert first.verdict.state is State.UNCERTAIN
    assert second.verdict.common_name == "House sparrow"
    assert second.verdict.state is State.CONFIRMED
    assert (first.moments, second.moments) == (1, 2)


def test_crops_of_all_visits_share_one_batch() -> None:
    """That is what lets one GPU carry hundreds of cameras."""
    oracle = Oracle({0: (1, 0), 1: (1, 0)})
    stage = classify(oracle)
    judged = stage.judge([evidence("a", 1, moment(0), moment(1)), evidence("b", 1, moment(0))])
    assert oracle.asked == [3]
    assert [len(j.predictions) for j in judged] == [2, 1]


def test_the_box_of_a_visit_is_that_of_its_best_picture() -> None:
    """The last revision carries no picture of its own, yet its JSON must say where the bird was."""
    stage = classify(Oracle({0: (9, 0), 1: (9, 0)}))
    stage.judge([evidence("v", 1, moment(0, quality=0.9))])
    stage.judge([evidence("v", 2, moment(1, quality=0.2))])
    (last,) = stage.judge([evidence("v", 3, end=AT)])
    assert last.box == moment(0).box


def test_a_picture_that_cannot_be_read_does_not_cost_the_visit() -> None:
    """That a bird was there is known even when no picture of it is."""
    stage = classify(Oracle({}))
    (judged,) = stage.judge([evidence("v", 1, moment(0), end=AT)])
    assert judged.predictions == ()
    assert judged.verdict.state is State.UNKNOWN


def test_nothing_is_remembered_of_visits_that_are_over() -> None:
    """A daemon that runs for a year must not keep a year of visits in memory."""
    stage = classify(Oracle({0: (9, 0)}))
    for number in range(100):
        stage.judge([evidence(f"v{number}", 1, moment(0)), evidence(f"v{number}", 2, end=AT)])
    assert stage._visits == {}


def test_while_stopping_late_crops_are_given_up_but_ends_never() -> None:
    """Ten seconds are enough to write what happened, not to classify a backlog on a slow machine."""
    stop = Stop()
    stop.set("test")
    assert stop.since_s is not None
    stop.since_s -= 60
    oracle = Oracle({0: (9, 0)})
    stage = classify(oracle, stop)
    stage._mailbox.open_lane("cam")
    stage._mailbox.put("cam", evidence("v", 1, moment(0), end=AT))
    stage._mailbox.close_lane("cam")
    assert stage.run_once()
    assert oracle.asked == []
    item = stage._out.take()
    assert isinstance(item, tuple)
    assert item[0].evidence.end == AT
    assert not stage.run_once()


def record(write: Any, shown: list[Visit] | None = None, stop: Stop | None = None) -> tuple[Record, Handover[Any]]:
    metrics = Metrics()
    inbox: Handover[Any] = Handover("record", metrics)
    seen = shown if shown is not None else []
    stage = Record(inbox, write, "m@1", metrics, stop=stop or Stop(), wake=lambda: None, on_visit=seen.append)
    return stage, inbox


def judged_once() -> tuple[Judged, ...]:
    return classify(Oracle({0: (9, 0)})).judge([evidence("v", 1, moment(0))])


def test_a_busy_database_is_tried_again_and_nothing_is_skipped() -> None:
    """Somebody opens the database in a tool for a minute; the visits of that minute must still be there."""
    tries: list[Visit] = []

    def write(visit: Visit, predictions: Sequence[Prediction]) -> bool:
        del predictions
        tries.append(visit)
        if len(tries) < 3:
            raise StoreBusy("held", "wait")
        return True

    shown: list[Visit] = []
    stage, inbox = record(write, shown)
    stage._stop.wait = lambda seconds: False  # type: ignore[method-assign]  # no real waiting
    inbox.put(judged_once())
    assert stage.run_once()
    assert len(tries) == 3
    assert [v.visit_id for v in shown] == ["v"]


def test_what_was_known_already_is_not_shown_again() -> None:
    """Evidence is idempotent: a repeated revision is no news for anybody."""
    shown: list[Visit] = []
    stage, inbox = record(lambda visit, predictions: False, shown)
    inbox.put(judged_once())
    stage.run_once()
    assert shown == []


def test_a_stage_that_dies_lets_nobody_wait_for_it() -> None:
    """A failing writer must end the daemon, not freeze it."""

    def write(visit: Visit, predictions: Sequence[Prediction]) -> bool:
        raise ZeroDivisionError

    stage, inbox = record(write)
    inbox.put(judged_once())
    with pytest.raises(ZeroDivisionError):
        stage.run()
    began = time.monotonic()
    for _ in range(20):
        inbox.put(())
    assert time.monotonic() - began < 5


def test_camera_states_are_told_once_per_change() -> None:
    """One line per change of state, not one per second: a log that is read."""
    changes: list[CameraStatus] = []
    reports: list[CameraStatus] = []
    upkeep = Upkeep(
        Metrics(),
        on_status=reports.append,
        on_change=changes.append,
        healthy=lambda: True,
        beat_service=lambda: None,
    )
    online = CameraStatus("cam", CameraState.ONLINE, AT, fps=12.0)
    for state in (online, online, replace(online, state=CameraState.OFFLINE), replace(online, fps=11.0), online):
        upkeep.take_status(state)
        upkeep.run_once()
    assert [c.state.value for c in changes] == ["online", "offline", "online"]
    assert len(reports) == 5


def test_frames_seen_and_shed_are_counted_across_the_processes_of_a_camera() -> None:
    """What is shed is told, not hidden. A process that is started again counts from nothing; a total never falls."""
    metrics = Metrics()
    upkeep = Upkeep(
        metrics, on_status=lambda s: None, on_change=lambda s: None, healthy=lambda: True, beat_service=lambda: None
    )
    online = CameraStatus("cam", CameraState.ONLINE, AT)
    dead = replace(online, state=CameraState.OFFLINE)
    told = []
    for state, frames, late in ((online, 100, 8), (online, 150, 8), (dead, 0, 0), (online, 30, 30), (online, 45, 31)):
        upkeep.take_status(replace(state, frames=frames, late=late))
        upkeep.run_once()
        told.append((metrics.get("frames_total", camera="cam"), metrics.get("frames_skipped_total", camera="cam")))
    assert told == [(100, 8), (150, 8), (150, 8), (180, 38), (195, 39)]


def test_the_watchdog_is_fed_only_while_every_stage_beats() -> None:
    """systemd restarts a daemon that looks alive and does nothing, if it is not told that all is well."""
    beats: list[None] = []
    healthy = [True, False, False]
    upkeep = Upkeep(
        Metrics(),
        on_status=lambda s: None,
        on_change=lambda s: None,
        healthy=lambda: healthy.pop(0),
        beat_service=lambda: beats.append(None),
    )
    for _ in range(3):
        upkeep.run_once()
    assert len(beats) == 1


def test_a_busy_database_does_not_end_the_upkeep() -> None:
    """Effort is written on the side; a database tool that holds the lock must not end the daemon."""

    def busy(status: CameraStatus) -> None:
        raise StoreBusy("held", "wait")

    changes: list[CameraStatus] = []
    upkeep = Upkeep(
        Metrics(), on_status=busy, on_change=changes.append, healthy=lambda: True, beat_service=lambda: None
    )
    upkeep.take_status(CameraStatus("cam", CameraState.ONLINE, AT))
    upkeep.run_once()
    assert len(changes) == 1


def test_a_locked_database_neither_fills_the_memory_nor_starves_the_watchdog() -> None:
    """Many cameras report every second; a database held for an hour must not pile that up, nor wait for each report."""
    tries: list[str] = []

    def busy(status: CameraStatus) -> None:
        tries.append(status.camera)
        raise StoreBusy("held", "wait")

    beats: list[None] = []
    changes: list[CameraStatus] = []
    upkeep = Upkeep(
        Metrics(),
        on_status=busy,
        on_change=changes.append,
        healthy=lambda: True,
        beat_service=lambda: beats.append(None),
    )
    for second in range(1000):
        for number in range(10):
            state = CameraState.OFFLINE if number == 0 and second % 2 else CameraState.ONLINE
            upkeep.take_status(CameraStatus(f"cam{number}", state, AT))
    assert sum(len(reports) for reports in upkeep._new.values()) <= 10 * 8
    upkeep.run_once()
    assert len(tries) == 1
    assert len(beats) == 1
    assert {c.camera for c in changes} == {f"cam{n}" for n in range(10)}
    assert upkeep.cameras["cam0"].state is CameraState.OFFLINE


def test_a_stage_that_waits_for_the_disk_still_beats() -> None:
    """With a full disk classify waits for record; the watchdog must not kill the daemon for its patience."""
    hand: Handover[int] = Handover("record", Metrics(), bound=1)
    hand.put(1)
    beats: list[None] = []
    giver = threading.Thread(target=hand.put, args=(2, lambda: beats.append(None)))
    giver.start()
    giver.join(2.5)
    assert giver.is_alive()
    assert beats
    hand.close()
    giver.join(5)
