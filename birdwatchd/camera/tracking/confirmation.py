"""Confirm tentative tracks as birds, as SORT does: by how often they were seen, and by what else they show.

Rain, snow and gusts make many short tracks at once (clutter); each visit among them would be a wrong one. So the more
clutter there is, the more is asked of a track: to be seen longer, to differ more, and to move.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Track

__all__ = ["Clutter", "should_confirm", "shows_motion"]


class Clutter:
    """The running mean of how many tracks at once are not confirmed."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self.level = 1.5 * settings.clutter_high  # until the first seconds have shown what the weather is

    @property
    def high(self) -> bool:
        """Whether there is so much of it that a bird can no longer be told by its motion alone."""
        return self.level >= self._settings.clutter_high

    def update(self, tracks: Iterable[Track], step_s: float) -> None:
        """Take the tracks of one frame, `step_s` seconds after those of the frame before."""
        tentative = sum(1 for track in tracks if not track.confirmed)
        self.level += (1 - math.exp(-step_s / self._settings.clutter_s)) * (tentative - self.level)

    def without(self, track: Track, now_s: float) -> float:
        """The mean without this track, which was counted since it began."""
        own = 1.0 - math.exp(-(now_s - track.first_s) / self._settings.clutter_s)
        return max(0.0, self.level - own)


def should_confirm(track: Track, now_s: float, clutter: Clutter, s: TrackerSettings) -> bool:
    """Whether a tentative track is a bird."""
    motion, sightings = track.motion, track.sightings
    others = clutter.without(track, now_s)
    settled = now_s - motion.anchor_since_s >= s.settled_s * min(1.0, others / s.clutter_high)
    return (
        sightings.hits >= s.confirm_hits
        and motion.last_s - track.first_s >= s.confirm_s
        and sightings.hits >= s.confirm_share * sightings.looks
        and motion.last_s == now_s
        and motion.error < s.max_error
        and sightings.change_score > _required_change(track, now_s, others, s)
        and not motion.region.ghost
        and not motion.lifeless
        and (others < s.clutter_medium or settled)
        and (motion.travelled >= s.min_travel or _persists(track, now_s, others, s))
        and (shows_motion(track, s) if others < s.clutter_high else _shows_motion_in_clutter(track, now_s, s))
    )


def shows_motion(track: Track, s: TrackerSettings) -> bool:
    """Whether the track moves, or something in it does.

    What moves changes cells; what is only seen in other parts each time (a leaf) seems to move and changes none.
    """
    needed = s.min_motion_looks_moved if track.motion.travelled >= s.min_travel else s.min_motion_looks
    return track.sightings.motion_looks >= needed


def _persists(track: Track, now_s: float, others: float, s: TrackerSettings) -> bool:
    """Whether a track that was not seen to arrive stays: a leaf that a gust turns over is gone in a moment."""
    gusty = min(1.0, max(0.0, (others - s.clutter_low) / (s.clutter_medium - s.clutter_low)))
    lasting = now_s - track.first_s >= gusty * s.persist_s
    return lasting and track.sightings.hits >= s.persist_share * gusty * track.sightings.looks


def _shows_motion_in_clutter(track: Track, now_s: float, s: TrackerSettings) -> bool:
    """Whether the track came from elsewhere, or stays and is seen constantly; in wind everything moves a little."""
    sightings, stayed_s = track.sightings, now_s - track.motion.anchor_since_s
    share = min(sightings.presence, sightings.hits / sightings.looks)
    stays = share > 2 * s.min_presence and stayed_s > s.stationary_s
    changed = sightings.change_score > s.high_change or (share > s.constant_share and stayed_s > s.constant_s)
    return track.motion.travelled >= 1.0 or (stays and sightings.motion_looks > s.min_motion_looks and changed)


def _required_change(track: Track, now_s: float, others: float, s: TrackerSettings) -> float:
    """How much a track must differ from the background; less where it came from elsewhere, stays and moves.

    A dull bird at dusk hardly differs from its perch.
    """
    motion = track.motion
    stays = now_s - motion.anchor_since_s >= s.arrived_s
    if motion.travelled >= 1.0 and track.sightings.motion_looks >= 2 * s.min_motion_looks and stays:
        return s.min_change - s.arrived_discount
    return s.min_change + s.clutter_surcharge * min(others, s.clutter_high)
