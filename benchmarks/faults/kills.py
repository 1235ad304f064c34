"""SIGKILL to the main process, a camera's process, the whole tree; SIGSTOP to a camera's process, and to the tree."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil

from benchmarks.faults.film import WRITTEN_S
from benchmarks.faults.row import Row
from benchmarks.faults.station import KEYS, Station
from birdwatchd.camera.observer import PAUSE_S
from birdwatchd.camera.process.hearing import LEAST_GAP_S, STOPPED_S
from birdwatchd.records import CameraState
from birdwatchd.store import Store
from tests.support.accounts import ZONE
from tests.support.lives import Life

__all__ = ["kill_cameras", "kill_main", "kill_tree", "stop_cameras", "suspend"]

LONGEST_S = 12.0  # a life that is killed lasts at most so long
ORPHAN_S = 15.0
KILLS_PER_LIFE = 4  # of one camera: each time it waits twice as long before it starts again
REPORT_AGE = timedelta(seconds=1.5)  # a camera's process says once a second that it sees pictures
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
            victim = _process_of(life, key)
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


def _process_of(life: Life, key: str) -> psutil.Process:
    (found,) = [one for one in life.family()[1:] if one.environ().get("BIRDWATCHD_CAMERA") == key]
    return found


def stop_cameras(station: Station, times: int, chance: random.Random) -> Row:
    """A camera's process is stopped and nobody lets it go on; the time must not count as watched."""
    life = station.start()
    life.until_it_watches()
    for done in range(times):
        key = KEYS[done % len(KEYS)]
        time.sleep(chance.uniform(2.0, 6.0))
        before = life.log.count(f"camera {key}: online, ")
        station.break_watching(key)
        stopped = datetime.now(UTC)
        _process_of(life, key).suspend()
        station.note()
        station.recover(partial(station.is_online, key, before + 1), f"camera {key}")

        if f"camera {key}: offline: its process stands still (stopped by a signal)" not in life.log:
            station.problems.append("a process that was stopped is not in the log")
        if watched_s := _watched_s(station, key, stopped, stopped + timedelta(seconds=STOPPED_S)):
            station.problems.append(f"{watched_s:.1f} s count as watched in which a process was stopped")
    return station.finish("SIGSTOP of a camera's process", times)


def _watched_s(station: Station, key: str, since: datetime, until: datetime) -> float:
    """Seconds between two times, but for what a report may be old, that count as effort of a camera."""
    with Store.open(station.home.folder, zone=ZONE) as store:
        spans = [one for one in store.effort.spans(since) if (one.camera, one.state) == (key, CameraState.ONLINE)]
    common = ((min(one.end, until) - max(one.start, since + REPORT_AGE)).total_seconds() for one in spans)
    return sum(seconds for seconds in common if seconds > 0)


def _visits_over(station: Station, stopped: datetime, goes_on: datetime) -> int:
    with Store.open(station.home.folder, zone=ZONE) as store:
        visits = store.visits.find(since=stopped - timedelta(minutes=1))
    return sum(one.start < stopped and (one.last_seen or one.start) >= goes_on for one in visits)


def suspend(station: Station, times: int, chance: random.Random, seconds: float = 20.0) -> Row:
    """A machine that is suspended and resumed, a laptop that was closed: nothing runs, and then it is later."""
    life = station.start()
    life.until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time() - 1.0, ended=True)
        time.sleep(WRITTEN_S + chance.uniform(0.0, 2.0))
        station.break_watching()
        stopped = datetime.now(UTC)
        os.killpg(life.pid, signal.SIGSTOP)
        station.note()
        time.sleep(seconds)
        goes_on = datetime.now(UTC)
        os.killpg(life.pid, signal.SIGCONT)
        station.recover(partial(station.visits_since, goes_on.timestamp()), "a visit after the pause")

        if seconds > LEAST_GAP_S and (watched_s := sum(_watched_s(station, key, stopped, goes_on) for key in KEYS)):
            station.problems.append(f"{watched_s:.1f} s of a pause count as watched")
        if seconds > PAUSE_S and (visits := _visits_over(station, stopped, goes_on)):
            station.problems.append(f"{visits} visits last over a pause")
        for key in KEYS:
            station.watched[key].again.append(time.time() + SETTLED_S)
    return station.finish(f"the whole process tree stopped for {seconds:.0f} s", times)
