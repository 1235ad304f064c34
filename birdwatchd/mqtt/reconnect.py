"""Try to connect, decide how long to wait before the next attempt, and log each change of the connection once.

Without the policy two daemons with one client id would disconnect each other every second, and a wrong password would
fill the log. Three cases: unreachable waits 1 s … 60 s; refused (password, access rights) waits 1 … 5 minutes, since
only a person can help; and a client id that another client uses is logged once, then slows down as if unreachable.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from birdwatchd.errors import BrokerError, BrokerRefused
from birdwatchd.flow import Backoff
from birdwatchd.mqtt.connection import Connection

__all__ = ["ConnectAttempt", "ReconnectPolicy"]

log = logging.getLogger(__name__)

STABLE_S = 30.0  # a connection that lasted this long resets the back-off
CLIENT_ID_CONFLICTS = 3  # this many short connections in a row look like another client with our id


class ReconnectPolicy:
    """Back-off and log of one broker connection. All times are monotonic seconds."""

    def __init__(self, where: str, client_id: str, chance: Callable[[], float]) -> None:
        """
        Args:
            where: names the broker in log lines.
            chance: numbers in 0 … 1 for the jitter.
        """
        self._where, self._client_id = where, client_id
        self._unreachable = Backoff(1.0, 60.0, chance)
        self._refused = Backoff(80.0, 300.0, chance)  # jitter takes up to a quarter: never below 60
        self._up_since_s: float | None = None
        self._short_connections = 0
        self._id_conflict = False
        self._logged = ""

    def connected(self, protocol: str) -> None:
        """Log that the connection is established."""
        self._log_change("connected", logging.INFO, f"{self._where}: connected, {protocol}")

    def still_up(self, now_s: float) -> bool:
        """Note that the connection is up; after `STABLE_S` the back-off and the suspicion of a conflict are reset.

        Returns:
            Whether it has lasted that long.
        """
        self._up_since_s = now_s if self._up_since_s is None else self._up_since_s
        if stable := not self.is_short(now_s):
            if self._id_conflict:
                log.info("%s: connected, no other client uses our id %s now", self._where, self._client_id)
            self._unreachable.reset()
            self._refused.reset()
            self._short_connections, self._id_conflict = 0, False
        return stable

    def is_short(self, now_s: float) -> bool:
        """Whether the connection did not last, up to now."""
        return self._up_since_s is None or now_s - self._up_since_s < STABLE_S

    def explained(self) -> float:
        """The connection was lost for a reason that is known and out of the way; seconds until the next attempt."""
        self._up_since_s, self._short_connections = None, 0
        self._unreachable.reset()
        return self._unreachable.next_wait_s()

    def disconnected(self, error: BrokerError, now_s: float, was_up: bool, taken_over: bool) -> float:
        """Log why there is no connection; seconds until the next attempt.

        Args:
            was_up: the connection had been established.
            taken_over: the broker said that another client connected with our id.
        """
        lasted_s = now_s - self._up_since_s if self._up_since_s is not None else 0.0
        self._up_since_s = None
        refused = isinstance(error, BrokerRefused)  # we disconnected ourselves then
        self._short_connections += was_up and lasted_s < STABLE_S and not refused
        if taken_over or self._short_connections >= CLIENT_ID_CONFLICTS:
            self._log_conflict(taken_over)
        if refused:
            self._log_change(f"refused {error.message}", logging.ERROR, str(error))
            return self._refused.next_wait_s()
        self._log_change("unreachable", logging.WARNING, f"{error.message}; messages wait in the outbox")
        return self._unreachable.next_wait_s()

    def _log_conflict(self, certain: bool) -> None:
        if not self._id_conflict:
            seems = "uses" if certain else "may be using"
            log.error(
                "%s: another client %s our id %s; is a second birdwatchd running with the same station.name?",
                self._where,
                seems,
                self._client_id,
            )
        self._id_conflict = True

    def _log_change(self, state: str, level: int, text: str) -> None:
        if state != self._logged and not self._id_conflict:
            log.log(level, "%s", text)
        self._logged = state


class ConnectAttempt:
    """One attempt to open a connection, in a thread of its own: a slow DNS lookup blocks for half a minute.

    Nobody else may touch the connection until `done`; a stop, which has ten seconds, abandons it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._finished = connection, False
        self._thread = threading.Thread(target=self._open, name="mqtt connect", daemon=True)
        self._thread.start()

    def done(self, wait_s: float) -> bool:
        """Wait at most `wait_s` for the attempt to end; whether it has ended.

        Raises:
            RuntimeError: the attempt ended with an error that is not a BrokerError, which is a bug.
        """
        self._thread.join(wait_s)
        if self._thread.is_alive():
            return False
        if not self._finished:
            raise RuntimeError("connecting to the broker failed unexpectedly, see above")
        return True

    def _open(self) -> None:
        try:
            self._connection.open()
        except BrokerError as error:
            self._connection.error = error
        self._finished = True
