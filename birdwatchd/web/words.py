"""Say in words what the page shows: names, times in the station's zone, ages, firsts, how sure it is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from birdwatchd.commands.terminal import NO_SPECIES
from birdwatchd.records import CameraState, Rank, State, Verdict
from birdwatchd.store import ReviewVerdict
from birdwatchd.store.news import StoredVisit
from birdwatchd.web.language.catalogue import N_, Language

__all__ = ["CAMERA_WORDS", "FIRST_WORDS", "PAGE_REVIEWER", "RANK_WORDS", "SAID_WORDS", "STATE_WORDS", "Words"]

STATE_WORDS = {
    State.CONFIRMED: N_("Confirmed"),
    State.UNCERTAIN: N_("Uncertain"),
    State.UNKNOWN: N_("Unknown"),
    State.REJECTED: N_("Not a bird"),
}
FIRST_WORDS = {
    "ever": N_("First ever"),
    "year": N_("First this year"),
    "season": N_("First this season"),
    "today": N_("First of the day"),
}
RANK_WORDS = {
    Rank.GENUS: N_("%(name)s (genus)"),
    Rank.FAMILY: N_("%(name)s (family)"),
    Rank.ORDER: N_("%(name)s (order)"),
    Rank.BIRD: N_("%(name)s (bird)"),
}
CAMERA_WORDS = {
    CameraState.STARTING.value: N_("starting"),
    CameraState.ONLINE.value: N_("online"),
    CameraState.OFFLINE.value: N_("offline"),
    CameraState.FINISHED.value: N_("finished"),
    CameraState.DISABLED.value: N_("disabled"),
    "unknown": N_("unknown"),
}
PAGE_REVIEWER = N_("somebody at the page")  # as who reviews here is stored
SAID_WORDS = {
    ReviewVerdict.CONFIRM: N_("the name is right"),
    ReviewVerdict.SPECIES: N_("another species"),
    ReviewVerdict.NOT_A_BIRD: N_("not a bird"),
}


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._ = language.gettext
        self._n = language.ngettext

    def title(self, verdict: Verdict) -> str:
        """What to call the bird, as a heading: `Great tit`, `Great tit?`, `Unknown bird`."""
        name = verdict.common_name
        if not name:
            return self._("Not a bird") if verdict.state is State.REJECTED else self._("Unknown bird")
        name = name[:1].upper() + name[1:]
        if verdict.rank is not Rank.SPECIES:
            return self._(RANK_WORDS[verdict.rank], name=name)
        return name if verdict.state is State.CONFIRMED else f"{name}?"

    def sure(self, verdict: Verdict) -> str:
        """How sure the name is, in a few words."""
        if verdict.state is State.REJECTED:
            return self._("not a bird")
        if any(reason.startswith("reviewed by") for reason in verdict.reasons):
            return self._("named by a person")
        if verdict.state is State.UNKNOWN and not verdict.common_name:
            guess = next(((name, p) for name, p in verdict.top if name.casefold() not in NO_SPECIES), None)
            if guess is None:
                return self._("no name is likely")
            return self._("perhaps %(name)s, %(share)s", name=guess[0], share=self.percent(guess[1]))
        return self._("%(share)s sure", share=self.percent(verdict.score))

    def percent(self, share: float | None) -> str:
        """`87 %`."""
        return "–" if share is None else self._("%(number)s\N{NO-BREAK SPACE}%%", number=round(share * 100))

    def first(self, stored: StoredVisit) -> str:
        """The most notable first of a visit, in words; empty where it is none."""
        return self._(FIRST_WORDS[stored.firsts[0]]) if stored.firsts else ""

    def camera_state(self, state: str) -> str:
        """Whether a camera gives pictures."""
        return self._(CAMERA_WORDS[state]) if state in CAMERA_WORDS else state

    def said(self, verdict: ReviewVerdict | str, species: str | None) -> str:
        """What a person said of a visit; the species, where they named one."""
        return species or self._(SAID_WORDS[ReviewVerdict(verdict)])

    def person(self, by: str) -> str:
        """Who reviewed a visit."""
        return self._(PAGE_REVIEWER) if by == PAGE_REVIEWER else by

    def day(self, day: date, today: date, *, inside: bool = False) -> str:
        """A day as people say it: `Today`, `Yesterday`, `Monday 4 May`, with the year where it is another one.

        Args:
            inside: within a sentence, where `today` begins with a small letter.
        """
        if day == today:
            return self._("today") if inside else self._("Today")
        if (today - day).days == 1:
            return self._("yesterday") if inside else self._("Yesterday")
        return self.language.date(day, N_("EEEE d MMMM") if day.year == today.year else N_("EEEE d MMMM y"))

    def whole_day(self, day: date) -> str:
        """A day of this year as a heading: `Monday 4 May`."""
        return self.language.date(day, N_("EEEE d MMMM"))

    def weekday(self, day: date) -> str:
        """The day of the week, short: `Mon`."""
        return self.language.date(day, N_("EEE"))

    def date(self, day: date) -> str:
        """A day with its year: `4 May 2026`."""
        return self.language.date(day, N_("d MMM y"))

    def hour(self, hour: int) -> str:
        """An hour of the day: `07:00-08:00`, with an en dash; it reads from left to right in every language."""
        return f"\N{LEFT-TO-RIGHT ISOLATE}{hour:02}:00\N{EN DASH}{hour + 1:02}:00\N{POP DIRECTIONAL ISOLATE}"

    def lasted(self, start: datetime, end: datetime | None) -> str:
        """How long a visit was: `12 s`, `3 min 20 s`, `1 h 5 min`; `here now` while the bird is there."""
        if end is None:
            return self._("here now")
        seconds = max(0, round((end - start).total_seconds()))
        minutes, rest = divmod(seconds, 60)
        if minutes == 0:
            return self._("%(seconds)s\N{NO-BREAK SPACE}s", seconds=seconds)
        if minutes < 10 and rest:
            short = N_("%(minutes)s\N{NO-BREAK SPACE}min %(seconds)s\N{NO-BREAK SPACE}s")
            return self._(short, minutes=minutes, seconds=rest)
        if minutes < 60:
            return self._("%(minutes)s\N{NO-BREAK SPACE}min", minutes=minutes)
        long = N_("%(hours)s\N{NO-BREAK SPACE}h %(minutes)s\N{NO-BREAK SPACE}min")
        return self._(long, hours=minutes // 60, minutes=minutes % 60)

    def span(self, seconds: float) -> str:
        """A length of time in its largest unit: `40 s`, `3 min`, `5 h`, `2 days`."""
        if seconds >= 86_400 * 1.5:
            return self._n("%(num)s day", "%(num)s days", round(seconds / 86_400))
        if seconds >= 3600 * 1.5:
            return self._n("%(num)s h", "%(num)s h", round(seconds / 3600))
        if seconds >= 90:
            return self._n("%(num)s min", "%(num)s min", round(seconds / 60))
        return self._n("%(num)s s", "%(num)s s", round(seconds))

    def watched(self, seconds: float) -> str:
        """A length of time to compare with others: `40 min`, `119.6 h`."""
        if seconds >= 3600:
            return self._("%(hours)s h", hours=self.language.number(round(seconds / 3600, 1)))
        return self._n("%(num)s min", "%(num)s min", round(seconds / 60))

    def age(self, seconds: float | None) -> str:
        """How long ago: `just now`, `40 s ago`, `3 min ago`, `5 h ago`, `2 days ago`; `never` for None."""
        if seconds is None:
            return self._("never")
        return self._("just now") if seconds < 5 else self._("%(span)s ago", span=self.span(seconds))

    def frame_age(self, seconds: float | None) -> str:
        """How long ago a camera's last picture was. Below a minute no more is known: it is noted twice a minute."""
        if seconds is None or seconds < 5 or seconds >= 60:
            return self.age(seconds)
        return self._("less than a minute ago")

    def size(self, number: float | None) -> str:
        """A number of bytes: `12.3 MB`, `4.5 GB`."""
        if number is None:
            return "–"
        if number >= 1e9:
            return self._("%(number)s GB", number=self.language.number(round(number / 1e9, 1)))
        return self._("%(number)s MB", number=self.language.number(round(number / 1e6, 1)))


def clock(at: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """The time of day at the station: `08:31`."""
    return at.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def since_s(at: datetime, now: datetime) -> float:
    """Seconds from then to now, never negative."""
    return max(0.0, (now - at.astimezone(UTC)).total_seconds())
