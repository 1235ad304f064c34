"""Alerts about the station itself: each fault once and in time, its end once, nothing twice over a restart."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.alerts.station import FaultRules, Finding
from birdwatchd.camera.blindness import explain
from birdwatchd.channels.channel import build_channels
from birdwatchd.channels.wording import notification_of
from birdwatchd.disk import DiskRoom
from birdwatchd.errors import ConfigError
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.records import Blindness, CameraState, CameraStatus, Rank, State, Verdict
from birdwatchd.settings.alerts import FAULTS, AlertSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import parse_config
from birdwatchd.stages.station_watch import LOOK_EVERY_S, STARTING_S, StationWatch, build_station_watch
from birdwatchd.store import Store
from birdwatchd.testing import example_visit
from tests.support.peer import Peer

START = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
GB = 10**9


class Station:
    """A station whose cameras, disk, broker and clock a test sets; `told` is what was sent since its last call.

    Attributes:
        now_s: the monotonic clock; wall time goes with it.
    """

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, *rules: dict[str, Any], **more: Any) -> None:
        self.home, self.now_s, self.seen, self.free = home, 0.0, 0, 50 * GB
        patch.setattr(DiskRoom, "at", classmethod(lambda cls, folder: cls(self.free, 100 * GB)))
        whole = {
            "home": home,
            "station": {"name": "reserve1", "latitude": 31.87, "longitude": 35.01},
            "cameras": {"nut": {"source": "rtsp://me:hunter2@192.0.2.1/a"}, "pond": {"source": "rtsp://192.0.2.2/b"}},
            "channels": {"phone": {"webhook": "http://127.0.0.1:1/"}, "mail": {"webhook": "http://127.0.0.1:2/"}},
            "mqtt": {"url": "mqtt://127.0.0.1:1"},
            "alerts": [{"name": "station", "to": ["phone"]} | rule for rule in rules],
        }
        self.config = Config.model_validate(whole | more)
        self.backup_age_s: float | None = 60.0
        self.start()

    def start(self) -> None:
        """The daemon starts: what it knew in memory is gone."""
        self.store = Store.open(self.home, zone=UTC_ZONE)
        self.metrics = Metrics()
        self.metrics.set("mqtt_connected", 1)
        began_s = self.now_s
        self.vitals = Vitals(["nut", "pond"], monotonic=lambda: self.now_s - began_s, utc_now=lambda: self.now)
        made = build_station_watch(
            self.config,
            self.store.reported_faults,
            self.vitals,
            self.metrics,
            backup_age_s=lambda: self.backup_age_s,
            wake=lambda: None,
        )
        assert made is not None
        made._clock = lambda: self.now
        self.watch: StationWatch = made
        self.frames = 0
        self.states = dict.fromkeys(("nut", "pond"), CameraStatus("", CameraState.ONLINE, START))

    def restart(self) -> None:
        self.store.close()
        self.start()

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.now_s)

    def camera(self, camera: str, state: CameraState, **more: Any) -> None:
        self.states[camera] = CameraStatus("", state, START, **more)

    def visit(self, camera: str = "nut") -> None:
        visit = example_visit(camera=camera, start=self.now - timedelta(seconds=9))
        self.vitals.take_visit(visit)

    def lasts(self, seconds: float) -> list[tuple[str, str, str]]:
        """Let time pass, and give what was told: after how long, by which way, and the text."""
        until_s = self.now_s + seconds
        step_s = LOOK_EVERY_S if seconds <= 15 * MINUTE else min(5 * MINUTE, seconds / 120)
        while self.now_s < until_s:
            self.now_s += step_s
            self.frames += 1
            for camera, status in self.states.items():
                frames = self.frames if status.state is CameraState.ONLINE else 0
                self.vitals.take_status(replace(status, camera=camera, at=self.now, frames=frames))
            self.watch.run_once(self.now_s)
        return [(way, message["phase"], message["text"]) for way, message in self.sent()]

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        rows = [
            (row.id, channel or "mqtt", row.message)
            for channel in (None, "phone", "mail")
            for row in self.store.outbox.pending(self.seen, 999, channel)
        ]
        self.seen = max([self.seen, *(number for number, _, _ in rows)])
        assert {m.topic for _, way, m in rows if way == "mqtt"} <= {"birdwatch/reserve1/station_alert"}
        return [(way, json.loads(message.payload)) for _, way, message in sorted(rows, key=lambda row: row[0])]


Make = Callable[..., Station]


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[Station] = []

    def make(*rules: dict[str, Any], **more: Any) -> Station:
        made.append(Station(tmp_path, monkeypatch, *rules, **more))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


OFFLINE = {"when": ["camera_offline"]}


def both(phase: str, text: str) -> list[tuple[str, str, str]]:
    return [("mqtt", phase, text), ("phone", phase, text)]


def test_a_camera_that_stays_away_is_told_once_and_so_is_its_return(station: Make) -> None:
    """After ten minutes, not after a moment, and not every ten minutes; by every way that the rule names."""
    made = station(OFFLINE)
    assert made.lasts(HOUR) == []
    made.camera("nut", CameraState.OFFLINE, detail="no route to host")
    assert made.lasts(10 * MINUTE - 10) == []
    assert made.lasts(20) == both("raised", "camera nut has given no picture for 10 minutes: no route to host")
    assert made.lasts(3 * DAY) == []
    made.camera("nut", CameraState.ONLINE)
    assert made.lasts(10 * MINUTE - 10) == []
    assert made.lasts(20) == both("ended", "camera nut gives pictures again")
    assert made.lasts(DAY) == []


def test_the_message_says_everything_and_nothing_secret(station: Make) -> None:
    """It is read by a person on a phone and by programs; where the station stands is nobody's business."""
    made = station({"when": ["camera_offline_30s"]})
    made.lasts(5 * MINUTE)
    made.camera("nut", CameraState.OFFLINE, detail="wrong password")
    made.now_s += 60.0
    made.vitals.take_status(CameraStatus("nut", CameraState.OFFLINE, made.now, detail="wrong password"))
    made.watch.run_once(made.now_s)
    (_, mqtt), (_, phone) = made.sent()
    assert mqtt == phone
    assert mqtt == {
        "station": "reserve1",
        "rule": "station",
        "when": "camera_offline",
        "camera": "nut",
        "channel": None,
        "phase": "raised",
        "text": "camera nut has given no picture for 60 seconds: wrong password",
        "at": made.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert not any(secret in json.dumps(mqtt) for secret in ("31.8", "35.0", "hunter2"))
    shown = notification_of(json.dumps(mqtt).encode(), UTC_ZONE, {"nut": "Nut feeder"})
    assert (shown.title, shown.body) == (
        "reserve1: needs you",
        "camera Nut feeder has given no picture for 60 seconds: wrong password",
    )
    ended = mqtt | {"phase": "ended", "text": "camera nut gives pictures again"}
    assert notification_of(json.dumps(ended).encode(), UTC_ZONE, {}).title == "reserve1: all right again"


def test_a_camera_that_comes_and_goes_is_one_fault(station: Make) -> None:
    """A phone that rings every five minutes is switched off, and then it is quiet when the disk is full."""
    made = station(OFFLINE)
    made.lasts(HOUR)
    made.camera("nut", CameraState.OFFLINE)
    assert len(made.lasts(11 * MINUTE)) == 2
    told = []
    for _ in range(100):
        made.camera("nut", CameraState.ONLINE)
        told += made.lasts(5 * MINUTE)
        made.camera("nut", CameraState.OFFLINE)
        told += made.lasts(12 * MINUTE)
    assert told == []


@pytest.mark.parametrize("seed", range(2))
def test_whatever_a_camera_does_begin_and_end_take_turns(station: Make, seed: int) -> None:
    """Random comings and goings, restarts in between: never two of the same kind in a row, and never many."""
    made, chance = station(OFFLINE), random.Random(seed)
    phases, hours = [], 0.0
    for _ in range(120):
        made.camera("nut", chance.choice((CameraState.ONLINE, CameraState.OFFLINE)))
        seconds = chance.choice((20.0, 200.0, 1500.0))
        phases += [phase for way, phase, _ in made.lasts(seconds) if way == "phone"]
        hours += seconds / HOUR
        if chance.random() < 0.1:
            state = made.states
            made.restart()
            made.states = state
    assert phases == [("raised", "ended")[number % 2] for number in range(len(phases))]
    assert 2 <= len(phases) <= hours * 6


def test_a_restart_tells_nothing_twice_and_the_end_is_told_after_it(station: Make) -> None:
    """The power fails while the camera is away, and its cable is mended during the night."""
    made = station(OFFLINE)
    made.lasts(HOUR)
    made.camera("nut", CameraState.OFFLINE)
    assert len(made.lasts(HOUR)) == 2
    for _ in range(3):
        made.restart()
        made.camera("nut", CameraState.OFFLINE)
        assert made.lasts(HOUR) == []
    made.restart()
    assert made.lasts(HOUR) == both("ended", "camera nut gives pictures again")
    made.restart()
    assert made.lasts(HOUR) == []


def test_a_camera_that_was_away_before_a_restart_needs_no_new_ten_minutes(station: Make) -> None:
    """A daemon that is restarted every nine minutes would never tell; a night without power is no fault of a camera."""
    made = station(OFFLINE)
    made.vitals.recall_frame("nut", START - timedelta(hours=8))
    made.vitals.recall_frame("pond", START - timedelta(hours=8))
    made.camera("nut", CameraState.OFFLINE)
    assert made.lasts(STARTING_S - 10) == []
    assert made.lasts(20) == both("raised", "camera nut has given no picture for 8 hours")


def test_a_camera_that_is_switched_off_is_no_fault(station: Make) -> None:
    """Somebody did it on purpose."""
    made = station({"when": ["camera_offline", "camera_blind"]})
    made.lasts(HOUR)
    for state in (CameraState.DISABLED, CameraState.FINISHED):
        made.camera("nut", state)
        assert made.lasts(DAY) == []


def test_a_rule_for_one_camera_says_nothing_of_another(station: Make) -> None:
    """The one at the neighbour's is often away."""
    made = station({"when": ["camera_offline"], "cameras": ["pond"]})
    made.lasts(HOUR)
    made.camera("nut", CameraState.OFFLINE)
    assert made.lasts(HOUR) == []
    made.camera("pond", CameraState.OFFLINE)
    assert len(made.lasts(HOUR)) == 2


def test_a_blind_camera_is_told_but_not_every_night(station: Make) -> None:
    """A lens with a web before it sees no bird for months; the dark is over in the morning."""
    made = station({"when": ["camera_blind"]})
    made.lasts(HOUR)
    made.camera("nut", CameraState.ONLINE, blind=Blindness.DARK)
    assert made.lasts(12 * HOUR) == []
    made.camera("nut", CameraState.ONLINE, blind=Blindness.FLAT)
    text = f"camera nut could hardly see birds for 60 minutes: {explain(Blindness.FLAT)}"
    assert made.lasts(HOUR + MINUTE) == both("raised", text)
    made.camera("nut", CameraState.ONLINE)
    assert made.lasts(HOUR) == both("ended", "camera nut can see birds again")


def test_no_visit_for_two_days_is_told_and_one_bird_at_any_of_the_cameras_ends_it(station: Make) -> None:
    """The feeder is empty, or the software is broken: only a person can tell these apart."""
    made = station({"when": ["no_visit_for"]})
    made.visit()
    assert made.lasts(2 * DAY - 6 * MINUTE) == []
    assert made.lasts(8 * MINUTE) == both("raised", "no bird was seen for 2 days")
    assert made.lasts(DAY) == []
    made.visit("pond")
    assert made.lasts(10) == both("ended", "a bird was seen again")


def test_a_station_that_never_saw_a_bird_is_told_too(station: Make) -> None:
    """It has never worked, and nobody noticed."""
    made = station({"when": ["no_visit_for_3h"], "cameras": ["pond"]})
    assert made.lasts(3 * HOUR - MINUTE) == []
    assert made.lasts(2 * MINUTE) == both("raised", "no bird was seen for 3 hours at pond")


def test_what_was_rejected_is_no_bird(station: Make) -> None:
    """A leaf that moves all day must not say that birds come."""
    made = station({"when": ["no_visit_for_3h"]})
    rejected = Verdict(State.REJECTED, Rank.BIRD, None, None, 0.9, ())
    made.lasts(2 * HOUR)
    made.vitals.take_visit(example_visit(start=made.now, verdict=rejected, end=made.now))
    assert made.lasts(HOUR + MINUTE) != []


def test_a_disk_that_fills_is_told_at_once_while_the_database_can_still_be_written(station: Make) -> None:
    """When clips end, a gigabyte is left; ten minutes later it may be gone."""
    made = station({"when": ["disk_full"]})
    assert made.lasts(MINUTE) == []
    made.free = GB // 2
    assert made.lasts(LOOK_EVERY_S) == both("raised", "the disk is nearly full: 0.50 GB are free")
    told = []
    for _ in range(50):  # retention deletes, clips are written
        made.free = 2 * GB
        told += made.lasts(5 * MINUTE)
        made.free = GB // 2
        told += made.lasts(5 * MINUTE)
    made.free = 20 * GB
    assert told + made.lasts(11 * MINUTE) == both("ended", "there is room on the disk again")


def test_that_the_broker_is_away_is_told_by_channels_alone_and_a_channel_never_about_itself(station: Make) -> None:
    """A message over the broker that the broker cannot be reached arrives when it can."""
    made = station({"when": ["broker_offline", "channel_failing"], "to": ["phone", "mail"]})
    made.metrics.set("mqtt_connected", 0)
    assert [way for way, _, _ in made.lasts(11 * MINUTE)] == ["phone", "mail"]
    made.metrics.set("mqtt_connected", 1)
    assert [(way, text) for way, _, text in made.lasts(11 * MINUTE)] == [
        ("phone", "the MQTT broker is connected again"),
        ("mail", "the MQTT broker is connected again"),
    ]
    made.metrics.set("channel_failing", 1, channel="phone")
    text = "channel phone has not taken messages for 60 minutes"
    assert made.lasts(HOUR + MINUTE) == [("mqtt", "raised", text), ("mail", "raised", text)]


def test_without_a_broker_nothing_is_said_of_one(station: Make) -> None:
    """There is nothing to be away."""
    made = station({"when": ["broker_offline"]}, mqtt={})
    made.metrics.set("mqtt_connected", 0)
    assert made.lasts(DAY) == []


@pytest.mark.parametrize(
    ("age_s", "text"), [(None, "there is no backup"), (20 * DAY, "the last backup is 20 days old"), (DAY, "")]
)
def test_backups_that_stopped_or_never_began_are_told(station: Make, age_s: float | None, text: str) -> None:
    """The timer failed on the day of the update."""
    made = station({"when": ["backup_old"]})
    made.backup_age_s = age_s
    assert made.lasts(HOUR) == (both("raised", text) if text else [])
    made.backup_age_s = 60.0
    assert made.lasts(HOUR) == (both("ended", "there is a new backup again") if text else [])


def test_a_rule_that_is_gone_leaves_nothing_behind(station: Make) -> None:
    """With another rule of this name next year the fault must be told again."""
    made = station(OFFLINE)
    made.lasts(HOUR)
    made.camera("nut", CameraState.OFFLINE)
    assert len(made.lasts(HOUR)) == 2
    assert made.store.reported_faults.names() == {"station/camera_offline/nut"}
    made.config = made.config.model_copy(update={"alerts": (AlertSettings(name="station", when=("disk_full",)),)})
    made.restart()
    assert made.store.reported_faults.names() == set()
    told = made.store.reported_faults
    told.report("a/disk_full/", START.date(), (), START)
    quiet = Config.model_validate({"home": made.home})
    assert (
        build_station_watch(quiet, told, made.vitals, Metrics(), backup_age_s=lambda: None, wake=lambda: None) is None
    )
    assert told.names() == set()


def test_it_is_told_once_also_if_two_would_tell(station: Make) -> None:
    """What decides is the row in the database, not somebody's memory."""
    made = station(OFFLINE)
    told = made.store.reported_faults
    assert [told.report("a/b/c", START.date(), (), START) for _ in range(2)] == [True, False]
    assert [told.report_end("a/b/c", (), START) for _ in range(2)] == [True, False]


def test_a_webhook_gets_begin_and_end_in_order(station: Make, peer: Peer) -> None:
    """From the fault to a real server, through the outbox and the channel."""
    channels = {"phone": {"webhook": peer.url}}
    made = station({"when": ["camera_offline_30s"], "mqtt": False}, channels=channels)
    (phone,) = build_channels(made.config, made.store.outbox, made.metrics)
    phone._clock = lambda: made.now
    made.lasts(5 * MINUTE)
    made.camera("nut", CameraState.OFFLINE)
    made.now_s += 40
    made.seen = 10**9
    made.lasts(MINUTE)
    made.camera("nut", CameraState.ONLINE)
    made.lasts(2 * MINUTE)
    for now_s in range(5):
        phone.run_once(now_s * 10.0)
    assert [(one["phase"], one["camera"]) for one in peer.got] == [("raised", "nut"), ("ended", "nut")]


def test_a_fault_that_is_not_known_is_neither_raised_nor_ended() -> None:
    """While a camera starts nobody knows."""
    rules = FaultRules([AlertSettings(name="r", when=("camera_blind_5m",))], ["nut"], [], [])
    assert rules.look({("camera_blind", "nut"): Finding(301.0)}, 0.0)[0].phase == "raised"
    rules.confirmed(rules.look({("camera_blind", "nut"): Finding(301.0)}, 0.0)[0])
    good = {("camera_blind", "nut"): Finding()}
    assert [rules.look(found, now_s) for now_s, found in ((1.0, good), (200.0, {}), (301.0, good))] == [[], [], []]
    assert rules.look(good, 602.0)[0].phase == "ended"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("when: [camera_offline, rare]", "is about visits and about the station (camera_offline); make two rules"),
        ("when: [disk_full], species: [Paridae]", "has species, which is for rules about visits; leave it out"),
        ("when: [disk_full], cooldown: 1h", "has cooldown, which is for rules about visits"),
        ("when: [disk_full_3h]", "is not an occasion; use every"),
        ("when: [camera_gone]", f"or for the station itself {', '.join(FAULTS)}"),
        ("when: [no_visit_for_0d]", "is not an occasion"),
        ("when: [camera_offline], cameras: [oak]", "has the unknown name oak"),
        ("when: [camera_offline], to: [fax]", "has the unknown name fax"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_what_to_do(rule: str, says: str) -> None:
    """One line, with the place."""
    text = f"cameras: {{nut: {{source: a.mp4}}}}\nalerts: [{{name: station, {rule}}}]\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "b.yaml", {})
    assert says in str(caught.value)
    assert str(caught.value).startswith("b.yaml:2: ")


@pytest.mark.parametrize(
    ("occasion", "lasts"), [("no_visit_for_20m", 20 * MINUTE), ("camera_offline_2m", 120.0), ("broker_offline", 600.0)]
)
def test_how_long_a_fault_must_last_can_be_said(station: Make, occasion: str, lasts: float) -> None:
    """A camera at a solar panel is away every night."""
    made = station({"when": [occasion]})
    made.visit()
    made.lasts(5 * MINUTE)
    made.camera("nut", CameraState.OFFLINE)
    made.metrics.set("mqtt_connected", 0)
    began_s = made.now_s - (5 * MINUTE if "visit" in occasion else 0.0)
    while not made.lasts(LOOK_EVERY_S):
        assert made.now_s - began_s < lasts + 20
    assert made.now_s - began_s >= lasts - LOOK_EVERY_S
