"""Look again at dark pictures whose first look named nothing: a brightened copy is classified as well.

Cameras expose for the scene, and a bird in the shade of a feeder is then a dark shape. What the network makes of a
brightened copy is taken in place of the first look where it shows more of a bird; the stored picture stays as it was
taken. A second look costs as much as a first one: none is made of a visit that its first looks confirm, and only those
of any other that show most of a bird. What is chosen depends on the visit's own first looks alone, in their order, and
not on what came in one batch with them: the same recording gives the same names again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

from birdwatchd.records import FloatArray, Prediction, State, Verdict

__all__ = ["SECOND_LOOKS", "RunningVerdict", "SecondLooks", "clearer", "shows_more"]

SECOND_LOOKS = 4  # the moments of a visit that may have one; on real feeder clips 8 named no more birds, and 2 as many


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


def clearer(running: RunningVerdict, first: Sequence[Prediction], again: Sequence[Prediction]) -> list[Prediction]:
    """Of each moment of a visit the look that shows more of a bird."""
    second = {one.moment.index: one for one in again}
    pairs = [(one, second.get(one.moment.index, one)) for one in first]
    return [other if shows_more(running, other.logits, one.logits) else one for one, other in pairs]


def shows_more(running: RunningVerdict, again: FloatArray, first: FloatArray) -> bool:
    """Whether the second look at a moment shows more of a bird than the first; both are logits."""
    return running.evidence_of(again) > running.evidence_of(first)
