"""The whole daemon on a computer whose clock is put right while a bird is there."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from birdwatchd.clock import ClockReading, StationClock, steady_s
from birdwatchd.daemon import Daemon
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store import StoreReader
from birdwatchd.testing import drawn_scene, write_drawn_clip
from tests.support.peers import LONG, wait_for

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


BIRDS = (ScheduledVisit("Great tit", 7.0, 12.0, seed=1), ScheduledVisit("House sparrow", 16.0, 20.0, seed=2))
SECONDS = 23.0


@pytest.mark.parametrize(
    "wrong_by",
    [
        pytest.param(timedelta(days=-9617), id="starts in 2000", marks=LONG),
        pytest.param(timedelta(days=3), id="is ahead"),
    ],
)
def test_a_clock_that_is_put_right_under_a_bird(tmp_path: Path, wrong_by: timedelta) -> None:
    """Every visit is there once, as long as it was and when it was; and effort is the time that went by."""
    began, seen = datetime.now(UTC), list[Visit]()
    write_drawn_clip(tmp_path / "camera.mp4", drawn_scene(3, SECONDS, BIRDS), SECONDS)
    camera = {"source": str(tmp_path / "camera.mp4"), "min_bird": 16}
    config = {"home": tmp_path / "home", "model": {"name": "demo"}, "cameras": {"cam": camera}}
    computer, settings = Computer(wrong_by), Config.model_validate(config)
    daemon = Daemon(settings, Stop(), on_visit=seen.append, clock=StationClock(computer.read))
    running = threading.Thread(target=daemon.run)
    running.start()
    wait_for(lambda: any(visit.end is None for visit in seen), "a bird", 300.0)
    time.sleep(1.0)
    computer.put_right()
    running.join(200)  # it ends with the file that plays the camera
    assert not running.is_alive()
    over = datetime.now(UTC)
    with StoreReader.open_existing(settings.home) as store:
        visits, spans = store.visits.find(), store.effort.spans()
        moments = [moment for visit in visits for moment in store.visits.moments(visit.visit_id)]
        assert not [one for one in store.stretches() if one.doubt]
    assert [visit.verdict.common_name for visit in visits] == [bird.species for bird in BIRDS]
    first = visits[0].start - timedelta(seconds=BIRDS[0].start_s)
    for visit, bird in zip(visits, BIRDS, strict=True):
        assert visit.end is not None
        assert (visit.start - first).total_seconds() == pytest.approx(bird.start_s, abs=1.5)
        assert (visit.end - first).total_seconds() == pytest.approx(bird.end_s, abs=1.5)
    assert began < visits[0].start < over
    assert all(began < moment.at < over for moment in moments)
    assert all(began <= span.start <= span.end <= over for span in spans)
    watched = sum(((span.end - span.start) for span in spans if span.state == CameraState.ONLINE), timedelta())
    assert timedelta(seconds=SECONDS / 2) < watched < timedelta(seconds=SECONDS + 3)
