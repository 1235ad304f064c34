"""Give up connections on which no whole request comes, or whose answer nobody reads.

A few hundred of them would keep the page from everybody.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BoundedProtocol"]

REQUEST_S = 10.0  # for the head of a request to arrive, all of it, on a new connection or after an answer
STALLED_S = 60.0  # in which who reads slowly takes a few dozen kB, a slow telephone's share


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to its patience. The body of a form has a bound of its own (`guard.py`)."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connects, and may say something now."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Nobody takes what is ready for them."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_S, self._drop)

    def resume_writing(self) -> None:
        """They took most of it."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def on_response_complete(self) -> None:
        """An answer is out; there may be another request."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.close()  # which first waits until the rest of an answer is taken
            self._stalled = self._stalled or self.loop.call_later(STALLED_S, self._drop)

    def _drop(self) -> None:
        """End the connection with what is not taken: otherwise the system would go on offering it for minutes."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
