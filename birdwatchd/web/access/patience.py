"""Give up connections on which no whole request comes, or whose answer nobody reads, and those of who has too many.

A few hundred of them would keep the page from everybody.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from birdwatchd.web.access.addresses import address_of
from birdwatchd.web.access.tries import network_of

__all__ = ["BoundedProtocol", "Crowd"]

REQUEST_S = 10.0  # for the head of a request to arrive, all of it, on a new connection or after an answer
MOST_OPEN = 60  # connections of one peer: a browser has six, and one for each open tab
MOST_SILENT = 20  # of these, on which nothing was asked yet
MOST_OF_PROXIES = 280  # of all proxies together: the others find the rest of the 300 that the page has
PROXIES = "proxies"  # under what these are counted
LOOPBACKS = ("127.0.0.0/8", "::1/128")
STALLED_S = 60.0  # in which who reads slowly takes a few dozen kB, a slow telephone's share


class Crowd:
    """How many connections each peer has, and on how many of them nothing whole was asked yet.

    Reverse proxies are one peer here, with a bound of its own; what each device behind them asks is counted in
    `places.py`. This machine is not counted, unless a proxy asks from it: tunnels do too. Nor are those who are owners.
    """

    def __init__(self, proxies: Iterable[str] = (), uncounted: Iterable[str] = ()) -> None:
        """
        Args:
            proxies, uncounted: addresses and networks.
        """
        self._proxies = [ip_network(one, strict=False) for one in proxies]
        self._uncounted = [ip_network(one, strict=False) for one in (*uncounted, *LOOPBACKS)]
        self._open: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()

    def network(self, peer: str) -> str:
        """Under what a peer is counted; empty for one that is not."""
        address = address_of(peer)
        if address is None:
            return ""
        if any(address in one for one in self._proxies):
            return PROXIES
        return "" if any(address in one for one in self._uncounted) else network_of(peer)

    def enters(self, network: str) -> bool:
        """Count a new connection; False where it is one too many, and is to be ended."""
        self._open[network] += 1
        self._silent[network] += 1
        if network == PROXIES:
            return self._open[network] <= MOST_OF_PROXIES
        return not network or (self._open[network] <= MOST_OPEN and self._silent[network] <= MOST_SILENT)

    def speaks(self, network: str) -> None:
        """A request came on a connection that was silent."""
        self._silent -= Counter({network: 1})  # leaves out what is 0

    def is_silent_again(self, network: str) -> None:
        """An answer is out, and the connection waits for another request."""
        self._silent[network] += 1

    def leaves(self, network: str, *, silent: bool) -> None:
        """A connection is gone."""
        self._open -= Counter({network: 1})
        if silent:
            self.speaks(network)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to its patience. The body of a form has a bound of its own (`guard.py`)."""

    def __init__(self, *args: Any, crowd: Crowd, **more: Any) -> None:
        super().__init__(*args, **more)
        self._crowd, self._network, self._is_silent = crowd, "", True
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connects, and may say something now."""
        super().connection_made(transport)
        self._network = self._crowd.network(self.client[0] if self.client is not None else "")
        if self._crowd.enters(self._network):
            self._await_request()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Something was said, which may be the rest of a request."""
        super().data_received(data)
        self._note_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        self._crowd.leaves(self._network, silent=self._is_silent)
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
        if not self._is_silent:
            self._is_silent = True
            self._crowd.is_silent_again(self._network)
        super().on_response_complete()  # which goes on with a request that came meanwhile
        self._note_request()
        self._await_request()

    def _note_request(self) -> None:
        if self._is_silent and self.cycle is not None and not self.cycle.response_complete:
            self._is_silent = False
            self._crowd.speaks(self._network)

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
