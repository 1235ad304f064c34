"""Look again at dark pictures whose first look named nothing: a brightened copy is classified as well.

Cameras expose for the scene, and a bird in the shade of a feeder is then a dark shape. What the network makes of a
brightened copy is taken in place of the first look where it shows more of a bird; the stored picture stays as it was
taken. A second look costs as much as a first one: none is made of a visit that is confirmed already, and only a few of
any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from birdwatchd.records import FloatArray, Moment, Prediction, State, Verdict

__all__ = ["MAX_SECOND_LOOKS", "FirstLook", "Predictor", "RunningVerdict", "clearer", "look_again"]

MAX_SECOND_LOOKS = 4  # of a visit; on real feeder clips 8 named no more birds, and 2 as many


class RunningVerdict(Protocol):
    """What is needed of a visit's running verdict (`birdwatchd.species.verdict.fusion`)."""

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


class Predictor(Protocol):
    """What is needed of the classifier."""

    @property
    def max_batch(self) -> int:
        """Crops worth collecting for one call."""

    def predict(self, moments: Sequence[tuple[str, Moment]], *, brightened: bool = False) -> list[Prediction]:
        """Predictions of those moments whose crops could be decoded; of brightened copies of the dark ones."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the network said of a visit's new moments.

    Attributes:
        running: the verdict without them.
        looks: how many of them may be looked at again.
    """

    running: RunningVerdict
    predictions: Sequence[Prediction]
    looks: int = MAX_SECOND_LOOKS

    def unclear(self) -> list[Prediction]:
        """The moments to look at again, those that show most of a bird first; none where the visit is confirmed."""
        if not self.looks or not self.predictions:
            return []
        trial = self.running.branch()
        for one in self.predictions:
            trial.add(one.logits, one.moment.quality, one.embedding)
        if trial.verdict().state is State.CONFIRMED:
            return []
        ranked = sorted(self.predictions, key=lambda one: self.running.evidence_of(one.logits), reverse=True)
        return ranked[: self.looks]


def look_again(classifier: Predictor, visits: Mapping[str, FirstLook]) -> dict[str, list[Prediction]]:
    """Second looks at the moments of some visits, all in one batch; those of each visit that are dark."""
    unclear = [(visit_id, one.moment) for visit_id, first in visits.items() for one in first.unclear()]
    again: dict[str, list[Prediction]] = {visit_id: [] for visit_id in visits}
    for second in classifier.predict(unclear, brightened=True) if unclear else ():
        again[second.visit_id].append(second)
    return again


def clearer(first: FirstLook, again: Sequence[Prediction]) -> list[Prediction]:
    """Of each moment the look that shows more of a bird."""
    second = {one.moment.index: one for one in again}
    evidence = first.running.evidence_of
    pairs = [(one, second.get(one.moment.index, one)) for one in first.predictions]
    return [other if evidence(other.logits) > evidence(one.logits) else one for one, other in pairs]
