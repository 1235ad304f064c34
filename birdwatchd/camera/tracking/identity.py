"""See by their tones that two birds were taken for each other where they were one region, and put it right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Track

__all__ = ["put_right"]


def put_right(tracks: Sequence[Track], s: TrackerSettings) -> None:
    """Exchange the names of any two birds that came out of a crowd as each other."""
    for first, second in combinations([t for t in tracks if t.believed], 2):
        if second.number not in first.partners:
            continue
        if _exchanged(first, second, s):
            first.exchange_names(second)
        elif min(first.fresh.count, second.fresh.count) >= s.sure_looks:
            first.partners.discard(second.number)
            second.partners.discard(first.number)


def _exchanged(first: Track, second: Track, s: TrackerSettings) -> bool:
    """Whether what is seen of two birds since they parted fits better the other way round."""
    if min(first.memory.count, second.memory.count) < s.tone_looks:
        return False
    gains = []
    for bird, other in ((first, second), (second, first)):
        if bird.fresh.count >= s.parted_looks:
            own, strange = bird.memory.distance(bird.fresh), other.memory.distance(bird.fresh)
            gains.append((own or 0.0) - (strange or 0.0))
    return bool(gains) and sum(gains) > s.mistaken * len(gains)
