"""What is truly in a clip: where every bird is in every frame, how much of it shows and how sharp it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdwatchd.records import Box

__all__ = ["BIRD_SHARE", "Sighting", "TrueVisit", "Truth"]

SEEN_SHARE = 0.1  # a visit begins and ends with the frames in which at least this much of the bird shows
BIRD_SHARE = 0.5  # a bird counts as present (for how many there are at once) while more than this shows
SHORTEST_S = 0.4  # a bird that shows for less is no visit that anybody must find; finding it is no mistake either
FULL_SIZE_PX = 256.0  # a larger bird makes no better picture


@dataclass(frozen=True, slots=True)
class Sighting:
    """One bird in one frame.

    Attributes:
        box: what shows of it, fractions of the frame.
        share: how much of it shows (not cut by the frame's edge, not behind another bird), 0 ... 1.
        sharpness: 1 / (1 + pixels of motion blur).
        size_px: square root of the area of its outline's box, without motion blur.
    """

    frame: int
    bird: int
    box: Box
    share: float
    sharpness: float
    size_px: float

    @property
    def merit(self) -> float:
        """How good a picture of the bird this frame can give, 0 ... 1."""
        return self.sharpness * self.share * min(1.0, self.size_px / FULL_SIZE_PX)


@dataclass(frozen=True, slots=True)
class TrueVisit:
    """One bird from its first frame to its last. `required` is False for one too short to ask for."""

    bird: int
    start_s: float
    end_s: float
    count_max: int
    required: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything true about one clip; frame `n` is at n / fps seconds."""

    width: int
    height: int
    fps: float
    frames: int
    sightings: tuple[Sighting, ...]

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.frames / self.fps

    def by_frame(self) -> dict[int, list[Sighting]]:
        """The sightings of every frame that has any."""
        result: dict[int, list[Sighting]] = {}
        for sighting in self.sightings:
            result.setdefault(sighting.frame, []).append(sighting)
        return result

    def by_bird(self) -> dict[int, list[Sighting]]:
        """The sightings of every bird, in order of time."""
        result: dict[int, list[Sighting]] = {}
        for sighting in self.sightings:
            result.setdefault(sighting.bird, []).append(sighting)
        return result

    def visits(self) -> tuple[TrueVisit, ...]:
        """Every bird as a visit, in order of their beginning."""
        present: dict[int, int] = {}
        for sighting in self.sightings:
            present[sighting.frame] = present.get(sighting.frame, 0) + (sighting.share > BIRD_SHARE)
        result = []
        for bird, sightings in self.by_bird().items():
            seen = [s.frame for s in sightings if s.share >= SEEN_SHARE]
            if not seen:
                continue
            most = max((present[s.frame] for s in sightings if s.share > BIRD_SHARE), default=1)
            required = len(seen) / self.fps >= SHORTEST_S - 1e-6
            result.append(TrueVisit(bird, seen[0] / self.fps, (seen[-1] + 1) / self.fps, most, required))
        return tuple(sorted(result, key=lambda v: (v.start_s, v.bird)))

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        rows = [
            (s.frame, s.bird, s.box.x, s.box.y, s.box.w, s.box.h, s.share, s.sharpness, s.size_px)
            for s in self.sightings
        ]
        about = {"width": self.width, "height": self.height, "fps": self.fps, "frames": self.frames}
        table = np.array(rows, np.float64).reshape(-1, 9)
        with path.open("wb") as file:
            np.savez_compressed(file, table=table, about=np.array(json.dumps(about)))

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        with np.load(path) as data:
            about, table = json.loads(str(data["about"])), data["table"]
        sightings = tuple(
            Sighting(int(r[0]), int(r[1]), Box(*map(float, r[2:6])), float(r[6]), float(r[7]), float(r[8]))
            for r in table
        )
        return cls(**about, sightings=sightings)
