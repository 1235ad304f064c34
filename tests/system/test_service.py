"""The daemon as systemd sees it: what it says at the notification socket from its start to its end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from tests.support.peers import LONG, LONG_S, wait_for
from tests.support.publisher import NAME, Publisher
from tests.support.random_networks import SMALL, build, class_names, register_small, save

pytestmark = [pytest.mark.slow, LONG]
ROOT = Path(__file__).parents[2]


class ServiceManager:
    """Listens as systemd does, and starts the service."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log_file = folder, folder / "log"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        threading.Thread(target=self._listen, daemon=True).start()
        self.process: subprocess.Popen[bytes] | None = None

    def _listen(self) -> None:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().splitlines()
            except OSError:
                return

    def start(self, config: dict[str, Any], **world: Any) -> None:
        self.heard.clear()
        film = self.folder / "film.mp4"
        if not film.exists():
            write_clip(film, Scene(SceneSpec(5, 320, 180, 5), ()), 0.0, 120.0)
        base = {
            "home": str(self.folder / "home"),
            "cameras": {"perch": {"source": str(film), "min_bird": 16}},
            "web": False,
        }
        (self.folder / "birdwatchd.yaml").write_text(yaml.safe_dump(base | config))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.service_run", json.dumps(world), self.folder / "birdwatchd.yaml"],
                cwd=ROOT,
                env=os.environ | {"NOTIFY_SOCKET": str(self.folder / "notify"), "no_proxy": "*"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def hears(self, text: str) -> None:
        try:
            wait_for(lambda: any(line.startswith(text) for line in [*self.heard]), text)
        except BaseException:
            sys.stderr.write("\n".join([*self.heard, self.log]))
            raise

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def close(self) -> None:
        self.kill()
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(tmp_path)
    yield manager
    manager.close()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    register_small()
    saved = save(build(SMALL, 7, 64), tmp_path / "weights", f"{SMALL}_x", class_names(7), 64, SMALL)
    publisher = Publisher(saved.pt.read_bytes())
    yield publisher
    publisher.close()


def test_a_slow_first_download_gets_the_time_that_it_needs_and_survives_a_kill(
    manager: ServiceManager, publisher: Publisher
) -> None:
    """107 MB below 178 kB/s never ended: systemd's ten minutes were over first, and it all began again."""
    world = {"url": publisher.url, "sha256": hashlib.sha256(publisher.content).hexdigest()}
    model = {"name": NAME, "device": "cpu"}
    publisher.pause_s = 0.2
    manager.start({"model": model}, **world)
    manager.hears(f"STATUS=fetching the model {NAME}: ")
    assert manager.heard.index("STATUS=opening the database") < manager.heard.index(f"STATUS=loading the model {NAME}")
    wait_for(lambda: publisher.sent > len(publisher.content) // 3, "a third of the file")
    assert manager.heard.count("EXTEND_TIMEOUT_USEC=180000000") >= 3
    assert "READY=1" not in manager.heard
    manager.kill()
    time.sleep(2 * publisher.pause_s)
    before, publisher.pause_s = publisher.sent, 0.0
    manager.start({"model": model}, **world)
    manager.hears("READY=1")
    assert publisher.asked == 2
    assert publisher.sent - before < len(publisher.content) * 0.8, "what was there was fetched again"
    manager.hears("STATUS=watching 1 of 1 cameras")
    manager.hears("WATCHDOG=1")
    assert manager.process is not None
    manager.process.send_signal(signal.SIGTERM)
    assert manager.process.wait(LONG_S) == 0
    assert manager.heard[manager.heard.index("STOPPING=1") + 1] == "STATUS=stopping: received SIGTERM"


def test_a_stage_that_stands_still_is_named_before_systemd_restarts_the_daemon(manager: ServiceManager) -> None:
    """A station far away was restarted each night, and nobody could say by what."""
    manager.start({"model": {"name": "demo"}}, hang_s=6.0, patience_s=1.0)
    manager.hears("READY=1")
    manager.hears("STATUS=STANDS STILL: storage; watching 1 of 1 cameras")
    assert "storage has stood still for" in manager.log
    assert "service_run.py" in manager.log.split("storage has stood still")[1].splitlines()[0]
    time.sleep(0.6)  # a round of upkeep that was on its way
    manager.heard.clear()
    time.sleep(1.5)
    assert "WATCHDOG=1" not in manager.heard
    assert manager.process is not None
    manager.process.send_signal(signal.SIGABRT)  # what systemd's watchdog sends
    assert manager.process.wait(LONG_S) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in manager.log
    assert "in stand_still" in manager.log
