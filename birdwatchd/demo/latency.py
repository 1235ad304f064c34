"""How soon a bird was told of: from its first frame to the first message, from its last frame to the final one."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Heard", "quantile", "told_in"]

ASKED_FIRST_S, ASKED_FIRST_95_S, ASKED_FINAL_S = 2.0, 4.0, 3.0


@dataclass(slots=True)
class Heard:
    """When messages of each visit arrived at the subscriber: the first one, and the first that was final."""

    first: dict[str, datetime] = field(default_factory=dict)
    final: dict[str, datetime] = field(default_factory=dict)
    messages: int = 0

    def hear(self, topic: str, payload: bytes, at: datetime) -> None:
        """Take one message of the topic `visit`."""
        del topic
        visit = json.loads(payload)
        self.messages += 1
        self.first.setdefault(str(visit["visit_id"]), at)
        if visit["phase"] != "provisional":
            self.final.setdefault(str(visit["visit_id"]), at)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def told_in(first_s: Sequence[float], final_s: Sequence[float]) -> list[str]:
    """What was measured beside what is asked, a line each; without a verdict, since a busy machine is slower."""
    lines = []
    if first_s:
        median, most = statistics.median(first_s), quantile(first_s, 0.95)
        asked = f"asked: {ASKED_FIRST_S:.0f} s and {ASKED_FIRST_95_S:.0f} s"
        lines.append(f"told after the first frame: median {median:.2f} s, 95 % within {most:.2f} s ({asked})")
    if final_s:
        median, most = statistics.median(final_s), quantile(final_s, 0.95)
        asked = f"asked: {ASKED_FINAL_S:.0f} s"
        lines.append(f"final after the last frame: median {median:.2f} s, 95 % within {most:.2f} s ({asked})")
    return lines
