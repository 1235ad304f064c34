"""The command as a shell starts it: with files closed, full or of another language."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.store import Store
from birdwatchd.testing import START, example_visit

NAME = "Mésange – ירגזי"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a visit whose bird has a name that ASCII has no letters for; and so has its own path."""
    return filled(tmp_path_factory.mktemp("hôme of ציפורים"))


def filled(path: Path) -> Path:
    """The same in any folder."""
    with Store.open(path, zone=ZoneInfo("UTC")) as store:
        store.writer().record(example_visit("v1", NAME), [], START)
    return path


def shell(command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """What a shell makes of it; `birdwatchd` is this one."""
    command = command.replace("birdwatchd", f"{sys.executable} -m birdwatchd", 1)
    return subprocess.run(["bash", "-c", command], capture_output=True, check=False, env=os.environ | environ)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_files_that_are_closed_lead_nowhere(closed: str, home: Path) -> None:
    """Cron jobs and service managers close them; the next file to be opened, such as the database, took their place."""
    done = shell(f"birdwatchd visits --home '{home}' {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (NAME.encode() in done.stdout) is (">&-" not in closed.replace("2>&-", ""))


def test_names_are_printed_in_every_language(home: Path) -> None:
    """JSON is UTF-8 whatever the system's language is; nothing ends in a UnicodeEncodeError."""
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell(f"birdwatchd visits --json --home '{home}'", **ascii_only)
    assert json.loads(done.stdout)["common_name"] == NAME
    done = shell(f"script -qec 'birdwatchd visits --home \"{home}\"' /dev/null", **ascii_only)
    assert done.returncode == 0, done.stdout
    assert b"M\\xe9sange \\u2013" in done.stdout


def test_a_full_disk_under_the_output_is_one_line(home: Path) -> None:
    """`birdwatchd visits > list.txt` on a full disk, and no traceback."""
    done = shell(f"birdwatchd visits --home '{home}' > /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"birdwatchd: the output cannot be written: its disk is full; free some space\n"


def test_nothing_is_made_that_everybody_may_write(tmp_path: Path) -> None:
    """Some machines and containers have the umask 000, and then anybody may change what birds were seen."""
    done = shell(f"umask 000; birdwatchd review last --confirm --home '{filled(tmp_path / 'home')}'")
    assert done.returncode == 0, done.stderr
    done = shell(f"umask 000; birdwatchd backup '{tmp_path}/backups' --home '{tmp_path}/home'")
    assert done.returncode == 0, done.stderr
    made = [tmp_path / "backups", *(tmp_path / "backups").rglob("*")]
    assert len(made) > 2
    assert not [path for path in made if path.stat().st_mode & 0o002]
