"""Visits keep what the network alone said and whether they are rarities; old verdicts and temperatures are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add three columns (for visits from before nothing but the network had a say) and two tables."""
    op.add_column("visit", sa.Column("raw_score", sa.Float))
    op.add_column("visit", sa.Column("raw_top", sa.JSON(none_as_null=True)))
    op.add_column("visit", sa.Column("rare", sa.Boolean))
    op.create_table(
        "superseded",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("visit_id", sa.String(64), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rank", sa.String(16), nullable=False),
        sa.Column("common_name", sa.String(255)),
        sa.Column("scientific_name", sa.String(255)),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("top", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reasons", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("raw_score", sa.Float),
        sa.Column("raw_top", sa.JSON(none_as_null=True)),
        sa.Column("rare", sa.Boolean),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_superseded"),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name="fk_superseded_visit_id_visit", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_superseded_model_id_model"),
    )
    op.create_index("ix_superseded_visit_id", "superseded", ["visit_id"])
    op.create_table(
        "calibration",
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("temperature", sa.Float, nullable=False),
        sa.Column("visits", sa.Integer, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_calibration"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_calibration_model_id_model"),
    )
