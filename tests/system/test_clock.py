"""The whole daemon on a computer whose clock is put right while a bird is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.clock import ClockReading, StationClock, steady_s
from birdwatchd.daemon import Daemon
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store import StoreReader
from tests.support.peers import Feeder, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Computer:
    """A computer whose clock is wrong by some time until it is put right."""

    wrong_by: timedelta
    synchronised: bool = False

    def read(self) -> ClockReading:
        return ClockReading(datetime.now(UTC) + self.wrong_by, steady_s(), self.synchronised)

    def put_right(self) -> None:
        self.wrong_by, self.synchronised = timedelta(), True


@pytest.fixture
def feeder() -> Iterator[Feeder]:
    one = Feeder(21, 30.0)
    yield one
    one.close()


@pytest.mark.parametrize("wrong_by", [timedelta(days=-9617), timedelta(days=3)], ids=["starts in 2000", "is ahead"])
def test_a_clock_that_is_put_right_under_a_bird(tmp_path: Path, feeder: Feeder, wrong_by: timedelta) -> None:
    """Every visit is there once, as long as it was and when it was; and effort is the time that went by."""
    began, seen = datetime.now(UTC), list[Visit]()
    config = {"home": tmp_path / "home", "model": {"name": "demo"}, "cameras": {"cam": {"source": feeder.url}}}
    computer, stop = Computer(wrong_by), Stop()
    settings = Config.model_validate(config)
    daemon = Daemon(settings, stop, on_visit=seen.append, clock=StationClock(computer.read))
    running = threading.Thread(target=daemon.run)
    running.start()
    try:
        wait_for(lambda: any(visit.end is None for visit in seen), "a bird", 300.0)
        time.sleep(1.0)
        computer.put_right()
        wait_for(lambda: feeder.epoch is not None and time.time() > feeder.epoch + 30.0, "the end of the schedule")
    finally:
        stop.set("test")
        running.join(20)
    over, epoch = datetime.now(UTC), feeder.epoch
    assert epoch is not None
    with StoreReader.open_existing(settings.home) as store:
        visits, spans = store.visits.find(), store.effort.spans()
        moments = [moment for visit in visits for moment in store.visits.moments(visit.visit_id)]
        assert not [one for one in store.stretches() if one.doubt]
    check_truth(sorted(feeder.visits, key=lambda visit: visit["start_s"]), visits, epoch)
    assert all(began < moment.at < over for moment in moments)
    assert all(began <= span.start <= span.end <= over for span in spans)
    watched = sum(((span.end - span.start) for span in spans if span.state == CameraState.ONLINE), timedelta())
    assert timedelta(seconds=8) < watched < over - began


def check_truth(truth: list[dict[str, Any]], visits: list[Visit], epoch: float) -> None:
    """Each bird has one visit of its time and length, to about a second."""
    near: Callable[[float, float], bool] = lambda one, other: abs(one - other) < 1.5  # noqa: E731
    assert len(visits) == len(truth)
    for visit, bird in zip(visits, truth, strict=True):
        assert visit.end is not None
        assert near(visit.start.timestamp() - epoch, bird["start_s"])
        assert near(visit.end.timestamp() - epoch, bird["end_s"])
