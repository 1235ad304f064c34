"""Birds in the user's language, from whatever table the user has."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.names import read_names, translated
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict.build import fusion_for
from birdwatchd.species.verdict.fusion import Fusion, unmatched_species

LABELS = (Label("Great tit", "Parus major"), Label("Hoopoe", "Upupa epops"), Label("Unknown", is_species=False))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("scientific_name,name\nParus major,Kohlmeise\nUpupa epops,Wiedehopf\n", ""),
        ("Name;Scientific name\nKohlmeise;Parus major\nWiedehopf;Upupa epops\n", ""),
        ("\ufeffspecies\tDeutsch\tעברית\r\nparus_major\tKohlmeise\tירגזי\r\nUpupa epops\tWiedehopf\t\r\n", "deutsch"),
    ],
)
def test_tables_of_every_kind(tmp_path: Path, text: str, language: str) -> None:
    """Commas, semicolons and tabs; columns in any order; saved by Excel or not."""
    file = tmp_path / "names.csv"
    file.write_text(text, encoding="utf-8")
    shown = translated(LABELS, read_names(file, language))
    assert [label.common_name for label in shown] == ["Kohlmeise", "Wiedehopf", "Unknown"]
    assert shown[0].english_name == "Great tit"


def test_settings_may_use_either_name(tmp_path: Path) -> None:
    """Who turns on German names must not have to rewrite the thresholds."""
    shown = translated(LABELS, {"parus major": "Kohlmeise"})
    settings = SpeciesSettings.model_validate({"per_species": {"Great tit": 0.9}, "always": ["Kohlmeise"]})
    assert unmatched_species(settings, shown) == ()
    assert Fusion(shown, settings)._thresholds[0] == 0.9


@pytest.mark.parametrize("in_the_file", ["dryobates pubescens", "picoides pubescens"])
def test_the_file_may_use_an_old_name_or_a_new_one(in_the_file: str) -> None:
    """A national list is of one year and the model of another."""
    labels = bundled_taxonomy().labels(["Picoides pubescens", "Junco hyemalis oreganus", "Junco hyemalis"])
    shown = translated(labels, {in_the_file: "Dunenspecht", "junco hyemalis": "Winterammer"})
    assert [label.common_name for label in shown] == ["Dunenspecht", "Winterammer", "Winterammer"]
    assert len(Fusion(shown, SpeciesSettings()).labels) == 2


def test_lists_may_use_any_name() -> None:
    """Today's, the model's own, and that of another table."""
    labels = bundled_taxonomy().labels(["Picoides pubescens", "Columba livia domestica"])
    names = (
        "Downy woodpecker",
        "Dryobates pubescens",
        "picoides pubescens",
        "Rock dove",
        "rock pigeon",
        "Columba livia",
    )
    months = dict.fromkeys(names, (1,))
    settings = SpeciesSettings(allow=names, months=months, per_species=dict.fromkeys(names, 0.9))
    assert unmatched_species(settings, labels) == ()


def test_a_name_that_is_missing_stays_as_it_was(tmp_path: Path) -> None:
    """A national list does not know every vagrant."""
    shown = translated(LABELS, {"upupa epops": "Wiedehopf"})
    assert [label.common_name for label in shown][:2] == ["Great tit", "Wiedehopf"]


@pytest.mark.parametrize(
    ("text", "language", "says"),
    [
        ("a,b\nParus major,Kohlmeise\n", "", "no column `scientific_name`"),
        ("scientific_name,de,he\nParus major,Kohlmeise,x\n", "", "names_language is needed.*it has: de, he"),
        ("scientific_name,de,he\nParus major,Kohlmeise,x\n", "fr", "no column `fr`.*it has: de, he"),
        ("scientific_name,de\n", "", "holds no names"),
        ("", "", "no column `scientific_name`"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, language: str, says: str) -> None:
    """And what is there to choose from is said."""
    file = tmp_path / "names.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"(?s)" + says):
        read_names(file, language)


def test_a_misspelt_list_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """With `allow: [Grate tit]` everything would be improbable for years, and nobody would know why."""
    fusion_for(LABELS, SpeciesSettings.model_validate({"allow": ["Grate tit", "Hoopoe"]}), ZoneInfo("UTC"))
    assert [record.getMessage() for record in caplog.records] == [
        "species.allow names Grate tit, which the model does not know: check the spelling"
    ]
