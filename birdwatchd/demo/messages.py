"""Keep what an MQTT subscriber receives of each visit, and work out how soon: after the first frame, after the last."""

from __future__ import annotations

import json
import math
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from birdwatchd.records import Phase, State, Visit

__all__ = ["Messages", "latency_lines", "quantile"]

GOAL_FIRST_S, GOAL_FIRST_95_S, GOAL_FINAL_S = 2.0, 4.0, 3.0


@dataclass(slots=True)
class Messages:
    """The messages of the topic `visit`, by visit.

    Attributes:
        first: when the first one of a visit came.
        final: when the first one came that was no longer provisional.
        last: what the last one said.
        count: how many came in all.
    """

    first: dict[str, datetime] = field(default_factory=dict)
    final: dict[str, datetime] = field(default_factory=dict)
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    count: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, topic: str, payload: bytes, at: datetime) -> None:
        """Take one message of the topic `visit`."""
        del topic
        visit = json.loads(payload)
        visit_id = str(visit["visit_id"])
        with self._changed:
            self.count += 1
            self.first.setdefault(visit_id, at)
            if visit["phase"] != Phase.PROVISIONAL.value:
                self.final.setdefault(visit_id, at)
            self.last[visit_id] = visit
            self._changed.notify_all()

    def wait_for(self, visits: Sequence[Visit], seconds: float) -> bool:
        """Wait until nothing is missing of these visits, but no longer than some seconds; whether nothing is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.missing(visits), seconds)

    def missing(self, visits: Sequence[Visit]) -> list[Visit]:
        """Those of the stored visits of which the last message does not say what the database says.

        A visit that was rejected before anything was published is not published at all.
        """
        never = {v.visit_id for v in visits if v.verdict.state is State.REJECTED and v.visit_id not in self.last}
        return [visit for visit in visits if visit.visit_id not in never and not self._agree_with(visit)]

    def _agree_with(self, visit: Visit) -> bool:
        last = self.last.get(visit.visit_id)
        if last is None:
            return False
        is_final = last["phase"] != Phase.PROVISIONAL.value
        stored = (visit.verdict.state.value, visit.verdict.common_name, visit.end is not None)
        return (last["state"], last["common_name"], is_final) == stored


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def latency_lines(first_s: Sequence[float], final_s: Sequence[float], note: str = "") -> list[str]:
    """Median and 95 % of both waits beside what is aimed for, a line each; without a verdict.

    Args:
        note: what to bear in mind about these figures; at the end of each line.
    """
    lines, note = [], note and f"; {note}"
    if first_s:
        median, most = statistics.median(first_s), quantile(first_s, 0.95)
        goal = f"goal: {GOAL_FIRST_S:.0f} s and {GOAL_FIRST_95_S:.0f} s"
        lines.append(
            f"first message after the first frame: median {median:.2f} s, 95 % within {most:.2f} s ({goal}{note})"
        )
    if final_s:
        median, most = statistics.median(final_s), quantile(final_s, 0.95)
        goal = f"goal: {GOAL_FINAL_S:.0f} s"
        lines.append(
            f"final message after the last frame: median {median:.2f} s, 95 % within {most:.2f} s ({goal}{note})"
        )
    return lines
