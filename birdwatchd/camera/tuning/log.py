"""Write down what the gate and the tracker do while they watch, for a person who sets `ignore` and `min_bird`.

What is kept is bounded, however long the watching takes: places where things were ignored are counted on a coarse map,
paths are thinned, and pictures are kept of the first visits only. All times are seconds since the watching began; in a
file that is the time that a player shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.motion.grid import FloatGrid
from birdwatchd.camera.observer import Observer
from birdwatchd.records import Box, Evidence, Moment
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["UNBELIEVED", "Glance", "Ignored", "Mood", "NoteTaker", "Notes", "Picture", "VisitNote"]

Picture = NDArray[np.uint8]
Path = tuple[tuple[float, Box], ...]

UNBELIEVED = "unbelieved"  # the reason of a track that ended without ever being taken for a bird
MAP_COLUMNS = 320  # of the map on which ignored places are counted
PATH_POINTS = 2000  # of one track; then every second one is dropped
WITH_PICTURES = 12  # visits whose moments are kept
RENEW_S = 10.0  # the empty picture on the sheet is at most this old while nothing is there


class Mood(StrEnum):
    """What a look could say about birds."""

    WATCHING = "watching"
    LEARNING = "learning"
    CHANGED = "changed"  # the whole picture at once


@dataclass(frozen=True, slots=True)
class Glance:
    """One look on the timeline: when, and the share of the picture that differed, 0 … 1."""

    at_s: float
    busy: float
    mood: Mood


@dataclass(frozen=True, slots=True)
class Ignored:
    """What was ignored for one reason: how often, and where (float32, shape (rows, columns) of a coarse map)."""

    count: int
    places: FloatGrid


@dataclass(frozen=True, slots=True)
class VisitNote:
    """One visit; `moments` only for the first ones, `pictures` says how many it had."""

    start_s: float
    end_s: float
    path: Path
    moments: tuple[Moment, ...]
    pictures: int


@dataclass(frozen=True, slots=True)
class Notes:
    """Everything that a sheet shows.

    Attributes:
        source: the address without credentials.
        frame_size: (width, height), pixels of the source frame.
        grid_shape: (rows, columns) of the gate's grid; `cell` is the side of a cell in source pixels.
        picture: BGR, uint8 (height, width, 3), of a moment without birds if there was one.
        noise: by how much each cell must differ, grey levels; None if the picture was never learned.
        ignored: by reason (`Region.why`, and UNBELIEVED for tracks).
        problem: why the watching ended early; empty if it did not.
    """

    name: str
    source: str
    began: datetime
    frame_size: tuple[int, int]
    frames: int
    seconds: float
    settings: CameraSettings
    grid_shape: tuple[int, int]
    cell: int
    picture: Picture
    noise: FloatGrid | None
    glances: tuple[Glance, ...]
    ignored: Mapping[str, Ignored]
    visits: tuple[VisitNote, ...]
    problem: str = ""

    def share_of(self, mood: Mood) -> float:
        """Share of the time, 0 … 1, for which looks were of one mood."""
        if not self.glances:
            return 0.0
        ends = [glance.at_s for glance in self.glances[1:]] + [max(self.seconds, self.glances[-1].at_s)]
        spans = [(end - glance.at_s, glance.mood) for glance, end in zip(self.glances, ends, strict=True)]
        whole = sum(span for span, _ in spans)
        return sum(span for span, its in spans if its is mood) / whole if whole > 0 else 0.0


@dataclass(slots=True)
class _Trail:
    """Where one track was so far."""

    points: list[tuple[float, Box]] = field(default_factory=list)
    believed: bool = False

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
    pictures: int = 0
    trail: _Trail = field(default_factory=_Trail)


class NoteTaker:
    """Follows an `Observer` frame by frame."""

    def __init__(self, name: str, settings: CameraSettings, observer: Observer) -> None:
        self._name, self._settings, self._observer = name, settings, observer
        self._first: DecodedFrame | None = None
        self._origin = datetime.min
        self._seen = observer.last_look
        self._picture: Picture | None = None
        self._picture_s, self._picture_empty = 0.0, False
        self._glances: list[Glance] = []
        self._counts: dict[str, int] = {}
        self._maps: dict[str, FloatGrid] = {}
        self._trails: dict[int, _Trail] = {}
        self._visits: dict[str, _Visit] = {}
        self._frames, self.seconds = 0, 0.0
        self._size = (0, 0)

    @property
    def visits(self) -> int:
        """Visits so far."""
        return len(self._visits)

    @property
    def frames(self) -> int:
        """Frames read so far."""
        return self._frames

    def note(self, frame: DecodedFrame, evidence: Iterable[Evidence]) -> None:
        """Take down one frame, after the observer had it if it was shown to it."""
        if self._first is None:
            self._first = frame
            self._origin = frame.at - timedelta(seconds=frame.media_s) if not self._live else frame.at
        self._frames += 1
        self._size = (frame.width, frame.height)
        self.seconds = max(self.seconds, self._seconds_of(frame.at))
        if self._observer.last_look is not self._seen:
            self._note_look()
        self._note_evidence(evidence)
        self._keep_picture(frame)

    def finish(self, evidence: Iterable[Evidence], problem: str = "") -> Notes:
        """Close the notes; at least one frame must have been noted."""
        assert self._first is not None
        assert self._picture is not None
        self._note_evidence(evidence)
        gate = self._observer.gate
        grid = gate.grid if gate is not None else None
        learned = gate is not None and any(glance.mood is Mood.WATCHING for glance in self._glances)
        return Notes(
            name=self._name,
            source=str(self._settings.source),
            began=self._origin,
            frame_size=self._size,
            frames=self._frames,
            seconds=self.seconds,
            settings=self._settings,
            grid_shape=grid.shape if grid is not None else (1, 1),
            cell=grid.cell if grid is not None else 1,
            picture=self._picture,
            noise=gate.noise_map() if gate is not None and learned else None,
            glances=tuple(self._glances),
            ignored={why: Ignored(self._counts[why], self._maps[why]) for why in sorted(self._counts)},
            visits=tuple(
                VisitNote(v.start_s, v.end_s, tuple(v.trail.points), tuple(v.moments), v.pictures)
                for v in self._visits.values()
            ),
            problem=problem,
        )

    @property
    def _live(self) -> bool:
        return self._settings.source.is_live

    def _seconds_of(self, at: datetime) -> float:
        return max(0.0, (at - self._origin).total_seconds())

    def _note_look(self) -> None:
        look = self._seen = self._observer.last_look
        mood = Mood.LEARNING if look.learning else Mood.CHANGED if look.global_change else Mood.WATCHING
        self._glances.append(Glance(self.seconds, look.busy, mood))
        for region in look.ignored:
            self._count(region.why, region.box)
        alive = {track.number: track for track in self._observer.tracks}
        for number in [number for number in self._trails if number not in alive]:
            trail = self._trails.pop(number)
            if not trail.believed:
                self._count(UNBELIEVED, *(box for _, box in trail.points))
        places: dict[Box, _Trail] = {}
        for number, track in alive.items():
            trail = self._trails.setdefault(number, _Trail())
            trail.add(self.seconds, track.box)
            trail.believed = trail.believed or track.believed
            if track.believed:
                places[track.box] = trail
        for visit_id, box in self._observer.present:
            visit = self._visits.setdefault(visit_id, _Visit(self.seconds, self.seconds, []))
            visit.end_s = self.seconds
            if box in places:
                visit.trail = places[box]
                visit.start_s = min(visit.start_s, visit.trail.points[0][0])

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

    def _note_evidence(self, evidence: Iterable[Evidence]) -> None:
        for item in evidence:
            start = self._seconds_of(item.start)
            visit = self._visits.setdefault(item.visit_id, _Visit(start, start, []))
            visit.start_s = min(visit.start_s, start)
            visit.end_s = self._seconds_of(item.last_seen if item.end is None else item.end)
            visit.pictures += len(item.moments)
            if list(self._visits).index(item.visit_id) < WITH_PICTURES:
                visit.moments += item.moments

    def _keep_picture(self, frame: DecodedFrame) -> None:
        """Keep a colour picture, best of a moment at which nothing is there."""
        empty = bool(self._glances) and self._glances[-1].mood is Mood.WATCHING and not self._observer.tracks
        due = self._picture is None or (empty and not self._picture_empty)
        if due or (empty and self.seconds - self._picture_s > RENEW_S):
            self._picture = np.asarray(frame.av_frame.to_ndarray(format="bgr24"), np.uint8)
            self._picture_s, self._picture_empty = self.seconds, empty
