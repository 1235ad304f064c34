"""Open a connection in a thread of its own: a name server that is away takes half a minute, a stop has ten seconds."""

from __future__ import annotations

import threading

from birdwatchd.errors import BrokerError
from birdwatchd.mqtt.connection import Connection

__all__ = ["Knock"]


class Knock:
    """One try to open a connection, which nobody else may touch until it is `over`; who stops forgets it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._answered = connection, False
        self._thread = threading.Thread(target=self._open, name="knock", daemon=True)
        self._thread.start()

    def over(self, wait_s: float) -> bool:
        """Wait at most so long for the end; whether it has come."""
        self._thread.join(wait_s)
        if self._thread.is_alive():
            return False
        if not self._answered:
            raise RuntimeError("connecting to the broker failed unexpectedly, see above")
        return True

    def _open(self) -> None:
        try:
            self._connection.open()
        except BrokerError as error:
            self._connection.error = error
        self._answered = True
