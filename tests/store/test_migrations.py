"""The schema is built step by step, equals the tables the code uses, and refuses what it does not know."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from birdwatchd.errors import StoreError, StoreTooNew
from birdwatchd.store import Store, StoreReader, Writer, migrations, schema
from tests.support.homes import drop_filters


def test_the_migrated_schema_is_the_one_in_the_code(store: Store) -> None:
    """A column that exists only in code is a crash on every installed machine, and on no developer's."""
    with store._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, schema.metadata) == []


def test_the_list_of_revisions_is_complete() -> None:
    """Reading commands tell old from new by this list, without loading alembic."""
    script = ScriptDirectory(str(migrations.FOLDER))
    assert tuple(r.revision for r in script.walk_revisions())[::-1] == migrations.REVISIONS


# What each version added: tables, and columns of older tables; an index that must go before its column.
ADDED: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "0002": ((), (("visit", "clip"), ("visit", "clip_cut"))),
    "0003": (("superseded", "calibration"), (("visit", "raw_score"), ("visit", "raw_top"), ("visit", "rare"))),
    "0004": (("alert",), (("outbox", "channel"),)),
    "0005": (("announced", "daily"), (("camera", "switched_off"),)),
    "0006": (("embedded",), ()),
    "0007": ((), (("moment", "bird_evidence"),)),
    "0008": (("clock",), (("visit", "clock"), ("effort", "clock"))),
    "0009": (("going",), ()),
    "0010": ((), (("scanned", "content"),)),
    "0011": ((), ()),
    "0012": (("species_month",), ()),
    "0013": ((), ()),
    "0014": ((), ()),
}
LISTS = ("ix_visit_rare", "ix_visit_firsts", "ix_visit_species_started_at_count_max_clock")


def triggers(connection: sqlite3.Connection) -> dict[str, str]:
    """Those that there are, and what they do."""
    return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1").fetchall())


def take_away(connection: sqlite3.Connection, version: str) -> None:
    """Make a database what it was before a version."""
    tables, columns = ADDED[version]
    if version == "0014":
        connection.executescript("""DROP TRIGGER species_month_delete;
            CREATE TRIGGER species_month_delete AFTER DELETE ON visit BEGIN SELECT 'as it was'; END;""")
        return
    if version == "0013":
        drop_filters(connection)
        return
    for trigger in triggers(connection):
        if trigger.startswith(tables):
            connection.execute(f"DROP TRIGGER {trigger}")
    for table in tables:
        connection.execute(f"DROP TABLE {table}")
    for index in ("ix_outbox_channel_id", "ix_visit_clock", "ix_scanned_content", *LISTS):
        connection.execute(f"DROP INDEX IF EXISTS {index}")
    for table, column in columns:
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


@pytest.mark.parametrize("version", migrations.REVISIONS[:-1])
def test_visits_of_older_versions_are_kept(store: Store, writer: Writer, sightings: Any, version: str) -> None:
    """A season of visits must survive every update."""
    writer.record(sightings.visit(ended=True), [], sightings.start)
    before, listed = store.visits.get("v1"), store.species.all()
    store.close()
    with sqlite3.connect(store.path) as connection:
        kept_by = triggers(connection)
        for newer in migrations.REVISIONS[:0:-1]:
            if newer > version:
                take_away(connection, newer)
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    with Store.open(store.home, zone=sightings.zone) as upgraded:
        assert upgraded.visits.get("v1") == before
        assert upgraded.species.all() == listed
        assert [row.message.key for row in upgraded.outbox.pending(0, 9)] == ["v1:1"]
        assert before is not None
        assert (before.clip, before.clip_cut) == (None, False)
        assert (before.verdict.raw_score, before.verdict.rare) == (None, False)
    with sqlite3.connect(store.path) as connection:
        assert triggers(connection) == kept_by


def test_a_newer_database_is_left_alone(store: Store, sightings: Any) -> None:
    """After a downgrade, refuse at once; guessing would write rows that the newer version misreads."""
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for opening in (lambda: Store.open(store.home, zone=sightings.zone), lambda: StoreReader.open_existing(store.home)):
        with pytest.raises(StoreTooNew, match="newer birdwatchd"):
            opening()


def test_an_empty_file_is_older_than_everything(tmp_path: Path) -> None:
    """Reading must not upgrade; it says who does."""
    sqlite3.connect(tmp_path / "birdwatchd.sqlite3").close()
    with pytest.raises(StoreError, match="birdwatchd run"):
        StoreReader.open_existing(tmp_path)


def test_opening_leaves_logging_alone(tmp_path: Path, sightings: Any) -> None:
    """alembic's usual env.py switches off every logger that existed before: a daemon that falls silent."""
    logger = logging.getLogger("birdwatchd.somebody")
    before = (logger.disabled, logging.getLogger().level, list(logging.getLogger().handlers))
    Store.open(tmp_path / "home", zone=sightings.zone).close()
    assert (logger.disabled, logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_several_processes_may_start_at_once(tmp_path: Path) -> None:
    """systemd starts the daemon while a person types `birdwatchd scan`: both must find a whole schema."""
    script = (
        "import sys; from pathlib import Path; from zoneinfo import ZoneInfo; from birdwatchd.store import Store;"
        "sys.stdin.read(); Store.open(Path(sys.argv[1]), zone=ZoneInfo('UTC')).close()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "home")]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.stdin = None
    assert [(run.communicate(timeout=60)[1], run.returncode) for run in runs] == [("", 0)] * 4
