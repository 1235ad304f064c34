"""Draw the video whose seeing is measured: 15 pictures a second in H.264, as a camera would send it."""

from __future__ import annotations

import ast
import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from benchmarks.detection.cases import Case, Encoding
from benchmarks.detection.clips import clip_of
from benchmarks.detection.encode import encode
from benchmarks.detection.flock import Bird, Script
from benchmarks.detection.plans import Stage
from benchmarks.detection.render import Renderer
from benchmarks.detection.scenery import paint_scenery

__all__ = ["FPS", "SCENES", "Video", "drawn", "first_picture_of", "looped"]

FPS = 15
SEED = 0
_FIRST_S = 4.0  # before the first bird
_CAMERA = Encoding(crf=25.3, gop_s=2.0)  # about 4 Mb/s with this noise; see the table for what it came to


@dataclass(frozen=True, slots=True)
class Video:
    """A file of H.264 in MP4: how long it is, and how many pictures it holds."""

    path: Path
    seconds: float
    frames: int

    @property
    def mbps(self) -> float:
        """Megabits a second."""
        return self.path.stat().st_size * 8 / 1e6 / self.seconds


Plan = Callable[[Stage, random.Random], tuple[Bird, ...]]


def _nobody(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    return ()


def _always(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """One bird after another, each coming before the last has left: pecking, hopping, turning, never asleep."""
    birds: list[Bird] = []
    now = _FIRST_S
    while now < stage.seconds:
        script = _script(stage, chance, len(birds), now)
        script.linger(now + chance.uniform(9.0, 18.0))
        script.leave()
        birds.append(script.bird())
        now = script.now - 1.5
    return tuple(birds)


def _now_and_then(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """A visit of ten seconds every forty."""
    birds: list[Bird] = []
    now = 15.0
    while now < stage.seconds - 15:
        script = _script(stage, chance, len(birds), now)
        script.linger(now + 10.0)
        script.leave()
        birds.append(script.bird())
        now += 40.0
    return tuple(birds)


def _script(stage: Stage, chance: random.Random, number: int, now: float) -> Script:
    """A bird of 60 to 150 lines in a picture of 540, that has just landed."""
    size = chance.uniform(60, 150) * stage.unit
    script = Script(chance, number, size, now, (stage.width, stage.height))
    script.arrive(stage.perch(chance, size))
    return script


@dataclass(frozen=True, slots=True)
class _Scene:
    number: int
    plan: Plan
    weather: tuple[str, ...] = ()
    seconds: float = 60.0
    size: tuple[int, int] = (1920, 1080)


SCENES = {
    "quiet": _Scene(900, _nobody),
    "bird": _Scene(901, _always),
    "wind": _Scene(902, _nobody, ("wind",)),
    "visits": _Scene(903, _now_and_then, seconds=80.0),
    "hour": _Scene(904, _now_and_then, seconds=80.0, size=(1280, 720)),  # 1080p is not decoded eight times as fast
}


def drawn(scene: str, work: Path, *, seconds: float | None = None) -> Video:
    """The video of a scene, drawn if it is not in `work` yet. Drawing takes about as long as the video.

    Args:
        scene: a key of `SCENES`.
        seconds: instead of the scene's own length.
    """
    plan = SCENES[scene]
    seconds = seconds or plan.seconds
    case = Case(f"cost-{scene}", plan.number, plan.weather, "nobody", seconds, _CAMERA, *plan.size, FPS)
    own = hashlib.sha256(ast.dump(ast.parse(Path(__file__).read_bytes())).encode()).hexdigest()[:6]
    path = work / f"{clip_of(case, SEED, 1, work).path.stem}-{own}.mp4"
    video = Video(path, seconds, round(seconds * FPS))
    if not path.exists():
        print(f"drawing {scene}, {seconds:g} s", file=sys.stderr)
        work.mkdir(parents=True, exist_ok=True)
        cv2.setNumThreads(1)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        encode(unfinished, case, _pictures(case, plan.plan, seconds))
        unfinished.rename(path)
    return video


def _pictures(case: Case, plan: Plan, seconds: float) -> Iterator[Any]:
    renderer = Renderer(case, SEED, seconds)
    scene = SEED * 1000 + case.number  # as the renderer counts
    stage = Stage(case.width, case.height, paint_scenery(scene, case.width, case.height).perches, seconds)
    renderer.birds = plan(stage, random.Random(f"cost/{scene}"))
    for index in range(renderer.frames):
        yield renderer.frame(index).planes


def first_picture_of(video: Video) -> Video:
    """The same file with its first picture alone: what it costs to start a process and open a file."""
    return _remuxed(video, video.path.with_suffix(".first.mp4"), pictures=1)


def looped(video: Video, seconds: float) -> Video:
    """The same packets again and again with shifted time stamps, `seconds` long, never encoded again.

    Each begins with a key frame, so that it plays like one long recording with a cut in it every `video.seconds`.
    """
    return _remuxed(video, video.path.with_suffix(f".{seconds:g}s.mp4"), pictures=round(seconds * FPS))


def _remuxed(video: Video, path: Path, *, pictures: int) -> Video:
    result = Video(path, pictures / FPS, pictures)
    if path.exists():
        return result
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    with av.open(str(video.path)) as source, av.open(str(unfinished), "w", format="mp4") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [(bytes(p), p.is_keyframe) for p in source.demux(stream) if p.size]
        for number in range(pictures):
            data, is_key = packets[number % len(packets)]
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.duration, packet.time_base, packet.is_keyframe = 1, Fraction(1, FPS), is_key
            packet.stream = copy
            target.mux(packet)
    unfinished.rename(path)
    return result
