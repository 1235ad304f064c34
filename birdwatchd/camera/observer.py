"""Turn the frames of one camera into evidence of visits: gate, tracker and crops put together, nothing else.

No process, no socket, no clock of its own: frames go in, evidence comes out, so everything here is tested without
waiting. How many frames are looked at follows from what happens: few in quiet, every one while something may be a
bird. The frames that quiet left out are kept until the next look and looked at after all when it finds something, so
that a bird that is gone in half a second is seen as well as if every frame had been looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.full_frames import FullFrameSource
from birdwatchd.camera.motion.detector import Gate, GateSettings, Look
from birdwatchd.camera.motion.grid import scaled_min_bird
from birdwatchd.camera.sampling import AdaptiveSampler, SamplingSettings
from birdwatchd.camera.tracking.boxes import nearest, within_reach
from birdwatchd.camera.tracking.tracker import Departure, Step, Track, Tracker, TrackerSettings
from birdwatchd.camera.visit import OpenVisit, Perches, box_at
from birdwatchd.records import Box, Evidence, Moment, new_visit_id
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Observer", "Replay"]

_NEVER = datetime.min.replace(tzinfo=UTC)
CROWD = 1.8  # times a bird's size: a region larger than that holds other birds as well
CLOCK_STEP_S = 0.5  # frames may arrive this much out of order; more is a clock that was set
UNSEEN_S = 0.5  # a bird that is noticed so soon after frames that were not looked at was perhaps there in them
SETTLED_S = 30.0  # after a step of the light; what differs later is something else
UNSETTLED = 0.01  # share of the picture that differs while what a step of the light left behind is being learned
RELIT_S = 2.0  # what seems to have left so soon after a step of the light, or before, may be there still
REPLAY_SHARE = 4  # frames of the past that are searched per look, so that the present does not wait

Replay = Callable[[datetime], Iterator[Frame]]
"""Gives the frames from a time on once more, out of the ring of packets (`birdwatchd.camera.capture.replay`)."""


class Observer:
    """Everything that is known about one camera's picture."""

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        *,
        media: str | None = None,
        replay: Replay | None = None,
        full: FullFrameSource | None = None,
        sampling: SamplingSettings | None = None,
    ) -> None:
        """
        Args:
            camera: key of the camera.
            media: name of the file that is scanned; evidence then carries seconds from its start.
            replay: gives frames of the recent past again; without it nothing is searched afterwards.
            full: the main stream, where `look` gets frames of a smaller one; crops come from it while it is alive.
        """
        self._camera, self._settings, self._media, self._replay = camera, settings, media, replay
        self._full = full
        self._full_at = 0.0  # of the newest full-resolution frame
        self._sampler = AdaptiveSampler(sampling or SamplingSettings())
        self._gate: Gate | None = None
        self._tracker = Tracker(TrackerSettings())
        self._visits: dict[int, OpenVisit] = {}
        self._origin: datetime | None = None
        self._latest = 0.0
        self._present: tuple[tuple[str, Box], ...] = ()
        self._picture_since: datetime | None = None
        self._perches = Perches()
        self._relit = (-1e9, -1e9, -1e9)  # the first and the last of some steps of the light; until they are learned
        self._picture_since_s = 0.0
        self.last_look = Look(())

    @property
    def quiet(self) -> bool:
        """Whether there is nothing that may be a bird."""
        return not self._visits and self._latest > self._sampler.alert_until_s

    @property
    def present(self) -> tuple[tuple[str, Box], ...]:
        """Visit id and box of every bird that the last look saw."""
        return self._present

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every track, confirmed or tentative (for people who tune)."""
        return self._tracker.tracks

    @property
    def gate(self) -> Gate | None:
        """The motion gate, once there was a frame."""
        return self._gate

    def look(self, frame: Frame) -> list[Evidence]:
        """Take the next frame; returns what it proves. Not every frame is looked at."""
        at = self._seconds(frame.at)
        if not self._sampler.should_process(frame, at):
            return []
        gate = self._gate_for(frame)
        look = self.last_look = gate.look(frame.luma, at, self._tracker.held)
        self._note_light(look, at)
        if look.learning or look.global_change:
            return self._look_at_nothing(look, frame, at)
        if look.regions and not self._tracker.suspicious:
            self._process_skipped(gate)
        self._sampler.skipped.clear()
        step = self._tracker.update(look.regions, at, gate)
        for box in step.absorb:
            gate.absorb(box)
        self._sampler.adapt(step, self._tracker.tracks, at)
        return self._evidence(step, frame, at)

    def pass_time(self, now: datetime) -> list[Evidence]:
        """The stream is silent: close visits whose bird was not seen for long enough."""
        at = self._seconds(now)
        return self._closings(self._tracker.close_quiet(at), at)

    def finish(self) -> list[Evidence]:
        """The end of the file or of the process: close every visit at its last sighting."""
        at = max((self._seconds(visit.last_seen) for visit in self._visits.values()), default=0.0)
        self._sampler.skipped.clear()
        return self._closings(self._tracker.close_all(), at)

    # -- two streams ------------------------------------------------------------------------------------------------

    @property
    def _crops_from_full(self) -> bool:
        return self._full is not None and self._full.alive

    def _look_at_full(self, until: datetime, *, all_of_them: bool = False) -> None:
        """Cut the birds out of the main stream's frames, up to the time of the last look."""
        if self._full is None:
            return
        wanting = [visit.known_since for visit in self._visits.values() if visit.picker.needs_more and visit.places]
        if not wanting or not self._full.alive:
            self._full.release()
            return
        for frame in self._full.read(min(wanting), until, all_of_them=all_of_them):
            self._offer_full(frame, tuple(self._visits.values()))

    def _offer_full(self, frame: Frame, visits: Sequence[OpenVisit]) -> None:
        self._full_at = at = self._seconds_of(frame.at)
        found: tuple[Box, ...] | None = None
        for visit in visits:
            before = frame.at < visit.start
            box = visit.places[0][1] if before else box_at(visit.places, frame.at)
            if box is None or frame.at < visit.known_since or not visit.picker.would_measure(frame.at, at):
                continue
            if before or visit.is_moving(
                frame.at
            ):  # the streams' clocks may differ a little: look where it is in this one
                found = self._found_in(frame) if found is None else found
                near = [other for other in found if within_reach(other, box) and other.area < CROWD * box.area]
                if before and not near:
                    continue
                box = nearest(box, near) if near else box
            visit.picker.offer(frame, box, at)

    def _found_in(self, frame: Frame) -> tuple[Box, ...]:
        if self._gate is None:
            return ()
        luma = np.asarray(cv2.resize(frame.luma, self._gate.frame_size, interpolation=cv2.INTER_AREA), np.uint8)
        return tuple(region.box for region in self._gate.search(luma))

    def _pictures_at_last(self, visit: OpenVisit) -> None:
        """A visit ends and has no picture: it was over before its frames were asked for, or the main stream broke."""
        if self._full is None or visit.picker.has_moment:
            return
        if self._replay is not None and self._full.alive:
            for frame in self._replay(visit.known_since):
                if frame.at > visit.last_seen:
                    break
                self._offer_full(frame, (visit,))
        if not visit.picker.has_moment:
            visit.picker = visit.fallback_picker

    # -- the picture -------------------------------------------------------------------------------------------------

    def _note_light(self, look: Look, at: float) -> None:
        """Keep from when until when the picture looks different because of another light."""
        first, last, until = self._relit
        if look.relit:
            self._relit = at if at - until >= RELIT_S else first, at, at
        elif look.busy > UNSETTLED and at - until < RELIT_S and at - last < SETTLED_S:
            self._relit = first, last, at

    def _process_skipped(self, gate: Gate) -> None:
        """Something came up out of the quiet: look at the frames that were left out since the last look."""
        for frame in self._sampler.skipped:
            if (frame.width, frame.height) == gate.frame_size:
                self._tracker.update(gate.search(frame.luma), self._seconds_of(frame.at))

    def _look_at_nothing(self, look: Look, frame: Frame, at: float) -> list[Evidence]:
        """The background is being learned: nothing is known of this frame but that time passes."""
        if look.global_change or self._picture_since is None:
            self._picture_since, self._picture_since_s = frame.at, frame.media_s
            self._perches = Perches()
        self._sampler.reset(at)
        self._present = ()
        return self._evidence(self._tracker.close_quiet(at), frame, at)

    def _gate_for(self, frame: Frame) -> Gate:
        min_bird = self._settings.min_bird
        if self._full is not None and self._full.size is not None:  # it is said in pixels of the main stream
            min_bird = scaled_min_bird(min_bird, frame.width, self._full.size[0])
        size = frame.width, frame.height
        if self._gate is None or self._gate.frame_size != size or self._gate.settings.min_bird != min_bird:
            settings = GateSettings(min_bird=min_bird, ignore=self._settings.ignore)
            self._gate = Gate(settings, frame.width, frame.height)
            self._picture_since = None
        return self._gate

    # -- visits -----------------------------------------------------------------------------------------------------

    def _evidence(self, step: Step, frame: Frame, at: float) -> list[Evidence]:
        from_full = self._crops_from_full
        for track in step.seen:
            visit = self._visits.get(track.number)
            if visit is None:
                visit = self._begin(track, frame, at)
            if track.sightings.ghost_hits:  # perhaps it has left already: no pictures of the empty perch
                continue
            visit.add_sighting(frame.at, track.box, frame.media_s)
            self._perches.note(track.number, track.box)
            picker = visit.fallback_picker if from_full else visit.picker
            picker.offer(frame, track.box, at, speed=track.motion.speed, alone=track.motion.alone_s == at)
        self._present = tuple((self._visits[track.number].visit_id, track.box) for track in step.seen)
        self._look_at_full(frame.at)
        result = self._departures(step.left, at)
        result += self._closings(step, at)
        for track in step.open:
            visit = self._visits.get(track.number)
            if visit is None:
                continue
            visit.count_max = track.identity.count_max
            self._search_on(visit, REPLAY_SHARE)
            moment = visit.picker.due(self._full_at if from_full else at)
            if moment is not None:
                visit.revision += 1
                result.append(self._report(visit, moments=(moment,)))
        return result

    def _begin(self, track: Track, frame: Frame, at: float) -> OpenVisit:
        before = at - track.first_s
        start = frame.at - timedelta(seconds=before)
        visit = OpenVisit(
            new_visit_id(start),
            start,
            max(0.0, frame.media_s - before),
            MomentPicker(self._settings.max_moments),
            MomentPicker(self._settings.max_moments),
            start,
            max(0.0, frame.media_s - before),
        )
        visit.places.append((start, track.identity.start_box))
        self._visits[track.number] = visit
        unseen_s = track.first_s - self._sampler.complete_since_s
        if self._replay is not None and unseen_s < UNSEEN_S:
            visit.look_back_since = start - timedelta(seconds=self._settings.pre_roll_s)
            if not self._crops_from_full:
                visit.look_back = self._replay(visit.look_back_since)
        return visit

    def _closings(self, step: Step, at: float) -> list[Evidence]:
        result = []
        if step.closed:
            until = max((visit.last_seen for visit in self._visits.values()), default=_NEVER)
            self._look_at_full(until, all_of_them=True)
        for track in step.closed:
            visit = self._visits.pop(track.number, None)
            if visit is None:
                continue
            visit.count_max = track.identity.count_max
            self._search_on(visit, None)
            self._pictures_at_last(visit)
            moment = visit.picker.due(at, ending=True)
            visit.revision += 1
            result.append(self._report(visit, moments=(moment,) if moment else (), ended=True))
        return result

    # -- the past ---------------------------------------------------------------------------------------------------

    def _search_on(self, visit: OpenVisit, frames: int | None) -> None:
        """Look for the bird in frames from before it was noticed: `frames` of them, or all that are left."""
        if visit.look_back is None or self._gate is None:
            return
        for done, frame in enumerate(visit.look_back, 1):
            if frame.at >= visit.start or (frame.width, frame.height) != self._gate.frame_size:
                break
            self._search_in(frame, visit)
            if frames is not None and done >= frames:
                return
        _close(visit.look_back)
        visit.look_back = None

    def _search_in(self, frame: Frame, visit: OpenVisit) -> None:
        assert self._gate is not None
        first = visit.places[0][1]
        near = [r.box for r in self._gate.search(frame.luma) if within_reach(r.box, first)]
        if near:
            visit.picker.offer(frame, max(near, key=first.iou), self._seconds_of(frame.at))

    def _departures(self, left: Sequence[Departure], at: float) -> list[Evidence]:
        """Birds that were there before the picture began are known only when they leave: tell their whole visit."""
        result: list[Evidence] = []
        since = self._picture_since
        for departure in left:
            visit = self._visits.get(departure.number) if departure.number is not None else None
            if since is None or self._perches.had_others(departure.number or 0, departure.box):
                continue  # what has left here came after the picture began
            if self._relit[0] - RELIT_S < departure.noticed_s < self._relit[2] + RELIT_S:
                continue  # much looks different in another light
            if visit is not None:
                visit.start, visit.start_s = min(since, visit.start), min(self._picture_since_s, visit.start_s)
                visit.last_seen = max(visit.last_seen, visit.start)
            elif self._replay is not None:
                result += self._told_afterwards(departure, since, at)
        return result

    def _told_afterwards(self, departure: Departure, since: datetime, at: float) -> list[Evidence]:
        """The visit of a bird that sat there from the first picture on, out of the ring."""
        assert self._origin is not None
        end = self._origin + timedelta(seconds=departure.left_s)
        picker = MomentPicker(self._settings.max_moments)
        frames = self._replay(max(since, end - timedelta(seconds=max(2.0, self._settings.pre_roll_s))))  # type: ignore[misc]
        moments: list[Moment] = []
        last_s = self._picture_since_s
        for frame in frames:
            if frame.at >= end:
                break
            last_s = frame.media_s
            picker.offer(frame, departure.box, self._seconds_of(frame.at))
            moment = picker.due(self._seconds_of(frame.at))
            moments += [moment] if moment else []
        _close(frames)
        moment = picker.due(at, ending=True)
        moments += [moment] if moment else []
        if not moments:
            return []
        visit = OpenVisit(new_visit_id(since), since, self._picture_since_s, picker, picker, end, last_s, revision=1)
        return [self._report(visit, moments=tuple(moments), ended=True)]

    def _report(self, visit: OpenVisit, *, moments: tuple[Moment, ...], ended: bool = False) -> Evidence:
        of_file = self._media is not None
        return Evidence(
            visit_id=visit.visit_id,
            camera=self._camera,
            revision=visit.revision,
            start=visit.start,
            end=visit.last_seen if ended else None,
            last_seen=visit.last_seen,
            moments=moments,
            count_max=visit.count_max,
            media=self._media,
            start_s=visit.start_s if of_file else None,
            end_s=visit.last_seen_s if of_file and ended else None,
        )

    # -- time -------------------------------------------------------------------------------------------------------

    def _seconds(self, at: datetime) -> float:
        """Seconds on a clock of this camera's frames that never runs backwards, whatever the wall clock is set to."""
        if self._origin is None:
            self._origin = at
        seconds = (at - self._origin).total_seconds()
        if seconds < self._latest - CLOCK_STEP_S:  # the wall clock was set back: go on from here
            self._origin -= timedelta(seconds=self._latest - seconds)
        self._latest = max(self._latest, seconds)
        return self._latest

    def _seconds_of(self, at: datetime) -> float:
        """The same clock for a frame of the past."""
        return (at - self._origin).total_seconds() if self._origin is not None else 0.0


def _close(frames: Iterator[Frame]) -> None:
    """Let a generator of frames go, with its decoder."""
    close = getattr(frames, "close", None)
    if close is not None:
        close()
