"""Clusters of visits in embedding space: those of one species, and those that people corrected in the same way.

A new visit is compared with both kinds: with the species that the network names, and with what people corrected away
from it. Points are embeddings whitened by `birdwatchd.species.learned.metric.Metric`; all distances are squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Label

__all__ = ["MIN_VISITS", "SHRINKAGE_VISITS", "CorrectionCluster", "SpeciesCluster", "log_ratio", "squared_distances"]

MIN_VISITS = 8  # of a species, before its spread is estimated
TRIM_RATIO = 3.0  # times the median distance from the centre: visits beyond do not count for the centre
NEIGHBOURS = 3  # corrected visits nearest to one, half-way to which there are prototypes too
RADIUS_RATIO = 4.0  # radius of a correction cluster, in times the largest distance between nearest neighbours in it
DISTANCE_EPS = 0.1  # added to distances before their ratio is taken: the resolution of embeddings
SHRINKAGE_VISITS = 20.0  # weight of the mean spread of all species against a species' own, as a number of its visits

Points = NDArray[np.float32]


class SpeciesCluster:
    """The visits that have one species' name here."""

    def __init__(self, visits: Points, confirmed: NDArray[np.bool_]) -> None:
        """
        Args:
            visits: their points, shape (visits, dim), at least one.
            confirmed: which of them a person reviewed, shape (visits,).
        """
        self.visits, self.confirmed = visits, confirmed
        self.centre: Points = np.median(visits, axis=0)
        for _ in range(2 if len(visits) >= MIN_VISITS else 0):
            distances = squared_distances(visits, self.centre[None])[:, 0]
            self.centre = visits[distances <= TRIM_RATIO * np.median(distances)].mean(axis=0)
        self._prototypes = np.concatenate([self.centre[None], visits[confirmed]])

    def distance(self, point: Points) -> float:
        """From the centre, or from the nearest visit that a person confirmed."""
        return float(squared_distances(point[None], self._prototypes).min())

    def leave_one_out(self) -> Points:
        """Distance of each visit from the centre of the others, shape (visits,)."""
        count = len(self.visits)
        result: Points = squared_distances(self.visits, self.centre[None])[:, 0] * (count / max(1, count - 1)) ** 2
        return result

    def margin(self, corrections: Sequence[CorrectionCluster]) -> float:
        """The `log_ratio` above which a visit belongs to corrections rather than to this species; mostly below 0.

        The visit of this species that comes nearest to the corrections limits how far the margin may reach towards the
        species: half-way to it. A visit that a person confirmed is never beyond it.
        """
        if not corrections:
            return 0.0
        distances = np.min([correction.distances(self.visits) for correction in corrections], axis=0)
        ratios = np.array([log_ratio(own, other) for own, other in zip(self.leave_one_out(), distances, strict=True)])
        count = len(self.visits)
        margin = min(0.0, 0.5 * float(ratios.max()) * count / (count + MIN_VISITS))
        return max(margin, float(ratios[self.confirmed].max())) if self.confirmed.any() else margin


@dataclass(frozen=True, slots=True, eq=False)
class CorrectionCluster:
    """Visits that people corrected to the same name.

    Attributes:
        truth: what they are; None for no bird.
        points: shape (visits, dim).
        prototypes: these, and the points half-way between each and its nearest neighbours.
        radius: squared distance from the nearest prototype up to which a visit may belong to them.
    """

    truth: Label | None
    points: Points
    prototypes: Points
    radius: float

    @classmethod
    def of(cls, truth: Label | None, points: Points) -> CorrectionCluster:
        """From the points of the visits; the radius follows from how near each lies to the others."""
        distances = squared_distances(points, points)
        np.fill_diagonal(distances, np.inf)
        neighbours = np.argsort(distances, axis=1)[:, : min(NEIGHBOURS, len(points) - 1)]
        between = [(points[row] + points[other]) / 2 for row, near in enumerate(neighbours) for other in near]
        radius = float("inf")  # what is nearer to no bird than to the birds is no bird, however far
        if truth is not None:
            radius = max(1.0, RADIUS_RATIO * float(distances.min(axis=1).max()) if len(points) > 1 else 0.0)
        return cls(truth, points, np.concatenate([points, *(point[None] for point in between)]), radius)

    def distances(self, points: Points) -> Points:
        """From the nearest prototype, shape (points,)."""
        result: Points = squared_distances(points, self.prototypes).min(axis=1)
        return result

    def count_similar(self, point: Points, own: float | None, margin: float) -> int:
        """How many of the visits are similar to a point that belongs to them; at least one.

        Args:
            own: the point's distance from the species that the network names; None where there is no visit of it.
            margin: of that species.
        """
        distances = squared_distances(point[None], self.points)[0]
        similar = [d <= self.radius and (own is None or log_ratio(own, float(d)) > margin) for d in distances]
        return max(1, int(sum(similar)))


def log_ratio(own: float, other: float) -> float:
    """Logarithm of how many times nearer something else is than the point's own species."""
    return math.log((own + DISTANCE_EPS) / (other + DISTANCE_EPS))


def squared_distances(points: Points, others: Points) -> Points:
    """Squared Euclidean distances, shape (points, others)."""
    between = (points**2).sum(axis=1)[:, None] - 2 * points @ others.T + (others**2).sum(axis=1)[None]
    result: Points = np.maximum(between, 0)
    return result
