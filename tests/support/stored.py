"""Put into a store, and look up in it, what the program itself never does that way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from birdwatchd.records import Message
from birdwatchd.store import Store, StoredVisit, outbox


def enqueue(store: Store, messages: Sequence[Message], now: datetime) -> None:
    """Put messages into the outbox that belong to no visit."""
    with store._database.writing() as connection:
        outbox.add(connection, messages, now)


def stored_visit(store: Store, visit_id: str) -> StoredVisit | None:
    """One visit with its phase and firsts."""
    return next((one for one in store.visits.stored() if one.visit.visit_id == visit_id), None)
