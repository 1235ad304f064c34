"""Build Home Assistant's MQTT discovery messages: one retained message per device, with all its entities.

Entity ids come from the station name and the config keys, never from display names, so that a camera may be renamed at
any time. Every camera has topics of its own; no template filters a shared one. See docs/tutorials/home-assistant.md,
and https://www.home-assistant.io/integrations/mqtt/ for the rules.
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
# Home Assistant ignores values other than these two; after `disabled` it would stay at the last one.
_ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"
_BLIND = "{{ 'ON' if value_json.blind else 'OFF' }}"
_SCORE = "{{ (value_json.score * 100) | round(1) if value_json is defined else none }}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery messages of one station.

    Attributes:
        prefix: Home Assistant's discovery prefix; empty for no discovery.
        cameras: display names, by key.
        images: pictures are published, except of the cameras `without_pictures`.
        commands: those that are allowed; only these get a switch or a button.
        heartbeat: the daily summary is published.
    """

    prefix: str
    topics: Topics
    cameras: Mapping[str, str]
    images: bool = True
    without_pictures: Collection[str] = ()
    commands: Collection[str] = ()
    heartbeat: bool = True

    @property
    def birth_topics(self) -> list[str]:
        """Where Home Assistant publishes its birth message: its default topic, and one below the discovery prefix."""
        return list(dict.fromkeys(("homeassistant/status", f"{self.prefix}/status"))) if self.prefix else []

    @property
    def messages(self) -> list[Message]:
        """All discovery messages, the station's first: the cameras refer to it as `via_device`."""
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
        device_id = self._station_id
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
        cmps["storage"] = {
            "p": "binary_sensor",
            "name": "Storage",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": self.topics.storage,
            "value_template": "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
            "json_attributes_topic": self.topics.storage,
        }
        if not self.heartbeat:
            cmps["heartbeat"] = {"p": "sensor"}
        name = f"birdwatchd {self.topics.station}"
        return self._config(device_id, self._device(device_id, name), cmps, slug(self.topics.station))

    def _camera(self, camera: str) -> dict[str, Any]:
        device_id, topics = self._camera_id(camera), self.topics
        camera_online = {"topic": topics.camera_status(camera), "value_template": _ONLINE}
        online = [{"topic": topics.status}, camera_online]
        device = self._device(device_id, self.cameras[camera] or camera) | {"via_device": self._station_id}
        cmps = _visit_entities(topics, camera) | _diagnostic_entities(topics.health(camera))
        cmps |= self._image_entity(camera) | self._command_entities(camera)
        config = self._config(device_id, device, cmps, slug(camera))
        return config | {"availability": online, "availability_mode": "all"}

    def _config(self, device_id: str, device: dict[str, Any], cmps: dict[str, Any], prefix: str) -> dict[str, Any]:
        """The discovery payload of a device; every entity gets its unique id and its first entity id."""
        for leaf, cmp in cmps.items():
            if len(cmp) > 1:  # a platform alone removes an entity that existed before
                cmp["unique_id"] = f"{device_id}_{leaf}"
                cmp["default_entity_id"] = f"{cmp['p']}.{prefix}_{leaf}"
        return {"dev": device, "o": {"name": "birdwatchd", "sw": __version__}, "qos": 1, "cmps": cmps}

    def _image_entity(self, camera: str) -> dict[str, Any]:
        if not self.images or camera in self.without_pictures:
            return {"image": {"p": "image"}}
        topic = self.topics.image(camera)
        return {"image": {"p": "image", "name": "Last bird", "image_topic": topic, "content_type": "image/jpeg"}}

    def _command_entities(self, camera: str) -> dict[str, Any]:
        """A switch and two buttons, for the commands that are allowed."""
        topics, station = self.topics, [{"topic": self.topics.status}]
        switch = {
            "p": "switch",
            "name": "Watching",
            "icon": "mdi:cctv",
            "state_topic": topics.enabled(camera),
            "command_topic": topics.command(camera, "enabled"),
            "availability": station,  # not the camera's: a switched-off camera must be available to be switched on
        }
        cmps: dict[str, Any] = {"enabled": switch if "enable" in self.commands else {"p": "switch"}}
        for leaf, name, icon in (("confirm", "Confirm last", "mdi:check"), ("retract", "No bird", "mdi:bird-off")):
            button: dict[str, Any] = {"p": "button", "name": name, "icon": icon, "payload_press": "last"}
            button |= {"command_topic": topics.command(camera, leaf), "availability": station}
            cmps[leaf] = button if leaf in self.commands else {"p": "button"}
        return cmps


def _visit_entities(topics: Topics, camera: str) -> dict[str, Any]:
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
            "state_class": "total",  # it decreases when a visit is rejected, so not total_increasing
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


def _diagnostic_entities(health: str) -> dict[str, Any]:
    diagnostic = {"p": "sensor", "entity_category": "diagnostic", "state_topic": health, "state_class": "measurement"}
    fps = {"name": "Frames per second", "unit_of_measurement": "fps", "value_template": "{{ value_json.fps }}"}
    age = {"name": "Age of last frame", "unit_of_measurement": "s", "device_class": "duration"}
    age["value_template"] = "{{ value_json.last_frame_age_s }}"
    blind = {"p": "binary_sensor", "name": "Sees no birds", "device_class": "problem", "entity_category": "diagnostic"}
    blind |= {"state_topic": health, "value_template": _BLIND, "json_attributes_topic": health}
    return {"fps": diagnostic | fps, "frame_age": diagnostic | age, "blind": blind}


def slug(key: str) -> str:
    """A config key as part of an entity id, in which Home Assistant allows no hyphen."""
    return key.replace("-", "_")


def _encode(config: dict[str, Any]) -> bytes:
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
