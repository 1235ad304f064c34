"""Following: who is who when birds leave, arrive, and sit side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.motion.tone import MeanTone, Tone, tone_of
from birdwatchd.camera.tracking.confirmation import Clutter, should_confirm
from birdwatchd.camera.tracking.identity import fix_id_switches
from birdwatchd.camera.tracking.state import Appearance
from birdwatchd.camera.tracking.track import Track
from birdwatchd.camera.tracking.tracker import Departure, Tracker, TrackerSettings
from birdwatchd.records import Box, Region

STEP_S = 1 / 15
RATE = 1 - math.exp(-STEP_S / TrackerSettings().presence_s)
DARK: Tone = (20.0, 30.0, 40.0, 50.0, 60.0)
LIGHT: Tone = (90.0, 110.0, 130.0, 150.0, 170.0)


def run(tracker: Tracker, looks: Sequence[Sequence[Region]]) -> list[Track]:
    """The tracks that were birds, in order of their end, when these regions were seen between nothing and nothing."""
    closed: list[Track] = []
    for number, regions in enumerate([*[[]] * 90, *looks, *[[]] * 30]):
        closed += tracker.update(regions, number * STEP_S).closed
    return closed


def flight(begin: tuple[float, float], end: tuple[float, float], looks: int, tone: Tone = ()) -> list[list[Region]]:
    """One region per look on a straight way between two centres, cut by the picture's edge."""
    result = []
    for part in np.linspace(0.0, 1.0, looks):
        x, y = (a + (b - a) * float(part) for a, b in zip(begin, end, strict=True))
        left, right = max(0.0, x - 0.04), min(1.0, x + 0.04)
        result.append([Region(Box(left, y - 0.05, right - left, 0.1), 0.6, 3.0, tone=tone)] if right > left else [])
    return result


def sitting(at: tuple[float, float], looks: int, tone: Tone = ()) -> list[list[Region]]:
    return flight(at, at, looks, tone)


def test_a_bird_that_arrives_half_a_second_after_another_flew_out_is_its_own_visit() -> None:
    """At a busy feeder they take turns; one visit with two species in it is none."""
    stay = sitting((0.5, 0.5), 15)
    gone: list[list[Region]] = [[]] * 7
    out, come = flight((0.5, 0.5), (1.03, 0.4), 5), flight((-0.02, 0.4), (0.5, 0.5), 5)
    assert len(run(Tracker(TrackerSettings()), [*stay, *out, *gone, *come, *stay, *out])) == 2


def test_a_bird_that_flies_behind_the_pole_and_lands_beyond_is_one_visit() -> None:
    """It was on its way, in the middle of the picture, and goes on where it was going."""
    looks = [*sitting((0.3, 0.5), 15), *flight((0.3, 0.5), (0.45, 0.5), 3), [], [], [], *sitting((0.55, 0.5), 20)]
    assert len(run(Tracker(TrackerSettings()), looks)) == 1


@pytest.mark.parametrize(("after", "visits"), [(DARK, 1), (LIGHT, 2)])
def test_what_appears_near_a_vanished_bird_is_known_by_its_tone(after: Tone, visits: int) -> None:
    """A hop that was too quick to be seen, or one bird driven off by another: only its looks tell."""
    hop = flight((0.56, 0.5), (0.62, 0.5), 3, after)
    looks = [*sitting((0.4, 0.5), 20, DARK), *[[]] * 4, *hop, *sitting((0.62, 0.5), 20, after)]
    assert len(run(Tracker(TrackerSettings()), looks)) == visits


def come_out_of_a_crowd(first: Tone, second: Tone) -> tuple[Track, Track]:
    """A dark and a light bird, numbers 1 and 2, that were one region, and what is seen of each since."""
    tracks = []
    for number, (own, now, x) in enumerate(((DARK, first, 0.3), (LIGHT, second, 0.6)), 1):
        region = Region(Box(x, 0.5, 0.1, 0.1), 0.6, 3.0)
        track = Track(number, region, 0.0)
        track.confirm()
        track.merge_with({3 - number})
        track.appearance = Appearance(known_tone=MeanTone(own, 10), recent_tone=MeanTone(now, 3))
        tracks.append(track)
    return tracks[0], tracks[1]


def test_birds_taken_for_each_other_in_a_crowd_are_put_right() -> None:
    """What was seen of the dark bird belongs to the dark bird, wherever the tracker took it to be."""
    at_left, at_right = come_out_of_a_crowd(LIGHT, DARK)
    fix_id_switches((at_left, at_right), TrackerSettings())
    assert (at_left.number, at_right.number) == (2, 1)
    assert at_left.appearance.known_tone.mean == LIGHT


def test_birds_that_look_alike_before_and_after_keep_their_names() -> None:
    """Changing names for nothing would be worse than not telling them apart."""
    at_left, at_right = come_out_of_a_crowd(DARK, LIGHT)
    fix_id_switches((at_left, at_right), TrackerSettings())
    assert (at_left.number, at_right.number) == (1, 2)


def test_the_tone_is_that_of_the_cells() -> None:
    """Five grey levels from dark to light, whatever the order of the cells."""
    cells = np.arange(101, dtype=np.uint8)[::-1].copy()
    assert tone_of(cells) == (10.0, 30.0, 50.0, 70.0, 90.0)


class Feeder:
    """Birds drawn as textured patches on a noisy wall, with the gate and the tracker that watch them."""

    SIZE = 48

    def __init__(self) -> None:
        chance = np.random.default_rng(7)
        self.chance = chance
        self.wall = cv2_blur(chance.integers(90, 170, (360, 640)).astype(np.uint8))
        self.plumage = [
            np.kron(chance.integers(low, low + 80, (6, 6)), np.ones((8, 8))).astype(np.uint8) for low in (5, 170, 60)
        ]
        self.gate, self.tracker = MotionDetector(MotionSettings(min_bird=24), 640, 360), Tracker(TrackerSettings())
        self.at = 0.0
        for _ in range(40):
            self.look({})

    def look(self, birds: dict[int, tuple[int, int]]) -> dict[int, Box]:
        """Draw birds (left, top) and look; the places of the confirmed birds, by number."""
        picture = self.wall.copy()
        for bird, (x, y) in birds.items():
            picture[y : y + self.SIZE, x : x + self.SIZE] = self.plumage[bird]
        noise = self.chance.integers(-2, 3, picture.shape)
        luma = np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        self.at += STEP_S
        regions = self.gate.update(luma, self.at, self.tracker.held).regions
        step = self.tracker.update(regions, self.at, self.gate)
        return {track.number: track.box for track in step.seen}


def cv2_blur(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (9, 9), 0), np.uint8)


def landing(place: tuple[int, int], come_from: tuple[int, int], looks: int = 6) -> Iterator[tuple[int, int]]:
    for part in np.linspace(0.0, 1.0, looks):
        x, y = (round(a + (b - a) * float(part)) for a, b in zip(come_from, place, strict=True))
        yield x, y


def shown(box: Box, place: tuple[int, int]) -> float:
    return box.iou(Box(place[0] / 640, place[1] / 360, Feeder.SIZE / 640, Feeder.SIZE / 360))


def test_birds_that_sit_touching_keep_their_names_and_all_are_counted() -> None:
    """One lands beside another, a third beside both: three visits, each with the pictures of its own bird."""
    feeder, perches = Feeder(), [(300, 200), (344, 200), (256, 200)]
    sits: dict[int, tuple[int, int]] = {}
    names: dict[int, int] = {}
    for bird, perch in enumerate(perches):
        for place in landing(perch, (580 if bird != 2 else 20, 60)):
            feeder.look({**sits, bird: place})
        sits[bird] = perch
        for _ in range(20):
            seen = feeder.look(sits)
        assert len(seen) == bird + 1
        for number, box in seen.items():
            nearest = max(sits, key=lambda other: shown(box, sits[other]))
            assert shown(box, sits[nearest]) > 0.4
            assert names.setdefault(number, nearest) == nearest
    assert sorted(names.values()) == [0, 1, 2]


def test_a_bird_that_is_seen_twice_before_it_lands_beside_another_is_a_bird_of_its_own() -> None:
    """It flies in within a fifth of a second; by the third look both are one region, and the other has turned to it."""
    feeder = Feeder()
    for place in landing((300, 200), (580, 60)):
        feeder.look({0: place})
    for _ in range(20):
        feeder.look({0: (300, 200)})
    for place in landing((156, 200), (60, 200), looks=2):
        feeder.look({0: (300, 200), 1: place})
    for _ in range(20):
        seen = feeder.look({2: (300, 200), 1: (256, 200)})
    assert len(seen) == 2


@pytest.mark.parametrize(("size", "visits"), [(1.0, 2), (0.4, 1)])
def test_a_bird_that_is_seen_once_before_it_lands_beside_another_is_a_bird_of_its_own(size: float, visits: int) -> None:
    """Fast birds are, at few frames a second, just as the other one hops; a falling leaf beside a bird is none."""
    tracker = Tracker(TrackerSettings())
    perch = sitting((0.5, 0.5), 30)
    comes = [*perch[0], Region(Box(0.72, 0.45, 0.08 * size, 0.1 * size), 0.6, 3.0)]
    both = [Region(Box(0.46, 0.45, 0.15, 0.1), 0.6, 3.0)]
    for number, regions in enumerate([*[[]] * 90, *flight((0.9, 0.2), (0.5, 0.5), 6), *perch, comes, *[both] * 20]):
        step = tracker.update(regions, number * STEP_S)
    assert len(step.seen) == visits


def test_a_bird_that_brakes_was_expected_there() -> None:
    """It comes in at fifty of its lengths a second and sits at once; a visit of half a second shows no more."""
    bird = Track(1, Region(Box(0.9, 0.5, 0.06, 0.06), 0.6, 3.0), 0.0)
    for look, x in enumerate((0.7, 0.52, 0.5, 0.5), 1):
        bird.update(Region(Box(x, 0.5, 0.06, 0.06), 0.6, 3.0), look * STEP_S)
    assert bird.motion.error < 0.1
    bird.update(Region(Box(0.8, 0.2, 0.06, 0.06), 0.6, 3.0), 5 * STEP_S)
    assert bird.motion.error > TrackerSettings().max_error


def stirring_in_place(looks: int) -> Track:
    """Something that was not seen to come and stirs where it is."""
    region = Region(Box(0.5, 0.5, 0.1, 0.1), 0.6, 3.0, change_score=0.9)
    track = Track(1, region, 0.0)
    track.count_look(0.0, RATE)
    for look in range(1, looks):
        track.update(region, look * STEP_S, moving=True)
        track.count_look(look * STEP_S, RATE)
    return track


def test_what_was_not_seen_to_come_must_stay_when_a_gust_is_about() -> None:
    """A gust turns leaves over for half a second, many of them; a bird behind them stays."""
    settings = TrackerSettings()
    gust, calm = Clutter(settings), Clutter(settings)
    gust.level, calm.level = 1.0, 0.0
    brief, lasting = stirring_in_place(8), stirring_in_place(24)
    assert should_confirm(brief, brief.last_s, calm, settings)
    assert not should_confirm(brief, brief.last_s, gust, settings)
    assert should_confirm(lasting, lasting.last_s, gust, settings)


@pytest.mark.parametrize(("every", "told"), [(1, True), (3, False)])
def test_a_ghost_that_comes_and_goes_is_no_departure(every: int, told: bool) -> None:
    """A wire that shakes looks now and then as if something had left; nobody sat there from the beginning."""
    tracker, left = Tracker(TrackerSettings()), list[Departure]()
    ghost = Region(Box(0.4, 0.1, 0.05, 0.05), 0.6, 3.0, ghost=True, activity=0.0)
    for look in range(40):
        left += tracker.update([ghost] if look % every == 0 else [], look * STEP_S).departures
    assert bool(left) is told


def test_a_bird_that_lands_where_a_leaf_sways_is_not_taken_for_the_leaf() -> None:
    """As the leaf's further life it would be confirmed late, or never: the leaf was seen in one look of three."""
    spot = Box(0.4, 0.4, 0.1, 0.1)
    leaf, bird = Region(spot, 0.4, 1.2, change_score=0.6), Region(spot, 0.6, 5.0, change_score=0.9)
    (track,) = run(Tracker(TrackerSettings()), [*[[leaf], [], []] * 5, *[[bird]] * 20])
    assert track.first_s == pytest.approx((90 + 15) * STEP_S)


def test_what_shows_in_other_parts_in_every_look_has_not_moved() -> None:
    """Of a leaf now the tip is seen and now the whole: its middle moves, and not a cell of it has changed."""
    settings, calm = TrackerSettings(), Clutter(TrackerSettings())
    calm.level = 0.0
    tip, whole = (Region(Box(0.5, y, 0.04, h), 0.4, 1.1, activity=0.05) for y, h in ((0.55, 0.04), (0.46, 0.13)))
    leaf = Track(1, tip, 0.0)
    leaf.count_look(0.0, RATE)
    for look in range(1, 6):
        leaf.update(whole if look % 2 else tip, look * STEP_S)
        leaf.count_look(look * STEP_S, RATE)
    leaf.motion = replace(leaf.motion, error=0.0)
    assert leaf.motion.travelled >= settings.min_travel
    assert not should_confirm(leaf, leaf.last_s, calm, settings)
    leaf.sightings = replace(leaf.sightings, motion_looks=1)
    assert should_confirm(leaf, leaf.last_s, calm, settings)


@pytest.mark.parametrize(("missed", "bird"), [(0, True), (3, True), (4, False), (7, False)])
def test_what_was_out_of_sight_did_not_stay_there(missed: int, bird: bool) -> None:
    """One flake falls and is gone, half a second later another falls past the same place: nothing has settled."""
    settings, snow = TrackerSettings(), Clutter(TrackerSettings())
    snow.level = 6.0
    track = Track(1, Region(Box(0.5, 0.1, 0.04, 0.04), 0.6, 3.0, change_score=0.9), 0.0)
    track.count_look(0.0, RATE)
    for look in range(1, 30):
        if not 20 <= look < 20 + missed:
            region = Region(Box(0.5, 0.1 + 0.02 * min(look, 18), 0.04, 0.04), 0.6, 3.0, change_score=0.9)
            track.update(region, look * STEP_S, moving=True)
        track.count_look(look * STEP_S, RATE)
    assert should_confirm(track, track.last_s, snow, settings) is bird


def test_looks_in_which_a_track_was_not_seen_are_counted() -> None:
    tracker, drop = Tracker(TrackerSettings()), Region(Box(0.5, 0.5, 0.05, 0.05), 0.6, 3.0)
    counted = []
    for number, regions in enumerate([[drop], [drop], [], [], [], [drop], [drop]]):
        tracker.update(regions, number * STEP_S)
        counted.append(tracker.tracks[0].sightings.unseen_looks)
    assert counted == [0, 0, 1, 2, 3, 0, 0]


def left_behind(at: tuple[float, float], looks: int, activity: float) -> list[list[Region]]:
    """A seed husk, a clock's digit, a bit of the perch: small, and seen in every look."""
    x, y = at
    return [[Region(Box(x - 0.015, y - 0.02, 0.03, 0.04), 0.8, 3.0, activity=activity)] for _ in range(looks)]


@pytest.mark.parametrize("at", [(0.5, 0.53), (0.47, 0.5)])
@pytest.mark.parametrize(("activity", "stays"), [(0.0, False), (0.2, True)])
def test_a_visit_ends_where_nothing_of_the_bird_moves_any_more(
    at: tuple[float, float], activity: float, stays: bool
) -> None:
    """It left some husks moved, or a digit of the burnt-in clock changed: the visit went on for a minute."""
    tracker = Tracker(TrackerSettings())
    looks = [*[[]] * 90, *sitting((0.5, 0.5), 30), *left_behind(at, 60, activity)]
    steps = [tracker.update(regions, number * STEP_S) for number, regions in enumerate(looks)]
    closed = [track for step in steps for track in step.closed]
    assert bool(steps[-1].open) == stays
    assert len(closed) == (not stays)
    if closed:
        assert closed[0].motion.lifeless
        assert closed[0].last_s - closed[0].motion.broken_s == pytest.approx(TrackerSettings().lifeless_s, abs=0.1)
        assert [box for step in steps for box in step.absorb], "the gate takes it as background"


def test_a_bird_that_draws_in_its_head_and_sleeps_is_still_a_bird() -> None:
    """It is as large as before, and nothing of it changes."""
    asleep = [[replace(region, activity=0.0) for region in look] for look in sitting((0.5, 0.5), 150)]
    tracker = Tracker(TrackerSettings())
    for number, regions in enumerate([*[[]] * 90, *sitting((0.5, 0.5), 30), *asleep]):
        step = tracker.update(regions, number * STEP_S)
    assert len(step.open) == 1


def in_parts(at: tuple[float, float], apart: float, looks: int) -> list[list[Region]]:
    """A bird as large as in `flight` of which only one part by the head and one by the tail are seen, both stirring."""
    x, y = at
    result = []
    for number in range(looks):
        stir = 0.004 * (number % 2)
        head = Box(x - 0.035 + stir, y - 0.03, 0.03, 0.04)
        tail = Box(x + apart + stir, y - 0.01, 0.02, 0.02)
        result.append([Region(box, 0.6, 3.0) for box in (head, tail)])
    return result


@pytest.mark.parametrize(("apart", "visits"), [(0.015, 1), (0.2, 2)])
def test_a_dark_bird_of_which_only_parts_show_is_one_visit(apart: float, visits: int) -> None:
    """A titmouse before leaves in the sun was five visits of parts of it; what is farther away is another bird."""
    looks = [*flight((0.2, 0.5), (0.5, 0.5), 6), *sitting((0.5, 0.5), 15), *in_parts((0.5, 0.5), apart, 40)]
    tracker = Tracker(TrackerSettings())
    assert len(run(tracker, looks)) == visits


def test_the_box_of_a_bird_of_which_only_parts_show_holds_them_all() -> None:
    """Its picture is cut out by its box, and half of a bird has no name."""
    tracker = Tracker(TrackerSettings())
    looks = [*[[]] * 90, *flight((0.2, 0.5), (0.5, 0.5), 6), *sitting((0.5, 0.5), 15)]
    for number, regions in enumerate([*looks, *in_parts((0.5, 0.5), 0.015, 30)]):
        step = tracker.update(regions, number * STEP_S)
    (bird,) = step.seen
    assert bird.box.x <= 0.47
    assert bird.box.x + bird.box.w >= 0.535


def test_what_flew_past_a_clock_does_not_lend_its_flight_to_the_digits() -> None:
    """At the turn of a minute a moth's track went on with the minutes, and was a visit of 60 s."""
    moth = [Region(Box(x, 0.04, 0.04, 0.02), 0.6, 3.0) for x in (0.44, 0.41)]
    digit = Region(Box(0.24, 0.06, 0.02, 0.02), 0.6, 3.0, activity=0.0)
    tracker, track = Tracker(TrackerSettings()), Track(1, moth[0], 6.0)
    tracker._tracks = [track]
    track.update(moth[1], 6.1, moving=True)
    track.update(digit, 6.2, moving=True)
    flown = track.motion.travelled, track.sightings.motion_looks
    for number in range(15):
        tracker.update([digit], 6.2 + number * STEP_S)
    assert flown > (TrackerSettings().min_travel, 1)
    assert (track.motion.travelled, track.sightings.motion_looks) == (0.0, 0)
