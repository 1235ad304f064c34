"""Who has a file open, in words that say what to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from birdwatchd.store.backup.holders import Holder, holders

WAITS = "import sys; file = open(sys.argv[1], 'rb'); print(flush=True); sys.stdin.read()"


@contextmanager
def process(*arguments: str, program: str) -> Iterator[subprocess.Popen[str]]:
    """A process under another name, as `ps` shows it, that has said that it is ready."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([program, *arguments], executable=sys.executable, text=True, **pipes) as made:  # type: ignore[call-overload]
        assert made.stdout is not None
        assert made.stdin is not None
        made.stdout.readline()
        yield made
        made.stdin.close()


def test_who_has_a_file_open_is_named(tmp_path: Path) -> None:
    """This process is not meant; of what others were given nothing is said, as it may be a password."""
    file = tmp_path / "birdwatchd.sqlite3"
    file.write_bytes(b"x")
    with file.open("rb"):
        assert holders(file) == []
    with process("-c", WAITS, str(file), "rtsp://ann:secret@192.0.2.1", program="/usr/bin/other") as other:
        assert holders(file) == [Holder(other.pid, "other")]
    assert holders(file) == []
    assert holders(tmp_path / "nothing") == []
    assert holders(file, tmp_path / "no proc") == []


def test_of_a_part_of_birdwatchd_the_command_is_named(tmp_path: Path) -> None:
    """The page's process would be started again by the one that a person has to stop; who started that is not meant,
    nor who started this one.
    """

    def entry(pid: int, parent: int, *arguments: str, has_it: bool = False) -> None:
        folder = tmp_path / "proc" / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "cmdline").write_bytes("\0".join([*arguments, ""]).encode())
        (folder / "stat").write_text(f"{pid} (bird (x) d) S {parent} 1 1")
        if has_it:
            (folder / "fd" / "3").symlink_to(file)

    file = tmp_path / "birdwatchd.sqlite3"
    file.write_bytes(b"x")
    entry(1, 0, "/sbin/init")
    entry(70, 1, "-bash")
    entry(77, 70, "/opt/bin/python3", "/opt/bin/birdwatchd", "web", "--home", "/x")
    entry(78, 77, "/opt/bin/python3", "-P", "-m", "birdwatchd.web.child", "3", has_it=True)
    entry(90, 1, "/opt/bin/python3", "/opt/bin/birdwatchd", "run", has_it=True)
    entry(91, 90, "/opt/bin/python3", "-P", "-m", "birdwatchd.web.child", "3", has_it=True)
    entry(94, 70, "sudo", "-u", "birdwatchd", "birdwatchd", "scan", "/x")
    entry(95, 94, "/opt/bin/python3", "/opt/bin/birdwatchd", "scan", "/x", has_it=True)
    entry(os.getppid(), 70, "sudo", "-u", "birdwatchd", "birdwatchd", "restore", "/x")
    entry(os.getpid(), os.getppid(), "/opt/bin/python3", "/opt/bin/birdwatchd", "restore", "/x", has_it=True)
    (tmp_path / "proc" / "meminfo").write_text("")
    assert [str(one) for one in holders(file, tmp_path / "proc")] == [
        "birdwatchd web, pid 77",
        "birdwatchd run, pid 90",
        "birdwatchd scan, pid 95",
    ]
