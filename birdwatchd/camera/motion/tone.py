"""Describe a bird's appearance by quantiles of its grey levels, the tone, to re-identify it.

It is the one thing that stays when a bird turns, pecks and hops. Measured on drawn birds (`many`, `cross` and
`side_by_side` of `benchmarks/detection`, seeds 0 and 5): of one bird that sits by itself it differs by less than 8 grey
levels in 95 of 100 frames, between two birds by 15 to 30 in the median, though one pair in twenty is alike by 2 to 8.
In flight, wings open, that of the same bird differs by up to 30, which is why flight does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MeanTone", "Tone", "tone_of"]

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
MAX_COUNT = 20  # sightings after which the mean becomes a running one: the light of the day changes

Tone = tuple[float, ...]
"""Grey levels at `QUANTILES`; empty where several birds, or parts of one, were seen."""


def tone_of(cells: NDArray[np.uint8]) -> Tone:
    """The tone of some cells, uint8 of any shape, at least one."""
    ordered = np.sort(cells, axis=None)
    return tuple(float(ordered[int(part * (ordered.size - 1))]) for part in QUANTILES)


@dataclass(frozen=True, slots=True)
class MeanTone:
    """The mean tone of `count` sightings."""

    mean: Tone = ()
    count: int = 0

    def with_tone(self, tone: Tone, weight: int = 1) -> MeanTone:
        """The mean after one more sighting, or after the mean of `weight` of them; an empty tone counts for nothing."""
        if not tone:
            return self
        count = self.count + weight
        part = min(1.0, weight / min(count, MAX_COUNT))
        return MeanTone(tuple(m + part * (t - m) for m, t in zip(self.mean or tone, tone, strict=True)), count)

    def distance(self, other: MeanTone) -> float | None:
        """Mean absolute difference, grey levels; None where either is not known."""
        if not self.mean or not other.mean:
            return None
        return sum(abs(a - b) for a, b in zip(self.mean, other.mean, strict=True)) / len(self.mean)
