"""A temperature that makes probabilities true, found again where it was put in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.records import Label, State
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.calibration import fit_temperature, out_of_fold, reliability
from birdwatchd.species.verdict.fusion import Fusion

CLASSES = 12


def world(visits: int, temperature: float, seed: int = 0) -> tuple[NDArray[np.float64], list[int]]:
    """Visits of a network that is `temperature` times too sure: its logits divided by that are the truth."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2.0, (visits, CLASSES))
    p = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    truth = [int(rng.choice(CLASSES, p=row)) for row in p]
    return true * temperature, truth


def nll(logits: NDArray[np.float64], truth: list[int]) -> float:
    """Mean negative log-likelihood of the right classes."""
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -float(np.log(p[np.arange(len(truth)), truth]).mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.8, 4.0])
def test_the_temperature_is_found(temperature: float) -> None:
    """Too sure, too shy, or just right."""
    logits, truth = world(4000, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.08)


def test_a_calibrated_model_keeps_its_word() -> None:
    """Of what it calls 0.8 sure, eight of ten are right, also among visits that it was not fitted to."""
    logits, truth = world(4000, 3.0)
    calibrated = out_of_fold(logits, truth)
    before, after = reliability(logits, truth), reliability(calibrated, truth)
    assert before.ece > 0.15
    assert after.ece < 0.03
    assert nll(calibrated, truth) < nll(logits, truth)
    assert sum(one.visits for one in after.bins) == len(truth)


def test_no_name_changes() -> None:
    """Only how sure it is; the order of the classes stays."""
    logits, truth = world(200, 3.0)
    assert (out_of_fold(logits, truth).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_network_that_is_always_right_stays_finite() -> None:
    """Thirty clear pictures of one robin: not a temperature of zero, not an error."""
    logits = np.zeros((30, CLASSES))
    logits[:, 3] = 8.0
    assert 0.19 <= fit_temperature(logits, [3] * 30) <= 0.22


def test_verdicts_follow_the_temperature() -> None:
    """A network that is three times too sure is taken at its word no longer."""
    labels = tuple(Label(f"Bird {number}") for number in range(CLASSES))
    row = np.zeros((1, CLASSES), np.float32)
    row[0, 2] = 5.0
    assert Fusion(labels, SpeciesSettings()).fuse(row).state is State.CONFIRMED
    calm = Fusion(labels, SpeciesSettings(), temperature=3.0).fuse(row)
    assert calm.state is State.UNKNOWN
    assert calm.top[0][0] == "Bird 2"
