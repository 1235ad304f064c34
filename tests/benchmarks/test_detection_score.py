"""Scoring of the seeing benchmark: a figure that nobody checked is worse than none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are no part of the installed package

from benchmarks.detection.baselines import BlobTracker, events
from benchmarks.detection.methods import Outcome
from benchmarks.detection.report import as_json, from_json
from benchmarks.detection.score import Look, PredictedVisit, Seen, Shot, bird_in, score, total
from benchmarks.detection.truth import Sighting, Truth
from birdwatchd.records import Box

FPS = 10.0
LEFT, RIGHT = Box(0.2, 0.5, 0.1, 0.1), Box(0.6, 0.5, 0.1, 0.1)


def stay(bird: int, first: int, last: int, box: Box = LEFT, **fields: float) -> list[Sighting]:
    """A bird in every frame from `first` to `last`, without the last."""
    return [
        Sighting(n, bird, box, **{"share": 1.0, "sharpness": 1.0, "size_px": 64.0, **fields})
        for n in range(first, last)
    ]


def truth(*stays: list[Sighting], frames: int = 600) -> Truth:
    return Truth(100, 100, FPS, frames, tuple(sorted((s for one in stays for s in one), key=lambda s: s.frame)))


def looks(visit: str, first: int, last: int, box: Box = LEFT) -> list[Look]:
    return [(n / FPS, ((visit, box),)) for n in range(first, last)]


def visit(name: str, first: int, last: int, count: int = 1, shots: tuple[Shot, ...] = ()) -> PredictedVisit:
    return PredictedVisit(name, first / FPS, last / FPS, count, shots)


def test_a_visit_seen_as_it_was_is_right_in_everything() -> None:
    """The reference point of all others."""
    shot = Shot(6.0, LEFT, 0.9)
    result = score(Seen((visit("a", 52, 100, shots=(shot,)),), tuple(looks("a", 52, 100))), truth(stay(0, 50, 100)))
    assert (result.required, result.recalled, result.false_visits, result.swaps) == (1, 1, 0, 0)
    assert result.fragments == (1,)
    assert result.count_errors == (0,)
    assert result.delays_s == (pytest.approx(0.2),)
    assert (result.shot_ious, result.best_ranks) == ((pytest.approx(1.0),), (1.0,))


def test_nothing_seen_is_nothing_recalled_and_nothing_false() -> None:
    """Blindness must not look like precision gone wrong."""
    result = score(Seen((), ()), truth(stay(0, 50, 100)))
    assert (result.required, result.recalled, result.false_visits, result.missed) == (1, 0, 0, (0,))
    assert result.mean_fragments is None


def test_a_visit_without_a_bird_is_false_and_counted_per_hour() -> None:
    """The leaf in the wind."""
    result = score(Seen((visit("a", 10, 20),), tuple(looks("a", 10, 20, RIGHT))), truth(stay(0, 50, 100)))
    assert (result.recalled, result.false_visits, result.false_at_s) == (0, 1, (1.0,))
    assert result.false_per_hour == pytest.approx(60.0)


@pytest.mark.parametrize(("before", "false"), [(19, 0), (21, 1)])
def test_a_third_of_the_looks_must_show_a_bird(before: int, false: int) -> None:
    """A branch that a bird happens to pass is no bird."""
    seen = Seen((visit("a", 50 - before, 60),), tuple(looks("a", 50 - before, 60)))
    result = score(seen, truth(stay(0, 50, 60)))
    assert (result.false_visits, result.recalled) == (false, 1 - false)


def test_one_bird_seen_as_three_visits_is_in_fragments() -> None:
    """The same bird logged forty times."""
    parts = [("a", 50, 60), ("b", 65, 80), ("c", 85, 100)]
    seen = Seen(tuple(visit(*p) for p in parts), tuple(look for p in parts for look in looks(*p)))
    result = score(seen, truth(stay(0, 50, 100)))
    assert (result.recalled, result.fragments, result.false_visits) == (1, (3,), 0)


def test_two_birds_seen_as_one_are_one_recalled() -> None:
    """Two birds logged as one; the count tells that it knew of only one."""
    near = Box(0.29, 0.5, 0.1, 0.1)
    both = Box(0.2, 0.5, 0.19, 0.1)
    seen = Seen((visit("a", 50, 100),), tuple(looks("a", 50, 100, both)))
    result = score(seen, truth(stay(0, 50, 100), stay(1, 55, 90, near)))
    assert (result.required, result.recalled, result.count_errors) == (2, 1, (-1,))


def test_a_visit_that_goes_over_to_another_bird_has_swapped() -> None:
    """Identity lost where two birds cross."""
    seen = Seen((visit("a", 50, 100),), tuple(looks("a", 50, 70) + looks("a", 70, 100, RIGHT)))
    result = score(seen, truth(stay(0, 50, 100), stay(1, 50, 100, RIGHT)))
    assert (result.swaps, result.recalled, result.missed) == (1, 1, (0,))


def test_two_looks_at_another_bird_are_no_swap() -> None:
    """Boxes touch for a moment when one flies past."""
    seen = Seen((visit("a", 50, 100),), tuple(looks("a", 50, 70) + looks("a", 70, 72, RIGHT) + looks("a", 72, 100)))
    assert score(seen, truth(stay(0, 50, 100), stay(1, 50, 100, RIGHT))).swaps == 0


def test_the_number_of_birds_is_the_most_at_once_while_this_one_was_there() -> None:
    """A bird that shows by a quarter behind the frame's edge does not count."""
    visits = truth(stay(0, 0, 50), stay(1, 40, 90, RIGHT), stay(2, 60, 90, share=0.25)).visits()
    assert [(v.bird, v.count_max) for v in visits] == [(0, 2), (1, 2), (2, 1)]


def test_a_bird_too_short_to_ask_for_is_neither_missed_nor_false() -> None:
    """Three frames of a fly-through: whoever sees it may say so."""
    short = truth(stay(0, 50, 53))
    assert score(Seen((), ()), short).required == 0
    result = score(Seen((visit("a", 50, 53),), tuple(looks("a", 50, 53))), short)
    assert (result.required, result.recalled, result.false_visits, result.fragments) == (0, 0, 0, ())


def test_the_best_picture_is_ranked_among_all_frames_of_the_visit() -> None:
    """The saved picture is the worst one: blurred, tail only."""
    frames = [replace(s, sharpness=(n + 1) / 50) for n, s in enumerate(stay(0, 50, 100))]
    shots = (Shot(5.0, LEFT, 0.2), Shot(7.4, LEFT, 0.8))
    seen = Seen((visit("a", 50, 100, shots=shots),), tuple(looks("a", 50, 100)))
    assert score(seen, truth(frames)).best_ranks == (pytest.approx(0.5),)


def test_a_picture_beside_the_bird_has_rank_and_overlap_nought() -> None:
    """An empty perch, cut out and kept."""
    seen = Seen((visit("a", 50, 100, shots=(Shot(6.0, RIGHT, 0.9),)),), tuple(looks("a", 50, 100)))
    result = score(seen, truth(stay(0, 50, 100)))
    assert (result.best_ranks, result.shot_ious) == ((0.0,), (0.0,))


def test_a_box_shows_the_bird_it_overlaps_best_or_whose_inside_it_is_in() -> None:
    """A tail tip inside the bird overlaps it by little and is still that bird."""
    here = [*stay(0, 0, 1), *stay(1, 0, 1, RIGHT)]
    tip, wide, off = Box(0.24, 0.54, 0.02, 0.02), Box(0.15, 0.45, 0.2, 0.2), Box(0.4, 0.1, 0.1, 0.1)
    found = [bird_in(box, here) for box in (tip, wide, off)]
    assert [s.bird if s else None for s in found] == [0, 0, None]


def test_intervals_without_boxes_are_matched_by_time_alone() -> None:
    """DVR-Scan says when, not where: one event over two birds has found both."""
    seen = Seen((visit("1", 45, 120), visit("2", 300, 310)))
    result = score(seen, truth(stay(0, 50, 70), stay(1, 90, 110, RIGHT)))
    assert (result.recalled, result.false_visits, result.fragments) == (2, 1, (1, 1))
    assert result.shot_ious == ()


def test_totals_weigh_visits_not_cases() -> None:
    """A case of one bird must not count as much as one of sixteen."""
    one = score(Seen((), ()), truth(stay(0, 50, 100)))
    parts = [score(Seen((visit("a", 50, 100),), tuple(looks("a", 50, 100))), truth(stay(0, 50, 100))) for _ in range(3)]
    both = total([one, *parts])
    assert both.recall == pytest.approx(0.75)
    assert both.hours == pytest.approx(4 / 60)


def test_truth_survives_the_disk(tmp_path: Path) -> None:
    """Clips are drawn once and scored many times."""
    before = truth(stay(0, 50, 60), stay(1, 55, 70, RIGHT, share=0.5))
    before.save(tmp_path / "t.npz")
    assert Truth.load(tmp_path / "t.npz") == before


def test_the_event_list_of_dvr_scan_is_read() -> None:
    """Its table is all that it says on standard output."""
    text = """
-------------------------------------------------------------
|   Event #    |  Start Time  |   Duration   |   End Time   |
-------------------------------------------------------------
|  Event    1  |  00:00:05.8  |  00:00:04.7  |  00:00:10.5  |
|  Event    2  |  00:01:15.4  |  00:00:04.5  |  00:01:19.9  |
-------------------------------------------------------------
"""
    found = events(text)
    assert [(v.start_s, v.end_s) for v in found] == [(pytest.approx(5.8), 10.5), (pytest.approx(75.4), 79.9)]


def test_the_blob_tracker_follows_and_forgets() -> None:
    """The baseline must be an honest one: a moving blob is one track, and one that left has ended."""
    tracker = BlobTracker()
    seen = [tracker.update([Box(0.1 + 0.01 * n, 0.5, 0.1, 0.1)], n / 10) for n in range(20)]
    assert {name for look in seen for name, _ in look} == {"1"}
    for n in range(20, 40):
        tracker.update([], n / 10)
    assert [t.visit().start_s for t in tracker.ended if t.believed] == [0.0]
    assert tracker.tracks == []


def test_time_under_false_visits_counts_once_however_many_there_are() -> None:
    """One event that never ends must not look better than many short ones."""
    spans = [("a", 100, 200), ("b", 150, 180), ("c", 190, 220), ("d", 400, 410)]
    seen = Seen(tuple(visit(*span) for span in spans))
    result = score(seen, truth())
    assert (result.false_visits, result.false_s) == (4, pytest.approx(13.0))
    assert result.false_share == pytest.approx(13 / 60)


def test_a_box_over_two_birds_does_not_swap_between_them() -> None:
    """Two birds in one box is one mistake (of recall and count), not sixty as now one, now the other fits better."""
    near, both = Box(0.29, 0.5, 0.1, 0.1), Box(0.2, 0.5, 0.19, 0.1)
    wider = Box(0.22, 0.5, 0.17, 0.1)
    box = [both, wider]
    seen = Seen((visit("a", 50, 100),), tuple((n / FPS, (("a", box[n // 5 % 2]),)) for n in range(50, 100)))
    assert score(seen, truth(stay(0, 50, 100), stay(1, 50, 100, near))).swaps == 0
    left = tuple(looks("a", 50, 70) + looks("a", 70, 100, near))
    assert score(Seen((visit("a", 50, 100),), left), truth(stay(0, 50, 100), stay(1, 50, 100, near))).swaps == 1


def test_outcomes_survive_json() -> None:
    """The other programs need an hour; their figures are added to ours from a file."""
    result = score(Seen((visit("a", 10, 20),), tuple(looks("a", 10, 20, RIGHT))), truth(stay(0, 50, 100)))
    before = Outcome("ours", "birdwatchd 1", "plain-0", "plain", False, result, 1.0, 2.0)
    assert from_json(json.loads(json.dumps(as_json([before])))) == [before]
