"""Re-identify birds that were lost, and fix the ids of two birds that were swapped while merged (ID switches).

A hop too quick to be seen must not end a visit, and a visit must not go on with another bird. A new track is the lost
bird unless that one left the frame, the new one entered at the frame's edge, or they differ in size or grey levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from birdwatchd.camera.tracking.boxes import at_edge, touch
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Track

__all__ = ["fix_id_switches", "has_left", "reidentify"]


def fix_id_switches(tracks: Sequence[Track], s: TrackerSettings) -> None:
    """Swap the identities of any two birds that took each other's id while they were merged."""
    for first, second in combinations([t for t in tracks if t.confirmed], 2):
        if second.number not in first.identity.merged_with:
            continue
        if _ids_switched(first, second, s):
            first.swap_identity(second)
        elif min(first.appearance.recent_tone.count, second.appearance.recent_tone.count) >= s.sure_looks:
            first.separate_from(second)
            second.separate_from(first)


def _ids_switched(first: Track, second: Track, s: TrackerSettings) -> bool:
    """Whether the tones of two birds since they separated fit each other's earlier tone better than their own."""
    if min(first.appearance.known_tone.count, second.appearance.known_tone.count) < s.tone_looks:
        return False
    gains = []
    for bird, other in ((first.appearance, second.appearance), (second.appearance, first.appearance)):
        if bird.recent_tone.count >= s.separated_looks:
            own, swapped = bird.known_tone.distance(bird.recent_tone), other.known_tone.distance(bird.recent_tone)
            gains.append((own or 0.0) - (swapped or 0.0))
    return bool(gains) and sum(gains) > s.switch_margin * len(gains)


def has_left(bird: Track, now_s: float, s: TrackerSettings) -> bool:
    """Whether a bird that is not seen at `now_s` has flown out of the frame."""
    if now_s - bird.last_s < s.dropout_s:
        return False
    motion, box = bird.motion, bird.box
    x, y = motion.predicted(now_s).centre
    if not (0.0 < x < 1.0 and 0.0 < y < 1.0):
        return True
    speed = max(
        -motion.velocity[0] if box.x < s.edge_margin else 0.0,
        -motion.velocity[1] if box.y < s.edge_margin else 0.0,
        motion.velocity[0] if box.x + box.w > 1 - s.edge_margin else 0.0,
        motion.velocity[1] if box.y + box.h > 1 - s.edge_margin else 0.0,
    )
    return speed > s.exit_speed * max(motion.size)


def reidentify(bird: Track, new: Track, now_s: float, s: TrackerSettings) -> bool | None:
    """Whether `new`, which appeared after `bird` was seen last, is that bird; None while that is not known yet."""
    since_s = new.first_s - bird.last_s
    if bird.over or not 0 < since_s < s.gone_s or has_left(bird, new.first_s, s) or _entered_at_edge(bird, new, s):
        return False
    (x0, y0), (x1, y1) = bird.box.centre, new.identity.start_box.centre
    size = max(*bird.motion.size, *new.motion.size)
    far = math.hypot(x1 - x0, y1 - y0)
    reach = s.first_reach * size + (s.reappear_reach * min(1.0, since_s / 0.4) if since_s < s.flight_s else 0.0)
    unlike = abs(math.log(new.motion.area / max(bird.motion.area, 1e-9)))
    if far > reach or unlike > math.log(s.max_size_ratio) or _heading_elsewhere(bird, new, s):
        return False
    before, after = bird.appearance.tone, new.appearance.recent_tone
    if not new.motion.region.tone or not before.count:  # no tone to compare
        return since_s < s.flight_s
    if after.count < s.tone_looks:
        return None if now_s - new.first_s < s.identity_wait_s else since_s < s.flight_s
    return (before.distance(after) or 0.0) < s.max_tone_distance


def _entered_at_edge(bird: Track, new: Track, s: TrackerSettings) -> bool:
    """Whether `new` appeared at the frame's edge, away from where `bird` was."""
    return at_edge(new.identity.start_box, s.edge_margin) and not touch(bird.box, new.identity.start_box, 0.25)


def _heading_elsewhere(bird: Track, new: Track, s: TrackerSettings) -> bool:
    """Whether `bird` was flying away from where `new` appeared."""
    if bird.motion.speed < s.exit_speed * max(bird.motion.size):
        return False
    start_box, velocity = new.identity.start_box, bird.motion.velocity
    (x0, y0), (x1, y1) = bird.box.centre, start_box.centre
    return (x1 - x0) * velocity[0] + (y1 - y0) * velocity[1] < 0 and not touch(bird.box, start_box, 0.25)
