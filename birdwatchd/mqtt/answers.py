"""What a broker's answers mean for us: reason codes in words, and the limits that it announces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CANNOT_WORK", "REFUSED", "TAKEN_OVER", "TOO_LARGE", "UNSPECIFIED", "UNSUPPORTED_PROTOCOL", "Limits"]

UNSPECIFIED, UNSUPPORTED_PROTOCOL, TAKEN_OVER, TOO_LARGE = 0x80, 0x84, 0x8E, 0x95
NO_RETAIN = "it keeps no messages, and states must be kept; allow retained messages (mosquitto: retain_available)"
NO_QOS = "it takes messages with QoS 0 only, which may be lost; allow QoS 1 (mosquitto: max_qos)"
REFUSED = {
    0x80: "no reason given",
    0x85: "invalid client id; check station.name",
    0x86: "wrong user name or password; check mqtt.username and mqtt.password_file",
    0x87: "wrong user name or password, or no permission to connect; "
    "check mqtt.username, mqtt.password_file and the broker's access rules",
    0x8A: "this client is banned; ask the broker's administrator",
    0x8C: "unsupported authentication method; check the broker's configuration",
    0x90: "it does not allow our topics; check mqtt.base and the broker's access rules",
    0x9A: NO_RETAIN,
    0x9B: NO_QOS,
    0x9D: "it has moved to another address; check mqtt.url",
}
CANNOT_WORK = {0x9A: NO_RETAIN, 0x9B: NO_QOS}  # told when the broker hangs up


@dataclass(slots=True)
class Limits:
    """Limits from the broker's CONNACK; names and defaults are MQTT 5's.

    Attributes:
        maximum_packet_size: bytes; None for no limit.
        receive_maximum: unacknowledged messages.
        retain_available: whether it keeps messages.
        maximum_qos: of messages that it takes.
    """

    maximum_packet_size: int | None = None
    receive_maximum: int = 65_535
    retain_available: bool = True
    maximum_qos: int = 2

    @classmethod
    def of(cls, properties: Any) -> Limits:
        """Those of a CONNACK; before MQTT 5 there are none."""
        return cls(
            getattr(properties, "MaximumPacketSize", None),
            getattr(properties, "ReceiveMaximum", 65_535),
            bool(getattr(properties, "RetainAvailable", 1)),
            getattr(properties, "MaximumQoS", 2),
        )

    @property
    def missing(self) -> str:
        """What it does not offer and a station needs, with a remedy; empty where nothing is missing."""
        return "" if self.retain_available and self.maximum_qos else NO_QOS if self.retain_available else NO_RETAIN
