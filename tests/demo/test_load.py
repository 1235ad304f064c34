"""What a machine did not manage must be counted exactly: a frame too many excuses a fault, one too few blames it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from birdwatchd.demo.cameras.processes import LeftOut
from birdwatchd.demo.load import CameraReports, CoreWait, Frames, Load
from birdwatchd.records import CameraState, CameraStatus
from tests.support.demo_world import after


def report(second: float, frames: int, late: int, lag_s: float = 0.0) -> CameraStatus:
    return CameraStatus("nut", CameraState.ONLINE, after(second), 12.0, frames=frames, late=late, lag_s=lag_s)


def frames_of(reports: Sequence[CameraStatus] = (), left_out: Sequence[LeftOut] = ()) -> Frames:
    return Frames(12.0, after(0.0), after(10.0), tuple(left_out), tuple(reports))


@pytest.mark.parametrize(
    ("since", "until", "lost"), [(0, 10, 9), (2, 3, 7), (3, 4, 2), (2.5, 3.5, 9), (4, 10, 0), (0, 2, 0), (2.5, 2.6, 7)]
)
def test_late_frames_count_where_they_were_taken(since: float, until: float, lost: int) -> None:
    """Reports come once a second: those between two of them belong anywhere in that second."""
    frames = frames_of([report(1, 12, 0), report(2, 24, 0), report(3, 36, 7), report(4, 48, 9), report(5, 60, 9)])
    assert frames.not_looked_at(after(since), after(until)) == lost


def test_a_report_tells_of_the_frame_it_saw_last_not_of_its_own_time() -> None:
    """A process that is three seconds behind reports now what became of the frames of then."""
    frames = frames_of([report(2, 24, 0), report(6, 40, 10, lag_s=3.0), report(7, 60, 10, lag_s=3.0)])
    assert frames.not_looked_at(after(2.5), after(2.9)) == 10
    assert frames.not_looked_at(after(3.1), after(5.0)) == 0


def test_a_camera_process_that_was_started_again_counts_from_zero() -> None:
    """Its first report must not make the count fall."""
    frames = frames_of([report(1, 100, 50), report(3, 5, 4), report(4, 17, 4)])
    assert frames.not_looked_at() == 4


def test_what_was_late_before_the_schedule_does_not_count() -> None:
    """A stream is often behind while it is being opened."""
    assert (
        frames_of([report(-3, 12, 0), report(-2, 24, 20), report(0, 48, 20), report(9, 150, 20)]).not_looked_at() == 0
    )


def test_frames_that_were_never_drawn_count_too() -> None:
    """The simulated camera runs on the same machine."""
    frames = frames_of(
        [report(0, 0, 0), report(9, 100, 3)], [LeftOut(5, after(2), after(3)), LeftOut(2, after(-2), after(-1))]
    )
    assert frames.not_looked_at() == 8
    assert frames.due == 120


def test_only_reports_with_a_picture_count_and_a_camera_is_ready_by_what_was_looked_at() -> None:
    """A camera that is online and only ever late has learned nothing yet."""
    reports = CameraReports()
    assert not reports.started()
    reports.take(CameraStatus("nut", CameraState.STARTING, after(0)))
    assert reports.started()
    assert reports.looked_at("nut") == 0
    reports.take(report(1, 30, 28))
    assert reports.looked_at("nut") == 2
    reports.take(report(2, 54, 28))
    reports.take(CameraStatus("nut", CameraState.FINISHED, after(3), frames=54, late=28))
    assert reports.looked_at("nut") == 26
    assert len(reports.online("nut")) == 2
    assert reports.online("other") == ()


def test_a_camera_fell_behind_also_before_the_schedule() -> None:
    """That is why it was not ready."""
    behind = frames_of([report(-3, 12, 12)])
    undrawn = frames_of([], [LeftOut(5, after(-3), after(-2))])
    load = Load({"late": behind, "undrawn": undrawn, "fine": frames_of([report(-3, 12, 0)])})
    assert [load.fell_behind(key) for key in ("late", "undrawn", "fine", "none")] == [True, True, False, False]
    assert not load.is_slow


@pytest.mark.parametrize(("waited", "is_busy"), [(None, False), (0.1, False), (0.49, False), (0.6, True), (1.0, True)])
def test_a_machine_is_busy_when_birdwatchd_waits_longer_than_it_works(waited: float | None, is_busy: bool) -> None:
    """Messages then come late without a frame being lost."""
    assert Load({}, waited).is_busy is is_busy
    assert Load({}, waited).is_slow is is_busy


def test_crops_that_were_dropped_make_everything_doubtful() -> None:
    """Nobody knows of which bird they were."""
    load = Load({"nut": frames_of()}, crops_dropped=1)
    assert load.is_slow
    assert load.slowed("nut", after(1), after(2))


def test_waiting_for_a_core_is_counted_over_all_threads_from_the_beginning(tmp_path: Path) -> None:
    """A thread that is born later waits as well; one that has ended is not known any more."""

    def write(**waited_s: float) -> None:
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        for thread, seconds in waited_s.items():
            (tmp_path / thread).mkdir()
            (tmp_path / thread / "schedstat").write_text(f"12345 {round(seconds * 1e9)} 77\n")

    ran_s = iter((10.0, 12.0))
    write(t1=100.0, t2=5.0)
    wait = CoreWait(tmp_path, lambda: next(ran_s))
    write(t1=104.0, t3=2.0)
    assert wait.share() == pytest.approx(6.0 / 8.0)


def test_waiting_for_a_core_is_not_known_without_proc(tmp_path: Path) -> None:
    """macOS has none; only frames that were lost excuse anything there."""
    assert CoreWait(tmp_path / "none").share() is None


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not count waiting")
def test_a_thread_that_shares_its_core_waits_for_it() -> None:
    """The real files: two threads' worth of work on one core, of which one belongs to another process."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        wait, until_s = CoreWait(), time.monotonic() + 1.0
        while time.monotonic() < until_s:
            pass
        share = wait.share()
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, allowed)
    assert share is not None
    assert 0.25 < share < 1
