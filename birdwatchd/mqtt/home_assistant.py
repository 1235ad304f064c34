"""Build Home Assistant's MQTT discovery messages: one retained message per device, with all its entities.

Entity ids come from the station name and the config keys, never from display names, so that a camera may be renamed at
any time. Every camera has topics of its own; no template filters a shared one. See docs/tutorials/home-assistant.md,
and https://www.home-assistant.io/integrations/mqtt/ for the rules; a real Home Assistant is asked by
tests/system/test_home_assistant.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from birdwatchd import __version__
from birdwatchd.mqtt.entities import (
    EVENT_TYPES,
    camera_entities,
    command_entities,
    image_entity,
    slug,
    station_entities,
)
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message

__all__ = ["EVENT_TYPES", "Discovery", "is_discovery"]

# Home Assistant ignores values other than these two; after `disabled` it would stay at the last one.
_ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery messages of one station.

    Attributes:
        prefix: Home Assistant's discovery prefix; empty for no discovery.
        cameras: display names, by key.
        images: pictures are published, except of the cameras `without_pictures`.
        commands: those that are allowed; only these get a switch, a button or a text field.
        heartbeat: the daily summary is published.
        alerts: there are alert rules.
        areas: where cameras are, by key; Home Assistant suggests these areas.
        page_url: what a device's page links to; empty for none.
    """

    prefix: str
    topics: Topics
    cameras: Mapping[str, str]
    images: bool = True
    without_pictures: Collection[str] = ()
    commands: Collection[str] = ()
    heartbeat: bool = True
    alerts: bool = True
    areas: Mapping[str, str] = field(default_factory=dict)
    page_url: str = ""

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

    def _device(self, device: str, name: str, model: str) -> dict[str, Any]:
        described = {"ids": [device], "name": name, "mf": "birdwatchd", "mdl": model, "sw": __version__}
        return described | ({"cu": self.page_url} if self.page_url else {})

    def _station(self) -> dict[str, Any]:
        cmps = station_entities(self.topics)
        for leaf, there in (("heartbeat", self.heartbeat), ("alert", self.alerts)):
            cmps[leaf] = cmps[leaf] if there else _removed(cmps[leaf])
        device = self._device(self._station_id, f"birdwatchd {self.topics.station}", "Bird station")
        return self._config(self._station_id, device, cmps, slug(self.topics.station))

    def _camera(self, camera: str) -> dict[str, Any]:
        device_id, topics = self._camera_id(camera), self.topics
        camera_online = {"topic": topics.camera_status(camera), "value_template": _ONLINE}
        device = self._device(device_id, self.cameras[camera] or camera, "Bird camera")
        device |= {"via_device": self._station_id}
        if area := self.areas.get(camera):
            device["sa"] = area
        image, shown = image_entity(topics, camera), self.images and camera not in self.without_pictures
        cmps = camera_entities(topics, camera) | {"image": image if shown else _removed(image)}
        for leaf, (permission, entity) in command_entities(topics, camera).items():
            cmps[leaf] = entity if permission in self.commands else _removed(entity)
        config = self._config(device_id, device, cmps, f"{slug(topics.station)}_{slug(camera)}")
        return config | {"availability": [{"topic": topics.status}, camera_online], "availability_mode": "all"}

    def _config(self, device_id: str, device: dict[str, Any], cmps: dict[str, Any], prefix: str) -> dict[str, Any]:
        """The discovery payload of a device; every entity gets its unique id, its first entity id and its QoS.

        Home Assistant before 2026.6 ignores a QoS that is written once for all.
        """
        for leaf, cmp in cmps.items():
            if len(cmp) > 1:  # a platform alone removes an entity that existed before
                cmp["unique_id"] = f"{device_id}_{leaf}"
                cmp["default_entity_id"] = f"{cmp['p']}.{prefix}_{leaf}"
                cmp["qos"] = 1
                if "availability" in cmp:
                    cmp["availability_mode"] = "all"
        return {"dev": device, "o": {"name": "birdwatchd", "sw": __version__}, "cmps": cmps}


def is_discovery(topic: str) -> bool:
    """Whether a topic is that of a discovery message of ours, under whatever prefix."""
    return "/device/birdwatch_" in topic and topic.endswith("/config")


def _removed(entity: Mapping[str, Any]) -> dict[str, Any]:
    """What removes an entity that existed before: its platform alone."""
    return {"p": entity["p"]}


def _encode(config: dict[str, Any]) -> bytes:
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
