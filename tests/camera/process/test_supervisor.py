"""Camera processes seen from the main process: killed, hanging, lying, and started in a stranger's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process import hearing
from birdwatchd.camera.process import supervisor as process_module
from birdwatchd.camera.process.spawn import ChildProcess
from birdwatchd.camera.process.supervisor import CameraProcess, probe_camera
from birdwatchd.camera.process.wire import Failure, FileDone, Item, WireError, encode
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus, Evidence, clip_part, clip_path, new_visit_id
from birdwatchd.settings.cameras import CameraSettings
from tests.support.clocks import Clocks

AT = datetime(2026, 5, 1, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9/nobody"


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@dataclass
class Running:
    """A camera process with its reader thread."""

    settings: CameraSettings
    stop: Stop = field(default_factory=Stop)
    metrics: Metrics = field(default_factory=Metrics)
    statuses: list[CameraStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.metrics)
        self.camera = CameraProcess("cam", self.settings, self.mailbox, self.metrics, self.statuses.append)
        self.thread = threading.Thread(target=self.camera.run, args=(self.stop,))
        self.thread.start()

    def offline(self) -> int:
        return sum(s.state is CameraState.OFFLINE for s in self.statuses)


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(source: str, **fields: float) -> Running:
        timeouts: dict[str, Any] = {"open_timeout_s": 1.0, "read_timeout_s": 1.0} | fields
        made.append(Running(CameraSettings(source=Source(source), **timeouts)))
        return made[-1]

    yield start
    for one in made:
        one.stop.set("test is over")
        one.thread.join(15)
        assert not one.thread.is_alive()


def test_a_camera_killed_again_and_again_is_always_started_again(running: Callable[..., Running]) -> None:
    """The watcher of a dead process once told its successor to stop, and the camera was given up for ever."""
    one = running(NOBODY)
    seen: set[int] = set()
    for _ in range(4):
        wait_for(lambda: one.camera.pid not in (None, *seen))
        pid = one.camera.pid
        assert pid is not None
        seen.add(pid)
        wait_for(lambda: one.offline() >= 1)
        one.statuses.clear()
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: one.camera.pid not in (None, *seen), 60.0)
    assert one.thread.is_alive()
    assert one.metrics.get("camera_restarts_total", camera="cam") >= 4


def test_a_camera_process_that_hangs_is_killed_and_started_again(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder in an endless loop looks alive to everybody but the person who misses the birds."""
    monkeypatch.setattr(hearing, "HANGS_S", 5.0)
    one = running(NOBODY)
    wait_for(lambda: one.offline() >= 1)
    pid = one.camera.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: one.camera.pid not in (None, pid), 40.0)


def test_a_camera_that_waits_long_is_not_taken_for_one_that_hangs(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal a camera is tried again only after minutes; its process must not be killed meanwhile."""
    monkeypatch.setattr(hearing, "HANGS_S", 5.0)
    one = running(NOBODY)
    wait_for(lambda: one.offline() >= 4, 40.0)  # by then the back-off waits for several seconds at a time
    pid = one.camera.pid
    time.sleep(8.0)
    assert one.camera.pid == pid


def test_a_camera_that_is_switched_off_has_no_process(running: Callable[..., Running]) -> None:
    """Switched off means that nobody watches: no process, no connection to the camera; and the daemon lives on."""
    one = running(NOBODY)
    wait_for(lambda: one.camera.pid)
    one.camera.switch(False)
    wait_for(lambda: one.statuses and one.statuses[-1].state is CameraState.DISABLED, 8.0)
    assert one.camera.pid is None
    assert one.mailbox.take(1, 0.0, 0.05) == [], "its lane stays open, else the daemon would end with its last camera"
    one.camera.switch(True)
    wait_for(lambda: one.camera.pid)
    wait_for(lambda: one.statuses[-1].state is not CameraState.DISABLED)
    one.camera.switch(False)
    one.camera.switch(True)
    wait_for(lambda: one.camera.pid)
    assert one.thread.is_alive()


def test_switching_off_does_not_wait_for_the_next_try(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera whose process dies again and again may wait a minute for its next; `disabled` must show at once."""
    monkeypatch.setattr(process_module, "RESTART_FIRST_S", 60.0)
    one = running(NOBODY)
    wait_for(lambda: one.camera.pid)
    os.kill(one.camera.pid or 0, signal.SIGKILL)
    wait_for(lambda: one.offline() and "ended" in one.statuses[-1].detail)
    one.camera.switch(False)
    wait_for(lambda: one.statuses[-1].state is CameraState.DISABLED, 3.0)


def saying(item: Item) -> ChildProcess:
    """A child process of camera `cam` that says one thing."""
    code = f"import sys; sys.stdout.buffer.write({encode(item)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return ChildProcess(process, "cam")


def test_a_process_cannot_say_that_it_was_switched_off() -> None:
    """What a decoder was talked into must not look like its owner's wish."""
    camera = CameraProcess("cam", CameraSettings(source=Source(NOBODY)), Mailbox(Metrics()), Metrics(), lambda _: None)
    child = saying(CameraStatus("cam", CameraState.DISABLED, AT))
    with pytest.raises(WireError, match="switched off"):
        camera._read(child, Stop())
    child.bury()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (CameraStatus("an\nother", CameraState.ONLINE, AT), r"about 'an\\nother'"),
        (Evidence(new_visit_id(AT), "another", 1, AT, None, AT, (), 1), "about 'another'"),
        (FileDone("x.mp4", 1.0), "FileDone"),
        (Failure("no room"), "no room"),
    ],
)
def test_a_camera_process_speaks_of_its_camera_only(item: Item, words: str) -> None:
    """One that was taken over must not take another camera offline, nor end the reader with what it cannot read."""
    camera = CameraProcess("cam", CameraSettings(source=Source(NOBODY)), Mailbox(Metrics()), Metrics(), lambda _: None)
    child = saying(item)
    with pytest.raises(WireError, match=words):
        camera._read(child, Stop())
    child.bury()


def test_a_process_may_not_speak_of_visits_it_did_not_begin() -> None:
    """A taken-over camera process must not rewrite what another camera saw."""
    camera = CameraProcess(
        "cam", CameraSettings(source=Source("x.mp4")), Mailbox(Metrics()), Metrics(), lambda status: None
    )
    camera._checked(Evidence("NEW", "cam", 1, AT, None, AT, (), 1))
    with pytest.raises(WireError, match="did not begin"):
        camera._checked(Evidence("FOREIGN", "cam", 7, AT, None, AT, (), 1))


def test_of_a_visit_that_is_over_a_process_can_only_name_the_clip(tmp_path: Path) -> None:
    """After the end everything has been told; a taken-over process must not rename the bird of an hour ago."""
    settings = CameraSettings(source=Source("x.mp4"), clips=True)
    camera = CameraProcess("cam", settings, Mailbox(Metrics()), Metrics(), lambda status: None, home=tmp_path)
    first = Evidence(new_visit_id(AT), "cam", 1, AT, None, AT, (), 1)
    clip = clip_path("cam", first.visit_id)
    with pytest.raises(WireError, match="not over"):
        camera._checked(replace(first, clip=clip))
    camera._open[first.visit_id] = camera._checked(first)
    ended = camera._checked(replace(first, revision=2, end=AT))
    camera._close(ended)
    told = camera._checked(replace(ended, revision=3, count_max=99, clip=clip))
    assert told == replace(ended, revision=3, clip=clip)
    with pytest.raises(WireError):
        camera._checked(replace(ended, revision=4, clip=clip))


def test_a_process_that_died_leaves_no_half_clip(tmp_path: Path) -> None:
    """A camera that crashes its decoder every minute would fill the disk with parts."""
    settings = CameraSettings(source=Source("x.mp4"), clips=True)
    camera = CameraProcess("cam", settings, Mailbox(Metrics()), Metrics(), lambda status: None, home=tmp_path)
    item = Evidence(new_visit_id(AT), "cam", 1, AT, None, AT, (), 1)
    camera._open[item.visit_id] = item
    part = tmp_path / clip_part(clip_path("cam", item.visit_id))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    camera._close_lost()
    assert not part.exists()


def test_nothing_in_the_current_folder_is_executed(tmp_path: Path) -> None:
    """`cd /media/card && birdwatchd scan .` must not run the card's hashlib.py."""
    (tmp_path / "hashlib.py").write_text("open('executed', 'w').close()\n")
    code = (
        "from birdwatchd.camera.process.supervisor import probe_camera\n"
        "from birdwatchd.address import Source\n"
        "from birdwatchd.settings.cameras import CameraSettings\n"
        f"print(probe_camera('cam', CameraSettings(source=Source({NOBODY!r}))).state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "offline"
    assert not (tmp_path / "executed").exists()


def test_a_probe_says_why_there_is_no_picture() -> None:
    """`check --probe` is run by someone who stands in front of the camera."""
    status = probe_camera("cam", CameraSettings(source=Source(NOBODY), open_timeout_s=2.0))
    assert status.state is CameraState.OFFLINE
    assert "Connection refused" in status.detail


def test_no_process_to_be_had_is_waited_out(running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine out of memory or processes for a minute must not lose its daemon."""
    real = process_module.spawn
    failures = [OSError(11, "no"), OSError(12, "no")]

    def scarce(order: dict[str, object], **reach: Any) -> ChildProcess:
        if failures:
            raise failures.pop()
        return real(order, **reach)

    monkeypatch.setattr(process_module, "spawn", scarce)
    one = running(NOBODY)
    wait_for(lambda: one.camera.pid is not None, 20.0)
    assert "cannot be started" in one.statuses[0].detail


def test_a_visit_stays_on_the_time_at_which_it_began(tmp_path: Path) -> None:
    """The clock is set under a bird: its visit is as long as it was, and the next one is of the new time."""
    computer = Clocks()
    computer.clock.number(1, computer.wall)
    camera = CameraProcess(
        "cam",
        CameraSettings(source=Source(NOBODY)),
        Mailbox(Metrics()),
        Metrics(),
        lambda _: None,
        clock=computer.clock,
    )

    def said(visit_id: str, revision: int, start: datetime, end: datetime | None) -> Evidence:
        """As its process says it, whose time nobody sets."""
        item = Evidence(visit_id, "cam", revision, start, end, end or start, (), 1)
        checked = camera._checked(item)
        (camera._open.__setitem__(visit_id, checked) if end is None else camera._close(checked))
        return checked

    start, ids = computer.wall, [new_visit_id(computer.wall, number) for number in range(2)]
    assert said(ids[0], 1, start, None).clock == 1
    computer.wall += timedelta(days=9617)
    computer.follow()
    computer.clock.number(2, computer.wall)
    over = said(ids[0], 2, start, start + timedelta(seconds=40))
    assert (over.clock, over.start, over.end) == (1, start, start + timedelta(seconds=40))
    later = start + timedelta(seconds=60)
    begun = said(ids[1], 1, later, None)
    over = said(ids[1], 2, later, later + timedelta(seconds=5))
    assert (begun.clock, begun.start) == (2, later + timedelta(days=9617))
    assert (over.clock, over.start, over.end) == (2, begun.start, begun.start + timedelta(seconds=5))
    assert camera._moved == {}
