"""Measure how fast a camera's timestamps fall behind the clock, and how late its packets are read here.

The two look alike, for in both the delay between timestamp and reading grows. They are told apart by waiting: who has
to wait for the next packet has read all that came, so whatever its timestamp says, this machine is not late.
"""

from __future__ import annotations

import resource
from collections import deque
from itertools import pairwise
from statistics import median

__all__ = ["Backlog", "Drift", "WaitMeter"]

SPAN_S = 2.0  # of which the least delay is taken: networks delay some packets, and never all for so long
SPANS = 6  # that must agree; a network that becomes slower does so once
LEAST_RATE = 0.005  # seconds per second that count as falling behind
NO_PACE = 0.5  # timestamps that fall behind faster tell nothing of the pace in which packets were sent
WAITED_S = 0.005  # a packet that took longer to come was waited for
STEPPED_BACK_S = 1.0


class Drift:
    """How fast the delays of a stream grow.

    Attributes:
        rate: seconds in each second; 0 while the last seconds do not agree that they do.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self._least: tuple[float, float] | None = None  # when, and the least delay of the last spans as it was then
        self._spans: deque[tuple[float, float]] = deque(maxlen=SPANS)  # when, and the least delay
        self._begin_s: float | None = None
        self._best = (0.0, 0.0)

    def add(self, delay_s: float, now_s: float) -> None:
        """Take the delay of a packet that was read as soon as it came."""
        if self._begin_s is not None and now_s - self._begin_s >= SPAN_S:
            self._spans.append(self._best)
            self._begin_s = None
            if len(self._spans) == SPANS:
                self._judge()
        if self._begin_s is None or now_s < self._begin_s:
            self._begin_s, self._best = now_s, (now_s, delay_s)
        elif delay_s <= self._best[1]:
            self._best = now_s, delay_s

    def least_s(self, now_s: float) -> float:
        """The least delay of the last spans, grown up to now; minus infinity while there are not enough of them."""
        return self._least[1] + self.rate * (now_s - self._least[0]) if self._least is not None else float("-inf")

    def _judge(self) -> None:
        rates = [(delay - before) / max(at - then, 0.1) for (then, before), (at, delay) in pairwise(self._spans)]
        self.rate = min(1.0, median(rates)) if min(rates) > LEAST_RATE else 0.0
        newest_s = self._spans[-1][0]
        self._least = newest_s, min(delay + self.rate * (newest_s - at) for at, delay in self._spans)


class Backlog:
    """How long packets lie here before they are read, because the reader has no time for them."""

    def __init__(self) -> None:
        self._read_s = 0.0  # when, and at which timestamp, the reader was up to date last
        self._media_s: float | None = None

    def late_s(self, media_s: float | None, now_s: float, *, waited: bool, drift: float) -> float:
        """Seconds that the packet that was just read has waited for its reader.

        Args:
            media_s: its timestamp in the order of decoding; None where the stream has none.
            now_s: a clock that is never set back.
            waited: the reader has waited for it.
            drift: as `Drift.rate`.
        """
        if media_s is None or drift > NO_PACE:
            self._media_s = None
            return 0.0
        if self._media_s is not None and not waited and media_s > self._media_s - STEPPED_BACK_S:
            late_s = (now_s - self._read_s) - (media_s - self._media_s) / (1.0 - drift)
            if late_s > 0:
                return late_s
        self._read_s, self._media_s = now_s, media_s
        return 0.0


class WaitMeter:
    """Tell whether this thread has waited for something since the last look, or had no processor for a while."""

    def __init__(self) -> None:
        self._switches = _pauses()

    def start(self) -> None:
        """What is asked about begins now."""
        self._switches = _pauses()

    def waited(self, took_s: float) -> bool:
        """Whether it has given its processor away by itself, in something that took so long."""
        return took_s > WAITED_S and _pauses() > self._switches


def _pauses() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
