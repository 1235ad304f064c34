"""Reviews that other processes write reach the running daemon's naming, and stored visits when they are named anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from birdwatchd.commands.relabel import RelabelOptions, run_relabel
from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Stop
from birdwatchd.records import Box, Crop, FloatArray, Label, Moment, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Example
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.stages.learn import REFRESH_S, Learn
from birdwatchd.store import MomentRow, Review, ReviewVerdict, Store

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
SPARROW = Label("House sparrow", "Passer domesticus")
LABELS = (SPARROW, Label("Great tit", "Parus major"))
LOGITS = np.array([6.0, 1.0], np.float32)
DIM = 12
MODEL = "demo@1"


@dataclass
class Network:
    """What learning and relabelling need of a network; neither may run it."""

    model_id: str = MODEL
    labels: tuple[Label, ...] = LABELS
    reference: tuple[Example, ...] = ()
    max_batch: int = 4
    device: str = "cpu"


def looks(kind: float, seed: int) -> FloatArray:
    """Embeddings of a visit; `kind` is where along one direction its kind lies."""
    chance = np.random.default_rng((round(kind * 100), seed))
    return np.asarray(chance.normal(0, 0.1, (2, DIM)) + kind * np.arange(DIM) / DIM, np.float32)


def keep(store: Store, visit_id: str, kind: float, seed: int, model: str = MODEL) -> None:
    """Store a finished visit that the network calls a house sparrow."""
    top = (("House sparrow", 0.99),)
    verdict = Verdict(State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.99, top)
    box = Box(0, 0, 0.1, 0.1)
    end = START + timedelta(seconds=5)
    visit = Visit(visit_id, "nut", 1, START, end, verdict, 2, 1, box, model, last_seen=START)
    rows = [
        MomentRow(Moment(i, START, box, 0.5, Crop(b"jpeg", 8, 8)), embedding, verdict.top, LOGITS)
        for i, embedding in enumerate(looks(kind, seed))
    ]
    store.writer().record(visit, rows, START)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as opened:
        for number in range(12):
            keep(opened, f"a{number:02d}", 0.0, number)
        for number in range(4):
            keep(opened, f"b{number:02d}", 3.0, number)
        yield opened


def verdict_on(fusion: Fusion, kind: float, seed: int = 77) -> Verdict:
    """What is said of a visit of today."""
    return fusion.fuse(np.stack([LOGITS, LOGITS]), START, None, looks(kind, seed))


def reject(store: Store, *visit_ids: str) -> None:
    for visit_id in visit_ids:
        store.writer().review(visit_id, Review(ReviewVerdict.NOT_A_BIRD, "ada"), START)


def test_a_review_counts_within_seconds_and_its_undo_too(store: Store, tmp_path: Path) -> None:
    """People review while the daemon runs, from another process; it must not have to be started again."""
    fusion = Fusion(LABELS, SpeciesSettings())
    learn = Learn(store.examples, Network(), fusion, SpeciesSettings())
    learn.run_once(0.0)
    assert verdict_on(fusion, 3.0).state is State.CONFIRMED
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as elsewhere:
        reject(elsewhere, "b00", "b01", "b02")
        learn.run_once(1.0)
        assert verdict_on(fusion, 3.0).state is State.REJECTED
        assert verdict_on(fusion, 3.0).reasons == ("resembles 3 visits you marked as not a bird",)
        assert verdict_on(fusion, 0.0).state is State.CONFIRMED
        for visit_id in ("b00", "b01", "b02"):
            elsewhere.writer().undo_review(visit_id, START)
    learn.run_once(2.0)
    assert verdict_on(fusion, 3.0).state is State.CONFIRMED


def test_visits_that_were_called_otherwise_teach_the_same_bird(store: Store) -> None:
    """A review under a name of another language or year, of a bird that is now called otherwise, corrects nothing."""
    for visit_id in ("b00", "b01", "b02"):
        store.writer().review(
            visit_id, Review(ReviewVerdict.SPECIES, "ada", Label("Spatz", "Passer domesticus")), START
        )
    labels = (replace(SPARROW, common_name="Haussperling", english_name="House sparrow"), LABELS[1])
    fusion = Fusion(labels, SpeciesSettings())
    Learn(store.examples, Network(labels=labels), fusion, SpeciesSettings()).run_once(0.0)
    assert fusion.experience.corrections == 0
    assert verdict_on(fusion, 3.0).common_name == "Haussperling"


def test_what_was_seen_meanwhile_counts_after_an_hour(store: Store) -> None:
    """Learn costs seconds on a large database: not at every visit, but not never."""
    fusion = Fusion(LABELS, SpeciesSettings())
    learn = Learn(store.examples, Network(), fusion, SpeciesSettings())
    learn.run_once(0.0)
    first = fusion.experience
    keep(store, "c00", 0.0, 99)
    learn.run_once(REFRESH_S - 1)
    assert fusion.experience is first
    learn.run_once(REFRESH_S + 1)
    assert fusion.experience.visits == first.visits + 1


def test_learning_can_be_switched_off(store: Store) -> None:
    """`species.learn: false`: the network's word is final."""
    reject(store, "b00", "b01", "b02")
    settings = SpeciesSettings(learn=False)
    fusion = Fusion(LABELS, settings)
    Learn(store.examples, Network(), fusion, settings).run_once(0.0)
    assert verdict_on(fusion, 3.0).state is State.CONFIRMED


def test_visits_of_another_model_teach_nothing(store: Store) -> None:
    """Numbers of two networks have nothing to do with each other."""
    reject(store, "b00", "b01", "b02")
    fusion = Fusion(LABELS, SpeciesSettings())
    Learn(store.examples, Network("other@2"), fusion, SpeciesSettings()).run_once(0.0)
    assert fusion.experience.visits == 0


def test_a_busy_database_is_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that holds the database for a minute must not end the daemon, nor what it knows."""
    fusion = Fusion(LABELS, SpeciesSettings())
    learn = Learn(store.examples, Network(), fusion, SpeciesSettings())

    def busy() -> tuple[int, int]:
        raise StoreBusy("database is locked", "wait")

    monkeypatch.setattr(store.examples, "reviews_version", busy)
    learn.run_once(0.0)
    monkeypatch.undo()
    learn.run_once(1.0)
    assert fusion.experience.visits == 16


def test_the_stage_ends_with_the_stop(store: Store) -> None:
    """Stopping takes seconds, whatever is being waited for."""
    stop = Stop()
    stop.set("test")
    Learn(store.examples, Network(), Fusion(LABELS, SpeciesSettings()), SpeciesSettings()).run(stop)


def test_relabel_applies_reviews_to_the_past(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three reviews, and the fourth false sparrow of last week is put right too; its pictures may be gone."""
    reject(store, "b00", "b01", "b02")
    monkeypatch.setattr("birdwatchd.species.network.network.load_network", lambda *a, **k: Network())
    assert run_relabel(Config.model_validate({"home": tmp_path}), RelabelOptions()) == 0
    visit = store.visits.get("b03")
    assert visit is not None
    assert visit.verdict.state is State.REJECTED
    assert "1 × House sparrow" in capsys.readouterr().out
    kept = store.visits.get("a00")
    assert kept is not None
    assert kept.verdict.state is State.CONFIRMED
