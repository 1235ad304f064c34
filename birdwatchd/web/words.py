"""Say in words what the page shows: names, times in the station's zone, ages, firsts, how sure it is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from birdwatchd.commands.terminal import best_guess, counted
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.store.news import StoredVisit

__all__ = [
    "FIRST_WORDS",
    "STATE_WORDS",
    "age",
    "clock",
    "day_words",
    "first_of",
    "lasted",
    "percent",
    "size",
    "sure_words",
    "title_of",
]

NARROW = "\N{NO-BREAK SPACE}"  # between a number and its unit
STATE_WORDS = {
    State.CONFIRMED: "Confirmed",
    State.UNCERTAIN: "Uncertain",
    State.UNKNOWN: "Unknown",
    State.REJECTED: "Not a bird",
}
FIRST_WORDS = {
    "ever": "First ever",
    "year": "First this year",
    "season": "First this season",
    "today": "First of the day",
}


def title_of(verdict: Verdict) -> str:
    """What to call the bird, as a heading: `Great tit`, `Great tit?`, `Unknown bird`."""
    name, _ = best_guess(verdict)
    if verdict.state is State.UNKNOWN and not verdict.common_name:
        name = "Unknown bird"
    if verdict.common_name and verdict.rank is not Rank.SPECIES:
        name = f"{verdict.common_name} ({verdict.rank.value})"
    return name[:1].upper() + name[1:]


def sure_words(verdict: Verdict) -> str:
    """How sure the name is, in a few words."""
    if verdict.state is State.REJECTED:
        return "not a bird"
    if any(reason.startswith("reviewed by") for reason in verdict.reasons):
        return "named by a person"
    name, score = best_guess(verdict)
    if verdict.state is State.UNKNOWN and not verdict.common_name:
        guess = name.partition("(")[2].rstrip("?)")
        return f"perhaps {guess}, {percent(score)}" if guess else "no name is likely"
    return f"{percent(score)} sure"


def percent(share: float | None) -> str:
    """`87 %`."""
    return "–" if share is None else f"{share:.0%}".replace("%", f"{NARROW}%")


def first_of(stored: StoredVisit) -> str:
    """The most notable first of a visit, in words; empty where it is none."""
    return FIRST_WORDS[stored.firsts[0]] if stored.firsts else ""


def clock(at: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """The time of day at the station: `08:31`."""
    return at.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def day_words(day: date, today: date) -> str:
    """A day as people say it: `Today`, `Yesterday`, `Monday 4 May`, with the year where it is another one."""
    if day == today:
        return "Today"
    if (today - day).days == 1:
        return "Yesterday"
    return f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")


def lasted(start: datetime, end: datetime | None) -> str:
    """How long a visit was: `12 s`, `3 min 20 s`, `1 h 5 min`; `here now` while the bird is there."""
    if end is None:
        return "here now"
    seconds = max(0, round((end - start).total_seconds()))
    if seconds < 60:
        return f"{seconds}{NARROW}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min {rest}{NARROW}s" if rest and minutes < 10 else f"{minutes}{NARROW}min"
    return f"{minutes // 60}{NARROW}h {minutes % 60}{NARROW}min"


def age(seconds: float | None) -> str:
    """How long ago: `just now`, `40 s ago`, `3 min ago`, `5 h ago`, `2 days ago`; `never` for None."""
    if seconds is None:
        return "never"
    if seconds < 5:
        return "just now"
    for unit, length_s in (("day", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length_s * 1.5:
            number = round(seconds / length_s)
            return f"{counted(number, unit) if unit == 'day' else f'{number} {unit}'} ago"
    return f"{seconds:.0f} s ago"


def since_s(at: datetime, now: datetime) -> float:
    """Seconds from then to now, never negative."""
    return max(0.0, (now - at.astimezone(UTC)).total_seconds())


def size(number: float | None) -> str:
    """A number of bytes: `12.3 MB`, `4.5 GB`."""
    if number is None:
        return "–"
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
