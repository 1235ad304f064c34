"""SIGKILL: to the main process, to a camera's process, to the whole tree; and a tree that stands still for a while."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial

from benchmarks.faults.film import WRITTEN_S
from benchmarks.faults.row import Row
from benchmarks.faults.station import KEYS, Station

__all__ = ["kill_cameras", "kill_main", "kill_tree", "suspend"]

LONGEST_S = 12.0  # a life that is killed lasts at most so long
ORPHAN_S = 15.0
KILLS_PER_LIFE = 4  # of one camera: each time it waits twice as long before it starts again
SETTLED_S = 3.0  # a camera that was not told of a pause has found its pace again


def kill_tree(station: Station, times: int, chance: random.Random, longest_s: float = LONGEST_S) -> Row:
    """The out-of-memory killer, or a power supply: everything dies at once, at any moment of a life."""
    _live_and_die(station, times, chance, longest_s, alone=False)
    return station.finish("SIGKILL of the whole process tree", times)


def kill_main(station: Station, times: int, chance: random.Random, longest_s: float = LONGEST_S) -> Row:
    """The main process dies; its camera processes have to notice, and to end."""
    _live_and_die(station, times, chance, longest_s, alone=True)
    return station.finish("SIGKILL of the main process", times)


def _live_and_die(station: Station, times: int, chance: random.Random, longest_s: float, *, alone: bool) -> None:
    left = []
    for number in range(times):
        _live(station, chance.uniform(0.0, longest_s), watching=number % 2 == 1)
        left.append(station.kill(alone=alone))
    for orphans in left:
        orphans.check(ORPHAN_S)
    began_s = time.monotonic()
    station.start().until_it_watches()
    station.recovered_s.append(time.monotonic() - began_s)


def _live(station: Station, seconds: float, *, watching: bool) -> None:
    """Begin a life and let it last so long, counted from its beginning or from when it watches all cameras."""
    began_s, life = time.monotonic(), station.start()
    if watching:
        life.until_it_watches()
        station.recovered_s.append(time.monotonic() - began_s)
        began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        time.sleep(0.05)


def kill_cameras(station: Station, times: int, chance: random.Random) -> Row:
    """Decoders crash: one camera's process dies, the other camera and the main process go on."""
    done = 0
    while done < times:
        life = station.start()
        life.until_it_watches()
        online = dict.fromkeys(KEYS, 1)
        for _ in range(min(KILLS_PER_LIFE * len(KEYS), times - done)):
            key = KEYS[done % len(KEYS)]
            time.sleep(chance.uniform(0.5, 6.0))
            (victim,) = [one for one in life.family()[1:] if one.environ().get("BIRDWATCHD_CAMERA") == key]
            station.break_watching(key)
            victim.kill()
            station.note()
            online[key] += 1
            station.recover(partial(station.is_online, key, online[key]), f"camera {key}")

            done += 1
        if done < times:
            life.terminate()
            station.break_watching()
            life.status()
    return station.finish("SIGKILL of a camera's process", times)


def suspend(station: Station, times: int, chance: random.Random, seconds: float = 20.0) -> Row:
    """A machine that is suspended and resumed, a laptop that was closed: nothing runs, and then it is later."""
    life = station.start()
    life.until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time() - 1.0, ended=True)
        time.sleep(WRITTEN_S + chance.uniform(0.0, 2.0))
        station.break_watching()
        os.killpg(life.pid, signal.SIGSTOP)
        station.note()
        time.sleep(seconds)
        os.killpg(life.pid, signal.SIGCONT)
        goes_on_s = time.time()
        station.recover(partial(station.visits_since, goes_on_s), "a visit after the pause")

        for key in KEYS:
            station.watched[key].again.append(time.time() + SETTLED_S)
    return station.finish(f"the whole process tree stopped for {seconds:.0f} s", times)
