"""Measure what each mechanism of detection and tracking is worth, by doing without it (ablation study).

A clip is decoded once and its frames are given to one observer for each mechanism, which works while that mechanism is
switched off: decoding is most of what watching a clip costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from benchmarks.detection.clips import Clip
from benchmarks.detection.mechanisms import mechanism_named
from benchmarks.detection.methods import Watch
from benchmarks.detection.real import RealClip, RealScore, score_real
from benchmarks.detection.score import Score, Seen, score
from benchmarks.detection.switching import Mechanism, switched_off
from benchmarks.detection.truth import Truth
from birdwatchd.address import Source
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.place import Places
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["WITH_ALL", "Trial", "from_json", "merged", "try_drawn", "try_real"]

WITH_ALL = "(nothing)"  # the mechanism that is switched off in the row to compare with


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out of one clip without one mechanism.

    Attributes:
        without: name of the mechanism; WITH_ALL for none.
        clip: name of the drawn clip's file, which changes with what is drawn, or of the recorded clip.
        case: name of the drawn case; empty for a recorded clip.
        score: of a drawn clip, `real` of a recorded one.
        cpu_s: processor seconds that the observer took, without decoding.
    """

    without: str
    clip: str
    case: str
    score: Score | None
    real: RealScore | None
    cpu_s: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def from_json(rows: Sequence[dict[str, Any]]) -> list[Trial]:
    """What `Trial.as_json` wrote."""
    trials = []
    for row in rows:
        drawn, real = row["score"], row["real"]
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (drawn or {}).items()}
        own = {f.name: row[f.name] for f in fields(Trial)}
        own |= {"score": Score(**told) if drawn else None, "real": RealScore(**real) if real else None}
        trials.append(Trial(**own))
    return trials


def merged(fresh: Sequence[Trial], earlier: Sequence[Trial]) -> list[Trial]:
    """New trials, and of earlier ones those that were not repeated."""
    repeated = {(trial.without, trial.clip) for trial in fresh}
    return [*fresh, *(trial for trial in earlier if (trial.without, trial.clip) not in repeated)]


def try_drawn(clip: Clip, without: Sequence[str]) -> list[Trial]:
    """Score a drawn clip once with everything, and once without each of these mechanisms."""
    truth = Truth.load(clip.truth_path)
    settings = CameraSettings(source=Source(str(clip.path)), min_bird=clip.case.min_bird)
    return [
        Trial(name, clip.path.stem, clip.case.name, score(seen, truth), None, cpu_s)
        for name, seen, cpu_s in _watch_without(clip.path, settings, without)
    ]


def try_real(clip: RealClip, without: Sequence[str]) -> list[Trial]:
    """The same for a recorded clip, watched as a scan does, with the default settings of a camera."""
    settings = CameraSettings(source=Source(str(clip.path)))
    return [
        Trial(name, clip.name, "", None, score_real(seen.visits, clip), cpu_s)
        for name, seen, cpu_s in _watch_without(clip.path, settings, without, recorded=True)
    ]


@dataclass(slots=True)
class _Variant:
    """One observer, and what it has to do without."""

    mechanism: Mechanism
    watch: Watch
    cpu_s: float = 0.0


def _watch_without(
    path: Path, settings: CameraSettings, without: Sequence[str], *, recorded: bool = False
) -> Iterable[tuple[str, Seen, float]]:
    """What each observer says of a clip, and the processor seconds it took.

    Args:
        recorded: learn the scene from the whole file first, and from earlier ones; else it is watched like a stream.
    """
    cv2.setNumThreads(1)
    ring = Ring(settings.ring_mb * 2**20)
    mechanisms = [Mechanism(WITH_ALL, "", ""), *(mechanism_named(name) for name in without)]
    variants = []
    for mechanism in mechanisms:
        with switched_off(mechanism):
            recording = Places().recording(settings) if recorded else None
            observer = Observer(
                "ablation", settings, media=path.name, replay=partial(replay, ring), recording=recording
            )
        variants.append(_Variant(mechanism, Watch(observer)))
    with Stream(settings.source, settings, lambda: datetime.now(UTC)) as stream:
        for index, frame in enumerate(stream.frames(keep=ring.append)):
            for variant in _rotated(variants, index):  # who is first has to fetch the frame into the processor's cache
                with switched_off(variant.mechanism):
                    begun = time.thread_time()
                    variant.watch.look(frame)
                    variant.cpu_s += time.thread_time() - begun
    for variant in variants:
        with switched_off(variant.mechanism):
            seen = variant.watch.finish()
        yield variant.mechanism.name, seen, variant.cpu_s


def _rotated(variants: Sequence[_Variant], by: int) -> list[_Variant]:
    first = by % len(variants)
    return [*variants[first:], *variants[:first]]
