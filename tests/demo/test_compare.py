"""The demo's verdict on the whole system: it must notice everything that can be wrong, or it proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd.demo import run as demo
from birdwatchd.demo.latency import Heard, quantile
from birdwatchd.demo.run import Comparison, DemoSettings, Feeder, compare, summary
from birdwatchd.records import Box, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store.reader import StoredMoment

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
BOX = Box(0.1, 0.2, 0.3, 0.4)
BIRDS = (("House sparrow", 6.0, 9.0), ("Great tit", 12.0, 17.0))


class World:
    """A camera with two birds, and a database in which everything is as promised until a test spoils it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        birds = [{"species": name, "start_s": start, "end_s": end} for name, start, end in BIRDS]
        self.feeders = [self.feeder("feeder1", birds)]
        self.stored: list[Visit] = []
        self.kept: dict[str, list[StoredMoment]] = {}
        self.told: dict[str, datetime] = {}
        self.final: dict[str, datetime] = {}
        for name, start, end in BIRDS:
            self.store(name, start + 0.2, end + 0.2)

    @staticmethod
    def feeder(key: str, birds: list[dict[str, Any]], started: datetime | None = START) -> Feeder:
        return Feeder(key, None, "http://127.0.0.1:1/", birds, started)  # type: ignore[arg-type]  # no process

    def store(self, name: str, start_s: float, end_s: float) -> str:
        """Put one visit with one moment and its crop into the database, and tell of it."""
        visit_id = f"v{len(self.stored)}"
        start, end = (START + timedelta(seconds=s) for s in (start_s, end_s))
        verdict = Verdict(State.CONFIRMED, Rank.SPECIES, name, None, 0.9, ((name, 0.9),))
        self.stored.append(Visit(visit_id, "feeder1", 1, start, end, verdict, 1, 1, BOX, "demo@1", last_seen=end))
        crop = self.folder / f"{visit_id}.jpg"
        crop.write_bytes(b"jpeg")
        vector = np.linspace(-1, 1, 8).astype(np.float16)
        self.kept[visit_id] = [
            StoredMoment(visit_id, 0, start, BOX, 0.5, ((name, 0.9),), vector, None, crop, 64, 64, "demo@1")
        ]
        self.told[visit_id] = start + timedelta(seconds=0.8)
        self.final[visit_id] = end + timedelta(seconds=1.3)
        return visit_id

    def find(self, since: datetime, camera: str) -> list[Visit]:
        return [v for v in self.stored if v.start >= since and v.camera == camera]

    def moments(self, visit_id: str) -> list[StoredMoment]:
        return self.kept[visit_id]

    def compare(self) -> Comparison:
        heard = Heard(self.told, self.final)
        return compare(self, self.feeders, heard, START + timedelta(seconds=30))  # type: ignore[arg-type]

    def is_good(self) -> bool:
        return summary(self.compare(), 4, Config(home=self.folder))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def spoil_embedding(vector: np.ndarray[Any, Any]) -> Callable[[World], None]:
    return lambda world: world.kept.update(v0=[replace(world.kept["v0"][0], embedding=vector)])


def test_a_run_as_promised_is_good(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Without this every other test here could pass for the wrong reason."""
    assert world.is_good()
    assert capsys.readouterr().out.count("✓") == 5


def test_a_camera_that_never_started_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A camera that could not be opened saw no bird wrongly; it saw none."""
    birds = [{"species": "Great tit", "start_s": 8.0, "end_s": 11.0}]
    world.feeders.append(world.feeder("feeder2", birds, None))
    comparison = world.compare()
    assert comparison.never_started == ("feeder2",)
    assert [s.visits for s in comparison.sightings if s.camera == "feeder2"] == [()]
    assert not world.is_good()
    shown = capsys.readouterr().out
    assert "✗ camera feeder2 never started" in shown
    assert "✗ 2 of 3 visits are in the database exactly once" in shown


def test_no_camera_at_all_is_a_failure(world: World) -> None:
    """Nothing was wrong with the nothing that was seen."""
    world.feeders[0].started = None
    assert not world.is_good()


def test_one_visit_is_not_counted_for_two_birds(world: World) -> None:
    """Two birds taken for one long visit are one visit lost."""
    end = world.stored[1].end
    world.stored[:] = [replace(world.stored[0], end=end)]
    sightings = world.compare().sightings
    assert [len(s.visits) for s in sightings] == [0, 1], "it belongs to the bird that was there for longer"
    assert not world.is_good()


def test_a_bird_stored_twice_is_a_failure(world: World) -> None:
    """Doubles spoil every count that is made from the database."""
    world.store("House sparrow", 7.0, 8.5)
    assert not world.is_good()


def test_a_visit_without_a_bird_is_a_failure(world: World) -> None:
    """A leaf that became a visit is as wrong as a bird that did not."""
    world.store("Great tit", 20.0, 24.0)
    assert len(world.compare().extra) == 1
    assert not world.is_good()


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_embedding(np.zeros(8, np.float16)),
        spoil_embedding(np.full(8, np.nan, np.float16)),
        spoil_embedding(np.array([1, 2, np.inf], np.float16)),
        spoil_embedding(np.zeros(0, np.float16)),
        spoil_embedding(np.ones(8, np.float32)),
        spoil_embedding(np.ones((2, 4), np.float16)),
        lambda world: world.kept.update(v0=[]),
        lambda world: world.kept["v0"].append(replace(world.kept["v0"][0], idx=1, embedding=np.ones(7, np.float16))),
        lambda world: world.kept["v0"][0].crop.unlink(),
        lambda world: world.kept["v0"][0].crop.write_bytes(b""),
        lambda world: world.kept.update(v0=[replace(world.kept["v0"][0], crop=None)]),
        lambda world: world.stored.__setitem__(0, replace(world.stored[0], moments=2)),
    ],
    ids=["zero", "nan", "inf", "empty", "float32", "2-D", "none", "lengths", "no file", "no bytes", "no crop", "lost"],
)
def test_embeddings_and_crops_must_hold_something(world: World, spoil: Callable[[World], object]) -> None:
    """A column of zeros has the right type, and finds no similar bird ever."""
    spoil(world)
    assert not world.is_good()


def test_a_message_before_its_bird_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong clock must not make the system look quick."""
    world.told["v0"] = START + timedelta(seconds=5.5)
    assert not world.is_good()
    assert "one came 0.50 s before its bird" in capsys.readouterr().out


def test_both_waits_are_shown(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """How soon a phone buzzes is what people ask first; the median alone hides the one bird in twenty."""
    world.told["v0"] += timedelta(seconds=3)
    assert world.is_good()
    shown = capsys.readouterr().out
    assert "told after the first frame: median 2.50 s, 95 % within 4.00 s (asked: 2 s and 4 s)" in shown
    assert "final after the last frame: median 1.50 s, 95 % within 1.50 s (asked: 3 s)" in shown


def test_the_quantile_is_a_value_that_occurred() -> None:
    """Nineteen quick messages and one slow: 95 % were quick."""
    assert quantile([1.0] * 19 + [9.0], 0.95) == 1.0
    assert quantile([1.0] * 18 + [9.0, 9.0], 0.95) == 9.0


def test_only_a_final_message_counts_as_final() -> None:
    """A provisional message repeated late must not pass for the end of the visit."""
    heard = Heard()
    for second, phase in enumerate(("provisional", "provisional", "final", "corrected")):
        payload = json.dumps({"visit_id": "v0", "phase": phase}).encode()
        heard.hear("t", payload, START + timedelta(seconds=second))
    assert heard.messages == 4
    assert (heard.first["v0"] - START).seconds == 0
    assert (heard.final["v0"] - START).seconds == 2


def test_a_bird_nobody_was_told_of_is_a_failure(world: World) -> None:
    """The median of those who were told says nothing of the others."""
    del world.told["v0"]
    assert not world.is_good()


def test_the_demo_does_not_wait_for_ever_for_a_camera() -> None:
    """Half a demo with a failure named is better than one that never ends."""

    def is_over(second: float, *started: float | None) -> bool:
        times = [None if s is None else START + timedelta(seconds=s) for s in started]
        return demo._is_over(30.0, times, START, START + timedelta(seconds=second))

    assert not is_over(34.0, 0.0, 5.0)
    assert is_over(35.0, 0.0, 5.0), "counted from the last camera"
    assert not is_over(59.0, 0.0, None)
    assert is_over(60.0, 0.0, None)
    assert not is_over(100.0, None, None)
    assert is_over(180.0, None, None)


def test_a_camera_runs_no_code_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People try the demo in their downloads folder; a hashlib.py that lies there is not ours."""
    (tmp_path / "hashlib.py").write_text("open('executed', 'w')\n")
    monkeypatch.chdir(tmp_path)
    process = demo._start_feeder(DemoSettings(15.0, tmp_path), 0)
    try:
        assert process.stdout is not None
        assert "url" in json.loads(process.stdout.readline())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10.0)
    assert not (tmp_path / "executed").exists()
