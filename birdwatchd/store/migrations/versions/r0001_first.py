"""The first schema: cameras, models, visits with their moments, reviews, outbox, effort, scanned files."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.String(27)


def upgrade() -> None:
    """Write every table out; later changes of `schema.py` must not change what this one did."""
    _places()
    _visits()
    _moments_and_reviews()
    _outbox()
    _bookkeeping()


def _places() -> None:
    op.create_table(
        "camera",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_camera"),
        sa.UniqueConstraint("key", name="uq_camera_key"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("dim", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("name", "version", name="uq_model_name_version"),
    )


def _visits() -> None:
    op.create_table(
        "visit",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("camera_id", sa.Integer, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rank", sa.String(16), nullable=False),
        sa.Column("common_name", sa.String(255)),
        sa.Column("scientific_name", sa.String(255)),
        sa.Column("species", sa.String(255)),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("top", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("count_max", sa.Integer, nullable=False),
        sa.Column("moments", sa.Integer, nullable=False),
        sa.Column("box", sa.JSON),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("firsts", sa.JSON, nullable=False),
        sa.Column("media", sa.Text),
        sa.Column("start_s", sa.Float),
        sa.Column("end_s", sa.Float),
        sa.Column("told_at", TIME),
        sa.Column("told_revision", sa.Integer),
        sa.Column("told_as", sa.JSON),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_visit"),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name="fk_visit_camera_id_camera"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_visit_model_id_model"),
    )
    op.create_index("ix_visit_started_at", "visit", ["started_at"])
    op.create_index("ix_visit_camera_id_state_started_at", "visit", ["camera_id", "state", "started_at"])
    op.create_index("ix_visit_species_started_at", "visit", ["species", "started_at"])
    op.create_index("ix_visit_ended_at", "visit", ["ended_at"])
    op.create_index("ix_visit_media", "visit", ["media"])


def _moments_and_reviews() -> None:
    op.create_table(
        "moment",
        sa.Column("visit_id", sa.String(64), nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("box", sa.JSON, nullable=False),
        sa.Column("quality", sa.Float, nullable=False),
        sa.Column("top", sa.JSON, nullable=False),
        sa.Column("logits", sa.LargeBinary),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("crop", sa.Text),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("visit_id", "idx", name="pk_moment"),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name="fk_moment_visit_id_visit", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_moment_model_id_model"),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("visit_id", sa.String(64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("species", sa.String(255)),
        sa.Column("by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name="fk_review_visit_id_visit", ondelete="CASCADE"),
    )
    op.create_index("ix_review_visit_id", "review", ["visit_id"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("retain", sa.Boolean, nullable=False),
        sa.Column("key", sa.String(128)),
        sa.Column("visit_id", sa.String(64)),
        sa.Column("revision", sa.Integer),
        sa.Column("coalesce", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name="fk_outbox_visit_id_visit", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_topic", "outbox", ["topic"])
    op.create_index("ix_outbox_visit_id", "outbox", ["visit_id"])


def _bookkeeping() -> None:
    op.create_table(
        "effort",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("camera_id", sa.Integer, nullable=False),
        sa.Column("from", TIME, nullable=False),
        sa.Column("to", TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_effort"),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name="fk_effort_camera_id_camera"),
    )
    op.create_index("ix_effort_camera_id_to", "effort", ["camera_id", "to"])
    op.create_table(
        "scanned",
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("finished_at", TIME, nullable=False),
        sa.Column("visits", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("growing", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("path", "size", "mtime_ns", "model_id", name="pk_scanned"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_scanned_model_id_model"),
    )
