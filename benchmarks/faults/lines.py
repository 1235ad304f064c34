"""The network between a camera and the daemon: cut, or silent, so that nobody is told that it is gone."""

from __future__ import annotations

import random
import time
from functools import partial

from benchmarks.faults.row import Row
from benchmarks.faults.station import CAMERA, KEYS, Station

__all__ = ["cut", "silence"]


def cut(station: Station, times: int, chance: random.Random, seconds: float = 4.0) -> Row:
    """The cable is pulled and put back: connections end, new ones are refused."""
    return _break(station, times, chance, seconds, silent=False)


def silence(station: Station, times: int, chance: random.Random, seconds: float = 10.0) -> Row:
    """A switch hangs: nothing arrives, and no connection ends."""
    return _break(station, times, chance, seconds, silent=True)


def _break(station: Station, times: int, chance: random.Random, seconds: float, *, silent: bool) -> Row:
    life = station.start()
    life.until_it_watches()
    online = dict.fromkeys(KEYS, 1)
    for number in range(times):
        key = KEYS[number % len(KEYS)]
        line = station.camera_lines[key]
        station.wait_for_visit(time.time() - 1.0)
        time.sleep(chance.uniform(0.0, 4.0))
        online[key] = life.log.count(f"camera {key}: online, ")
        station.break_watching(key)
        (line.silence if silent else line.cut)()
        station.note()
        time.sleep(seconds)
        line.mend()
        station.recover(partial(station.is_online, key, online[key] + 1), f"camera {key}")

    what = f"silent for {seconds:.0f} s (read time-out {CAMERA['read_timeout_s']} s)"
    return station.finish(f"network to a camera {what if silent else f'cut for {seconds:.0f} s'}", times)
