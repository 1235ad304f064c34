"""What a child process and its parent promise each other: one order, nothing but records, an end that always comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process.spawn import ChildProcess, spawn
from birdwatchd.camera.process.wire import MAX_HEADER, ChildFailed, FileDone, TuneDone, WireError
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings

ORDER = {"camera": "cam", "settings": {"decode": "cpu"}}


def started(work: str) -> ChildProcess:
    """A child process that does this, in which `parent` is its parent."""
    code = (
        "import os, resource, threading\n"
        "from birdwatchd.camera.process.child import run_child\n"
        "from birdwatchd.camera.process.wire import FileDone\n"
        "from birdwatchd.errors import SourceUnusable\n"
        "from birdwatchd.flow import Stop\n"
        f"def work(parent):\n{textwrap.indent(work, '    ')}\n"
        "run_child(work)\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    return ChildProcess(process, "cam")


def test_what_a_library_prints_does_not_come_between_records() -> None:
    """libav, OpenCV and drivers print when they like; one byte of it would end the camera."""
    child = started("print('hello', flush=True)\nos.write(1, b'hello')\nparent.pipe.send(FileDone('x', 1.0))")
    child.command(ORDER)
    assert child.receive(FileDone) == FileDone("x", 1.0)
    assert child.receive(FileDone) is None
    assert child.bury() == "status 0"


def test_what_went_wrong_reaches_the_parent_as_a_sentence() -> None:
    """A traceback in a terminal helps nobody who has mistyped an address."""
    child = started("raise SourceUnusable('x.mp4: is no video', 'copy it again')")
    child.command(ORDER)
    with pytest.raises(ChildFailed, match=r"^x\.mp4: is no video; copy it again$"):
        child.receive(FileDone)
    assert child.bury() == "status 1"


def test_signals_for_the_parent_do_not_end_the_child_but_the_end_of_stdin_does() -> None:
    """Ctrl-C goes to the whole group; what was seen so far must still be written."""
    child = started(
        "stop = Stop()\n"
        "parent.stop_at_end(stop)\n"
        "parent.pipe.send(FileDone('begun', 0.0))\n"
        "stop.wait(60)\n"
        "parent.pipe.send(FileDone(stop.reason, 1.0))"
    )
    child.command(ORDER)
    assert child.receive(FileDone) == FileDone("begun", 0.0)
    pid = child.pid
    assert pid is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    child.ask_to_stop()
    assert child.receive(FileDone) == FileDone("the parent process asked", 1.0)
    assert child.bury() == "status 0"


def test_a_child_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder in an endless loop reads no stdin."""
    monkeypatch.setattr("birdwatchd.camera.process.spawn.STOP_S", 0.5)
    child = started("parent.pipe.send(FileDone('begun', 0.0))\nthreading.Event().wait(60)")
    child.command(ORDER)
    assert child.receive(FileDone) is not None
    assert not child.stop()
    assert child.bury() == "killed by signal 9"


def test_further_orders_come_one_after_another() -> None:
    """A scan reads thousands of files in one process; it need not be started for each."""
    child = started("for order in parent.further_orders(): parent.pipe.send(FileDone(order['file'], 0.0))")
    for order in (ORDER, {"file": "a"}, {"file": os.fsdecode(b"b\xff")}):
        child.command(order)
    assert [child.receive(FileDone) for _ in range(2)] == [FileDone("a", 0.0), FileDone(os.fsdecode(b"b\xff"), 0.0)]
    assert child.bury() == "status 0"


def test_a_parent_that_is_gone_leaves_no_child() -> None:
    """It dies before it could say what it wanted."""
    child = started("threading.Event().wait(60)")
    assert child.stop()
    assert child.bury() == "status 1"


def test_memory_is_bounded() -> None:
    """A hostile stream must not bring the out-of-memory killer to the other cameras."""
    child = started("kept = [bytes(2**20) for _ in range(400)]\nparent.pipe.send(FileDone('', 0.0))")
    child.command(ORDER | {"confinement": {"memory_mb": 400}})
    with pytest.raises(ChildFailed, match=r"more memory than it may take \(400 MB\)"):
        child.receive(FileDone)
    child.bury()


def test_a_password_is_in_no_list_of_processes() -> None:
    """`ps e` shows command lines and environments to everybody on the machine."""
    settings = CameraSettings(source=Source("http://me:hunter22@127.0.0.1:9/nobody"), open_timeout_s=5.0)
    child = spawn({"mode": "camera", "camera": "cam", "settings": settings.reveal()})
    status = child.receive(CameraStatus)
    assert isinstance(status, CameraStatus)
    assert status.state is CameraState.STARTING
    shown = Path(f"/proc/{child.pid}/cmdline").read_bytes() + Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"birdwatchd.camera.process.worker" in shown
    assert b"hunter22" not in shown
    child.bury()


def test_only_who_sends_pictures_may_send_much() -> None:
    """A process that was taken over must not fill its parent's memory; a sheet's progress is some hundred bytes."""
    child = started(f"parent.pipe.send(FileDone('x' * {MAX_HEADER}, 1.0))")
    child.command(ORDER)
    with pytest.raises(WireError, match="announced"):
        child.receive(CameraStatus, TuneDone)
    child.kill()
    child.bury()
