"""Turn what alert rules decide into notes for the database and messages for broker and channels.

`Alarms` is what the store calls inside the transaction that writes a visit revision; it waits for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from birdwatchd.alerts.bird_names import Kin
from birdwatchd.alerts.daytime import Daytime
from birdwatchd.alerts.rules import Station, bird_key, judge, reconsider
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Label, Message, Phase, State
from birdwatchd.settings.agreement import BROKER
from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict.build import shown_labels
from birdwatchd.store import AlertContext, Fired, Outcome, StoredVisit

__all__ = ["Alarms", "alarms_of", "station_of", "unknown_names"]

log = logging.getLogger(__name__)


class Alarms:
    """The rules of one station, and who is told."""

    def __init__(
        self,
        rules: Sequence[AlertSettings],
        station: Station,
        topics: Topics | None,
        channels: Mapping[str, ChannelSettings],
    ) -> None:
        """
        Args:
            topics: None where there is no broker.
        """
        self._rules, self._station, self._topics, self._channels = tuple(rules), station, topics, channels

    def __call__(self, asked: AlertContext) -> list[Outcome]:
        """What comes of one visit revision."""
        found = (self._one(rule, asked) for rule in self._rules)
        return [outcome for outcome in found if outcome is not None]

    def warn_of_unknown_names(self) -> None:
        """Log names of rules that mean no bird: spelling mistakes, mostly."""
        for rule, name in unknown_names(self._rules, self._station.kin):
            log.warning("alerts: rule %s names %s, which no bird is called: check the spelling", rule, name)

    def _one(self, rule: AlertSettings, asked: AlertContext) -> Outcome | None:
        stored = asked.stored
        fired = asked.fired.get(rule.name)
        if fired is None:
            judgement = judge(rule, stored, self._station, asked.history)
            return self._fire(rule, judgement.reasons, asked) if judgement.fires else None
        news = reconsider(rule, fired, stored, self._station, asked.history)
        if news is None:
            return None
        note, phase = news
        if phase is None:
            return Outcome(note)
        said = replace(stored, phase=phase)
        reasons = (_what_changed(fired, said),)
        return Outcome(note, self._messages(rule, fired.channels, said, reasons, None))

    def _fire(self, rule: AlertSettings, reasons: Sequence[str], asked: AlertContext) -> Outcome:
        """Tell of a visit. Channels are not told of one that is over for longer than they keep messages."""
        visit = asked.stored.visit
        broker = (BROKER,) if rule.mqtt and self._topics is not None else ()
        age = asked.now - (visit.end or visit.last_seen or visit.start)
        there = [name for name in dict.fromkeys(rule.to) if name in self._channels]
        fresh = [name for name in there if age <= self._channels[name].max_age]
        verdict = visit.verdict
        told = (*broker, *fresh)
        note = Fired(
            rule=rule.name,
            state=verdict.state.value,
            species=bird_key(verdict),
            name=verdict.common_name,
            phase=Phase.PROVISIONAL if visit.end is None else Phase.FINAL,
            stands=True,
            channels=told,
        )
        wants_image = rule.mqtt_image or any(self._channels[name].image for name in fresh)
        image = asked.best_crop() if wants_image else None
        return Outcome(note, self._messages(rule, told, asked.stored, reasons, image))

    def _messages(
        self,
        rule: AlertSettings,
        told: Collection[str],
        stored: StoredVisit,
        reasons: Sequence[str],
        image: bytes | None,
    ) -> tuple[Message, ...]:
        key = f"{stored.visit.visit_id}:{stored.visit.revision}"
        plain = alert_payload(stored, rule.name, reasons)
        shown = alert_payload(stored, rule.name, reasons, image) if image else plain
        messages = []
        if BROKER in told and self._topics is not None:
            messages.append(Message(self._topics.alert, shown if rule.mqtt_image else plain, key=key))
        for name in told:
            if name in self._channels:
                payload = shown if self._channels[name].image else plain
                messages.append(Message("alert", payload, key=key, channel=name))
        return tuple(messages)


def _what_changed(fired: Fired, now: StoredVisit) -> str:
    """In words, for those who were told."""
    verdict = now.visit.verdict
    before = fired.name or "a bird without a name"
    if verdict.state is State.REJECTED:
        return f"it is no bird; was told as {before}"
    name = verdict.common_name or "a bird without a name"
    if not fired.stands:
        return f"it is {name} after all"
    how = "" if verdict.state.value == fired.state else f"{verdict.state.value} "
    return f"it is {how}{name}; was told as {before}"


def unknown_names(rules: Sequence[AlertSettings], kin: Kin) -> list[tuple[str, str]]:
    """Rule and name of what rules name and no bird is called."""
    return [(rule.name, name) for rule in rules for name in kin.unknown(rule.species)]


def station_of(config: Config, labels: Sequence[Label] = ()) -> Station:
    """What rules need to know of a station: its birds are those of the bundled table, in the user's language.

    Args:
        labels: of the model, which may know more.

    Raises:
        ConfigError: the names file cannot be used.
    """
    place = config.station
    daytime = Daytime(place.zone, place.latitude, place.longitude)
    kin = Kin(shown_labels((*bundled_taxonomy().all, *labels), config.species))
    return Station(daytime, kin, {key: camera.zones for key, camera in config.cameras.items()})


def alarms_of(config: Config, labels: Sequence[Label] = ()) -> Alarms | None:
    """The rules of a configuration; None where there are none.

    Args:
        labels: of the model, where it is known; the bundled table is always known.

    Raises:
        ConfigError: the names file cannot be used.
    """
    if not config.alerts:
        return None
    topics = Topics(config.mqtt.base, config.station.name) if config.mqtt.url else None
    return Alarms(config.alerts, station_of(config, labels), topics, config.channels)
