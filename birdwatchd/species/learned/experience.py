"""Out-of-distribution detection and learning from corrections, on the embeddings of visits of one station.

The network always gives a name. For a visit that it calls X, this asks two questions. Is the visit nearer to visits
that people corrected away from X than to the X of this station? Then it is what they said (`Assessment.corrections`).
Is it further from the X of this station than those are from each other, or is its energy below that of the birds seen
here? Then it is an outlier (`outlier_ratio`, `low_energy`). Both compare mean embeddings of visits, with thresholds
estimated by leaving out each visit in turn. Where few visits are known, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, HalfArray, Label
from birdwatchd.species.learned.clusters import (
    MIN_VISITS,
    SHRINKAGE_VISITS,
    CorrectionCluster,
    SpeciesCluster,
    log_ratio,
)
from birdwatchd.species.learned.metric import Metric
from birdwatchd.species.taxonomy import name_key, species_keys

__all__ = ["Assessment", "Example", "Experience"]

MIN_EXAMPLES = 50  # visits altogether, before outliers are looked for
ENERGY_MARGIN = 0.1  # below the least energy of the birds seen: a sample does not hold the extremes of the next ones
OUTLIER_MARGIN = (
    1.15  # times the largest usual distance: the next bird may lie beyond all that were seen. Of 1700 drawn
)
# birds that were new, 2 % were then found to be outliers with `species.familiar` 0.99, and 3 % without this
NO_CLASS = -1  # class of a visit that is an example of none


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A visit as the network saw it.

    Attributes:
        embeddings: of its moments, shape (moments, dim), at least one.
        predicted: the network's name for it, common or scientific.
        energy: log-sum-exp of the species' mean logits, low for what the network was not trained on (Liu et al.,
            "Energy-based Out-of-distribution Detection", NeurIPS 2020, use its negative); NaN where they were not
            kept. A class that is no species has no part in it: of leaves the network may be as sure as of a bird.
        reviewed: a person reviewed it.
        truth: what it is, by that person; None where it was no bird, or was not reviewed.
    """

    embeddings: FloatArray | HalfArray
    predicted: str
    energy: float = float("nan")
    reviewed: bool = False
    truth: Label | None = None

    @property
    def corrected(self) -> bool:
        """The reviewer disagreed with the network."""
        return self.reviewed and (self.truth is None or name_key(self.predicted) not in species_keys(self.truth))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What earlier visits say about a new one.

    Attributes:
        corrections: how many corrected visits it is similar to; 0 if none.
        truth: what those are; None for no bird. Only meaningful with corrections.
        comparable: there are enough birds of the name that the network gives it to compare it with.
        outlier_ratio: its distance from the visits of that name, over the largest usual one: above 1 it is an outlier;
            0 where there is too little to compare with.
        low_energy: its energy is below that of the birds seen here.
    """

    corrections: int = 0
    truth: Label | None = None
    comparable: bool = False
    outlier_ratio: float = 0.0
    low_energy: bool = False


class Experience:
    """What the visits of one model taught. Immutable: where there is more to learn from, make another."""

    def __init__(
        self, labels: Sequence[Label], examples: Iterable[Example] = (), *, inlier_quantile: float = 0.98
    ) -> None:
        """
        Args:
            labels: the classes of the model, as they are shown.
            examples: confirmed visits and reviewed ones.
            inlier_quantile: share of the birds seen here that are no outliers (`species.familiar`); with 1 nothing is.
        """
        self._labels = tuple(labels)
        self._index = {key: i for i, label in enumerate(labels) if label.is_species for key in species_keys(label)}
        self._metric: Metric | None = None
        self._species: dict[int, SpeciesCluster] = {}
        self._margins: dict[int, float] = {}
        self._corrections: list[CorrectionCluster] = []
        self._max_distances: dict[int, float] = {}
        self._min_energy = -float("inf")
        visits = list(examples)
        self.visits, self.corrections = len(visits), sum(visit.corrected for visit in visits)
        if visits:
            self._fit(visits, inlier_quantile)

    def assess(self, embedding: NDArray[np.floating], best: int, energy: float = float("nan")) -> Assessment:
        """Compare a visit with earlier ones.

        Args:
            embedding: mean over the visit's moments, shape (dim,).
            best: the class that the network finds most probable.
            energy: of its mean logits, as in `Example`.
        """
        if self._metric is None or not self._labels[best].is_species:
            return Assessment()
        point = self._metric.whiten(embedding)
        species = self._species.get(best)
        correction, similar = self._matching(point, best)
        comparable = species is not None and (species.confirmed.any() or len(species.visits) >= MIN_VISITS)
        limit = self._max_distances.get(best)
        outlier_ratio = species.distance(point) / limit if species is not None and limit is not None else 0.0
        low_energy = bool(energy < self._min_energy)
        truth = correction.truth if correction else None
        return Assessment(similar, truth, bool(comparable), outlier_ratio, low_energy)

    def _matching(self, point: NDArray[np.float32], best: int) -> tuple[CorrectionCluster | None, int]:
        """The corrections that a point belongs to, and how many of them it is similar to."""
        corrections = self._away_from(best)
        distances = [float(correction.distances(point[None])[0]) for correction in corrections]
        if not corrections:
            return None, 0
        nearest = int(np.argmin(distances))
        correction, distance = corrections[nearest], distances[nearest]
        species, margin = self._species.get(best), self._margins.get(best, 0.0)
        own = None if species is None else species.distance(point)
        if distance > correction.radius or (own is not None and log_ratio(own, distance) <= margin):
            return None, 0
        return correction, correction.count_similar(point, own, margin)

    def _away_from(self, best: int) -> list[CorrectionCluster]:
        """The corrections to anything else than a class."""
        return [one for one in self._corrections if one.truth is None or self._class_of(one.truth) != best]

    def _class_of(self, label: Label) -> int:
        return next((self._index[key] for key in species_keys(label) if key in self._index), NO_CLASS)

    def _class_shown(self, visit: Example) -> int:
        """The class that a visit is an example of."""
        if visit.reviewed:
            return NO_CLASS if visit.truth is None else self._class_of(visit.truth)
        return self._index.get(name_key(visit.predicted), NO_CLASS)

    def _fit(self, visits: list[Example], inlier_quantile: float) -> None:
        means = np.stack([visit.embeddings.mean(axis=0, dtype=np.float64) for visit in visits])
        classes = np.array([self._class_shown(visit) for visit in visits])
        reviewed = np.array([visit.reviewed for visit in visits])
        self._metric = Metric.of(_residuals(visits, means))
        for _ in range(2):  # the second time with the better metric
            self._cluster(visits, means, classes)
            points = self._metric.whiten(means)
            for row in np.flatnonzero((classes != NO_CLASS) & ~reviewed):
                if self._matching(points[row], int(classes[row]))[0] is not None:
                    classes[row] = NO_CLASS  # it has a wrong name itself
            self._metric = Metric.of(_residuals(visits, _class_centres(means, classes)))
        self._cluster(visits, means, classes)
        self._margins = {number: one.margin(self._away_from(number)) for number, one in self._species.items()}
        if inlier_quantile < 1:
            self._fit_limits([visit.energy for visit in np.array(visits)[classes != NO_CLASS]], inlier_quantile)

    def _cluster(self, visits: list[Example], means: NDArray[np.float64], classes: NDArray[np.int_]) -> None:
        """Make the clusters of species and of corrections in the space of the current metric."""
        assert self._metric is not None
        points = self._metric.whiten(means)
        confirmed = np.array([visit.reviewed for visit in visits])
        self._species = {
            int(number): SpeciesCluster(points[classes == number], confirmed[classes == number])
            for number in np.unique(classes[classes != NO_CLASS])
        }
        groups: dict[str, list[int]] = {}
        for row, visit in enumerate(visits):
            if visit.corrected:
                groups.setdefault(species_keys(visit.truth)[-1] if visit.truth else "", []).append(row)
        self._corrections = [CorrectionCluster.of(visits[rows[0]].truth, points[rows]) for rows in groups.values()]

    def _fit_limits(self, energies: list[float], inlier_quantile: float) -> None:
        """Set the largest distance of each species, and the least energy, that are still usual."""
        distances = {n: one.leave_one_out() for n, one in self._species.items() if len(one.visits) >= MIN_VISITS}
        if sum(map(len, distances.values())) >= MIN_EXAMPLES:
            mean = float(np.mean(np.concatenate(list(distances.values()))))
            spreads = {
                n: (len(d) * float(d.mean()) + SHRINKAGE_VISITS * mean) / (len(d) + SHRINKAGE_VISITS)
                for n, d in distances.items()
            }
            relative = np.concatenate([d / spreads[n] for n, d in distances.items()])
            largest = float(np.quantile(relative, inlier_quantile))
            self._max_distances = {n: OUTLIER_MARGIN * largest * spread for n, spread in spreads.items()}
        known = [energy for energy in energies if np.isfinite(energy)]
        if len(known) >= MIN_EXAMPLES:
            self._min_energy = float(np.quantile(known, (1 - inlier_quantile) / 2)) - ENERGY_MARGIN


def _residuals(visits: list[Example], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of every moment from the centre given for its visit, shape (moments of all visits, dim)."""
    return np.concatenate([visit.embeddings - centre for visit, centre in zip(visits, centres, strict=True)])


def _class_centres(means: NDArray[np.float64], classes: NDArray[np.int_]) -> NDArray[np.float64]:
    """The centre of each visit's class; the visit's own mean where it has no class."""
    result = means.copy()
    for number in np.unique(classes[classes != NO_CLASS]):
        mine = classes == number
        result[mine] = np.median(means[mine], axis=0)
    return result
