"""The arithmetic of the tables: medians, and slopes that a few odd samples do not bend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Slope", "blocks", "median_and_spread", "slope"]


def median_and_spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest of some runs."""
    return statistics.median(values), min(values), max(values)


@dataclass(frozen=True, slots=True)
class Slope:
    """Change per unit of x, and the interval that holds the true one in 95 of 100 such series."""

    value: float
    low: float
    high: float


def blocks(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """The points, which are in order, in `count` blocks of about the same size: median x and median y of each.

    Samples of one second and of the next are not independent, as the interval of `slope` wants them; medians of
    blocks much longer than what lasts are nearly so.
    """
    count = min(count, len(points))
    edges = [round(n * len(points) / count) for n in range(count + 1)]
    parts = [points[a:b] for a, b in pairwise(edges)]
    return [(statistics.median(x for x, _ in part), statistics.median(y for _, y in part)) for part in parts]


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Theil–Sen: the median of the slopes between all pairs of points, with Sen's interval.

    Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968). The variance of Kendall's S
    is n (n - 1) (2 n + 5) / 18 without ties in x.

    Raises:
        ValueError: fewer than three points, or two with the same x.
    """
    n = len(points)
    if n < 3:
        raise ValueError("a slope needs three points or more")
    if len({x for x, _ in points}) < n:
        raise ValueError("two points have the same x")
    slopes = sorted((y1 - y0) / (x1 - x0) for i, (x0, y0) in enumerate(points) for x1, y1 in points[i + 1 :])
    reach = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Slope(statistics.median(slopes), slopes[low], slopes[high])
