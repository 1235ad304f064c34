"""A real Home Assistant shows our birds: entities, pictures, events, statistics, pushes, and no complaint in its log.

It runs with the automations of docs/tutorials/home-assistant.md, against a real broker. Where it is not installed,
these tests skip and say why; `.ci/run` installs it.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from PIL import Image

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.mqtt.home_assistant import Discovery
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Box, CameraState, CameraStatus, Crop, Moment, State, Visit, new_visit_id
from birdwatchd.settings.load import parse_config
from birdwatchd.store import MomentRow, Store
from tests.support.home_assistant import HomeAssistant, Phone, icons, require, settle
from tests.support.mqtt import Mosquitto, World
from tests.support.mqtt_service import Daemon

PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorials" / "home-assistant.md"
pytestmark = pytest.mark.timeout(900)  # its first start compiles thousands of modules; an idle machine needs 20 s

COMMANDS = ("enable", "confirm", "retract", "species")
NUT = "reserve1_nut_feeder"
CONFIG = """
station: {name: reserve1}
cameras: {nut_feeder: {source: x.mp4}}
mqtt: {url: mqtt://x}
alerts: [{name: all, when: [every], states: [confirmed, uncertain, unknown]}]
"""


def blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def blueprint() -> str:
    (found,) = [block for block in blocks() if block.startswith("blueprint:")]
    return found


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 160, 90)).save(file, "JPEG")
    return file.getvalue()


def soon(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.2)


class Station:
    """A station with its database and its MQTT service, and birds that come to it."""

    def __init__(self, folder: Path, name: str, broker: Mosquitto, cameras: dict[str, str]) -> None:
        self.name, self.broker, self.cameras = name, broker, cameras
        self.world = World(
            folder, Store.open(folder / "home", zone=ZoneInfo("Asia/Jerusalem")), topics=Topics("birdwatch", name)
        )
        self.decide = build_alert_engine(parse_config(CONFIG.replace("reserve1", name), "x", {}))
        self.start()

    def start(self, **changes: Any) -> None:
        self.daemon = Daemon(
            self.world,
            self.broker.url,
            cameras=tuple(self.cameras),
            names=self.cameras,
            areas={"nut_feeder": "Garden"},
            station=self.name,
            commands=COMMANDS,
            decide=self.decide,
            heartbeat="00:00",
            page_url="http://127.0.0.1:3000/",
            clock=lambda: datetime.now(UTC),
            **changes,
        )
        for camera in self.cameras:
            self.online(camera)
        self.daemon.mqtt.publisher.storage(b'{"state":"ok","free_gb":41.31,"size_gb":120.0}')

    def online(self, camera: str, *, fps: float = 15.0) -> None:
        """What a camera's process reports in its first seconds: the rate is known from the second report on."""
        for number in (0, 1, 2):
            report = CameraStatus(
                camera, CameraState.ONLINE, datetime.now(UTC), fps if number else 0.0, 20 * number + 1
            )
            self.daemon.mqtt.health.report(report)
        self.daemon.mqtt.publisher.camera_status(camera, "online")

    def bird(
        self, camera: str = "nut_feeder", *, name: str = "House sparrow", ago_s: float = 0.0, **changes: Any
    ) -> Visit:
        """A visit that ends now, or some time ago, with a picture."""
        end = datetime.now(UTC) - timedelta(seconds=ago_s)
        start = end - timedelta(seconds=8)
        verdict = replace(self.world.verdict(changes.pop("state", State.CONFIRMED)), common_name=name)
        if not name:
            verdict = replace(verdict, common_name=None, scientific_name=None, state=State.UNKNOWN, score=0.0)
        visit = Visit(
            new_visit_id(start), camera, 1, start, end, verdict, 1, 1, Box(0.1, 0.2, 0.3, 0.4), "demo@1", last_seen=end
        )
        visit = replace(visit, **changes)
        moment = Moment(0, start, Box(0.1, 0.2, 0.3, 0.4), 0.9, Crop(picture(len(name) * 9), 64, 64))
        self.daemon.mqtt.writer.record(visit, [MomentRow(moment, np.ones(4, np.float32), ())], datetime.now(UTC))
        self.daemon.mqtt.publisher.wake()
        return visit

    def retract(self, visit: Visit) -> None:
        """A visit turns out to be no bird."""
        rejected = replace(visit.verdict, state=State.REJECTED, common_name=None, scientific_name=None)
        self.daemon.mqtt.writer.record(
            replace(visit, revision=visit.revision + 1, verdict=rejected), [], datetime.now(UTC)
        )
        self.daemon.mqtt.publisher.wake()

    def close(self) -> None:
        for end in reversed(self.world.endings):
            end()
        self.world.store.close()


class Scene:
    """Home Assistant with a phone, a broker and two stations that watch a camera of the same key."""

    def __init__(self, folder: Path) -> None:
        for name in ("broker", "one", "two"):
            (folder / name).mkdir()
        self.broker = Mosquitto(folder / "broker").start()
        self.assistant, self.phone = HomeAssistant(folder / "homeassistant"), Phone()
        self.assistant.start()
        self.assistant.register(self.phone)
        self.assistant.connect(self.broker.port)
        self.one = Station(folder / "one", "reserve1", self.broker, {"nut_feeder": "Nut feeder", "pond-2": ""})
        self.two = Station(folder / "two", "reserve2", self.broker, {"nut_feeder": "Nut feeder"})
        soon(lambda: self.assistant.state(f"sensor.{NUT}_status") == "online", 60)
        kinds = ["visit", "first_today", "first_ever", "rare", "retracted"]
        self.assistant.add_blueprint(blueprint(), "special_bird", notifier="notify.mobile_app_phone", kinds=kinds)
        self.assistant.add_automations(*[one for one in map(yaml.safe_load, others()) if "triggers" in one])

    def shows(self, entity: str, state: str | None, timeout_s: float = 20.0) -> None:
        """Wait until an entity has a state."""
        until_s = time.monotonic() + timeout_s
        while self.assistant.state(entity) != state:
            found = self.assistant.states().get(entity)
            assert time.monotonic() < until_s, f"{entity} is {found}, not {state}:\n{self.assistant.problems()}"
            time.sleep(0.2)

    def attribute(self, entity: str, name: str) -> Any:
        """An attribute of an entity; None where it has none of this name."""
        return self.assistant.states()[entity]["attributes"].get(name)

    def pushed(self, visit: Visit, count: int = 1) -> list[dict[str, Any]]:
        """The pushes about a visit, once there are so many."""

        def about() -> list[dict[str, Any]]:
            return [push for push in self.phone.pushes if push.get("data", {}).get("tag") == visit.visit_id]

        soon(lambda: len(about()) >= count)
        return about()

    def close(self) -> None:
        for station in (self.one, self.two):
            station.close()
        self.assistant.stop(patience_s=5)
        self.phone.close()
        self.broker.stop()


def others() -> list[str]:
    """The YAML of the page that is no blueprint, with a notification service that exists here."""
    return [
        block.replace("notify.notify", "notify.mobile_app_phone") for block in blocks() if "blueprint:" not in block
    ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require()
    scene = Scene(tmp_path_factory.mktemp("scene"))
    yield scene
    scene.close()


@pytest.fixture(autouse=True)
def no_complaint(scene: Scene) -> Iterator[None]:
    """Whatever a test does, Home Assistant has nothing to complain of."""
    yield
    settle(0.3)
    assert scene.assistant.problems() == []


def test_every_entity_has_the_id_of_the_page(scene: Scene) -> None:
    """Two stations with a camera of the same key: ids of the second one's entities ended in `_2`, as on no page.

    Must: Every id is the one that discovery proposes, and that our pages name.
    """
    wanted: set[str] = set()
    for station, cameras in (("reserve1", scene.one.cameras), ("reserve2", scene.two.cameras)):
        for message in Discovery("homeassistant", Topics("birdwatch", station), cameras, commands=COMMANDS).messages:
            wanted |= {cmp["default_entity_id"] for cmp in json.loads(message.payload)["cmps"].values()}
    soon(lambda: wanted <= set(scene.assistant.states()))
    ours = {one for one in scene.assistant.states() if "reserve" in one}
    assert ours == wanted
    assert scene.attribute(f"sensor.{NUT}_species", "friendly_name") == "Nut feeder Bird"


def test_before_the_first_bird_nothing_is_broken(scene: Scene) -> None:
    """A new camera: warnings of templates about an empty `last`, a broken picture, and numbers that nobody measured.

    Must: Unknown is unknown, a picture that is not there is not available, and no number is made up.
    """
    camera = "reserve2_nut_feeder"
    scene.shows(f"image.{camera}_image", "unavailable")
    scene.shows(f"sensor.{camera}_fps", "15.0")
    scene.shows("sensor.reserve2_species_total", "0")
    for entity in ("species", "score", "last_seen"):
        scene.shows(f"sensor.{camera}_{entity}", "unknown")
    for entity in ("today", "species_today", "reconnects", "dropped"):
        scene.shows(f"sensor.{camera}_{entity}", "0")


def test_every_icon_exists(scene: Scene) -> None:
    """`mdi:bird-off` was an empty square.

    Must: Every icon of discovery and of our pages is in the list that the frontend ships.
    """
    shipped, used = icons(), set()
    for message in Discovery("homeassistant", Topics("birdwatch", "reserve1"), {"a": ""}, commands=COMMANDS).messages:
        used |= {cmp["icon"] for cmp in json.loads(message.payload)["cmps"].values() if "icon" in cmp}
    used |= set(re.findall(r"mdi:[a-z0-9-]+", PAGE.read_text(encoding="utf-8")))
    assert len(used) > 10
    assert {icon for icon in used if icon.removeprefix("mdi:") not in shipped} == set()


def test_a_bird_is_shown(scene: Scene) -> None:
    """Species of today and in total, the last visit, disk, unsent messages and alerts were texts, or not there at all.

    Must: Name, confidence, time, counts, picture and events are there, numbers as numbers and times as times.
    """
    visit = scene.one.bird(name="Great tit")
    scene.shows(f"sensor.{NUT}_species", "Great tit")
    scene.shows(f"sensor.{NUT}_score", "91.2")
    attributes = scene.assistant.states()[f"sensor.{NUT}_species"]["attributes"]
    assert (attributes["visit_id"], attributes["certainty"]) == (visit.visit_id, "confirmed")
    seen = datetime.fromisoformat(str(scene.assistant.state(f"sensor.{NUT}_last_seen")))
    assert abs((seen - visit.end).total_seconds()) < 1  # type: ignore[operator]
    soon(lambda: scene.assistant.state(f"image.{NUT}_image") not in ("unavailable", "unknown"))
    soon(lambda: scene.assistant.get(f"/api/image_proxy/image.{NUT}_image")[:2] == b"\xff\xd8")
    events = (f"event.{NUT}_visit", "event.reserve1_alert")
    soon(lambda: {scene.attribute(event, "visit_id") for event in events} == {visit.visit_id})
    assert int(str(scene.assistant.state(f"sensor.{NUT}_species_today"))) >= 1
    scene.shows("sensor.reserve1_disk_free", "41.31")
    scene.shows("sensor.reserve1_unsent", "0")


def test_a_push_says_which_bird(scene: Scene) -> None:
    """`title: Yes` is a boolean in YAML: a button "true" on every push. No push for an unnamed or retracted bird.

    Must: A push with a name, without one, and when it was none after all; the buttons have words on them.
    """
    visit = scene.one.bird(name="Eurasian hoopoe")
    (push,) = scene.pushed(visit)
    assert push["title"] == "Eurasian hoopoe"
    assert re.fullmatch(r"(Visit|First \w+), 1 of them, 91 % sure", push["message"]), push
    assert push["data"]["image"] == f"/api/image_proxy/image.{NUT}_image"
    about = f"nut_feeder_{visit.visit_id}"
    assert push["data"]["actions"] == [
        {"action": f"CONFIRM_{about}", "title": "Right"},
        {"action": f"RETRACT_{about}", "title": "No bird"},
    ]
    unnamed = scene.one.bird(name="")
    assert scene.pushed(unnamed)[0]["title"] == "Unknown bird"
    scene.one.retract(visit)
    _, gone = scene.pushed(visit, 2)
    assert (gone["title"], gone["message"]) == ("No bird after all", "It was reported as Eurasian hoopoe.")
    assert "actions" not in gone["data"]


def test_two_birds_in_one_millisecond_are_two_pushes(scene: Scene) -> None:
    """Two visits that came in one millisecond gave one push: an event entity has one state for both.

    Must: Each bird has its push.
    """
    birds = [scene.one.bird(name=name) for name in ("House sparrow", "Great tit", "Blackcap")]
    assert [scene.pushed(bird)[0]["title"] for bird in birds] == ["House sparrow", "Great tit", "Blackcap"]


def test_a_button_confirms_the_bird_of_its_push(scene: Scene) -> None:
    """The button of a push was pressed when the next bird was there already.

    Must: It confirms the bird of its push, and not the one that came in the meantime.
    """
    first, _ = scene.one.bird(state=State.UNCERTAIN), scene.one.bird()
    (push,) = scene.pushed(first)
    scene.assistant.fire("mobile_app_notification_action", action=push["data"]["actions"][0]["action"])
    soon(lambda: scene.one.world.store.visits.get(first.visit_id).verdict.state is State.CONFIRMED)  # type: ignore[union-attr]
    scene.assistant.fire("mobile_app_notification_action", action="CONFIRM_pond-2_" + first.visit_id)
    scene.assistant.fire("mobile_app_notification_action", action="REPLY")


def test_a_name_is_corrected(scene: Scene) -> None:
    """A wrong name could be taken back in Home Assistant, but not be put right.

    Must: It is, by typing the right one; a name that no bird has changes nothing.
    """
    visit = scene.one.bird(name="Spanish sparrow")
    text = f"text.{NUT}_correct"
    scene.shows(text, "Spanish sparrow")
    soon(lambda: scene.assistant.states()[text]["attributes"].get("visit_id") == visit.visit_id)
    scene.assistant.call("text.set_value", entity_id=text, value="Passer domesticus")
    scene.shows(text, "House sparrow")
    scene.shows(f"sensor.{NUT}_species", "House sparrow")
    scene.assistant.call("text.set_value", entity_id=text, value="Hous sparow")
    soon(lambda: scene.one.daemon.metrics.get("mqtt_commands_ignored_total") == 1)
    scene.shows(text, "House sparrow")


def test_the_last_bird_goes(scene: Scene) -> None:
    """The only visit of a camera proves a leaf: templates warned of an empty state, with a broken picture.

    Must: An empty state is no error, the picture is not available, and the event says which bird it was.
    """
    visit = scene.one.bird("pond-2")
    soon(lambda: scene.assistant.state("image.reserve1_pond_2_image") not in ("unavailable", "unknown"))
    scene.one.retract(visit)
    scene.shows("sensor.reserve1_pond_2_species", "unknown")
    scene.shows("image.reserve1_pond_2_image", "unavailable")
    soon(lambda: scene.assistant.states()["event.reserve1_pond_2_visit"]["attributes"]["event_type"] == "retracted")
    assert scene.assistant.states()["event.reserve1_pond_2_visit"]["attributes"]["was"] == "House sparrow"


def test_a_drop_of_a_second_is_not_shown(scene: Scene) -> None:
    """Each drop of a Wi-Fi made entities unavailable: it triggered automations and tore holes into graphs.

    Must: A drop of a second is not shown.
    """
    before = scene.assistant.states()[f"binary_sensor.{NUT}_present"]["last_changed"]
    scene.one.daemon.mqtt.publisher.camera_status("nut_feeder", "offline")
    settle(1.5)
    scene.one.daemon.mqtt.publisher.camera_status("nut_feeder", "online")
    settle(0.5)
    assert scene.assistant.states()[f"binary_sensor.{NUT}_present"]["last_changed"] == before
    assert "offline" not in scene.assistant.recorded(f"sensor.{NUT}_status")


def test_a_camera_that_is_switched_off_is_no_broken_one(scene: Scene) -> None:
    """The automation for blind cameras told of a camera that had been switched off.

    Must: Its entities are not available, it says why, and it can be switched on again.
    """
    scene.one.daemon.mqtt.publisher.camera_status("pond-2", "disabled")
    scene.shows("sensor.reserve1_pond_2_status", "disabled")
    scene.shows("sensor.reserve1_pond_2_frame_age", "unavailable")
    assert scene.assistant.state("switch.reserve1_pond_2_enabled") in ("on", "off")
    scene.one.daemon.mqtt.publisher.camera_status("pond-2", "online")
    scene.shows("sensor.reserve1_pond_2_status", "online")


def test_a_restart_of_birdwatchd_writes_no_zero(scene: Scene) -> None:
    """0.0 frames per second for a minute after each start went into the statistics.

    Must: They are unknown until they are measured.
    """
    scene.one.daemon.end()
    scene.shows(f"sensor.{NUT}_species", "unavailable")
    scene.one.start()
    scene.shows(f"sensor.{NUT}_species", "House sparrow")
    scene.shows(f"sensor.{NUT}_fps", "15.0")
    settle(1.5)  # until the history is written
    assert set(scene.assistant.recorded(f"sensor.{NUT}_fps")) <= {"15.0", "unknown", "unavailable"}


def test_a_backlog_is_not_announced_as_new(scene: Scene) -> None:
    """After an outage an afternoon of visits was pushed at once, each as if its bird was there now.

    Must: All of them arrive, and only what is still news is pushed.
    """
    scene.one.daemon.end()
    old, new = scene.one.bird(name="Blackcap", ago_s=1800), scene.one.bird(name="Eurasian blackbird")
    scene.one.start()
    scene.shows(f"sensor.{NUT}_species", "Eurasian blackbird")
    assert scene.pushed(new)[0]["title"] == "Eurasian blackbird"
    events = [one for one in scene.assistant.recorded(f"event.{NUT}_visit") if one not in ("unknown", "unavailable")]
    assert len(events) >= 2, "both arrived"
    assert scene.pushed(old, 0) == []


def test_a_restart_of_the_broker_shows_the_same(scene: Scene) -> None:
    """The broker is started again while a bird comes.

    Must: What came while it was away is shown as soon as both are connected again.
    """
    scene.broker.stop()
    scene.shows(f"sensor.{NUT}_species", "unavailable")
    scene.one.bird(name="Great spotted woodpecker")
    scene.broker.start()
    scene.shows(f"sensor.{NUT}_species", "Great spotted woodpecker", 60)
    scene.shows(f"sensor.{NUT}_fps", "15.0")


def test_a_restart_of_home_assistant_shows_the_same(scene: Scene) -> None:
    """Home Assistant is started again: what is not retained is unknown until the next bird.

    Must: Everything that is shown is retained or told again; device pages have model, area and the address of our page.
    """
    kept = ("species", "score", "last_seen", "today", "species_today", "fps", "status")
    before = {entity: scene.assistant.state(f"sensor.{NUT}_{entity}") for entity in kept}
    scene.assistant.stop()
    devices = {one["name"]: one for one in scene.assistant.devices()}
    assert {name: devices[name]["model"] for name in ("birdwatchd reserve1", "pond-2")} == {
        "birdwatchd reserve1": "Bird station",
        "pond-2": "Bird camera",
    }
    assert devices["birdwatchd reserve1"]["configuration_url"] == "http://127.0.0.1:3000/"
    areas = {one["name"] for one in scene.assistant.areas()}
    assert "Garden" in areas
    scene.assistant.start()
    for entity, state in before.items():
        scene.shows(f"sensor.{NUT}_{entity}", state, 60)
    soon(lambda: scene.assistant.state(f"image.{NUT}_image") not in ("unavailable", "unknown"))
    broken = {one: state["state"] for one, state in scene.assistant.states().items() if one.startswith("automation.")}
    assert len(broken) == 2
    assert set(broken.values()) == {"on"}


def test_a_removed_camera_is_gone(scene: Scene) -> None:
    """A camera is taken out of the configuration: 16 complaints in the log; its states went before its description.

    Must: It goes, without a word.
    """
    scene.one.bird("pond-2")
    scene.shows("sensor.reserve1_pond_2_species", "House sparrow")
    scene.one.daemon.end()
    del scene.one.cameras["pond-2"]
    scene.one.start()
    soon(lambda: not [one for one in scene.assistant.states() if "pond_2" in one])
    scene.shows(f"sensor.{NUT}_fps", "15.0")
