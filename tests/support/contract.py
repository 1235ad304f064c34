"""The JSON of a visit over MQTT, written out by hand: its keys, in this order, and their types."""

from __future__ import annotations

# The contract itself, written out by hand. A change here breaks other people's automations: new major version.
EVENT = {
    "event_type": str,
    "visit_id": str,
    "revision": int,
    "state": str,
    "phase": str,
    "rank": str,
    "common_name": str,
    "scientific_name": str,
    "score": float,
    "camera": str,
    "start": str,
    "end": str,
    "moments": int,
    "count_max": int,
    "box": list,
    "model": str,
    "firsts": list,
    "was": str,
}
MAY_BE_NULL = {"common_name", "scientific_name", "end", "box", "was"}
