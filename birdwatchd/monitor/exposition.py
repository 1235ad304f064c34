"""Write the numbers of the running daemon as Prometheus text.

Nothing in it is secret: cameras and channels appear by their keys, never by an address.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from birdwatchd import __version__
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.catalogue import CATALOGUE, PREFIX, Meaning
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.records import CameraState

__all__ = ["Exposition", "database_bytes"]

Sample = tuple[dict[str, str], float]
# Gauges of what waits or is held in memory, at most so much (see "Full queues" in docs/design/architecture.md).
_WAITING = tuple(
    CATALOGUE[name]
    for name in (
        "camera_ring_seconds",
        "camera_ring_bytes",
        "crops_waiting",
        "record_queue_length",
        "outbox_depth",
        "outbox_oldest_seconds",
    )
)
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class Exposition(Collector):
    """Everything in `CATALOGUE`, as it is at the moment of the question."""

    def __init__(
        self,
        metrics: Metrics,
        vitals: Vitals,
        database: Path,
        pids: Callable[[], Mapping[str, int]] = dict,
        backup_age_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        """
        Args:
            database: its file; the disk that is measured is the one it is on.
            pids: the process of each camera that has one.
            backup_age_s: seconds since the last backup; None where there was none.
        """
        self._metrics, self._vitals, self._database = metrics, vitals, database
        self._pids, self._backup_age_s = pids, backup_age_s
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, in the form that an `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """One family for each name of the catalogue."""
        found: dict[str, list[Sample]] = {name: [] for name in CATALOGUE}
        for name, labels, value in self._metrics.snapshot():
            found.setdefault(name, []).append((labels, value))
        for name, labels, value in self._measured():
            found[name].append((labels, value))
        for name, samples in found.items():
            yield self._family(name, samples)

    def _family(self, name: str, samples: list[Sample]) -> CounterMetricFamily | GaugeMetricFamily:
        kind = "counter" if name.endswith("_total") else "gauge"
        meaning = CATALOGUE.get(name) or Meaning(kind, name, tuple(samples[0][0]))  # type: ignore[arg-type]
        make = CounterMetricFamily if meaning.kind == "counter" else GaugeMetricFamily
        family = make(PREFIX + name, meaning.help, labels=meaning.labels)
        values = dict.fromkeys(self._from_zero(meaning), 0.0)
        for labels, value in samples:
            values[tuple(labels.get(label, "") for label in meaning.labels)] = value
        for key, value in values.items():
            family.add_metric(key, value)
        return family

    def _from_zero(self, meaning: Meaning) -> list[tuple[str, ...]]:
        """What is there before it counts, so that its first increase is an increase: counters, and what waits."""
        counted = meaning.kind == "counter" or meaning in _WAITING
        if counted and meaning.labels == ():
            return [()]
        if counted and meaning.labels == ("camera",):
            return [(key,) for key in self._vitals.cameras]
        if meaning.labels == ("camera", "reason"):  # crops that are given up: of both reasons only this is an overload
            return [(key, "lane_full") for key in self._vitals.cameras]
        return []

    def _measured(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """What nobody counts, because it is known only when asked for."""
        vitals = self._vitals
        yield "build_info", {"version": __version__}, 1.0
        if vitals.model:
            yield "model_info", {"model": vitals.model, "device": vitals.device}, 1.0
        yield "ready", {}, float(not vitals.not_ready())
        yield "uptime_seconds", {}, vitals.uptime_s()
        beat_age_s = vitals.beat_age_s()
        if beat_age_s is not None:
            yield "beat_age_seconds", {}, beat_age_s
        pids = self._pids()
        for camera in vitals.cameras:
            state = vitals.state_of(camera)
            for one in CameraState:
                yield "camera_state", {"camera": camera, "state": one.value}, float(one is state)
            for what, age_s in vitals.ages_s(camera).items():
                yield f"camera_last_{what}_age_seconds", {"camera": camera}, age_s
            if camera in pids and (memory := _resident_bytes(pids[camera])) is not None:
                yield "camera_memory_bytes", {"camera": camera}, memory
        backup_age_s = self._backup_age_s()
        if backup_age_s is not None:
            yield "last_backup_age_seconds", {}, backup_age_s
        with suppress(OSError):  # a disk that is gone gives no number, and everything else is still shown
            disk = shutil.disk_usage(self._database.parent)
            yield "disk_free_bytes", {}, disk.free
            yield "disk_size_bytes", {}, disk.total
            yield "database_bytes", {}, database_bytes(self._database)


def database_bytes(database: Path) -> int:
    """Size of a database file with its write-ahead log, which may be gone at any moment.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
    """
    size = database.stat().st_size
    with suppress(FileNotFoundError):
        size += database.with_name(f"{database.name}-wal").stat().st_size
    return size


def _resident_bytes(pid: int) -> float | None:
    """Resident memory of a process (proc_pid_statm(5)); None where it has ended."""
    try:
        return float(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_SIZE
    except (OSError, IndexError):
        return None
