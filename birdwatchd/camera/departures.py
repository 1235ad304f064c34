"""Find the visits of birds that were there before the scene was learned, and are noticed only when they leave.

Such a bird is part of the background, so nothing differs while it sits; when it leaves, its empty place does (a ghost).
Its visit then began with the scene. A place may also look empty because the light changed, or because a bird has come
and left since; those are no such visits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.crop_source import Replay
from birdwatchd.camera.crops import PictureSettings
from birdwatchd.camera.frame_clock import FrameClock
from birdwatchd.camera.motion.detector import MotionResult
from birdwatchd.camera.tracking.track import Departure
from birdwatchd.camera.visit import OpenVisit
from birdwatchd.records import Box, Moment, new_visit_id
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Departures", "OccupancyGrid", "PastVisit"]

SETTLED_S = 30.0  # after an illumination step; what differs later is something else
UNSETTLED_RATIO = 0.01  # share of the frame that differs while what an illumination step left is being learned
NEAR_STEP_S = 2.0  # what seems to have left so soon after an illumination step, or before, may be there still
LEAST_REPLAY_S = 2.0  # of the past in which the bird is shown


@dataclass(frozen=True, slots=True)
class PastVisit:
    """A visit that is over when it is noticed, and its moments."""

    visit: OpenVisit
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class _IlluminationSteps:
    """The latest illumination steps that followed each other closely.

    Attributes:
        first_s, last_s: the first and the last step.
        until_s: when what they left behind was learned.
    """

    first_s: float = -1e9
    last_s: float = -1e9
    until_s: float = -1e9

    def after(self, result: MotionResult, now_s: float) -> _IlluminationSteps:
        """After one more processed frame."""
        if result.illumination_step:
            return _IlluminationSteps(now_s if now_s - self.until_s >= NEAR_STEP_S else self.first_s, now_s, now_s)
        unsettled = result.foreground_ratio > UNSETTLED_RATIO and now_s - self.until_s < NEAR_STEP_S
        if unsettled and now_s - self.last_s < SETTLED_S:
            return _IlluminationSteps(self.first_s, self.last_s, now_s)
        return self

    def near(self, at_s: float) -> bool:
        """Whether the scene looked different because of them."""
        return self.first_s - NEAR_STEP_S < at_s < self.until_s + NEAR_STEP_S


class Departures:
    """What of a scene was there when it was learned. Times are seconds on the frames' clock."""

    def __init__(
        self, settings: CameraSettings, pictures: PictureSettings, clock: FrameClock, replay: Replay | None
    ) -> None:
        """
        Args:
            replay: gives frames of the recent past; without it no past visit has a moment, and none is found.
        """
        self._settings, self._pictures, self._clock, self._replay = settings, pictures, clock, replay
        self._scene_since: datetime | None = None
        self._scene_since_s = 0.0  # seconds from the start of the media
        self._occupancy = OccupancyGrid()
        self._illumination_steps = _IlluminationSteps()

    def note_illumination(self, result: MotionResult, now_s: float) -> None:
        """Take what the motion gate says of a processed frame."""
        self._illumination_steps = self._illumination_steps.after(result, now_s)

    def start_scene(self, frame: Frame, *, changed: bool) -> None:
        """The background is being learned from this frame on; `changed`: it shows another scene than before."""
        if changed or self._scene_since is None:
            self._scene_since, self._scene_since_s = frame.at, frame.media_s
            self._occupancy = OccupancyGrid()

    def forget_scene(self) -> None:
        """The next frame has another size, or is compared otherwise."""
        self._scene_since = None

    def mark(self, number: int, box: Box) -> None:
        """Bird `number` was seen in `box`."""
        self._occupancy.mark(number, box)

    def resolve(
        self, departures: Sequence[Departure], visits: Mapping[int, OpenVisit], now_s: float
    ) -> list[PastVisit]:
        """Find out whose departures these are: an open visit's begins earlier, any other's is a past visit.

        Args:
            visits: the open visits by track number.
        """
        result: list[PastVisit] = []
        since = self._scene_since
        for departure in departures:
            visit = visits.get(departure.number) if departure.number is not None else None
            if since is None or self._occupancy.had_others(departure.number or 0, departure.box):
                continue  # it came after the scene was learned
            if self._illumination_steps.near(departure.noticed_s):
                continue
            if visit is not None:
                visit.start, visit.start_s = min(since, visit.start), min(self._scene_since_s, visit.start_s)
                visit.last_seen = max(visit.last_seen, visit.start)
            elif self._replay is not None:
                past = self._past_visit(departure, since, self._replay, now_s)
                result += [past] if past is not None else []
        return result

    def _past_visit(self, departure: Departure, since: datetime, replay: Replay, now_s: float) -> PastVisit | None:
        """The visit of a bird that sat there from the first frame on; None where the ring no longer shows it."""
        end = self._clock.wall_time_of(departure.left_s)
        picker = MomentPicker(self._settings.max_moments, self._pictures)
        shown_s = max(LEAST_REPLAY_S, self._settings.pre_roll_s)
        frames = replay(max(since, end - timedelta(seconds=shown_s)))
        moments: list[Moment | None] = []
        last_s = self._scene_since_s
        for frame in frames:
            if frame.at >= end:
                break
            last_s = frame.media_s
            frame_s = self._clock.seconds_of(frame.at)
            picker.offer(frame, departure.box, frame_s)
            moments.append(picker.due(frame_s))
        frames.close()
        moments.append(picker.due(now_s, ending=True))
        found = tuple(moment for moment in moments if moment is not None)
        if not found:
            return None
        visit = OpenVisit(new_visit_id(since), since, self._scene_since_s, picker, picker, end, last_s, revision=1)
        return PastVisit(visit, found)


class OccupancyGrid:
    """Which birds were seen where since the scene was learned, on a coarse grid: each cell keeps its first bird."""

    COLUMNS, ROWS = 64, 36

    def __init__(self) -> None:
        self._first = np.zeros((self.ROWS, self.COLUMNS), np.int64)

    def mark(self, number: int, box: Box) -> None:
        """Bird `number` (1 and more) was seen in `box`."""
        part = self._first[self._cells(box)]
        part[part == 0] = number

    def had_others(self, number: int, box: Box) -> bool:
        """Whether another bird than `number` was first in half of `box` or more."""
        part = self._first[self._cells(box)]
        return bool(((part != 0) & (part != number)).mean() >= 0.5)

    def _cells(self, box: Box) -> tuple[slice, slice]:
        left, top = int(box.x * self.COLUMNS), int(box.y * self.ROWS)
        right, bottom = math.ceil((box.x + box.w) * self.COLUMNS), math.ceil((box.y + box.h) * self.ROWS)
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
