"""Name the tables: what birdwatchd remembers, as SQLAlchemy Core tables.

Times are text, UTC, always with six decimals and a `Z`, so that they sort and any SQLite tool can read them.
Vectors are little-endian float16 bytes (`<f2`), half the size and finer than any distance that matters.
Boxes, top lists and reasons are JSON. The migrations build these tables step by step; a test holds both to be
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

__all__ = [
    "UnreadableValue",
    "alert",
    "announced",
    "calibration",
    "camera",
    "clock",
    "daily",
    "effort",
    "embedded",
    "going",
    "metadata",
    "model",
    "moment",
    "outbox",
    "review",
    "scanned",
    "species_month",
    "superseded",
    "visit",
]

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class UnreadableValue(ValueError):
    """A value in the database is not what its column holds: a page was damaged, or another program wrote it."""


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware datetime as sortable text: `2026-05-01T06:30:00.125000Z`. A naive one is a ValueError."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC).strftime(TIME_FORMAT)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        try:
            at = None if value is None else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            at = datetime.min
        if at is not None and at.tzinfo is None:
            raise UnreadableValue(f"{value!r:.40} is no time")
        return at


class JsonText(sa.types.TypeDecorator[Any]):
    """Lists and records as JSON text."""

    impl = sa.JSON
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """What SQLAlchemy reads with, whose errors say which value it is."""
        read = super().result_processor(dialect, coltype)
        assert read is not None  # SQLite has no JSON type of its own

        def process(value: Any) -> Any:
            try:
                return read(value)
            except (TypeError, ValueError):
                raise UnreadableValue(f"{value!r:.40} is no JSON") from None

        return process


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_JSON = JsonText(none_as_null=True)
camera = sa.Table(
    "camera",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(255), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("first_seen", UtcTime, nullable=False),
    sa.Column("switched_off", sa.Boolean),
)
model = sa.Table(
    "model",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("version", sa.String(255), nullable=False),
    sa.Column("dim", sa.Integer),
    sa.UniqueConstraint("name", "version"),
)

# One row for each stretch of time in which the station's time went on evenly (see timekeeping/stretches.py). Visits and
# effort name theirs, by no foreign key: a row that is lost must take none of them along. `began_at` is stamped as they
# are. `sure_at`: a time that had certainly come then. `doubt`: `behind` or `ahead` of the real time, as far as is
# known. `shifted_s`: what was added to all that is stamped in it.
clock = sa.Table(
    "clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("began_at", UtcTime, nullable=False),
    sa.Column("sure_at", UtcTime, nullable=False),
    sa.Column("synchronised", sa.Boolean, nullable=False),
    sa.Column("doubt", sa.String(16)),
    sa.Column("shifted_s", sa.Float, nullable=False),
)

# `species` is filled for confirmed visits of rank species only (scientific name, else common name): what
# "firsts" are decided by. `raw_*` are what the network alone says, where place and season changed it. `told_*`
# say what was published: `told_revision` was last put into the outbox, with `told_as` for its news (see news.py);
# `told_at` is when the broker first acknowledged any of it. `reviewed`: a person said what it is; triggers of `review`
# keep it (migration 0013). The indexes of lists hold all that a filter of a list asks for (see pages/cards.py), so that
# a visit that does not pass it is never looked up.
_OF_FEW = ("started_at", "state", "camera_id", "species", "score", "reviewed")
visit = sa.Table(
    "visit",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("camera_id", sa.ForeignKey("camera.id"), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
    sa.Column("last_seen_at", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("rank", sa.String(16), nullable=False),
    sa.Column("common_name", sa.String(255)),
    sa.Column("scientific_name", sa.String(255)),
    sa.Column("species", sa.String(255)),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("top", _JSON, nullable=False),
    sa.Column("reasons", _JSON, nullable=False),
    sa.Column("count_max", sa.Integer, nullable=False),
    sa.Column("moments", sa.Integer, nullable=False),
    sa.Column("box", _JSON),
    sa.Column("model_id", sa.ForeignKey("model.id"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("firsts", _JSON, nullable=False),
    sa.Column("media", sa.Text),
    sa.Column("start_s", sa.Float),
    sa.Column("end_s", sa.Float),
    sa.Column("told_at", UtcTime),
    sa.Column("told_revision", sa.Integer),
    sa.Column("told_as", _JSON),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("clip", sa.Text),
    sa.Column("clip_cut", sa.Boolean),
    sa.Column("raw_score", sa.Float),
    sa.Column("raw_top", _JSON),
    sa.Column("rare", sa.Boolean),
    sa.Column("clock", sa.Integer),
    sa.Column("reviewed", sa.Boolean, nullable=False, server_default=sa.text("0")),
    sa.Index(None, "started_at"),
    sa.Index("ix_visit_of_camera", "camera_id", "state", "started_at", "score", "reviewed"),
    sa.Index(
        "ix_visit_of_species",
        *("species", "started_at", "count_max", "clock", "camera_id", "score", "reviewed"),
        sqlite_where=sa.text("species IS NOT NULL"),
    ),
    sa.Index(None, "score"),
    sa.Index(None, "ended_at"),
    sa.Index(None, "media"),
    sa.Index(None, "clock"),
    sa.Index("ix_visit_unreviewed", "reviewed", sqlite_where=sa.text("reviewed IS 0")),
    sa.Index("ix_visit_rare", *_OF_FEW, sqlite_where=sa.text("rare IS 1")),
    sa.Index("ix_visit_firsts", *_OF_FEW, "rare", sqlite_where=sa.text("firsts != '[]'")),
)

# One row for each species and month (UTC) in which it was confirmed: of visits that have a species and are dated (see
# timekeeping/doubt.py). Triggers of `visit` and `clock` keep it (migration 0012), whatever program writes: `doctor`
# counts it anew where it is wrong all the same (see rescue/sums.py).
species_month = sa.Table(
    "species_month",
    metadata,
    sa.Column("species", sa.String(255), primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("visits", sa.Integer, nullable=False),
    sa.Column("first_at", UtcTime, nullable=False),
    sa.Column("last_at", UtcTime, nullable=False),
    sa.Column("count_max", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

moment = sa.Table(
    "moment",
    metadata,
    sa.Column("visit_id", sa.ForeignKey("visit.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("idx", sa.Integer, primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("box", _JSON, nullable=False),
    sa.Column("quality", sa.Float, nullable=False),
    sa.Column("top", _JSON, nullable=False),
    sa.Column("logits", sa.LargeBinary),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("dim", sa.Integer, nullable=False),
    sa.Column("model_id", sa.ForeignKey("model.id"), nullable=False),
    sa.Column("crop", sa.Text),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("bird_evidence", sa.Float),
)

# One row for each visit and each model that gave embeddings of it. Triggers of `moment` keep it (migration 0006): it
# has another `stamp`, a random number of 64 bits, whenever any of these embeddings was added, changed or deleted, by
# whatever program. Who remembers stamps (versions, see embeddings.py) knows what to read again, also after a backup was
# restored.
embedded = sa.Table(
    "embedded",
    metadata,
    sa.Column("stamp", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.Integer, nullable=False),
    sa.Column("visit_id", sa.String(64), nullable=False),
    sa.UniqueConstraint("model_id", "visit_id"),
)

review = sa.Table(
    "review",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("visit_id", sa.ForeignKey("visit.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("verdict", sa.String(32), nullable=False),
    sa.Column("species", sa.String(255)),
    sa.Column("by", sa.String(255), nullable=False),
    sa.Index(None, "visit_id"),
    sa.Index(None, "at"),
)
superseded = sa.Table(
    "superseded",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("visit_id", sa.ForeignKey("visit.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("cause", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("rank", sa.String(16), nullable=False),
    sa.Column("common_name", sa.String(255)),
    sa.Column("scientific_name", sa.String(255)),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("top", _JSON, nullable=False),
    sa.Column("reasons", _JSON, nullable=False),
    sa.Column("raw_score", sa.Float),
    sa.Column("raw_top", _JSON),
    sa.Column("rare", sa.Boolean),
    sa.Column("model_id", sa.ForeignKey("model.id"), nullable=False),
    sa.Index(None, "visit_id"),
)
calibration = sa.Table(
    "calibration",
    metadata,
    sa.Column("model_id", sa.ForeignKey("model.id"), primary_key=True),
    sa.Column("temperature", sa.Float, nullable=False),
    sa.Column("visits", sa.Integer, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

# Which rule fired for which visit; of these cooldown and daily cap are reckoned (see alert_log.py). `started_at` is the
# visit's. `state`, `species`, `name`, `phase` are the visit's when this rule was last evaluated; `stands`: the alert
# was not retracted. `channels` were notified.
alert = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("visit_id", sa.ForeignKey("visit.id", ondelete="CASCADE"), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("fired_at", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("species", sa.String(255), nullable=False),
    sa.Column("name", sa.String(255)),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("stands", sa.Boolean, nullable=False),
    sa.Column("channels", _JSON, nullable=False),
    sa.UniqueConstraint("rule", "visit_id"),
    sa.Index(None, "visit_id"),
    sa.Index(None, "rule", "started_at"),
)

# AUTOINCREMENT: an id is never used again, so that a publisher that remembers "sent up to 17" is right for
# ever. `channel` is empty for what the broker gets.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("retain", sa.Boolean, nullable=False),
    sa.Column("key", sa.String(128)),
    sa.Column("visit_id", sa.ForeignKey("visit.id", ondelete="CASCADE")),
    sa.Column("revision", sa.Integer),
    sa.Column("coalesce", sa.Boolean, nullable=False),
    sa.Column("channel", sa.String(64)),
    sa.Index(None, "topic"),
    sa.Index(None, "channel", "id"),
    sa.Index(None, "visit_id"),
    sqlite_autoincrement=True,
)

# Topics under which a broker may hold something retained of ours; one that is not wanted any more is emptied there
# before its row goes (outbox.py).
announced = sa.Table("announced", metadata, sa.Column("topic", sa.Text, primary_key=True))
daily = sa.Table(
    "daily",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), nullable=False),
)

effort = sa.Table(
    "effort",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("camera_id", sa.ForeignKey("camera.id"), nullable=False),
    sa.Column("from", UtcTime, nullable=False),
    sa.Column("to", UtcTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("clock", sa.Integer),
    sa.Index(None, "camera_id", "to"),
)

# One row for each recording that was read to its end and each model (see scans.py). `settings` is what else
# decides what is found, as JSON text. `growing`: the file changed while it was read, so that whatever is there next
# time takes its place.
scanned = sa.Table(
    "scanned",
    metadata,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True),
    sa.Column("mtime_ns", sa.BigInteger, primary_key=True),
    sa.Column("model_id", sa.ForeignKey("model.id"), primary_key=True),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("finished_at", UtcTime, nullable=False),
    sa.Column("visits", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("growing", sa.Boolean, nullable=False),
    sa.Column("content", sa.Text, index=True),
)

# Files that retention deletes, from the transaction in which their rows let go of them until they are gone: what a kill
# leaves in between is deleted by the next start, and not taken for the picture of a lost row.
going = sa.Table("going", metadata, sa.Column("file", sa.Text, primary_key=True))
