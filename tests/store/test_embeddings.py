"""A version changes whenever a visit's embeddings do, whoever changes them, and never else."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from birdwatchd.errors import StoreError
from birdwatchd.store import Store
from tests.support import homes

MODEL = "demo@1"


def kept(store: Store, model: str = MODEL) -> dict[str, int]:
    """Visits of a model, and their versions."""
    return {one.visit_id: one.version for one in store.embeddings.read(store.embeddings.versions(model).tolist())}


def test_stamps_lead_to_embeddings(store: Store, sightings: Any) -> None:
    """In the order of visits and moments, whatever the order of the question."""
    for visit_id, count in (("v2", 1), ("v1", 3)):
        moments = [sightings.moment(index) for index in range(count)]
        store.writer().record(sightings.visit(visit_id), moments, sightings.start)
    found = store.embeddings.read(store.embeddings.versions(MODEL)[::-1].tolist())
    assert [one.visit_id for one in found] == ["v1", "v2"]
    assert found[0].vectors.dtype == np.float16
    assert found[0].vectors.tolist() == [m.embedding.tolist() for m in store.visits.moments("v1")]
    assert [one.version for one in found] == store.embeddings.versions(MODEL).tolist()
    assert store.embeddings.models() == [MODEL]


def test_a_stamp_changes_with_the_embeddings_only(store: Store, sightings: Any) -> None:
    """A new moment is to be read, a new name is not: most revisions bring only that."""
    store.writer().record(sightings.visit("v1"), [sightings.moment(0)], sightings.start)
    store.writer().record(sightings.visit("v2"), [sightings.moment(0)], sightings.start)
    before = kept(store)
    store.writer().record(sightings.visit("v1", 2, ended=True), [sightings.moment(0)], sightings.start)
    assert kept(store) == before
    store.writer().record(sightings.visit("v1", 3, ended=True), [sightings.moment(1)], sightings.start)
    after = kept(store)
    assert after["v2"] == before["v2"]
    assert after["v1"] != before["v1"]
    assert store.embeddings.read([before["v1"]]) == []


def test_another_model_takes_over_what_it_was_asked(store: Store, sightings: Any) -> None:
    """After `relabel` a visit may have moments of both: each model has its own version for its own."""
    moments = [sightings.moment(0), sightings.moment(1)]
    store.writer().record(sightings.visit("v1", ended=True), moments, sightings.start)
    before = kept(store)
    newer = replace(moments[1], embedding=np.arange(8, dtype=np.float32))
    store.writer().relabel("v1", sightings.verdict("Great tit"), "demo@2", [newer], sightings.start)
    assert kept(store)["v1"] != before["v1"]
    (old,), (new,) = (store.embeddings.read(store.embeddings.versions(model).tolist()) for model in (MODEL, "demo@2"))
    assert (len(old.vectors), new.vectors.tolist()) == (1, [list(range(8))])
    other = replace(newer, moment=moments[0].moment)
    store.writer().relabel("v1", sightings.verdict(), "demo@2", [other], sightings.start)
    assert kept(store) == {}
    assert len(store.embeddings.read(store.embeddings.versions("demo@2").tolist())[0].vectors) == 2
    assert store.embeddings.models() == ["demo@2"]


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("DELETE FROM visit WHERE id = 'v1'", {"v2": False}),
        ("DELETE FROM moment WHERE visit_id = 'v1'", {"v2": False}),
        ("DELETE FROM moment WHERE visit_id = 'v1' AND idx = 0", {"v1": True, "v2": False}),
        ("UPDATE moment SET embedding = zeroblob(16) WHERE visit_id = 'v1' AND idx = 1", {"v1": True, "v2": False}),
        ("UPDATE moment SET idx = 7 WHERE visit_id = 'v1' AND idx = 1", {"v1": True, "v2": False}),
        ("UPDATE moment SET crop = NULL", {"v1": False, "v2": False}),
        ("UPDATE visit SET state = 'unknown'", {"v1": False, "v2": False}),
    ],
)
def test_whatever_program_changes_them(store: Store, sightings: Any, statement: str, left: dict[str, bool]) -> None:
    """Retention, repairs, and people with a shell; `left` says whose version is another."""
    for visit_id in ("v1", "v2"):
        store.writer().record(sightings.visit(visit_id), [sightings.moment(0), sightings.moment(1)], sightings.start)
    before = kept(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(statement)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    assert {visit_id: version != before[visit_id] for visit_id, version in kept(store).items()} == left
    assert len(store.embeddings.versions(MODEL)) == len(left)


def test_two_futures_of_one_backup_share_no_versions(store: Store, sightings: Any) -> None:
    """A counter would give the visits after a restored backup the numbers of those that were lost."""
    store.writer().record(sightings.visit("v1"), [sightings.moment(0)], sightings.start)
    store.close()
    backup = store.path.with_suffix(".backup")
    shutil.copy(store.path, backup)
    futures = []
    for _ in range(2):
        shutil.copy(backup, store.path)
        with Store.open(store.home, zone=sightings.zone) as opened:
            opened.writer().record(sightings.visit("v2"), [sightings.moment(0)], sightings.start)
            futures.append(kept(opened))
    assert futures[0]["v1"] == futures[1]["v1"]
    assert futures[0]["v2"] != futures[1]["v2"]


def test_a_damaged_embedding_is_named(store: Store, sightings: Any) -> None:
    """Half a vector is no vector, and which visit it is of is what a person needs to know."""
    store.writer().record(sightings.visit("v1"), [sightings.moment(0)], sightings.start)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE moment SET embedding = zeroblob(15)")
    connection.close()
    with pytest.raises(StoreError, match="visit v1: an embedding is damaged"):
        kept(store)


def test_visits_of_older_versions_get_versions(store: Store, sightings: Any) -> None:
    """What was seen before the update is found as well."""
    store.writer().record(sightings.visit("v1"), [sightings.moment(0), sightings.moment(1)], sightings.start)
    store.close()
    with sqlite3.connect(store.path) as connection:
        for event in ("insert", "update", "delete"):
            connection.execute(f"DROP TRIGGER embedded_{event}")
        connection.execute("DROP TABLE embedded")
        homes.make_older(connection)
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    connection.close()
    with Store.open(store.home, zone=sightings.zone) as upgraded:
        (found,) = upgraded.embeddings.read(upgraded.embeddings.versions(MODEL).tolist())
        assert (found.visit_id, len(found.vectors)) == ("v1", 2)
