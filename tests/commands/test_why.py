"""`birdwatchd why` for a stored visit and for a picture, with the bundled model."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from birdwatchd.commands.why import WhyOptions, run_why
from birdwatchd.errors import ConfigError, ExportError, StoreError
from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit
from birdwatchd.seen_part import PixelRect, with_mark
from birdwatchd.settings.config import Config
from birdwatchd.store import MomentRow, Store

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A home with a visit of two pictures, the second the better one and twice as large."""
    unknown = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.1, ())
    end = START + timedelta(seconds=9)
    visit = Visit("v1", "nut", 1, START, end, unknown, 2, 1, None, "demo@1", last_seen=end)
    rows = []
    for index, side in enumerate((40, 80)):
        file = io.BytesIO()
        Image.new("RGB", (side, side), (200, 60, 40)).save(file, "JPEG")
        moment = Moment(index, START, Box(0, 0, 0.1, 0.1), 0.7 - index / 2, Crop(file.getvalue(), side, side))
        rows.append(MomentRow(moment, np.zeros(4, np.float32), (), bird_evidence=float(index)))
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        store.writer().record(visit, rows, START)
    return Config.model_validate({"home": tmp_path / "home", "model": {"name": "demo"}})


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_best_picture_of_a_visit_or_a_certain_one(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best is that of most bird evidence, not the sharpest; and a picture that was never a visit."""
    out = tmp_path / "out.png"
    assert run_why(config, WhyOptions("v1", out_file=out)) == 0
    assert size_of(out) == (80, 80)
    run_why(config, WhyOptions("v1", moment=0, out_file=out))
    assert size_of(out) == (40, 40)
    run_why(config, WhyOptions(str(out), species="parus_major", out_file=tmp_path / "two.png"))
    assert "bright areas support Great tit" in capsys.readouterr().out.splitlines()[-1].replace("\n", " ")


def test_the_map_lies_over_what_the_network_saw(config: Config, tmp_path: Path) -> None:
    """Over the wider picture it would be of other pixels than those that led to the name."""
    file, out = io.BytesIO(), tmp_path / "out.png"
    Image.new("RGB", (96, 80), (200, 60, 40)).save(file, "JPEG")
    picture = tmp_path / "crop.jpg"
    picture.write_bytes(with_mark(file.getvalue(), PixelRect(8, 16, 56, 64), 96, 80))
    assert run_why(config, WhyOptions(str(picture), out_file=out)) == 0
    assert size_of(out) == (48, 48)


def test_mistakes_say_what_was_expected(config: Config, tmp_path: Path) -> None:
    """In one line each."""
    with pytest.raises(ConfigError, match="no visit or image named"):
        run_why(config, WhyOptions("v9"))
    with pytest.raises(ConfigError, match="does not know Dodo"):
        run_why(config, WhyOptions("v1", species="Dodo"))
    with pytest.raises(StoreError, match="no crop 7; retention or somebody has removed it"):
        run_why(config, WhyOptions("v1", moment=7))
    for name in ("why.xyz", "why.xbm"):  # the second is a picture's name, but holds no colours
        with pytest.raises(ExportError, match=r"not a picture's name\); name a .png"):
            run_why(config, WhyOptions("v1", out_file=tmp_path / name))
    (tmp_path / "why.png").mkdir()
    with pytest.raises(ExportError, match="Is a directory"):
        run_why(config, WhyOptions("v1", out_file=tmp_path / "why.png"))
    with pytest.raises(ConfigError, match="there is no database"):
        run_why(config.model_copy(update={"home": tmp_path / "none"}), WhyOptions("v1"))
