"""What comes with the weights: the demo's birds as its model sees them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import birdwatchd.species
from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.errors import ModelUnusable
from birdwatchd.species.learned.experience import Example
from birdwatchd.species.network.download import sha256_of
from birdwatchd.species.network.reference import read_reference, reference_path, write_reference

DEMO = Path(birdwatchd.species.__file__).parent / "weights" / "demo.safetensors"


def test_the_demo_model_knows_its_birds_from_the_start() -> None:
    """Whoever trains the demo model again must write this file again; the hash says so."""
    examples = read_reference(DEMO, sha256_of(DEMO))
    assert {visit.predicted for visit in examples} == set(SPECIES)
    assert len(examples) == 30 * len(SPECIES)
    assert all(np.isfinite(visit.embeddings).all() and np.isfinite(visit.energy) for visit in examples)
    assert reference_path(DEMO).stat().st_size < 300_000


def test_a_model_without_such_a_file_has_none(tmp_path: Path) -> None:
    """Nobody but the demo has one."""
    assert read_reference(tmp_path / "mine.pt", "0" * 64) == ()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Half precision is what the database keeps as well."""
    visits = [Example(np.full((2, 3), value, np.float32), name, value) for value, name in ((1.5, "a"), (2.5, "ü"))]
    write_reference(tmp_path / "m.pt", "a" * 64, visits)
    read = read_reference(tmp_path / "m.pt", "a" * 64)
    assert [(visit.predicted, visit.energy, visit.embeddings.tolist()) for visit in read] == [
        ("a", 1.5, [[1.5] * 3] * 2),
        ("ü", 2.5, [[2.5] * 3] * 2),
    ]


def test_a_file_of_other_weights_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    """Numbers of another training would make every bird a stranger."""
    weights = tmp_path / "m.safetensors"
    shutil.copy(reference_path(DEMO), reference_path(weights))
    with pytest.raises(ModelUnusable, match="belongs to other weights"):
        read_reference(weights, "0" * 64)
    reference_path(weights).write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    with pytest.raises(ModelUnusable, match="cannot be read"):
        read_reference(weights, "0" * 64)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reference_that_is_no_numbers_is_refused(tmp_path: Path, bad: float) -> None:
    """A flipped bit made every later comparison a warning of NumPy, and no bird was like any other."""
    weights = tmp_path / "m.safetensors"
    write_reference(weights, "0" * 64, [Example(np.array([[bad, 1.0]], np.float16), "Great tit", 1.0)])
    with pytest.raises(ModelUnusable, match="embeddings are not numbers"):
        read_reference(weights, "0" * 64)
