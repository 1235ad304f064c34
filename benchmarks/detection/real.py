"""Score visits in recorded clips by hand-made labels of when a bird is visible.

Drawn scenes are drawn by those who wrote the detector; recorded clips are not. Their labels know no boxes, so what is
measured is time: how much of the birds' time lies in a visit, and how much time without a bird does.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av

from benchmarks.detection.score import PredictedVisit

__all__ = ["RealClip", "RealScore", "Span", "real_clips", "score_real", "total_real"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a clip in which a bird is visible all the time, or never."""

    start_s: float
    end_s: float
    bird: bool


@dataclass(frozen=True, slots=True)
class RealClip:
    """A recorded clip.

    Attributes:
        name: repository and path, as the list has them.
        has_bird: whether any bird is visible in it.
        seconds: its length.
        spans: what is known of when a bird is visible; empty where nobody has looked.
    """

    name: str
    path: Path
    has_bird: bool
    seconds: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class RealScore:
    """What came out, in counts and seconds that can be added up over clips.

    Attributes:
        bird_s, covered_s: seconds in which a bird is visible, and those of them that lie in a visit.
        empty_s, false_s: seconds in which none is, and those of them that lie in a visit.
        bird_clips, missed_clips: clips with a bird, and those of them without a visit.
        empty_clips, false_clips: clips without a bird, and those of them with a visit.
        visits: how many were reported.
    """

    bird_s: float = 0.0
    covered_s: float = 0.0
    empty_s: float = 0.0
    false_s: float = 0.0
    bird_clips: int = 0
    missed_clips: int = 0
    empty_clips: int = 0
    false_clips: int = 0
    visits: int = 0


def real_clips(table: Path, folder: Path, labels: Sequence[Path]) -> list[RealClip]:
    """The clips of a table that lie in a folder, in the table's order.

    Args:
        table: CSV with the columns repository, path and kind (`bird` or `none`).
        folder: holds owner__repository/path for each clip.
        labels: CSVs with the columns file, frame, bird_visible (1, 0, or anything else for unclear), or with
            repository, path, start_s, end_s, count.

    Raises:
        FileNotFoundError: a clip of the table is not in the folder.
        ValueError: a label file has other columns.
    """
    frames: dict[str, list[tuple[int, str]]] = {}
    intervals: dict[str, list[tuple[float, float, int]]] = {}
    for path in labels:
        _read_labels(path, frames, intervals)
    clips = []
    for row in _rows(table):
        name = f"{row['repository']}/{row['path']}"
        path = folder / row["repository"].replace("/", "__") / row["path"]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the clip {name} of {table} is not there")
        clips.append(_real_clip(name, path, row["kind"] == "bird", frames, intervals))
    return clips


def score_real(visits: Sequence[PredictedVisit], clip: RealClip) -> RealScore:
    """Score the visits reported of one clip."""
    bird = [(s.start_s, s.end_s) for s in clip.spans if s.bird]
    empty = [(s.start_s, s.end_s) for s in clip.spans if not s.bird]
    open_s = _union((v.start_s, v.end_s) for v in visits)
    return RealScore(
        bird_s=_length(bird),
        covered_s=_overlap(open_s, bird),
        empty_s=_length(empty),
        false_s=_overlap(open_s, empty),
        bird_clips=int(clip.has_bird),
        missed_clips=int(clip.has_bird and not visits),
        empty_clips=int(not clip.has_bird),
        false_clips=int(not clip.has_bird and bool(visits)),
        visits=len(visits),
    )


def total_real(scores: Sequence[RealScore]) -> RealScore:
    """All clips as if they were one."""
    return RealScore(*(sum(getattr(s, name) for s in scores) for name in RealScore.__slots__))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_labels(
    path: Path, frames: dict[str, list[tuple[int, str]]], intervals: dict[str, list[tuple[float, float, int]]]
) -> None:
    for row in _rows(path):
        if "bird_visible" in row:
            frames.setdefault(row["file"], []).append((int(row["frame"]), row["bird_visible"]))
        elif "start_s" in row:
            found = intervals.setdefault(f"{row['repository']}/{row['path']}", [])
            found.append((float(row["start_s"]), float(row["end_s"]), int(row["count"])))
        else:
            raise ValueError(f"{path}: neither labels of frames nor of intervals: {', '.join(row)}")


def _real_clip(
    name: str,
    path: Path,
    has_bird: bool,
    frames: Mapping[str, list[tuple[int, str]]],
    intervals: Mapping[str, list[tuple[float, float, int]]],
) -> RealClip:
    seconds, fps = _length_of(path)
    spans: tuple[Span, ...] = ()
    if not has_bird:
        spans = (Span(0.0, seconds, False),)
    elif path.name in frames:
        spans = _spans_of_frames(sorted(frames[path.name]), fps, seconds)
    elif name in intervals:
        spans = _spans_of_intervals([(a, b) for a, b, count in intervals[name] if count], seconds)
    return RealClip(name, path, has_bird, seconds, spans)


def _length_of(path: Path) -> tuple[float, float]:
    """Seconds, and frames per second, of a video; its packets are counted, since some headers know no length."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate)
        packets = sum(1 for packet in container.demux(stream) if packet.size)
    return packets / fps, fps


def _spans_of_frames(labels: Sequence[tuple[int, str]], fps: float, seconds: float) -> tuple[Span, ...]:
    """A label holds halfway to the next one on both sides; unclear ones are left out."""
    middles = [(a + b) / 2 / fps for (a, _), (b, _) in pairwise(labels)]
    starts, ends = [0.0, *middles], [*middles, seconds]
    known = {"1": True, "0": False}
    return tuple(
        Span(start, end, known[label])
        for start, end, (_, label) in zip(starts, ends, labels, strict=True)
        if label in known and end > start
    )


def _spans_of_intervals(birds: Sequence[tuple[float, float]], seconds: float) -> tuple[Span, ...]:
    """A bird is visible in these intervals and at no other time."""
    spans, last_s = [], 0.0
    for start, end in _union((a, min(b, seconds)) for a, b in birds):
        spans += [Span(last_s, start, False), Span(start, end, True)]
        last_s = end
    spans.append(Span(last_s, seconds, False))
    return tuple(span for span in spans if span.end_s > span.start_s)


def _union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    result: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def _length(intervals: Sequence[tuple[float, float]]) -> float:
    return sum(end - start for start, end in intervals)


def _overlap(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie in both of two lists of intervals; none of a list overlap."""
    return sum(max(0.0, min(e1, e2) - max(s1, s2)) for s1, e1 in a for s2, e2 in b)
