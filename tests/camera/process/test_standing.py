"""A camera's process that stands still: noticed, told, started again, and never blamed for what the machine did."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process import hearing as hearing_module
from birdwatchd.camera.process import supervisor as process_module
from birdwatchd.camera.process.hearing import (
    HANGS_S,
    NOTICED_S,
    STOPPED_S,
    ProcessState,
    Stand,
    Standing,
    WatchGaps,
    process_state,
)
from birdwatchd.camera.process.spawn import ChildProcess
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.camera.process.wire import encode
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.store import Store
from tests.support.peers import wait_for
from tests.support.rtsp_camera import RtspCamera
from tests.support.stalls import Stalls

STEP_S = 0.2
WAITS, RUNS, STOPPED = ProcessState("S"), ProcessState("R"), ProcessState("T")


def said(states: list[ProcessState], *, online: bool = True, step_s: float = STEP_S) -> list[tuple[float, Stand]]:
    """What is said of a process that says nothing, and after how many seconds; time-outs are 10 s each."""
    watch = Standing(10.0, 10.0, 0.0)
    found: list[tuple[float, Stand]] = []
    for number, state in enumerate(states):
        stand = watch.look(number * step_s, 0.0, state, online=online)
        if stand is not Stand.GOES_ON:
            found.append((round(number * step_s), stand))
    return found


def test_a_stopped_process_is_noticed_and_given_up_soon() -> None:
    """It waits for no camera, so the camera's time-outs are no excuse: each second costs birds."""
    assert said([STOPPED] * 300) == [(NOTICED_S, Stand.NOTICED), (STOPPED_S, Stand.HANGS)]


def test_a_silent_process_has_its_time_outs_first() -> None:
    """A camera that sends nothing is waited for in silence; only what lasts longer is its process's fault."""
    assert said([WAITS] * 300) == [(10 + NOTICED_S, Stand.NOTICED), (20 + HANGS_S, Stand.HANGS)]
    assert said([WAITS] * 300, online=False) == [(20 + NOTICED_S, Stand.NOTICED), (20 + HANGS_S, Stand.HANGS)]


def test_a_machine_that_stood_still_itself_blames_no_process() -> None:
    """A laptop that slept for a minute would kill all its camera processes when it wakes up."""
    assert said([WAITS] * 5, step_s=60.0) == []


def test_a_process_that_got_no_core_does_not_hang() -> None:
    """On a busy mini PC a camera's process may wait for a core for longer than it works."""
    assert said([ProcessState("R", 0.95 * STEP_S * n) for n in range(1000)]) == []
    assert said([RUNS] * 1000) != []


def test_a_process_that_goes_on_is_noticed_anew() -> None:
    """The second stand must not be hidden by the first."""
    watch, noticed = Standing(10.0, 10.0, 0.0), 0
    for number in range(200):
        heard_s = 0.0 if number < 40 else 8.0
        noticed += watch.look(number * STEP_S, heard_s, STOPPED if number != 40 else RUNS, online=True) is Stand.NOTICED
    assert noticed == 2


def test_what_was_not_watched_is_known() -> None:
    """Seconds without pictures are no effort; a camera that sends one picture in ten seconds is watched."""
    online, offline = CameraState.ONLINE, CameraState.OFFLINE
    gaps = WatchGaps()
    assert [gaps.unwatched_s(online, at_s) for at_s in (0.0, 1.0, 2.0, 6.5, 7.5, 67.5, 68.5)] == [
        0,
        0,
        0,
        0,
        0,
        60.0,
        0,
    ]
    assert gaps.unwatched_s(offline, 78.5) == 10.0
    assert [gaps.unwatched_s(state, 90.0) for state in (offline, online)] == [0, 0]
    slow = WatchGaps()
    assert [slow.unwatched_s(online, 10.0 * n) for n in range(5)] == [0] * 5


@dataclass
class Watched:
    """A camera that is watched by a real process, with its effort in a database."""

    home: Path
    source: str
    statuses: list[CameraStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = CameraSettings(source=Source(self.source), open_timeout_s=5.0, read_timeout_s=10.0)
        self.stop, self.metrics = Stop(), Metrics()
        self.store = Store.open(self.home, zone=ZoneInfo("UTC"))
        self.camera = CameraProcess("cam", settings, Mailbox(self.metrics), self.metrics, self.take)
        self.thread = threading.Thread(target=self.camera.run, args=(self.stop,))
        self.thread.start()

    def take(self, status: CameraStatus) -> None:
        self.statuses.append(status)
        now = datetime.now(UTC)
        self.store.effort.note("cam", now, status.state.value, unwatched_s=status.unwatched_s)

    def online(self) -> int:
        """How many reports say that pictures come, one after another, up to now."""
        states = [status.state is CameraState.ONLINE for status in self.statuses]
        return len(states) - max((n + 1 for n, online in enumerate(states) if not online), default=0)

    def offline(self) -> list[str]:
        return [status.detail for status in self.statuses if status.state is CameraState.OFFLINE]

    def watched_s(self, since: datetime, until: datetime) -> float:
        """Seconds between two times that count as effort."""
        self.store.effort.flush()
        spans = [span for span in self.store.effort.spans() if span.state == CameraState.ONLINE]
        common = [(min(span.end, until) - max(span.start, since)).total_seconds() for span in spans]
        return sum(seconds for seconds in common if seconds > 0)

    def close(self) -> None:
        self.stop.set("test is over")
        self.thread.join(15)
        assert not self.thread.is_alive()
        self.store.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with RtspCamera() as camera:
        made = Watched(tmp_path / "home", camera.url)
        try:
            wait_for(lambda: made.online() >= 3, "pictures")
            yield made
        finally:
            made.close()


@pytest.mark.slow
def test_a_stopped_camera_process_is_told_and_started_again(watched: Watched) -> None:
    """`kill -STOP` of a camera's process: for 22 s nothing was said, and the time counted as watched."""
    pid, since = watched.camera.pid or 0, datetime.now(UTC)
    began_s = time.monotonic()
    with Stalls() as stalls:
        os.kill(pid, signal.SIGSTOP)
        wait_for(watched.offline, "word of it")
        noticed_s = time.monotonic() - began_s
        assert "stands still (stopped by a signal)" in watched.offline()[0]
        wait_for(lambda: watched.camera.pid not in (None, pid), "another process")
        started_s = time.monotonic() - began_s
    assert NOTICED_S <= noticed_s < NOTICED_S + 2.5 + stalls.seconds
    assert started_s < STOPPED_S + 4.0 + stalls.seconds
    assert any("it stood still for" in detail for detail in watched.offline())
    wait_for(lambda: watched.online() >= 2, "pictures again")
    back = since.timestamp() + started_s
    assert watched.watched_s(since, datetime.fromtimestamp(back, UTC)) < 1.0
    assert watched.metrics.get("camera_restarts_total", camera="cam") == 1


@pytest.mark.slow
def test_a_camera_process_that_goes_on_by_itself_keeps_its_connection(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody lets it go on before it is given up: the pause is told once, and does not count as watched."""
    caplog.set_level(logging.INFO)
    pid, since = watched.camera.pid or 0, datetime.now(UTC)
    os.kill(pid, signal.SIGSTOP)
    wait_for(watched.offline, "word of it")
    time.sleep(1.0)
    os.kill(pid, signal.SIGCONT)
    until = datetime.now(UTC)
    wait_for(lambda: watched.online() >= 3, "pictures again")
    assert watched.camera.pid == pid
    assert len(watched.offline()) == 1
    assert [text.startswith("camera cam: its process goes on again after ") for text in caplog.messages] == [True]
    assert watched.watched_s(since, until) < 1.0
    assert watched.watched_s(until, datetime.now(UTC)) > 1.0


class FakeCamera:
    """A process that says that pictures come, and then hangs in a loop."""

    def __init__(self) -> None:
        self.spawned: list[int] = []

    def spawn(self, order: dict[str, Any], **_: object) -> ChildProcess:
        status = encode(CameraStatus("cam", CameraState.ONLINE, datetime.now(UTC)))
        code = f"import sys; sys.stdout.buffer.write({status!r}); sys.stdout.flush()\nwhile True: pass"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.spawned.append(process.pid)
        return ChildProcess(process, "cam")


def test_a_process_that_computes_without_end_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder in an endless loop looks busy, and is not stopped by anybody."""
    fake = FakeCamera()
    monkeypatch.setattr(hearing_module, "HANGS_S", 3.0)
    monkeypatch.setattr(hearing_module, "NOTICED_S", 1.0)
    monkeypatch.setattr(process_module, "spawn", fake.spawn)
    settings = CameraSettings(source=Source("rtsp://127.0.0.1:9/x"), open_timeout_s=0.5, read_timeout_s=0.5)
    stop, statuses, metrics = Stop(), list[CameraStatus](), Metrics()
    camera = CameraProcess("cam", settings, Mailbox(metrics), metrics, statuses.append)
    thread = threading.Thread(target=camera.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: len(fake.spawned) == 2, "another process")
    finally:
        stop.set("test is over")
        thread.join(15)
    told = [status.detail for status in statuses if status.state is CameraState.OFFLINE]
    assert "stands still (it computes)" in told[0]
    assert "killed: it stood still for" in told[1]
    assert statuses[1].unwatched_s > 1.0


def test_the_state_of_a_process_is_read() -> None:
    """Whoever is stopped must look stopped, and the name of a program must not be taken for its state."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        wait_for(lambda: process_state(child.pid).letter == "T", "the stop")
        os.kill(child.pid, signal.SIGCONT)
        wait_for(lambda: process_state(child.pid).letter in ("S", "R", "D"), "the end of it")
    finally:
        child.kill()
        child.wait()
    assert process_state(child.pid) == ProcessState()
