"""Name the faults, and run each at stations of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from benchmarks.faults import brokers, database, disks, kills, lines
from benchmarks.faults.film import Film
from benchmarks.faults.row import Row, merged
from benchmarks.faults.station import Station, station
from tests.support.lives import Nursery
from tests.support.small_disk import small_disk

__all__ = ["TRIALS", "Trial", "run_trial"]

SMALL_MB = 64
Placed = tuple[Station, disks.Disk | None]
Place = Callable[[Path, Film, Nursery], AbstractContextManager[Placed]]


@contextmanager
def _anywhere(folder: Path, film: Film, nursery: Nursery) -> Iterator[Placed]:
    with station(folder, film, nursery) as made:
        yield made, None


@contextmanager
def _on_small_disk(folder: Path, film: Film, nursery: Nursery) -> Iterator[Placed]:
    folder.mkdir(parents=True)
    with (
        small_disk(folder / "disk", SMALL_MB) as disk,
        station(folder / "station", film, nursery, home=disk / "home") as made,
    ):
        yield made, None


@contextmanager
def _on_device(folder: Path, film: Film, nursery: Nursery) -> Iterator[Placed]:
    folder.mkdir(parents=True)
    with (
        disks.disk(folder) as device,
        station(folder / "station", film, nursery, home=device.folder / "home") as made,
    ):
        yield made, device


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of fault.

    Attributes:
        inject: breaks a station so often.
        times: for the table; `homes`: at so many stations, at the same time.
        place: makes the station.
    """

    inject: Callable[..., Row]
    times: int
    homes: int = 1
    place: Place = _anywhere


TRIALS: Mapping[str, Trial] = {
    "tree": Trial(kills.kill_tree, 200, homes=2),
    "main": Trial(kills.kill_main, 20),
    "camera": Trial(kills.kill_cameras, 20),
    "stopped": Trial(kills.stop_cameras, 10),
    "suspended": Trial(kills.suspend, 5),
    "broker-killed": Trial(brokers.kill, 10),
    "broker-frozen": Trial(brokers.freeze, 3),
    "broker-forgets": Trial(brokers.forget, 5),
    "network-cut": Trial(lines.cut, 10),
    "network-silent": Trial(lines.silence, 10),
    "disk-full": Trial(disks.fill, 4, place=_on_small_disk),
    "locked": Trial(database.lock, 3),
    "truncated": Trial(database.truncate, 3),
    "flipped": Trial(database.flip, 5),
    "power": Trial(disks.cut_power, 10, place=_on_device),
}


def run_trial(
    name: str,
    folder: Path,
    film: Film,
    times: int,
    nurseries: Sequence[Nursery],
    *,
    seed: int = 2026,
    more: Mapping[str, float] = MappingProxyType({}),
) -> Row:
    """Inject one kind of fault so often, divided among as many stations as there are nurseries.

    Args:
        more: for `inject`.

    Raises:
        RuntimeError: GStreamer's RTSP server is not installed.
    """
    homes = nurseries[: TRIALS[name].homes]
    shares = [times // len(homes) + (n < times % len(homes)) for n in range(len(homes))]

    def at_home(number: int) -> Row:
        return _run_at(name, folder / f"{name}-{number}", film, shares[number], homes[number], seed + number, more)

    with ThreadPoolExecutor(len(homes)) as pool:
        return merged(list(pool.map(at_home, range(len(homes)))))


def _run_at(
    name: str, folder: Path, film: Film, times: int, nursery: Nursery, seed: int, more: Mapping[str, float]
) -> Row:
    trial = TRIALS[name]
    with ExitStack() as stack:
        made, device = stack.enter_context(trial.place(folder, film, nursery))
        extra: dict[str, Any] = {**more, **({"device": device} if device is not None else {})}
        try:
            return trial.inject(made, times, random.Random(seed), **extra)
        except (AssertionError, pytest.fail.Exception) as error:
            log = folder / "failed.log"
            log.write_bytes(made.home.log_file.read_bytes())
            return Row(name, times, problems=(f"did not recover: {str(error).splitlines()[0]} (see {log.name})",))
