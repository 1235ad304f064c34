"""Observe a camera: detect motion, track birds, and turn the tracks into evidence of visits.

No process, no socket, no clock of its own: frames go in and evidence comes out, so all of it is tested without waiting.
`sampling.py` decides which frames are processed, `crop_source.py` where crops come from, `departures.py` which visits
are noticed only at their end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.blindness import BlindSpell
from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.full_frames import FullFrameSource
from birdwatchd.camera.crop_source import CropSource, DualCropSource, Replay
from birdwatchd.camera.crops import PictureSettings
from birdwatchd.camera.departures import Departures
from birdwatchd.camera.frame_clock import FrameClock
from birdwatchd.camera.mask import MOSTLY, PrivacyMask
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.empty_scene import Recording, begin_with_recording
from birdwatchd.camera.motion.grid import scaled_min_bird
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.motion.sight import Sight
from birdwatchd.camera.sampling import AdaptiveSampler, SamplingSettings
from birdwatchd.camera.tracking.tracker import Step, Track, Tracker, TrackerSettings
from birdwatchd.camera.view import StreamView
from birdwatchd.camera.visit import OpenVisit
from birdwatchd.records import Blindness, Box, Evidence, Moment, new_visit_id
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Observer"]

_NEVER = datetime.min.replace(tzinfo=UTC)
UNSEEN_S = 0.5  # a bird that is noticed so soon after skipped frames was perhaps there in them
PRESENT_S = 0.3  # a bird that was seen so shortly before a recording ends has not left
PAUSE_S = 5.0  # without a frame: nobody knows whether the bird that is there afterwards is the one from before
UNUSUAL = 3.0  # times the time between the two frames before; a shorter pause is none: a time-lapse has no others
LOOK_BACK_SHARE = 4  # frames of the past that are searched per processed frame, so that the present does not wait


class Observer:
    """The visits of one camera, from its frames.

    Attributes:
        last_motion: what the motion gate said of the last processed frame.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        *,
        media: str | None = None,
        replay: Replay | None = None,
        full: FullFrameSource | None = None,
        sampling: SamplingSettings | None = None,
        recording: Recording | None = None,
        new_id: Callable[[datetime], str] = new_visit_id,
    ) -> None:
        """
        Args:
            camera: key of the camera.
            media: name of the file that is scanned; evidence then carries seconds from its start.
            replay: gives frames of the recent past again; without it nothing is searched afterwards.
            recording: what is known of a recording as a whole; its empty scene is learned before its first frame is
                watched.
            new_id: the id of a visit that begins at a time.
            full: the main stream, where `process` gets frames of a smaller one; crops come from it while it is alive.
        """
        self._camera, self._settings, self._media = camera, settings, media
        self._recording, self._new_id = recording, new_id
        self._pictures = PictureSettings(PrivacyMask(settings.mask), settings.store == "frames")
        self._clock = FrameClock()
        self._came_s = self._spacing_s = 0.0  # when the newest frame came, and how long after the one before
        self._sampler = AdaptiveSampler(sampling or SamplingSettings())
        self._gate: MotionDetector | None = None
        self._sight = Sight()
        self._tracker = Tracker(TrackerSettings())
        crops = CropSource(self._clock, replay) if full is None else DualCropSource(self._clock, replay, full)
        self._crops: CropSource = crops
        self._departures = Departures(settings, self._pictures, self._clock, replay)
        self._visits: dict[int, OpenVisit] = {}
        self._present: tuple[tuple[str, Box], ...] = ()
        self.last_motion = MotionResult(())

    @property
    def quiet(self) -> bool:
        """Whether there is nothing that may be a bird."""
        return not self._visits and self._clock.now_s > self._sampler.alert_until_s

    @property
    def present(self) -> tuple[tuple[str, Box], ...]:
        """Visit id and box of every bird that the last processed frame shows."""
        return self._present

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every track, confirmed or tentative (for people who tune)."""
        return self._tracker.tracks

    @property
    def blind(self) -> Blindness | None:
        """Why birds can hardly be seen, as it was over the last minute; None while they can."""
        return self._sight.blind

    @property
    def blind_spell(self) -> BlindSpell | None:
        """For how much of everything so far birds could hardly be seen; None where that is not worth a word."""
        return self._sight.spell()

    @property
    def view(self) -> StreamView:
        """What the small stream of a camera with two shows of the main stream's picture, as far as is known."""
        return self._crops.view

    @property
    def gate(self) -> MotionDetector | None:
        """The motion gate, once there was a frame."""
        return self._gate

    def process(self, frame: Frame) -> list[Evidence]:
        """Take the next frame and return the evidence that comes of it; frames of quiet may be skipped."""
        now_s = self._clock.advance(frame.at)
        return self._end_at_pause(now_s) + self._look_at(frame, now_s)

    def _look_at(self, frame: Frame, now_s: float) -> list[Evidence]:
        if not self._sampler.should_process(frame, now_s):
            return []
        gate = self._gate_for(frame)
        motion = self.last_motion = gate.update(frame.luma, now_s, self._tracker.held)
        self._sight.update(gate, motion, now_s, birds=bool(self._tracker.held))
        self._departures.note_illumination(motion, now_s)
        if motion.jumped:
            self._departures.start_scene(frame, changed=True)
            self._sampler.reset(now_s)
            self._present = ()
            return self._closings(self._tracker.close_all(), now_s)
        if motion.learning or motion.global_change:
            self._departures.start_scene(frame, changed=motion.global_change)
            self._sampler.reset(now_s)
            return self._evidence(self._tracker.close_unseen(now_s), frame, now_s)
        if motion.regions and not self._tracker.tracks:
            self._process_skipped(gate)
        self._sampler.skipped.clear()
        step = self._tracker.update(motion.regions, now_s, gate)
        for box in step.absorb:
            gate.absorb(box)
        self._sampler.adapt(step, self._tracker.tracks, now_s)
        if motion.doubtful:
            self._sampler.stay_alert(now_s)
        return self._evidence(step, frame, now_s)

    def pass_time(self, now: datetime) -> list[Evidence]:
        """The stream is silent: close visits whose bird was not seen for long enough."""
        now_s = self._clock.advance(now)
        return self._closings(self._tracker.close_unseen(now_s), now_s)

    def finish(self, last: DecodedFrame | None = None) -> list[Evidence]:
        """The end of the file or of the process: close every visit at its last sighting.

        Args:
            last: the last frame of a recording, looked at or not; a bird that was seen just before it was there in it.
        """
        if last is not None:
            for visit in self._visits.values():
                if 0.0 < (last.at - visit.last_seen).total_seconds() < PRESENT_S:
                    visit.last_seen, visit.last_seen_s = last.at, last.media_s
        now_s = max((self._clock.advance(visit.last_seen) for visit in self._visits.values()), default=0.0)
        self._sampler.skipped.clear()
        return self._closings(self._tracker.close_all(), now_s)

    def _end_at_pause(self, now_s: float) -> list[Evidence]:
        """Close every visit at its last sighting, if no frame came for long before this one.

        Its bird may have left meanwhile, and another one have come.
        """
        gap_s, usual_s = now_s - self._came_s, self._spacing_s
        self._came_s, self._spacing_s = now_s, gap_s
        if gap_s <= max(PAUSE_S, UNUSUAL * usual_s):
            return []
        self._sampler.reset(now_s)
        return self._closings(self._tracker.close_all(), now_s)

    # -- motion -----------------------------------------------------------------------------------------------------

    def _gate_for(self, frame: Frame) -> MotionDetector:
        """The motion gate for frames of this size; `min_bird` is set in pixels of the main stream."""
        full = self._crops.source_size(frame)
        min_bird = scaled_min_bird(self._settings.smallest_bird(*full), frame.width, full[0])
        size = frame.width, frame.height
        if self._gate is None or self._gate.frame_size != size or self._gate.settings.min_bird != min_bird:
            settings = MotionSettings(min_bird=min_bird, ignore=self._settings.ignore, mask=self._settings.mask)
            self._gate = self._crops.detector = MotionDetector(settings, frame.width, frame.height)
            self._departures.forget_scene()
            self._begin_with_recording(self._gate)
        return self._gate

    def _begin_with_recording(self, gate: MotionDetector) -> None:
        """Learn the scene from the whole recording, where there is one; a camera's is learned while it is watched."""
        clutter = begin_with_recording(gate, self._recording) if self._recording is not None else None
        if clutter is not None:
            self._tracker.expect_clutter(clutter)

    def _process_skipped(self, gate: MotionDetector) -> None:
        """Something moves after quiet: track it from the skipped frames on, in which it may have moved already."""
        for frame in self._sampler.skipped:
            if (frame.width, frame.height) == gate.frame_size:
                self._tracker.update(gate.detect(frame.luma), self._clock.seconds_of(frame.at))

    # -- evidence ---------------------------------------------------------------------------------------------------

    def _evidence(self, step: Step, frame: Frame, now_s: float) -> list[Evidence]:
        """What a step of the tracker proves."""
        if not self.last_motion.doubtful:  # or what was seen is perhaps after a jump, and none of a visit
            self._show_seen(step, frame, now_s)
        self._crops.catch_up(self._visits.values(), frame.at)
        past = self._departures.resolve(step.departures, self._visits, now_s)
        result = [self._report(found.visit, moments=found.moments, ended=True) for found in past]
        result += self._closings(step, now_s)
        for track in step.open:
            visit = self._visits.get(track.number)
            if visit is None:
                continue
            visit.count_max = track.identity.count_max
            self._crops.look_back(visit, LOOK_BACK_SHARE)
            moment = visit.picker.due(self._crops.time_s(now_s), birds=len(step.open))
            if moment is not None:
                visit.revision += 1
                result.append(self._report(visit, moments=(moment,)))
        return result

    def _show_seen(self, step: Step, frame: Frame, now_s: float) -> None:
        """Give the visits of the birds that were seen their sighting and the frame."""
        seen = [track for track in step.seen if self._pictures.mask.share(track.box) <= MOSTLY]
        for track in seen:
            visit = self._visits.get(track.number) or self._begin(track, frame, now_s)
            visit.liveliness.add(track.motion.region, self._tracker.clutter)
            if track.sightings.ghost_hits or track.motion.lifeless:  # perhaps it has left: no crops of the empty perch
                continue
            visit.add_sighting(frame.at, track.box, frame.media_s)
            self._departures.mark(track.number, track.box)
            self._crops.offer(visit, frame, track, now_s)
        self._present = tuple((self._visits[track.number].visit_id, track.box) for track in seen)

    def _begin(self, track: Track, frame: Frame, now_s: float) -> OpenVisit:
        """Open the visit of a track that was just confirmed."""
        before_s = now_s - track.first_s
        start, start_s = frame.at - timedelta(seconds=before_s), max(0.0, frame.media_s - before_s)
        visit = OpenVisit(
            visit_id=self._new_id(start),
            start=start,
            start_s=start_s,
            picker=MomentPicker(self._settings.max_moments, self._pictures),
            fallback_picker=MomentPicker(self._settings.max_moments, self._pictures),
            last_seen=start,
            last_seen_s=start_s,
        )
        visit.places.append((start, track.identity.start_box))
        self._visits[track.number] = visit
        if track.first_s - self._sampler.complete_since_s < UNSEEN_S:
            self._crops.start_look_back(visit, start - timedelta(seconds=self._settings.pre_roll_s))
        return visit

    def _closings(self, step: Step, now_s: float) -> list[Evidence]:
        """Close the visits of the tracks that ended."""
        result = []
        if step.closed:
            until = max((visit.last_seen for visit in self._visits.values()), default=_NEVER)
            self._crops.catch_up(self._visits.values(), until, all_of_them=True)
        for track in step.closed:
            visit = self._visits.pop(track.number, None)
            if visit is None:
                continue
            visit.count_max = track.identity.count_max
            self._crops.finish(visit)
            moment = visit.picker.due(now_s, ending=True)
            visit.revision += 1
            result.append(self._report(visit, moments=(moment,) if moment else (), ended=True))
        return result

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
            lifeless=ended and not self._settings.keep_lifeless and visit.liveliness.lifeless,
        )
