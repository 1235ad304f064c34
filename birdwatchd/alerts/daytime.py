"""Decide whether a time lies in a stretch of the day, by the station's clock or by its sun.

By the clock alone, what the clock shows counts: 02:15 is before 02:30 also on the night in which it comes twice. Where
the sun has a say, moments count. Near the poles there are days without sunrise and sunset. They are taken as what the
days before turn into: the shortest day has both at its noon, the longest has them at the midnights around it. So
`sunset..sunrise` is all of the polar night and nothing of the polar day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from birdwatchd.settings.hours import Bound, Window

__all__ = ["Daytime", "sun_on"]

DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)
# Between a time on the clock and the sun: 22:00..sunrise is meant over midnight, but where 16:00..sunset would last
# longer than this the sun has gone down before 16:00, and nothing is left of it on that day.
LONGEST_MIXED = timedelta(hours=18)
HORIZON = -0.833  # degrees; elevation of the sun's centre when its upper edge appears (refraction and radius)


@dataclass(frozen=True, slots=True)
class Daytime:
    """The clock and the sun of one station. Without a place there is no sun, and windows must not need it."""

    zone: ZoneInfo
    latitude: float | None = None
    longitude: float | None = None

    def inside(self, window: Window, at: datetime) -> bool:
        """Whether `at` lies in a window."""
        local = at.astimezone(self.zone)
        if not window.by_sun:
            minutes = local.hour * 60 + local.minute
            start, end = window.start.minutes, window.end.minutes
            return start <= minutes < end if start < end else minutes >= start or minutes < end
        days = (local.date() + n * DAY for n in (-2, -1, 0, 1))
        return any(start <= at < end for start, end in (self._stretch(window, day) for day in days))

    def local_day(self, at: datetime) -> tuple[datetime, datetime]:
        """The midnights around a time, the later one belonging to the next day."""
        day = at.astimezone(self.zone).date()
        return self._clock(day, 0), self._clock(day + DAY, 0)

    def _stretch(self, window: Window, day: date) -> tuple[datetime, datetime]:
        """Start and end of a window that hangs on the sun, as it begins on a day; empty where the end is not later."""
        first, last = window.start, window.end
        start, end = self._moment(first, day), self._moment(last, day)
        if first.event == "sunset" and last.event == "sunrise":
            return start, self._moment(last, day + DAY)
        if first.event == last.event and end <= start:
            return start, self._moment(last, day + DAY)
        if "clock" in (first.event, last.event) and end <= start:
            later = self._moment(last, day + DAY)
            return (start, later) if later - start <= LONGEST_MIXED else (start, start)
        return start, end

    def _moment(self, bound: Bound, day: date) -> datetime:
        if bound.event == "clock":
            return self._clock(day, bound.minutes)
        assert self.latitude is not None
        assert self.longitude is not None
        rise, fall = sun_on(day, self.latitude, self.longitude, self.zone)
        return (rise if bound.event == "sunrise" else fall) + bound.offset

    def _clock(self, day: date, minutes: int) -> datetime:
        """When the station's clock shows so many minutes on a day, as the same moment in UTC."""
        whole, rest = divmod(minutes, 24 * 60)
        local = datetime.combine(day + whole * DAY, time(rest // 60, rest % 60), self.zone)
        return local.astimezone(UTC)


@lru_cache(maxsize=1024)
def sun_on(day: date, latitude: float, longitude: float, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Sunrise and sunset of a station's day, UTC, at most twelve hours before and after noon; see above for polar days.

    Computed by astral, which follows the NOAA solar calculator (Meeus, Astronomical Algorithms); good to a minute or
    two outside the polar circles.
    """
    from astral import Observer, SunDirection
    from astral.sun import SUN_APPARENT_RADIUS, elevation, noon, time_of_transit

    observer = Observer(latitude, longitude)
    # A zone far from its longitude: the noon that belongs to the station's date. By the mean sun, else one date of the
    # year would have two and another none.
    mean = datetime.combine(day, time(12), UTC) - timedelta(hours=longitude / 15)
    shift = round((datetime.combine(day, time(12), zone) - mean) / DAY)
    middle = noon(observer, day, tzinfo=UTC) + shift * DAY
    low = 90.0 + SUN_APPARENT_RADIUS
    # Not astral's sunrise and sunset: they also say that there is none when it is on another date by UTC.
    try:
        rise, fall = (
            time_of_transit(observer, middle.date(), low, way) for way in (SunDirection.RISING, SunDirection.SETTING)
        )
    except ValueError:  # how astral says that there is none
        up = elevation(observer, middle, with_refraction=False) > HORIZON
        half = HALF_A_DAY if up else timedelta(0)
        return middle - half, middle + half
    before = (rise - middle) % DAY - DAY  # astral may answer with that of a neighbouring day
    after = (fall - middle) % DAY
    return middle + before, middle + after
