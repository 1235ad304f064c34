"""Apply the alert rules to each visit revision and compose the alert messages for broker and channels.

The store calls `AlertEngine` inside the transaction that writes the revision, so that no alert is lost and none is
decided twice; it waits for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from birdwatchd.alerts.bird_names import NameIndex
from birdwatchd.alerts.daytime import Daytime
from birdwatchd.alerts.rules import Station, evaluate, follow_up, taxon_key
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

__all__ = ["AlertEngine", "build_alert_engine", "build_station", "unknown_names"]

log = logging.getLogger(__name__)


class AlertEngine:
    """The alert rules of one station, with the channels that they notify."""

    def __init__(
        self,
        rules: Sequence[AlertSettings],
        station: Station,
        topics: Topics | None,
        channels: Mapping[str, ChannelSettings],
    ) -> None:
        """
        Args:
            topics: None if no broker is configured.
        """
        self._rules, self._station, self._topics, self._channels = tuple(rules), station, topics, channels

    def __call__(self, change: AlertContext) -> list[Outcome]:
        """What the rules decide for one visit revision."""
        found = (self._apply(rule, change) for rule in self._rules)
        return [outcome for outcome in found if outcome is not None]

    def log_unknown_names(self) -> None:
        """Warn of names in rules that no bird has: mostly spelling mistakes."""
        for rule, name in unknown_names(self._rules, self._station.bird_names):
            log.warning("unknown species %s in alert rule %s; check the spelling", name, rule)

    def _apply(self, rule: AlertSettings, change: AlertContext) -> Outcome | None:
        fired = change.fired.get(rule.name)
        if fired is None:
            result = evaluate(rule, change.stored, self._station, change.history)
            return self._fire(rule, result.reasons, change) if result.fires else None
        update = follow_up(rule, fired, change.stored, self._station, change.history)
        if update is None:
            return None
        updated, phase = update
        if phase is None:
            return Outcome(updated)
        corrected = replace(change.stored, phase=phase)
        reasons = (_what_changed(fired, corrected),)
        return Outcome(updated, self._messages(rule, fired.channels, corrected, reasons, None))

    def _fire(self, rule: AlertSettings, reasons: Sequence[str], change: AlertContext) -> Outcome:
        """The first alert of a rule for a visit; channels get none of a visit that ended longer ago than `max_age`."""
        visit = change.stored.visit
        broker = (BROKER,) if rule.mqtt and self._topics is not None else ()
        age = change.now - (visit.end or visit.last_seen or visit.start)
        configured = [name for name in dict.fromkeys(rule.to) if name in self._channels]
        channels = [name for name in configured if age <= self._channels[name].max_age]
        recipients = (*broker, *channels)
        verdict = visit.verdict
        fired = Fired(
            rule=rule.name,
            state=verdict.state.value,
            species=taxon_key(verdict),
            name=verdict.common_name,
            phase=Phase.PROVISIONAL if visit.end is None else Phase.FINAL,
            stands=True,
            channels=recipients,
        )
        needs_image = rule.mqtt_image or any(self._channels[name].image for name in channels)
        image = change.best_crop() if needs_image else None
        return Outcome(fired, self._messages(rule, recipients, change.stored, reasons, image))

    def _messages(
        self,
        rule: AlertSettings,
        recipients: Collection[str],
        stored: StoredVisit,
        reasons: Sequence[str],
        image: bytes | None,
    ) -> tuple[Message, ...]:
        key = f"{stored.visit.visit_id}:{stored.visit.revision}"
        without_image = alert_payload(stored, rule.name, reasons)
        with_image = alert_payload(stored, rule.name, reasons, image) if image else without_image
        messages = []
        if BROKER in recipients and self._topics is not None:
            messages.append(Message(self._topics.alert, with_image if rule.mqtt_image else without_image, key=key))
        for name in recipients:
            if name in self._channels:
                payload = with_image if self._channels[name].image else without_image
                messages.append(Message("alert", payload, key=key, channel=name))
        return tuple(messages)


def _what_changed(fired: Fired, now: StoredVisit) -> str:
    """In words, for those who got the alert."""
    verdict = now.visit.verdict
    before = fired.name or "an unnamed bird"
    if verdict.state is State.REJECTED:
        return f"not a bird; was reported as {before}"
    name = verdict.common_name or "an unnamed bird"
    if not fired.stands:
        return f"{name} after all"
    how = "" if verdict.state.value == fired.state else f"{verdict.state.value} "
    return f"now {how}{name}; was reported as {before}"


def unknown_names(rules: Sequence[AlertSettings], bird_names: NameIndex) -> list[tuple[str, str]]:
    """Rule and name for each name in a rule that no bird has."""
    return [(rule.name, name) for rule in rules for name in bird_names.unknown(rule.species)]


def build_station(config: Config, labels: Sequence[Label] = ()) -> Station:
    """What rules need to know of the station; its names are those of the bundled tables, in the user's language.

    Args:
        labels: of the model, which may know more birds.

    Raises:
        ConfigError: the names file cannot be used.
    """
    place = config.station
    daytime = Daytime(place.zone, place.latitude, place.longitude)
    table = bundled_taxonomy()
    ruled = (table.find(name) for rule in config.alerts for name in rule.species)  # also by an old name
    known = (*table.all, *labels, *(label for label in ruled if label is not None))
    bird_names = NameIndex(shown_labels(known, config.species))
    return Station(daytime, bird_names, {key: camera.zones for key, camera in config.cameras.items()})


def build_alert_engine(config: Config, labels: Sequence[Label] = ()) -> AlertEngine | None:
    """The engine with the rules about visits of a configuration; None if there are none.

    Args:
        labels: of the model, where it is loaded; those of the bundled tables are always known.

    Raises:
        ConfigError: the names file cannot be used.
    """
    if not config.visit_alerts:
        return None
    topics = Topics(config.mqtt.base, config.station.name) if config.mqtt.url else None
    return AlertEngine(config.visit_alerts, build_station(config, labels), topics, config.channels)
