"""Keep drawn and encoded cases in a work folder, so that a second run needs no drawing."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2

import birdwatchd.demo.drawing.birds
import birdwatchd.demo.drawing.plumage
from benchmarks.detection.blend import Picture
from benchmarks.detection.cases import Case
from benchmarks.detection.encode import encode, encoder_options
from benchmarks.detection.render import Renderer
from benchmarks.detection.truth import Sighting, Truth

__all__ = ["Clip", "clip_of", "make_clip"]

_DRAWING = ("blend", "falling", "flock", "light", "plans", "render", "scenery", "wind")


@dataclass(frozen=True, slots=True)
class Clip:
    """A case on disk: the video and, beside it, its truth."""

    case: Case
    seed: int
    seconds: float
    path: Path

    @property
    def truth_path(self) -> Path:
        """Where the truth is."""
        return self.path.with_suffix(".npz")

    @property
    def there(self) -> bool:
        """Whether it has been drawn."""
        return self.path.exists() and self.truth_path.exists()


def clip_of(case: Case, seed: int, minutes: float, work: Path) -> Clip:
    """Where the clip of a case is or will be; its name changes with everything that its pictures depend on."""
    seconds = float(minutes * 60 if case.seconds is None else case.seconds)
    versions = (av.__version__, cv2.__version__, encoder_options(case.encoding, case.fps))
    digest = hashlib.sha256(f"{case!r}/{seed}/{seconds}/{versions}".encode())
    here = Path(__file__).parent
    birds = (birdwatchd.demo.drawing.birds.__file__, birdwatchd.demo.drawing.plumage.__file__)
    for path in (*(here / f"{name}.py" for name in _DRAWING), *(Path(name) for name in birds)):
        digest.update(ast.dump(ast.parse(path.read_bytes())).encode())  # comments and layout draw nothing
    return Clip(case, seed, seconds, work / f"{case.name}-{seed}-{seconds:g}s-{digest.hexdigest()[:12]}.mp4")


def make_clip(clip: Clip) -> Clip:
    """Draw and encode a clip if it is not there; older drawings of the same case are deleted."""
    if clip.there:
        return clip
    cv2.setNumThreads(1)
    clip.path.parent.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(clip.case, clip.seed, clip.seconds)
    sightings: list[Sighting] = []

    def pictures() -> Iterable[Picture]:
        for index in range(renderer.frames):
            drawn = renderer.frame(index)
            sightings.extend(drawn.sightings)
            yield drawn.planes

    unfinished = clip.path.with_suffix(f".{os.getpid()}.part")
    encode(unfinished, clip.case, pictures())
    case = clip.case
    Truth(case.width, case.height, case.fps, renderer.frames, tuple(sightings)).save(clip.truth_path)
    unfinished.rename(clip.path)
    for other in clip.path.parent.glob(f"{case.name}-{clip.seed}-{clip.seconds:g}s-*.*"):
        if other.stem != clip.path.stem and other.suffix in (".mp4", ".npz"):
            other.unlink(missing_ok=True)
    return clip
