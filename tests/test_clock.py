"""When the station's time follows the system's clock, and when it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.clock import BUILT, HOLD_S, read_clocks, steady_s
from tests.support.clocks import Clocks

NOW = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def test_time_goes_on_with_the_seconds_that_nobody_can_set() -> None:
    """Between two looks nothing but a step that was decided may change the time of all stages and cameras."""
    world = Clocks()
    world.wait(5)
    assert world.clock.now() == NOW + timedelta(seconds=5)
    world.wall += DAY
    assert world.clock.now() == NOW + timedelta(seconds=5)


@pytest.mark.parametrize("by", [timedelta(days=9617), -3 * DAY, timedelta(seconds=30)])
@pytest.mark.parametrize("synchronised", [True, False])
def test_a_clock_that_is_put_right_is_followed(by: timedelta, synchronised: bool) -> None:
    """By network time or by hand: what was not synchronised before is no better than what it is set to."""
    world = Clocks()
    world.wait(60)
    world.wall, world.synchronised = world.wall + by, synchronised
    assert world.follow() == by.total_seconds()
    assert world.clock.now() == world.wall
    assert world.clock.synchronised is synchronised
    assert world.clock.look() is None, "once"


def test_a_change_is_said_until_it_is_made() -> None:
    """The database may be busy at that moment."""
    world = Clocks()
    world.wall += DAY
    assert world.clock.look() == world.clock.look() is not None


def test_a_slow_correction_is_no_step() -> None:
    """Network time moves a clock by fractions of a second, all day long."""
    world = Clocks(synchronised=True)
    for _ in range(100):
        world.wait(10)
        world.wall += timedelta(seconds=0.015)
        assert world.clock.look() is None
    world.wall += timedelta(seconds=0.6)
    assert world.follow() == pytest.approx(2.1)


def test_a_clock_before_what_is_known_is_not_believed() -> None:
    """A station without battery clock starts in 2000: its visits are stamped after the last one, not before all."""
    world = Clocks(datetime(2000, 1, 1, tzinfo=UTC))
    assert world.clock.now() == BUILT, "even where nothing is stored"
    world.clock.begin(NOW)
    assert world.clock.behind
    world.wait(60)
    assert (world.clock.now(), world.clock.look()) == (NOW + timedelta(minutes=1), None)
    world.wall = NOW - DAY  # set, and still before what is stored
    assert world.follow() == 0.0
    world.wall = NOW + 3 * DAY
    assert world.follow() == pytest.approx(3 * 86400 - 60)
    assert not world.clock.behind


def test_a_synchronised_clock_is_believed_though_more_is_stored() -> None:
    """Then what is stored is of a clock that was ahead."""
    world = Clocks(synchronised=True)
    world.clock.begin(NOW + 3 * DAY)
    assert (world.clock.now(), world.clock.behind) == (NOW, False)


def test_a_clock_that_was_right_and_is_set_wrong_is_not_followed_at_once() -> None:
    """Somebody tries `date -s`, and network time puts it right again: nobody should have noticed."""
    world = Clocks(synchronised=True)
    world.wait(10)
    world.wall, world.synchronised = world.wall + timedelta(days=3650), False
    assert world.follow() == 0.0
    world.wait(HOLD_S / 2)
    assert world.follow() == 0.0
    world.wall, world.synchronised = world.wall - timedelta(days=3650), True
    assert world.follow() == 0.0
    assert world.clock.now() == world.wall


def test_a_clock_that_stays_where_it_was_set_is_followed_in_the_end() -> None:
    """A station that is taken off the network and set by hand."""
    world = Clocks(synchronised=True)
    world.wait(10)
    world.wall, world.synchronised = world.wall + DAY, False
    assert world.follow() == 0.0
    world.wait(HOLD_S + 1)
    assert world.follow() == 86400.0
    assert not world.clock.synchronised


def test_ages_are_counted_from_a_time_that_has_certainly_come() -> None:
    """A clock that is ten years ahead at the start would make every picture too old."""
    world = Clocks(NOW + timedelta(days=3650))
    world.clock.number(1, NOW)
    world.wait(3600)
    assert world.clock.certain() == NOW + timedelta(hours=1)
    world.wall, world.synchronised = NOW + timedelta(hours=2), True
    world.follow()
    assert world.clock.certain() == world.clock.now() == NOW + timedelta(hours=2)


def test_the_clocks_of_this_computer_can_be_read() -> None:
    """The seconds go on, and are the same in all processes."""
    first, seconds, second = read_clocks(), steady_s(), read_clocks()
    assert first.steady_s <= seconds <= second.steady_s
    assert abs(first.wall - datetime.now(UTC)) < timedelta(seconds=10)
    assert isinstance(first.synchronised, bool)
