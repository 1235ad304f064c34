"""Arithmetic of the cost benchmark: nothing is timed here, and no figure is right by chance."""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are no part of the installed package

from benchmarks.camera_cost.arithmetic import blocks, median_and_spread, slope
from benchmarks.camera_cost.capacity import Run, conclusion, shed_after
from benchmarks.camera_cost.cpu import Round, ratios
from benchmarks.camera_cost.memory import growth
from benchmarks.camera_cost.part import Part, as_json, from_json, table
from benchmarks.camera_cost.virtual_time import VirtualClock
from benchmarks.camera_cost.where import Spent

BEGINNING = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def test_one_slow_run_does_not_move_the_median() -> None:
    """The machine did something else once."""
    assert median_and_spread([1.0, 1.1, 9.0, 1.2, 0.9]) == (1.1, 0.9, 9.0)
    assert median_and_spread([1.0, 2.0]) == (1.5, 1.0, 2.0)


def test_a_line_has_its_slope_and_an_interval_of_no_width() -> None:
    """The reference point of all others."""
    found = slope([(x, 3.0 + 0.5 * x) for x in range(20)])
    assert (found.value, found.low, found.high) == (pytest.approx(0.5),) * 3


def test_a_few_wild_samples_do_not_bend_a_slope() -> None:
    """Least squares would see 2 MiB a second here."""
    points = [(float(x), 100.0) for x in range(40)]
    points[3], points[37] = (3.0, 9.0), (37.0, 900.0)
    assert slope(points).value == 0.0


def test_noise_around_a_level_has_zero_in_its_interval_and_a_leak_has_not() -> None:
    """What the page claims with that interval."""
    chance = random.Random(7)
    noise = [(float(x), 140 + chance.gauss(0, 1)) for x in range(30)]
    level, leak = slope(noise), slope([(x, y + 0.3 * x) for x, y in noise])
    assert level.low < 0 < level.high
    assert leak.low > 0
    assert leak.low < 0.3 < leak.high


def test_sens_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    """95 of 100: an interval that nobody checked is worth no more than the slope alone."""
    chance = random.Random(3)
    held = 0
    for _ in range(400):
        found = slope([(float(x), 2.0 * x + chance.gauss(0, 5)) for x in range(20)])
        held += found.low <= 2.0 <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_a_slope_of_too_little_or_of_two_values_at_once_is_none() -> None:
    """An error, not a figure."""
    with pytest.raises(ValueError, match="three points"):
        slope([(0.0, 1.0), (1.0, 1.0)])
    with pytest.raises(ValueError, match="same x"):
        slope([(0.0, 1.0), (1.0, 1.0), (1.0, 2.0)])


def test_blocks_hold_every_point_once_and_in_order() -> None:
    """Also where they do not divide evenly, and where there are fewer points than blocks."""
    points = [(float(x), float(x)) for x in range(10)]
    assert blocks(points, 3) == [(1.0, 1.0), (4.5, 4.5), (8.0, 8.0)]
    assert blocks(points, 50) == points


def test_growth_is_told_per_hour_of_video_and_leaves_the_warm_up_out() -> None:
    """What fills up in the first minutes is no leak."""
    samples = [(float(at), 300.0 if at < 500 else 100 + at / 3600 * 6) for at in range(0, 3600, 10)]
    assert growth(samples, 3600.0).value == pytest.approx(6.0)


def test_ratios_are_taken_within_each_round() -> None:
    """Both processes of a slow round are slow; one figure leaves out what starting them takes."""
    whole, seeing = ratios([Round(11.0, 10.0, 1.0, 0.5, 0, 0), Round(22.0, 20.0, 2.0, 1.0, 0, 0)])
    assert whole == [pytest.approx(1.1)] * 2
    assert seeing == [pytest.approx(10 / 9.5)] * 2


def test_shed_pictures_are_counted_from_where_cameras_have_settled() -> None:
    """Eight processes that start at once are late at first, and that is told apart."""
    assert shed_after([(1, 0), (100, 20), (160, 30), (600, 32)], 150) == (440, 2)
    assert shed_after([(1, 0), (20, 5)], 150) == (0, 0)
    assert Run(1, 600, 600, 32, 440, 2, 1, 1, 0, 0, 0).shed_share == pytest.approx(2 / 440)
    assert Run(1, 10, 10, 0, 0, 0, 1, 1, 0, 0, 0).shed_share == 0


def run(cameras: int, shed: int, *, others_s: float = 0.0, behind_s: float = 0.0) -> Run:
    return Run(cameras, 100, 100, shed, 100, shed, 1.0, 10.0, others_s, 0.0, behind_s)


def test_how_many_cameras_fit_is_told_only_of_a_machine_that_did_nothing_else() -> None:
    """A figure that says more about a neighbour's work than about ours is none."""
    watched, bare = [run(8, 0), run(12, 1), run(16, 30)], [run(12, 0), run(16, 0, behind_s=9.0)]
    said = conclusion(watched, bare)
    assert "**12 cameras fit" in said
    assert "16 are too many" in said
    assert "16 do not keep up" in said
    assert "cameras fit on" not in conclusion([run(8, 90, others_s=1000.0)], bare)


def test_a_table_has_as_many_cells_in_every_row() -> None:
    """A shifted column is a wrong figure."""
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n|---|---:|\n| x | 1 |"
    with pytest.raises(ValueError, match="2 cells"):
        table(("a", "b"), [("x",)])


def test_a_part_comes_back_from_json_as_it_was() -> None:
    """Parts measured on another day are put on the same page."""
    part = Part("cpu", "Title", "Text.", ("a", "b"), (("x", "1"),), ("remark",), ("machine",), {"quiet": [1.0]})
    assert from_json(json.loads(json.dumps(as_json([part])))) == [part]
    assert part.as_markdown().startswith("## Title\n\nText.\n\n| a | b |")


def test_in_virtual_time_waiting_is_what_passes_time_and_nothing_is_late() -> None:
    """Pictures keep the dates that a camera would have given them, however fast they are read."""
    playback = VirtualClock(BEGINNING).playback()
    for seconds in (0.0, 0.5, 1.0):
        playback.wait_for(seconds)
        assert playback.late_s(seconds) == pytest.approx(0.0)
        assert (playback.at(seconds) - BEGINNING).total_seconds() == pytest.approx(seconds)


def test_time_is_counted_for_the_step_that_spent_it() -> None:
    """A step that calls another is not charged for it."""
    now = [0.0]

    class Steps:
        def outer(self) -> str:
            now[0] += 1.0
            self.inner()
            self.inner()
            return "done"

        def inner(self) -> None:
            now[0] += 10.0

    spent = Spent(lambda: now[0])
    spent.watch(Steps, "outer", "outside")
    spent.watch(Steps, "inner", "inside")
    assert Steps().outer() == "done"
    assert spent.seconds == {"outside": 1.0, "inside": 20.0}
    assert spent.calls == {"outside": 1, "inside": 2}
