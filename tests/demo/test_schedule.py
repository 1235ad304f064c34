"""No bird may come before somebody can see it, and none must be waited for for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from birdwatchd.demo import schedule as module
from birdwatchd.demo.cameras.processes import SimulatedCamera
from birdwatchd.demo.load import CameraReports
from birdwatchd.demo.schedule import Schedule
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus
from tests.support.peers import wait_for


class MadeUpCamera(SimulatedCamera):
    """A camera without a process; its schedule begins at once when it gets the cue."""

    dies = False

    def begin_schedule(self) -> None:
        if not self.dies:
            self.started = datetime.now(UTC)


class Run:
    """A schedule of some cameras in a thread."""

    def __init__(self, count: int, seconds: float | None = None) -> None:
        self.cameras = [MadeUpCamera(f"feeder{n + 1}", "http://127.0.0.1:1/", 12.0, []) for n in range(count)]
        self.reports, self.stop = CameraReports(), Stop()
        self.loading: list[float] = []
        self.schedule = Schedule(self.cameras, self.reports, self.stop, seconds)
        self.thread = threading.Thread(target=self.schedule.run, args=(self.loading.append,), daemon=True)

    def report(self, camera: int, frames: int, late: int = 0, state: CameraState = CameraState.ONLINE) -> None:
        status = CameraStatus(f"feeder{camera}", state, datetime.now(UTC), frames=frames, late=late)
        self.reports.take(status)

    def started(self) -> list[bool]:
        return [camera.started is not None for camera in self.cameras]


@pytest.fixture
def start() -> Callable[..., Run]:  # type: ignore[misc]
    runs: list[Run] = []

    def make(*arguments: float, **attributes: bool) -> Run:
        run = Run(*arguments)  # type: ignore[arg-type]
        for name, value in attributes.items():
            for camera in run.cameras:
                setattr(camera, name, value)
        runs.append(run)
        run.thread.start()
        return run

    yield make
    for run in runs:
        run.stop.set()
        run.thread.join(5.0)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("POLL_S", 0.01), ("REST_S", 0.6), ("NONE_S", 0.6), ("BEGIN_S", 0.3)):
        monkeypatch.setattr(module, name, seconds)


def test_birds_wait_for_the_slowest_camera(start: Callable[..., Run]) -> None:
    """`make demo` missed the first bird where loading took long."""
    run = start(2)
    run.report(1, 0, state=CameraState.STARTING)
    run.report(1, 24)
    run.report(2, 23)
    time.sleep(0.2)
    assert run.started() == [False, False]
    run.report(2, 40, 17)
    time.sleep(0.2)
    assert run.started() == [False, False], "of these frames 23 were looked at"
    run.report(2, 41, 17)
    wait_for(lambda: run.loading, "the beginning", 5.0)
    assert run.started() == [True, True]
    assert run.loading[0] >= 0.4
    assert run.schedule.core_wait is not None
    assert not run.stop.is_set(), "without --seconds it goes on"


def test_the_time_counts_from_the_beginning_of_the_schedule(start: Callable[..., Run]) -> None:
    """Loading must not take the birds' time away."""
    run = start(1, 0.5)
    time.sleep(0.7)
    assert not run.stop.is_set()
    run.report(1, 30)
    wait_for(lambda: run.loading, "the beginning", 5.0)
    began = time.monotonic()
    run.thread.join(5.0)
    assert run.stop.is_set()
    assert run.stop.reason == "0 seconds are over"
    assert 0.3 < time.monotonic() - began < 3.0


def test_a_camera_that_never_gets_ready_is_not_waited_for_for_ever(start: Callable[..., Run]) -> None:
    """Half a demo with a failure named is better than one that never begins."""
    run = start(2)
    run.report(1, 30)
    time.sleep(0.3)
    assert run.started() == [False, False]
    wait_for(lambda: run.loading, "the beginning", 5.0)
    assert run.started() == [True, False]


def test_without_any_camera_the_demo_ends_counted_from_the_loaded_model(start: Callable[..., Run]) -> None:
    """Reading PyTorch from a slow disk takes longer than any camera."""
    run = start(1)
    time.sleep(0.9)
    assert not run.stop.is_set(), "the model is not loaded yet"
    run.report(1, 0, state=CameraState.STARTING)
    run.thread.join(5.0)
    assert run.stop.is_set()
    assert run.stop.reason == "no camera was ready within 1 seconds"
    assert run.loading == []


def test_a_camera_that_dies_at_its_cue_does_not_hold_up_the_demo(start: Callable[..., Run]) -> None:
    """It is named in the summary as one that could not be watched."""
    run = start(1, 0.2, dies=True)
    run.report(1, 30)
    run.thread.join(5.0)
    assert run.stop.is_set()
    assert run.started() == [False]


def test_ctrl_c_while_loading_begins_nothing(start: Callable[..., Run]) -> None:
    """The demo ends at once."""
    run = start(1)
    run.stop.set("received SIGINT")
    run.thread.join(2.0)
    assert not run.thread.is_alive()
    assert run.loading == []
    assert run.started() == [False]
