"""Processes with a store and a publisher, to be killed: visits of a simulated week are stored and published.

Each line on stdin forks one process: `life` stores and publishes until it is killed, `last` publishes what is left and
ends. Forking saves the second that importing takes. A trigger in the database notes every message about a visit in the
transaction that made it, which is the truth that the test compares with.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from birdwatchd.address import Source
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt import retained
from birdwatchd.mqtt.build import MqttService, build_mqtt
from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit, new_visit_id
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import MomentRow, Review, ReviewVerdict, Store

ZONE = ZoneInfo("Asia/Jerusalem")
START = datetime(2026, 10, 21, 3, 0, tzinfo=UTC)  # the clocks are set back on the 25th
KILLS = int(os.environ.get("BIRDWATCHD_KILLS", "50"))
WEEK = timedelta(days=7)
STEP = WEEK / (70 + KILLS)  # about one visit per life, and some for the last
CAMERAS = {key: CameraSettings(source=Source(f"/tmp/{key}.mp4"), name=key.title()) for key in ("nut", "pond")}
SPECIES = (("House sparrow", "Passer domesticus"), ("Great tit", "Parus major"), ("Hoopoe", "Upupa epops"))
BOX = Box(0.1, 0.2, 0.3, 0.4)
AUDIT = (
    "CREATE TABLE IF NOT EXISTS audit (visit_id TEXT, revision INTEGER)",
    """CREATE TRIGGER IF NOT EXISTS told AFTER INSERT ON outbox WHEN NEW.key IS NOT NULL
       BEGIN INSERT INTO audit VALUES (NEW.visit_id, NEW.revision); END""",
)


class Week:
    """The simulated time, which advances with the number of visits."""

    def __init__(self, store: Store) -> None:
        self.number = len(store.visits.find())

    def now(self) -> datetime:
        return START + self.number * STEP

    def over(self) -> bool:
        return self.now() >= START + WEEK


def visit_of(number: int) -> Visit:
    """The first revision of a visit; its bird depends on its number only."""
    chance = random.Random(number)
    start = START + number * STEP
    common, scientific = chance.choice(SPECIES)
    state = chance.choice((State.CONFIRMED, State.CONFIRMED, State.UNCERTAIN))
    verdict = Verdict(state, Rank.SPECIES, common, scientific, 0.9, ((common, 0.9),))
    camera = chance.choice(tuple(CAMERAS))
    return Visit(new_visit_id(start, number), camera, 1, start, None, verdict, 1, 1, BOX, "demo@1", last_seen=start)


def changes(visit: Visit, number: int) -> Iterator[tuple[Visit, list[MomentRow]]]:
    """The revisions of a visit: one bird, two birds, and the end."""
    moment = Moment(0, visit.start, BOX, 0.5, Crop(b"\xff\xd8" + visit.visit_id.encode() * 80, 64, 64))
    yield visit, [MomentRow(moment, np.ones(8, np.float32), ())]
    fields = {name: getattr(visit, name) for name in visit.__slots__} | {"count_max": 2, "revision": 2}
    yield Visit(**fields), []
    end = visit.start + timedelta(seconds=9)
    yield Visit(**(fields | {"revision": 3, "end": end, "last_seen": end})), []


def live(
    store: Store, mqtt: MqttService, week: Week, pause_s: float, is_ready: Callable[[], object] = lambda: True
) -> None:
    """Store visits until the week is over, or until killed; every seventh is reviewed as no bird later.

    Args:
        is_ready: time passes only while this holds.
    """
    while not week.over():
        while not is_ready():
            time.sleep(0.01)
        number = week.number
        for visit, moments in changes(visit_of(number), number):
            mqtt.writer.record(visit, moments, week.now())
            mqtt.publisher.wake()
            time.sleep(pause_s)
        week.number += 1
        if number % 7 == 6:
            mqtt.writer.review(visit_of(number - 3).visit_id, Review(ReviewVerdict.NOT_A_BIRD, "me"), week.now())


def be(home: Path, url: str, *, last: bool) -> None:
    """One life."""
    retained.UPDATE_INTERVAL_S = 0.2
    with Store.open(home, zone=ZONE) as store:
        with sqlite3.connect(store.path, timeout=10) as database:
            for line in AUDIT:
                database.execute(line)
        week = Week(store)
        settings = MqttSettings(url=url, heartbeat="06:00", commands=("enable",))
        metrics = Metrics()
        mqtt = build_mqtt(store, settings, "reserve1", CAMERAS, metrics, clock=week.now, drain_s=30.0)
        mqtt.writer.close_interrupted(week.now(), CAMERAS.keys())
        stop = threading.Event()
        publisher = threading.Thread(target=mqtt.publisher.run, args=(stop,))
        publisher.start()
        if last:  # a day passes in a second: one without a broker brings no summary, and the last one is asked for
            live(store, mqtt, week, 0.002, lambda: metrics.get("mqtt_connected"))
            settled_s = 0.0  # a wire that is cut now may cost the connection for a second, and the summary waits for it
            while settled_s < 2.5 * retained.UPDATE_INTERVAL_S:
                time.sleep(0.05)
                is_up = metrics.get("mqtt_connected") and not store.outbox.depth()
                settled_s = settled_s + 0.05 if is_up else 0.0
        else:
            live(store, mqtt, week, 0.004)
            threading.Event().wait(60)  # to be killed
        stop.set()
        publisher.join()


def main(home: Path, url: str) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                be(home, url, last=line.strip() == "last")
                status = 0
            finally:
                if status:
                    traceback.print_exc()
                os._exit(status)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
