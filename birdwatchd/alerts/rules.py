"""Decide which alert rules fire for a visit, and what is to be said when a visit that was told proves another bird.

Pure functions of a rule, a visit, the station and what was told before. All times are the visit's start, never the time
of deciding: so a rule decides of stored visits what it decided, or would have decided, when they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from birdwatchd.alerts.bird_names import Kin
from birdwatchd.alerts.daytime import Daytime
from birdwatchd.records import Phase, State, Verdict, Visit
from birdwatchd.settings.alerts import AlertSettings, unseen_days
from birdwatchd.settings.base import Point
from birdwatchd.species.taxonomy import name_key
from birdwatchd.store import Fired, StoredVisit

__all__ = ["WHY_NOT", "Judgement", "Past", "Station", "bird_key", "judge", "occasions", "reconsider"]

# Why a rule does not fire, in the order in which it is asked; the first that holds is the reason.
WHY_NOT = ("state", "species", "camera", "zone", "count", "hours", "quiet", "when", "cooldown", "daily_cap")


class Past(Protocol):
    """What a rule may ask about other visits; the visit that is judged is never among them."""

    def last_seen(self, species: str, before: datetime) -> datetime | None:
        """When the newest other visit of this confirmed species began, not later than `before`."""

    def fired_within(self, rule: str, species: str, start: datetime, span: timedelta) -> bool:
        """Whether the rule told of another visit of `species` that began less than `span` before or after `start`."""

    def fired_between(self, rule: str, since: datetime, until: datetime) -> int:
        """For how many other visits that began in this time, `until` left out, the rule fired, taken back or not."""


@dataclass(frozen=True, slots=True)
class Station:
    """What rules need to know of where they are.

    Attributes:
        zones: the polygons of each camera, by name.
    """

    daytime: Daytime
    kin: Kin
    zones: Mapping[str, Mapping[str, Sequence[Point]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says of a visit that it has not told of.

    Attributes:
        reasons: the occasions of `when` that hold, if it fires.
        why_not: one of `WHY_NOT` if it does not, else empty.
    """

    reasons: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def fires(self) -> bool:
        """Whether it is to be told."""
        return not self.why_not


def judge(rule: AlertSettings, stored: StoredVisit, station: Station, past: Past) -> Judgement:
    """Whether a rule fires for a visit for which it has not fired."""
    why_not = misfit(rule, stored, station, past) or _held_back(rule, stored.visit, station, past)
    return Judgement(why_not=why_not) if why_not else Judgement(occasions(rule, stored, past))


def misfit(rule: AlertSettings, stored: StoredVisit, station: Station, past: Past) -> str:
    """Which key of the rule a visit does not fit, as in `WHY_NOT`; empty if it fits all."""
    visit, verdict = stored.visit, stored.visit.verdict
    inside = station.daytime.inside
    fits: dict[str, Callable[[], object]] = {
        "state": lambda: verdict.state.value in rule.states,
        "species": lambda: not rule.species or station.kin.names(verdict) & {name_key(name) for name in rule.species},
        "camera": lambda: not rule.cameras or visit.camera in rule.cameras,
        "zone": lambda: not rule.zones or _in_zone(rule, visit, station),
        "count": lambda: visit.count_max >= rule.min_count,
        "hours": lambda: not rule.hours or any(inside(window, visit.start) for window in rule.hours),
        "quiet": lambda: not any(inside(window, visit.start) for window in rule.quiet),
        "when": lambda: occasions(rule, stored, past),
    }
    return next((key for key, holds in fits.items() if not holds()), "")


def occasions(rule: AlertSettings, stored: StoredVisit, past: Past) -> tuple[str, ...]:
    """Those of the rule's occasions that hold for a visit."""
    return tuple(occasion for occasion in rule.when if _holds(occasion, stored, past))


def _holds(occasion: str, stored: StoredVisit, past: Past) -> bool:
    if occasion == "every":
        return True
    if occasion == "rare":
        return stored.visit.verdict.rare
    days = unseen_days(occasion)
    if days is None:
        return occasion.removeprefix("first_") in stored.firsts
    species = stored.visit.verdict.species
    if species is None:
        return False
    last = past.last_seen(species, stored.visit.start)
    return last is None or stored.visit.start - last >= timedelta(days=days)


def _in_zone(rule: AlertSettings, visit: Visit, station: Station) -> bool:
    zones = station.zones.get(visit.camera, {})
    centre = visit.box.centre if visit.box else None
    return centre is not None and any(name in zones and contains(zones[name], centre) for name in rule.zones)


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Whether a point lies in a polygon: a ray from it to the right crosses an odd number of edges."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def _held_back(rule: AlertSettings, visit: Visit, station: Station, past: Past) -> str:
    """`cooldown` or `daily_cap` where one of them keeps a fitting visit from being told; else empty."""
    if rule.cooldown and past.fired_within(rule.name, bird_key(visit.verdict), visit.start, rule.cooldown):
        return "cooldown"
    if rule.daily_cap is not None:
        since, until = station.daytime.local_day(visit.start)
        if past.fired_between(rule.name, since, until) >= rule.daily_cap:
            return "daily_cap"
    return ""


def bird_key(verdict: Verdict) -> str:
    """The name that a cooldown goes by, whatever its rank; empty for a bird without a name."""
    return name_key(verdict.scientific_name or verdict.common_name or "")


def reconsider(
    rule: AlertSettings, fired: Fired, stored: StoredVisit, station: Station, past: Past
) -> tuple[Fired, Phase | None] | None:
    """What a rule makes of a visit that it has told of: nothing, a note to itself, or something to add.

    While the bird is there nothing is added: names may come and go. When the visit is over, and whenever it is revised
    later, it is told if another bird of it does not fit the rule, or fits it again, and if it is another bird than was
    told: a name in the place of none, or of its genus, while the visit lasted makes no other bird of it.

    Returns:
        The new note, and the phase to tell it as; None there where nothing is to be told; None where nothing changed.
    """
    visit, verdict = stored.visit, stored.visit.verdict
    if visit.end is None:
        return None
    state, species = verdict.state.value, bird_key(verdict)
    same = (state, species) == (fired.state, fired.species)
    settled = fired.phase is not Phase.PROVISIONAL
    if same and settled:
        return None
    fits = fired.stands if same else not misfit(rule, stored, station, past)
    tell: Phase | None = None
    if fired.stands and not fits:
        tell = Phase.RETRACTED if verdict.state is State.REJECTED else Phase.CORRECTED
    elif fits and not (fired.stands and _is_what_was_told(fired, verdict, station, settled=settled)):
        tell = Phase.CORRECTED
    phase = tell or (fired.phase if settled else Phase.FINAL)
    note = replace(fired, state=state, species=species, name=verdict.common_name, phase=phase, stands=fits)
    return note, tell


def _is_what_was_told(fired: Fired, verdict: Verdict, station: Station, *, settled: bool) -> bool:
    """Whether what was told of a bird is true of its verdict now; what was told as final, to the letter."""
    exact = bird_key(verdict)
    return fired.species == exact if settled else fired.species in ("", exact, *station.kin.names(verdict))
