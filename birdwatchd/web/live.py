"""Tell open pages within a second that something new is stored: one stream of events for each tab (Server-Sent Events).

An event says only that something changed; the page then asks for itself again. Ids grow, and carry the start of this
process: who comes back after a gap, or after a restart, is told at once. A comment every some seconds keeps proxies
from closing a quiet stream, and finds listeners that are gone.

A proxy that compresses what it hands on, as Home Assistant's ingress does, keeps a stream back until there is a lot of
it. Through such a one each news ends its stream, and the browser asks for the next by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from birdwatchd.errors import StoreError
from birdwatchd.flow import Stop
from birdwatchd.store.pages.changes import Changes

__all__ = ["Live"]

LOOK_S = 0.5  # between two looks at the database, however many listen
HEARTBEAT_S = 15.0
LOST_MS, NEXT_MS = 2000, 200  # after which a browser asks again: where a stream was lost, and where it ended
NEXT = "event: next\ndata: next\n\n"
MOST_LISTENERS = 200
MOST_GUESTS = 120  # among them: everybody may be a guest, and the others are not kept out


class Live:
    """The news for all open pages. Belongs to the server's event loop."""

    def __init__(self, changes: Changes, stop: Stop) -> None:
        self._changes, self._stop = changes, stop
        self._epoch, self._number = int(time.time()), 0
        self._looked_s = float("-inf")
        self._looking = asyncio.Lock()
        self.listeners = self.guests = 0

    @contextmanager
    def place(self, *, is_guest: bool = False) -> Iterator[bool]:
        """A place among those who listen, as long as the block runs; False where there is none."""
        if self.listeners >= MOST_LISTENERS or (is_guest and self.guests >= MOST_GUESTS):
            yield False
            return
        self.listeners += 1
        self.guests += is_guest
        try:
            yield True
        finally:
            self.listeners -= 1
            self.guests -= is_guest

    async def newest(self) -> str:
        """The id of the newest change, looked for at most every `LOOK_S`."""
        async with self._looking:
            if time.monotonic() - self._looked_s >= LOOK_S:
                self._looked_s = time.monotonic()
                try:
                    changed = await asyncio.to_thread(self._changes.look)
                except StoreError:  # busy or damaged: the page itself says so
                    changed = False
                self._number += changed
            return f"{self._epoch}-{self._number}"

    async def events(self, last_id: str | None, *, ends: bool = False) -> AsyncIterator[str]:
        """The stream of one tab.

        Args:
            last_id: the newest id that it knows, if it was here before.
            ends: with the first that it has to say; `next` says that it is to be asked for again.
        """
        known = last_id or await self.newest()
        yield f"retry: {NEXT_MS if ends else LOST_MS}\nid: {known}\n\n"
        if ends and last_id is None:  # the tab knows at once that it is heard
            yield NEXT
            return
        said_s = time.monotonic()
        while not self._stop.is_set():
            newest = await self.newest()
            if newest != known:
                known, said_s = newest, time.monotonic()
                yield f"id: {newest}\nevent: birds\ndata: {newest}\n\n"
                if ends:
                    yield NEXT
                    return
            elif time.monotonic() - said_s > HEARTBEAT_S:
                said_s = time.monotonic()
                yield ": still here\n\n"
                if ends:
                    yield NEXT
                    return
            await asyncio.sleep(LOOK_S / 2)
