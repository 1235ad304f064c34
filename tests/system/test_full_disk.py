"""The whole daemon on a disk that somebody else filled: it starts, records, says so, and makes room by itself."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.disk import DiskRoom, Storage
from birdwatchd.records import new_visit_id
from birdwatchd.store import Store, StoreReader
from birdwatchd.store.retention.reserve import Reserve
from birdwatchd.testing import drawn_scene, example_moment, example_visit, write_drawn_clip
from tests.support.peers import Birdwatchd, Mosquitto, wait_for
from tests.support.small_disk import fill, small_disk

OLD = 150  # visits of last year, of 200 kB each


def write_old_visits(home: Path) -> None:
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        now = datetime.now(UTC)
        for number in range(OLD):
            start = now - timedelta(days=300) + timedelta(minutes=10 * number)
            visit = example_visit(new_visit_id(start, number), start=start)
            store.writer().record(visit, [example_moment(jpeg=os.urandom(200_000))], now)


def test_a_daemon_on_a_full_disk(tmp_path: Path) -> None:
    """A log file of another program grew over night; nobody is there, and the hoopoe comes this morning."""
    clip = tmp_path / "feeder.mp4"
    write_drawn_clip(clip, drawn_scene(3, visits=[ScheduledVisit("Eurasian hoopoe", 7.0, 11.0, seed=3)]), 25.0)
    broker = Mosquitto(tmp_path)
    broker.start()
    said: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, data, message: said.append(json.loads(message.payload)["state"])
    client.on_connect = lambda client, *rest: client.subscribe("birdwatch/test/storage", 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    with small_disk(tmp_path / "disk", 128) as disk:
        home = disk / "home"
        write_old_visits(home)
        Reserve(home).hold()
        fill(disk)
        assert DiskRoom.at(disk).free == 0
        daemon = Birdwatchd(
            tmp_path,
            home=str(home),
            cameras={"feeder": {"source": str(clip), "min_bird": 16, "clips": True}},
            mqtt={"url": broker.url},
            retention={"min_free_gb": 0.001},
        )
        try:
            daemon.start()
            daemon.wait_for_log("starting with the room that was held for this")
            wait_for(lambda: "full" in said, "the state of the disk over MQTT")
            wait_for(lambda: said[-1] == "ok", "room that the daemon made")
            daemon.wait_for_log("Eurasian hoopoe")
            assert daemon.process is not None
            assert daemon.process.wait(90) == 0, daemon.log
        finally:
            daemon.kill()
            client.loop_stop()
            broker.stop()
        assert DiskRoom.at(disk).storage is Storage.GOOD
        assert "retention: deleted" in daemon.log
        with StoreReader.open_existing(home) as store:
            visits = store.visits.find()
            pictures = [any(m.crop for m in store.visits.moments(visit.visit_id)) for visit in visits]
        assert len(visits) == OLD + 1
        assert visits[-1].verdict.common_name == "Eurasian hoopoe"
        assert pictures[0], "the first ever"
        assert 1 < sum(pictures) < OLD
