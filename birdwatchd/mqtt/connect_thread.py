"""Connect to the broker in a background thread, so that a slow DNS lookup cannot delay a stop.

An unreachable name server blocks for half a minute, and a stop has ten seconds.
"""

from __future__ import annotations

import threading

from birdwatchd.errors import BrokerError
from birdwatchd.mqtt.connection import Connection

__all__ = ["ConnectAttempt"]


class ConnectAttempt:
    """One attempt to open a connection. Nobody else may touch the connection until `done`; a stop abandons it."""

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
