"""`rules test` shows for which stored visits the rules would have fired; `rules send` sends a test message."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.cli import run_cli
from birdwatchd.records import Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config
from birdwatchd.store import Store
from tests.support.peer import Peer

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
YAML = """
home: {home}
station: {{timezone: Asia/Jerusalem}}
cameras: {{nut: {{source: a.mp4}}}}
mqtt: {{url: "mqtt://127.0.0.1:1"}}
alerts:
  - {{name: birds, cooldown: 30m, quiet: ["12:00..13:00"], to: [hook]}}
  - {{name: again, when: [unseen_2d], daily_cap: 1}}
channels: {{hook: {{webhook: "{hook}"}}}}
"""
SPARROW = Verdict(State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.91, ())


@pytest.fixture
def file(tmp_path: Path, peer: Peer) -> Path:
    made = tmp_path / "birdwatchd.yaml"
    made.write_text(YAML.format(home=tmp_path / "home", hook=peer.url))
    return made


def visits() -> list[Visit]:
    """Sparrows on two days, a tit in between, and something that nobody could name."""
    tit = replace(SPARROW, common_name="Great tit", scientific_name="Parus major")
    unknown = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, ())
    story = [(0, SPARROW), (10, SPARROW), (20, tit), (40, SPARROW), (50, unknown), (180, SPARROW), (4000, SPARROW)]
    found = []
    for number, (after, verdict) in enumerate(story):
        at = START + timedelta(minutes=after)
        end = at + timedelta(seconds=5)
        found.append(Visit(f"v{number}", "nut", 1, at, end, verdict, 1, 1, None, "demo@1", last_seen=at))
    return found


@pytest.fixture
def watched(file: Path) -> Config:
    """The visits came, and the rules fired as they came."""
    config = load_config(file)
    decide = build_alert_engine(config)
    with Store.open(config.home, zone=ZoneInfo("Asia/Jerusalem")) as store:
        for visit in visits():
            store.writer(decide=decide).record(visit, [], visit.start)
    return config


@pytest.fixture
def answer(file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert run_cli(["rules", *arguments, "-c", str(file)]) == 0
        return capsys.readouterr().out

    return run


def fired(home: Path) -> list[tuple[str, str]]:
    """Rule and visit of all alerts that wait for the broker, in order."""
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        alerts = [json.loads(row.message.payload) for row in store.outbox.pending(0, 999)]
    return [(alert["rule"], alert["visit_id"]) for alert in alerts]


def test_a_backtest_fires_where_the_rules_fired(watched: Config, answer: Callable[..., str]) -> None:
    """Rules that are tried on the past must mean the same when they are let loose."""
    lines = [json.loads(line) for line in answer("test", "--json").splitlines()]
    said = [(line["rule"], line["visit"]["visit_id"]) for line in lines[:-1]]
    assert said == fired(watched.home)
    assert said[0] == ("birds", "v0")
    assert lines[-1] == {
        "summary": {
            "birds": {"fires": 4, "why_not": {"state": 1, "quiet": 1, "cooldown": 1}},
            "again": {"fires": 2, "why_not": {"state": 1, "when": 3, "daily_cap": 1}},
        }
    }


def test_a_backtest_writes_and_sends_nothing(watched: Config, answer: Callable[..., str], peer: Peer) -> None:
    """It is run on the live database, in the middle of the season."""

    def everything() -> str:
        with sqlite3.connect(watched.home / "birdwatchd.sqlite3") as connection:
            return "\n".join(connection.iterdump())

    before = everything()
    answer("test")
    assert everything() == before
    assert peer.got == []


def test_each_visit_says_why_it_was_not_told(watched: Config, answer: Callable[..., str]) -> None:
    """`Why did it not ring?` is the question that rules are asked most."""
    text = answer("test", "--all").splitlines()
    assert len(text) == 2 * 7 + 2
    assert text[2].endswith("no alert: cooldown")
    assert text[1].startswith("2026-05-01 09:30:00  again")
    assert text[-2] == "birds: an alert for 4 of 7 visits; no alert because of: 1 state, 1 quiet, 1 cooldown"


def test_only_what_was_asked_for_is_gone_through(watched: Config, answer: Callable[..., str]) -> None:
    """`unseen` looks back beyond `--since`: what came before did come; cooldowns begin with it."""
    lines = [json.loads(line) for line in answer("test", "--json", "--since", "2026-05-01T09:35").splitlines()]
    assert [(line["rule"], line["visit"]["visit_id"]) for line in lines[:-1]] == [
        ("birds", "v1"), ("birds", "v2"), ("again", "v2"), ("birds", "v3"), ("birds", "v6"), ("again", "v6"),
    ]  # fmt: skip
    until = answer("test", "--until", "2026-05-01T09:35").splitlines()
    assert until[-2] == "birds: an alert for 1 of 1 visit"


def test_without_rules_there_is_nothing_to_backtest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer would look as if nothing ever fits."""
    file = tmp_path / "b.yaml"
    file.write_text(f"home: {tmp_path}\n")
    assert run_cli(["rules", "test", "-c", str(file)]) == 2
    assert "no alert rules about visits are configured" in capsys.readouterr().err
    assert run_cli(["rules", "test", "--until", "never", "-c", str(file)]) == 2
    assert "--until: cannot understand the time never" in capsys.readouterr().err


def test_a_test_message_is_sent_and_its_failure_told(
    file: Path, peer: Peer, answer: Callable[..., str], capsys: Any
) -> None:
    """The first thing to do with a new channel; an error that says the address would end in a forum."""
    assert answer("send", "hook") == "channel hook accepted the test message\n"
    (got,) = peer.got
    assert (got["rule"], got["reasons"]) == ("test", ["birdwatchd test: this channel works"])
    peer.status = 401
    assert run_cli(["rules", "send", "hook", "-c", str(file)]) == 1
    said = capsys.readouterr().err
    assert "channel hook: the server answered 401 Unauthorized; check" in said
    assert str(peer.port) not in said
    assert run_cli(["rules", "send", "phone", "-c", str(file)]) == 2
    assert "no channel named phone; configured: hook" in capsys.readouterr().err
