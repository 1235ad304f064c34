"""What `birdwatchd check` says of place and season: loudly, when a name from anywhere is as good as one from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from birdwatchd.check import check_config
from birdwatchd.config import Config
from birdwatchd.errors import ConfigError
from tests.species.test_barchart import ebird_file


def said(capsys: pytest.CaptureFixture[str], **species: Any) -> str:
    """The output for these settings, as one line."""
    check_config(Config.model_validate({"species": species}), None)
    return " ".join(capsys.readouterr().out.split())


def test_nothing_active_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise the toucan of the valley is found out next year."""
    assert "No list and no bar chart is active" in said(capsys)
    assert "No list and no bar chart is active" in said(capsys, threshold=0.8)


def test_what_is_active_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """How much of it there is, so that an empty download is noticed."""
    chart = ebird_file(tmp_path / "chart.txt", {"House Sparrow": [0.5] * 48, "Great Tit": [0.1] * 48})
    text = said(capsys, allow=["Paridae", "Passer"], months={"Hoopoe": [4]}, bar_chart=chart)
    assert "No list" not in text
    assert "2 on `allow`, months of 1, bar chart of 2 species from 4,800 checklists" in text


def test_a_file_that_cannot_be_used_fails_the_check(tmp_path: Path) -> None:
    """`good` must mean that the daemon will start."""
    with pytest.raises(ConfigError, match="cannot be read"):
        check_config(Config.model_validate({"species": {"bar_chart": tmp_path / "none.txt"}}), None)
    with pytest.raises(ConfigError, match="cannot be read"):
        check_config(Config.model_validate({"species": {"names_file": tmp_path / "none.csv"}}), None)
