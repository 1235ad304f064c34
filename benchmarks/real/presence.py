"""How much of the time in which a bird is there lies inside a visit, also when the camera sways.

`python -m benchmarks.real.presence CLIPS.csv FOLDER --model FILE --presence FRAMES.csv --intervals SECONDS.csv`.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.real.clips import Clip, read_clips
from benchmarks.real.rtsp import CRF
from benchmarks.real.sections import HEADINGS, with_section
from benchmarks.real.visits import Model, read_model, scan_spans

__all__ = [
    "Covered",
    "Samples",
    "Span",
    "covered",
    "inside",
    "main",
    "presence_section",
    "read_intervals",
    "read_samples",
    "sway",
]

Span = tuple[float, float]
SWING_S = 1.0
SWAY = 2.5 / 320  # widths to either side
PHASES = (0.0, 1 / 3, 2 / 3)  # of a swing, at the first frame; a bird that never leaves a clip may be seen in one only


@dataclass(frozen=True, slots=True)
class Samples:
    """Frames of a clip for which somebody said whether a bird is visible.

    Attributes:
        seen, empty: numbers of frames.
    """

    seen: tuple[int, ...]
    empty: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Covered:
    """Samples of all clips, and how many of them are inside a visit."""

    seen: int = 0
    seen_inside: int = 0
    empty: int = 0
    empty_inside: int = 0


def read_samples(table: Path) -> Mapping[str, Samples]:
    """By the name of the file.

    Args:
        table: CSV with the columns file, frame and bird_visible (1, 0; anything else is left out).
    """
    found: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["bird_visible"] in ("0", "1"):
                found[row["file"]][row["bird_visible"] == "0"].append(int(row["frame"]))
    return {name: Samples(tuple(seen), tuple(empty)) for name, (seen, empty) in found.items()}


def read_intervals(table: Path) -> Mapping[str, list[Span]]:
    """From when to when a bird is there, in seconds, by repository:path.

    Args:
        table: CSV with the columns repository, path, start_s, end_s, count; rows whose count is 0 are left out.
    """
    found: dict[str, list[Span]] = defaultdict(list)
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["count"]):
                found[f"{row['repository']}:{row['path']}"].append((float(row["start_s"]), float(row["end_s"])))
    return found


def inside(samples: Mapping[str, Samples], spans: Mapping[str, Sequence[Span]], rates: Mapping[str, float]) -> Covered:
    """Count the samples that are inside a visit, to a frame.

    Args:
        spans: of the visits of each file.
        rates: frames per second of each file.
    """
    total = [0, 0, 0, 0]
    for name, one in samples.items():
        rate = rates[name]
        for column, frames in ((0, one.seen), (2, one.empty)):
            total[column] += len(frames)
            total[column + 1] += sum(
                any(start - 1 / rate <= frame / rate <= end + 1 / rate for start, end in spans.get(name, ()))
                for frame in frames
            )
    return Covered(*total)


def covered(birds: Sequence[Span], visits: Sequence[Span]) -> float:
    """The share of the time with a bird that is inside a visit; both may overlap themselves."""
    there, seen = _merged(birds), _merged(visits)
    both = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in there for b in seen)
    return both / sum(end - start for start, end in there)


def _merged(spans: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def sway(path: Path, target: Path, widths: float = SWAY, phase: float = 0.0) -> None:
    """Write a clip as if the camera swung from side to side, once a second.

    Args:
        phase: how much of a swing is over at the first frame, 0 … 1.
        widths: to either side, of the picture's width; the picture's edge is repeated where nothing was recorded.
    """
    with av.open(str(path)) as source, av.open(str(target), "w", format="mp4") as container:
        video = source.streams.video[0]
        rate = Fraction(video.average_rate or 25)
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.options = {"crf": str(CRF)}
        for number, frame in enumerate(source.decode(video)):
            shift = widths * video.width * math.sin(2 * math.pi * (float(number / rate) / SWING_S + phase))
            move = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
            picture = frame.to_ndarray(format="rgb24")
            size = picture.shape[1], picture.shape[0]
            moved = cv2.warpAffine(picture, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            swung = av.VideoFrame.from_ndarray(np.asarray(moved, np.uint8), format="rgb24")
            swung.pts, swung.time_base = number, 1 / rate
            container.mux(stream.encode(swung.reformat(format="yuv420p")))
        container.mux(stream.encode(None))


def _swaying(clips: Sequence[Clip], model: Model, phase: float) -> Mapping[str, list[Span]]:
    with tempfile.TemporaryDirectory(prefix="birdwatchd-sway-") as folder:
        swung = [Path(folder, clip.path.name) for clip in clips]
        for clip, target in zip(clips, swung, strict=True):
            sway(clip.path, target, phase=phase)
            os.utime(target, ns=(clip.path.stat().st_mtime_ns,) * 2)  # of the same day, in the same order
        return {path.name: spans for path, spans in scan_spans(swung, model).items()}


def presence_section(still: Covered, swinging: Sequence[Covered], others: Mapping[str, float]) -> str:
    """Markdown: the samples of the one camera, and the share of the time of the other clips."""
    lines = [
        "Written by",
        "",
        "```sh",
        "python -m benchmarks.real.presence CLIPS.csv FOLDER --model FILE --presence FRAMES.csv \\",
        "    --intervals SECONDS.csv --markdown docs/measurements/real-footage.md",
        "```",
        "",
        "Samples are frames of the clips of one camera for which somebody said whether a bird is visible. Swaying: the",
        f"same clips, moved by {SWAY:.1%} of the width to either side, once in {SWING_S:g} s, from three points of a swing.",
        "",
        "| samples | with a bird | inside a visit | without a bird | inside a visit |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {one.seen} | {one.seen_inside} | {one.empty} | {one.empty_inside} |"
            for name, one in (
                ("as they are", still),
                *((f"swaying, from {phase:.2f} of a swing", one) for phase, one in zip(PHASES, swinging, strict=True)),
            )
        ),
        "",
        "Of the time in which a bird is there in other clips, this much is inside a visit:",
        "",
        "| clip | share |",
        "|---|---:|",
        *(f"| {name} | {share:.2f} |" for name, share in others.items()),
        f"| mean | {sum(others.values()) / max(1, len(others)):.2f} |",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Scan, sway, scan again, count, print or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real.presence", description=__doc__)
    parser.add_argument("clips", type=Path, help="as for benchmarks.real")
    parser.add_argument("folders", type=Path, nargs="+", help="as for benchmarks.real")
    parser.add_argument("--model", type=Path, required=True, help="weights of a classifier in birder's format")
    parser.add_argument("--presence", type=Path, required=True, help="CSV: file, frame, bird_visible (1, 0, ?)")
    parser.add_argument("--intervals", type=Path, required=True, help="CSV: repository, path, start_s, end_s, count")
    parser.add_argument("--markdown", type=Path, help="write into this page instead of printing")
    given = parser.parse_args(arguments)
    clips, model = read_clips(given.clips, given.folders), read_model(given.model.resolve())
    samples, intervals = read_samples(given.presence), read_intervals(given.intervals)
    sampled = [clip for clip in clips if clip.path.name in samples]
    rates = {clip.path.name: _rate(clip.path) for clip in sampled}
    missing = {*samples} - {*rates} | {*intervals} - {clip.name for clip in clips}
    if missing or len(sampled) != len(rates):
        parser.error(f"not in {given.clips}, or there twice: {', '.join(sorted(missing)) or 'a name of a file'}")
    spans = scan_spans([clip.path for clip in clips], model)
    still = inside(samples, {clip.path.name: spans[clip.path] for clip in sampled}, rates)
    others = {clip.name: covered(intervals[clip.name], spans[clip.path]) for clip in clips if intervals.get(clip.name)}
    swinging = [inside(samples, _swaying(sampled, model, phase), rates) for phase in PHASES]
    section = presence_section(still, swinging, others)
    if given.markdown:
        earlier = given.markdown.read_text(encoding="utf-8") if given.markdown.exists() else ""
        given.markdown.write_text(with_section(earlier, HEADINGS[-1], section), encoding="utf-8")
    else:
        print(section)


def _rate(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate or 25)


if __name__ == "__main__":
    main()
