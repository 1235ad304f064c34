"""The demo's side of its simulated cameras."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from birdwatchd.demo.cameras import processes
from birdwatchd.demo.cameras.processes import LeftOut, SimulatedCamera, simulated_cameras, start_feeder
from birdwatchd.errors import BirdwatchError
from tests.support.peers import wait_for


def test_a_camera_runs_no_code_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People try the demo in their downloads folder; a hashlib.py that lies there is not ours."""
    (tmp_path / "hashlib.py").write_text("open('executed', 'w')\n")
    monkeypatch.chdir(tmp_path)
    process = start_feeder(1, 0, 1, 15.0)
    try:
        assert process.stdout is not None
        assert "url" in json.loads(process.stdout.readline())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10.0)
    assert not (tmp_path / "executed").exists()


def test_cameras_start_share_their_birds_and_end() -> None:
    """A demo that fails or is interrupted must leave no process behind."""
    with simulated_cameras(1, 2, 40.0) as cameras:
        running = [camera.process for camera in cameras]
        assert [camera.key for camera in cameras] == ["feeder1", "feeder2"]
        assert all(camera.visits and camera.fps == 12 and camera.started is None for camera in cameras)
        assert cameras[0].visits != cameras[1].visits
    assert all(process is not None and process.returncode == 0 for process in running)


def test_a_dead_camera_does_not_break_the_demo() -> None:
    """Its birds never come, which the summary says."""
    with simulated_cameras(1, 1, 40.0) as (camera,):
        assert camera.process is not None
        camera.process.kill()
        wait_for(lambda: camera.process is not None and camera.process.poll() is not None, "its end", 10.0)
        camera.begin_schedule()
        assert camera.started is None


def test_a_camera_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Better than waiting for its first line for ever."""
    monkeypatch.setattr(processes, "READY_S", 0.05)
    with pytest.raises(BirdwatchError, match="a simulated camera did not start"), simulated_cameras(1, 1, 40.0):
        pass


def test_what_a_camera_prints_is_kept() -> None:
    """When its schedule began is the truth that everything is compared with."""
    camera = SimulatedCamera("feeder1", "http://127.0.0.1:1/", 12.0, [])
    camera.take_line({"started": 100.0, "epoch": None})
    assert camera.started is None
    camera.take_line({"left_out": 3, "since": 100.5, "until": 101.5})
    camera.take_line({"started": 100.0, "epoch": 102.5})
    assert camera.started == datetime.fromtimestamp(102.5, UTC)
    since, until = (datetime.fromtimestamp(second, UTC) for second in (100.5, 101.5))
    assert camera.left_out == [LeftOut(3, since, until)]
