"""The record stage, one `run_once` at a time: what is written, and what survives trouble."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Handover, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Prediction, Visit
from birdwatchd.stages.classify import ClassifiedEvidence
from birdwatchd.stages.record import Record
from tests.support.stage_inputs import AT, FakeClassifier, classify_stage, evidence, moment


def record(write: Any, shown: list[Visit] | None = None, stop: Stop | None = None) -> tuple[Record, Handover[Any]]:
    metrics = Metrics()
    inbox: Handover[Any] = Handover("record", metrics)
    seen = shown if shown is not None else []
    stage = Record(inbox, write, "m@1", metrics, stop=stop or Stop(), wake=lambda: None, on_visit=seen.append)
    return stage, inbox


def classified_once() -> tuple[ClassifiedEvidence, ...]:
    return classify_stage(FakeClassifier({0: (9, 0)})).classify([evidence("v", 1, moment(0))])


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
    inbox.put(classified_once())
    assert stage.run_once()
    assert len(tries) == 3
    assert [v.visit_id for v in shown] == ["v"]


def test_what_was_known_already_is_not_shown_again() -> None:
    """Evidence is idempotent: a repeated revision is no news for anybody."""
    shown: list[Visit] = []
    stage, inbox = record(lambda visit, predictions: False, shown)
    inbox.put(classified_once())
    stage.run_once()
    assert shown == []


def test_a_stage_that_dies_lets_nobody_wait_for_it() -> None:
    """A failing writer must end the daemon, not freeze it."""

    def write(visit: Visit, predictions: Sequence[Prediction]) -> bool:
        raise ZeroDivisionError

    stage, inbox = record(write)
    inbox.put(classified_once())
    with pytest.raises(ZeroDivisionError):
        stage.run()
    began = time.monotonic()
    for _ in range(20):
        inbox.put(())
    assert time.monotonic() - began < 5


def test_what_was_no_visit_is_removed_and_not_written() -> None:
    """Who lists visits must not see dust, and who counts them for a recording must not wait for it."""
    written: list[Visit] = []
    removed: list[str] = []
    counted: list[str] = []

    def write(visit: Visit, predictions: Sequence[Prediction]) -> bool:
        written.append(visit)
        return True

    def withdraw(visit: Visit) -> None:
        removed.append(visit.visit_id)
        if len(removed) == 1:
            raise StoreBusy("held", "wait")

    metrics, inbox = Metrics(), Handover[Any]("record", Metrics())
    stage = Record(
        inbox,
        write,
        "m@1",
        metrics,
        stop=Stop(),
        wake=lambda: None,
        on_visit=written.append,
        withdraw=withdraw,
        on_withdrawn=lambda visit: counted.append(visit.visit_id),
    )
    stage._stop.wait = lambda seconds: False  # type: ignore[method-assign]  # no real waiting
    classify = classify_stage(FakeClassifier({}))
    inbox.put(classify.classify([replace(evidence("v", 1, end=AT), lifeless=True)]))
    stage.run_once()
    assert (written, removed, counted) == ([], ["v", "v"], ["v"])
    inbox.put(classify.classify([replace(evidence("v", 2, end=AT), lifeless=True, clip="media/cam/v.mp4")]))
    stage.run_once()
    assert (removed, counted) == (["v"] * 3, ["v"])
    assert metrics.get("visits_withdrawn_total", camera="cam") == 1
