"""Hold the visits of one kind as points: what has one name here, and what people corrected in one way.

Points and their squared distances are those of a `birdwatchd.species.learned.metric.Metric`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Label

__all__ = ["DOUBT", "ENOUGH_OF_ONE", "Kind", "Lesson", "lead", "squares"]

ENOUGH_OF_ONE = 8  # visits of a kind, before it is said what is usual of it
TRIMMED = 3.0  # times the median distance from the middle: what is further does not count for the middle
MATES = 3  # nearest corrected visits of the same kind, between which a visit is as near as beside one of them
REACH = 4.0  # times the squared distance at which corrected visits of one kind lie from each other
EVEN = 0.1  # added to both distances before they are compared: how finely pictures can be told apart at all
DOUBT = 20.0  # so many visits of a kind make what is read off them half as certain as any number could

Points = NDArray[np.float32]


class Kind:
    """Visits that have one name here."""

    def __init__(self, visits: Points, confirmed: NDArray[np.bool_]) -> None:
        """
        Args:
            visits: their points, shape (visits, dim), at least one.
            confirmed: which of them a person reviewed, shape (visits,).
        """
        self.visits, self.confirmed = visits, confirmed
        self.middle: Points = np.median(visits, axis=0)
        for _ in range(2 if len(visits) >= ENOUGH_OF_ONE else 0):
            away = squares(visits, self.middle[None])[:, 0]
            self.middle = visits[away <= TRIMMED * np.median(away)].mean(axis=0)
        self._places = np.concatenate([self.middle[None], visits[confirmed]])

    def distance(self, point: Points) -> float:
        """From the middle, or from the nearest visit that a person confirmed."""
        return float(squares(point[None], self._places).min())

    def from_others(self) -> Points:
        """How far each visit is from the middle of the others, shape (visits,)."""
        count = len(self.visits)
        result: Points = squares(self.visits, self.middle[None])[:, 0] * (count / max(1, count - 1)) ** 2
        return result

    def border(self, lessons: Sequence[Lesson]) -> float:
        """The `lead` that corrected visits need for one to be like them rather than of this kind: at most 0, as a rule.

        The bird of this kind that comes nearest to them says how far the border may go towards the kind: half-way to
        it. It never takes in what a person confirmed.
        """
        if not lessons:
            return 0.0
        away = np.min([lesson.distances(self.visits) for lesson in lessons], axis=0)
        leads = np.array([lead(own, other) for own, other in zip(self.from_others(), away, strict=True)])
        count = len(self.visits)
        border = min(0.0, 0.5 * float(leads.max()) * count / (count + ENOUGH_OF_ONE))
        return max(border, float(leads[self.confirmed].max())) if self.confirmed.any() else border


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Visits that people corrected in one way.

    Attributes:
        truth: what they are; None for no bird.
        points: shape (visits, dim).
        places: these, and those between each and its nearest mates.
        reach: squared distance from the nearest place, up to which a visit may be like them.
    """

    truth: Label | None
    points: Points
    places: Points
    reach: float

    @classmethod
    def of(cls, truth: Label | None, points: Points) -> Lesson:
        """From the points of the visits, each left out in turn to see how near they lie."""
        between = squares(points, points)
        np.fill_diagonal(between, np.inf)
        mates = np.argsort(between, axis=1)[:, : min(MATES, len(points) - 1)]
        halves = [(points[row] + points[mate]) / 2 for row, near in enumerate(mates) for mate in near]
        reach = float("inf")  # what is nearer to no bird than to the birds is no bird, however far
        if truth is not None:
            reach = max(1.0, REACH * float(between.min(axis=1).max()) if len(points) > 1 else 0.0)
        return cls(truth, points, np.concatenate([points, *(half[None] for half in halves)]), reach)

    def distances(self, points: Points) -> Points:
        """From the nearest place, shape (points,)."""
        result: Points = squares(points, self.places).min(axis=1)
        return result

    def like(self, point: Points, own: float | None, border: float) -> int:
        """How many of the visits a point is like; at least one, for one that was found to be like them.

        Args:
            own: its distance from what has its name here, None where there is nothing.
            border: of that kind.
        """
        away = squares(point[None], self.points)[0]
        near = [other <= self.reach and (own is None or lead(own, float(other)) > border) for other in away]
        return max(1, int(sum(near)))


def lead(own: float, other: float) -> float:
    """How much nearer something else is than what has its name, as the logarithm of how many times."""
    return math.log((own + EVEN) / (other + EVEN))


def squares(points: Points, places: Points) -> Points:
    """Squared distances, shape (points, places)."""
    between = (points**2).sum(axis=1)[:, None] - 2 * points @ places.T + (places**2).sum(axis=1)[None]
    result: Points = np.maximum(between, 0)
    return result
