"""Names: however a model spells a bird, it is the same bird."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import Label
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key


@pytest.mark.parametrize(
    "spelling",
    ["House sparrow", "house_sparrow", "HOUSE-SPARROW", " house  sparrow ", "Passer domesticus", "passer_domesticus"],
)
def test_every_spelling_is_the_same_bird(spelling: str) -> None:
    """Two models of the same garden must write the same name into the database."""
    assert bundled_taxonomy().label(spelling) == Label(
        "House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"
    )


def test_apostrophes_and_hyphens_do_not_part_names() -> None:
    """The table says `Humes short-toed lark`; people and other lists write Hume's."""
    label = bundled_taxonomy().label("Hume's short toed lark")
    assert label.common_name == "Humes short-toed lark"
    assert label == bundled_taxonomy().label("Hume\N{RIGHT SINGLE QUOTATION MARK}s Short-toed Lark")


def test_a_bird_that_the_table_lacks_keeps_its_name() -> None:
    """Any birder model works, also one of another continent."""
    assert bundled_taxonomy().label("Northern cardinal_") == Label("Northern cardinal_")


@pytest.mark.parametrize("name", ["Unknown", "unknown", "background", "Not_a_bird", "OTHER", "no-bird"])
def test_what_is_no_bird_is_no_species(name: str) -> None:
    """Otherwise `Unknown` becomes the station's most frequent species."""
    assert bundled_taxonomy().label(name) == Label(name, is_species=False)


def test_the_table_is_complete_and_unambiguous() -> None:
    """A row without family, or two birds under one key, would misname birds without any error."""
    labels = bundled_taxonomy().labels(_names())
    assert len(labels) == 551
    assert all(label.is_species and label.scientific_name for label in labels)
    assert all(label.family and label.order for label in labels)
    assert len({name_key(label.common_name) for label in labels}) == 551


def test_order_is_that_of_the_classes() -> None:
    """The place of a label is the place of its logit."""
    names = ["Great tit", "Unknown", "Something else", "House sparrow"]
    common = [label.common_name for label in bundled_taxonomy().labels(names)]
    assert common == names


@given(st.text(max_size=30))
def test_keys_are_stable(name: str) -> None:
    """A key of a key is itself, or a name written to the database and read back would match nothing."""
    assert name_key(name_key(name)) == name_key(name)


def _names() -> list[str]:
    known = bundled_taxonomy()._by_key.values()
    return sorted({label.common_name for label in known})
