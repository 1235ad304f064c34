"""What `backup` and `restore` print, and with which exit status they end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.store import LastBackup, Store
from birdwatchd.testing import example_moment, example_visit

NOW = datetime(2026, 5, 2, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        store.writer().record(example_visit(), [example_moment(0), example_moment(1)], NOW)
    return tmp_path / "home"


def test_a_backup_and_back(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was copied, that it was verified, and that the same disk is no other disk."""
    assert run_cli(["backup", str(tmp_path / "b"), "--home", str(home)]) == 0
    said = capsys.readouterr()
    assert "1 visit, verified\n  pictures and clips: 2 linked, 0 there already\n" in said.out
    assert "on the same disk as the home" in said.err
    noted = LastBackup.read(home)
    assert noted is not None
    assert (noted.folder, noted.visits) == (str(tmp_path / "b"), 1)
    assert run_cli(["restore", str(tmp_path / "b"), "--home", str(tmp_path / "again")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{tmp_path}/again: 1 visit of birdwatchd-2")
    assert "  pictures and clips: 2 restored\n" in said.out
    assert run_cli(["restore", str(tmp_path / "b"), "--home", str(home), "--replace"]) == 0
    assert "is kept as" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["backup", "{home}"], 2, "is the home itself; choose a folder on another disk"),
        (["backup", "b", "--home", "nothing"], 1, "there is no database; check `home`, or give --home"),
        (["backup", "no/where"], 1, "no/where: does not exist; make the folder above it, or mount the disk"),
        (["backup", "b", "--keep", "0"], 2, "--keep"),
        (["restore", "b"], 1, "b: does not exist; give the folder that `birdwatchd backup` wrote to"),
        (["restore", "{home}"], 2, "is the home itself"),
        (["restore", "{home}/media"], 1, "holds no backup"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    """They are typed at night, by whoever is there."""
    monkeypatch.chdir(tmp_path)
    words = [one.format(home=home) for one in arguments]
    assert run_cli([*words, *([] if "--home" in words else ["--home", str(home)])]) == status
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""
    assert not (tmp_path / "b").exists()
