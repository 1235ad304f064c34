"""Log what the motion gate and the tracker do while a source is watched, for who sets `ignore` and `min_bird`.

What is kept is bounded, however long the watching takes: places where things were ignored are counted on a coarse map,
paths are thinned, and crops are kept of the first visits only. All times are seconds since the watching began; in a
file that is the time that a player shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.blindness import BlindSpell
from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.crops import picture_of
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.grid import FloatGrid
from birdwatchd.camera.observer import Observer
from birdwatchd.records import Box, Evidence, Moment
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["UNCONFIRMED", "GateState", "Ignored", "Image", "Sample", "TuningLog", "TuningResults", "VisitResult"]

Image = NDArray[np.uint8]
"""BGR, shape (height, width, 3)."""
TrackPath = tuple[tuple[float, Box], ...]
"""Second and place of each sighting."""

UNCONFIRMED = "unbelieved"  # the reason of a track that ended without ever being taken for a bird
MAP_COLUMNS = 320  # of the map on which ignored places are counted
PATH_POINTS = 2000  # of one track; then every second one is dropped
MAX_VISITS_SHOWN = 12  # visits whose moments are kept
RENEW_S = 10.0  # the empty scene on the sheet is at most this old while nothing is there


class GateState(StrEnum):
    """What the gate was able to do with a frame."""

    WATCHING = "watching"
    LEARNING = "learning"
    CHANGED = "changed"  # the whole scene at once


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame that the gate looked at: when, and the share of it that was foreground, 0 … 1."""

    at_s: float
    foreground_ratio: float
    state: GateState


@dataclass(frozen=True, slots=True)
class Ignored:
    """What was ignored for one reason: how often, and where (float32, shape (rows, columns) of a coarse map)."""

    count: int
    places: FloatGrid


@dataclass(frozen=True, slots=True)
class VisitResult:
    """One visit; `moments` only of the first `MAX_VISITS_SHOWN`."""

    start_s: float
    end_s: float
    path: TrackPath
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class TuningResults:
    """Everything that a sheet shows.

    Attributes:
        source: the address without credentials.
        frame_size: (width, height), pixels of the frames that were watched.
        main_size: the same of the main stream, where that is another.
        min_bird: the smallest bird, in pixels of the frames that were watched.
        grid_shape: (rows, columns) of the gate's grid; `cell` is the side of a cell in source pixels.
        scene: the frame of a moment without birds, if there was one.
        noise: by how much each cell must differ, grey levels; None if the background was never learned.
        ignored: by reason (`Region.why`, and UNCONFIRMED for tracks).
        problem: why the watching ended early; empty if it did not.
        blind: for how long birds could hardly be seen; None where that is not worth a word.
    """

    name: str
    source: str
    start: datetime
    frame_size: tuple[int, int]
    main_size: tuple[int, int]
    min_bird: int
    frames: int
    seconds: float
    settings: CameraSettings
    grid_shape: tuple[int, int]
    cell: int
    scene: Image
    noise: FloatGrid | None
    samples: tuple[Sample, ...]
    ignored: Mapping[str, Ignored]
    visits: tuple[VisitResult, ...]
    problem: str = ""
    blind: BlindSpell | None = None

    def share_of(self, state: GateState) -> float:
        """Share of the time, 0 … 1, for which the gate was in one state."""
        if not self.samples:
            return 0.0
        ends = [sample.at_s for sample in self.samples[1:]] + [max(self.seconds, self.samples[-1].at_s)]
        spans = [(end - sample.at_s, sample.state) for sample, end in zip(self.samples, ends, strict=True)]
        whole = sum(span for span, _ in spans)
        return sum(span for span, its in spans if its is state) / whole if whole > 0 else 0.0


@dataclass(slots=True)
class _OpenPath:
    """Where one track was so far."""

    points: list[tuple[float, Box]] = field(default_factory=list)
    confirmed: bool = False

    def add(self, at_s: float, box: Box) -> None:
        if self.points and self.points[-1][1] is box:  # not seen in this look
            return
        self.points.append((at_s, box))
        if len(self.points) > PATH_POINTS:
            del self.points[1::2]


@dataclass(slots=True)
class _Visit:
    start_s: float
    end_s: float
    moments: list[Moment]
    path: _OpenPath = field(default_factory=_OpenPath)


class TuningLog:
    """Follows an `Observer` frame by frame."""

    def __init__(
        self, name: str, settings: CameraSettings, observer: Observer, main_size: tuple[int, int] | None = None
    ) -> None:
        """
        Args:
            main_size: (width, height) of the main stream, where motion is looked for in a smaller one.
        """
        self._main_size = main_size
        self._name, self._settings, self._observer = name, settings, observer
        self._mask = PrivacyMask(settings.mask)
        self._origin = datetime.min  # second 0
        self._seen = observer.last_motion
        self._scene: Image | None = None
        self._scene_s, self._scene_empty = 0.0, False
        self._samples: list[Sample] = []
        self._counts: dict[str, int] = {}
        self._maps: dict[str, FloatGrid] = {}
        self._paths: dict[int, _OpenPath] = {}
        self._visits: dict[str, _Visit] = {}
        self._frames = 0
        self.seconds = 0.0
        """Of the source, so far."""
        self._size = (0, 0)

    @property
    def visits(self) -> int:
        """Visits so far."""
        return len(self._visits)

    @property
    def frames(self) -> int:
        """Frames read so far."""
        return self._frames

    def add(self, frame: DecodedFrame, evidence: Iterable[Evidence]) -> None:
        """Log one frame, after the observer has had it, if it was shown to the observer."""
        if not self._frames:
            self._origin = frame.at if self._settings.source.is_live else frame.at - timedelta(seconds=frame.media_s)
        self._frames += 1
        self._size = (frame.width, frame.height)
        self.seconds = max(self.seconds, self._seconds_of(frame.at))
        if self._observer.last_motion is not self._seen:
            self._add_sample()
        self._add_evidence(evidence)
        self._keep_scene(frame)

    def finish(self, evidence: Iterable[Evidence], problem: str = "") -> TuningResults:
        """Close the log; at least one frame must have been added."""
        assert self._scene is not None
        self._add_evidence(evidence)
        gate = self._observer.gate
        grid = gate.grid if gate is not None else None
        learned = gate is not None and any(sample.state is GateState.WATCHING for sample in self._samples)
        return TuningResults(
            name=self._name,
            source=str(self._settings.source),
            start=self._origin,
            frame_size=self._size,
            main_size=self._main_size or self._size,
            min_bird=self._settings.smallest_bird(*self._size),
            frames=self._frames,
            seconds=self.seconds,
            settings=self._settings,
            grid_shape=grid.shape if grid is not None else (1, 1),
            cell=grid.cell if grid is not None else 1,
            scene=self._scene,
            noise=self._noise(gate) if gate is not None and learned else None,
            samples=tuple(self._samples),
            ignored={why: Ignored(self._counts[why], self._maps[why]) for why in sorted(self._counts)},
            visits=tuple(
                VisitResult(v.start_s, v.end_s, tuple(v.path.points), tuple(v.moments)) for v in self._visits.values()
            ),
            problem=problem,
            blind=self._observer.blind_spell,
        )

    def _noise(self, gate: MotionDetector) -> FloatGrid:
        """By how much each cell must differ; of masked ones nothing is shown, as if nothing moved there."""
        noise = gate.threshold_map()
        shown = gate.grid.watch_mask(self._settings.mask) > 0
        noise[~shown] = noise[shown].min() if shown.any() else 0.0
        return noise

    def _seconds_of(self, at: datetime) -> float:
        return max(0.0, (at - self._origin).total_seconds())

    def _add_sample(self) -> None:
        look = self._seen = self._observer.last_motion
        state = GateState.LEARNING if look.learning else GateState.CHANGED if look.global_change else GateState.WATCHING
        self._samples.append(Sample(self.seconds, look.foreground_ratio, state))
        for region in look.ignored:
            self._count(region.why, region.box)
        alive = {track.number: track for track in self._observer.tracks}
        for number in [number for number in self._paths if number not in alive]:
            path = self._paths.pop(number)
            if not path.confirmed:
                self._count(UNCONFIRMED, *(box for _, box in path.points))
        places: dict[Box, _OpenPath] = {}
        for number, track in alive.items():
            path = self._paths.setdefault(number, _OpenPath())
            path.add(self.seconds, track.box)
            path.confirmed = path.confirmed or track.confirmed
            if track.confirmed:
                places[track.box] = path
        for visit_id, box in self._observer.present:
            visit = self._visits.setdefault(visit_id, _Visit(self.seconds, self.seconds, []))
            visit.end_s = self.seconds
            if box in places:
                visit.path = places[box]
                visit.start_s = min(visit.start_s, visit.path.points[0][0])

    def _count(self, why: str, *boxes: Box) -> None:
        """One thing was ignored, which was at these places."""
        width, height = self._size
        rows = max(1, round(MAP_COLUMNS * height / width))
        places = self._maps.setdefault(why, np.zeros((rows, MAP_COLUMNS), np.float32))
        rows = places.shape[0]
        self._counts[why] = self._counts.get(why, 0) + 1
        for box in boxes:
            top, left = int(box.y * rows), int(box.x * MAP_COLUMNS)
            bottom, right = int(np.ceil((box.y + box.h) * rows)), int(np.ceil((box.x + box.w) * MAP_COLUMNS))
            places[top : max(bottom, top + 1), left : max(right, left + 1)] += 1

    def _add_evidence(self, evidence: Iterable[Evidence]) -> None:
        for item in evidence:
            start = self._seconds_of(item.start)
            visit = self._visits.setdefault(item.visit_id, _Visit(start, start, []))
            visit.start_s = min(visit.start_s, start)
            visit.end_s = self._seconds_of(item.last_seen if item.end is None else item.end)
            if list(self._visits).index(item.visit_id) < MAX_VISITS_SHOWN:
                visit.moments += item.moments

    def _keep_scene(self, frame: DecodedFrame) -> None:
        """Keep a frame in colour, best of a moment at which nothing is there."""
        empty = bool(self._samples) and self._samples[-1].state is GateState.WATCHING and not self._observer.tracks
        due = self._scene is None or (empty and not self._scene_empty)
        if due or (empty and self.seconds - self._scene_s > RENEW_S):
            self._scene = picture_of(frame.download().av_frame, self._mask)
            self._scene_s, self._scene_empty = self.seconds, empty
