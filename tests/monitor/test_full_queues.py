"""The table "Full queues" of the page on architecture: whatever can be full shows as a number, from the start on."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.channels.channel import build_channels
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.catalogue import CATALOGUE
from birdwatchd.monitor.exposition import Exposition
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.settings.config import Config
from birdwatchd.store import LastBackup, Store

PAGE = Path(__file__).parent.parent.parent / "docs" / "design" / "architecture.md"
NOW = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)
# The names that the first plan gave them, and what they are called in /metrics.
PLANNED = {
    "ring_seconds": "camera_ring_seconds",
    "frames_skipped_total": "frames_skipped_total",
    "crops_dropped_total": "crops_dropped_total",
    "record_wait_seconds": "record_wait_seconds_total",
    "outbox_oldest_seconds": "outbox_oldest_seconds",
}


def table() -> list[tuple[str, list[str]]]:
    """Hand-over and the names under which it is seen, for each row."""
    section = PAGE.read_text(encoding="utf-8").split("## Full queues")[1].split("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return [(row[0].strip(), re.findall(r"`(\w+)`", f"{row[0]} {row[-1]}")) for row in rows]


def shown(home: Path, **more: Any) -> str:
    """/metrics of a daemon with one camera and one channel that has just started, and of which nothing is full yet."""
    config = Config.model_validate({"home": home, "channels": {"phone": {"webhook": "http://192.0.2.1/"}}})
    metrics = Metrics()
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        build_channels(config, store.outbox, metrics)
        vitals = Vitals(["nut"], monotonic=lambda: 7.0, utc_now=lambda: NOW)
        return Exposition(metrics, vitals, store.path, **more).render()[0].decode()


def test_every_name_of_the_table_has_a_value_before_anything_is_full(tmp_path: Path) -> None:
    """An alert on a number that appears only with the overload comes one overload late."""
    rows = table()
    names = {name for _, found in rows for name in found}
    assert len(rows) >= 7
    assert [hand_over for hand_over, found in rows if not found] == []
    assert names - set(CATALOGUE) == set()
    assert set(PLANNED.values()) <= names
    text = shown(tmp_path)
    missing = [name for name in sorted(names) if not re.search(rf"^birdwatchd_{name}(\{{.*\}})? 0\.0$", text, re.M)]
    assert missing == []
    assert 'birdwatchd_camera_ring_seconds{camera="nut"} 0.0' in text
    assert 'birdwatchd_channel_dropped_total{channel="phone",reason="refused"} 0.0' in text


@pytest.mark.parametrize(("age_s", "line"), [(None, ""), (3600.0, "birdwatchd_last_backup_age_seconds 3600.0")])
def test_the_age_of_the_last_backup_is_missing_until_there_is_one(
    tmp_path: Path, age_s: float | None, line: str
) -> None:
    """0 would say that it was made just now."""
    found = re.findall(r"^birdwatchd_last_backup.*$", shown(tmp_path, backup_age_s=lambda: age_s), re.M)
    assert "\n".join(found) == line


def test_a_note_of_the_last_backup_that_is_damaged_or_of_another_time_is_none(tmp_path: Path) -> None:
    """Anything may lie in that file after a power cut; and a clock that was set back makes no age below 0."""
    assert LastBackup.read(tmp_path) is None
    assert LastBackup(NOW, "/mnt/b", 3).write(tmp_path)
    assert LastBackup.read(tmp_path) == LastBackup(NOW, "/mnt/b", 3)
    assert LastBackup(NOW, "/mnt/b", 3).age_s(NOW.replace(year=2000)) == 0.0
    for text in ("", "{", "[]", "7", '{"at": "soon"}', '{"at": "2026-05-08T12:00:00", "folder": "x", "visits": 3}'):
        (tmp_path / "last-backup.json").write_text(text)
        assert LastBackup.read(tmp_path) is None
    assert not LastBackup(NOW, "/mnt/b", 3).write(tmp_path / "gone")
