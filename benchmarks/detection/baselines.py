"""What other programs do: OpenCV's background models with the usual blob tracker, and DVR-Scan as it comes."""

from __future__ import annotations

import math
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.clips import Clip
from benchmarks.detection.score import Look, PredictedVisit, Seen, Shot
from birdwatchd.records import Box

__all__ = ["BlobTracker", "scan", "subtract", "version_of"]

WIDTH = 640  # pixels that frames are shrunk to first, as is usual
BELIEVE_HITS = 4
GONE_S = 1.2
_OPEN = np.ones((3, 3), np.uint8)
_CLOSE = np.ones((7, 7), np.uint8)


def subtract(clip: Clip, model: str) -> Seen:
    """OpenCV's MOG2 or KNN with its default settings, contours, and a tracker."""
    background: Any
    if model == "mog2":
        background = cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=16, detectShadows=True)
    else:
        background = cv2.createBackgroundSubtractorKNN(history=500, dist2Threshold=400, detectShadows=True)
    video = cv2.VideoCapture(str(clip.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    case = clip.case
    size = (WIDTH, round(WIDTH * case.height / case.width))
    smallest = 0.7 * case.min_bird * WIDTH / case.width
    tracker = BlobTracker()
    looks: list[Look] = []
    index = 0
    while True:
        there, frame = video.read()
        if not there:
            break
        shrunk = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        now = index / case.fps
        present = tracker.update(blobs(np.asarray(background.apply(shrunk), np.uint8), smallest), now)
        if present:
            looks.append((now, present))
        index += 1
    video.release()
    tracks = [t for t in (*tracker.ended, *tracker.tracks) if t.believed]
    return Seen(tuple(t.visit() for t in tracks), tuple(looks))


def blobs(mask: NDArray[np.uint8], smallest: float) -> list[Box]:
    """Boxes of the foreground (255; a shadow is 127), as fractions of the picture."""
    height, width = mask.shape
    solid = cv2.morphologyEx(np.asarray(mask == 255, np.uint8), cv2.MORPH_OPEN, _OPEN)
    joined = cv2.dilate(cv2.morphologyEx(solid, cv2.MORPH_CLOSE, _CLOSE), _OPEN)
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(outline) for outline in outlines]
    return [Box(x / width, y / height, w / width, h / height) for x, y, w, h in boxes if max(w, h) >= smallest]


@dataclass(slots=True)
class BlobTrack:
    """A blob being followed."""

    number: int
    box: Box
    first_s: float
    last_s: float
    hits: int = 1
    count_max: int = 1
    largest: Shot = field(default=Shot(0.0, Box(0, 0, 0, 0), -1.0))

    @property
    def believed(self) -> bool:
        """Whether it was seen often enough to be reported."""
        return self.hits >= BELIEVE_HITS

    def sight(self, box: Box, now: float) -> None:
        """It is here now."""
        self.box, self.last_s = box, now
        if box.area > self.largest.quality:
            self.largest = Shot(now, box, box.area)

    def visit(self) -> PredictedVisit:
        """It as a visit."""
        return PredictedVisit(str(self.number), self.first_s, self.last_s, self.count_max, (self.largest,))


class BlobTracker:
    """Greedy: best overlap first, then nearest centre; a new track for what is left over."""

    def __init__(self) -> None:
        self.tracks: list[BlobTrack] = []
        self.ended: list[BlobTrack] = []
        self._numbers = 0

    def update(self, boxes: list[Box], now: float) -> tuple[tuple[str, Box], ...]:
        """Take the boxes of one frame; returns the believed tracks seen in it."""
        self.ended += [t for t in self.tracks if now - t.last_s > GONE_S]
        self.tracks = [t for t in self.tracks if now - t.last_s <= GONE_S]
        left = self._matched(boxes, now)
        for box in left:
            self._numbers += 1
            track = BlobTrack(self._numbers, box, now, now)
            track.sight(box, now)
            self.tracks.append(track)
        seen = [t for t in self.tracks if t.believed and t.last_s == now]
        for track in seen:
            track.count_max = max(track.count_max, len(seen))
        return tuple((str(t.number), t.box) for t in seen)

    def _matched(self, boxes: list[Box], now: float) -> list[Box]:
        """Give boxes to tracks; returns those that nobody took."""
        pairs = []
        for track in self.tracks:
            for index, box in enumerate(boxes):
                overlap = track.box.iou(box)
                (x0, y0), (x1, y1) = track.box.centre, box.centre
                distance = math.hypot(x1 - x0, y1 - y0) / max(track.box.w, track.box.h, box.w, box.h)
                if overlap > 0.1 or distance < 1.5:
                    pairs.append((-overlap, distance, track.number, index, track))
        taken: set[int] = set()
        used: set[int] = set()
        for _, _, number, index, track in sorted(pairs, key=lambda pair: pair[:4]):
            if number not in used and index not in taken:
                used.add(number)
                taken.add(index)
                track.hits += 1
                track.sight(boxes[index], now)
        return [box for index, box in enumerate(boxes) if index not in taken]


def version_of(program: Path) -> str:
    """DVR-Scan's version."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"DVR-Scan ([\d.]+)", done.stdout + done.stderr)
    return found.group(1) if found else "of an unknown version"


_EVENT = re.compile(r"^\|\s+Event\s+(\d+)\s+\|\s+([\d:.]+)\s+\|\s+([\d:.]+)\s+\|\s+([\d:.]+)\s+\|", re.MULTILINE)


def scan(clip: Clip, program: Path) -> Seen:
    """DVR-Scan's command line, told only to look and to write no video."""
    argv = [str(program), "--input", str(clip.path), "--scan-only"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=clip.path.parent)
    return Seen(events(done.stdout + done.stderr))


def events(text: str) -> tuple[PredictedVisit, ...]:
    """The event list that DVR-Scan prints, as visits without boxes."""
    return tuple(
        PredictedVisit(number, _seconds(start), _seconds(end)) for number, start, _, end in _EVENT.findall(text)
    )


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
