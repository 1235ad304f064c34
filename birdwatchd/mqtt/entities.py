"""Describe the entities of Home Assistant: one dictionary for each, in the words of its MQTT integration.

Templates get `value`, and `value_json` where the payload is JSON: an empty payload (no bird yet, the last one
retracted) has none, and must not be an error in Home Assistant's log. A rendered `None` shows as unknown.
"""

from __future__ import annotations

from typing import Any

from birdwatchd.mqtt.topics import Topics

__all__ = ["EVENT_TYPES", "camera_entities", "command_entities", "image_entity", "slug", "station_entities"]

Entity = dict[str, Any]

EVENT_TYPES = ("visit", "first_today", "first_season", "first_year", "first_ever", "rare", "retracted")

_NAME = "{{ value_json.common_name or value_json.scientific_name if value_json is defined else none }}"
_NAME_OR_EMPTY = "{{ (value_json.common_name or value_json.scientific_name) if value_json is defined else '' }}"
_SCORE = "{{ (value_json.score * 100) | round(1) if value_json is defined else none }}"
_SEEN = "{{ (value_json.end or value_json.start) if value_json is defined else none }}"
# Home Assistant takes no attribute called `state`; the visit's is shown as `certainty`.
_VISIT = "{{ dict(value_json, certainty=value_json.state) | tojson if value_json is defined else '{}' }}"
_HAS_IMAGE = "{{ 'online' if value_json is defined and value_json.image | default(true) else 'offline' }}"
_BLIND = "{{ 'ON' if value_json.blind else 'OFF' }}"
_STORAGE = "{{ dict(value_json, kept=value_json.state) | tojson }}"
# A picture in it would be more than Home Assistant's database takes.
_ALERT = "{{ dict(value_json.items() | rejectattr(0, 'equalto', 'image_b64')) | tojson }}"
_LOCAL_MIDNIGHT = "{{ value_json.date }}T00:00:00"


def slug(key: str) -> str:
    """A config key as part of an entity id, in which Home Assistant allows no hyphen."""
    return key.replace("-", "_")


def camera_entities(topics: Topics, camera: str) -> dict[str, Entity]:
    """What is shown of a camera: its birds, and whether it works."""
    return _last_visit(topics.last(camera)) | _now(topics, camera) | _diagnostics(topics, camera)


def image_entity(topics: Topics, camera: str) -> Entity:
    """The picture of the newest bird; its availability is that of the picture, and is said in the topic `last`."""
    return {
        "p": "image",
        "name": "Last bird",
        "image_topic": topics.image(camera),
        "content_type": "image/jpeg",
        "availability": [
            {"topic": topics.status},
            {"topic": topics.last(camera), "value_template": _HAS_IMAGE},
        ],
    }


def command_entities(topics: Topics, camera: str) -> dict[str, tuple[str, Entity]]:
    """The entities that send commands, each with the permission that it needs (`mqtt.commands`)."""
    last, by_id = (
        topics.last(camera),
        {"json_attributes_topic": topics.last(camera), "json_attributes_template": _VISIT},
    )
    shared = {"availability": [{"topic": topics.status}]}  # not the camera's: a switched-off one can be switched on
    switch = {
        "p": "switch",
        "name": "Watching",
        "icon": "mdi:cctv",
        "state_topic": topics.enabled(camera),
        "command_topic": topics.command(camera, "enabled"),
    }
    text = {
        "p": "text",
        "name": "Correct the name",
        "icon": "mdi:pencil",
        "max": 100,
        "state_topic": last,
        "value_template": _NAME_OR_EMPTY,
        "command_topic": topics.command(camera, "species"),
        "command_template": "{{ this.attributes.visit_id | default('last') }} {{ value }}",
    }
    found: dict[str, tuple[str, Entity]] = {
        "enabled": ("enable", switch | shared),
        "correct": ("species", text | by_id | shared),
    }
    for leaf, name, icon in (("confirm", "Confirm last", "mdi:check"), ("retract", "No bird", "mdi:cancel")):
        button = {"p": "button", "name": name, "icon": icon, "payload_press": "last"}
        found[leaf] = (leaf, button | shared | {"command_topic": topics.command(camera, leaf)})
    return found


def station_entities(topics: Topics) -> dict[str, Entity]:
    """What is shown of the station itself: all cameras together, and whether it works."""
    running = {"availability": [{"topic": topics.status}]}
    today = {"p": "sensor", "state_topic": topics.station_today} | running
    number = {"p": "sensor", "entity_category": "diagnostic", "state_class": "measurement"} | running
    return {
        "status": {
            "p": "binary_sensor",
            "name": "Running",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
        },
        "heartbeat": {
            "p": "sensor",
            "name": "Visits yesterday",
            "icon": "mdi:bird",
            "state_topic": topics.heartbeat,
            "value_template": "{{ value_json.visits }}",
            "json_attributes_topic": topics.heartbeat,
        },
        "alert": {
            "p": "event",
            "name": "Alert",
            "icon": "mdi:bell-ring",
            "state_topic": topics.alert,
            "value_template": _ALERT,
            "event_types": list(EVENT_TYPES),
        },
        "today": today | _visits_today("Visits today") | {"json_attributes_topic": topics.station_today},
        "species_today": today | _species_today("Species today"),
        "species_total": today
        | {
            "name": "Species in all",
            "icon": "mdi:format-list-numbered",
            "state_class": "measurement",
            "value_template": "{{ value_json.species_total }}",
        },
        "storage": {
            "p": "binary_sensor",
            "name": "Storage",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.storage,
            "value_template": "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
            "json_attributes_topic": topics.storage,
            "json_attributes_template": _STORAGE,
        }
        | running,
        "disk_free": number
        | {
            "name": "Free disk space",
            "device_class": "data_size",
            "unit_of_measurement": "GB",
            "suggested_display_precision": 1,
            "state_topic": topics.storage,
            "value_template": "{{ value_json.free_gb }}",
        },
        "unsent": number
        | {
            "name": "Unsent messages",
            "icon": "mdi:email-arrow-right-outline",
            "state_topic": topics.station_health,
            "value_template": "{{ value_json.unsent }}",
            "json_attributes_topic": topics.station_health,
        },
    }


def _last_visit(last: str) -> dict[str, Entity]:
    return {
        "species": {
            "p": "sensor",
            "name": "Bird",  # Home Assistant lists entities by name; this one comes first
            "icon": "mdi:bird",
            "state_topic": last,
            "value_template": _NAME,
            "json_attributes_topic": last,
            "json_attributes_template": _VISIT,
        },
        "score": {
            "p": "sensor",
            "name": "Confidence",
            "icon": "mdi:percent",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "state_topic": last,
            "value_template": _SCORE,
        },
        "last_seen": {
            "p": "sensor",
            "name": "Last visit",
            "device_class": "timestamp",
            "state_topic": last,
            "value_template": _SEEN,
        },
    }


def _now(topics: Topics, camera: str) -> dict[str, Entity]:
    today = topics.today(camera)
    return {
        "today": {"p": "sensor", "state_topic": today, "json_attributes_topic": today} | _visits_today("Visits today"),
        "species_today": {"p": "sensor", "state_topic": today} | _species_today("Species today"),
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


def _visits_today(name: str) -> Entity:
    """Visits of the day: they decrease when one is rejected, so `total` and not `total_increasing`."""
    return {
        "name": name,
        "icon": "mdi:counter",
        "state_class": "total",
        "value_template": "{{ value_json.visits }}",
        "last_reset_value_template": _LOCAL_MIDNIGHT,
    }


def _species_today(name: str) -> Entity:
    count = "{{ value_json.species | length }}"
    return {"name": name, "icon": "mdi:bird", "state_class": "measurement", "value_template": count}


def _diagnostics(topics: Topics, camera: str) -> dict[str, Entity]:
    health = topics.health(camera)
    number = {"p": "sensor", "entity_category": "diagnostic", "state_topic": health, "state_class": "measurement"}
    seconds = {"unit_of_measurement": "s", "device_class": "duration"}
    blind = {"p": "binary_sensor", "name": "Sees no birds", "device_class": "problem", "entity_category": "diagnostic"}
    status = {
        "p": "sensor",
        "name": "Camera",
        "icon": "mdi:cctv",
        "device_class": "enum",
        "options": ["online", "offline", "disabled"],
        "entity_category": "diagnostic",
        "state_topic": topics.camera_status(camera),
        "availability": [{"topic": topics.status}],  # says that the camera is not available, so it is itself
    }
    return {
        "status": status,
        "blind": blind | {"state_topic": health, "value_template": _BLIND, "json_attributes_topic": health},
        "fps": number
        | {
            "name": "Frames per second",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "value_template": "{{ value_json.fps }}",
        },
        "frame_age": number
        | seconds
        | {"name": "Age of last frame", "value_template": "{{ value_json.last_frame_age_s }}"},
        "reconnects": number
        | {"name": "Reconnects in the last hour", "icon": "mdi:lan-disconnect"}
        | {"value_template": "{{ value_json.reconnects_1h }}"},
        "dropped": number
        | {"name": "Crops dropped in the last hour", "icon": "mdi:image-off-outline"}
        | {"value_template": "{{ value_json.dropped_crops_1h }}"},
    }
