"""Decide whether a time lies in a daily time window, by the station's clock or by sunrise and sunset.

For a window between two clock times, the local time shown by the clock counts: 02:15 is before 02:30 also in the night
in which the hour is repeated. For a window with the sun in it, UTC counts.

Near the poles some days have no sunrise and sunset. They get those that the days before converge to: in the polar
night both are at noon, in the polar day they are at the midnights around it. So `sunset..sunrise` covers the whole
polar night and nothing of the polar day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from birdwatchd.settings.hours import Bound, Window

__all__ = ["Daytime", "sunrise_and_sunset"]

DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)
# A window between a clock time and the sun may cross midnight (22:00..sunrise), but only if it is no longer than this:
# where the sun has set before 16:00, 16:00..sunset is empty on that day.
MAX_MIXED_WINDOW = timedelta(hours=18)
HORIZON_DEG = -0.833  # elevation of the sun's centre at sunrise (refraction and radius of the disc)


@dataclass(frozen=True, slots=True)
class Daytime:
    """Local time and sun of one station. Without a position, windows must not refer to the sun."""

    zone: ZoneInfo
    latitude: float | None = None
    longitude: float | None = None

    def is_within(self, window: Window, at: datetime) -> bool:
        """Whether `at` lies in a window."""
        local = at.astimezone(self.zone)
        if not window.by_sun:
            minutes = local.hour * 60 + local.minute
            start, end = window.start.minutes, window.end.minutes
            return start <= minutes < end if start < end else minutes >= start or minutes < end
        days = (local.date() + n * DAY for n in (-2, -1, 0, 1))
        return any(start <= at < end for start, end in (self._interval(window, day) for day in days))

    def local_day(self, at: datetime) -> tuple[datetime, datetime]:
        """Start and end (UTC) of the local day of a time; the end is the start of the next day."""
        day = at.astimezone(self.zone).date()
        return self._clock(day, 0), self._clock(day + DAY, 0)

    def _interval(self, window: Window, day: date) -> tuple[datetime, datetime]:
        """Start and end (UTC) of a window with the sun in it that begins on `day`; empty if the end is not later."""
        first, last = window.start, window.end
        start, end = self._time_of(first, day), self._time_of(last, day)
        if first.event == "sunset" and last.event == "sunrise":
            return start, self._time_of(last, day + DAY)
        if first.event == last.event and end <= start:
            return start, self._time_of(last, day + DAY)
        if "clock" in (first.event, last.event) and end <= start:
            later = self._time_of(last, day + DAY)
            return (start, later) if later - start <= MAX_MIXED_WINDOW else (start, start)
        return start, end

    def _time_of(self, bound: Bound, day: date) -> datetime:
        """When a bound of a window falls on a day (UTC)."""
        if bound.event == "clock":
            return self._clock(day, bound.minutes)
        assert self.latitude is not None
        assert self.longitude is not None
        sunrise, sunset = sunrise_and_sunset(day, self.latitude, self.longitude, self.zone)
        return (sunrise if bound.event == "sunrise" else sunset) + bound.offset

    def _clock(self, day: date, minutes: int) -> datetime:
        """The time (UTC) at which the local clock shows `minutes` after midnight; 1440 is the next midnight."""
        whole, rest = divmod(minutes, 24 * 60)
        local = datetime.combine(day + whole * DAY, time(rest // 60, rest % 60), self.zone)
        return local.astimezone(UTC)


@lru_cache(maxsize=1024)
def sunrise_and_sunset(day: date, latitude: float, longitude: float, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Sunrise and sunset (UTC) of a local day, at most twelve hours before and after noon; see above for polar days.

    Computed by astral, which follows the NOAA solar calculator (Meeus, Astronomical Algorithms); good to a minute or
    two outside the polar circles.
    """
    from astral import Observer, SunDirection
    from astral.sun import SUN_APPARENT_RADIUS, elevation, noon, time_of_transit

    observer = Observer(latitude, longitude)
    # A time zone may be far from its longitude: take the solar noon that belongs to the local date. The mean sun
    # decides which, by the zone's standard time, else one date of the year would have two and another none.
    mean_noon = datetime.combine(day, time(12), UTC) - timedelta(hours=longitude / 15)
    local_noon = datetime.combine(day, time(12), zone)
    shift = round((local_noon + (local_noon.dst() or timedelta(0)) - mean_noon) / DAY)
    solar_noon = noon(observer, day, tzinfo=UTC) + shift * DAY
    zenith_deg = 90.0 + SUN_APPARENT_RADIUS
    # Not astral's `sunrise` and `sunset`: they also raise when the event is on another date in UTC.
    try:
        sunrise, sunset = (
            time_of_transit(observer, solar_noon.date(), zenith_deg, direction)
            for direction in (SunDirection.RISING, SunDirection.SETTING)
        )
    except ValueError:  # raised by astral when the sun does not cross the horizon
        # Not at noon alone: on the first day of the polar night the sun may be just above the horizon then.
        heights = [elevation(observer, solar_noon + wait, with_refraction=False) for wait in (timedelta(0), HALF_A_DAY)]
        half = HALF_A_DAY if sum(heights) / 2 > HORIZON_DEG else timedelta(0)
        return solar_noon - half, solar_noon + half
    before = (sunrise - solar_noon) % DAY - DAY  # astral may return that of a neighbouring day
    after = (sunset - solar_noon) % DAY
    return solar_noon + before, solar_noon + after
