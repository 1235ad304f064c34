"""The demo's verdict on the whole system: it must notice everything that can be wrong, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd.commands.terminal import out
from birdwatchd.demo.cameras.processes import SimulatedCamera
from birdwatchd.records import State
from tests.support import demo_world
from tests.support.demo_world import FPS, World, after


def spoil_embedding(vector: np.ndarray[Any, Any]) -> Callable[[World], None]:
    return lambda world: world.moments_of.update(v0=[replace(world.moments_of["v0"][0], embedding=vector)])


def test_a_run_as_promised_is_good(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Without this every other test here could pass for the wrong reason."""
    assert world.is_good()
    assert capsys.readouterr().out.count("✓") == 6


def test_a_camera_that_never_started_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """No bird comes to a camera that cannot be opened, so no bird was missed; but nothing was proved of it either."""
    birds = [{"species": "Great tit", "start_s": 8.0, "end_s": 11.0}]
    world.cameras.append(SimulatedCamera("feeder2", "http://127.0.0.1:2/", FPS, birds))
    comparison = world.compare()
    assert comparison.unready == ("feeder2",)
    assert {s.camera for s in comparison.sightings} == {"feeder1"}
    assert not world.is_good()
    shown = capsys.readouterr().out
    assert "✗ camera feeder2 could not be watched: no bird came to it" in shown
    assert "✓ 2 of 2 birds are in the database exactly once" in shown


def test_no_camera_at_all_is_a_failure(world: World) -> None:
    """Nothing was wrong with the nothing that was seen."""
    world.cameras[0].started = None
    assert not world.is_good()


def test_one_visit_is_not_counted_for_two_birds(world: World) -> None:
    """Two birds taken for one long visit are one visit lost."""
    end = world.stored[1].end
    world.stored[:] = [replace(world.stored[0], end=end)]
    sightings = world.compare().sightings
    assert [len(s.visits) for s in sightings] == [0, 1], "it belongs to the bird that was there for longer"
    assert not world.is_good()


def test_a_bird_stored_twice_is_a_failure(world: World) -> None:
    """Doubles spoil every count that is made from the database."""
    world.store("House sparrow", 7.0, 8.5)
    assert not world.is_good()


def test_a_visit_without_a_bird_is_a_failure(world: World) -> None:
    """A leaf that became a visit is as wrong as a bird that did not."""
    world.store("Great tit", 24.0, 28.0)
    assert world.compare().extra == 1
    assert not world.is_good()


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_embedding(np.zeros(8, np.float16)),
        spoil_embedding(np.full(8, np.nan, np.float16)),
        spoil_embedding(np.array([1, 2, np.inf], np.float16)),
        spoil_embedding(np.zeros(0, np.float16)),
        spoil_embedding(np.ones(8, np.float32)),
        spoil_embedding(np.ones((2, 4), np.float16)),
        lambda world: world.moments_of.update(v0=[]),
        lambda world: world.moments_of["v0"].append(
            replace(world.moments_of["v0"][0], idx=1, embedding=np.ones(7, np.float16))
        ),
        lambda world: world.moments_of["v0"][0].crop.unlink(),
        lambda world: world.moments_of["v0"][0].crop.write_bytes(b""),
        lambda world: world.moments_of.update(v0=[replace(world.moments_of["v0"][0], crop=None)]),
        lambda world: world.stored.__setitem__(0, replace(world.stored[0], moments=2)),
    ],
    ids=["zero", "nan", "inf", "empty", "float32", "2-D", "none", "lengths", "no file", "no bytes", "no crop", "lost"],
)
def test_embeddings_and_crops_must_hold_something(world: World, spoil: Callable[[World], object]) -> None:
    """A column of zeros has the right type, and finds no similar bird ever."""
    spoil(world)
    assert not world.is_good()


def test_a_visit_before_any_bird_is_a_failure(world: World) -> None:
    """While the cameras are being made ready they show an empty feeder."""
    world.store("Great tit", -5.0, -3.0)
    assert world.compare().extra == 1
    assert not world.is_good()


def test_a_rejected_visit_is_no_recorded_bird(world: World) -> None:
    """`visits` does not count it, and nobody is told of it."""
    first = world.stored[0]
    world.stored[0] = replace(first, verdict=replace(first.verdict, state=State.REJECTED))
    del world.messages.last["v0"], world.messages.first["v0"]
    assert not world.is_good()


def test_a_message_before_its_bird_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong clock must not make the system look quick."""
    world.messages.first["v0"] = after(5.5)
    assert not world.is_good()
    assert "✗ an MQTT message came 0.50 s before its bird" in capsys.readouterr().out


def test_both_waits_are_shown(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """How soon a phone buzzes is what people ask first; the median alone hides the one bird in twenty."""
    world.messages.first["v0"] += timedelta(seconds=3)
    assert world.is_good()
    shown = capsys.readouterr().out
    assert "first message after the first frame: median 2.50 s, 95 % within 4.00 s (goal: 2 s and 4 s)" in shown
    assert "final message after the last frame: median 1.50 s, 95 % within 1.50 s (goal: 3 s)" in shown


@pytest.mark.parametrize("named", ["White-throated kingfisher", "Great spotted woodpecker"])
def test_the_outcome_fits_80_columns(
    tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newcomer's first terminal has 80: of "feeder1", "13.2 s" and "96%" the table left "feed…", "1…" and "9…"."""
    monkeypatch.setattr(demo_world, "BIRDS", (("White-throated kingfisher", 6.0, 19.2),))
    monkeypatch.setattr(out, "width", 80)
    world = World(tmp_path)
    world.stored[0] = replace(world.stored[0], verdict=replace(world.stored[0].verdict, common_name=named))
    world.is_good()
    table = capsys.readouterr().out.partition("  ✓")[0]
    assert ("feeder1" in table, "13.2 s" in table, "90%" in table, "…" in table) == (True, True, True, False)
    assert max(map(len, table.splitlines())) <= 80


def test_a_bird_that_was_not_published_is_a_failure(world: World) -> None:
    """The median of those that were published says nothing of the others."""
    del world.messages.first["v0"], world.messages.last["v0"]
    assert not world.is_good()


@pytest.mark.parametrize(
    "last",
    [{"common_name": "Great tit"}, {"state": "uncertain"}, {"phase": "provisional"}, {"common_name": None}],
    ids=["name", "state", "not final", "no name"],
)
def test_database_and_mqtt_must_say_the_same(
    world: World, last: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Home Assistant shows what was published, `visits` what was stored; a lost last message parts them for good."""
    world.messages.last["v0"] |= last
    assert not world.is_good()
    line = "✗ 1 of 2 visits were published over MQTT as they are in the database; birdwatchd failed for 1"
    assert line in capsys.readouterr().out


def test_a_bird_that_has_just_left_is_not_judged(world: World) -> None:
    """Ctrl-C comes at any time; the last frames of a bird are then still on their way."""
    world.cameras[0].visits += [{"species": "Great tit", "start_s": s, "end_s": e} for s, e in ((25, 28), (28, 29.5))]
    world.store("Great tit", 25.2, 28.2)
    assert [s.end for s in world.compare().sightings] == [after(9.0), after(21.0), after(28.0)]
    assert world.is_good()


def test_a_demo_that_ends_before_its_first_bird_judges_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever presses Ctrl-C at once has seen no promise broken, and none kept."""
    world.cameras[0].visits, world.stored = [], []
    assert world.is_good()
    assert "! the demo ended before a bird had come and gone: no promise was tested" in capsys.readouterr().out
