"""Who comes when in each kind of bird case: the plans are named, fixed by their seed, and know nothing of weather."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.detection.flock import Bird, Point, Script
from benchmarks.detection.scenery import Perch

__all__ = ["PLANS", "Stage"]

FIRST_S = 6.0  # of quiet at the start of a case, more than any method needs to learn the scene
SMALLEST, LARGEST = 30, 150  # pixels of a bird's height in a picture of 540 lines


@dataclass(frozen=True, slots=True)
class Stage:
    """The picture a plan has to fill."""

    width: int
    height: int
    perches: tuple[Perch, ...]
    seconds: float

    @property
    def unit(self) -> float:
        """Pixels per line of a picture of 540 lines."""
        return self.height / 540

    def perch(self, chance: random.Random, size: float, ground: str | None = None) -> Point:
        """A perch where a bird of this size is wholly in the picture."""
        fit = [p for p in self.perches if p.y > 1.15 * size and size < p.x < self.width - size]
        fit = [p for p in fit if ground in (None, p.ground)] or fit or list(self.perches)
        perch = chance.choice(fit)
        return perch.x + chance.uniform(-0.1, 0.1) * size, perch.y


Plan = Callable[[Stage, random.Random], tuple[Bird, ...]]


def _size(stage: Stage, chance: random.Random, low: float = SMALLEST, high: float = LARGEST) -> float:
    """A height in pixels, small birds as common as large ones on a logarithmic scale."""
    return math.exp(chance.uniform(math.log(low), math.log(high))) * stage.unit


def _script(stage: Stage, chance: random.Random, number: int, size: float, begin_s: float) -> Script:
    return Script(chance, number, size, begin_s, (stage.width, stage.height))


def _nobody(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    return ()


def _varied(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """One bird after another, of all sizes, everywhere."""
    birds: list[Bird] = []
    now = FIRST_S
    while now < stage.seconds - 8:
        size = _size(stage, chance)
        script = _script(stage, chance, len(birds), size, now)
        script.arrive(stage.perch(chance, size))
        script.linger(min(stage.seconds - 3, now + chance.uniform(2.0, 11.0)))
        script.leave()
        birds.append(script.bird())
        now = script.now + chance.uniform(4.0, 7.0)
    return tuple(birds)


def _small(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Birds of 24 pixels."""
    birds: list[Bird] = []
    now = FIRST_S
    while now < stage.seconds - 8:
        script = _script(stage, chance, len(birds), 24, now)
        script.arrive(stage.perch(chance, 24))
        script.linger(min(stage.seconds - 3, now + chance.uniform(2.0, 9.0)))
        script.leave()
        birds.append(script.bird())
        now = script.now + chance.uniform(4.0, 6.0)
    return tuple(birds)


def _short(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """In, one peck, out: 0.6 s in all."""
    birds: list[Bird] = []
    now = FIRST_S
    while now < stage.seconds - 4:
        size = _size(stage, chance, 36, 120)
        script = _script(stage, chance, len(birds), size, now)
        script.arrive(stage.perch(chance, size, "tray"), 0.17)
        script.sit(0.08)
        script.sit(0.18, "pecking")
        script.leave(0.17)
        birds.append(script.bird())
        now = script.now + chance.uniform(4.0, 5.5)
    return tuple(birds)


def _still(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Three minutes without any movement; then three minutes with a small one now and then."""
    birds: list[Bird] = []
    now = FIRST_S
    for moves in (False, True):
        size = _size(stage, chance, 50, 120)
        script = _script(stage, chance, len(birds), size, now)
        script.arrive(stage.perch(chance, size))
        until = script.now + 180
        while script.now < until:
            script.sit(chance.uniform(15, 30) if moves else 180)
            if moves:
                script.sit(0.6, "alert")
        script.leave()
        birds.append(script.bird())
        now = script.now + 8
    return tuple(birds)


def _first_frame(moves: bool) -> Plan:
    """A bird is there when the picture begins and leaves after 20 s; others come later."""

    def plan(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
        size = _size(stage, chance, 50, 120)
        first = _script(stage, chance, 0, size, -1.0)
        first.stand(stage.perch(chance, size))
        while first.now < 20:
            first.sit(chance.uniform(1.5, 4.0))
            if moves:
                first.peck(2)
        first.leave()
        later = _varied(stage, chance)
        start = first.now + 6 - FIRST_S
        moved = [b for b in (_delayed(bird, start, 1 + n) for n, bird in enumerate(later)) if b.end_s < stage.seconds]
        return (first.bird(), *moved)

    return plan


def _delayed(bird: Bird, by_s: float, number: int) -> Bird:
    """The same bird later, under another number."""
    acts = tuple(replace(act, begin_s=act.begin_s + by_s, end_s=act.end_s + by_s) for act in bird.acts)
    return replace(bird, acts=acts, number=number)


def _cross(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Two birds on the tray change places, now in flight, now hopping past each other, then leave."""
    birds: list[Bird] = []
    now = FIRST_S
    tray = [p for p in stage.perches if p.ground == "tray"]
    episode = 0
    while now < stage.seconds - 16:
        size = _size(stage, chance, 45, 75)
        ends = [(tray[0].x, tray[0].y), (tray[-1].x, tray[-1].y)]
        pair = [_script(stage, chance, len(birds) + n, size * chance.uniform(0.9, 1.1), now + 1.5 * n) for n in (0, 1)]
        for script, end in zip(pair, ends, strict=True):
            script.arrive(end)
            script.linger(now + 4.0, (end[0] - 4, end[0] + 4))
        for manoeuvre in ("fly", "hop") if episode % 2 == 0 else ("hop", "fly", "fly"):
            begin = max(script.now for script in pair) + 0.5
            ends.reverse()
            for script, end in zip(pair, ends, strict=True):
                script.sit(begin - script.now)
                if manoeuvre == "fly":
                    script.fly(end, 0.55)
                else:
                    _hop_to(script, end)
                script.linger(begin + 4.0, (end[0] - 4, end[0] + 4))
        for script in pair:
            script.leave()
            birds.append(script.bird())
        now = max(script.now for script in pair) + 5
        episode += 1
    return tuple(birds)


def _hop_to(script: Script, end: Point) -> None:
    """Hop along the ground, one step every third of a second."""
    step = 0.45 * script.size
    while abs(end[0] - script.place[0]) > 1:
        way = max(-step, min(step, end[0] - script.place[0]))
        script.hop((script.place[0] + way, end[1]))
        script.sit(0.13)


def _side_by_side(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Two or three birds sit touching each other, and come and go one by one."""
    birds: list[Bird] = []
    now = FIRST_S
    for episode in range(7):
        size, count = _size(stage, chance, 45, 95), 3 if episode % 3 == 2 else 2
        middle = stage.perch(chance, 1.6 * size, "tray" if episode % 2 == 0 else None)
        order = chance.sample(range(count), count)
        pitch = size * chance.uniform(0.72, 0.9)
        leaving = [now + 7 + 2.0 * n + chance.uniform(0, 1) for n in chance.sample(range(count), count)]
        for turn, slot in enumerate(order):
            script = _script(stage, chance, len(birds), size, now + turn * chance.uniform(1.5, 2.2))
            place = (middle[0] + (slot - (count - 1) / 2) * pitch, middle[1])
            script.arrive(place)
            script.linger(leaving[turn], (place[0] - 2, place[0] + 2))
            script.leave()
            birds.append(script.bird())
        now = max(bird.end_s for bird in birds) + chance.uniform(4.5, 6)
        if now > stage.seconds - 16:
            break
    return tuple(birds)


def _flythrough(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Across the whole picture in 0.4 to 0.8 s."""
    birds: list[Bird] = []
    now = FIRST_S
    while now < stage.seconds - 3:
        size = _size(stage, chance, 45, 120)
        script = _script(stage, chance, len(birds), size, now)
        sides = [-1.2 * size, stage.width + 1.2 * size]
        chance.shuffle(sides)
        y = chance.uniform(0.15, 0.85) * stage.height
        seconds = chance.uniform(0.4, 0.8) * (1 + 2 * size / stage.width)
        script.pass_through((sides[0], y), (sides[1], y + chance.uniform(-0.2, 0.2) * stage.height), seconds)
        birds.append(script.bird())
        now = script.now + chance.uniform(4, 6)
    return tuple(birds)


def _many(stage: Stage, chance: random.Random) -> tuple[Bird, ...]:
    """Three or four birds at once at different places, each coming and going in its own time."""
    scripts: list[Script] = []
    tray = [p for p in stage.perches if p.ground == "tray"]
    places = [tray[0], tray[-1]]
    for side in ("bough0", "bough1"):
        bough = [p for p in stage.perches if p.ground == side]
        places.append(min(bough, key=lambda p: min(abs(p.x), abs(stage.width - p.x)) if p.y > 80 else 9999))
    for slot, perch in enumerate(places):
        now = FIRST_S + 2 * slot
        while now < stage.seconds - 12:
            size = _size(stage, chance, 36, 85)
            script = _script(stage, chance, 0, size, now)
            script.arrive((min(stage.width - size, max(size, perch.x)), max(perch.y, 1.2 * size)))
            script.linger(min(stage.seconds - 4, now + chance.uniform(8, 20)))
            script.leave()
            scripts.append(script)
            now = script.now + chance.uniform(4, 9)
    return tuple(_delayed(script.bird(), 0.0, number) for number, script in enumerate(scripts))


PLANS: dict[str, Plan] = {
    "nobody": _nobody,
    "varied": _varied,
    "small": _small,
    "short": _short,
    "still": _still,
    "first_frame": _first_frame(True),
    "first_frame_still": _first_frame(False),
    "cross": _cross,
    "side_by_side": _side_by_side,
    "flythrough": _flythrough,
    "many": _many,
}
