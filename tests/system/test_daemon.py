"""The daemon under the things that happen to it: cameras that die, brokers that go away, being told to stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.records import Visit
from birdwatchd.store import Store, StoreReader
from tests.support.peer import Peer
from tests.support.peers import Birdwatchd, Feeder, Mosquitto, RtspServer, wait_for

Closing = Callable[[Any], Any]


@pytest.fixture
def closing() -> Iterator[Closing]:
    """End what a test started, the last first."""
    things: list[Any] = []

    def later(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield later
    for thing in reversed(things):
        end = next(getattr(thing, name) for name in ("close", "kill", "stop") if hasattr(thing, name))
        end()


def stored(daemon: Birdwatchd) -> list[Visit]:
    if "model demo@" not in daemon.log:  # the database is being made
        return []
    with StoreReader.open_existing(daemon.home) as store:
        return store.visits.find()


def ended(daemon: Birdwatchd, camera: str | None = None) -> list[Visit]:
    return [v for v in stored(daemon) if v.end is not None and camera in (None, v.camera)]


def _more_ended(daemon: Birdwatchd, before: int) -> bool:
    return len(ended(daemon)) >= before + 2


def seen(visits: list[Visit], feeder: Feeder, truth: dict[str, Any]) -> list[Visit]:
    """The stored visits that overlap a scheduled bird."""
    assert feeder.epoch is not None
    start = datetime.fromtimestamp(feeder.epoch + truth["start_s"], UTC)
    end = datetime.fromtimestamp(feeder.epoch + truth["end_s"], UTC)
    slack = timedelta(seconds=0.6)
    return [v for v in visits if v.start < end + slack and (v.end or v.start) > start - slack]


def test_a_killed_camera_process_comes_back_and_the_others_do_not_notice(tmp_path: Path, closing: Closing) -> None:
    """Decoders crash. One bad camera must cost neither the others nor anybody's sleep."""
    feeders = {"one": closing(Feeder(21, 45.0)), "two": closing(Feeder(22, 45.0))}
    cameras = {key: {"source": f.url, "min_bird": 16} for key, f in feeders.items()}
    daemon = closing(Birdwatchd(tmp_path, cameras=cameras))
    daemon.start()
    daemon.wait_for_log("camera one: online")
    daemon.wait_for_log("camera two: online")
    wait_for(lambda: [v for v in stored(daemon) if v.camera == "one"], "a visit at the first camera")
    victim = daemon.cameras()["one"]
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    daemon.wait_for_log("camera one: online", 15, count=2)
    back_after = time.monotonic() - killed
    assert daemon.cameras()["one"].pid != victim.pid
    assert back_after < 5.0
    wait_for(lambda: feeders["two"].epoch and time.time() > feeders["two"].epoch + 45.0, "the end of the schedule")
    status, _ = daemon.stop()
    assert status == 0
    untouched = ended(daemon, "two")
    for truth in feeders["two"].visits:
        assert len(seen(untouched, feeders["two"], truth)) == 1, truth
    assert len(untouched) == len(feeders["two"].visits)
    assert all(v.end is not None for v in stored(daemon))
    assert seen(ended(daemon, "one"), feeders["one"], feeders["one"].visits[-1])


def test_stopping_in_mid_visit_closes_and_stores_it(tmp_path: Path, closing: Closing) -> None:
    """A restart for an update must not lose the bird that is just there, nor take longer than a person waits."""
    clip = tmp_path / "sitting.mp4"
    visit = ScheduledVisit("Eurasian hoopoe", 5.0, 60.0, perch=1)
    write_clip(clip, Scene(SceneSpec(5, 640, 360, 12), (visit,)), 0.0, 20.0)
    phone = closing(Peer().start())
    rule = {"name": "hoopoes", "species": ["Upupidae"], "to": ["phone", "gone"]}
    channels = {"phone": {"webhook": phone.url, "image": True}, "gone": {"webhook": "http://127.0.0.1:1"}}
    perch = {"source": str(clip), "min_bird": 16}
    daemon = closing(Birdwatchd(tmp_path, cameras={"perch": perch}, alerts=[rule], channels=channels))
    daemon.start()
    wait_for(lambda: [v for v in stored(daemon) if v.moments], "the visit")
    assert stored(daemon)[0].end is None
    wait_for(lambda: phone.got, "the alert, while the bird is there")
    (alert,) = phone.got
    assert (alert["phase"], alert["common_name"]) == ("provisional", "Eurasian hoopoe")
    assert alert["image_b64"]
    wait_for(lambda: stored(daemon)[0].moments >= 6, "a name that more pictures will not change")
    status, took = daemon.stop()
    assert status == 0
    assert took < 10.0
    (visit_row,) = stored(daemon)
    assert visit_row.end is not None
    assert visit_row.verdict.common_name == "Eurasian hoopoe"
    assert "Traceback" not in daemon.log
    assert len(phone.got) == 1
    assert daemon.log.count("channel gone: ") == 1


def test_visits_get_their_clips_and_keep_their_names(tmp_path: Path, closing: Closing) -> None:
    """The clip comes when all else has been said, also of the bird that is there when the daemon is stopped."""
    film = tmp_path / "two.mp4"
    visits = (ScheduledVisit("Great tit", 5.0, 8.0, perch=1), ScheduledVisit("Eurasian hoopoe", 14.0, 60.0, perch=2))
    write_clip(film, Scene(SceneSpec(5, 640, 360, 12), visits), 0.0, 40.0)
    camera = {"source": str(film), "min_bird": 16, "clips": True}
    daemon = closing(Birdwatchd(tmp_path, cameras={"perch": camera}))
    daemon.start()
    wait_for(lambda: [v for v in stored(daemon) if v.clip], "the first clip")
    wait_for(lambda: [v for v in stored(daemon) if v.moments and v.end is None], "the second visit")
    assert daemon.stop()[0] == 0, daemon.log
    found = sorted(stored(daemon), key=lambda v: v.start)
    assert [v.verdict.common_name for v in found] == ["Great tit", "Eurasian hoopoe"]
    assert all(v.clip and v.moments and (daemon.home / v.clip).stat().st_size > 10_000 for v in found)
    assert not list((daemon.home / "media").rglob("*.part"))
    assert "no clips" not in daemon.log
    assert "Traceback" not in daemon.log


def test_visits_left_open_by_kill_9_are_closed_at_the_next_start(tmp_path: Path, closing: Closing) -> None:
    """A power cut in mid-visit must not leave a bird that sits at the feeder for ever."""
    clip = tmp_path / "sitting.mp4"
    visit = ScheduledVisit("Great tit", 5.0, 60.0, perch=1)
    write_clip(clip, Scene(SceneSpec(6, 640, 360, 12), (visit,)), 0.0, 30.0)
    daemon = closing(Birdwatchd(tmp_path, cameras={"perch": {"source": str(clip), "min_bird": 16}}))
    daemon.start()
    wait_for(lambda: [v for v in stored(daemon) if v.moments], "the visit")
    workers = list(daemon.cameras().values())
    daemon.kill()
    wait_for(lambda: not any(w.is_running() and w.status() != "zombie" for w in workers), "the orphans to end", 20)
    (left,) = stored(daemon)
    assert left.end is None
    daemon.start()
    daemon.wait_for_log("closed 1 visits that the last run left open")
    closed = next(v for v in stored(daemon) if v.visit_id == left.visit_id)
    assert closed.end is not None
    assert daemon.stop()[0] == 0


def test_an_rtsp_camera_that_reboots_is_watched_again(tmp_path: Path, closing: Closing) -> None:
    """The oldest complaint: a stream that never comes back after the camera's reboot."""
    clip = tmp_path / "loop.mp4"
    visits = (ScheduledVisit("Great tit", 5.0, 8.0, perch=1), ScheduledVisit("Laughing dove", 11.0, 14.0, perch=2))
    write_clip(clip, Scene(SceneSpec(7, 640, 360, 12), visits), 0.0, 18.0)
    server = closing(RtspServer(clip))
    server.start()
    camera = {"source": server.url, "min_bird": 16, "read_timeout_s": 4, "open_timeout_s": 4}
    daemon = closing(Birdwatchd(tmp_path, cameras={"rtsp": camera}))
    daemon.start()
    wait_for(lambda: any(v.moments for v in stored(daemon)), "a visit before the reboot")
    server.kill()
    daemon.wait_for_log("camera rtsp: offline")
    time.sleep(3.0)
    before = len(stored(daemon))
    server.start()
    daemon.wait_for_log("camera rtsp: online", count=2)
    wait_for(lambda: len(ended(daemon)) >= before + 2, "both birds after the reboot")
    status, took = daemon.stop()
    assert (status, took < 10.0) == (0, True)
    after = {v.verdict.common_name for v in ended(daemon)[before:]}
    assert after == {"Great tit", "Laughing dove"}
    assert daemon.log.count("camera rtsp: offline") <= 4  # one line per change of state, not per try


def test_either_stream_of_a_camera_may_come_and_go(tmp_path: Path, closing: Closing) -> None:
    """Two real RTSP streams: the small one dies and comes back, then the main one; birds are seen all the while."""
    visits = tuple(ScheduledVisit("Great tit", 3.0 + 4 * n, 5.0 + 4 * n, perch=1) for n in range(16))
    servers = {}
    for key, size in (("source", (640, 360)), ("gate_source", (320, 180))):
        clip = tmp_path / f"{key}.mp4"
        write_clip(clip, Scene(SceneSpec(7, *size, 10), visits), 0.0, 66.0)
        servers[key] = closing(RtspServer(clip))
        servers[key].start()
    urls = {key: server.url for key, server in servers.items()}
    camera = urls | {"min_bird": 16, "read_timeout_s": 4, "open_timeout_s": 4}
    daemon = closing(Birdwatchd(tmp_path, cameras={"two": camera}))
    daemon.start()
    wait_for(lambda: any(v.moments for v in ended(daemon)), "a visit with both")
    for lost, instead in (("gate_source", "motion is looked for in source"), ("source", "crops come from gate_source")):
        back = daemon.log.count("both streams are back")
        servers[lost].kill()
        daemon.wait_for_log(f"camera two: {lost} is lost, {instead} until it is back: rtsp://")
        before = len(ended(daemon))
        wait_for(partial(_more_ended, daemon, before), f"birds without {lost}")
        servers[lost].start()
        daemon.wait_for_log("both streams are back", count=back + 1)
    status, took = daemon.stop()
    assert (status, took < 10.0) == (0, True)
    assert daemon.log.count("camera two: gate_source is lost") == 1
    assert "camera two: offline" not in daemon.log
    assert all(v.moments for v in ended(daemon))


class Subscriber:
    """A subscriber whose session the broker keeps while either is away."""

    def __init__(self, port: int) -> None:
        self.heard: list[dict[str, Any]] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(1, 1)
        self.states: dict[str, str] = {}
        topics = [("birdwatch/test/+/visit", 1), ("birdwatch/test/+/status", 1)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_message(self, client: object, userdata: object, message: Any) -> None:
        if message.topic.endswith("/visit"):
            self.heard.append(json.loads(message.payload))
        else:
            self.states[message.topic] = message.payload.decode()

    def send(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_broker_that_is_away_for_20_seconds_costs_no_message(tmp_path: Path, closing: Closing) -> None:
    """Routers reboot; what was seen meanwhile is told afterwards, in order, once."""
    broker = closing(Mosquitto(tmp_path))
    broker.start()
    subscriber = closing(Subscriber(broker.port))
    feeder = closing(Feeder(23, 45.0))
    cameras = {"feeder": {"source": feeder.url, "min_bird": 16}, "spare": {"source": feeder.url, "enabled": False}}
    daemon = closing(Birdwatchd(tmp_path, cameras=cameras, mqtt={"url": broker.url}))
    daemon.start()
    wait_for(lambda: subscriber.heard, "the first message")
    assert subscriber.states["birdwatch/test/spare/status"] == "disabled"
    assert subscriber.states["birdwatch/test/feeder/status"] == "online"
    with Store.open(daemon.home, zone=ZoneInfo("UTC")) as store:  # what is on its way then may come twice (QoS 1)
        wait_for(lambda: store.outbox.depth() == 0, "a moment without a message on its way")
    broker.stop()
    told_before, visits_before = len(subscriber.heard), len(stored(daemon))
    time.sleep(20.0)
    assert len(stored(daemon)) > visits_before, "nothing happened while the broker was away: the test proves nothing"
    assert len(subscriber.heard) == told_before
    broker.start()
    wait_for(lambda: feeder.epoch and time.time() > feeder.epoch + 45.0, "the end of the schedule")
    with Store.open(daemon.home, zone=ZoneInfo("UTC")) as store:
        wait_for(lambda: store.outbox.depth() == 0, "the outbox to empty")
    assert daemon.stop()[0] == 0
    time.sleep(1.0)
    keys = [(m["visit_id"], m["revision"]) for m in subscriber.heard]
    assert len(keys) == len(set(keys)), "doubled"
    for visit in ended(daemon):
        mine = [m for m in subscriber.heard if m["visit_id"] == visit.visit_id]
        if visit.verdict.state.value == "rejected" and not mine:
            continue
        assert [m["revision"] for m in mine] == sorted(m["revision"] for m in mine)
        assert mine[0]["phase"] == "provisional" or len(mine) == 1
        assert mine[-1]["phase"] in ("final", "retracted")
        assert mine[-1]["common_name"] == visit.verdict.common_name
    assert len(ended(daemon)) >= len(feeder.visits)


def test_a_camera_is_switched_over_mqtt(tmp_path: Path, closing: Closing) -> None:
    """Off means off, also since yesterday: no process looks at the camera, and the daemon lives on without any."""
    broker = closing(Mosquitto(tmp_path))
    broker.start()
    subscriber = closing(Subscriber(broker.port))
    clip = tmp_path / "quiet.mp4"
    write_clip(clip, Scene(SceneSpec(25, 320, 180, 12), ()), 0.0, 20.0)
    cameras = {"feeder": {"source": str(clip), "min_bird": 16}}
    daemon = closing(Birdwatchd(tmp_path, cameras=cameras, mqtt={"url": broker.url, "commands": ["enable"]}))
    with Store.open(daemon.home, zone=ZoneInfo("UTC")) as store:
        store.cameras.switch("feeder", on=False, now=datetime.now(UTC))
    status, command = "birdwatch/test/feeder/status", "birdwatch/test/feeder/set/enabled"
    daemon.start()
    wait_for(lambda: subscriber.states.get(status) == "disabled", "the camera to be off still")
    assert daemon.cameras() == {}
    subscriber.send(command, "ON")
    wait_for(lambda: subscriber.states.get(status) == "online", "the camera")
    assert set(daemon.cameras()) == {"feeder"}
    subscriber.send(command, "OFF")
    wait_for(lambda: subscriber.states.get(status) == "disabled", "the camera to be off", 15)
    assert daemon.cameras() == {}
    assert daemon.stop()[0] == 0
    with Store.open(daemon.home, zone=ZoneInfo("UTC")) as store:
        assert {span.state for span in store.effort.spans()} >= {"online", "disabled"}
    assert "Traceback" not in daemon.log


def test_a_wrong_source_is_said_once_and_hurts_nobody(tmp_path: Path, closing: Closing) -> None:
    """A wrong address must not fill the log, burn a core, or keep the good camera from running."""
    feeder = closing(Feeder(24, 20.0))
    cameras = {
        "good": {"source": feeder.url, "min_bird": 16},
        "wrong": {"source": "rtsp://user:hunter22@127.0.0.1:9/none"},
    }
    daemon = closing(Birdwatchd(tmp_path, cameras=cameras))
    daemon.start()
    daemon.wait_for_log("camera wrong: offline")
    daemon.wait_for_log("camera good: online")
    wait_for(lambda: ended(daemon, "good"), "a visit at the good camera")
    assert daemon.stop()[0] == 0
    assert daemon.log.count("camera wrong") == daemon.log.count("camera wrong: offline") + 1  # and its end
    assert "hunter22" not in daemon.log


def test_an_idle_camera_process_is_small(tmp_path: Path, closing: Closing) -> None:
    """Eight cameras on one small machine: a camera process may cost 150 MB, most of it the decoder's pictures."""
    clip = tmp_path / "quiet.mp4"
    write_clip(clip, Scene(SceneSpec(8, 1920, 1080, 12), ()), 0.0, 9.0)
    daemon = closing(Birdwatchd(tmp_path, cameras={"quiet": {"source": str(clip)}}))
    daemon.start()
    daemon.wait_for_log("camera quiet: online")
    time.sleep(6.0)
    worker = daemon.cameras()["quiet"]
    assert worker.memory_info().rss <= 150e6
    assert daemon.stop()[0] == 0
