"""Compare what a killed daemon's database says with its files, with what a subscriber got, and what a broker keeps.

Triggers in the database note every revision of a visit and every message about one, in the transaction that writes it:
that is the truth. They know nothing of what became of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.topics import Topics
from birdwatchd.store import Store
from tests.support.lives import Home

TOPICS = Topics("birdwatch", "test")
ZONE = ZoneInfo("UTC")
Heard = list[tuple[str, bytes, bool]]
SAID = ("state", "rank", "common_name", "phase", "count_max")  # a change of any of these is news
AUDIT = f"""
    CREATE TABLE IF NOT EXISTS audit_seen (visit_id, revision, {", ".join(SAID)}, moments, score, ended_at);
    CREATE TABLE IF NOT EXISTS audit_told (visit_id, revision);
    CREATE TRIGGER IF NOT EXISTS audit_begun AFTER INSERT ON visit BEGIN INSERT INTO audit_seen VALUES (NEW.id,
        NEW.revision, {", ".join(f"NEW.{name}" for name in SAID)}, NEW.moments, NEW.score, NEW.ended_at); END;
    CREATE TRIGGER IF NOT EXISTS audit_revised AFTER UPDATE ON visit WHEN NEW.revision > OLD.revision
        BEGIN INSERT INTO audit_seen VALUES (NEW.id,
        NEW.revision, {", ".join(f"NEW.{name}" for name in SAID)}, NEW.moments, NEW.score, NEW.ended_at); END;
    CREATE TRIGGER IF NOT EXISTS audit_told AFTER INSERT ON outbox WHEN NEW.key IS NOT NULL AND NEW.channel IS NULL
        BEGIN INSERT INTO audit_told VALUES (NEW.visit_id, NEW.revision); END;
"""


def begin(home: Home) -> None:
    """From now on everything that is written about visits is noted."""
    with Store.open(home.folder, zone=ZONE):  # makes what the daemon had no time to make
        pass
    with closing(sqlite3.connect(home.path, timeout=10)) as database:
        database.executescript(AUDIT)


@dataclass(frozen=True, slots=True)
class Left:
    """What a kill left behind, to say afterwards how interesting the kills were."""

    unsent: int
    open_visits: int
    strays: int


def check_left(home: Home) -> Left:
    """Whatever happened: the database is whole, and every file that a row names is there and whole."""
    with closing(home.reader()) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        crops = {row[0] for row in database.execute("SELECT crop FROM moment WHERE crop IS NOT NULL")}
        clips = {row[0] for row in database.execute("SELECT clip FROM visit WHERE clip IS NOT NULL")}
        unsent, open_visits = database.execute(
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM visit WHERE ended_at IS NULL)"
        ).fetchone()
    for name in crops:
        jpeg = (home.folder / name).read_bytes()
        assert (jpeg[:2], jpeg[-2:]) == (b"\xff\xd8", b"\xff\xd9"), f"{name} is not whole"
    for name in clips:
        assert top_boxes(home.folder / name)[:2] == ["ftyp", "moov"], f"{name} is not whole"
    return Left(unsent, open_visits, len(files(home) - crops - clips))


def files(home: Home) -> set[str]:
    """Pictures and clips, finished or not, relative to home."""
    found = (path for path in (home.folder / "media").rglob("*") if path.is_file() and ".swept" not in path.name)
    return {path.relative_to(home.folder).as_posix() for path in found}


def top_boxes(path: Path) -> list[str]:
    """The kinds of an MP4's top level boxes; [] when they do not fill the file exactly (ISO/IEC 14496-12, 4.2)."""
    data, kinds, at = path.read_bytes(), [], 0
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < header:
            return []
        kinds.append(data[at + 4 : at + 8].decode("latin-1"))
        at += size
    return kinds if at == len(data) else []


def check_events(home: Home, heard: Heard) -> tuple[int, int]:
    """Every revision that is news came, in order per visit, and says what the database said; events, and repeats."""
    seen = home.rows("SELECT * FROM audit_seen ORDER BY rowid")
    told = home.rows("SELECT visit_id, revision FROM audit_told")
    assert len(set(told)) == len(told)
    first: dict[tuple[str, int], dict[str, Any]] = {}
    events = [json.loads(payload) for topic, payload, _ in heard if topic.endswith("/visit")]
    for event in events:
        key = event["visit_id"], event["revision"]
        assert first.setdefault(key, event) == event, f"{key} says another thing when it is repeated"
    missing = [key for key in told if key not in first]
    assert not missing, f"{len(missing)} of {len(told)} messages about visits never came: {missing}"
    assert set(first) == set(told)
    assert news(seen) <= set(told), "a change was not told"
    order: dict[str, list[int]] = defaultdict(list)
    for visit_id, revision in first:  # in order of first arrival
        order[visit_id].append(revision)
    assert all(revisions == sorted(revisions) for revisions in order.values()), "not in order"
    for visit_id, revision, *said, moments, score, ended in seen:
        if event := first.get((visit_id, revision)):
            assert [event[name] for name in SAID] == said
            assert (event["moments"], event["score"], bool(event["end"])) == (moments, round(score, 4), bool(ended))
    over = {visit_id for (visit_id, _), event in first.items() if event["end"]}
    assert over == {row[0] for row in home.rows("SELECT id FROM visit WHERE told_revision IS NOT NULL")}
    return len(first), len(events) - len(first)


def news(seen: Iterable[tuple[Any, ...]]) -> set[tuple[str, int]]:
    """Which revisions say something new to those who listen; nobody hears of what was no bird from the beginning."""
    newest: dict[str, list[Any]] = {}
    found = set()
    for visit_id, revision, *rest in seen:
        said = rest[: len(SAID)]
        if newest.get(visit_id) != said and (visit_id in newest or said[0] != "rejected"):
            newest[visit_id] = said
            found.add((visit_id, revision))
    return found


def retained(heard: Heard) -> dict[str, bytes]:
    """What a broker keeps after these messages, if all of them were retained; events are left out."""
    kept: dict[str, bytes] = {}
    for topic, payload, _ in heard:
        kept[topic] = payload
    return {topic: payload for topic, payload in kept.items() if payload and not topic.endswith("/visit")}


def check_states(home: Home, kept: Mapping[str, bytes], cameras: Iterable[str], stopped: datetime) -> None:
    """Each retained topic says what the database says now, and the daemon has said goodbye."""
    with Store.open(home.folder, zone=ZONE) as store:
        boards = {camera: store.cameras.summary(camera, stopped.astimezone(UTC)) for camera in cameras}
    for camera, board in boards.items():
        assert board.last is not None, f"camera {camera} saw no bird: the test proves nothing"
        last = json.loads(kept[TOPICS.last(camera)])
        for message in Composer(TOPICS).states(board):
            if message.topic == TOPICS.last(camera):
                assert last["revision"] <= board.last.visit.revision  # a clip is one more revision, and no news
                assert last | {"revision": 0} == json.loads(message.payload) | {"revision": 0}
            else:
                assert kept.get(message.topic, b"") == message.payload, message.topic
        assert kept[TOPICS.camera_status(camera)] == b"offline"
        assert f"homeassistant/device/birdwatch_test_{camera}/config" in kept
    assert kept[TOPICS.status] == b"offline"
