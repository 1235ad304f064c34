"""Naming stored visits anew: without pixels where the logits are there, from the pictures where they are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from birdwatchd.commands.relabel import RelabelOptions, run_relabel
from birdwatchd.records import Box, Crop, FloatArray, Label, Moment, Rank, State, Verdict, Visit
from birdwatchd.seen_part import PixelRect, with_mark
from birdwatchd.settings.config import Config
from birdwatchd.species.learned.experience import Example
from birdwatchd.store import MomentRow, Review, ReviewVerdict, Store, schema

START = datetime(2026, 12, 10, 9, 0, tzinfo=UTC)
LABELS = (
    Label("House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"),
    Label("European bee-eater", "Merops apiaster", "Meropidae", "Coraciiformes"),
    Label("Great tit", "Parus major", "Paridae", "Passeriformes"),
)
SUMMER = {"months": {"European bee-eater": [4, 5, 6, 7, 8, 9]}}


@dataclass
class Network:
    """A network that says `answer` of every picture and counts how many it was shown."""

    model_id: str = "new@2"
    answer: tuple[float, float, float] = (0.0, 0.0, 5.0)
    labels: tuple[Label, ...] = LABELS
    max_batch: int = 4
    device: str = "cpu"
    reference: tuple[Example, ...] = ()
    shown: int = 0

    def preprocess(self, image: Image.Image) -> Any:
        return np.zeros((3, 8, 8), np.uint8)

    def infer(self, batch: Any) -> tuple[FloatArray, FloatArray]:
        self.shown += len(batch)
        rows = np.tile(np.array(self.answer, np.float32), (len(batch), 1))
        return rows, np.ones((len(batch), 6), np.float32)


@dataclass
class Bench:
    """A home with stored visits, and `relabel` with a network of the test's choice."""

    home: Path
    network: Network = field(default_factory=Network)
    capsys: Any = None

    def relabel(self, species: dict[str, Any] | None = None, **options: Any) -> str:
        config = Config.model_validate({"home": self.home, "species": species or {}, "mqtt": {"url": "mqtt://h"}})
        assert run_relabel(config, RelabelOptions(**options)) == 0
        return str(self.capsys.readouterr().out)

    def store(self) -> Store:
        return Store.open(self.home, zone=ZoneInfo("UTC"))

    def verdict(self, visit_id: str) -> Verdict:
        with self.store() as store:
            visit = store.visits.get(visit_id)
        assert visit is not None
        return visit.verdict


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    made = Bench(tmp_path / "home", capsys=capsys)
    monkeypatch.setattr("birdwatchd.species.network.network.load_network", lambda *a, **k: made.network)
    return made


def picture(side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 30)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def keep(bench: Bench) -> Callable[..., None]:
    """Store a finished visit of `model`, named a bee-eater in December, with these probabilities in its logits."""

    def make(
        visit_id: str, model: str, p: tuple[float, float, float] = (0.2, 0.75, 0.05), jpeg: bytes | None = None
    ) -> None:
        logits = np.log(np.array(p)).astype(np.float32)
        bee_eater = Verdict(State.CONFIRMED, Rank.SPECIES, "European bee-eater", "Merops apiaster", p[1], ())
        visit = Visit(
            visit_id, "nut", 1, START, START + timedelta(seconds=9), bee_eater, 1, 1, Box(0, 0, 0.1, 0.1), model,
            last_seen=START,
        )  # fmt: skip
        moment = Moment(0, START, Box(0, 0, 0.1, 0.1), 0.5, Crop(jpeg or picture(), 8, 8))
        row = MomentRow(moment, np.zeros(6, np.float32), (), logits)
        with bench.store() as store:
            store.writer().record(visit, [row], START)

    return make


def test_logits_are_enough(bench: Bench, keep: Callable[..., None]) -> None:
    """Ten years of visits after a change of the bar chart: seconds, and no picture is read."""
    keep("v1", "new@2")
    with bench.store() as store:
        for moment in store.visits.moments("v1"):
            assert moment.crop is not None
            moment.crop.unlink()  # retention took it
    said = bench.relabel(SUMMER)
    assert bench.network.shown == 0
    verdict = bench.verdict("v1")
    assert (verdict.common_name, verdict.state) == ("House sparrow", State.CONFIRMED)
    assert verdict.raw_top[0][0] == "European bee-eater"
    assert "1 × European bee-eater → House sparrow" in said


def test_both_verdicts_are_kept(bench: Bench, keep: Callable[..., None]) -> None:
    """A publication cites what the station said in 2026."""
    keep("v1", "new@2")
    bench.relabel(SUMMER)
    with bench.store() as store, store._database.reading() as connection:
        (row,) = connection.execute(sa.select(schema.superseded)).all()
    assert (row.visit_id, row.cause, row.common_name, row.score) == ("v1", "relabel", "European bee-eater", 0.75)


def test_another_model_is_asked_about_the_pictures(bench: Bench, keep: Callable[..., None]) -> None:
    """And its vectors take the place of the old ones: two models' are never mixed."""
    keep("v1", "old@1")
    said = bench.relabel()
    assert bench.network.shown == 1
    with bench.store() as store:
        visit, (moment,) = store.visits.get("v1"), store.visits.moments("v1")
    assert visit is not None
    assert (visit.verdict.common_name, visit.model, visit.revision) == ("Great tit", "new@2", 2)
    assert (moment.model, moment.embedding.tolist()) == ("new@2", [1.0] * 6)
    assert moment.crop is not None
    assert "European bee-eater → Great tit" in said


def test_another_model_sees_of_a_picture_what_the_first_one_saw(
    bench: Bench, keep: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part around the bird, which the file itself marks; of the pictures of older versions all."""
    keep("v1", "old@1", jpeg=with_mark(picture(64), PixelRect(16, 8, 40, 32), 64, 64))
    keep("v2", "old@1", jpeg=picture(64))
    shown = []

    def preprocess(image: Image.Image) -> Any:
        shown.append(image.size)
        return np.zeros((3, 8, 8), np.uint8)

    monkeypatch.setattr(bench.network, "preprocess", preprocess)
    bench.relabel()
    assert shown == [(24, 24), (64, 64)]


def test_another_model_looks_twice_at_dark_pictures_too(
    bench: Bench, keep: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would have when the bird was there; the second look is what is stored of the moment."""
    monkeypatch.setattr(bench.network, "answer", (0.0, 0.0, 0.5))
    keep("v1", "old@1")
    brighter: list[float] = []

    def preprocess(image: Image.Image) -> Any:
        brighter.append(float(np.asarray(image.convert("L")).mean()))
        if len(brighter) == 2:
            bench.network.answer = (0.0, 0.0, 5.0)
        return np.zeros((3, 8, 8), np.uint8)

    monkeypatch.setattr(bench.network, "preprocess", preprocess)
    bench.relabel()
    assert brighter[1] > 1.3 * brighter[0]
    assert bench.verdict("v1").common_name == "Great tit"
    with bench.store() as store:
        (moment,) = store.visits.moments("v1")
    assert moment.logits is not None
    assert moment.logits.tolist() == [0.0, 0.0, 5.0]
    assert moment.bird_evidence == pytest.approx(np.log(np.exp(5) + 2), abs=0.01)


def test_what_cannot_be_asked_about_stays(bench: Bench, keep: Callable[..., None], capsys: Any) -> None:
    """No logits of this model and no picture: the old name is better than none."""
    keep("v1", "old@1")
    with bench.store() as store:
        for moment in store.visits.moments("v1"):
            assert moment.crop is not None
            moment.crop.unlink()
    before = bench.verdict("v1")
    bench.relabel()
    assert bench.verdict("v1") == before


def test_a_persons_word_stays(bench: Bench, keep: Callable[..., None]) -> None:
    """Whatever the new model thinks of it."""
    keep("v1", "old@1")
    with bench.store() as store:
        store.writer().review("v1", Review(ReviewVerdict.CONFIRM, "ann"), START)
    bench.relabel()
    assert bench.verdict("v1").common_name == "European bee-eater"
    assert bench.network.shown == 0


def test_twice_is_once(bench: Bench, keep: Callable[..., None]) -> None:
    """A second pass finds nothing to change: float16 logits must not make news every time."""
    keep("v1", "new@2", (0.1, 0.08, 0.82))
    bench.relabel(SUMMER)
    with bench.store() as store:
        before = store.visits.get("v1")
    said = bench.relabel(SUMMER)
    with bench.store() as store:
        assert store.visits.get("v1") == before
    assert said.strip() == "1 unchanged"


def test_a_dry_run_writes_nothing(bench: Bench, keep: Callable[..., None]) -> None:
    """Look before you leap."""
    keep("v1", "new@2")
    before = bench.verdict("v1")
    assert "European bee-eater → House sparrow" in bench.relabel(SUMMER, dry_run=True)
    assert bench.verdict("v1") == before


def test_nobody_is_told_unless_asked(bench: Bench, keep: Callable[..., None]) -> None:
    """Five thousand corrections of last year on the phone at once."""
    keep("v1", "new@2")
    keep("v2", "new@2")
    bench.relabel(SUMMER)
    with bench.store() as store:
        assert store.outbox.pending(0, 10) == []
    bench.relabel({}, tell=True)
    with bench.store() as store:
        assert {row.visit_id for row in store.outbox.pending(0, 10) if row.visit_id} == {"v1", "v2"}


def test_rules_know_the_birds_of_the_model(
    bench: Bench, keep: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's rules know families of a model of one's own; here they would take back what it told rightly."""
    asked: list[str] = []
    names = lambda config, labels=(): asked.extend(label.scientific_name for label in labels)  # noqa: E731
    monkeypatch.setattr("birdwatchd.commands.relabel.build_alert_engine", names)
    keep("v1", "new@2")
    bench.relabel(SUMMER, tell=True)
    assert "Passer domesticus" in asked


def test_only_some(bench: Bench, keep: Callable[..., None]) -> None:
    """`--since` and `--camera`."""
    keep("v1", "new@2")
    assert bench.relabel(SUMMER, since=START + timedelta(hours=1)).strip() == "0 unchanged"
    assert bench.relabel(SUMMER, camera="other").strip() == "0 unchanged"
    assert "House sparrow" in bench.relabel(SUMMER, camera="nut", since=START - timedelta(hours=1))
