"""`birdwatchd selftest` against a running daemon and a real broker: the bird comes through, and nobody ever has it."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.mqtt.subscriber import Subscriber
from birdwatchd.settings.mqtt import MqttSettings
from tests.support.peer import Peer
from tests.support.peers import LONG, Birdwatchd, Mosquitto, wait_for

pytestmark = [pytest.mark.slow, LONG]


def command(*arguments: object) -> tuple[int, Any, str]:
    """Exit status, the JSON on stdout, and stderr."""
    words = [sys.executable, "-m", "birdwatchd", *map(str, arguments)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    said = json.loads(result.stdout) if result.stdout.startswith("{") else result.stdout
    return result.returncode, said, result.stderr


def rows(home: Path) -> dict[str, int]:
    with closing(sqlite3.connect(home / "birdwatchd.sqlite3")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_a_bird_comes_through_the_running_daemon_and_is_in_no_list(tmp_path: Path, peer: Peer) -> None:
    """The one question after every change of cable, model or broker: does it work, and if not, where does it stop?"""
    film = tmp_path / "film.mp4"
    write_clip(film, Scene(SceneSpec(5, 320, 180, 5), ()), 0.0, 90.0)
    broker = Mosquitto(tmp_path)
    broker.start()
    daemon = Birdwatchd(
        tmp_path,
        cameras={"perch": {"source": str(film), "min_bird": 16}},
        mqtt={"url": broker.url, "heartbeat": False},
        alerts=[{"name": "every"}, {"name": "station", "when": ["broker_offline_5s"], "to": ["hook"]}],
        channels={"hook": {"webhook": peer.url}},
    )
    status, text, error = command("selftest", "-c", daemon.file)
    nobody = f"no daemon runs with the home {daemon.home}; start it: birdwatchd run\n"
    assert (status, text) == (1, f"fails  daemon    {nobody}")
    assert "stopped at daemon; not reached: crop, camera, classify, verdict, record, publish" in error
    got: list[tuple[str, bytes]] = []
    listener = Subscriber(MqttSettings(url=broker.url), ("#",), lambda topic, payload, at: got.append((topic, payload)))
    try:
        with listener:
            daemon.start()
            daemon.wait_for_log("camera perch: online")
            wait_for((daemon.home / "birdwatchd.sock").exists, "the socket")
            wait_for(lambda: any(topic.endswith("perch/health") for topic, _ in got), "the first messages")
            assert stat.S_IMODE((daemon.home / "birdwatchd.sock").stat().st_mode) == 0o600
            before = rows(daemon.home)
            for _ in range(2):
                status, report, error = command("selftest", "-c", daemon.file, "--json")
                assert (status, report["passed"], report["stopped_at"]) == (0, True, None), (report, error)
                assert [step["step"] for step in report["steps"]] == [
                    *("daemon", "crop", "camera", "classify", "verdict", "record", "publish")
                ]
            assert report["steps"][4]["text"].startswith("Great tit, confirmed, ")
            after = rows(daemon.home)
            ignored = ("effort", "outbox", "sqlite_sequence", "daily")
            assert {k: v for k, v in after.items() if k not in ignored} == {
                k: v for k, v in before.items() if k not in ignored
            }
            assert (after["visit"], after["moment"], after["model"], after["outbox"]) == (0, 0, 0, 0)
            assert list((daemon.home / "media").rglob("*.jpg")) == []
            tests = [json.loads(payload) for topic, payload in got if topic == "birdwatch/test/selftest"]
            assert [one["common_name"] for one in tests] == ["Great tit"] * 2
            assert [topic for topic, _ in got if topic.endswith(("/visit", "/alert"))] == []
            assert "selftest" not in daemon.log.replace("birdwatchd.sock", "")
            broker.stop()
            status, report, _ = command("selftest", "-c", daemon.file, "--json")
            assert (status, report["stopped_at"]) == (1, "publish")
            assert report["steps"][-1]["text"].startswith("not acknowledged in 20 s: the broker is not connected")
            assert "selftest" not in str(pending(daemon.home))
            wait_for(lambda: any(one["phase"] == "raised" for one in peer.got), "the alert that the broker is away")
            assert {one["when"] for one in peer.got} == {"broker_offline"}
        assert daemon.process is not None
        daemon.process.terminate()
        wait_for(lambda: not (daemon.home / "birdwatchd.sock").exists(), "the socket to go with the daemon")
        assert "Traceback" not in daemon.log
    finally:
        daemon.kill()
        broker.stop()


def pending(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "birdwatchd.sqlite3")) as connection:
        return [topic for (topic,) in connection.execute("SELECT topic FROM outbox")]
