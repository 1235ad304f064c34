"""Stretches of the day, by the clock and by the sun, at any place and on the nights when the clock is changed."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from birdwatchd.alerts.daytime import Daytime, sunrise_and_sunset
from birdwatchd.settings.hours import read_window

JERUSALEM = Daytime(ZoneInfo("Asia/Jerusalem"), 31.8, 35.0)
TROMSO = Daytime(ZoneInfo("Europe/Oslo"), 69.65, 18.96)
LONDON = Daytime(ZoneInfo("Europe/London"), 51.5, 0.0)


def inside(daytime: Daytime, text: str, local: str) -> bool:
    """Whether a time on the station's clock (with its date) lies in a stretch."""
    return daytime.is_within(read_window(text), datetime.fromisoformat(local).replace(tzinfo=daytime.zone))


def height_of_sun(at: datetime, latitude: float, longitude: float) -> float:
    """Degrees above the horizon, good to about half a degree.

    Source: Astronomical Almanac, low-precision formulas for the sun (also used by the US Naval Observatory's page
    "Computing approximate solar coordinates"). Independent of astral's.
    """
    days = (at - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)
    anomaly = math.radians((357.529 + 0.98560028 * days) % 360)
    mean = 280.459 + 0.98564736 * days
    longitude_of_sun = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 0.00000036 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(longitude_of_sun), math.cos(longitude_of_sun))
    declination = math.asin(math.sin(tilt) * math.sin(longitude_of_sun))
    sidereal = math.radians(15 * ((18.697374558 + 24.06570982441908 * days) % 24) + longitude)
    here = math.radians(latitude)
    across = math.cos(here) * math.cos(declination) * math.cos(sidereal - ascension)
    return math.degrees(math.asin(math.sin(here) * math.sin(declination) + across))


PLACES = st.tuples(st.floats(-89, 89), st.floats(-180, 180))
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))
ZONES = st.sampled_from(["UTC", "Asia/Jerusalem", "America/Los_Angeles", "Pacific/Kiritimati", "Australia/Lord_Howe"])


@settings(max_examples=150, deadline=None)
@given(PLACES, TIMES, ZONES)
@example((-66.5, -143.0), datetime(2024, 7, 21, 10, tzinfo=UTC), "UTC")
@example((0.0, -179.0), datetime(2024, 4, 1, tzinfo=UTC), "UTC")
@example((-67.4375, 0.0), datetime(2024, 6, 16, 0, 1, tzinfo=UTC), "UTC")
@example((0.0, -16.0), datetime(2024, 4, 6, 8, tzinfo=UTC), "Australia/Lord_Howe")
def test_night_is_when_the_sun_is_down(place: tuple[float, float], at: datetime, zone: str) -> None:
    """Quiet from sunset to sunrise must hold all through the polar night, and never in the polar day."""
    height = height_of_sun(at, *place)
    assume(abs(height + 0.833) > 1.2)  # within a few minutes of rising or setting both answers are right
    daytime = Daytime(ZoneInfo(zone), *place)
    assert daytime.is_within(read_window("sunset..sunrise"), at) is (height < -0.833)
    assert daytime.is_within(read_window("sunrise..sunset"), at) is (height > -0.833)


@pytest.mark.parametrize(
    ("day", "rise", "fall"),
    [
        # From the tables of HM Nautical Almanac Office for Greenwich, UTC.
        (date(2026, 6, 21), "03:43", "20:21"),
        (date(2026, 12, 21), "08:04", "15:54"),
    ],
)
def test_the_sun_of_greenwich(day: date, rise: str, fall: str) -> None:
    """A sign or a zone wrong in the formula shifts every quiet hour by as much."""
    found = sunrise_and_sunset(day, 51.48, 0.0, ZoneInfo("UTC"))
    for at, known in zip(found, (rise, fall), strict=True):
        wanted = datetime.fromisoformat(f"{day}T{known}+00:00")
        assert abs(at - wanted) <= timedelta(minutes=3)


@pytest.mark.parametrize(
    ("zone", "latitude", "longitude"),
    [("America/Denver", 39.7, -105.0), ("America/Chicago", 41.9, -87.6), ("Australia/Sydney", -33.9, 151.2)],
)
def test_no_day_is_without_a_night(zone: str, latitude: float, longitude: float) -> None:
    """Where the sun sets about midnight by UTC, one date by UTC has no sunset: it was taken for a day without end."""
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(366)]
    found = [sunrise_and_sunset(day, latitude, longitude, ZoneInfo(zone)) for day in days]
    for (rise, fall), (next_rise, next_fall) in pairwise(found):
        assert timedelta(hours=9) < fall - rise < timedelta(hours=16)
        for one, other in ((rise, next_rise), (fall, next_fall)):
            assert abs(other - one - timedelta(days=1)) < timedelta(minutes=4)


def test_offsets_move_the_ends() -> None:
    """In Jerusalem on 1 May the sun sets at about 19:22 and rises at about 05:51 by the clock."""
    quiet = "sunset+30m..sunrise-15m"
    assert not inside(JERUSALEM, quiet, "2026-05-01T19:45")
    assert inside(JERUSALEM, quiet, "2026-05-01T20:00")
    assert inside(JERUSALEM, quiet, "2026-05-02T05:25")
    assert not inside(JERUSALEM, quiet, "2026-05-02T05:45")
    assert inside(JERUSALEM, "sunrise-30m..sunrise+1h30m", "2026-05-02T07:00")
    assert not inside(JERUSALEM, "sunrise-30m..sunrise+1h30m", "2026-05-02T08:00")


def test_in_the_polar_night_only_noon_is_spared() -> None:
    """The shortest day before it has sunset and sunrise at noon, and offsets count from there; all else is night."""
    assert inside(TROMSO, "sunset+30m..sunrise-15m", "2026-12-21T09:00")
    assert inside(TROMSO, "sunset+30m..sunrise-15m", "2026-12-21T15:00")
    assert not inside(TROMSO, "sunset+30m..sunrise-15m", "2026-06-21T00:10")
    assert not inside(TROMSO, "sunset..sunrise", "2026-06-21T01:00")


def test_the_clock_and_the_sun_together() -> None:
    """`22:00..sunrise` goes over midnight; `16:30..sunset` is nothing on a day on which the sun is down by then."""
    assert inside(LONDON, "22:00..sunrise", "2026-12-21T07:30")
    assert not inside(LONDON, "22:00..sunrise", "2026-12-21T09:00")
    assert inside(LONDON, "16:30..sunset", "2026-06-21T20:00")
    for hour in range(24):
        assert not inside(LONDON, "16:30..sunset", f"2026-12-21T{hour:02}:45")
    assert inside(LONDON, "sunset..23:00", "2026-12-21T17:00")
    assert inside(LONDON, "sunset..02:00", "2026-12-22T01:30")


def test_the_clock_counts_where_there_is_no_sun_in_it() -> None:
    """01:15 comes twice in London on the night of 25 October 2026, and both times a person is asleep."""
    window = read_window("22:00..01:30")
    first = datetime(2026, 10, 25, 0, 15, tzinfo=UTC)  # 01:15 summer time
    second = first + timedelta(hours=1)  # 01:15 again
    assert LONDON.is_within(window, first)
    assert LONDON.is_within(window, second)
    assert not LONDON.is_within(window, first + timedelta(minutes=20))
    assert not LONDON.is_within(window, second + timedelta(minutes=20))


def test_a_day_has_as_many_hours_as_the_clock_gives_it() -> None:
    """A daily cap must not count an hour of tomorrow in March, nor leave one out in October."""
    for day, hours in (("2026-03-27", 23), ("2026-10-25", 25), ("2026-05-01", 24)):
        since, until = JERUSALEM.local_day(datetime.fromisoformat(f"{day}T12:00+03:00"))
        assert until - since == timedelta(hours=hours)
        assert since.astimezone(JERUSALEM.zone).isoformat()[:16] == f"{day}T00:00"


@pytest.mark.parametrize(
    "text",
    ["", "13:00", "13:00..", "25:00..26:00", "13:60..14:00", "12:00..12:00", "24:00..24:00", "sunset+..sunrise",
     "sunset+30..sunrise", "dawn..dusk", "sunset+13h..sunrise", "sunrise..sunrise", "1:00..2:00..3:00"],
)  # fmt: skip
def test_what_is_no_stretch_is_refused(text: str) -> None:
    """A quiet hour that is misread is a phone that rings at three in the morning."""
    with pytest.raises(ValueError, match=r"is not a span of a day|is empty"):
        read_window(text)
