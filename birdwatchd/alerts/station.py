"""Decide which faults of the station itself somebody hears of: each once, when it has lasted, and once when it is over.

Pure functions of what was found, how long ago, and what was reported before. A fault that comes and goes is not
reported anew: its end is reported only after it was away for as long as it had to last, at most ten minutes. What was
reported is kept in the database in the same transaction as the messages, so that a restart neither repeats nor forgets
one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message, rfc3339
from birdwatchd.settings.alerts import AlertSettings, fault_of

__all__ = ["Change", "Fault", "FaultRules", "Finding", "Findings", "messages_of"]

LONGEST_SETTLE_S = 600.0
AT_ONCE = ("no_visit_for", "backup_old")  # a visit or a backup ends them for days, so that they cannot come and go
TOPIC = "station_alert"  # of rows for channels


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is at this moment.

    Attributes:
        bad_for_s: for how long it has been bad; None while it is good.
        detail: why, if that is known.
    """

    bad_for_s: float | None = None
    detail: str = ""


Findings = Mapping[tuple[str, str], Finding]  # by fault and thing (camera, channel); what is not known is missing


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a thing, as one rule has it; `thing` is a camera or channel, empty for the station."""

    rule: str
    fault: str
    thing: str = ""

    @property
    def name(self) -> str:
        """Under which it is kept that it was reported."""
        return f"{self.rule}/{self.fault}/{self.thing}"


@dataclass(frozen=True, slots=True)
class Change:
    """Something to report."""

    fault: Fault
    phase: Literal["raised", "ended"]
    text: str


class FaultRules:
    """The rules about the station, with what was reported of them. Belongs to one thread."""

    def __init__(
        self,
        rules: Sequence[AlertSettings],
        cameras: Collection[str],
        channels: Collection[str],
        reported: Collection[str],
    ) -> None:
        """
        Args:
            cameras: keys of the enabled ones.
            reported: names of the faults that were reported, and whose end was not.
        """
        self._rules, self._cameras, self._channels = tuple(rules), tuple(cameras), tuple(channels)
        known = {fault.name for rule in self._rules for fault, _ in self._faults(rule)}
        self.stale = sorted(set(reported) - known)  # of rules, cameras or channels that are gone
        self._reported = set(reported) & known
        self._good_since_s: dict[Fault, float] = {}

    def rule(self, fault: Fault) -> AlertSettings:
        """The rule of a fault."""
        return next(rule for rule in self._rules if rule.name == fault.rule)

    def look(self, findings: Findings, now_s: float) -> list[Change]:
        """What is to be reported now; asked again until it is `confirmed`.

        Args:
            now_s: monotonic seconds.
        """
        return [change for rule in self._rules for change in self._look(rule, findings, now_s)]

    def confirmed(self, change: Change) -> None:
        """This change is in the outbox."""
        (self._reported.add if change.phase == "raised" else self._reported.discard)(change.fault.name)
        self._good_since_s.pop(change.fault, None)

    def _look(self, rule: AlertSettings, findings: Findings, now_s: float) -> Iterator[Change]:
        for fault, lasts in self._faults(rule):
            finding = self._finding(rule, fault, findings, lasts)
            if finding is None or finding.bad_for_s is not None:
                self._good_since_s.pop(fault, None)
            if finding is None:
                continue
            reported = fault.name in self._reported
            if finding.bad_for_s is not None and not reported and finding.bad_for_s >= lasts.total_seconds():
                yield Change(fault, "raised", _what(fault, finding))
            elif finding.bad_for_s is None and reported:
                since_s = self._good_since_s.setdefault(fault, now_s)
                if now_s - since_s >= _settle_s(fault, lasts):
                    yield Change(fault, "ended", _over(fault))

    def _faults(self, rule: AlertSettings) -> Iterator[tuple[Fault, timedelta]]:
        cameras = [key for key in self._cameras if not rule.cameras or key in rule.cameras]
        for occasion in rule.when:
            found = fault_of(occasion)
            if found is None:
                continue
            fault, lasts = found
            things = cameras if fault.startswith("camera_") else self._channels if fault == "channel_failing" else ("",)
            for thing in things:
                yield Fault(rule.name, fault, thing), lasts

    def _finding(self, rule: AlertSettings, fault: Fault, findings: Findings, lasts: timedelta) -> Finding | None:
        """What was found for a fault; what has an age is bad only when it is old enough."""
        found = findings.get((fault.fault, fault.thing))
        if fault.fault == "no_visit_for":
            cameras = [key for key in self._cameras if not rule.cameras or key in rule.cameras]
            known = [findings[fault.fault, key] for key in cameras if (fault.fault, key) in findings]
            found = min(known, key=lambda one: one.bad_for_s or 0.0, default=None)
            found = found and Finding(found.bad_for_s, ", ".join(rule.cameras))
        if found is not None and fault.fault in AT_ONCE and (found.bad_for_s or 0.0) < lasts.total_seconds():
            return Finding()
        return found


def _settle_s(fault: Fault, lasts: timedelta) -> float:
    """For how long a fault must be away before its end is reported."""
    if fault.fault in AT_ONCE:
        return 0.0
    return min(lasts.total_seconds(), LONGEST_SETTLE_S) or LONGEST_SETTLE_S


def _what(fault: Fault, finding: Finding) -> str:
    """What is wrong, for people."""
    thing, why = fault.thing, f": {finding.detail}" if finding.detail else ""
    lasted = _span(finding.bad_for_s or 0.0)
    where = f" at {finding.detail}" if finding.detail else ""
    never = finding.bad_for_s == float("inf")
    return {
        "camera_offline": f"camera {thing} has given no picture for {lasted}{why}",
        "camera_blind": f"camera {thing} could hardly see birds for {lasted}{why}",
        "no_visit_for": f"no bird was seen for {lasted}{where}",
        "disk_full": f"the disk is nearly full{why}",
        "broker_offline": f"the MQTT broker could not be reached for {lasted}",
        "channel_failing": f"channel {thing} has not taken messages for {lasted}",
        "backup_old": "there is no backup" if never else f"the last backup is {lasted} old",
    }[fault.fault]


def _over(fault: Fault) -> str:
    thing = fault.thing
    return {
        "camera_offline": f"camera {thing} gives pictures again",
        "camera_blind": f"camera {thing} can see birds again",
        "no_visit_for": "a bird was seen again",
        "disk_full": "there is room on the disk again",
        "broker_offline": "the MQTT broker is connected again",
        "channel_failing": f"channel {thing} takes messages again",
        "backup_old": "there is a new backup again",
    }[fault.fault]


def _span(seconds: float) -> str:
    for unit, length_s in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length_s:
            return f"{min(seconds, 1e9) / length_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def messages_of(
    change: Change,
    rule: AlertSettings,
    topics: Topics | None,
    channels: Collection[str],
    station: str,
    at: datetime,
) -> tuple[Message, ...]:
    """The messages about a change: none over what is itself the fault.

    Args:
        topics: None if no broker is configured.
        channels: those that are configured.
    """
    fault = change.fault
    payload = {
        "station": station,
        "rule": fault.rule,
        "when": fault.fault,
        "camera": fault.thing if fault.fault.startswith("camera_") else None,
        "channel": fault.thing if fault.fault == "channel_failing" else None,
        "phase": change.phase,
        "text": change.text,
        "at": rfc3339(at),
    }
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    messages = []
    if topics is not None and rule.mqtt and fault.fault != "broker_offline":
        messages.append(Message(topics.station_alert, text))
    for name in dict.fromkeys(rule.to):
        if name in channels and not (fault.fault == "channel_failing" and fault.thing == name):
            messages.append(Message(TOPIC, text, channel=name))
    return tuple(messages)
