"""`birdwatchd doctor`: plain lines on what is wrong and what to do, and a repair after which nothing is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.store import Store
from tests.support import homes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    homes.fill(tmp_path / "home", 6)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str) -> tuple[int, str, str]:
        status = run_cli([*words, "--home", str(home)])
        out, err = capsys.readouterr()
        return status, out, err

    return command


def test_a_good_home_is_called_good(run: Run) -> None:
    """Who asks after a power cut wants one word; cron wants status 0."""
    status, out, err = run("doctor")
    assert (status, err) == (0, "")
    assert out.splitlines() == ["database    good, 6 visits", "pictures    18", "clips       2"]


@pytest.mark.parametrize("how", homes.BREAKS)
def test_each_damage_is_said_in_plain_lines_and_mended(home: Path, run: Run, how: str) -> None:
    """The person at the station is a birder: no traceback, what is wrong, what to do, and that it worked."""
    before = run("visits", "--json")[1]
    for clip in (home / "media").rglob("*.mp4"):  # of some years ago: a new one may still wait for its row
        os.utime(clip, (1e9, 1e9))
    homes.BREAKS[how](home)
    status, out, err = run("doctor")
    assert (status, err) == (1, "")
    assert "to do       " in out
    assert "--repair" in out
    status, out, err = run("doctor", "--repair")
    assert (status, err) == (0, "")
    assert out.splitlines()[-3] == "database    good, 6 visits"
    assert run("visits", "--json")[1] == before
    assert run("doctor")[0] == 0


def test_a_damaged_database_ends_commands_with_status_3(home: Path, run: Run) -> None:
    """The service unit does not start again after it."""
    homes.replace_by_text(home)
    status, out, err = run("visits")
    assert (status, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith(
        f"birdwatchd: {homes.database(home)}: the database is damaged (file is not a database); stop"
    )
    unit = Path(__file__).parents[3] / "birdwatchd" / "install" / "templates" / "birdwatchd.service"
    assert "\nRestartPreventExitStatus=2 3\n" in unit.read_text(encoding="utf-8")


def test_files_that_are_missing_cannot_be_mended(home: Path, run: Run) -> None:
    """A row without its picture stays as it is; only a backup has the picture."""
    sorted((home / "media").rglob("*.jpg"))[0].unlink()
    for words in (("doctor",), ("doctor", "--repair")):
        status, out, _ = run(*words)
        assert status == 1
        assert "pictures    17, 1 missing that visits name" in out
    assert "backup of media/" in run("doctor")[1]


def test_lost_and_found_is_counted_and_kept(home: Path, run: Run) -> None:
    """It must neither grow unseen for years nor be emptied by a program."""
    homes.lose(home)
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        store.sweep(datetime.now(UTC) + timedelta(hours=2))
    status, out, _ = run("doctor")
    assert status == 1
    assert "lost+found  20 files, 0.0 MB, in " in out
    twin = next((home / "lost+found").rglob("*.jpg"))
    status, out, _ = run("doctor", "--repair")
    assert status == 0
    assert "restored    18 pictures and 0 clips are named again, 6 visits made again of them" in out
    assert not twin.exists()
    twin.write_bytes(b"another file with a name that is taken")
    status, out, _ = run("doctor", "--repair")
    assert "lost+found  1 file stay there: another file has the same name in media/" in out
    assert twin.exists()


def test_a_newer_database_is_left_alone(home: Path, run: Run) -> None:
    """A downgrade is not a damage."""
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    before = homes.database(home).read_bytes()
    for words in (("doctor",), ("doctor", "--repair")):
        status, _, err = run(*words)
        assert status == 3
        assert "newer birdwatchd" in err
    assert homes.database(home).read_bytes() == before


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped --home must not become a home."""
    for words in ((), ("--repair",)):
        assert run_cli(["doctor", *words, "--home", str(tmp_path / "nowhere")]) == 1
        assert run_cli(["doctor", *words, "--home", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert "there is no database" in capsys.readouterr().err


def test_root_does_not_make_files_that_the_service_cannot_write(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sudo birdwatchd doctor --repair` is what people type first."""
    homes.empty(home)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    real = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda self, **how: _owned(real(self, **how)) if self.parent == home else real(self, **how)
    )
    status, _, err = run("doctor", "--repair")
    assert status == 1
    assert "sudo -u '#1234'" in err
    assert homes.database(home).read_bytes() == b""


def _owned(found: object) -> object:
    class Owned:
        st_uid = 1234

        def __getattr__(self, name: str) -> object:
            return getattr(found, name)

    return Owned()


def test_a_database_of_an_older_version_is_no_damage(home: Path, run: Run) -> None:
    """Who asks before the first start after an upgrade must not be sent to a repair."""
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        homes.make_older(connection)
    status, out, _ = run("doctor")
    assert status == 0
    assert out.splitlines()[0] == "database    good, 6 visits; the next start upgrades it from an older version"
    assert "to do" not in out
    homes.spoil_index(home)
    assert run("doctor")[0] == 1
    status, out, _ = run("doctor", "--repair")
    assert status == 0
    assert "repaired    new indexes and sums were enough; no row was lost" in out


def test_rows_of_an_older_version_are_saved(home: Path, run: Run) -> None:
    """The card that fails is often the one that was not looked after for years."""
    before = run("visits", "--json")[1]
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        homes.make_older(connection)
        connection.execute("UPDATE visit SET top = 'no list' WHERE rowid = 2")
    status, out, _ = run("doctor", "--repair")
    assert status == 0
    assert "repaired    5 visits, 15 moments and 1 review saved into a new database; left out 1 row" in out
    assert run("visits", "--json")[1] == before
