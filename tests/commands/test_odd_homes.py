"""Every command that works with a home, on homes where something is odd: one line that says what to do, and no wait."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from birdwatchd.cli import run_cli
from tests.support.homes import fill

NAME = "birdwatchd.sqlite3"
NOBODY = 65534
COMMANDS = (
    *("status", "visits", "show last", "review last --confirm", "doctor", "doctor --repair", "retention --dry-run"),
    *("backup BACKUPS", "delete last --yes", "clock", "effort", "similar last", "why last", "web"),
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else, and mount a disk")


def said_of(home: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    arguments = command.replace("BACKUPS", str(home.parent / "backups")).split()
    began_s = time.monotonic()
    status = run_cli([*arguments, "--home", str(home)])
    assert time.monotonic() - began_s < 2, command
    printed = capsys.readouterr()
    said = (printed.out + printed.err).strip("\n")
    assert status in (1, 2, 3), (command, said)
    assert said.startswith("birdwatchd: "), (command, said)
    assert "\n" not in said, command
    return said


def newer(path: Path) -> None:
    """As a birdwatchd of some years from now would leave it."""
    fill(path.parent, visits=1)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()


def listen(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


DATABASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (lambda path: None, "there is no database; check `home`"),
    "folder": (Path.mkdir, "is not a file; move it away"),
    "pipe": (os.mkfifo, "is not a file; move it away"),
    "socket": (listen, "is not a file; move it away"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is not a file; move it away"),
    "newer": (newer, "was written by a newer birdwatchd"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty one, after every command was there once: what they import is not counted."""
    path = tmp_path / "home"
    path.mkdir()
    for command in COMMANDS:
        run_cli([*command.replace("BACKUPS", str(tmp_path / "nowhere")).split(), "--home", str(path)])
    return path


@pytest.mark.parametrize("kind", DATABASES)
def test_what_lies_in_place_of_the_database(kind: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe made `report` wait for ever, and `doctor` call the home empty and well."""
    make, expected = DATABASES[kind]
    make(home / NAME)
    for command in COMMANDS:
        said = said_of(home, command, capsys)
        assert expected in said or "is not an image, and there is no database" in said, command
    began_s = time.monotonic()
    assert run_cli(["report", str(home.parent / "report.zip"), "--home", str(home)]) == 0
    assert time.monotonic() - began_s < 2


@contextmanager
def read_only(home: Path) -> Iterator[None]:
    """What the kernel makes of a memory card that fails."""
    for options in ("bind", "remount,bind,ro"):
        done = subprocess.run(["mount", "-o", options, str(home), str(home)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("cannot mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be a user to whom the home does not belong."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@as_root
def test_a_disk_that_is_read_only_is_said_to_be(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check its owner and rights` sends one looking in the wrong place."""
    fill(home, visits=1)
    with read_only(home):
        for command in COMMANDS:
            assert "its disk is read-only" in said_of(home, command, capsys), command


@as_root
def test_another_users_home_is_not_called_damaged(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` found the database damaged and wanted to repair it, when run as a user who may only read it."""
    fill(home, visits=1)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    with somebody_else():
        for command in COMMANDS:
            said = said_of(home, command, capsys)
            assert "run this as its owner: sudo -u root birdwatchd …" in said or command.startswith("backup"), command
    shutil.rmtree(home)
