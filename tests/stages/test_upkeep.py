"""The upkeep stage, one `run_once` at a time: camera states, counters and the watchdog."""

from __future__ import annotations

from dataclasses import replace

import pytest

from birdwatchd.camera.blindness import explain
from birdwatchd.errors import StoreBusy
from birdwatchd.metrics import Metrics
from birdwatchd.records import Blindness, CameraState, CameraStatus
from birdwatchd.stages.upkeep import Upkeep
from tests.support.stage_inputs import AT


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


def test_blindness_is_logged_once_per_change_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that swings in the wind looks like a quiet feeder; one that is offline for a moment is not cured."""
    metrics = Metrics()
    upkeep = Upkeep(
        metrics, on_status=lambda s: None, on_change=lambda s: None, healthy=lambda: True, beat_service=lambda: None
    )
    online = CameraStatus("cam", CameraState.ONLINE, AT)
    blind, offline = replace(online, blind=Blindness.SHAKING), replace(online, state=CameraState.OFFLINE)
    caplog.set_level("INFO")
    gauge = []
    for status in (online, blind, blind, offline, blind, replace(blind, blind=Blindness.DARK), online, online):
        upkeep.take_status(status)
        upkeep.run_once()
        gauge.append(metrics.get("camera_blind", camera="cam"))
    lines = [(r.levelname, r.message) for r in caplog.records if "birds" in r.message]
    assert lines == [
        ("WARNING", f"camera cam: birds can hardly be seen: {explain(Blindness.SHAKING)}"),
        ("WARNING", f"camera cam: birds can hardly be seen: {explain(Blindness.DARK)}"),
        ("INFO", "camera cam: birds can be seen again"),
    ]
    assert gauge == [0, 1, 1, 1, 1, 1, 0, 0]
    caplog.clear()
    for status in (blind, offline, replace(online, state=CameraState.STARTING), online, online):
        upkeep.take_status(status)
        upkeep.run_once()
    assert [r.levelname for r in caplog.records if "birds" in r.message] == ["WARNING"], "a new process knows nothing"


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


def test_a_pause_is_not_forgotten_between_two_rounds() -> None:
    """Two reports of one state come between two rounds, and the first one says that nothing was seen before it."""
    taken: list[CameraStatus] = []
    upkeep = Upkeep(
        Metrics(),
        on_status=taken.append,
        on_change=lambda status: None,
        healthy=lambda: True,
        beat_service=lambda: None,
    )
    for unwatched_s in (0.0, 0.0, 60.0, 0.0, 0.0):
        upkeep.take_status(CameraStatus("nut", CameraState.ONLINE, AT, unwatched_s=unwatched_s))
    upkeep.run_once()
    assert [status.unwatched_s for status in taken] == [0.0, 60.0, 0.0]
