"""What astral raises where the sun neither rises nor sets is no error; anything else is one and is left alone."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import astral
import astral.sun
import pytest

from birdwatchd.alerts.daytime import sunrise_and_sunset
from tests.support.exceptions import defined_in_package

TROMSO = (69.65, 18.96, ZoneInfo("Europe/Oslo"))


def test_astral_has_no_exceptions_of_its_own() -> None:
    """It raises ValueError. If a version adds a class of its own, the polar night may be raised as that."""
    assert defined_in_package(astral) == {}


@pytest.mark.parametrize("day", [date(2026, 6, 21), date(2026, 12, 21)], ids=["polar day", "polar night"])
def test_a_day_without_sunrise_is_a_value_error_of_astral(day: date) -> None:
    """The one exception that is expected; the station of that day works with the times of docs/reference/alerts.md."""
    observer = astral.Observer(*TROMSO[:2])
    with pytest.raises(ValueError, match=r"math domain error|expected a number"):
        astral.sun.time_of_transit(observer, day, 90.0 + astral.sun.SUN_APPARENT_RADIUS, astral.SunDirection.RISING)
    rise, fall = sunrise_and_sunset(day, *TROMSO)
    assert (fall - rise).days == (day.month == 6)


@pytest.mark.parametrize("error", [TypeError("ours"), AttributeError("ours"), KeyError("ours")], ids=repr)
def test_a_wrong_call_of_astral_is_no_polar_night(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Taken for one, every quiet hour would be wrong and nobody would know why."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(astral.sun, "time_of_transit", fail)
    sunrise_and_sunset.cache_clear()
    with pytest.raises(type(error), match="ours"):
        sunrise_and_sunset(date(2026, 5, 1), *TROMSO)
