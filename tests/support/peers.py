"""Start the real programs that birdwatchd talks to, and birdwatchd itself, as processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

LONG_S = 90.0  # CI machines are slow and noisy; a test that works does not wait so long
ALL = bool(os.environ.get("BIRDWATCHD_LONG"))
LONG = pytest.mark.skipif(not ALL, reason="takes minutes: `make long` runs it")

RTSP_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
port, clip, transport = sys.argv[1:]
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory.new()
pay = "rtph264pay name=pay0 pt=96 config-interval=1"
factory.set_launch(f'( filesrc location="{clip}" ! qtdemux ! h264parse ! {pay} )')
if transport == "udp":
    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GstRtsp
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
server.get_mount_points().add_factory("/main", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def missing(what: str, install: str) -> None:
    """Skip for people, fail for CI: there every peer must be installed."""
    text = f"{what} is missing; {install}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = LONG_S) -> Any:
    """Poll until the condition gives something true; fail with what was waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {seconds:.0f} s in vain for {what}")


class RtspServer:
    """GStreamer's RTSP server with one clip at /main, played from its beginning for every client."""

    def __init__(self, clip: Path, transport: str = "any") -> None:
        self.clip, self.port, self.transport = clip, free_port(), transport
        self.process: subprocess.Popen[str] | None = None
        python = "/usr/bin/python3"
        probe = [python, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
        if not Path(python).exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
            missing("GStreamer's RTSP server", "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi")

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/main"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", RTSP_SERVER, str(self.port), str(self.clip), self.transport],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


class Mosquitto:
    """A real broker that keeps sessions over a restart."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if found is None:
            missing("mosquitto", "apt-get install mosquitto")
        self.program, self.port = str(found), free_port()
        self.config = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        self.config.write_text(
            f"{user}listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen([self.program, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        wait_for(lambda: _answers(self.port), "mosquitto to listen", 15)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Feeder:
    """One simulated camera of the demo; its visits are the truth."""

    def __init__(self, seed: int, seconds: float, width: int = 640, height: int = 360) -> None:
        arguments = ["--seed", seed, "--seconds", seconds, "--width", width, "--height", height]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "birdwatchd.demo.cameras.feeder", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.url: str = ready["url"]
        self.visits: list[dict[str, Any]] = ready["visits"]
        self.epoch: float | None = None
        threading.Thread(target=self._await_start, daemon=True).start()

    def _await_start(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            self.epoch = json.loads(line)["epoch"]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


class Birdwatchd:
    """`birdwatchd run` with a configuration of the test's, its log kept for looking at."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.home = folder / "home"
        self.file = folder / "birdwatchd.yaml"
        base = {"station": {"name": "test"}, "home": str(self.home), "model": {"name": "demo"}, "web": False}
        self.file.write_text(yaml.safe_dump(base | config))
        self.log_file = folder / "birdwatchd.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "birdwatchd", "run", "-c", str(self.file)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str, seconds: float = LONG_S, count: int = 1) -> None:
        try:
            wait_for(lambda: self.log.count(text) >= count or self._check_alive(), f"{text!r} in the log", seconds)
        except BaseException:
            sys.stderr.write(self.log)
            raise

    def _check_alive(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"birdwatchd ended with status {self.process.returncode}:\n{self.log}")
        return False

    def cameras(self) -> dict[str, psutil.Process]:
        """Worker processes by camera key."""
        assert self.process is not None
        workers = {}
        for child in psutil.Process(self.process.pid).children():
            if "birdwatchd.camera.process.worker" in child.cmdline():
                workers[child.environ()["BIRDWATCHD_CAMERA"]] = child
        return workers

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns exit status and seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        return status, time.monotonic() - began

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
