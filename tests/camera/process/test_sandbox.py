"""What a camera's process can still reach: its source, its pipe, and nothing else of the machine."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process import landlock, seccomp
from birdwatchd.camera.process.memory import DEVICE_MB, memory_limit_mb
from birdwatchd.camera.process.sandbox import Confinement
from birdwatchd.camera.process.spawn import spawn
from birdwatchd.camera.process.wire import ChildFailed, FileDone
from birdwatchd.records import CameraStatus
from birdwatchd.settings.cameras import CameraSettings

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
needs_landlock = pytest.mark.skipif(landlock.abi() < landlock.PORTS_ABI, reason="needs Linux 6.7 with Landlock")


def confined(confinement: Confinement, work: str, before: str = "") -> Any:
    """What `work`, run by a child process that is confined like that, puts into `found`.

    Args:
        before: to be run before it is confined.
    """
    code = (
        "import json, os, socket, sys, threading\n"
        "from birdwatchd.camera.process import landlock, sandbox\n"
        "def outcome(call, *arguments):\n"
        "    try:\n        call(*arguments)\n    except OSError as error:\n        return type(error).__name__\n"
        "    return 'done'\n"
        f"{before}\n"
        f"missing = sandbox.confine(sandbox.Confinement.from_order({confinement.to_order()!r}))\n"
        f"found = None\n{textwrap.dedent(work)}\n"
        "print(json.dumps(found))\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


@needs_landlock
def test_files_but_the_source_are_out_of_reach(tmp_path: Path) -> None:
    """Who takes over a decoder wants the database, the configuration with its passwords, and the keys in ~/.ssh."""
    for name in ("card/clip.mp4", "home/birdwatchd.db", "home/media/cam/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    clips = str(tmp_path / "home" / "media" / "cam")
    found = confined(
        Confinement(read=(str(tmp_path / "card" / "clip.mp4"),), list=(str(tmp_path / "card"),), write=(clips,)),
        f"""
        here = {str(tmp_path)!r}
        found = {{
            "source": outcome(open, here + "/card/clip.mp4"),
            "source written": outcome(open, here + "/card/clip.mp4", "r+"),
            "folder of the source": outcome(os.listdir, here + "/card"),
            "database": outcome(open, here + "/home/birdwatchd.db"),
            "home": outcome(os.listdir, here + "/home"),
            "passwords": outcome(open, "/etc/passwd"),
            "new file": outcome(open, here + "/home/new", "w"),
            "clip": outcome(open, {clips!r} + "/clip.part", "w"),
            "clip renamed": outcome(os.rename, {clips!r} + "/clip.part", {clips!r} + "/clip.mp4"),
            "missing": missing,
        }}
        """,
    )
    assert found == {
        "source": "done",
        "source written": "PermissionError",
        "folder of the source": "done",
        "database": "PermissionError",
        "home": "PermissionError",
        "passwords": "PermissionError",
        "new file": "PermissionError",
        "clip": "done",
        "clip renamed": "done",
        "missing": [],
    }


@needs_landlock
def test_packages_may_lie_anywhere(tmp_path: Path) -> None:
    """PyAV loads its parts when a stream needs them: cameras of a station with packages elsewhere never came up."""
    package, secret = tmp_path / "elsewhere" / "feathers", tmp_path / "elsewhere" / "secret.txt"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "part.py").write_text("here = True\n")
    secret.write_text("secret")
    work = f"""
import feathers.part
try:
    found = [feathers.part.here, open({str(secret)!r}).read()]
except PermissionError:
    found = [feathers.part.here]
"""
    before = f"import sys; sys.path.append({str(package.parent)!r}); import feathers"
    assert confined(Confinement(), work, before) == [True]


@needs_landlock
def test_packages_that_are_links_are_within_reach(tmp_path: Path) -> None:
    """Nix, and uv where it is told to, put links into the folder of packages; a program of the page loads others."""
    installed, kept = tmp_path / "site-packages", tmp_path / "kept"
    for folder in (installed, kept / "feathers"):
        folder.mkdir(parents=True)
    (kept / "feathers" / "__init__.py").write_text("here = True")
    (kept / "beak.py").write_text("here = True")
    (kept / "secret").write_text("secret")
    for name in ("feathers", "beak.py"):
        (installed / name).symlink_to(kept / name)
    work = f"""
        import beak, feathers
        found = [beak.here, feathers.here, outcome(open, {str(kept / "secret")!r})]
    """
    before = f"sys.path.append({str(installed)!r})"
    assert confined(Confinement(), work, before) == [True, True, "PermissionError"]


@needs_landlock
def test_the_network_but_the_relay_is_out_of_reach() -> None:
    """It would ask the router for its pages, or send what it found to wherever it likes."""
    with socket.create_server(("127.0.0.1", 0)) as relay, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1] for one in (relay, other)]
        work = f"""
        found = [outcome(socket.create_connection, ("127.0.0.1", port)) for port in {ports}]
        for family, kind in ((2, 2), (1, 1), (10, 1), (2, 3), (16, 3)):
            found.append(outcome(socket.socket, family, kind))
        """
        assert confined(Confinement(ports=(ports[0],)), work) == ["done", *["PermissionError"] * 6]
        assert confined(Confinement(), work) == ["PermissionError"] * 7


def test_no_program_is_started_and_no_process_touched() -> None:
    """The daemon is a process of the same user: it could be stopped, or its memory be read."""
    work = """
    thread = threading.Thread(target=lambda: None)
    thread.start(); thread.join()
    found = [outcome(os.fork), outcome(os.execv, "/bin/true", ["true"]), outcome(os.kill, os.getppid(), 0)]
    found.append(outcome(os.posix_spawn, "/bin/true", ["true"], {}))
    """
    assert confined(Confinement(), work) == ["PermissionError"] * 4


@pytest.mark.parametrize("memory_mb", [512, 0])
def test_a_crash_leaves_no_memory_behind(memory_mb: int) -> None:
    """A core dump holds passwords; also where the parent alone sees to the memory, as the page's does."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    before = f"import resource\nresource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))"
    work = "found = resource.getrlimit(resource.RLIMIT_CORE)"
    assert confined(Confinement(memory_mb=memory_mb), work, before) == [0, 0]


def test_what_is_not_in_force_is_said() -> None:
    """On an old kernel the station works as before, and its owner can read what is missing."""
    old = confined(Confinement(), "found = missing", "landlock.abi = lambda: 0")
    assert old == ["the limits of files and network (this kernel has no Landlock)"]
    foreign = confined(Confinement(), "found = missing", "import platform; platform.machine = lambda: 'riscv64'")
    assert foreign == ["the filter of system calls (no filter for riscv64)"]
    waiting = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    late = confined(Confinement(), "found = missing", waiting)
    assert late == ["all of it for 1 threads that were there before"]


def test_a_child_that_is_not_fully_confined_tells_its_parent() -> None:
    """It comes before anything else, as a line for the log."""
    code = (
        "from birdwatchd.camera.process import landlock\nlandlock.abi = lambda: 0\n"
        "from birdwatchd.camera.process.child import run_child\nrun_child(lambda parent: None)"
    )
    order = {"camera": "cam", "settings": {}}
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=json.dumps(order).encode() + b"\n", capture_output=True, env=environment, check=True
    )
    assert b"its process is not fully confined: not in force: the limits of files and network" in done.stdout


def test_the_numbers_of_system_calls_are_those_of_the_kernel() -> None:
    """A wrong one would leave open what it names, and refuse something else."""
    missing = [header for header in HEADERS if not header.exists()]
    if missing:
        pytest.skip(f"{missing[0]} is missing; apt-get install linux-libc-dev")
    tables = [
        {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)\n", header.read_text())}
        for header in HEADERS
    ]
    wrong = {
        name: numbers
        for name, numbers in seccomp.system_calls().items()
        if [table.get(name, -1) for table in tables] != list(numbers)
    }
    assert wrong == {}


def test_a_scan_reads_no_other_file(tmp_path: Path) -> None:
    """A recording that takes over its decoder must not read what lies beside its folder."""
    (tmp_path / "card").mkdir()
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x" * 100)
    settings = CameraSettings(source=Source("/"))
    order = {"mode": "scan", "camera": "scan", "settings": settings.reveal()}
    child = spawn(order, recordings=[str(tmp_path / "card")])
    child.command({"file": str(other)})
    done = child.receive(FileDone, CameraStatus)
    child.bury()
    assert isinstance(done, FileDone)
    if landlock.abi() >= landlock.FILES_ABI:
        assert "Permission denied" in done.error
    else:
        assert "cannot be read as video" in done.error


def test_a_recording_that_wants_all_memory_costs_itself(tmp_path: Path) -> None:
    """A file of 100 bytes may announce a table of a gigabyte."""
    from birdwatchd.camera.process.scan_process import ScanProcess
    from tests.support.hostile import mp4_of_one_table

    path = tmp_path / "evil.mp4"
    with path.open("wb") as file:
        file.write(mp4_of_one_table())
        file.truncate(900_000_000)  # as a file with a hole, which takes no room
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    done = worker.scan(str(path), lambda evidence: None, lambda status: None)
    worker.close()
    assert re.search("memory|cannot be read as video", done.error), done.error


def test_the_limit_of_memory_goes_by_what_is_kept() -> None:
    """Who keeps more video needs more; who says a number gets it."""
    usual = memory_limit_mb({"ring_mb": 32}, device=False)
    assert memory_limit_mb({"ring_mb": 132}, device=False) == usual + 100
    assert memory_limit_mb({"ring_mb": 8}, device=False) == usual
    assert memory_limit_mb({}, device=True) == usual + DEVICE_MB
    assert memory_limit_mb({"memory_mb": 900}, device=True) == 900


def test_a_child_that_is_too_large_is_killed_from_outside() -> None:
    """The kernel's limit does not count what is mapped from files and devices."""
    order = {"camera": "cam", "mode": "camera", "settings": {"source": "rtsp://127.0.0.1:9/nobody", "memory_mb": 256}}
    child = spawn(order)
    assert child.receive(CameraStatus) is not None
    assert child.check_memory()
    child._memory_mb = 20
    assert not child.check_memory()
    assert "it needs more memory than it may take (20 MB)" in child.bury()


def test_a_thread_that_is_out_of_memory_ends_its_process() -> None:
    """The feed of one of two streams would be dead, and its process watch the other for ever."""
    code = (
        "import threading\nfrom birdwatchd.camera.process.child import run_child\n"
        "def fail():\n    raise MemoryError\n"
        "def work(parent):\n    threading.Thread(target=fail).start()\n    threading.Event().wait(60)\n"
        "run_child(work)\n"
    )
    from birdwatchd.camera.process.spawn import ChildProcess

    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    child = ChildProcess(process, "cam")
    child.command({"camera": "cam", "settings": {}})
    with pytest.raises(ChildFailed, match="more memory than it may take"):
        child.receive(CameraStatus)
    assert child.bury() == "status 1"
