"""Publish over MQTT: connection, topics, payloads, retained topics, commands and Home Assistant's discovery.

The names below are loaded on first use; see docs/reference/library.md for those that are stable.
"""

from typing import TYPE_CHECKING

from birdwatchd.lazy import lazy_names

if TYPE_CHECKING:
    from birdwatchd.mqtt.payloads import Composer, visit_json
    from birdwatchd.mqtt.publisher import Publisher
    from birdwatchd.mqtt.subscriber import Subscriber, received_visits
    from birdwatchd.mqtt.topics import Topics
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Composer": "payloads",
            "Publisher": "publisher",
            "Subscriber": "subscriber",
            "Topics": "topics",
            "received_visits": "subscriber",
            "visit_json": "payloads",
        },
    )

__all__ = [
    "Composer",
    "Publisher",
    "Subscriber",
    "Topics",
    "received_visits",
    "visit_json",
]
