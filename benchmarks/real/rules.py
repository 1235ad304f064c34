"""Rules that other feeder programs use to make one name of what a network says of a bird's pictures.

All are given the same moments: those that birdwatchd chose for a visit, with the network's logits of each. A rule says
a species, by its index, or nothing. Where a program leaves a threshold to its user it is `THRESHOLD`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = ["RULES", "Moments", "Rule"]

THRESHOLD = 0.7  # birdwatchd's own default
FRIGATE_THRESHOLD = 0.9
TRACK_THRESHOLD = 0.3  # from which on bird-feeder-ai asks no more about a track
APART_S = 0.25
MIN_MOMENTS = 3
BEST = 5


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What the network says of the pictures of one visit.

    Attributes:
        at_s: when they were taken, ascending.
        logits: shape (moments, species), at least one.
        is_species: which of the columns are species, shape (species,); the others are the network's "no bird".
    """

    at_s: tuple[float, ...]
    logits: NDArray[np.float64]
    is_species: NDArray[np.bool_]

    @property
    def p(self) -> NDArray[np.float64]:
        """Probabilities in each moment, shape (moments, species)."""
        return _softmax(self.logits)

    def named(self, index: int) -> int | None:
        """A class that was chosen, or None where it is no species."""
        return index if self.is_species[index] else None


Rule = Callable[[Moments], int | None]


def single_best(moments: Moments) -> int | None:
    """The highest score of any one picture, from 0.9 on (Frigate); pictures of no bird are passed over."""
    p = moments.p
    best = p.argmax(axis=1)
    scores = np.where(moments.is_species[best], p.max(axis=1), 0.0)
    top = int(scores.argmax())
    return int(best[top]) if scores[top] >= FRIGATE_THRESHOLD else None


def median_of_best(moments: Moments) -> int | None:
    """The median of the five best scores (YA-WAMF).

    Of the moments that are 250 ms apart a majority, and at least three, must have the species as their best.
    """
    kept = [0]
    for row, at_s in enumerate(moments.at_s):
        if at_s - moments.at_s[kept[-1]] >= APART_S:
            kept.append(row)
    p = moments.p[kept]
    best = p.argmax(axis=1)
    index, votes = Counter(best.tolist()).most_common(1)[0]
    scores = np.sort(p[best == index, index])[::-1][:BEST]
    enough = votes >= MIN_MOMENTS and 2 * votes > len(kept) and float(np.median(scores)) >= THRESHOLD
    return moments.named(index) if enough else None


def running_mean_logits(moments: Moments) -> int | None:
    """The mean of a track's logits so far, until it is 0.3 sure for the first time (bird-feeder-ai)."""
    count = np.arange(1, len(moments.logits) + 1)[:, None]
    p = _softmax(np.cumsum(moments.logits, axis=0) / count)
    sure = np.flatnonzero(p.max(axis=1) >= TRACK_THRESHOLD)
    return moments.named(int(p[sure[0]].argmax())) if len(sure) else None


def mean_logits(moments: Moments, threshold: float = THRESHOLD) -> int | None:
    """The mean of all logits."""
    return _at_least(threshold, moments, _softmax(moments.logits.mean(axis=0)))


def mean_probabilities(moments: Moments, threshold: float = THRESHOLD) -> int | None:
    """The mean of all probabilities."""
    return _at_least(threshold, moments, moments.p.mean(axis=0))


def majority(moments: Moments) -> int | None:
    """What more than half of the moments have as their best, however sure of it (WatchMyBirds)."""
    index, votes = Counter(moments.logits.argmax(axis=1).tolist()).most_common(1)[0]
    return moments.named(index) if 2 * votes > len(moments.logits) else None


RULES: Mapping[str, Rule] = {
    "the highest score, from 0.9 (Frigate)": single_best,
    "median of the best five, a majority of three or more, from 0.7 (YA-WAMF)": median_of_best,
    "running mean of logits, from 0.3 (bird-feeder-ai)": running_mean_logits,
    "mean of logits, from 0.7": mean_logits,
    "mean of logits, from 0.3": partial(mean_logits, threshold=TRACK_THRESHOLD),
    "mean of probabilities, from 0.7": mean_probabilities,
    "mean of probabilities, from 0.3": partial(mean_probabilities, threshold=TRACK_THRESHOLD),
    "majority vote (WatchMyBirds)": majority,
}


def _at_least(threshold: float, moments: Moments, p: NDArray[np.float64]) -> int | None:
    best = int(p.argmax())
    return moments.named(best) if p[best] >= threshold else None


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return result
