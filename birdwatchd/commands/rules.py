"""Backtest alert rules on the stored visits, and send a test message through a channel.

A backtest writes nothing and sends nothing. It evaluates the visits in the order in which they began, each as it is
stored now, as if the configured rules had existed from the first of them on.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from birdwatchd.alerts.engine import build_station, unknown_names
from birdwatchd.alerts.rules import WHY_NOT, RuleResult, evaluate, taxon_key
from birdwatchd.channels.channel import build_sender
from birdwatchd.channels.wording import TEST_MODEL, describe_reason
from birdwatchd.commands.terminal import counted, err, name_of, out, shown
from birdwatchd.errors import ChannelError, ConfigError
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.records import Phase, Rank, State, Verdict, Visit, new_visit_id
from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import StoredVisit, StoreReader, Visits

__all__ = ["BacktestOptions", "backtest", "run_backtest", "send_test"]


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What the command line asked for; `every` also shows the visits for which no rule fires."""

    since: datetime | None = None
    until: datetime | None = None
    as_json: bool = False
    every: bool = False


@dataclass(slots=True)
class BacktestHistory:
    """The `AlertHistory` of a backtest: alerts that would have been sent so far, and the stored visits."""

    visits: Visits
    visit_id: str = ""
    starts_by_species: defaultdict[tuple[str, str], list[datetime]] = field(default_factory=lambda: defaultdict(list))
    starts_by_rule: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def last_seen(self, species: str, before: datetime) -> datetime | None:
        """From the database; see `birdwatchd.alerts.rules.AlertHistory`."""
        return self.visits.last_seen(species, before, self.visit_id)

    def fired_within(self, rule: str, species: str, start: datetime, span: timedelta) -> bool:
        """See `birdwatchd.alerts.rules.AlertHistory`."""
        starts = self.starts_by_species[rule, species]
        return bisect_left(starts, start + span) > bisect_right(starts, start - span)

    def fired_between(self, rule: str, since: datetime, until: datetime) -> int:
        """See `birdwatchd.alerts.rules.AlertHistory`."""
        starts = self.starts_by_rule[rule]
        return bisect_left(starts, until) - bisect_left(starts, since)

    def add(self, rule: str, visit: Visit) -> None:
        """Add an alert of a rule."""
        insort(self.starts_by_species[rule, taxon_key(visit.verdict)], visit.start)
        insort(self.starts_by_rule[rule], visit.start)


def run_backtest(config: Config, options: BacktestOptions) -> int:
    """Print for which visits the rules would have fired, and why not for the others.

    Raises:
        ConfigError: no rules are configured.
        StoreError: there is no database.
    """
    if not config.visit_alerts:
        hint = "add one below `alerts:`, see docs/reference/alerts.md"
        raise ConfigError("no alert rules about visits are configured", hint)
    for rule_name, bird in unknown_names(config.visit_alerts, build_station(config).bird_names):
        err.print(f"unknown species {shown(bird)} in rule {shown(rule_name)}; check the spelling")
    tallies = {rule.name: Counter[str]() for rule in config.visit_alerts}
    with StoreReader.open_existing(config.home) as store:
        for stored, rule, result in backtest(config, store.visits, options.since, options.until):
            tallies[rule.name][result.why_not] += 1
            if result.fires or options.every:
                _print_visit(stored.visit, rule, result, config.station.zone, as_json=options.as_json)
    _print_summary(tallies, as_json=options.as_json)
    return 0


def backtest(
    config: Config, visits: Visits, since: datetime | None = None, until: datetime | None = None
) -> Iterator[tuple[StoredVisit, AlertSettings, RuleResult]]:
    """The result of each rule for each stored visit, in the order in which the visits began."""
    station, history = build_station(config), BacktestHistory(visits)
    for stored in visits.stored(since, until):
        history.visit_id = stored.visit.visit_id
        for rule in config.visit_alerts:
            result = evaluate(rule, stored, station, history)
            if result.fires:
                history.add(rule.name, stored.visit)
            yield stored, rule, result


def send_test(config: Config, channel: str) -> int:
    """Send a test message through a channel.

    Raises:
        ConfigError: there is no such channel, or its files cannot be used.
        ChannelError: the message was not delivered.
    """
    if channel not in config.channels:
        known = (
            f"configured: {', '.join(config.channels)}"
            if config.channels
            else "none are configured yet (see channels:)"
        )
        raise ConfigError(f"no channel named {channel}", known)
    now = datetime.now(UTC)
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, "birdwatchd test", None, 0.0, ())
    visit = Visit(new_visit_id(now), "test", 1, now, now, verdict, 0, 1, None, TEST_MODEL)
    payload = alert_payload(StoredVisit(visit, Phase.FINAL, ()), "test", ("birdwatchd test: this channel works",))
    try:
        build_sender(channel, config.channels[channel], config)(payload)
    except ChannelError as error:
        raise type(error)(f"channel {channel}: {error.message}", error.hint) from None
    out.print(f"channel {shown(channel)} accepted the test message", soft_wrap=True)
    return 0


def _print_visit(visit: Visit, rule: AlertSettings, result: RuleResult, zone: tzinfo, *, as_json: bool) -> None:
    if as_json:
        decision = {"rule": rule.name, "fires": result.fires, "reasons": list(result.reasons)}
        line = {**decision, "why_not": result.why_not or None, "visit": visit.to_json()}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    when = visit.start.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    why = ", ".join(describe_reason(reason) for reason in result.reasons) or f"no alert: {result.why_not}"
    style = "bold green" if result.fires else "dim"
    bird, place = shown(f"{name_of(visit.verdict):<28}"), shown(f"{visit.camera:<12}")
    out.print(f"{when}  {shown(f'{rule.name:<14}')} {place} [{style}]{bird}[/] {shown(why)}", soft_wrap=True)


def _print_summary(tallies: dict[str, Counter[str]], *, as_json: bool) -> None:
    """How often each rule would have fired, and which conditions were not met how often."""
    if as_json:
        summary = {
            rule: {"fires": tally[""], "why_not": {why: tally[why] for why in WHY_NOT if tally[why]}}
            for rule, tally in tallies.items()
        }
        sys.stdout.write(json.dumps({"summary": summary}) + "\n")
        return
    for rule, tally in tallies.items():
        not_fired = ", ".join(f"{tally[why]} {why}" for why in WHY_NOT if tally[why])
        fired = f"[bold]{shown(rule)}[/]: an alert for {tally['']} of {counted(tally.total(), 'visit')}"
        out.print(f"{fired}{f'; no alert because of: {not_fired}' if not_fired else ''}", soft_wrap=True)
