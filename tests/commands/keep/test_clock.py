"""What `birdwatchd clock` shows and does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.clock import StationClock
from birdwatchd.store import Store, StoreReader
from birdwatchd.testing import example_moment, example_visit
from tests.support.clocks import Clocks

ZONE = ZoneInfo("UTC")
AHEAD = timedelta(days=3)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which a clock that was three days ahead stamped a visit, and a right one found that out."""
    home, now = tmp_path / "home", datetime.now(UTC).replace(microsecond=0)
    computer = Clocks(wall=now + AHEAD)
    with Store.open(home, zone=ZONE) as store:
        store.clocks.begin(computer.clock)
        start = computer.wall
        visit = example_visit("wrong", start=start, end=start + timedelta(seconds=9), clock=store.clocks.current)
        store.writer().record(visit, [example_moment()], start)
        computer.wall, computer.synchronised = now, True
        computer.restart()
        store.clocks.begin(computer.clock)
    return home


def run(home: Path, *words: str) -> int:
    return run_cli(["clock", "--home", str(home), *words])


def start_of(home: Path) -> datetime:
    with StoreReader.open_existing(home) as store:
        visit = store.visits.get("wrong")
    assert visit is not None
    return visit.start


def test_it_shows_which_clock_stamped_what(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who shifts something must see what there is."""
    assert run(home) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("the system's clock says ")
    assert [line.split()[0] for line in lines[1:]] == ["stretch", "1", "2", "3"]
    assert "the clock was ahead" in lines[3]


def test_a_stretch_is_shifted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what the clock said and when that was; --dry-run shows it first."""
    wrong = start_of(home)
    said, was = wrong.isoformat(), (wrong - AHEAD - timedelta(hours=1)).isoformat()
    assert run(home, "--shift", "2", "--said", said, "--was", was, "--dry-run") == 0
    assert start_of(home) == wrong
    shown = capsys.readouterr().out
    assert shown.startswith("1 visit and 0 spans of effort: 3 days, 1:00:00 earlier")
    assert run(home, "--shift", "2", "--said", said, "--was", was) == 0
    assert capsys.readouterr().out == shown
    assert start_of(home) == wrong - AHEAD - timedelta(hours=1)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--shift", "2"), "by how much"),
        (("--shift", "9", "--said", "2026-05-01", "--was", "2026-04-01"), "there is no stretch 9"),
        (("--shift", "2", "--said", "2026-05-01", "--was", "2026-05-09"), "has not come"),
        (("--since", "2000-01-01", "--said", "2000-01-01", "--was", "2026-05-01"), "belong together"),
        (("--said", "2000-01-01"), "belong to what is shifted"),
        (
            ("--since", "2000-01-01", "--until", "2000-02-01", "--said", "2000-01-01", "--was", "2026-05-01"),
            "no older version stamped anything",
        ),
        (("--shift", "2", "--said", "some day", "--was", "2026-05-01"), "--said: cannot understand"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], problem: str
) -> None:
    """Nothing is changed then."""
    wrong = start_of(home)
    assert run(home, *words) != 0
    said = capsys.readouterr().err
    assert problem in " ".join(said.split())
    assert start_of(home) == wrong


def test_the_stretch_that_is_going_on_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon would go on stamping by the old time; an older stretch may be shifted beside it."""
    wrong = start_of(home)
    said, was = wrong.isoformat(), (wrong - AHEAD).isoformat()
    with Store.open(home, zone=ZONE) as store:
        store.claim("run")
        assert run(home, "--shift", "3", "--said", said, "--was", was) != 0
        assert "set the system's clock right" in " ".join(capsys.readouterr().err.split())
        assert run(home, "--trust") != 0
        assert run(home, "--shift", "2", "--said", said, "--was", was) == 0


def test_who_knows_that_the_clock_is_right_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A station without network whose clock was ahead would otherwise never believe it again."""
    now = datetime.now(UTC)
    with Store.open(home, zone=ZONE) as store:
        start = now + timedelta(days=9)
        store.writer().record(example_visit("late", start=start, end=start + timedelta(seconds=9)), [], now)

    def behind() -> bool:
        clock = StationClock(lambda: Clocks(wall=now).read(), lambda: 1000.0)
        with Store.open(home, zone=ZONE) as store:
            store.clocks.begin(clock)
        return clock.behind

    assert behind()
    assert run(home, "--trust") == 0
    assert "1 visit" in capsys.readouterr().out
    assert not behind()
