"""Home Assistant's own rules for device-based MQTT discovery, as its documentation states them.

They are quick and need nothing; `tests/system/test_home_assistant.py` asks a real one.

Sources: https://www.home-assistant.io/integrations/mqtt/ (device discovery payload, discovery topic, removal of
components) and the pages of the platforms there: sensor, binary_sensor, image, event, switch, button.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

TOPIC = re.compile(r"(?P<prefix>[^+#]+)/device/([a-zA-Z0-9_-]+/)?(?P<object>[a-zA-Z0-9_-]+)/config")
ENTITY_ID = re.compile(r"(?P<domain>[a-z_]+)\.(?!_)[a-z0-9_]+(?<!_)")
SHARED = {"availability", "availability_mode", "availability_topic", "command_topic", "state_topic", "encoding"}
COMMON = {"p", "unique_id", "default_entity_id", "name", "icon", "availability", "availability_mode", "qos"}
COMMON |= {"entity_category", "json_attributes_topic", "json_attributes_template", "device_class", "enabled_by_default"}
DEVICE = {"ids", "cns", "name", "mf", "mdl", "sw", "hw", "sn", "sa", "cu", "via_device"}
REQUIRED = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "image": set(),
    "event": {"state_topic", "event_types"},
    "switch": {"command_topic"},
    "button": {"command_topic"},
    "text": {"command_topic"},
}
OWN = {
    "sensor": {"state_topic", "value_template", "unit_of_measurement", "state_class", "last_reset_value_template"}
    | {"suggested_display_precision", "options"},
    "binary_sensor": {"state_topic", "value_template", "payload_on", "payload_off"},
    "image": {"image_topic", "url_topic", "content_type", "image_encoding"},
    "event": {"state_topic", "event_types", "value_template"},
    "switch": {"state_topic", "command_topic", "payload_on", "payload_off", "state_on", "state_off"},
    "button": {"command_topic", "payload_press"},
    "text": {"state_topic", "value_template", "command_topic", "command_template", "min", "max", "mode", "pattern"},
}
DEVICE_CLASSES = {
    "sensor": {"duration", "timestamp", "data_size", "enum"},
    "binary_sensor": {"occupancy", "connectivity", "motion", "problem"},
    "event": {"motion"},
    "switch": {"switch"},
    "button": {"restart"},
    "image": set(),
    "text": set(),
}


def problems(messages: Mapping[str, bytes]) -> list[str]:
    """What Home Assistant would reject or get wrong of these discovery messages, by topic; none is good."""
    found: list[str] = []
    ids: Counter[str] = Counter()
    readers: dict[str, set[str]] = {}
    for topic, payload in messages.items():
        if not TOPIC.fullmatch(topic):
            found.append(f"{topic}: bad slug or shape of the topic")
        config = json.loads(payload)
        found += [f"{topic}: {text}" for text in (*_root(config), *_no_object_id(config))]
        for key, cmp in config.get("cmps", {}).items():
            found += [f"{topic}: {key}: {text}" for text in _component(key, cmp)]
            if len(cmp) > 1:
                ids[cmp.get("unique_id", "")] += 1
                for option in ("state_topic", "image_topic"):
                    readers.setdefault(cmp.get(option, ""), set()).add(topic)
    found += [f"unique_id {one} is there {n} times" for one, n in ids.items() if one and n > 1]
    found += [f"shared state topic {one}" for one, topics in readers.items() if one and len(topics) > 1]
    return found


def _root(config: Mapping[str, Any]) -> list[str]:
    found = []
    if not (config.get("dev") or {}).get("ids"):
        found.append("dev.ids is missing")
    if not (config.get("o") or {}).get("name"):
        found.append("o.name is missing")
    if not config.get("cmps"):
        found.append("cmps is missing")
    if "state_topic" in config:
        found.append("shared state topic of all components")
    if "qos" in config:
        found.append("qos of all components: ignored before 2026.6")
    found += [f"unknown key {key}" for key in set(config) - {"dev", "o", "cmps", "qos"} - SHARED]
    found += [f"unknown key {key} of the device" for key in set(config.get("dev") or {}) - DEVICE]
    return found + _availability(config)


def _availability(config: Mapping[str, Any]) -> list[str]:
    entries = config.get("availability", [])
    found = [] if all(set(one) >= {"topic"} for one in entries) else ["availability without topic"]
    known = {"topic", "payload_available", "payload_not_available", "value_template"}
    found += [f"unknown key {key} of availability" for one in entries for key in set(one) - known]
    if len(entries) > 1 and config.get("availability_mode") != "all":
        found.append("availability_mode is not all")
    return found


def _no_object_id(value: object, where: str = "") -> list[str]:
    if not isinstance(value, dict):
        return []
    found = [f"object_id in {where or 'the payload'}"] if "object_id" in value else []
    return found + [text for key, inner in value.items() for text in _no_object_id(inner, key)]


def _component(key: str, cmp: Mapping[str, Any]) -> list[str]:
    platform = cmp.get("p")
    if platform is None:
        return ["p is missing"]
    if platform not in REQUIRED:
        return [f"unknown platform {platform}"]
    if set(cmp) == {"p"}:  # documented: this removes the component
        return []
    found = [] if re.fullmatch(r"[a-zA-Z0-9_-]+", key) else ["bad slug of the component"]
    if not cmp.get("unique_id"):
        found.append("unique_id is missing")
    found += [f"{option} is missing" for option in REQUIRED[platform] - set(cmp)]
    found += [f"unknown key {one}" for one in set(cmp) - COMMON - OWN[platform] - {"object_id"}]
    entity = ENTITY_ID.fullmatch(cmp.get("default_entity_id", f"{platform}.x"))
    if entity is None or entity["domain"] != platform:
        found.append("bad slug or domain of default_entity_id")
    if platform == "image" and ("image_topic" in cmp) == ("url_topic" in cmp):
        found.append("image needs one of image_topic and url_topic")
    if (cmp.get("device_class") == "enum") != ("options" in cmp):
        found.append("options and device_class enum belong together")
    if "json_attributes_topic" in cmp and cmp["json_attributes_topic"].endswith(("/last", "/visit")):
        found += [] if "json_attributes_template" in cmp else ["attributes of a topic that may be empty"]
    if cmp.get("device_class") not in (None, *DEVICE_CLASSES[platform]):
        found.append(f"unknown device_class {cmp['device_class']}")
    if cmp.get("entity_category") not in (None, "diagnostic", "config"):
        found.append("unknown entity_category")
    if cmp.get("state_class") not in (None, "measurement", "total", "total_increasing"):
        found.append("unknown state_class")
    if "last_reset_value_template" in cmp and cmp.get("state_class") != "total":
        found.append("last_reset_value_template needs state_class total")
    return found + _availability(cmp)
