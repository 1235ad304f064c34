"""What `retention` shows and does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.records import new_visit_id
from birdwatchd.store import Store
from birdwatchd.testing import example_moment, example_visit

MIDDAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Five sparrows, the oldest the first ever; the pictures get worse."""
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        for number in range(5):
            start = datetime(2020, 5, 10, 12, tzinfo=UTC) + timedelta(days=number)
            moment = example_moment(quality=0.9 - number / 10, jpeg=bytes(100_000))
            visit = example_visit(new_visit_id(start, number), start=start)
            store.writer().record(visit, [moment], MIDDAY)
    return tmp_path / "home"


def pictures(home: Path) -> int:
    return len(list((home / "media").rglob("*.jpg")))


def test_without_limits_nothing_goes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And it says how to set one."""
    assert run_cli(["retention", "--home", str(home)]) == 0
    assert "limits: none, so nothing is ever deleted; set retention.max_gb\n" in capsys.readouterr().out
    assert pictures(home) == 5


def test_a_dry_run_shows_what_the_real_one_does(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody decides by it, about pictures that do not come back."""
    limits = ["retention", "--home", str(home), "--keep-days", "365"]
    assert run_cli([*limits, "--dry-run"]) == 0
    said = capsys.readouterr()
    table = said.out.splitlines()[-1].split("  ")
    assert [cell.strip() for cell in table if cell.strip()] == [
        "pictures", "4", "4", "0.4 MB", "ordinary", "2020-05-11 … 2020-05-14", "older than keep_days",
    ]  # fmt: skip
    assert "nothing was deleted (--dry-run)" in said.err
    assert pictures(home) == 5
    assert run_cli([*limits, "--dry-run", "--json"]) == 0
    planned = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["start"][:10] for one in planned] == [f"2020-05-1{day}" for day in (1, 2, 3, 4)]
    assert {key for one in planned for key in one} == {"what", "visit_id", "start", "value", "why", "size", "files"}
    assert run_cli(limits) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "deleted: 4 pictures of 4 visits (0.4 MB)"
    assert pictures(home) == 1
    assert run_cli([*limits, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "last deleted: 0 clips, 4 pictures, 0 visits (0.4 MB), 2" in said.out
    assert "all limits are kept; nothing has to go" in said.out


def test_a_limit_that_cannot_be_kept_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what to do about it."""
    assert run_cli(["retention", "--home", str(home), "--max-gb", "0.00001"]) == 0
    said = capsys.readouterr()
    assert "more than max_gb, and nothing more may be deleted; raise max_gb" in said.err
    assert "5 pictures of 5 visits" in said.out
    assert "4 visits" in said.out


def test_the_limits_of_the_configuration_hold(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is written there is what the daemon does."""
    config = tmp_path / "birdwatchd.yaml"
    config.write_text(f"home: {home}\nretention: {{keep_days: 365, max_gb: 0.0004}}\n")
    assert run_cli(["retention", "-c", str(config), "--dry-run"]) == 0
    assert "limits: keep_days 365, max_gb 0.0004" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keep_days: 0", "retention.keep_days"),
        ("max_gb: -1", "retention.max_gb"),
        ("keep: 3", "retention.keep is not a known key; allowed here: keep_days, max_gb, min_free_gb"),
    ],
)
def test_limits_that_cannot_be_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    """A limit of 0 would be everything."""
    config = tmp_path / "birdwatchd.yaml"
    config.write_text(f"retention: {{{text}}}\n")
    assert run_cli(["retention", "-c", str(config)]) == 2
    assert says in capsys.readouterr().err


def test_no_home_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped --home must not look like an empty station, nor make one."""
    assert run_cli(["retention", "--home", str(tmp_path / "nothing"), "--max-gb", "1"]) == 1
    assert "there is no database; check `home`" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
