"""Which visits have embeddings of which model, and a number that changes whenever these do: what `similar` goes by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# No conflict clauses: one in the statement that fires a trigger would take their place. No foreign key to `visit`:
# while a deleted visit takes its moments along one by one, rows come and go here.
_FORGET = "DELETE FROM embedded WHERE model_id = {row}.model_id AND visit_id = {row}.visit_id;"
_STAMP = """
INSERT INTO embedded (stamp, model_id, visit_id) SELECT random(), {row}.model_id, {row}.visit_id
WHERE EXISTS (SELECT 1 FROM moment WHERE visit_id = {row}.visit_id AND model_id = {row}.model_id);
"""
_ANEW = _FORGET + _STAMP
TRIGGERS = {
    "embedded_insert": ("INSERT", _ANEW.format(row="NEW")),
    "embedded_update": (
        "UPDATE OF visit_id, idx, embedding, dim, model_id",
        _ANEW.format(row="OLD") + _ANEW.format(row="NEW"),
    ),
    "embedded_delete": ("DELETE", _ANEW.format(row="OLD")),
}


def upgrade() -> None:
    """Add the table, fill it, and let triggers keep it from now on. Reads every moment once."""
    op.create_table(
        "embedded",
        sa.Column("stamp", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("visit_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("stamp", name="pk_embedded"),
        sa.UniqueConstraint("model_id", "visit_id", name="uq_embedded_model_id_visit_id"),
    )
    op.execute(
        "INSERT INTO embedded (stamp, model_id, visit_id) "
        "SELECT random(), model_id, visit_id FROM (SELECT DISTINCT model_id, visit_id FROM moment)"
    )
    for name, (event, body) in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON moment BEGIN {body} END")
