"""Temperature scaling from reviewed visits, so that of the visits with probability 0.8 four in five are right.

Networks are overconfident. Dividing all logits by one temperature changes no name and calibrates the probabilities
(Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). It is fitted by maximum likelihood of the reviewed
names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_REVIEWS", "Bin", "Reliability", "fit_temperature", "out_of_fold", "reliability"]

MIN_REVIEWS = 30  # reviewed visits; fewer say more about the reviewer than about the model
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 10.0
FOLDS = 5
EDGES = (0.0, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # of the bins of probability


@dataclass(frozen=True, slots=True)
class Bin:
    """Visits whose best class had a probability in one range.

    Attributes:
        confidence: mean of that probability.
        accuracy: share of them to which reviewers gave the same name.
    """

    low: float
    high: float
    visits: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities are calibrated.

    Attributes:
        ece: expected calibration error: mean distance of confidence from accuracy, weighted by visits.
    """

    bins: tuple[Bin, ...]
    ece: float


def fit_temperature(logits: NDArray[np.float64], truth: Sequence[int]) -> float:
    """The temperature that minimises the negative log-likelihood of the right classes.

    Args:
        logits: of each visit, shape (visits, classes).
        truth: index of the right class of each.
    """
    steps = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 81)
    for _ in range(4):  # it has one minimum: search on finer and finer grids around it
        best = int(np.argmin([_nll(logits / t, truth) for t in steps]))
        steps = np.geomspace(steps[max(0, best - 1)], steps[min(len(steps) - 1, best + 1)], 21)
    return float(steps[np.argmin([_nll(logits / t, truth) for t in steps])])


def out_of_fold(logits: NDArray[np.float64], truth: Sequence[int]) -> NDArray[np.float64]:
    """Logits divided by temperatures fitted on the other folds: how well calibration works on new visits."""
    right, result = np.asarray(truth), np.empty_like(logits)
    fold = np.arange(len(logits)) % FOLDS
    for number in range(FOLDS):
        mine = fold == number
        result[mine] = logits[mine] / fit_temperature(logits[~mine], right[~mine].tolist())
    return result


def reliability(logits: NDArray[np.float64], truth: Sequence[int]) -> Reliability:
    """Compare the probabilities of logits, shape (visits, classes), with the right classes."""
    p = np.exp(_log_softmax(logits))
    best, confidence = p.argmax(axis=1), p.max(axis=1)
    correct = best == np.asarray(truth)
    bins = []
    for low, high in pairwise(EDGES):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            means = float(confidence[inside].mean()), float(correct[inside].mean())
            bins.append(Bin(low, high, int(inside.sum()), *means))
    ece = sum(one.visits * abs(one.confidence - one.accuracy) for one in bins) / len(confidence)
    return Reliability(tuple(bins), ece)


def _nll(logits: NDArray[np.float64], truth: Sequence[int]) -> float:
    return -float(_log_softmax(logits)[np.arange(len(logits)), np.asarray(truth)].mean())


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
