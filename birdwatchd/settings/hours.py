"""Read stretches of a day as people write them: `13:00..15:00`, `sunset+30m..sunrise-15m`.

A bound is a time on the station's clock or a sunrise or sunset with an offset. What a stretch means on a day is decided
elsewhere (`birdwatchd.alerts.daytime`); here is only what may be written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer

__all__ = ["Bound", "Window", "WindowField", "read_window"]

DAY_MINUTES = 24 * 60
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_SUN = re.compile(r"(sunrise|sunset)(?:\s*([+-])\s*(?=\d)(?:(\d+)h)?(?:(\d+)m)?)?")
_HELP = "write for example 22:00..06:30, or sunset+30m..sunrise-15m"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a stretch.

    Attributes:
        event: what it is measured from; `clock` is midnight on the station's clock.
        minutes: after the event, or before it where negative; for `clock` 0 … 1440.
    """

    event: Literal["clock", "sunrise", "sunset"]
    minutes: int

    @property
    def offset(self) -> timedelta:
        """`minutes` as a length of time."""
        return timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of each day, from `start` on and before `end`; `text` is how it was written."""

    text: str
    start: Bound
    end: Bound

    @property
    def by_sun(self) -> bool:
        """Whether it hangs on where the station stands."""
        return self.start.event != "clock" or self.end.event != "clock"

    def __str__(self) -> str:
        return self.text


def read_window(value: object) -> Window:
    """A stretch from its text.

    Raises:
        ValueError: it is none, or empty.
    """
    if isinstance(value, Window):
        return value
    first, dots, second = value.partition("..") if isinstance(value, str) else ("", "", "")
    start, end = _read_bound(first.strip()), _read_bound(second.strip())
    if not dots or start is None or end is None:
        raise ValueError(f"is not a span of a day; {_HELP}")
    if start == end or (start.event == end.event == "clock" and start.minutes == DAY_MINUTES):
        raise ValueError("is empty; for the whole day write 00:00..24:00")
    return Window(f"{first.strip()}..{second.strip()}", start, end)


def _read_bound(text: str) -> Bound | None:
    if match := _CLOCK.fullmatch(text):
        minutes = int(match[1]) * 60 + int(match[2])
        return Bound("clock", minutes) if minutes <= DAY_MINUTES and int(match[2]) < 60 else None
    if match := _SUN.fullmatch(text):
        offset = int(match[3] or 0) * 60 + int(match[4] or 0)
        if offset > DAY_MINUTES // 2:
            return None
        return Bound("sunrise" if match[1] == "sunrise" else "sunset", -offset if match[2] == "-" else offset)
    return None


WindowField = Annotated[Window, BeforeValidator(read_window), PlainSerializer(str)]
