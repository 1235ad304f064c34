"""Every command that works with a home, on homes where something is odd: one line that says what to do, and no wait."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
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
    arguments = command.replace("BACKUPS", str(home.parent / "backups")).split()
    return said_by([*arguments, "--home", str(home)], capsys)


def said_by(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The same of a whole command line."""
    capsys.readouterr()
    began_s = time.monotonic()
    status = run_cli(command)
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


def foreign(path: Path) -> None:
    """Some other program's, under this name."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE contact (name)")
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
FOREIGN = (foreign, "is a database of another program, or the list of its tables is damaged")  # `doctor` shows a table


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


def test_an_empty_database_or_another_programs_is_not_called_an_older_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has 0 bytes after a start that was cut off: `status` wanted an upgrade."""
    foreign(home / NAME)
    for command in ("status", "visits", "review last --confirm"):
        assert FOREIGN[1] in said_of(home, command, capsys), command
    (home / NAME).unlink()
    (home / NAME).touch()
    for command in ("status", "visits", "backup BACKUPS"):
        assert "holds no visits yet; start `birdwatchd run` once" in said_of(home, command, capsys), command


@pytest.fixture
def without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loads a network fails: that alone takes ten seconds and more."""
    for name in ("network", "classifier"):
        monkeypatch.setitem(sys.modules, f"birdwatchd.species.network.{name}", None)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """What there is to scan."""
    path = tmp_path / "birds.mp4"
    path.write_bytes(b"video")
    return path


def configuration(home: Path, recording: Path, more: str = "") -> str:
    """The path of one that could be run."""
    file = recording.with_name("birdwatchd.yaml")
    cameras = f"cameras: {{nut: {{source: {recording}}}}}"
    file.write_text(f"home: {home}\nweb: off\n{cameras}\nmodel: {{name: demo}}\n{more}")
    return str(file)


@pytest.mark.usefixtures("without_pytorch")
@pytest.mark.parametrize("kind", [*list(DATABASES)[1:], "another program's"])
def test_the_home_is_looked_at_before_the_network_is_loaded(
    kind: str, home: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run` read its model for 15 s, and said only then that it cannot use the home; `check` called that good."""
    make, expected = DATABASES.get(kind, FOREIGN)
    make(home / NAME)
    file = configuration(home, recording)
    for command in ("run", "watch SOURCE", "scan SOURCE", "relabel", "calibrate"):
        words = [word.replace("SOURCE", str(recording)) for word in command.split()]
        assert expected in said_by([*words, "-c", file], capsys), command
    assert run_cli(["check", "-c", file]) != 0
    shown = capsys.readouterr()
    assert expected in shown.err
    assert "good" not in shown.out


@pytest.mark.usefixtures("without_pytorch")
def test_a_home_that_is_nowhere_is_said_before_the_network_is_loaded(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where its folder should be, as a disk that is not mounted leaves one."""
    file = configuration(recording / "home", recording)
    for command in ("run", "watch SOURCE", "scan SOURCE"):
        words = [word.replace("SOURCE", str(recording)) for word in command.split()]
        assert "Not a directory; check that `home` exists" in said_by([*words, "-c", file], capsys), command
    for command in ("relabel", "calibrate"):
        assert "there is no database" in said_by([command, "-c", file], capsys), command
    assert run_cli(["check", "-c", file]) == 1
    assert f"cannot be made: {recording} is a file; set `home`" in capsys.readouterr().err


@pytest.mark.usefixtures("without_pytorch")
def test_files_that_the_configuration_names_are_read_before_the_network_is_loaded(
    home: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password file that the service's user may not read was said after 15 s, by each restart anew."""
    more = {
        "mqtt": f"{{url: 'mqtt://h', username: u, password_file: {home}/password}}",
        "channels": f"{{phone: {{apprise_file: {home}/address}}}}",
        "species": f"{{bar_chart: {home}/chart}}",
    }
    file = configuration(home, recording, "\n".join(f"{key}: {value}" for key, value in more.items()))
    capsys.readouterr()
    assert run_cli(["run", "-c", file]) == 2
    lines = capsys.readouterr().err.splitlines()
    for name in ("password", "address", "chart"):
        assert any(f"{home}/{name} cannot be read" in line for line in lines), name
    assert "chart cannot be read" in said_by(["scan", str(recording), "-c", file], capsys)
    assert not (home / NAME).exists()


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
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@as_root
def test_a_disk_that_is_read_only_is_said_to_be(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check its owner and rights` sends one looking in the wrong place."""
    fill(home, visits=1)
    with read_only(home):
        for command in COMMANDS:
            assert "its disk fails or is read-only" in said_of(home, command, capsys), command


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


@as_root
def test_what_may_not_be_read_is_said_without_a_lesson_in_usage(
    tmp_path: Path, home: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration, or a home, that belongs to the service only: three lines about the options of the command."""
    file = Path(configuration(home, recording))
    file.chmod(0o600)
    home.chmod(0o700)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    with somebody_else():
        assert "Permission denied" in said_by(["check", "-c", str(file)], capsys)
        assert "Permission denied" in said_by(["status", "--home", str(home)], capsys)
        assert "there is no database" in said_by(["backup", str(home), "--home", str(tmp_path / "other")], capsys)
        assert run_cli(["scan", str(file), "--home", str(tmp_path / "other")]) == 1
        assert "Usage" not in capsys.readouterr().err
