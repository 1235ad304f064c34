"""What a bird does, written as acts one after another: fly in, sit, peck, hop, fly on, leave.

Whereabouts at any moment follow from the acts alone, so a frame can be drawn without those before it. Places are
pixels of the feet.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from birdwatchd.demo.drawing.birds import SPECIES, Pose, Posture

__all__ = ["Act", "Bird", "Script", "whereabouts"]

Point = tuple[float, float]
Path = Literal["rest", "arrive", "depart", "cruise", "hop"]

_BEATS = (-0.85, 0.15, 0.95)  # wing positions a flying bird is drawn in; few, because each is a picture
_BEATS_HZ = 9.0


@dataclass(frozen=True, slots=True)
class Act:
    """From `begin_s` to `end_s` on the way from one point to another."""

    begin_s: float
    end_s: float
    path: Path
    posture: Posture
    facing_left: bool
    come_from: Point
    to: Point
    bend: float = 0.0


@dataclass(frozen=True, slots=True)
class Bird:
    """One bird of a scene; it is there from the first act to the last."""

    number: int
    species: str
    seed: int
    size_px: int
    acts: tuple[Act, ...]

    @property
    def start_s(self) -> float:
        """When it comes."""
        return self.acts[0].begin_s

    @property
    def end_s(self) -> float:
        """When it is gone."""
        return self.acts[-1].end_s


def whereabouts(bird: Bird, now: float) -> tuple[Pose, Point]:
    """Pose and place of the feet at `now`, which must lie within the bird's stay."""
    index = bisect_right([act.begin_s for act in bird.acts], now) - 1
    act = bird.acts[max(0, index)]
    done = min(1.0, max(0.0, (now - act.begin_s) / max(1e-6, act.end_s - act.begin_s)))
    posture, wings = act.posture, 0.5
    if posture in ("flying", "flutter"):
        wings = _BEATS[int((now - bird.start_s) * _BEATS_HZ * 3) % 3]
    return Pose(posture, act.facing_left, wings), _along(act, done)


def _along(act: Act, done: float) -> Point:
    """The point of an act's path when this share of its time is over."""
    if act.path == "arrive":
        done = 1 - (1 - done) ** 1.5  # brakes
    elif act.path == "depart":
        done = done**1.4  # gathers speed
    x = act.come_from[0] + (act.to[0] - act.come_from[0]) * done
    y = act.come_from[1] + (act.to[1] - act.come_from[1]) * done
    return x, y - act.bend * math.sin(math.pi * done)


class Script:
    """Write the acts of one bird, in order."""

    def __init__(self, chance: random.Random, number: int, size_px: float, begin_s: float, frame: Point) -> None:
        """`frame` is width and height of the picture, to know where outside is."""
        self.chance, self.now, self.size = chance, begin_s, size_px
        self._number, self._frame = number, frame
        self._species, self._seed = chance.choice(SPECIES), chance.getrandbits(20)
        self._acts: list[Act] = []
        self.place: Point = (0.0, 0.0)
        self.left = chance.random() < 0.5

    def arrive(self, to: Point, seconds: float | None = None) -> None:
        """Fly in from outside and land."""
        self.place = self._outside(to)
        self._fly(to, seconds or self.chance.uniform(0.25, 0.5), "arrive")

    def fly(self, to: Point, seconds: float) -> None:
        """Fly from perch to perch."""
        self._fly(to, seconds, "cruise")

    def leave(self, seconds: float | None = None) -> None:
        """Fly out of the picture."""
        self._fly(self._outside(self.place), seconds or self.chance.uniform(0.25, 0.5), "depart")

    def pass_through(self, start: Point, end: Point, seconds: float) -> None:
        """Fly straight from one point to another, both outside."""
        self.place = start
        self._fly(end, seconds, "cruise")

    def stand(self, at: Point) -> None:
        """Be there from the beginning."""
        self.place = at

    def sit(self, seconds: float, posture: Posture = "perched") -> None:
        """Keep entirely still."""
        self._add(seconds, "rest", posture, self.place)

    def hop(self, to: Point) -> None:
        """One hop."""
        self.left = to[0] < self.place[0]
        self._add(0.2, "hop", "perched", to, bend=0.12 * self.size)

    def peck(self, times: int) -> None:
        """Bend down to the seed and up again."""
        for _ in range(times):
            self.sit(self.chance.uniform(0.2, 0.35), "pecking")
            self.sit(self.chance.uniform(0.2, 0.35))

    def linger(self, until_s: float, room: tuple[float, float] | None = None) -> None:
        """Small movements until then: peck, look up, turn, hop (within `room` of x), stretch the wings."""
        home = self.place
        span = room or (home[0] - 0.6 * self.size, home[0] + 0.6 * self.size)
        while self.now < until_s - 0.2:
            deed = self.chance.choices(("peck", "turn", "alert", "hop", "flutter", "sit"), (5, 2, 3, 2, 1, 3))[0]
            if deed == "peck":
                self.peck(self.chance.randint(1, 3))
            elif deed == "hop":
                step = self.chance.choice((-1, 1)) * 0.35 * self.size
                self.hop((min(span[1], max(span[0], self.place[0] + step)), home[1]))
            elif deed == "flutter":
                self.sit(0.3, "flutter")
            else:
                self.left = self.left != (deed == "turn")
                self.sit(self.chance.uniform(0.3, 1.1), "alert" if deed == "alert" else "perched")

    def bird(self) -> Bird:
        """The finished bird."""
        return Bird(self._number, self._species, self._seed, max(16, round(self.size)), tuple(self._acts))

    def _outside(self, perch: Point) -> Point:
        """A point beyond the nearer side or the upper edge, where nothing of the bird shows."""
        width, height = self._frame
        away = 1.5 * self.size
        if self.chance.random() < 0.3:
            return perch[0] + self.chance.uniform(-0.2, 0.2) * width, -away
        near_left = perch[0] < width / 2
        left = near_left if self.chance.random() < 0.75 else not near_left
        y = min(height * 0.95, max(self.size, perch[1] + self.chance.uniform(-0.3, 0.1) * height))
        return (-away if left else width + away), y

    def _fly(self, to: Point, seconds: float, path: Path) -> None:
        self.left = to[0] < self.place[0]
        self._add(seconds, path, "flying", to, bend=self.chance.uniform(-0.1, 0.2) * self.size)

    def _add(self, seconds: float, path: Path, posture: Posture, to: Point, bend: float = 0.0) -> None:
        end = self.now + seconds
        self._acts.append(Act(self.now, end, path, posture, self.left, self.place, to, bend))
        self.now, self.place = end, to
