"""Learn from what was seen and reviewed here: what is like a corrected visit, and what is like nothing seen so far.

Two questions about a visit that the network calls X. Is it nearer to visits that people corrected than to the X of this
place? Then it is what they said (`Opinion.lessons`). Is it further from the X of this place than those are from each
other, or does the network find less in it than in any bird seen here? Then it is strange (`Opinion.strange`, `faint`).
Both are answered with the visit's mean embedding, and how near is near is read off the visits themselves, each left out
in turn. Where little was seen, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, HalfArray, Label
from birdwatchd.species.learned.clusters import DOUBT, ENOUGH_OF_ONE, Kind, Lesson, lead
from birdwatchd.species.learned.metric import Metric
from birdwatchd.species.taxonomy import name_key, species_keys

__all__ = ["Experience", "Opinion", "Seen"]

ENOUGH = 50  # visits altogether, before it is said how far apart birds of one species are
ENERGY_SPARE = 0.1  # below the least energy of the birds seen: what a handful of visits cannot show of the next ones
FURTHER = 1.15  # times the furthest that is usual: the next bird may lie beyond all that were seen. Of 1700 drawn birds
# that were new, 2 % were then found strange with `familiar` 0.99, and 3 % without this
NOBODY = -1  # class of a visit that says nothing about any


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A visit as the network saw it.

    Attributes:
        embeddings: of its moments, shape (moments, dim), at least one.
        said: the network's name for it, common or scientific.
        energy: logarithm of the summed powers of its mean logits (Liu et al., "Energy-based Out-of-distribution
            Detection", NeurIPS 2020); NaN where they were not kept.
        reviewed: a person had a say on it.
        truth: what it is, by that person; None where it was no bird, or where nobody had a say.
    """

    embeddings: FloatArray | HalfArray
    said: str
    energy: float = float("nan")
    reviewed: bool = False
    truth: Label | None = None

    @property
    def corrected(self) -> bool:
        """A person said something else than the network."""
        return self.reviewed and (self.truth is None or name_key(self.said) not in species_keys(self.truth))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What experience says of one visit.

    Attributes:
        lessons: corrected visits that it is like; 0 if none.
        truth: what those are; None for no bird. Means nothing without lessons.
        known: there are birds of the name that it has to compare it with.
        strange: how far it is from what has its name here, in times of the furthest that is usual; 0 where there is
            too little to compare with.
        faint: the network finds less in it than in the birds seen here.
    """

    lessons: int = 0
    truth: Label | None = None
    known: bool = False
    strange: float = 0.0
    faint: bool = False


class Experience:
    """What the visits of one model taught. Never changes: when there is more to learn from, another is made."""

    def __init__(self, labels: Sequence[Label], seen: Iterable[Seen] = (), *, familiar: float = 0.98) -> None:
        """
        Args:
            labels: the classes of the model, as they are shown.
            seen: confirmed visits and reviewed ones.
            familiar: share of the birds seen here that are within what is usual; 1 finds nothing strange.
        """
        self._labels = tuple(labels)
        self._index = {key: i for i, label in enumerate(labels) if label.is_species for key in species_keys(label)}
        self._metric: Metric | None = None
        self._kinds: dict[int, Kind] = {}
        self._borders: dict[int, float] = {}
        self._lessons: list[Lesson] = []
        self._limits: dict[int, float] = {}
        self._least_energy = -float("inf")
        visits = list(seen)
        self.visits, self.corrections = len(visits), sum(visit.corrected for visit in visits)
        if visits:
            self._learn(visits, familiar)

    def opinion(self, embedding: NDArray[np.floating], best: int, energy: float = float("nan")) -> Opinion:
        """What experience says of a visit.

        Args:
            embedding: mean over the visit's moments, shape (dim,).
            best: the class that the network finds most probable.
            energy: of its mean logits, as in `Seen`.
        """
        if self._metric is None or not self._labels[best].is_species:
            return Opinion()
        point = self._metric.points(embedding)
        kind = self._kinds.get(best)
        lesson, alike = self._taught(point, best)
        known = kind is not None and (kind.confirmed.any() or len(kind.visits) >= ENOUGH_OF_ONE)
        strange = kind.distance(point) / self._limits[best] if kind is not None and best in self._limits else 0.0
        faint = bool(energy < self._least_energy)
        return Opinion(alike, lesson.truth if lesson else None, bool(known), strange, faint)

    def _taught(self, point: NDArray[np.float32], best: int) -> tuple[Lesson | None, int]:
        """The corrected visits that a point is like, and how many of them."""
        lessons = self._against(best)
        away = [float(lesson.distances(point[None])[0]) for lesson in lessons]
        if not lessons:
            return None, 0
        nearest = int(np.argmin(away))
        kind, border = self._kinds.get(best), self._borders.get(best, 0.0)
        own = None if kind is None else kind.distance(point)
        if away[nearest] > lessons[nearest].reach or (own is not None and lead(own, away[nearest]) <= border):
            return None, 0
        return lessons[nearest], lessons[nearest].like(point, own, border)

    def _against(self, best: int) -> list[Lesson]:
        return [lesson for lesson in self._lessons if lesson.truth is None or self._class_of(lesson.truth) != best]

    def _class_of(self, label: Label) -> int:
        return next((self._index[key] for key in species_keys(label) if key in self._index), NOBODY)

    def _class_shown(self, visit: Seen) -> int:
        """The class that a visit is an example of."""
        if visit.reviewed:
            return NOBODY if visit.truth is None else self._class_of(visit.truth)
        return self._index.get(name_key(visit.said), NOBODY)

    def _learn(self, visits: list[Seen], familiar: float) -> None:
        means = np.stack([visit.embeddings.mean(axis=0, dtype=np.float64) for visit in visits])
        classes = np.array([self._class_shown(visit) for visit in visits])
        reviewed = np.array([visit.reviewed for visit in visits])
        self._metric = Metric.of(_residuals(visits, means))
        for _ in range(2):  # the second time in the better measure
            self._place(visits, means, classes)
            points = self._metric.points(means)
            for row in np.flatnonzero((classes != NOBODY) & ~reviewed):
                if self._taught(points[row], int(classes[row]))[0] is not None:
                    classes[row] = NOBODY  # it has a wrong name itself
            self._metric = Metric.of(_residuals(visits, _middles(means, classes)))
        self._place(visits, means, classes)
        self._borders = {number: kind.border(self._against(number)) for number, kind in self._kinds.items()}
        if familiar < 1:
            self._see_what_is_usual([visit.energy for visit in np.array(visits)[classes != NOBODY]], familiar)

    def _place(self, visits: list[Seen], means: NDArray[np.float64], classes: NDArray[np.int_]) -> None:
        """Put kinds and lessons where they are in the measure of now."""
        assert self._metric is not None
        points = self._metric.points(means)
        confirmed = np.array([visit.reviewed for visit in visits])
        self._kinds = {
            int(number): Kind(points[classes == number], confirmed[classes == number])
            for number in np.unique(classes[classes != NOBODY])
        }
        groups: dict[str, list[int]] = {}
        for row, visit in enumerate(visits):
            if visit.corrected:
                groups.setdefault(species_keys(visit.truth)[-1] if visit.truth else "", []).append(row)
        self._lessons = [Lesson.of(visits[rows[0]].truth, points[rows]) for rows in groups.values()]

    def _see_what_is_usual(self, energies: list[float], familiar: float) -> None:
        away = {n: kind.from_others() for n, kind in self._kinds.items() if len(kind.visits) >= ENOUGH_OF_ONE}
        if sum(map(len, away.values())) >= ENOUGH:
            usual = float(np.mean(np.concatenate(list(away.values()))))
            spreads = {n: (len(d) * float(d.mean()) + DOUBT * usual) / (len(d) + DOUBT) for n, d in away.items()}
            furthest = float(np.quantile(np.concatenate([d / spreads[n] for n, d in away.items()]), familiar))
            self._limits = {n: FURTHER * furthest * spread for n, spread in spreads.items()}
        known = [energy for energy in energies if np.isfinite(energy)]
        if len(known) >= ENOUGH:
            self._least_energy = float(np.quantile(known, (1 - familiar) / 2)) - ENERGY_SPARE


def _residuals(visits: list[Seen], middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of every moment from the middle given for its visit, shape (moments of all visits, dim)."""
    return np.concatenate([visit.embeddings - middle for visit, middle in zip(visits, middles, strict=True)])


def _middles(means: NDArray[np.float64], classes: NDArray[np.int_]) -> NDArray[np.float64]:
    """The middle of each visit's kind; the visit's own mean where it is of none, or the only one."""
    result = means.copy()
    for number in np.unique(classes[classes != NOBODY]):
        mine = classes == number
        result[mine] = np.median(means[mine], axis=0)
    return result
