"""Keep each bird its identity: re-identify one that was lost, and fix the ids of two that were swapped (ID switch).

Whether what appears soon after a bird vanished is that bird is told by how the first one went (out of the picture, or
lost in its place), how the second one came (in over the edge, or out of nothing), and whether they look alike once the
second one sits. Two birds that were one region are told apart by their grey levels when they part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from birdwatchd.camera.tracking.boxes import at_edge, touch
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Track

__all__ = ["goes_on_as", "has_left", "put_right"]


def put_right(tracks: Sequence[Track], s: TrackerSettings) -> None:
    """Exchange the names of any two birds that came out of a crowd as each other."""
    for first, second in combinations([t for t in tracks if t.confirmed], 2):
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
        if bird.fresh.count >= s.separated_looks:
            own, strange = bird.memory.distance(bird.fresh), other.memory.distance(bird.fresh)
            gains.append((own or 0.0) - (strange or 0.0))
    return bool(gains) and sum(gains) > s.switch_margin * len(gains)


def has_left(bird: Track, at: float, s: TrackerSettings) -> bool:
    """Whether a bird that is not seen at `at` flew out of the picture."""
    if at - bird.last_at < s.dropout_s:
        return False
    x, y = bird.predicted(at).centre
    if not (0.0 < x < 1.0 and 0.0 < y < 1.0):
        return True
    outward = max(
        -bird.velocity[0] if bird.box.x < s.edge_margin else 0.0,
        -bird.velocity[1] if bird.box.y < s.edge_margin else 0.0,
        bird.velocity[0] if bird.box.x + bird.box.w > 1 - s.edge_margin else 0.0,
        bird.velocity[1] if bird.box.y + bird.box.h > 1 - s.edge_margin else 0.0,
    )
    return outward > s.exit_speed * max(bird.size)


def goes_on_as(bird: Track, new: Track, at: float, s: TrackerSettings) -> bool | None:
    """Whether `new`, which appeared after `bird` was seen last, is that bird; None while that cannot be told yet."""
    since = new.first_at - bird.last_at
    if bird.over or not 0 < since < s.gone_s or has_left(bird, new.first_at, s) or _came_in(bird, new, s):
        return False
    (x0, y0), (x1, y1) = bird.box.centre, new.born_box.centre
    size = max(*bird.size, *new.size)
    far = math.hypot(x1 - x0, y1 - y0)
    reach = s.first_reach * size + (s.reappear_reach * min(1.0, since / 0.4) if since < s.flight_s else 0.0)
    unlike = abs(math.log(new.size[0] * new.size[1] / max(bird.size[0] * bird.size[1], 1e-9)))
    if far > reach or unlike > math.log(s.max_size_ratio) or _flew_elsewhere(bird, new, s):
        return False
    if not new.region.tone or not bird.appearance.count:  # nothing tells how they look
        return since < s.flight_s
    if new.fresh.count < s.tone_looks:
        return None if at - new.first_at < s.identity_wait_s else since < s.flight_s
    return (bird.appearance.distance(new.fresh) or 0.0) < s.max_tone_distance


def _came_in(bird: Track, new: Track, s: TrackerSettings) -> bool:
    """Whether `new` came over the edge of the picture, away from where `bird` was."""
    return at_edge(new.born_box, s.edge_margin) and not touch(bird.box, new.born_box, 0.25)


def _flew_elsewhere(bird: Track, new: Track, s: TrackerSettings) -> bool:
    """Whether `bird` was on its way somewhere else than where `new` appeared."""
    if bird.speed < s.exit_speed * max(bird.size):
        return False
    (x0, y0), (x1, y1) = bird.box.centre, new.born_box.centre
    return (x1 - x0) * bird.velocity[0] + (y1 - y0) * bird.velocity[1] < 0 and not touch(bird.box, new.born_box, 0.25)
