"""Choose the moments of a visit that its name is made of: the few that show most of a bird.

A visit's pictures are not alike: in some the bird has gone, is hidden or is a blur, and averaging those in hides the
one good look. The best measure of that is what the network itself says: the *bird evidence* of a moment is the
log-sum-exp of the logits of all species, less that of the classes that are no species (birder's `Unknown`), so the
logarithm of the odds that there is a bird. Where a model has no such class it is the former alone, the energy of Liu et
al. ("Energy-based Out-of-distribution Detection", NeurIPS 2020). The best three moments count, each as much as those
odds times its quality say; one that rather shows no bird neither counts nor votes while there is a better one.

The network alone does not know how much of the bird it is shown: of a dove that leaves, the tail that is left at the
frame's edge once looked more like some bird than all eight pictures of the whole dove. Quality does (its size, its
sharpness, whether it touches the edge: `camera/best_shot.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, Label, weight_of

__all__ = ["BestMoments", "BirdEvidence", "Counted", "logsumexp"]

MOMENTS = 3  # that make the name: one alone is an accident where there are many, more let in pictures without the bird

Logits = NDArray[np.float64]


def logsumexp(logits: NDArray[np.floating]) -> float:
    """Log-sum-exp of logits, shape (classes,); minus infinity of none."""
    if not len(logits):
        return -float("inf")
    most = float(logits.max())
    return most + float(np.log(np.exp(np.asarray(logits, np.float64) - most).sum()))


class BirdEvidence:
    """Measures how much of a bird a moment shows, for the classes of one model."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._species = np.array([label.is_species for label in labels], bool)
        self.can_deny = not self._species.all()
        """Whether the model has a class that is no species: then 0 is as much bird as no bird."""

    def of(self, logits: NDArray[np.floating]) -> float:
        """The bird evidence of one moment, from its logits, shape (classes,)."""
        return self.energy(logits) - (logsumexp(logits[~self._species]) if self.can_deny else 0.0)

    def energy(self, logits: NDArray[np.floating]) -> float:
        """Log-sum-exp of the species' logits: low for what is like no bird that the network was trained on."""
        return logsumexp(logits[self._species])

    def mean_logits(self, logits: FloatArray, qualities: Sequence[float] | None = None) -> Logits:
        """What a verdict on these moments, shape (moments, classes), is made of: shape (classes,).

        Args:
            qualities: of the moments' crops, 0 … 1; without them all are alike.
        """
        best = BestMoments(self)
        for row, quality in zip(logits, qualities or [1.0] * len(logits), strict=True):
            best.add(row, quality)
        return best.counted().logits


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """The moments that make the name.

    Attributes:
        logits: their mean, each weighted by the odds that it shows a bird times its quality, shape (classes,).
        each: the logits of each, what counts most first, shape (moments, classes).
        votes: how many of them have which class as their best.
        embeddings: theirs, shape (moments, dim); None where none were given.
        birds: how many moments of the visit rather show a bird than none, these and others.
        of: how many moments it has.
    """

    logits: Logits
    each: Logits
    votes: Counter[int]
    embeddings: NDArray[np.float64] | None
    birds: int
    of: int


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    logits: Logits
    evidence: float
    quality: float
    embedding: NDArray[np.float64] | None

    @property
    def weight(self) -> float:
        return weight_of(self.evidence, self.quality)


class BestMoments:
    """The best moments of one visit so far; of the others only their number is kept."""

    def __init__(self, evidence: BirdEvidence, moments: Sequence[_Moment] = (), seen: int = 0, birds: int = 0) -> None:
        """
        Args:
            moments: for a copy.
            seen: moments that are not given, all of which show less of a bird than those that will be.
            birds: how many of the moments until now show a bird.
        """
        self._evidence, self._best, self.seen, self._birds = evidence, list(moments), seen, birds

    def copy(self) -> BestMoments:
        """An independent copy, to try what more moments would change."""
        return BestMoments(self._evidence, self._best, self.seen, self._birds)

    def add(self, logits: FloatArray, quality: float = 1.0, embedding: FloatArray | None = None) -> None:
        """Take one more moment.

        Args:
            logits: shape (classes,).
            quality: of its crop, 0 … 1.
            embedding: shape (dim,).
        """
        row = np.asarray(logits, np.float64)
        vector = None if embedding is None else np.asarray(embedding, np.float64)
        moment = _Moment(row, self._evidence.of(row), quality, vector)
        self._best = sorted([*self._best, moment], key=self._rank)[:MOMENTS]
        self.seen += 1
        self._birds += self._shows_bird(moment)

    def _rank(self, moment: _Moment) -> tuple[bool, float, bytes]:
        """Smaller for a better one; the same for no two that differ, so that it does not matter when they came."""
        return not self._shows_bird(moment), -moment.weight, moment.logits.tobytes()

    def _shows_bird(self, moment: _Moment) -> bool:
        """Whether it rather shows a bird than none, as far as the model can say so."""
        return not self._evidence.can_deny or moment.evidence > 0

    def counted(self) -> Counted:
        """The moments that make the name; there must be one at least."""
        best = [one for one in self._best if self._shows_bird(one)] or self._best
        weights = np.array([one.weight for one in best])
        each = np.stack([one.logits for one in best])
        mean: Logits = np.average(each, axis=0, weights=np.exp(weights - weights[0]))
        vectors = [one.embedding for one in best if one.embedding is not None]
        embeddings = np.stack(vectors) if vectors else None
        return Counted(mean, each, Counter(map(int, each.argmax(axis=1))), embeddings, self._birds, self.seen)
