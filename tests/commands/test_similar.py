"""`birdwatchd similar`: what looks alike, of the same model only, for a visit and for a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from birdwatchd.commands import similar as module
from birdwatchd.commands.similar import SimilarOptions, run_similar
from birdwatchd.errors import ConfigError, StoreError
from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit
from birdwatchd.search import nearest
from birdwatchd.seen_part import PixelRect, with_mark
from birdwatchd.settings.config import Config
from birdwatchd.store import MomentRow, Store

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
Keep = Callable[..., None]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Store a finished visit with these embeddings, one for each moment."""

    def make(
        visit_id: str,
        *embeddings: list[float],
        model: str = "demo@1",
        qualities: tuple[float, ...] = (),
        evidence: tuple[float, ...] = (),
    ) -> None:
        named = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, ())
        end = START + timedelta(seconds=9)
        visit = Visit(visit_id, "nut", 1, START, end, named, len(embeddings), 1, None, model, last_seen=end)
        rows = [
            MomentRow(
                Moment(i, START, Box(0, 0, 0.1, 0.1), qualities[i] if qualities else 0.5, Crop(b"x", 8, 8)),
                np.array(embedding, np.float32),
                (),
                bird_evidence=evidence[i] if evidence else None,
            )
            for i, embedding in enumerate(embeddings)
        ]
        with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
            store.writer().record(visit, rows, START)

    return make


@pytest.fixture
def similar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[tuple[str, float]]]:
    """Run it; visits and similarities, best first."""

    def run(what: str, count: int = 10, **model: Any) -> list[tuple[str, float]]:
        config = Config.model_validate({"home": tmp_path / "home", "model": model or {"name": "demo"}})
        assert run_similar(config, SimilarOptions(what, count, as_json=True)) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(line["visit_id"], line["similarity"]) for line in lines]

    return run


def test_the_most_alike_come_first(keep: Keep, similar: Callable[..., list[tuple[str, float]]]) -> None:
    """Each visit once, with its most similar picture; the visit itself is no answer."""
    keep("asked", [1, 0, 0], [0.9, 0.1, 0])
    keep("same", [2, 0.1, 0], [0, 0, 1])
    keep("other", [0, 1, 0])
    keep("between", [1, 1, 0])
    found = similar("asked")
    assert [visit_id for visit_id, _ in found] == ["same", "between", "other"]
    assert found[0][1] == pytest.approx(1.0, abs=0.01)
    assert [visit_id for visit_id, _ in similar("asked", 1)] == ["same"]


def test_another_models_vectors_are_not_compared(keep: Keep, similar: Callable[..., list[tuple[str, float]]]) -> None:
    """They may even have the same length."""
    keep("asked", [1, 0, 0])
    keep("stranger", [1, 0, 0], model="demo@2")
    assert similar("asked") == []


def test_better_pictures_say_more_of_what_it_looks_like(
    keep: Keep, similar: Callable[..., list[tuple[str, float]]]
) -> None:
    """One good look at the bird, and many of the branch: by what the network found, in old databases by sharpness."""
    keep("asked", [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], qualities=(0.9,) * 4, evidence=(-1.0, 4.0, -2.0, -3.0))
    keep("old", [0, 1, 0], [1, 0, 0], qualities=(0.0, 0.9))
    keep("branch", [0, 1, 0])
    keep("bird", [1, 0, 0])
    for asked in ("asked", "old"):
        found = [visit_id for visit_id, _ in similar(asked)]
        assert found.index("bird") < found.index("branch")


def test_many_pages(
    keep: Keep, similar: Callable[..., list[tuple[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first reading that takes long says so, and gives the same: nothing twice, nothing left out."""
    monkeypatch.setattr(nearest, "PAGE", 2)
    monkeypatch.setattr(module, "QUIET_PAGES", 1)
    for number in range(5):
        keep(f"v{number}", [1, number, 0], [1, number, 0.01])
    assert sorted(visit_id for visit_id, _ in similar("v0")) == ["v1", "v2", "v3", "v4"]


def test_a_picture_is_compared_by_the_model(
    tmp_path: Path, keep: Keep, similar: Callable[..., list[tuple[str, float]]]
) -> None:
    """With the bundled model itself: a file that it has seen is found again."""
    from birdwatchd.settings.model import ModelSettings
    from birdwatchd.species.network.network import load_network

    network = load_network(ModelSettings(name="demo"), tmp_path)
    rng = np.random.default_rng(3)
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        pixels = np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
        Image.fromarray(pixels).save(path)
        with Image.open(path) as image:
            _, embedding = network.infer(network.preprocess(image)[None])
        keep(f"v{number}", embedding[0].tolist(), model=network.model_id)
    found = similar(str(paths[1]))
    assert found[0] == ("v1", pytest.approx(1.0, abs=0.01))
    file = io.BytesIO()
    wide = Image.new("RGB", (128, 128), (200, 40, 30))
    wide.paste(Image.open(paths[1]), (32, 32))
    wide.save(file, "JPEG", quality=95, subsampling=0)
    crop = tmp_path / "crop.jpg"
    crop.write_bytes(with_mark(file.getvalue(), PixelRect(32, 32, 96, 96), 128, 128))
    assert similar(str(crop))[0] == ("v1", pytest.approx(1.0, abs=0.01))  # of a crop what the network sees


def test_what_is_neither_visit_nor_picture(tmp_path: Path, keep: Keep, similar: Callable[..., Any]) -> None:
    """Says which of the two was expected."""
    keep("blind")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ConfigError, match="no visit or image named"):
        similar("nothing")
    with pytest.raises(ConfigError, match="cannot be read as an image"):
        similar(str(tmp_path / "text.jpg"))
    with pytest.raises(StoreError, match="has no embedding"):
        similar("blind")
