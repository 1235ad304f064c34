"""Execute commands received over MQTT: switch a camera, confirm, retract or name a visit. All are off by default.

`<camera>/set/enabled` takes `ON` or `OFF`; `<camera>/set/confirm` and `<camera>/set/retract` take a visit id, or `last`
for the newest finished visit that was published; `<camera>/set/species` takes one of these and a name. Whoever may
write to these topics may give the commands: access rules of the broker decide who. Retained, too large, unknown and
forbidden commands are ignored, and each is logged once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from birdwatchd.errors import ConfigError, StoreError
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.connection import Received
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message, Visit
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.named import find_species, similar_species
from birdwatchd.store import Review, ReviewVerdict, Store, Writer

__all__ = ["Commands"]

log = logging.getLogger(__name__)

MAX_BYTES = 64  # twice the length of a visit id
MAX_BYTES_SPECIES = 256  # a visit id and a name
MAX_LOGGED = 100  # different warnings; later ones are only counted
REPEAT = timedelta(seconds=2)  # a double press, or a duplicate of QoS 1, means one visit
_VISIT_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_PERMISSIONS = {"enabled": "enable", "confirm": "confirm", "retract": "retract", "species": "species"}
_VERDICTS = {
    "confirm": ReviewVerdict.CONFIRM,
    "retract": ReviewVerdict.NOT_A_BIRD,
    "species": ReviewVerdict.SPECIES,
}
_DONE = {"confirm": "confirmed", "retract": "retracted", "species": "named"}


class Commands:
    """Executes commands and keeps the switched state of each camera. Used by the publisher's thread only."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        topics: Topics,
        metrics: Metrics,
        *,
        allowed: Collection[str],
        cameras: Collection[str],
        switched_off: Collection[str],
        disabled: Collection[str],
        switch: Callable[[str, bool], None],
        species: SpeciesSettings | None = None,
    ) -> None:
        """
        Args:
            writer: of reviews.
            cameras: all config keys.
            switched_off: those that an earlier command switched off.
            disabled: those with `enabled: false` in the configuration; no command can switch them on.
            switch: starts or stops a camera.
            species: in whose names visits are corrected.
        """
        self._store, self._writer, self._topics, self._metrics = store, writer, topics, metrics
        self._allowed, self._cameras, self._disabled, self._switch = allowed, cameras, disabled, switch
        self._species = species or SpeciesSettings()
        self._off = set(switched_off) | set(disabled)
        self._last_pressed: dict[tuple[str, str], datetime] = {}
        self._logged: set[str] = set()

    @property
    def topic_filters(self) -> list[str]:
        """What to subscribe to."""
        return [self._topics.command("+", "#")] if self._allowed else []

    def states(self) -> list[Message]:
        """The state topic of each camera's switch; none where the command is not allowed."""
        if "enable" not in self._allowed:
            return []
        return [self._state(camera) for camera in self._cameras]

    def execute(self, command: Received, now: datetime) -> list[Message]:
        """Execute one command; the states that it changed."""
        camera, leaf = self._parse(command.topic)
        where = f"ignored a command on {command.topic[:200]!r}"
        if objection := self._objection(command, camera, leaf):
            return self._ignore(f"{where}: {objection}")
        text = command.payload.decode("utf-8", "replace").strip()
        try:
            if leaf == "enabled":
                return self._set_enabled(camera, text, where, now)
            return self._review(camera, leaf, text, where, now)
        except (ConfigError, StoreError) as error:
            return self._ignore(f"{where}: {error}")

    def _objection(self, command: Received, camera: str, leaf: str) -> str:
        """Why a command is ignored, for the log; empty if it is not."""
        if command.retained:
            return "it is retained; clear it at the broker and send commands without retain"
        if len(command.payload) > (MAX_BYTES_SPECIES if leaf == "species" else MAX_BYTES):
            return f"too large ({len(command.payload)} bytes)"
        if camera not in self._cameras or leaf not in _PERMISSIONS:
            return "unknown camera or command"
        if _PERMISSIONS[leaf] not in self._allowed:
            return f"not allowed; add {_PERMISSIONS[leaf]} to mqtt.commands"
        return ""

    def _parse(self, topic: str) -> tuple[str, str]:
        """Camera and command of a topic; empty if it is not one of ours."""
        for camera in self._cameras:
            begin = self._topics.command(camera, "")
            if topic.startswith(begin):
                return camera, topic.removeprefix(begin)
        return "", ""

    def _set_enabled(self, camera: str, text: str, where: str, now: datetime) -> list[Message]:
        if text not in ("ON", "OFF"):
            return self._ignore(f"{where}: invalid payload {text!r}; send ON or OFF")
        if camera in self._disabled:
            self._ignore(f"{where}: the configuration has `enabled: false` for this camera")
            return [self._state(camera)]  # so that the switch goes back
        on = text == "ON"
        self._store.cameras.switch(camera, on=on, now=now)
        (self._off.discard if on else self._off.add)(camera)
        self._switch(camera, on)
        log.info("camera %s: switched %s over MQTT", camera, text.lower())
        self._metrics.add("mqtt_commands_total", command="enable")
        return [self._state(camera)]

    def _review(self, camera: str, leaf: str, text: str, where: str, now: datetime) -> list[Message]:
        label = None
        if leaf == "species":
            text, _, name = text.partition(" ")
            if not name.strip():
                return self._ignore(
                    f"{where}: invalid payload {text!r}; send `last` or a visit id, a space, and a name"
                )
            label = find_species(name, self._species)
            if label is None:
                similar = similar_species(name, self._species)
                return self._ignore(
                    f"{where}: unknown species {name!r}" + (f"; did you mean {similar}?" if similar else "")
                )
        previous = self._last_pressed.get((camera, leaf))
        if text == "last":
            if previous is not None and timedelta(0) <= now - previous < REPEAT:
                return []
            self._last_pressed[camera, leaf] = now
        elif not _VISIT_ID.fullmatch(text):
            return self._ignore(f"{where}: invalid payload {text!r}; send `last` or a visit id")
        visit_id = self._store.visits.last_published(camera) if text == "last" else text
        visit = self._store.visits.get(visit_id) if visit_id is not None else None
        if visit is None or visit.camera != camera:
            return self._ignore(f"{where}: no such visit")
        review = Review(_VERDICTS[leaf], "MQTT", label)
        if not self._is_reviewed(visit, review):
            self._writer.review(visit.visit_id, review, now)
            done = _DONE[leaf] + (f" {label.common_name}" if label else "")
            log.info("camera %s: visit %s %s over MQTT", camera, visit.visit_id, done)
        self._metrics.add("mqtt_commands_total", command=leaf)
        return []

    def _is_reviewed(self, visit: Visit, review: Review) -> bool:
        """Whether the newest review of a visit says the same."""
        said = {reviewed: (verdict, species) for reviewed, verdict, species in self._store.visits.reviews()}
        verdict, species = said.get(visit.visit_id, (None, None))
        return verdict == review.verdict.value and review.species in (None, species)

    def _state(self, camera: str) -> Message:
        payload = b"OFF" if camera in self._off else b"ON"
        return Message(self._topics.enabled(camera), payload, retain=True, coalesce=True)

    def _ignore(self, why: str) -> list[Message]:
        self._metrics.add("mqtt_commands_ignored_total")
        if why not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(why)
            log.warning("%s", why)
        return []
