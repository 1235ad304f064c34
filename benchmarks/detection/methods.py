"""Run one method over one clip: birdwatchd itself, OpenCV's background models with a usual tracker, DVR-Scan."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import cv2

import birdwatchd
from benchmarks.detection import baselines
from benchmarks.detection.clips import Clip
from benchmarks.detection.score import Look, PredictedVisit, Score, Seen, Shot, score
from benchmarks.detection.small_stream import small_stream_of
from benchmarks.detection.truth import Truth
from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.full_frames import OnDemandFrames
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.records import Evidence
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["METHODS", "Outcome", "Watch", "run"]

METHODS = ("ours", "two-streams", "mog2", "knn", "dvr-scan")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A method's score on a case, and the seconds it took; video decoding is part of them.

    `clip` is the name of the file, which changes with what is drawn; `version` that of the program.
    """

    method: str
    version: str
    clip: str
    case: str
    empty: bool
    score: Score
    wall_s: float
    cpu_s: float


def run(method: str, clip: Clip, dvr_scan: Path | None = None) -> Outcome:
    """Give a clip to a method and score what it says."""
    cv2.setNumThreads(1)
    if method == "two-streams":
        small_stream_of(clip.path, clip.case.fps)  # its making is not measured
    begun, cpu = time.perf_counter(), _cpu_s()
    seen = _method(method, dvr_scan)(clip)
    wall, cpu = time.perf_counter() - begun, _cpu_s() - cpu
    result = score(seen, Truth.load(clip.truth_path))
    version = _version(method, dvr_scan)
    return Outcome(method, version, clip.path.stem, clip.case.name, clip.case.empty, result, wall, cpu)


def _version(method: str, dvr_scan: Path | None) -> str:
    if method in ("ours", "two-streams"):
        return f"birdwatchd {birdwatchd.__version__}"
    if method == "dvr-scan":
        assert dvr_scan is not None
        return f"DVR-Scan {baselines.version_of(dvr_scan)}"
    return f"OpenCV {cv2.__version__}"


def _method(name: str, dvr_scan: Path | None) -> Callable[[Clip], Seen]:
    if name == "ours":
        return watch
    if name == "two-streams":
        return watch_two_streams
    if name == "dvr-scan":
        if dvr_scan is None:
            raise FileNotFoundError("dvr-scan: not on the PATH; name it with --dvr-scan, or leave it out of --methods")
        return lambda clip: baselines.scan(clip, dvr_scan)
    return lambda clip: baselines.subtract(clip, name)


def watch(clip: Clip) -> Seen:
    """birdwatchd, as its camera process puts it together."""
    settings = CameraSettings(source=Source(str(clip.path)), min_bird=clip.case.min_bird)
    ring = Ring(settings.ring_mb * 2**20)
    observer = Observer(clip.case.name, settings, media=clip.path.name, replay=partial(replay, ring))
    with Stream(settings.source, settings, lambda: datetime.now(UTC)) as stream:
        return _shown(observer, stream.frames(keep=ring.append))


def watch_two_streams(clip: Clip) -> Seen:
    """birdwatchd with the clip as its main stream and a small one for motion, both read in step as if live."""
    small = Source(str(small_stream_of(clip.path, clip.case.fps)))
    settings = CameraSettings(source=Source(str(clip.path)), gate_source=small, min_bird=clip.case.min_bird)
    ring = Ring(settings.ring_mb * 2**20)
    full = OnDemandFrames(ring, lambda: True, turn_s=60.0)
    observer = Observer(
        clip.case.name,
        settings,
        media=clip.path.name,
        replay=partial(replay, ring),
        full=full,
    )
    start = datetime.now(UTC)
    with (
        Stream(settings.source, settings, lambda: start) as main,
        Stream(small, settings, lambda: start) as stream,
    ):
        return _shown(observer, _in_step(main, stream, ring))


def _in_step(main: Stream, small: Stream, ring: Ring) -> Iterator[Frame]:
    """The small stream's frames; before each, the main stream's packets up to its time come into the ring."""
    packets = main.packets()
    waiting = next(packets, None)
    for frame in small.frames():
        while waiting is not None and waiting.media_s <= frame.media_s:
            ring.append(replace(waiting, at=frame.at - timedelta(seconds=frame.media_s - waiting.media_s)))
            waiting = next(packets, None)
        yield frame


def _shown(observer: Observer, frames: Iterator[Frame]) -> Seen:
    """What an observer says of all frames of a clip."""
    watch = Watch(observer)
    for frame in frames:
        watch.look(frame)
    return watch.finish()


class Watch:
    """Gives frames to an observer and keeps what it says."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._evidence: list[Evidence] = []
        self._looks: list[Look] = []

    def look(self, frame: Frame) -> None:
        """Give it the next frame of a clip."""
        before = self._observer.last_motion
        self._evidence += self._observer.process(frame)
        if self._observer.present and self._observer.last_motion is not before:
            self._looks.append((frame.media_s, self._observer.present))

    def finish(self) -> Seen:
        """All that it says of the clip, which ends here; visits that are lifeless count as if they had no name."""
        self._evidence += self._observer.finish()
        lifeless = {one.visit_id for one in self._evidence if one.lifeless}
        kept = [one for one in self._evidence if one.visit_id not in lifeless]
        looks = ((at_s, tuple(one for one in present if one[0] not in lifeless)) for at_s, present in self._looks)
        return Seen(_visits(kept), tuple(looks))


def _visits(evidence: list[Evidence]) -> tuple[PredictedVisit, ...]:
    """Put the evidence of every visit together."""
    result = []
    by_id: dict[str, list[Evidence]] = {}
    for one in evidence:
        by_id.setdefault(one.visit_id, []).append(one)
    for visit_id, parts in by_id.items():
        last = parts[-1]
        assert last.start_s is not None, f"{visit_id} has no place in the file"
        assert last.end_s is not None, f"{visit_id} was not closed"
        shots = tuple(Shot(m.media_s or 0.0, m.box, m.quality) for part in parts for m in part.moments)
        count = max(part.count_max for part in parts)
        result.append(PredictedVisit(visit_id, last.start_s, last.end_s, count, shots))
    return tuple(result)


def _cpu_s() -> float:
    """Processor seconds of this process and of those it waited for."""
    mine, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + others.ru_utime + others.ru_stime
