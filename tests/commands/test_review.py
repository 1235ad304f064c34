"""`birdwatchd review` as a person types it, in a process of its own, beside an open store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.commands.review import ReviewOptions, run_review
from birdwatchd.records import Box, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store import ReviewVerdict, Store

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one finished visit, `v1`, of an uncertain house sparrow."""
    verdict = Verdict(State.UNCERTAIN, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.6, (), ("0.60 is below",))
    visit = Visit(
        "v1", "nut", 1, START, START + timedelta(seconds=9), verdict, 1, 1, Box(0.1, 0.2, 0.3, 0.4), "demo@1",
        last_seen=START + timedelta(seconds=9),
    )  # fmt: skip
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        store.writer().record(visit, [], START)
        store.writer().record(replace(visit, visit_id="v2", end=None), [], START)
    return tmp_path / "home"


@pytest.fixture
def review(home: Path, tmp_path: Path) -> Command:
    """Runs `birdwatchd review` with these arguments."""

    def run(*arguments: str, config: str = "") -> subprocess.CompletedProcess[str]:
        file = tmp_path / "birdwatchd.yaml"
        file.write_text(f"home: {home}\n{config}")
        command = [sys.executable, "-m", "birdwatchd", "review", "-c", str(file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def stored(home: Path) -> Visit:
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        visit = store.visits.get("v1")
    assert visit is not None
    return visit


@pytest.mark.parametrize("name", ["Great tit", "great_tit", "Parus major", "parus maj"])
def test_a_species_by_any_of_its_names(review: Command, home: Path, name: str) -> None:
    """People know birds, not spellings."""
    ended = review("v1", "--species", name, "--by", "ann")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "v1: House sparrow? → Great tit\n"
    verdict = stored(home).verdict
    assert (verdict.common_name, verdict.scientific_name) == ("Great tit", "Parus major")
    assert verdict.state is State.CONFIRMED
    assert verdict.reasons == ("reviewed by ann",)


@pytest.mark.parametrize("name", ["Downy woodpecker", "Dryobates pubescens", "Picoides pubescens"])
def test_a_bird_of_another_continent(review: Command, home: Path, name: str) -> None:
    """Also by the name that a model of some years ago has for it."""
    assert review("v1", "--species", name).stdout.endswith("→ Downy Woodpecker\n")
    assert stored(home).verdict.scientific_name == "Dryobates pubescens"


def test_confirm_and_undo(review: Command, home: Path) -> None:
    """There and back again."""
    assert review("v1", "--confirm").stdout == "v1: House sparrow? → House sparrow\n"
    assert review("v1", "--confirm", "--by", "ann").stdout == "v1: House sparrow, reviewed by ann\n"
    review("v1", "--undo")
    assert review("v1", "--undo").stdout == "v1: House sparrow → House sparrow?\n"
    assert stored(home).verdict.reasons == ("0.60 is below",)


def test_the_confirmation_of_a_certain_name_is_taken_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name stays as it is, and the network gave no reason for it: that was a traceback."""
    verdict = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.97, ())
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        visit = replace(store.visits.named("v1"), visit_id="v3", verdict=verdict)
        store.writer().record(visit, [], START)
    for options in (ReviewOptions("v3", ReviewVerdict.CONFIRM, by="ann"), ReviewOptions("v3", undo=True)):
        assert run_review(Config(home=home), options) == 0
    assert capsys.readouterr().out == "v3: Great tit, reviewed by ann\nv3: Great tit, as before the review\n"


def test_a_local_name(review: Command, tmp_path: Path) -> None:
    """Who sees German names types German names."""
    (tmp_path / "names.csv").write_text("scientific_name,name\nParus major,Kohlmeise\n")
    config = f"species: {{names_file: {tmp_path / 'names.csv'}}}\n"
    assert review("v1", "--species", "kohlmeise", config=config).stdout.endswith("→ Kohlmeise\n")


def test_a_correction_goes_out_to_the_broker(review: Command, home: Path) -> None:
    """By the outbox, which the daemon empties: the command needs no broker to be there."""
    review("v1", "--not-a-bird", config="mqtt: {url: 'mqtt://localhost:1'}\n")
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        assert store.outbox.pending(0, 10) == []  # nobody had been told of it: there is nothing to retract
    review("v1", "--species", "Great tit", config="mqtt: {url: 'mqtt://localhost:1'}\n")
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        topics = [row.message.topic for row in store.outbox.pending(0, 10)]
    assert topics[0].endswith("/nut/visit")


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        (("v1",), "use one of --confirm, --species NAME, --not-a-bird and --undo, or --ask", 2),
        (("v1", "--confirm", "--undo"), "choose one review", 2),
        (("v1", "--species", "Grate tit"), "did you mean Great tit", 2),
        (("v1", "--species", "Zzz"), "add --any-name", 2),
        (("v1", "--species", "Parus majr"), "did you mean Parus major", 2),
        (("v1", "--species", "hoopoe"), "did you mean Eurasian hoopoe or", 2),
        (("v9", "--confirm"), "there is no visit v9", 1),
        (("v2", "--confirm"), "is not over yet", 1),
        (("v1", "--undo"), "no review to take back", 1),
    ],
)
def test_mistakes_are_told_in_a_line_or_two(
    review: Command, home: Path, arguments: tuple[str, ...], says: str, status: int
) -> None:
    """And change nothing."""
    before = stored(home)
    ended = review(*arguments)
    assert ended.returncode == status
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 2
    assert stored(home) == before


def test_a_home_that_is_mistyped_is_not_made(review: Command, tmp_path: Path) -> None:
    """An empty database in the wrong place looks like a station that lost everything."""
    ended = review("last", "--confirm", "--home", str(tmp_path / "hmoe"))
    assert (ended.returncode, "there is no database; check `home`" in ended.stderr) == (1, True)
    assert not (tmp_path / "hmoe").exists()


def test_any_name_will_do_where_it_is_asked_for(review: Command, home: Path) -> None:
    """The escaped cockatiel is in no table of wild birds."""
    assert review("v1", "--species", "Neighbour's  cockatiel", "--any-name").returncode == 0
    assert stored(home).verdict.common_name == "Neighbour's cockatiel"
    assert review("v1", "--species", "parus maj", "--any-name").returncode == 0
    assert stored(home).verdict.common_name == "parus maj"


def test_a_review_takes_an_alert_back_also_without_a_broker(home: Path) -> None:
    """The push said sparrow; whoever corrects it at home in the evening must not have to tell everybody himself."""
    channels = {"phone": {"webhook": "http://127.0.0.1:1", "max_age": "3660d"}}
    config = Config.model_validate({"home": home, "alerts": [{"name": "all", "to": ["phone"]}], "channels": channels})
    for verdict in (ReviewVerdict.CONFIRM, ReviewVerdict.NOT_A_BIRD):
        run_review(config, ReviewOptions("v1", verdict, by="ann"))
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        told = [json.loads(row.message.payload) for row in store.outbox.pending(0, 9, "phone")]
        assert store.outbox.depth() == 0
    assert [(alert["revision"], alert["phase"]) for alert in told] == [(2, "final"), (3, "retracted")]
