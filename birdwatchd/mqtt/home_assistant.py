"""Describe the station and its cameras to Home Assistant: one retained message per device, all its entities in it.

Ids come from station name and config keys, never from display names, so that a camera may be renamed at any time.
Every camera has topics of its own; nothing is filtered out of a shared one. See docs/tutorials/home-assistant.md, and
https://www.home-assistant.io/integrations/mqtt/ for the rules.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from birdwatchd import __version__
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message

__all__ = ["EVENT_TYPES", "Discovery"]

EVENT_TYPES = ("visit", "first_today", "first_season", "first_year", "first_ever", "rare", "retracted")
_NAME = "{{ value_json.common_name or value_json.scientific_name if value_json is defined else none }}"
_ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"  # a word that it does not know changes nothing there
_SCORE = "{{ (value_json.score * 100) | round(1) if value_json is defined else none }}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What Home Assistant is told of one station.

    Attributes:
        prefix: of all its discovery topics; empty for none at all.
        cameras: names for people, by key.
        images: there is a picture of the newest bird.
        commands: those that are allowed; only these get a switch or a button.
        heartbeat: there is a daily summary.
    """

    prefix: str
    topics: Topics
    cameras: Mapping[str, str]
    images: bool = True
    commands: Collection[str] = ()
    heartbeat: bool = True

    @property
    def birth_topics(self) -> list[str]:
        """Where Home Assistant publishes its birth message: its default topic, and one below the discovery prefix."""
        return list(dict.fromkeys(("homeassistant/status", f"{self.prefix}/status"))) if self.prefix else []

    @property
    def messages(self) -> list[Message]:
        """All descriptions, the station's first: the cameras name it as what they come by."""
        if not self.prefix:
            return []
        devices = {self._station_id: self._station()}
        devices |= {self._camera_id(key): self._camera(key) for key in self.cameras}
        return [
            Message(f"{self.prefix}/device/{device}/config", _encode(config), retain=True, coalesce=True)
            for device, config in devices.items()
        ]

    @property
    def _station_id(self) -> str:
        return f"birdwatch_{self.topics.station}"

    def _camera_id(self, camera: str) -> str:
        return f"birdwatch_{self.topics.station}_{camera}"

    def _device(self, device: str, name: str) -> dict[str, Any]:
        return {"ids": [device], "name": name, "mf": "birdwatchd", "sw": __version__}

    def _station(self) -> dict[str, Any]:
        mine = self._station_id
        cmps: dict[str, Any] = {
            "status": {
                "p": "binary_sensor",
                "name": "Running",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": self.topics.status,
                "payload_on": "online",
                "payload_off": "offline",
            },
            "heartbeat": {
                "p": "sensor",
                "name": "Visits yesterday",
                "icon": "mdi:bird",
                "state_topic": self.topics.heartbeat,
                "value_template": "{{ value_json.visits }}",
                "json_attributes_topic": self.topics.heartbeat,
            },
        }
        if not self.heartbeat:
            cmps["heartbeat"] = {"p": "sensor"}
        name = f"birdwatchd {self.topics.station}"
        return self._config(mine, self._device(mine, name), cmps, slug(self.topics.station))

    def _camera(self, camera: str) -> dict[str, Any]:
        mine, topics = self._camera_id(camera), self.topics
        watching = {"topic": topics.camera_status(camera), "value_template": _ONLINE}
        online = [{"topic": topics.status}, watching]
        device = self._device(mine, self.cameras[camera] or camera) | {"via_device": self._station_id}
        cmps = _seeing(topics, camera) | _diagnostics(topics.health(camera))
        cmps |= self._image(camera) | self._controls(camera)
        config = self._config(mine, device, cmps, slug(camera))
        return config | {"availability": online, "availability_mode": "all"}

    def _config(self, device_id: str, device: dict[str, Any], cmps: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Put a device together; every entity gets its id, and a name by which it is first called."""
        for leaf, cmp in cmps.items():
            if len(cmp) > 1:  # a platform alone takes an entity away that was there before
                cmp["unique_id"] = f"{device_id}_{leaf}"
                cmp["default_entity_id"] = f"{cmp['p']}.{prefix}_{leaf}"
        return {"dev": device, "o": {"name": "birdwatchd", "sw": __version__}, "qos": 1, "cmps": cmps}

    def _image(self, camera: str) -> dict[str, Any]:
        if not self.images:
            return {"image": {"p": "image"}}
        topic = self.topics.image(camera)
        return {"image": {"p": "image", "name": "Last bird", "image_topic": topic, "content_type": "image/jpeg"}}

    def _controls(self, camera: str) -> dict[str, Any]:
        """A switch and two buttons, as far as commands are allowed."""
        topics, station = self.topics, [{"topic": self.topics.status}]
        switch = {
            "p": "switch",
            "name": "Watching",
            "icon": "mdi:cctv",
            "state_topic": topics.enabled(camera),
            "command_topic": topics.command(camera, "enabled"),
            "availability": station,  # not the camera's: what is switched off must be there to be switched on
        }
        cmps: dict[str, Any] = {"enabled": switch if "enable" in self.commands else {"p": "switch"}}
        for leaf, name, icon in (("confirm", "Confirm last", "mdi:check"), ("retract", "No bird", "mdi:bird-off")):
            button: dict[str, Any] = {"p": "button", "name": name, "icon": icon, "payload_press": "last"}
            button |= {"command_topic": topics.command(camera, leaf), "availability": station}
            cmps[leaf] = button if leaf in self.commands else {"p": "button"}
        return cmps


def _seeing(topics: Topics, camera: str) -> dict[str, Any]:
    last = topics.last(camera)
    return {
        "species": {
            "p": "sensor",
            "name": "Last species",
            "icon": "mdi:bird",
            "state_topic": last,
            "value_template": _NAME,
            "json_attributes_topic": last,
        },
        "score": {
            "p": "sensor",
            "name": "Confidence",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "state_topic": last,
            "value_template": _SCORE,
        },
        "today": {
            "p": "sensor",
            "name": "Visits today",
            "state_class": "total",  # it falls when a visit proves no bird; only a new date begins anew
            "state_topic": topics.today(camera),
            "value_template": "{{ value_json.visits }}",
            "last_reset_value_template": "{{ value_json.date }}T00:00:00",
            "json_attributes_topic": topics.today(camera),
        },
        "present": {
            "p": "binary_sensor",
            "name": "Bird present",
            "device_class": "occupancy",
            "state_topic": topics.present(camera),
            "payload_on": "ON",
            "payload_off": "OFF",
        },
        "visit": {
            "p": "event",
            "name": "Visit",
            "icon": "mdi:bird",
            "state_topic": topics.visit(camera),
            "event_types": list(EVENT_TYPES),
        },
    }


def _diagnostics(health: str) -> dict[str, Any]:
    diagnostic = {"p": "sensor", "entity_category": "diagnostic", "state_topic": health, "state_class": "measurement"}
    fps = {"name": "Frames per second", "unit_of_measurement": "fps", "value_template": "{{ value_json.fps }}"}
    age = {"name": "Age of last frame", "unit_of_measurement": "s", "device_class": "duration"}
    age["value_template"] = "{{ value_json.last_frame_age_s }}"
    return {"fps": diagnostic | fps, "frame_age": diagnostic | age}


def slug(key: str) -> str:
    """A config key as a part of a Home Assistant entity id, where a hyphen is not allowed."""
    return key.replace("-", "_")


def _encode(config: dict[str, Any]) -> bytes:
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
