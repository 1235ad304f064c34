"""The list of published models, read without birder being imported: it must be birder's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from birder.model_registry import Task, registry

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species import published
from birdwatchd.species.published import DATA_SETS, PublishedModel, bird_classifiers, published_entries


@pytest.fixture(scope="module")
def found() -> dict[str, PublishedModel]:
    """The list by name, read once."""
    return {one.name: one for one in bird_classifiers()}


def test_it_is_what_birder_registers() -> None:
    """A list that misses a model, or says a wrong size, sends somebody to a file that is not there."""
    entries = published_entries()
    assert set(entries) == set(registry.list_pretrained_models())
    for name, entry in entries.items():
        theirs = registry.get_pretrained_metadata(name)
        assert all(entry[key] == theirs[key] for key in entry), name


def test_only_classifiers_are_listed_and_the_default_is_one(found: dict[str, PublishedModel]) -> None:
    """What describes pictures but names nothing ends `run` at its start."""
    assert set(found) <= set(registry.list_pretrained_models(task=Task.IMAGE_CLASSIFICATION))
    default = found[ModelSettings().name]
    assert (default.data_set.classes, default.size, default.megabytes) == (550, (384, 384), 107.0)
    assert "vit_reg4_b16_mim_200" not in found
    assert "squeezenet_il-common" not in found, "it cannot be used: see UNSUITED"
    assert {one.data_set for one in found.values()} == set(DATA_SETS), "a region without a model helps nobody"


def test_the_table_of_the_documentation_is_true(found: dict[str, PublishedModel]) -> None:
    """`you live in … → model`: a name that is misspelt there, or another size, costs somebody an evening."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "choose-a-model.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `(\S+)`[^|]* \| ([^|]+) \| (\d+) MB \| (\d+) px \|$", page, re.MULTILINE)
    assert len(rows) == 8
    for name, classes, megabytes, pixels in rows:
        one = found[name]
        assert (round(one.megabytes), one.size[1]) == (int(megabytes), int(pixels)), name
        known = str(one.data_set.classes) if one.data_set.classes else "not published"
        assert classes.replace(",", "").startswith(known), name


def test_it_costs_no_torch() -> None:
    """Six seconds of loading, for a list of names."""
    code = (
        "import sys; from birdwatchd.species.published import bird_classifiers as b; print(len(b()) > 99, *sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, *modules = ended.stdout.split()
    assert number == "True"
    assert {"torch", "birder", "numpy"}.isdisjoint(modules)


@pytest.mark.parametrize("text", ["registry.register_weights(NAME, {})", "registry.register_weights('a', {'net': 1})"])
def test_another_birder_is_said_and_not_guessed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer birder may write its registry in another way: an empty or half a list would look like the truth."""
    monkeypatch.setattr(published, "read_text", lambda path, most_bytes: text)
    with pytest.raises(ModelUnusable, match="list-models --pretrained"):
        published_entries()


def test_a_birder_without_models_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, where the entries have moved elsewhere."""
    monkeypatch.setattr(published, "read_text", lambda path, most_bytes: "")
    with pytest.raises(ModelUnusable, match="holds no published weights"):
        published_entries()
