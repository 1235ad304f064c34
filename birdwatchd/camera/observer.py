"""Turn the frames of one camera into evidence of visits: gate, tracker and crops put together, nothing else.

No process, no socket, no clock of its own: frames go in, evidence comes out, so everything here is tested without
waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from birdwatchd.camera.crops import MomentPicker
from birdwatchd.camera.gate import Gate, GateSettings
from birdwatchd.camera.source import Frame
from birdwatchd.camera.tracker import Step, Track, Tracker, TrackerSettings
from birdwatchd.config import CameraSettings
from birdwatchd.records import Box, Evidence, Moment, new_visit_id

__all__ = ["Observer"]

CLOCK_STEP_S = 0.5  # frames may arrive this much out of order; more is a clock that was set


@dataclass(slots=True)
class _OpenVisit:
    visit_id: str
    start: datetime
    start_s: float
    picker: MomentPicker
    revision: int = 0
    last_seen: datetime = field(init=False)
    last_seen_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_seen, self.last_seen_s = self.start, self.start_s


class Observer:
    """Everything that is known about one camera's picture."""

    def __init__(self, camera: str, settings: CameraSettings, *, media: str | None = None) -> None:
        """
        Args:
            camera: key of the camera.
            media: name of the file that is scanned; evidence then carries seconds from its start.
        """
        self._camera, self._settings, self._media = camera, settings, media
        self._gate: Gate | None = None
        self._tracker = Tracker(TrackerSettings())
        self._visits: dict[int, _OpenVisit] = {}
        self._origin: datetime | None = None
        self._latest = 0.0
        self._present: tuple[tuple[str, Box], ...] = ()

    @property
    def open_visits(self) -> int:
        """How many birds are there now."""
        return len(self._visits)

    @property
    def present(self) -> tuple[tuple[str, Box], ...]:
        """Visit id and box of every bird that the last look saw."""
        return self._present

    def look(self, frame: Frame) -> list[Evidence]:
        """Look at one frame; returns what it proves."""
        self._present = ()
        at = self._seconds(frame.at)
        gate = self._gate_for(frame)
        look = gate.look(frame.luma, at, self._tracker.held)
        if look.learning or look.global_change:
            return self._evidence(self._tracker.close_quiet(at), frame, at)
        step = self._tracker.update(look.regions, at)
        for box in step.absorb:
            gate.absorb(box)
        return self._evidence(step, frame, at)

    def pass_time(self, now: datetime) -> list[Evidence]:
        """The stream is silent: close visits whose bird was not seen for long enough."""
        at = self._seconds(now)
        return self._closings(self._tracker.close_quiet(at), at)

    def finish(self) -> list[Evidence]:
        """The end of the file or of the process: close every visit at its last sighting."""
        at = max((self._seconds(visit.last_seen) for visit in self._visits.values()), default=0.0)
        return self._closings(self._tracker.close_all(at), at)

    def forget_picture(self) -> None:
        """The next frame may show something else altogether (another file): learn the background anew."""
        self._gate = None

    def _gate_for(self, frame: Frame) -> Gate:
        if self._gate is None or self._gate.frame_size != (frame.width, frame.height):
            settings = GateSettings(min_bird=self._settings.min_bird, ignore=self._settings.ignore)
            self._gate = Gate(settings, frame.width, frame.height)
        return self._gate

    def _evidence(self, step: Step, frame: Frame, at: float) -> list[Evidence]:
        for track in step.seen:
            visit = self._visits.get(track.number)
            if visit is None:
                visit = self._begin(track, frame, at)
            if track.ghost_looks:  # perhaps it has left already: no pictures of the empty perch
                continue
            visit.last_seen, visit.last_seen_s = max(frame.at, visit.start), frame.media_s
            visit.picker.offer(frame, track.box, at)
        self._present = tuple((self._visits[track.number].visit_id, track.box) for track in step.seen)
        result = self._closings(step, at)
        for track in step.open:
            visit = self._visits.get(track.number)
            moment = visit.picker.due(at) if visit is not None else None
            if visit is not None and moment is not None:
                visit.revision += 1
                result.append(self._report(visit, track, moments=(moment,)))
        return result

    def _begin(self, track: Track, frame: Frame, at: float) -> _OpenVisit:
        before = at - track.first_at
        start = frame.at - timedelta(seconds=before)
        visit = _OpenVisit(
            new_visit_id(start),
            start,
            max(0.0, frame.media_s - before),
            MomentPicker(self._settings.max_moments),
        )
        self._visits[track.number] = visit
        return visit

    def _closings(self, step: Step, at: float) -> list[Evidence]:
        result = []
        for track in step.closed:
            visit = self._visits.pop(track.number, None)
            if visit is None:
                continue
            moment = visit.picker.due(at, ending=True)
            visit.revision += 1
            result.append(self._report(visit, track, moments=(moment,) if moment else (), ended=True))
        return result

    def _report(
        self, visit: _OpenVisit, track: Track, *, moments: tuple[Moment, ...], ended: bool = False
    ) -> Evidence:
        of_file = self._media is not None
        return Evidence(
            visit_id=visit.visit_id,
            camera=self._camera,
            revision=visit.revision,
            start=visit.start,
            end=visit.last_seen if ended else None,
            last_seen=visit.last_seen,
            moments=moments,
            count_max=track.count_max,
            media=self._media,
            start_s=visit.start_s if of_file else None,
            end_s=visit.last_seen_s if of_file and ended else None,
        )

    def _seconds(self, at: datetime) -> float:
        """Seconds on a clock of this camera's frames that never runs backwards, whatever the wall clock is set to."""
        if self._origin is None:
            self._origin = at
        seconds = (at - self._origin).total_seconds()
        if seconds < self._latest - CLOCK_STEP_S:  # the wall clock was set back: go on from here
            self._origin -= timedelta(seconds=self._latest - seconds)
        self._latest = max(self._latest, seconds)
        return self._latest
