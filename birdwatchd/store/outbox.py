"""Keep messages until the broker or another channel has taken them: rows in order of id, deleted when acknowledged.

A row with `coalesce` replaces older ones of its topic, so that a broker that was away for a week gets every visit but
each state only in its newest form. A broker keeps retained messages for ever, also those of a camera that is no longer
there: every topic that may hold one is written down here before anything is sent to it, and deleted when the broker
has acknowledged its removal.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from birdwatchd.records import Message
from birdwatchd.store import schema
from birdwatchd.store.database import Database

__all__ = ["AnnouncedTopics", "Outbox", "OutboxRow", "ReportedFaults", "add", "keep_without_visit"]

FAULT = "fault "  # what the name of a fault begins with in the table `daily`


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message on its way. `id` only grows and is never used again."""

    id: int
    created_at: datetime
    message: Message
    visit_id: str | None = None
    revision: int | None = None


class Outbox:
    """The messages that wait for the broker (channel None) or for another channel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, after_id: int, limit: int, channel: str | None = None) -> list[OutboxRow]:
        """Up to `limit` rows for a channel with an id above `after_id`, oldest first; cheap."""
        table = schema.outbox
        query = sa.select(table).where(table.c.id > after_id, _for_channel(channel)).order_by(table.c.id).limit(limit)
        with self._database.reading() as connection:
            return [
                OutboxRow(
                    row.id,
                    row.created_at,
                    Message(row.topic, row.payload, row.retain, row.key, row.coalesce, row.channel),
                    row.visit_id,
                    row.revision,
                )
                for row in connection.execute(query)
            ]

    def depth(self, channel: str | None = None) -> int:
        """How many messages wait for a channel."""
        query = sa.select(sa.func.count()).select_from(schema.outbox).where(_for_channel(channel))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def oldest_s(self, now: datetime, channel: str | None = None) -> float | None:
        """How long the oldest message for a channel has been waiting, seconds; None if none waits."""
        rows = self.pending(0, 1, channel)
        return max(0.0, (now - rows[0].created_at).total_seconds()) if rows else None

    def newest_id(self) -> int:
        """The id of the newest message; 0 when there is none."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(sa.func.max(schema.outbox.c.id))).scalar() or 0

    def enqueue(self, message: Message, now: datetime) -> int:
        """Append a message that belongs to no visit; returns its id."""
        with self._database.writing() as connection:
            add(connection, [message], now)
            return int(connection.execute(sa.select(sa.func.max(schema.outbox.c.id))).scalar_one())

    def is_waiting(self, row: int) -> bool:
        """Whether a message is still here."""
        query = sa.select(schema.outbox.c.id).where(schema.outbox.c.id == row)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def delivered(self, ids: Sequence[int], now: datetime) -> None:
        """Delete rows that were acknowledged, and note on their visits when the broker first acknowledged one."""
        table, visit = schema.outbox, schema.visit
        mine = (table.c.id.in_(ids), table.c.visit_id.is_not(None), _for_channel(None))
        visits = sa.select(table.c.visit_id).where(*mine)
        first = sa.update(visit).where(visit.c.id.in_(visits), visit.c.told_at.is_(None))
        with self._database.writing() as connection:
            connection.execute(first.values(told_at=now))
            connection.execute(sa.delete(table).where(table.c.id.in_(ids)))

    def drop_older(self, channel: str, before: datetime) -> int:
        """Delete what has been waiting for a channel since before a time; how many messages."""
        older = sa.delete(schema.outbox).where(_for_channel(channel), schema.outbox.c.created_at < before)
        with self._database.writing() as connection:
            return connection.execute(older).rowcount

    def keep_channels(self, channels: Collection[str]) -> int:
        """Delete what waits for channels that do not exist any more; how many messages. Call it at start."""
        column = schema.outbox.c.channel
        unknown = sa.delete(schema.outbox).where(column.is_not(None), column.not_in(channels))
        with self._database.writing() as connection:
            return connection.execute(unknown).rowcount

    def put(self, messages: Sequence[Message], now: datetime) -> None:
        """Add messages that belong to no visit's revision."""
        with self._database.writing() as connection:
            add(connection, messages, now)

    def has_daily(self, name: str, day: date) -> bool:
        """Whether the message that is sent once a day was added on this local date."""
        with self._database.reading() as connection:
            return _last_day(connection, name) == day.isoformat()

    def add_daily(self, name: str, day: date, message: Message, now: datetime) -> bool:
        """Add a message and note the date, both or neither; False if that date had it already."""
        with self._database.writing() as connection:
            if _last_day(connection, name) == day.isoformat():
                return False
            values = {"name": name, "day": day.isoformat()}
            connection.execute(sa.insert(schema.daily).prefix_with("OR REPLACE").values(values))
            add(connection, [message], now)
            return True


class ReportedFaults:
    """The faults of the station that were reported, and whose end was not; rows of the table `daily`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self) -> set[str]:
        """Their names."""
        query = sa.select(schema.daily.c.name).where(schema.daily.c.name.startswith(FAULT, autoescape=True))
        with self._database.reading() as connection:
            return {str(name).removeprefix(FAULT) for name in connection.execute(query).scalars()}

    def report(self, name: str, day: date, messages: Sequence[Message], now: datetime) -> bool:
        """Note that a fault was reported, with the messages about it; False if it was before: then nothing is sent.

        Args:
            day: the local date.
        """
        insert = sqlite.insert(schema.daily).values(name=FAULT + name, day=day.isoformat()).on_conflict_do_nothing()
        with self._database.writing() as connection:
            reported = bool(connection.execute(insert).rowcount)
            add(connection, messages if reported else (), now)
            return reported

    def report_end(self, name: str, messages: Sequence[Message], now: datetime) -> bool:
        """Forget a fault, with the messages about its end; False if it was not reported: then nothing is sent."""
        with self._database.writing() as connection:
            reported = bool(
                connection.execute(sa.delete(schema.daily).where(schema.daily.c.name == FAULT + name)).rowcount
            )
            add(connection, messages if reported else (), now)
            return reported

    def forget(self, names: Sequence[str]) -> None:
        """Forget faults that nobody wants to hear of any more."""
        if names:
            with self._database.writing() as connection:
                mine = schema.daily.c.name.in_([FAULT + name for name in names])
                connection.execute(sa.delete(schema.daily).where(mine))


class AnnouncedTopics:
    """The topics under which a broker may hold a retained message of ours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def announce(self, wanted: Collection[str]) -> list[str]:
        """Write down every retained topic there may be from now on; returns those that a broker may hold beside them.

        What waits in the outbox for a topic that is not wanted any more is deleted.
        """
        table, row = schema.announced, schema.outbox.c
        with self._database.writing() as connection:
            for topic in wanted:
                connection.execute(sqlite.insert(table).values(topic=topic).on_conflict_do_nothing())
            held = connection.execute(sa.select(table.c.topic).order_by(table.c.topic)).scalars().all()
            waiting = connection.execute(sa.select(row.topic).where(row.retain.is_(True)).distinct()).scalars().all()
            for topic in set(waiting).difference(wanted):
                connection.execute(sa.delete(schema.outbox).where(row.topic == topic, row.retain.is_(True)))
        return [topic for topic in held if topic not in wanted]

    def removed(self, topics: Sequence[str]) -> None:
        """The broker holds nothing under these topics any more."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(schema.announced).where(schema.announced.c.topic.in_(topics)))


def add(
    connection: Connection,
    messages: Sequence[Message],
    now: datetime,
    visit_id: str | None = None,
    revision: int | None = None,
) -> None:
    """Append messages inside the caller's transaction; those with a key belong to the given visit revision."""
    table = schema.outbox
    for message in messages:
        if message.coalesce:
            older = (table.c.topic == message.topic, table.c.coalesce.is_(True), _for_channel(message.channel))
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


def keep_without_visit(connection: Connection, visit_id: str) -> None:
    """Let the messages about a visit, which is going to be deleted, still go out."""
    mine = sa.update(schema.outbox).where(schema.outbox.c.visit_id == visit_id)
    connection.execute(mine.values(visit_id=None))


def _for_channel(channel: str | None) -> sa.ColumnElement[bool]:
    column = schema.outbox.c.channel
    return column.is_(None) if channel is None else column == channel


def _last_day(connection: Connection, name: str) -> str | None:
    return connection.execute(sa.select(schema.daily.c.day).where(schema.daily.c.name == name)).scalar()
