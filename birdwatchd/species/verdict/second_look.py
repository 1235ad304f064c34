"""Look again at pictures whose first look named nothing: brightened, and with more around the bird.

Cameras expose for the scene, and a bird in the shade of a feeder is then a dark shape. And of a bird that only turns
its head only the head moves, so that the part of a picture that the network is given first is less than a bird. What it
makes of a brightened copy is taken in place of the first look where it shows more of a bird; that and the look at the
whole picture then count together, each as much as the odds say that it shows one. The stored picture stays as it was
taken. A second look costs as much as a first one: none is made of a visit that its first looks confirm, and only those
of any other that show most of a bird. What is chosen depends on the visit's own first looks alone, in their order, and
not on what came in one batch with them: the same recording gives the same names again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from birdwatchd.records import FloatArray, Moment, Prediction, State, Verdict
from birdwatchd.seen_part import Look

__all__ = ["SECOND_LOOKS", "Outputs", "RunningVerdict", "SecondLooks", "look_again", "together"]

SECOND = (Look.BRIGHTER, Look.WIDER)
SECOND_LOOKS = 4  # the moments of a visit that may have one; on real feeder clips 8 named no more birds, and 2 as many


Outputs = tuple[FloatArray, FloatArray]
"""Logits, shape (classes,), and embedding, shape (dim,), of one look."""


class RunningVerdict(Protocol):
    """What is needed of a visit's running verdict (`fusion.RunningVerdict`; tests have others)."""

    @property
    def moments(self) -> int:
        """Moments added so far."""

    def add(self, logits: FloatArray, quality: float, embedding: FloatArray) -> None:
        """Add one more moment."""

    def branch(self) -> RunningVerdict:
        """An independent copy."""

    def evidence_of(self, logits: FloatArray) -> float:
        """How much of a bird a moment shows."""

    def verdict(self) -> Verdict:
        """The verdict on all moments so far."""


class SecondLooks:
    """Chooses the moments of one visit that are looked at again.

    A moment is chosen where the first looks up to it confirm nothing, and it shows more of a bird than all but a few of
    those before it.
    """

    def __init__(self, running: RunningVerdict) -> None:
        """
        Args:
            running: a verdict of its own, without moments yet; it is given the first looks.
        """
        self._firsts = running
        self._most: list[float] = []  # a heap: the bird evidence of those that show most

    def choose(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Those to look at again, of first looks that came next."""
        return [one for one in predictions if self.wants(one.logits, one.moment.quality, one.embedding)]

    def wants(self, logits: FloatArray, quality: float, embedding: FloatArray) -> bool:
        """Whether to look again at the next moment, by its first look.

        Args:
            logits: shape (classes,).
            quality: of its crop, 0 … 1.
            embedding: shape (dim,).
        """
        self._firsts.add(logits, quality, embedding)
        evidence = self._firsts.evidence_of(logits)
        if len(self._most) < SECOND_LOOKS:
            heapq.heappush(self._most, evidence)
        elif evidence <= heapq.heappushpop(self._most, evidence):
            return False
        return self._firsts.verdict().state is not State.CONFIRMED


class Predict(Protocol):
    """The network, as `network.classifier.Classifier.predict` asks it."""

    def __call__(self, moments: Sequence[tuple[str, Moment]], *, look: Look = Look.FIRST) -> list[Prediction]:
        """Predictions of those moments of which there is such a look."""


def look_again(
    predict: Predict, first: Sequence[Prediction], visits: Mapping[str, tuple[RunningVerdict, SecondLooks]]
) -> tuple[list[Prediction], int]:
    """Look again at what is worth it of the first looks at moments of some visits.

    Args:
        visits: by visit id; the running verdicts are only asked.

    Returns:
        The predictions of the same moments, in which all looks count, and how many second looks that cost.
    """
    by_visit: dict[str, list[Prediction]] = {}
    for one in first:
        by_visit.setdefault(one.visit_id, []).append(one)
    chosen = [(name, one.moment) for name, looks in by_visit.items() for one in visits[name][1].choose(looks)]
    again = {look: _by_moment(predict(chosen, look=look)) if chosen else {} for look in SECOND}
    result = []
    for one in first:
        more = (again.get(look, {}).get((one.visit_id, one.moment.index)) for look in (Look.BRIGHTER, Look.WIDER))
        outputs = [(other.logits, other.embedding) if other else None for other in more]
        logits, embedding = together(visits[one.visit_id][0], (one.logits, one.embedding), *outputs)
        result.append(replace(one, logits=logits, embedding=embedding))
    return result, sum(map(len, again.values()))


def _by_moment(predictions: Sequence[Prediction]) -> dict[tuple[str, int], Prediction]:
    return {(one.visit_id, one.moment.index): one for one in predictions}


def together(running: RunningVerdict, first: Outputs, brighter: Outputs | None, wider: Outputs | None) -> Outputs:
    """What all looks at one moment give: the first or the brighter one, and the wider one, by their odds.

    The odds are those that there is a bird, as for the moments of a visit (`best_moments.py`); the embedding is that of
    the look that shows most.
    """
    evidence = running.evidence_of(first[0])
    if brighter is not None and running.evidence_of(brighter[0]) > evidence:
        first, evidence = brighter, running.evidence_of(brighter[0])
    if wider is None:
        return first
    more = running.evidence_of(wider[0]) - evidence
    share = 1.0 / (1.0 + math.exp(min(-more, 700.0)))  # of the wider look
    logits = (1.0 - share) * first[0] + share * wider[0]
    return np.asarray(logits, np.float32), wider[1] if more > 0 else first[1]
