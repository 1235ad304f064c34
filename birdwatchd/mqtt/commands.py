"""Carry out what others ask of us over MQTT: switch a camera, confirm or retract a visit. Nothing unless allowed.

`<camera>/set/enabled` takes `ON` or `OFF`; `<camera>/set/confirm` and `<camera>/set/retract` take a visit's id, or
`last` for the newest visit that was told and is over. Whoever may write to these topics may do these things: the
broker's access rules say who. What is retained, too big, unknown or not allowed is ignored, and said once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from birdwatchd.errors import StoreError
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.connection import Heard
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message
from birdwatchd.store import Review, ReviewVerdict, Store, Writer

__all__ = ["Commands"]

log = logging.getLogger(__name__)

MAX_BYTES = 64  # twice a visit's id
MAX_SAID = 100  # different complaints in the log; after that they are only counted
REPEAT = timedelta(seconds=2)  # a button pressed twice, or a message that QoS 1 brought twice, means one visit
_VISIT_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_WANTS = {"enabled": "enable", "confirm": "confirm", "retract": "retract"}
_VERDICTS = {"confirm": ReviewVerdict.CONFIRM, "retract": ReviewVerdict.NOT_A_BIRD}


class Commands:
    """Belongs to the publisher's thread."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        topics: Topics,
        metrics: Metrics,
        *,
        allowed: Collection[str],
        cameras: Collection[str],
        off: Collection[str],
        fixed: Collection[str],
        switch: Callable[[str, bool], None],
    ) -> None:
        """
        Args:
            writer: for reviews.
            cameras: all config keys.
            off: those that were switched off by an earlier command.
            fixed: those that the configuration switches off, so that no command can switch them on.
            switch: starts or stops a camera.
        """
        self._store, self._writer, self._topics, self._metrics = store, writer, topics, metrics
        self._allowed, self._cameras, self._fixed, self._switch = allowed, cameras, fixed, switch
        self._off = set(off) | set(fixed)
        self._pressed: dict[tuple[str, str], datetime] = {}
        self._said: set[str] = set()

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return [self._topics.command("+", "#")] if self._allowed else []

    def states(self) -> list[Message]:
        """Whether each camera is switched on, for those who may switch it."""
        if "enable" not in self._allowed:
            return []
        return [self._state(camera) for camera in self._cameras]

    def take(self, heard: Heard, now: datetime) -> list[Message]:
        """Carry out one command; returns the states that it changed."""
        camera, leaf = self._address(heard.topic)
        where = f"a command on {heard.topic[:200]!r}"
        if objection := self._objection(heard, camera, leaf):
            return self._ignore(f"{where} {objection}")
        text = heard.payload.decode("utf-8", "replace").strip()
        try:
            if leaf == "enabled":
                return self._set_enabled(camera, text, where, now)
            return self._review(camera, leaf, text, where, now)
        except StoreError as error:
            return self._ignore(f"{where} cannot be carried out: {error}")

    def _objection(self, heard: Heard, camera: str, leaf: str) -> str:
        if heard.retained:
            return "is retained; commands must not be, clear it at the broker"
        if len(heard.payload) > MAX_BYTES:
            return f"is too big ({len(heard.payload)} bytes)"
        if camera not in self._cameras or leaf not in _WANTS:
            return "is not known"
        if _WANTS[leaf] not in self._allowed:
            return f"is not allowed; add {_WANTS[leaf]} to mqtt.commands"
        return ""

    def _address(self, topic: str) -> tuple[str, str]:
        for camera in self._cameras:
            begin = self._topics.command(camera, "")
            if topic.startswith(begin):
                return camera, topic.removeprefix(begin)
        return "", ""

    def _set_enabled(self, camera: str, text: str, where: str, now: datetime) -> list[Message]:
        if text not in ("ON", "OFF"):
            return self._ignore(f"{where} says {text!r}; send ON or OFF")
        if camera in self._fixed:
            self._ignore(f"{where} is ignored: the configuration has `enabled: false` for this camera")
            return [self._state(camera)]  # so that the switch goes back
        on = text == "ON"
        self._store.cameras.switch(camera, on=on, now=now)
        (self._off.discard if on else self._off.add)(camera)
        self._switch(camera, on)
        log.info("camera %s: switched %s over MQTT", camera, text.lower())
        self._metrics.add("mqtt_commands_total", command="enable")
        return [self._state(camera)]

    def _review(self, camera: str, leaf: str, text: str, where: str, now: datetime) -> list[Message]:
        before = self._pressed.get((camera, leaf))
        if text == "last":
            if before is not None and timedelta(0) <= now - before < REPEAT:
                return []
            self._pressed[camera, leaf] = now
        elif not _VISIT_ID.fullmatch(text):
            return self._ignore(f"{where} says {text!r}; send `last` or the id of a visit")
        visit_id = self._store.visits.last_published(camera) if text == "last" else text
        visit = self._store.visits.get(visit_id) if visit_id is not None else None
        if visit is None or visit.camera != camera:
            return self._ignore(f"{where}: there is no such visit")
        reviews = {(reviewed, verdict) for reviewed, verdict, _ in self._store.visits.reviews()}
        if (visit.visit_id, _VERDICTS[leaf].value) not in reviews:
            self._writer.review(visit.visit_id, Review(_VERDICTS[leaf], "MQTT"), now)
            log.info("camera %s: visit %s: %s over MQTT", camera, visit.visit_id, leaf)
        self._metrics.add("mqtt_commands_total", command=leaf)
        return []

    def _state(self, camera: str) -> Message:
        payload = b"OFF" if camera in self._off else b"ON"
        return Message(self._topics.enabled(camera), payload, retain=True, coalesce=True)

    def _ignore(self, why: str) -> list[Message]:
        self._metrics.add("mqtt_commands_ignored_total")
        if why not in self._said and len(self._said) < MAX_SAID:
            self._said.add(why)
            log.warning("%s", why)
        return []
