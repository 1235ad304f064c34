"""How much of what a camera's process says is passed on: all that an honest one says, and a bounded part of a flood."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from birdwatchd.camera.process.hearing import CHANGES, EVIDENCE, REPORTS, VISITS, Hearing
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus

AT = datetime(2026, 5, 1, tzinfo=UTC)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def status(state: CameraState, detail: str = "") -> CameraStatus:
    return CameraStatus("cam", state, AT, detail=detail)


def test_a_camera_that_flaps_is_reported_now_and_then_and_its_last_state_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each change is a row, a retained message and a line of the log: two hundred a second fill all three."""
    clock, metrics = Clock(), Metrics()
    hearing = Hearing("cam", metrics, clock)
    passed = []
    for step in range(20_000):
        clock.now_s += 0.005
        one = status(CameraState.ONLINE if step % 2 else CameraState.OFFLINE)
        if hearing.passes(one):
            passed.append(one)
    assert len(passed) <= CHANGES[0] + REPORTS[0] + (CHANGES[1] + REPORTS[1]) * 100 + 1
    assert sum(a.state is not b.state for a, b in pairwise(passed)) <= CHANGES[0] + 10
    assert metrics.get("camera_reports_dropped_total", camera="cam") == 20_000 - len(passed)
    assert caplog.text.count("its state changes all the time") == 1
    for _ in range(20):  # it says how it is once a second
        clock.now_s += 1.0
        if hearing.passes(status(CameraState.ONLINE)):
            passed.append(status(CameraState.ONLINE))
    assert passed[-1].state is CameraState.ONLINE


def test_what_an_honest_process_says_is_all_heard() -> None:
    """A report a second, a night of tries that fail, and a flock of forty birds."""
    clock, metrics = Clock(), Metrics()
    hearing = Hearing("cam", metrics, clock)
    for _ in range(600):
        clock.now_s += 1.0
        assert hearing.passes(status(CameraState.ONLINE))
    for _ in range(600):
        clock.now_s += 5.0
        assert hearing.passes(status(CameraState.OFFLINE, "no answer"))
    for second in range(60):
        for bird in range(40):
            assert hearing.evidence_wait_s(new=second == 0) == 0.0, bird
        clock.now_s += 0.5
    assert metrics.get("camera_reports_dropped_total", camera="cam") == 0


def test_a_flood_of_evidence_waits() -> None:
    """Each is a write to the database; each new visit a row for ever."""
    clock, metrics = Clock(), Metrics()
    hearing = Hearing("cam", metrics, clock)
    for _ in range(5000):
        clock.now_s += hearing.evidence_wait_s(new=False)
    assert clock.now_s >= (5000 - EVIDENCE[0]) / EVIDENCE[1] - 0.1
    begun_s = clock.now_s
    for _ in range(1000):
        clock.now_s += hearing.evidence_wait_s(new=True)
    assert clock.now_s - begun_s >= (1000 - VISITS[0]) / VISITS[1] - 1.0
    assert metrics.get("evidence_wait_seconds_total", camera="cam") == pytest.approx(clock.now_s)


def test_the_end_of_a_process_is_always_heard() -> None:
    """The main process waits for it."""
    hearing = Hearing("cam", Metrics(), Clock())
    for step in range(100):
        hearing.passes(status(CameraState.OFFLINE, str(step)))
    assert hearing.passes(status(CameraState.FINISHED))
