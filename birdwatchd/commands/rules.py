"""Try alert rules on the visits that are stored, and channels with a message that says it is a test.

A rehearsal writes nothing and sends nothing. It goes through the visits in the order in which they began, each as it
stands now, as if the rules of the configuration had been there from the first of them on.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from birdwatchd.alerts.engine import station_of, unknown_names
from birdwatchd.alerts.rules import WHY_NOT, Judgement, bird_key, judge
from birdwatchd.channels.channel import sender_of
from birdwatchd.channels.wording import reason_in_words
from birdwatchd.commands.terminal import err, name_of, out, shown
from birdwatchd.errors import ChannelError, ConfigError
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.records import Phase, Rank, State, Verdict, Visit, new_visit_id
from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import StoredVisit, StoreReader, Visits

__all__ = ["RehearsalOptions", "rehearse", "run_rehearsal", "send_test"]


@dataclass(frozen=True, slots=True)
class RehearsalOptions:
    """What the command line asked for; `every` shows also the visits that no rule would have told of."""

    since: datetime | None = None
    until: datetime | None = None
    as_json: bool = False
    every: bool = False


@dataclass(slots=True)
class Ledger:
    """What would have been told so far."""

    visits: Visits
    visit_id: str = ""
    by_species: defaultdict[tuple[str, str], list[datetime]] = field(default_factory=lambda: defaultdict(list))
    by_rule: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def last_seen(self, species: str, before: datetime) -> datetime | None:
        """As the database has it."""
        return self.visits.last_seen(species, before, self.visit_id)

    def fired_within(self, rule: str, species: str, start: datetime, span: timedelta) -> bool:
        """See `birdwatchd.alerts.rules.Past`."""
        starts = self.by_species[rule, species]
        return bisect_left(starts, start + span) > bisect_right(starts, start - span)

    def fired_between(self, rule: str, since: datetime, until: datetime) -> int:
        """See `birdwatchd.alerts.rules.Past`."""
        starts = self.by_rule[rule]
        return bisect_left(starts, until) - bisect_left(starts, since)

    def note(self, rule: str, visit: Visit) -> None:
        """The rule fired."""
        insort(self.by_species[rule, bird_key(visit.verdict)], visit.start)
        insort(self.by_rule[rule], visit.start)


def run_rehearsal(config: Config, options: RehearsalOptions) -> int:
    """Print which visits the rules would have told of, and why not of the others.

    Raises:
        ConfigError: there are no rules.
        StoreError: there is no database.
    """
    if not config.alerts:
        raise ConfigError("there are no alert rules", "write some below `alerts:`, see docs/reference/alerts.md")
    for rule_name, bird in unknown_names(config.alerts, station_of(config).kin):
        err.print(f"rule {shown(rule_name)} names {shown(bird)}, which no bird is called: check the spelling")
    tallies = {rule.name: Counter[str]() for rule in config.alerts}
    with StoreReader.open_existing(config.home) as store:
        for stored, rule, judgement in rehearse(config, store.visits, options.since, options.until):
            tallies[rule.name][judgement.why_not] += 1
            if judgement.fires or options.every:
                _show(stored.visit, rule, judgement, config.station.zone, as_json=options.as_json)
    _sum_up(tallies, as_json=options.as_json)
    return 0


def rehearse(
    config: Config, visits: Visits, since: datetime | None = None, until: datetime | None = None
) -> Iterator[tuple[StoredVisit, AlertSettings, Judgement]]:
    """What each rule would have made of each stored visit, in the order in which they began."""
    station, ledger = station_of(config), Ledger(visits)
    for stored in visits.stored(since, until):
        ledger.visit_id = stored.visit.visit_id
        for rule in config.alerts:
            judgement = judge(rule, stored, station, ledger)
            if judgement.fires:
                ledger.note(rule.name, stored.visit)
            yield stored, rule, judgement


def send_test(config: Config, channel: str) -> int:
    """Send a message by a channel that says it is a test.

    Raises:
        ConfigError: there is no such channel, or its files cannot be used.
        ChannelError: the channel did not take it.
    """
    if channel not in config.channels:
        known = ", ".join(config.channels) or "none; write one below `channels:`"
        raise ConfigError(f"there is no channel {channel}", f"there is {known}")
    now = datetime.now(UTC)
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, "Test of birdwatchd", None, 0.0, ())
    visit = Visit(new_visit_id(now), "test", 1, now, now, verdict, 0, 1, None, "test")
    payload = alert_payload(StoredVisit(visit, Phase.FINAL, ()), "test", ("this is a test, there is no bird",))
    try:
        sender_of(channel, config.channels[channel], config)(payload)
    except ChannelError as error:
        raise type(error)(f"channel {channel}: {error.message}", error.hint) from None
    out.print(f"channel {shown(channel)} took the message", soft_wrap=True)
    return 0


def _show(visit: Visit, rule: AlertSettings, judgement: Judgement, zone: tzinfo, *, as_json: bool) -> None:
    if as_json:
        said = {"rule": rule.name, "fires": judgement.fires, "reasons": list(judgement.reasons)}
        line = {**said, "why_not": judgement.why_not or None, "visit": visit.to_json()}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    when = visit.start.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    why = ", ".join(reason_in_words(reason) for reason in judgement.reasons) or f"not: {judgement.why_not}"
    style = "bold green" if judgement.fires else "dim"
    bird, place = shown(f"{name_of(visit.verdict):<28}"), shown(f"{visit.camera:<12}")
    out.print(f"{when}  {shown(f'{rule.name:<14}')} {place} [{style}]{bird}[/] {shown(why)}", soft_wrap=True)


def _sum_up(tallies: dict[str, Counter[str]], *, as_json: bool) -> None:
    """How often each rule would have told, and how often each key kept it from that."""
    if as_json:
        summary = {
            rule: {"fires": tally[""], "why_not": {why: tally[why] for why in WHY_NOT if tally[why]}}
            for rule, tally in tallies.items()
        }
        sys.stdout.write(json.dumps({"summary": summary}) + "\n")
        return
    for rule, tally in tallies.items():
        held = ", ".join(f"{tally[why]} {why}" for why in WHY_NOT if tally[why])
        told = f"[bold]{shown(rule)}[/]: {tally['']} of {tally.total()} visits would have been told"
        out.print(f"{told}{f'; not: {held}' if held else ''}", soft_wrap=True)
