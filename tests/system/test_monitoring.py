"""The running daemon seen from outside: health, readiness, metrics and `birdwatchd status`, while clients misbehave."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.monitor.scrape import Live, NotServed, read_live
from tests.support.peers import Birdwatchd, free_port, wait_for

pytestmark = pytest.mark.slow


def status_of(url: str) -> int:
    """The status of a page; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def live(url: str) -> Live | None:
    try:
        return read_live(url)
    except NotServed:
        return None


def test_a_running_daemon_says_how_it_is_whatever_its_clients_do(tmp_path: Path) -> None:
    """The numbers of a station in a forest are all that anybody sees of it for months."""
    film = tmp_path / "film.mp4"
    visits = (ScheduledVisit("Great tit", 5.0, 8.0, perch=1), ScheduledVisit("Eurasian hoopoe", 12.0, 110.0, perch=2))
    write_clip(film, Scene(SceneSpec(5, 640, 360, 10), visits), 0.0, 120.0)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    cameras = {
        "perch": {"source": str(film), "min_bird": 16},
        "gone": {"source": "rtsp://admin:hunter2@127.0.0.1:1/main", "open_timeout_s": 2},
    }
    daemon = Birdwatchd(tmp_path, cameras=cameras, metrics={"bind": f"127.0.0.1:{port}"})
    idle: list[socket.socket] = []
    try:
        daemon.start()
        wait_for(lambda: status_of(f"{url}/healthz") == 200, "the daemon to be alive, before its model is loaded")
        assert status_of(f"{url}/readyz") == 503
        daemon.wait_for_log("camera perch: online")
        for _ in range(200):
            idle.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            idle[-1].sendall(b"GET /metr")
        found: Any = wait_for(
            lambda: (now := live(url)) and now.get("camera_last_visit_age_seconds", camera="perch") is not None and now,
            "the first visit in the numbers",
        )
        assert found.get("camera_state", camera="perch", state="online") == 1
        assert found.get("camera_state", camera="gone", state="offline") == 1
        assert found.get("frames_total", camera="perch") > 10
        assert found.get("crops_classified_total") > 0
        assert found.get("camera_last_frame_age_seconds", camera="perch") < 30
        assert found.get("camera_last_motion_age_seconds", camera="perch") is not None
        assert found.get("camera_memory_bytes", camera="perch") > 10_000_000
        assert found.labels("model_info")["model"].startswith("demo@")
        assert status_of(f"{url}/readyz") == 503
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:
            assert b"hunter2" not in response.read()
        command = [sys.executable, "-m", "birdwatchd", "status", "-c", str(daemon.file), "--json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        report = json.loads(result.stdout)
        assert (result.returncode, report["problems"], report["running"]) == (0, [], True), result.stderr
        assert {camera["camera"]: camera["state"] for camera in report["cameras"]} == {
            "perch": "online",
            "gone": "offline",
        }
        status, took_s = daemon.stop()
        assert (status, took_s < 10.0) == (0, True), daemon.log
        assert status_of(f"{url}/healthz") == 0
        assert "Traceback" not in daemon.log
    finally:
        for sock in idle:
            sock.close()
        daemon.kill()
