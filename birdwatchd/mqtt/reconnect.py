"""Decide how patiently to knock at the broker again, and say each change once and no more.

Away: 1 s … 60 s. Refused (password, rights): 1 … 5 minutes, since only a person can help. Thrown out again
    and again by somebody with our id: say so once and slow down, else two daemons would throw each other out
    every second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from birdwatchd.errors import BrokerError, BrokerRefused
from birdwatchd.flow import Backoff

__all__ = ["Temper"]

log = logging.getLogger(__name__)

STEADY_S = 30.0  # a connection that lasted this long was a good one
QUARREL = 3  # this many short connections in a row look like another client with our id


class Temper:
    """The memory of one broker's behaviour. All times are monotonic seconds."""

    def __init__(self, where: str, client_id: str, chance: Callable[[], float]) -> None:
        self._where, self._client_id = where, client_id
        self._away = Backoff(1.0, 60.0, chance)
        self._refused = Backoff(80.0, 300.0, chance)  # jitter takes up to a quarter: never below 60
        self._since: float | None = None
        self._short = 0
        self._quarrel = False
        self._said = ""

    def is_up(self, now: float) -> None:
        """The connection is up (still)."""
        self._since = now if self._since is None else self._since
        if now - self._since >= STEADY_S:
            if self._quarrel:
                log.info("%s: connected, nobody takes our id %s any more", self._where, self._client_id)
            self._away.reset()
            self._refused.reset()
            self._short, self._quarrel = 0, False

    def came_up(self, protocol: str) -> None:
        """Say that the broker is there."""
        self._say("up", logging.INFO, f"{self._where}: connected, {protocol}")

    def went_down(self, error: BrokerError, now: float, was_up: bool, taken_over: bool) -> float:
        """Say why there is no connection; seconds until the next try."""
        lasted = now - self._since if self._since is not None else 0.0
        self._since = None
        refused = isinstance(error, BrokerRefused)  # we hung up ourselves then
        self._short += was_up and lasted < STEADY_S and not refused
        if taken_over or self._short >= QUARREL:
            self._complain(taken_over)
        if refused:
            self._say(f"refused {error.message}", logging.ERROR, str(error))
            return self._refused.next_wait()
        self._say("away", logging.WARNING, f"{error.message}; messages wait in the outbox")
        return self._away.next_wait()

    def _complain(self, certain: bool) -> None:
        if not self._quarrel:
            seems = "took" if certain else "may be taking"
            log.error(
                "%s: another client %s our id %s; does a second birdwatchd use the same station.name?",
                self._where,
                seems,
                self._client_id,
            )
        self._quarrel = True

    def _say(self, key: str, level: int, text: str) -> None:
        if key != self._said and not self._quarrel:
            log.log(level, "%s", text)
        self._said = key
