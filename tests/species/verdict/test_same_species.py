"""Several classes of one species are one species, before anything is decided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import FloatArray, Label, Rank, State
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.names import translated
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.species.verdict.same_species import SameSpecies

CLASSES = (
    "Junco hyemalis hyemalis",
    "Cardinalis cardinalis",
    "Junco hyemalis oreganus",
    "Unknown",
    "Junco hyemalis",
    "background",
    "Junco phaeonotus",
)
LABELS = bundled_taxonomy().labels(CLASSES)
THREE_JUNCOS = (0.28, 0.1, 0.28, 0.02, 0.24, 0.02, 0.06)


def logits(p: tuple[float, ...]) -> FloatArray:
    return np.log(np.array(p, np.float32))


def test_probabilities_are_added() -> None:
    """And nothing else moves; what is no species is not added up."""
    merged = SameSpecies(LABELS)
    assert [label.common_name for label in merged.labels] == [
        "Dark-eyed Junco", "Northern Cardinal", "Unknown", "background", "Yellow-eyed Junco"
    ]  # fmt: skip
    assert merged.index == (0, 1, 0, 2, 0, 3, 4)
    assert np.exp(merged.merge(logits(THREE_JUNCOS))) == pytest.approx([0.8, 0.1, 0.02, 0.02, 0.06], abs=1e-6)


def test_a_species_of_three_classes_is_confirmed() -> None:
    """None of them reaches the threshold; as a genus it would be less than what the network knows."""
    verdict = Fusion(LABELS, SpeciesSettings(threshold=0.7)).fuse(logits(THREE_JUNCOS)[None])
    assert (verdict.state, verdict.rank, verdict.scientific_name) == (State.CONFIRMED, Rank.SPECIES, "Junco hyemalis")
    assert (verdict.common_name, verdict.score) == ("Dark-eyed Junco", pytest.approx(0.8, abs=1e-6))
    assert [name for name, _ in verdict.top] == [
        "Dark-eyed Junco", "Northern Cardinal", "Yellow-eyed Junco", "Unknown", "background"
    ]  # fmt: skip


def test_a_bird_between_two_subspecies_is_not_contradictory() -> None:
    """One picture says slate-coloured, the next Oregon: all say junco, and the average loses nothing."""
    slate, oregon = logits((0.9, 0.02, 0.02, 0.02, 0.01, 0.01, 0.02)), logits((0.02, 0.02, 0.9, 0.02, 0.01, 0.01, 0.02))
    verdict = Fusion(LABELS, SpeciesSettings()).fuse(np.stack([slate, oregon]))
    assert (verdict.state, verdict.common_name, verdict.reasons) == (State.CONFIRMED, "Dark-eyed Junco", ())
    assert verdict.score > 0.9


@pytest.mark.parametrize("name", ["Junco hyemalis", "Dark-eyed junco", "Junco hyemalis oreganus"])
def test_every_name_of_the_species_has_its_threshold(name: str) -> None:
    """`per_species` by either name, and by the class's; what stays below it is a genus here."""
    verdict = Fusion(LABELS, SpeciesSettings(per_species={name: 0.9})).fuse(logits(THREE_JUNCOS)[None])
    assert (verdict.state, verdict.rank, verdict.common_name) == (State.CONFIRMED, Rank.GENUS, "Junco sp.")


def test_what_has_two_names_is_two() -> None:
    """The default model tells feral from rock pigeons, another may tell sexes: both mean to, in any language."""
    classes = bundled_taxonomy().labels(["Feral pigeon", "Rock pigeon"])
    sexes = (Label("Blackbird male", "Turdus merula"), Label("Blackbird female", "Turdus merula"))
    for labels in (classes, sexes, translated(classes, {"columba livia": "Felsentaube"})):
        assert SameSpecies(labels).labels == tuple(labels)


def test_where_every_class_is_a_species_nothing_is_copied() -> None:
    """The default model's answers are the same as before, to the last bit."""
    row = logits((0.5, 0.5))
    assert SameSpecies(bundled_taxonomy().labels(["Great tit", "House sparrow"])).merge(row) is row


def test_another_number_of_classes_is_refused() -> None:
    """Logits of another model must not be named by this one's labels."""
    with pytest.raises(ValueError, match="expected"):
        SameSpecies(LABELS).merge(np.zeros(6, np.float32))


@given(st.lists(st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7), min_size=1, max_size=4))
def test_sums_of_all_classes_are_kept(rows: list[list[float]]) -> None:
    """Whatever the logits, also those of many moments at once: no probability is lost or made."""
    given_, merged = np.array(rows, np.float32), SameSpecies(LABELS)
    result = merged.merge(given_)
    assert result.shape == (len(rows), 5)
    assert np.logaddexp.reduce(result, axis=1) == pytest.approx(np.logaddexp.reduce(given_, axis=1), abs=1e-4)
    assert result[:, 1] == pytest.approx(given_[:, 1])
