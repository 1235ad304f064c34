"""Give open visits the frames that their crops are cut from: those of one stream, or of the main stream of two.

A bird is often noticed some frames after it came, and with two streams the processed frames are too small for the
classifier. So frames of the past, and of the main stream, are searched for the birds that are known by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from datetime import datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.full_frames import FullFrameSource
from birdwatchd.camera.frame_clock import FrameClock
from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.tracking.boxes import nearest, within_reach
from birdwatchd.camera.tracking.track import Track
from birdwatchd.camera.view import SAME_VIEW, StreamView, find_view
from birdwatchd.camera.visit import OpenVisit, box_at
from birdwatchd.records import Box

__all__ = ["CropSource", "DualCropSource", "Replay"]

COMPARE_AGAIN_S = 5.0  # where the pictures of both streams could not be compared
MERGED_FACTOR = 1.8  # times a bird's size: a region larger than that holds other birds as well

Replay = Callable[[datetime], Generator[Frame, None, None]]
"""Gives the frames from a time on once more, out of the ring of packets (`birdwatchd.camera.capture.replay`)."""


class CropSource:
    """Frames for crops of a camera with one stream: those that are processed, and those of the past.

    Attributes:
        detector: finds what differs from the background; None before the first frame.
    """

    def __init__(self, clock: FrameClock, replay: Replay | None) -> None:
        """
        Args:
            replay: gives frames of the recent past; without it the past is not searched.
        """
        self.detector: MotionDetector | None = None
        self._clock, self._replay = clock, replay

    @property
    def view(self) -> StreamView:
        """What processed frames show of those that crops are cut from, as far as is known."""
        return SAME_VIEW

    def source_size(self, frame: Frame) -> tuple[int, int]:
        """(width, height) of the frames that crops are cut from, pixels, when `frame` is processed."""
        return frame.width, frame.height

    def offer(self, visit: OpenVisit, frame: Frame, track: Track, now_s: float) -> None:
        """Offer a processed frame that shows a visit's bird."""
        _offer(visit.picker, visit, frame, track, now_s)

    def catch_up(self, visits: Collection[OpenVisit], until: datetime, *, all_of_them: bool = False) -> None:
        """Offer what other streams have up to a time; all of it, or as much as there is time for."""

    def time_s(self, now_s: float) -> float:
        """Up to which time crops were offered."""
        return now_s

    def start_look_back(self, visit: OpenVisit, since: datetime) -> None:
        """Search the frames from `since` to the visit's start for its bird."""
        if self._replay is not None:
            visit.look_back_since = since
            visit.look_back = self._replay(since)

    def look_back(self, visit: OpenVisit, frames: int | None) -> None:
        """Go on with the search of the past: through `frames` frames, or through all that are left."""
        if visit.look_back is None or self.detector is None:
            return
        for done, frame in enumerate(visit.look_back, 1):
            if frame.at >= visit.start or (frame.width, frame.height) != self.detector.frame_size:
                break
            first = visit.places[0][1]
            near = [r.box for r in self.detector.detect(frame.luma) if within_reach(r.box, first)]
            if near:
                visit.picker.offer(frame, max(near, key=first.iou), self._clock.seconds_of(frame.at))
            if frames is not None and done >= frames:
                return
        visit.look_back.close()
        visit.look_back = None

    def finish(self, visit: OpenVisit) -> None:
        """Offer what can still be had at the end of a visit."""
        self.look_back(visit, None)


class DualCropSource(CropSource):
    """Frames for crops of a camera with two streams: those of the main stream while it is alive."""

    def __init__(self, clock: FrameClock, replay: Replay | None, full: FullFrameSource) -> None:
        """
        Args:
            full: the main stream.
        """
        super().__init__(clock, replay)
        self._full = full
        self._full_s = 0.0  # of the newest full-resolution frame
        self._small: NDArray[np.uint8] | None = None  # luma of the newest frame that shows a bird
        self._view: StreamView | None = None
        self._compared_s = -1e9

    @property
    def view(self) -> StreamView:
        """What the small stream shows of the main one's picture, as far as is known."""
        return self._view or SAME_VIEW

    def source_size(self, frame: Frame) -> tuple[int, int]:
        """(width, height) of the main stream's frames, pixels; that of `frame` until it is known."""
        return self._full.size or (frame.width, frame.height)

    def offer(self, visit: OpenVisit, frame: Frame, track: Track, now_s: float) -> None:
        """Offer a processed frame; while the main stream is alive only in case that one gives none."""
        if self._small is None or self._view is None or self._small.shape != frame.luma.shape:
            self._small, self._view = frame.luma.copy(), None
        picker = visit.fallback_picker if self._full.alive else visit.picker
        _offer(picker, visit, frame, track, now_s)

    def catch_up(self, visits: Collection[OpenVisit], until: datetime, *, all_of_them: bool = False) -> None:
        """Offer the main stream's frames, up to the time of the last processed frame."""
        since = [visit.known_since for visit in visits if visit.picker.needs_more and visit.places]
        if not since or not self._full.alive:
            self._full.release()
            return
        for frame in self._full.read(min(since), until, all_of_them=all_of_them):
            self._offer_full(frame, visits)

    def time_s(self, now_s: float) -> float:
        """Time of the newest frame of the main stream while that is alive."""
        return self._full_s if self._full.alive else now_s

    def start_look_back(self, visit: OpenVisit, since: datetime) -> None:
        """Search the past: by reading the main stream from `since` on, or as with one stream."""
        if self._replay is not None and self._full.alive:
            visit.look_back_since = since
        else:
            super().start_look_back(visit, since)

    def finish(self, visit: OpenVisit) -> None:
        """Offer what can still be had: the visit was over before its frames were read, or the main stream broke."""
        super().finish(visit)
        if visit.picker.has_moment:
            return
        if self._replay is not None and self._full.alive:
            for frame in self._replay(visit.known_since):
                if frame.at > visit.last_seen:
                    break
                self._offer_full(frame, (visit,))
        if not visit.picker.has_moment:
            visit.picker = visit.fallback_picker

    def _offer_full(self, frame: Frame, visits: Collection[OpenVisit]) -> None:
        self._full_s = now_s = self._clock.seconds_of(frame.at)
        self._compare(frame, now_s)
        found: tuple[Box, ...] | None = None
        for visit in visits:
            before = frame.at < visit.start
            box = visit.places[0][1] if before else box_at(visit.places, frame.at)
            if box is None or frame.at < visit.known_since or not visit.picker.would_measure(frame.at, now_s):
                continue
            if before or visit.is_moving(frame.at):  # the streams' clocks may differ a little: locate it in this frame
                found = self._detect(frame) if found is None else found
                near = [other for other in found if within_reach(other, box) and other.area < MERGED_FACTOR * box.area]
                if before and not near:
                    continue
                box = nearest(box, near) if near else box
            visit.picker.offer(frame, self.view.to_main(box), now_s, whole=partial(self._whole_box, visit))

    def _whole_box(self, visit: OpenVisit, box: Box) -> Box:
        """As `OpenVisit.whole_box`, of a box in the main picture."""
        return self.view.to_main(visit.whole_box(self.view.to_small(box)))

    def _compare(self, frame: Frame, now_s: float) -> None:
        """Learn, once, what the small stream shows of this picture."""
        if self._view is None and self._small is not None and abs(now_s - self._compared_s) >= COMPARE_AGAIN_S:
            self._compared_s = now_s
            self._view = find_view(self._small, frame.luma)

    def _detect(self, frame: Frame) -> tuple[Box, ...]:
        """What differs from the background in a frame of the main stream."""
        if self.detector is None:
            return ()
        luma = self.view.cut(frame.luma, self.detector.frame_size)
        return tuple(region.box for region in self.detector.detect(luma))


def _offer(picker: MomentPicker, visit: OpenVisit, frame: Frame, track: Track, now_s: float) -> None:
    """Offer a processed frame that shows a visit's bird."""
    picker.offer(frame, track.box, now_s, alone=track.motion.alone_s == now_s, whole=visit.whole_box)
