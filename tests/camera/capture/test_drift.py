"""Slow timestamps and a slow machine look alike; only waiting tells them apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.camera.capture.clock import LiveClock
from birdwatchd.camera.capture.drift import Backlog, Drift
from birdwatchd.camera.capture.shedding import CALM_WINDOWS, WINDOW_S, LoadShedder, ShedWatch

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize("drift", [0.0, 0.02, 0.16, 0.5, 0.9])
def test_dates_follow_a_camera_that_stamps_at_any_pace(drift: float) -> None:
    """Else a visit is dated seconds too early, and its length is wrong."""
    clock = LiveClock()
    errors = []
    for number in range(21 * 60):
        taken = START + timedelta(seconds=number / 21)
        arrived = taken + timedelta(seconds=0.03 * (number % 7) / 7)  # the network's jitter
        errors.append((clock.at(number / 21 * (1 - drift), arrived) - taken).total_seconds())
    assert clock.drift == pytest.approx(drift, abs=0.006)
    assert max(abs(error) for error in errors[21 * 40 :]) < 0.1


def test_a_network_that_becomes_slower_once_is_no_drift() -> None:
    """A camera that moves to another access point keeps its clock."""
    drift = Drift()
    for number in range(600):
        drift.add(0.05 if number < 300 else 0.6, number * 0.1)
        assert drift.rate == 0.0


def test_who_waits_for_the_next_picture_is_not_late() -> None:
    """Whatever the timestamps say: the gap to the clock of a camera is none of this machine's."""
    backlog = Backlog()
    for number in range(1000):
        assert backlog.late_s(number / 25, number / 21, waited=True, drift=0.0) == 0.0


def test_who_never_waits_is_as_late_as_the_stamps_say() -> None:
    """A machine that decodes 12 of 25 frames a second is a second late after two."""
    backlog = Backlog()
    late = [backlog.late_s(number / 25, number / 12.5, waited=False, drift=0.0) for number in range(50)]
    assert late[-1] == pytest.approx(49 / 25)


def test_a_slow_machine_is_as_late_with_a_camera_that_stamps_slowly() -> None:
    """Of a camera that stamps 25 and sends 20, a machine that reads 10 is half a second late after one."""
    backlog = Backlog()
    late = [backlog.late_s(number / 25, number / 10, waited=False, drift=0.2) for number in range(11)]
    assert late[-1] == pytest.approx(0.5)


def test_a_burst_after_a_gap_in_the_network_is_not_late() -> None:
    """The network kept it back; each frame is looked at as soon as it is there."""
    backlog = Backlog()
    assert backlog.late_s(0.0, 10.0, waited=True, drift=0.0) == 0.0
    assert backlog.late_s(0.04, 13.0, waited=True, drift=0.0) == 0.0
    assert [backlog.late_s(0.04 * n, 13.0 + 0.01 * n, waited=False, drift=0.0) for n in range(2, 75)] == [0.0] * 73


@pytest.mark.parametrize("stamp", [0.0, 1e6])
def test_stamps_that_jump_make_nothing_late(stamp: float) -> None:
    """A camera that gets the time from the network steps by years."""
    backlog = Backlog()
    backlog.late_s(5000.0, 10.0, waited=True, drift=0.0)
    assert backlog.late_s(stamp, 10.04, waited=False, drift=0.0) == 0.0
    assert backlog.late_s(stamp + 0.04, 10.08, waited=False, drift=0.0) == pytest.approx(0.0, abs=1e-6)


def test_leaving_out_frames_is_said_when_it_begins_and_when_it_is_over() -> None:
    """A camera of which one frame in eight is looked at misses most visits; who reads the log must see it.

    Must: One line when much is left out, with what to do, and one when it is over.
    """
    said: list[str] = []
    shedder = LoadShedder()
    watch = ShedWatch(shedder, said.append)
    lines: list[int] = []
    for second in range(200):
        shedder.dropped_frames += 6 if 40 <= second < 90 else 0
        watch.look(15 * second, second)
        if len(said) > len(lines):
            lines.append(second)
    assert lines == [50, pytest.approx(90 + CALM_WINDOWS * WINDOW_S, abs=WINDOW_S)]
    assert "too slow" in said[0]
    assert said[1].endswith("again")
