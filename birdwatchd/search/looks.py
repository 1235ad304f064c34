"""Draw stored embeddings in two dimensions, so that birds that look alike lie together (principal components).

Only embeddings of one model are drawn together: of the one that most of the newest visits are of. Each visit is the
mean of its pictures, scaled to length 1. The odd ones out are those that lie farthest from the centre of their species,
in all dimensions and not in the drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from birdwatchd.records import FloatArray, Visit
from birdwatchd.store import StoreReader

__all__ = ["LooksMap", "Point", "draw_looks"]

MOST_POINTS = 3_000
LEAST_OF_A_SPECIES = 5  # visits, before one of them can be odd
PLACES = 3  # decimals of a place in the drawing


@dataclass(frozen=True, slots=True)
class Point:
    """A visit in the drawing.

    Attributes:
        name: what the visit is called, or was guessed to be.
        x, y: its place, -1 … 1.
        oddness: how far it is from the centre of its name's visits, 0 … 2 (1 − cosine); None where these are few.
    """

    visit_id: str
    name: str
    x: float
    y: float
    oddness: float | None


@dataclass(frozen=True, slots=True)
class LooksMap:
    """The newest visits of birds of one model, newest first. `shown` is the share of the differences that it shows."""

    model: str
    points: tuple[Point, ...]
    shown: float

    def odd(self, count: int) -> list[Point]:
        """Those farthest from the centre of their species, the oddest first."""
        known = [point for point in self.points if point.oddness is not None]
        return sorted(known, key=lambda point: -(point.oddness or 0.0))[:count]

    def within(self, outline: Sequence[tuple[float, float]]) -> list[Point]:
        """The points within a closed line around some of them."""
        return [point for point in self.points if _is_within(point.x, point.y, outline)]


def draw_looks(store: StoreReader, newest: Sequence[tuple[Visit, str]]) -> LooksMap:
    """Draw visits.

    Args:
        newest: the visits and what each is called, newest first; of these at most `MOST_POINTS` are drawn.

    Raises:
        StoreError: the database failed.
    """
    models = Counter(visit.model for visit, _ in newest)
    model = models.most_common(1)[0][0] if models else ""
    found = store.embeddings.means(model, [visit.visit_id for visit, _ in newest[:MOST_POINTS]])
    drawn = [(visit, name) for visit, name in newest if visit.visit_id in found]
    if not drawn:
        return LooksMap(model, (), 0.0)
    vectors = np.stack([_unit(found[visit.visit_id]) for visit, _ in drawn])
    places, shown = _flat(vectors)
    oddness = _oddness(vectors, [name for _, name in drawn])
    points = (
        Point(visit.visit_id, name, round(float(x), PLACES), round(float(y), PLACES), odd)
        for (visit, name), (x, y), odd in zip(drawn, places, oddness, strict=True)
    )
    return LooksMap(model, tuple(points), shown)


def _flat(vectors: FloatArray) -> tuple[FloatArray, float]:
    """The first two principal components, scaled to -1 … 1, and their share of the variance."""
    centred = vectors - vectors.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred)  # dim × dim, however many visits there are
    best = axes[:, ::-1][:, :2]
    best *= np.where(np.abs(best).max(axis=0) == best.max(axis=0), 1.0, -1.0)  # so that it is not mirrored tomorrow
    places = np.zeros((len(vectors), 2), np.float32)
    places[:, : best.shape[1]] = centred @ best
    most = float(np.abs(places).max())
    total = float(spread.sum())
    return (places / most if most > 0 else places), (float(spread[-2:].sum()) / total if total > 0 else 0.0)


def _oddness(vectors: FloatArray, names: Sequence[str]) -> list[float | None]:
    oddness: list[float | None] = [None] * len(names)
    for name, number in Counter(names).items():
        if number < LEAST_OF_A_SPECIES:
            continue
        mine = [place for place, other in enumerate(names) if other == name]
        centre = _unit(np.median(vectors[mine], axis=0))  # the odd ones themselves do not move it far
        for place, cosine in zip(mine, vectors[mine] @ centre, strict=True):
            oddness[place] = 1.0 - float(cosine)
    return oddness


def _unit(vector: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector / length if np.isfinite(length) and length > 0 else np.zeros_like(vector)


def _is_within(x: float, y: float, outline: Sequence[tuple[float, float]]) -> bool:
    """Whether a line from the point to the right crosses the outline an odd number of times."""
    inside = False
    for (x1, y1), (x2, y2) in zip(outline, (*outline[1:], *outline[:1]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside
