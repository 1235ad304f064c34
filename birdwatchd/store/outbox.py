"""Keep what is to be told until the broker has it: rows in order of id, each deleted after its PUBACK.

The functions here work inside a caller's transaction. A row with `coalesce` replaces older ones of its topic,
so that a broker that was away for a week gets every visit but each state only in its newest form.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from birdwatchd.records import Message
from birdwatchd.store import schema

__all__ = ["OutboxRow", "add", "for_channel", "remove", "remove_older", "remove_unknown", "rows_after"]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message on its way. `id` only grows and is never used again."""

    id: int
    created_at: datetime
    message: Message
    visit_id: str | None = None
    revision: int | None = None


def add(
    connection: Connection,
    messages: Sequence[Message],
    now: datetime,
    visit_id: str | None = None,
    revision: int | None = None,
) -> None:
    """Append messages; those with a key belong to the given visit revision."""
    table = schema.outbox
    for message in messages:
        if message.coalesce:
            older = (table.c.topic == message.topic, table.c.coalesce.is_(True), for_channel(message.channel))
            connection.execute(sa.delete(table).where(*older))
        connection.execute(
            sa.insert(table).values(
                created_at=now,
                topic=message.topic,
                payload=message.payload,
                retain=message.retain,
                key=message.key,
                coalesce=message.coalesce,
                channel=message.channel,
                visit_id=visit_id if message.key else None,
                revision=revision if message.key else None,
            )
        )


def for_channel(channel: str | None) -> sa.ColumnElement[bool]:
    """The condition that a row is for this channel; None is the broker."""
    column = schema.outbox.c.channel
    return column.is_(None) if channel is None else column == channel


def rows_after(connection: Connection, after_id: int, limit: int, channel: str | None = None) -> list[OutboxRow]:
    """Up to `limit` rows of a channel with an id above `after_id`, oldest first."""
    table = schema.outbox
    mine = sa.select(table).where(table.c.id > after_id, for_channel(channel))
    found = connection.execute(mine.order_by(table.c.id).limit(limit))
    return [
        OutboxRow(
            row.id,
            row.created_at,
            Message(row.topic, row.payload, row.retain, row.key, row.coalesce, row.channel),
            row.visit_id,
            row.revision,
        )
        for row in found
    ]


def remove(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Delete rows that were delivered, and note on their visits when the broker was first told."""
    table, visit = schema.outbox, schema.visit
    mine = (table.c.id.in_(ids), table.c.visit_id.is_not(None), for_channel(None))
    told = sa.select(table.c.visit_id).where(*mine)
    connection.execute(sa.update(visit).where(visit.c.id.in_(told), visit.c.told_at.is_(None)).values(told_at=now))
    connection.execute(sa.delete(table).where(table.c.id.in_(ids)))


def remove_older(connection: Connection, channel: str, before: datetime) -> int:
    """Delete a channel's rows from before a time; how many."""
    table = schema.outbox
    return connection.execute(sa.delete(table).where(for_channel(channel), table.c.created_at < before)).rowcount


def remove_unknown(connection: Connection, channels: Collection[str]) -> int:
    """Delete the rows of channels that are not among these; how many."""
    column = schema.outbox.c.channel
    return connection.execute(sa.delete(schema.outbox).where(column.is_not(None), column.not_in(channels))).rowcount
