"""Judge whether a track is a bird: the more there is that is none (rain, snow, gusts), the more is asked.

A bird was seen often enough, is new enough and shows life: it moves, or something in it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Track

__all__ = ["Weather", "credible", "lives"]


class Weather:
    """How many things there are at once that are no birds, in the mean."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self.clutter = 1.5 * settings.clutter  # what the weather is shows in the first seconds

    @property
    def bad(self) -> bool:
        """Whether there is so much that is no bird that all the caution there is must be taken."""
        return self.clutter >= self._settings.clutter

    def count(self, tracks: Iterable[Track], step_s: float) -> None:
        """Take one look's tracks, `step_s` after those of the look before."""
        doubtful = sum(1 for track in tracks if not track.believed)
        self.clutter += (1 - math.exp(-step_s / self._settings.clutter_s)) * (doubtful - self.clutter)

    def besides(self, track: Track, at: float) -> float:
        """How many there are besides this track, which was counted since it began."""
        own = 1.0 - math.exp(-(at - track.first_at) / self._settings.clutter_s)
        return max(0.0, self.clutter - own)


def credible(track: Track, at: float, weather: Weather, s: TrackerSettings) -> bool:
    """Whether a track that was not believed in until now is a bird."""
    others = weather.besides(track, at)
    settled = at - track.home_at >= s.settled_s * min(1.0, others / s.clutter)
    return (
        track.hits >= s.believe_hits
        and track.last_at - track.first_at >= s.believe_s
        and track.hits >= s.believe_share * track.looks
        and track.last_at == at
        and track.error < s.steady
        and track.newness > _asked_newness(track, at, others, s)
        and not track.region.ghost
        and (others < s.calm or settled)
        and (track.travelled >= s.travel or _stays(track, at, others, s))
        and (lives(track, s) if others < s.clutter else _lives_in_storm(track, at, s))
    )


def lives(track: Track, s: TrackerSettings) -> bool:
    """Whether it moves, or something in it does; what moves changes cells, what is only seen in parts does not."""
    return track.stirred >= (s.stirs_moving if track.travelled >= s.travel else s.stirs)


def _stays(track: Track, at: float, others: float, s: TrackerSettings) -> bool:
    """Whether what was not seen to come is there for good: a leaf that a gust turns over is gone again in a moment."""
    gusty = min(1.0, max(0.0, (others - s.still_air) / (s.calm - s.still_air)))
    return at - track.first_at >= gusty * s.unseen_coming_s and track.hits >= s.constant * gusty * track.looks


def _lives_in_storm(track: Track, at: float, s: TrackerSettings) -> bool:
    """In wind everything stirs: a bird came from elsewhere, or it stays and is seen all the while."""
    constant = min(track.presence, track.hits / track.looks) > 2 * s.presence
    stays = constant and at - track.home_at > s.stays_s
    never_missed = min(track.presence, track.hits / track.looks) > s.never_missed and at - track.home_at > s.long_s
    new = track.newness > s.plainly_new or never_missed
    return track.travelled >= 1.0 or (stays and track.stirred > s.stirs and new)


def _asked_newness(track: Track, at: float, others: float, s: TrackerSettings) -> float:
    """Less of what came from elsewhere, stayed and stirs: a dull bird in the dusk hardly differs from its place."""
    arrived = track.travelled >= 1.0 and track.stirred >= 2 * s.stirs and at - track.home_at >= s.arrived_s
    return s.newness - s.trust if arrived else s.newness + s.doubt * min(others, s.clutter)
