"""Plan, from a seed, which bird comes to which simulated camera and when: the ground truth of the demo."""

import random
from dataclasses import dataclass

from birdwatchd.demo.drawing.birds import SPECIES

FIRST_VISIT_S = 6.0
"""No bird comes before this: motion detection learns the empty scene first."""

LAST_END_S = 4.0
"""The last bird has left this long before the end, so that its visit can close."""

SHORTEST_S, LONGEST_S = 1.2, 8.0
SMALLEST_GAP_S = 2.5
PERCHES = 4
"""A scene has this many places to stand."""


@dataclass(frozen=True, slots=True)
class ScheduledVisit:
    """One bird at one camera; seconds since the camera's frame 0, from entering the picture to being gone.

    `species` may also be one of `distractors.DISTRACTORS`, which are no birds.
    `perch` numbers the place where it lands, `seed` fixes how it looks and what it does there.
    """

    species: str
    start_s: float
    end_s: float
    camera: int = 0
    perch: int = 0
    seed: int = 0


def schedule(seed: int, seconds: float, cameras: int = 1, at_once: int = 1) -> tuple[ScheduledVisit, ...]:
    """Plan the visits of `cameras` cameras over `seconds`, ordered by start.

    Visits last 1.2 to 8 s. On one camera at least 2.5 s pass between two visits, and with `at_once` 1 they
    never overlap; with 2, about every other visit of more than 3 s has a second bird, of any species, on
    another perch for a part of it. Species are dealt like cards, so all eight come before any comes again.
    Too short a time has no visits.
    """
    chance = random.Random(f"schedule/{seed}/{cameras}/{at_once}")
    times = sorted((start, end, camera) for camera in range(cameras) for start, end in _plan_times(chance, seconds))
    deck: list[str] = []
    visits: list[ScheduledVisit] = []
    for start, end, camera in times:
        perch = chance.randrange(PERCHES)
        visits.append(ScheduledVisit(_deal(deck, chance), start, end, camera, perch, chance.getrandbits(30)))
        if at_once > 1 and end - start > 3.0 and chance.random() < 0.5:
            late, early = start + chance.uniform(0.4, 0.9), end - chance.uniform(0.4, 0.9)
            other = (perch + 2) % PERCHES
            visits.append(ScheduledVisit(_deal(deck, chance), late, early, camera, other, chance.getrandbits(30)))
    return tuple(sorted(visits, key=lambda visit: (visit.start_s, visit.camera)))


def _plan_times(chance: random.Random, seconds: float) -> list[tuple[float, float]]:
    """Starts and ends on one camera, rounded to milliseconds."""
    times: list[tuple[float, float]] = []
    start = FIRST_VISIT_S + chance.uniform(0.0, 1.5)
    while True:
        start = round(start, 3)
        room = seconds - LAST_END_S - start
        if room < SHORTEST_S + 0.001:
            return times
        length = chance.triangular(SHORTEST_S + 0.001, LONGEST_S, 3.5)
        end = round(start + min(length, room), 3)
        times.append((start, end))
        start = end + SMALLEST_GAP_S + 0.001 + chance.uniform(0.0, 3.0)


def _deal(deck: list[str], chance: random.Random) -> str:
    if not deck:
        deck.extend(SPECIES)
        chance.shuffle(deck)
    return deck.pop()
