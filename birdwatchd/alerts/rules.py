"""Decide whether an alert rule fires for a visit, and whether a visit it fired for needs a correction.

Pure functions of a rule, a visit, the station and the history. All times are the visit's start, never the time of the
decision: so a rule decides for stored visits what it decided, or would have decided, when they happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from birdwatchd.alerts.bird_names import NameIndex
from birdwatchd.alerts.daytime import Daytime
from birdwatchd.records import Phase, State, Verdict, Visit
from birdwatchd.settings.alerts import AlertSettings, unseen_days
from birdwatchd.settings.base import Point
from birdwatchd.species.taxonomy import name_key
from birdwatchd.store import Fired, StoredVisit

__all__ = ["WHY_NOT", "AlertHistory", "RuleResult", "Station", "evaluate", "follow_up", "taxon_key"]

# Why a rule does not fire, in the order in which the conditions are checked; the first is the reason.
WHY_NOT = ("state", "species", "camera", "zone", "count", "hours", "quiet", "when", "cooldown", "daily_cap")


class AlertHistory(Protocol):
    """Queries about other visits; the visit under evaluation is never among them."""

    def last_seen(self, species: str, before: datetime) -> datetime | None:
        """Start of the newest other visit of this confirmed species, not later than `before`."""

    def fired_within(self, rule: str, species: str, start: datetime, span: timedelta) -> bool:
        """Whether the rule's alert stands for another visit of `species` that began less than `span` from `start`."""

    def fired_between(self, rule: str, since: datetime, until: datetime) -> int:
        """For how many other visits with `since` <= start < `until` the rule fired, retracted or not."""


@dataclass(frozen=True, slots=True)
class Station:
    """What rules need to know of the station.

    Attributes:
        zones: the polygons of each camera, by name.
    """

    daytime: Daytime
    bird_names: NameIndex
    zones: Mapping[str, Mapping[str, Sequence[Point]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Whether a rule fires for a visit for which it has not fired before.

    Attributes:
        reasons: if it fires, the values of `when` that apply.
        why_not: if it does not, one of `WHY_NOT`, else empty.
    """

    reasons: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def fires(self) -> bool:
        """Whether to send an alert."""
        return not self.why_not


def evaluate(rule: AlertSettings, stored: StoredVisit, station: Station, history: AlertHistory) -> RuleResult:
    """Evaluate a rule for a visit for which it has not fired before."""
    why_not = first_mismatch(rule, stored, station, history) or _suppressed_by(rule, stored.visit, station, history)
    return RuleResult(why_not=why_not) if why_not else RuleResult(_occasions(rule, stored, history))


def first_mismatch(rule: AlertSettings, stored: StoredVisit, station: Station, history: AlertHistory) -> str:
    """The first condition of a rule that a visit does not meet, as in `WHY_NOT`; empty if it meets all."""
    visit, verdict = stored.visit, stored.visit.verdict
    is_within = station.daytime.is_within
    conditions: dict[str, Callable[[], object]] = {
        "state": lambda: verdict.state.value in rule.states,
        "species": lambda: (
            not rule.species or station.bird_names.keys_of(verdict) & {name_key(name) for name in rule.species}
        ),
        "camera": lambda: not rule.cameras or visit.camera in rule.cameras,
        "zone": lambda: not rule.zones or _in_zone(rule, visit, station),
        "count": lambda: visit.count_max >= rule.min_count,
        "hours": lambda: not rule.hours or any(is_within(window, visit.start) for window in rule.hours),
        "quiet": lambda: not any(is_within(window, visit.start) for window in rule.quiet),
        "when": lambda: _occasions(rule, stored, history),
    }
    return next((key for key, holds in conditions.items() if not holds()), "")


def _occasions(rule: AlertSettings, stored: StoredVisit, history: AlertHistory) -> tuple[str, ...]:
    """Those values of the rule's `when` that apply to a visit."""
    return tuple(occasion for occasion in rule.when if _holds(occasion, stored, history))


def _holds(occasion: str, stored: StoredVisit, history: AlertHistory) -> bool:
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
    last = history.last_seen(species, stored.visit.start)
    return last is None or stored.visit.start - last >= timedelta(days=days)


def _in_zone(rule: AlertSettings, visit: Visit, station: Station) -> bool:
    zones = station.zones.get(visit.camera, {})
    centre = visit.box.centre if visit.box else None
    return centre is not None and any(name in zones and contains(zones[name], centre) for name in rule.zones)


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Whether a point lies in a polygon (ray casting: a ray to the right crosses an odd number of edges)."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def _suppressed_by(rule: AlertSettings, visit: Visit, station: Station, history: AlertHistory) -> str:
    """`cooldown` or `daily_cap` if one of them suppresses the alert of a matching visit; else empty."""
    if rule.cooldown and history.fired_within(rule.name, taxon_key(visit.verdict), visit.start, rule.cooldown):
        return "cooldown"
    if rule.daily_cap is not None:
        since, until = station.daytime.local_day(visit.start)
        if history.fired_between(rule.name, since, until) >= rule.daily_cap:
            return "daily_cap"
    return ""


def taxon_key(verdict: Verdict) -> str:
    """The key of the named taxon, of whatever rank, that a cooldown applies to; empty for a bird without a name."""
    return name_key(verdict.scientific_name or verdict.common_name or "")


def follow_up(
    rule: AlertSettings, fired: Fired, stored: StoredVisit, station: Station, history: AlertHistory
) -> tuple[Fired, Phase | None] | None:
    """Decide whether a new revision of a visit, for which a rule has fired, needs a correction or a retraction.

    None is sent while the bird is present, since names may change until the visit ends. When it has ended, and at every
    later revision, one is sent if the new name makes the rule match no longer, or match again, or if it is another bird
    than the one alerted. A name that only became more precise while the visit lasted (none, genus, species) is not
    another bird.

    Returns:
        None if nothing changed; else the new state of the alert, and the phase to send, or None to send nothing.
    """
    visit, verdict = stored.visit, stored.visit.verdict
    if visit.end is None:
        return None
    state, species = verdict.state.value, taxon_key(verdict)
    same = (state, species) == (fired.state, fired.species)
    final = fired.phase is not Phase.PROVISIONAL
    if same and final:
        return None
    matches = fired.stands if same else not first_mismatch(rule, stored, station, history)
    to_send: Phase | None = None
    if fired.stands and not matches:
        to_send = Phase.RETRACTED if verdict.state is State.REJECTED else Phase.CORRECTED
    elif matches and not (fired.stands and _was_alerted(fired, verdict, station, final=final)):
        to_send = Phase.CORRECTED
    phase = to_send or (fired.phase if final else Phase.FINAL)
    updated = replace(fired, state=state, species=species, name=verdict.common_name, phase=phase, stands=matches)
    return updated, to_send


def _was_alerted(fired: Fired, verdict: Verdict, station: Station, *, final: bool) -> bool:
    """Whether the alert named the bird of this verdict: exactly if it was final, else also by a group or synonym."""
    exact = taxon_key(verdict)
    return fired.species == exact if final else fired.species in ("", exact, *station.bird_names.keys_of(verdict))
