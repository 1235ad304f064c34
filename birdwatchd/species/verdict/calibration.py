"""Make "0.8" mean that four of five are right: one temperature for a model, from visits that people reviewed.

Networks are sure of themselves, also when they are wrong. Dividing all logits by one number changes no name and makes
the probabilities honest (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). The number is the one
under which the reviewed names are most probable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENOUGH", "Bin", "Reliability", "fit_temperature", "out_of_fold", "reliability"]

ENOUGH = 30  # reviewed visits; fewer say more about the reviewer than about the model
COOLEST, HOTTEST = 0.2, 10.0  # temperatures that are looked at
FOLDS = 5
EDGES = (0.0, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # of the bins of probability


@dataclass(frozen=True, slots=True)
class Bin:
    """Visits whose best class had a probability in one range.

    Attributes:
        claimed: mean of that probability.
        right: share of them that reviewers called the same.
    """

    low: float
    high: float
    visits: int
    claimed: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities can be taken at their word.

    Attributes:
        error: mean distance of what was claimed from what was right, over visits (expected calibration error).
        surprise: mean negative logarithm of the probability of the reviewed name.
    """

    bins: tuple[Bin, ...]
    error: float
    surprise: float


def fit_temperature(logits: NDArray[np.float64], truth: Sequence[int]) -> float:
    """The temperature under which the right classes are most probable.

    Args:
        logits: of each visit, shape (visits, classes).
        truth: index of the right class of each.
    """
    steps = np.geomspace(COOLEST, HOTTEST, 81)
    for _ in range(4):  # the surprise has one minimum: look closer and closer around it
        at = int(np.argmin([_surprise(logits / t, truth) for t in steps]))
        steps = np.geomspace(steps[max(0, at - 1)], steps[min(len(steps) - 1, at + 1)], 21)
    return float(steps[np.argmin([_surprise(logits / t, truth) for t in steps])])


def out_of_fold(logits: NDArray[np.float64], truth: Sequence[int]) -> NDArray[np.float64]:
    """Logits divided by temperatures that were fitted without them: what calibration is worth on visits to come."""
    right, result = np.asarray(truth), np.empty_like(logits)
    fold = np.arange(len(logits)) % FOLDS
    for number in range(FOLDS):
        mine = fold == number
        result[mine] = logits[mine] / fit_temperature(logits[~mine], right[~mine].tolist())
    return result


def reliability(logits: NDArray[np.float64], truth: Sequence[int]) -> Reliability:
    """Compare what logits, shape (visits, classes), claim with what is right."""
    p = np.exp(_log_softmax(logits))
    best, claimed = p.argmax(axis=1), p.max(axis=1)
    right = best == np.asarray(truth)
    bins = []
    for low, high in pairwise(EDGES):
        mine = (claimed > low) & (claimed <= high)
        if mine.any():
            bins.append(Bin(low, high, int(mine.sum()), float(claimed[mine].mean()), float(right[mine].mean())))
    error = sum(one.visits * abs(one.claimed - one.right) for one in bins) / len(claimed)
    return Reliability(tuple(bins), error, _surprise(logits, truth))


def _surprise(logits: NDArray[np.float64], truth: Sequence[int]) -> float:
    return -float(_log_softmax(logits)[np.arange(len(logits)), np.asarray(truth)].mean())


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
