"""Bound how many requests are answered at once for one device behind a reverse proxy, and for all strangers together.

A connection of such a proxy may carry anybody's request (`patience.py` bounds all of them together). So requests are
counted here, by the address that the proxy says. Whoever is not logged in, guests too, leaves places for those who are,
and guests leave some for the login.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from birdwatchd.web.access.roles import Role

__all__ = ["Places"]

MOST_AT_ONCE = 60  # of one device: a browser has six, and one for each open tab
MOST_STRANGERS = 200  # of the 300 connections of the page
MOST_AT_THE_DOOR = 240  # of all who are not logged in, with the login page and its files


class Places:
    """The requests that are being answered. Belongs to the server's event loop."""

    def __init__(self) -> None:
        self._devices: Counter[tuple[str, Role]] = Counter()
        self._strangers = 0

    @contextmanager
    def place(self, device: str, role: Role, *, at_the_door: bool) -> Iterator[bool]:
        """A place for one request, as long as the block runs; False where there is none.

        Args:
            device: behind a proxy; empty where its connections are counted. Those who are logged in are counted apart
                from guests at the same address.
            at_the_door: asks for what is everybody's, such as the login page.
        """
        counted, is_stranger = (device, role), role in (Role.NOBODY, Role.GUEST)
        most = MOST_AT_THE_DOOR if at_the_door else MOST_STRANGERS
        if (device and self._devices[counted] >= MOST_AT_ONCE) or (is_stranger and self._strangers >= most):
            yield False
            return
        self._devices[counted] += 1
        self._strangers += is_stranger
        try:
            yield True
        finally:
            self._devices -= Counter({counted: 1})  # leaves out what is 0
            self._strangers -= is_stranger
