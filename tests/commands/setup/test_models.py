"""`birdwatchd models` as a person types it who lives somewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.species.published import PublishedModel, bird_classifiers


@pytest.fixture(scope="module")
def published() -> list[PublishedModel]:
    """The list, read once."""
    return bird_classifiers()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: list[PublishedModel]) -> None:
    """A home into which the default was downloaded, and a camera whose password nobody needs for a list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("birdwatchd.commands.setup.models.bird_classifiers", lambda: published)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "davit_tiny_il-all.pt").touch()
    Path("birdwatchd.yaml").write_text(
        f"home: {tmp_path}\ncameras: {{nut: {{source: 'rtsp://u:${{NO_SUCH_PASSWORD}}@192.0.2.1/1'}}}}\n"
    )


def test_a_region_by_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody in Berlin knows that the models of Europe are called eu-common.

    Must: `models Europe` lists the models of that region.
    """
    assert run_cli(["models", "Europe"]) == 0
    said = capsys.readouterr().out
    assert "(eu-common; 707 classes)" in said
    assert "convnext_v2_tiny_eu-common " in said
    assert "il-all" not in said
    assert "does not say how\ngood a model is" in said


def test_all_regions_with_a_few_models_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred names of networks are a wall; the one in use is always among them."""
    assert run_cli(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 80
    (used,) = [line for line in lines if "in use" in line]
    assert used.split()[0] == "davit_tiny_il-all"
    assert used.endswith("107.0 MB  384×384 pixels  in use, here")
    assert "number of classes not known before the download" in "".join(lines)


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """As every list."""
    assert run_cli(["models", "davit", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["name"], found["classes"], found["downloaded"]) == ("davit_tiny_il-all", 550, True)


def test_no_such_region(capsys: pytest.CaptureFixture[str]) -> None:
    """What there is instead is the answer."""
    assert run_cli(["models", "mars"]) == 2
    assert "no published model has mars in its name or region; give a word" in capsys.readouterr().err
