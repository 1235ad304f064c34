"""Bring a database's schema up to date, from code: no alembic.ini, no change to anybody's logging.

`REVISIONS` names all schema versions, oldest first. A new one is a file in `versions/`, written out by hand,
and a name here; tests hold that both agree and that the result equals `schema.metadata`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import Connection

__all__ = ["FOLDER", "REVISIONS", "upgrade"]

FOLDER = Path(__file__).parent
REVISIONS = tuple(f"{number:04}" for number in range(1, 15))


def upgrade(connection: Connection) -> None:
    """Run what is missing inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
