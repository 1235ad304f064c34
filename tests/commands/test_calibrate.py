"""`birdwatchd calibrate` from reviews in a database to verdicts of the next run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from birdwatchd.commands.calibrate import run_calibrate
from birdwatchd.errors import StoreError
from birdwatchd.records import Box, Crop, Label, Moment, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.store import MomentRow, Review, ReviewVerdict, Store

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
LABELS = (Label("House sparrow", "Passer domesticus"), Label("Great tit", "Parus major"), Label("Hoopoe"))
MODEL = "new@2"
Fill = Callable[..., None]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration whose model has three classes."""
    network = SimpleNamespace(model_id=MODEL, labels=LABELS, max_batch=4, device="cpu")
    monkeypatch.setattr("birdwatchd.species.network.network.load_network", lambda *a, **k: network)
    return Config.model_validate({"home": tmp_path / "home"})


@pytest.fixture
def fill(config: Config) -> Fill:
    """Store reviewed visits whose network was always 0.98 sure of the sparrow, and right in a share of them."""

    def make(count: int, right: float, model: str = MODEL, first: int = 0) -> None:
        logits = np.log(np.array([0.98, 0.01, 0.01])).astype(np.float32)
        sparrow = Verdict(State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.98, ())
        with Store.open(config.home, zone=ZoneInfo("UTC")) as store:
            for number in range(first, first + count):
                end = START + timedelta(seconds=9)
                visit = Visit(f"v{number:04}", "nut", 1, START, end, sparrow, 1, 1, None, model, last_seen=end)
                moment = Moment(0, START, Box(0, 0, 0.1, 0.1), 0.5, Crop(b"x", 8, 8))
                store.writer().record(visit, [MomentRow(moment, np.zeros(4, np.float32), (), logits)], START)
                is_right = (number - first) < right * count
                review = (
                    Review(ReviewVerdict.CONFIRM, "ann")
                    if is_right
                    else Review(ReviewVerdict.SPECIES, "ann", LABELS[1])
                )
                store.writer().review(visit.visit_id, review, START)

    return make


def temperature(config: Config) -> float:
    with Store.open(config.home, zone=ZoneInfo("UTC")) as store:
        return store.examples.temperature(MODEL)


def test_an_overconfident_model_is_cooled(config: Config, fill: Fill, capsys: pytest.CaptureFixture[str]) -> None:
    """0.98 sure and right three times in four: the next run must not call 0.98 confirmed at a threshold of 0.9."""
    fill(60, 0.75)
    assert run_calibrate(config) == 0
    said = capsys.readouterr().out
    assert "60 reviewed visits of new@2" in said
    assert "0.980" in said
    assert "0.750" in said
    assert temperature(config) > 2.0


def test_subspecies_count_as_their_species(
    config: Config, fill: Fill, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict adds them up, so what is calibrated has to be the sum too."""
    crow = bundled_taxonomy().label("Corvus corax")
    classes = (LABELS[0], bundled_taxonomy().label("Passer domesticus biblicus"), crow)
    network = SimpleNamespace(model_id=MODEL, labels=classes, max_batch=4, device="cpu")
    monkeypatch.setattr("birdwatchd.species.network.network.load_network", lambda *a, **k: network)
    fill(30, 1.0)
    assert run_calibrate(config, dry_run=True) == 0
    assert "0.990" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(config: Config, fill: Fill) -> None:
    """Look first."""
    fill(60, 0.75)
    run_calibrate(config, dry_run=True)
    assert temperature(config) == 1.0


def test_too_few_reviews_are_refused(config: Config, fill: Fill) -> None:
    """Five opinions would turn every threshold upside down."""
    fill(29, 0.5)
    fill(50, 0.5, model="old@1", first=100)  # another model's say nothing
    with pytest.raises(StoreError, match="only 29 reviewed visits of new@2 so far; 30 are needed"):
        run_calibrate(config)


def test_what_was_no_bird_says_nothing_about_names(config: Config, fill: Fill) -> None:
    """A leaf has no right class."""
    fill(30, 1.0)
    with Store.open(config.home, zone=ZoneInfo("UTC")) as store:
        store.writer().review("v0000", Review(ReviewVerdict.NOT_A_BIRD, "ann"), START)
    with pytest.raises(StoreError, match="only 29 reviewed visits"):
        run_calibrate(config)
