"""Remember what must outlive the daemon beside visits: retained topics, what was told today, cameras switched off.

A broker keeps retained messages for ever, also those of a camera that is no longer there. So every topic is written
down here before anything is sent to it, and struck out when the broker has acknowledged its removal.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Engine

from birdwatchd.records import Message, State, Visit
from birdwatchd.store import camera_state, database, outbox, schema
from birdwatchd.store.camera_state import Board
from birdwatchd.store.media import Media
from birdwatchd.store.news import Day
from birdwatchd.store.reader import Catalogue, stored_visits, to_stored_visit
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["EFFORT_GAP", "Ledger"]

EFFORT_GAP = timedelta(minutes=5)  # a longer silence is a time without effort, not part of a span


class Ledger(Catalogue):
    """A catalogue that also writes small notes; `Store` (store.py) adds the visits."""

    def __init__(self, home: Path, engine: Engine, zone: ZoneInfo) -> None:
        super().__init__(home, engine)
        self.zone = zone
        self._writer = database.writing(engine)
        self._media = Media(home)
        self._lock = threading.RLock()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, store_errors(self.path), self._writer.begin() as connection:
            yield connection

    def announce(self, wanted: Collection[str]) -> list[str]:
        """Write down every retained topic there may be from now on; returns those that a broker may hold beside them.

        What waits in the outbox for a topic that is not wanted any more is given up.
        """
        table, row = schema.announced, schema.outbox.c
        with self._writing() as connection:
            for topic in wanted:
                connection.execute(sqlite.insert(table).values(topic=topic).on_conflict_do_nothing())
            held = connection.execute(sa.select(table.c.topic).order_by(table.c.topic)).scalars().all()
            waiting = connection.execute(sa.select(row.topic).where(row.retain.is_(True)).distinct()).scalars().all()
            for topic in set(waiting).difference(wanted):
                connection.execute(sa.delete(schema.outbox).where(row.topic == topic, row.retain.is_(True)))
        return [topic for topic in held if topic not in wanted]

    def unannounce(self, topics: Sequence[str]) -> None:
        """The broker holds nothing under these topics any more."""
        with self._writing() as connection:
            connection.execute(sa.delete(schema.announced).where(schema.announced.c.topic.in_(topics)))

    def newest_row(self) -> int:
        """The id of the newest message in the outbox; 0 when it is empty."""
        with self._reading() as connection:
            return connection.execute(sa.select(sa.func.max(schema.outbox.c.id))).scalar() or 0

    def told_on(self, name: str, day: date) -> bool:
        """Whether what is told once a day was told on this local date."""
        with self._reading() as connection:
            query = sa.select(schema.daily.c.day).where(schema.daily.c.name == name)
            return connection.execute(query).scalar() == day.isoformat()

    def tell_daily(self, name: str, day: date, message: Message, now: datetime) -> bool:
        """Put a message into the outbox and note the date, both or neither; False if that date had it already."""
        table = schema.daily
        with self._writing() as connection:
            query = sa.select(table.c.day).where(table.c.name == name)
            if connection.execute(query).scalar() == day.isoformat():
                return False
            values = {"name": name, "day": day.isoformat()}
            connection.execute(sa.insert(table).prefix_with("OR REPLACE").values(values))
            outbox.add(connection, [message], now)
            return True

    def switch_camera(self, camera: str, *, on: bool, now: datetime) -> None:
        """Remember that a camera was switched on or off."""
        table = schema.camera
        with self._writing() as connection:
            made = sqlite.insert(table).values(key=camera, name=camera, first_seen=now, switched_off=not on)
            changed = made.on_conflict_do_update(index_elements=["key"], set_={"switched_off": not on})
            connection.execute(changed)

    def switched_off(self) -> set[str]:
        """The cameras that were switched off."""
        with self._reading() as connection:
            query = sa.select(schema.camera.c.key).where(schema.camera.c.switched_off.is_(True))
            return set(connection.execute(query).scalars())

    def board(self, camera: str, now: datetime) -> Board:
        """What is to be seen at a camera now, as one reading of the database."""
        visit = schema.visit.c
        newest = (
            stored_visits()
            .where(schema.camera.c.key == camera, visit.state == State.CONFIRMED.value)
            .order_by(visit.started_at.desc(), visit.id.desc())
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(newest).first()
            last = to_stored_visit(row) if row else None
            image = self._media.read(camera_state.best_crop(connection, last.visit.visit_id)) if last else None
            today = camera_state.day_at(connection, now.astimezone(self.zone).date(), self.zone, camera)
            return Board(camera, last, image, today, camera_state.is_present(connection, camera))

    def day(self, day: date, camera: str | None = None) -> Day:
        """The visits that began on a local date, of one camera or of all."""
        with self._reading() as connection:
            return camera_state.day_at(connection, day, self.zone, camera)

    def bounds(self, day: date) -> tuple[datetime, datetime]:
        """When a local date begins and ends (UTC)."""
        return camera_state.day_bounds(day, self.zone)

    def present(self, camera: str) -> bool:
        """Whether a bird is at this camera."""
        with self._reading() as connection:
            return camera_state.is_present(connection, camera)

    def last_told(self, camera: str) -> str | None:
        """The newest visit of a camera that is over, was told and still counts as a bird; its id."""
        visit = schema.visit.c
        query = (
            sa.select(visit.id)
            .join(schema.camera)
            .where(schema.camera.c.key == camera, visit.ended_at.is_not(None), visit.told_revision.is_not(None))
            .where(visit.state != State.REJECTED.value)
            .order_by(visit.started_at.desc(), visit.id.desc())
        )
        with self._reading() as connection:
            return connection.execute(query.limit(1)).scalar()

    def interrupted(self, cameras: Collection[str] | None, now: datetime) -> list[Visit]:
        """The visits without an end that nobody is going to end, unless this process does.

        Args:
            cameras: those of these cameras, which this process is going to watch, and those of live cameras that no
                process has watched for `EFFORT_GAP` (they were taken out of the configuration). None for all.
        """
        visit, effort = schema.visit.c, schema.effort.c
        query = stored_visits().where(visit.ended_at.is_(None)).order_by(visit.id)
        if cameras is not None:
            since = now - EFFORT_GAP
            watched = sa.select(effort.camera_id).where(effort["to"] > since)
            unwatched = (visit.media.is_(None), visit.updated_at < since, visit.camera_id.not_in(watched))
            query = query.where(sa.or_(schema.camera.c.key.in_(cameras), sa.and_(*unwatched)))
        with self._reading() as connection:
            return [to_stored_visit(row).visit for row in connection.execute(query)]
