"""`birdwatchd status`: what it reads of a home, what needs a person, and how it looks."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from birdwatchd.cli import run_cli
from birdwatchd.commands import status as module
from birdwatchd.commands.status import StationReport, examine
from birdwatchd.flow import Stop
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.build import build_monitor
from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME, LocalSocket
from birdwatchd.monitor.scrape import NotServed, read_live
from birdwatchd.monitor.vitals import MOTION_AGE, Vitals
from birdwatchd.records import Blindness, CameraState, CameraStatus, Message
from birdwatchd.settings.config import Config
from birdwatchd.settings.station import StationSettings
from birdwatchd.stages.live import live_answers
from birdwatchd.store import LastBackup, Store, schema
from birdwatchd.store.camera_state import camera_id
from birdwatchd.store.database import Database
from birdwatchd.store.outbox import add
from birdwatchd.testing import example_moment, example_visit
from tests.support.page import browser
from tests.support.peers import free_port, wait_for

NOW = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)


def config(home: Path, **more: Any) -> Config:
    cameras = {key: {"source": f"rtsp://me:hunter2@192.0.2.1/{key}"} for key in ("nut", "pond")}
    return Config.model_validate({"home": home, "cameras": cameras} | more)


def watched(home: Path, camera: str, state: str, first_s: float, last_s: float) -> None:
    """Effort of a camera from then to then, seconds before `NOW`."""
    Store.open(home, zone=Config().station.zone).close()
    database = Database.open(home)
    start, end = (NOW - timedelta(seconds=seconds) for seconds in (first_s, last_s))
    with database.writing() as connection:
        row = {"camera_id": camera_id(connection, camera, start), "from": start, "to": end, "state": state}
        connection.execute(sa.insert(schema.effort).values(row))
    database.close()


def messages(home: Path, age_s: float, channel: str | None = None) -> None:
    database = Database.open(home)
    with database.writing() as connection:
        add(connection, [Message("t", b"x", channel=channel)], NOW - timedelta(seconds=age_s))
    database.close()


def problems(report: StationReport) -> str:
    return "; ".join(report.problems)


def test_a_station_whose_cameras_are_watched_needs_nobody(tmp_path: Path) -> None:
    """Exit status 0 is what a script waits for."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "online", 7200, 0)
    report = examine(config(tmp_path), NOW)
    assert report.problems == []
    assert report.running is True
    assert [camera.state for camera in report.cameras] == ["online", "online"]
    assert report.cameras[0].watched_s == 7200.0
    assert report.cameras[0].watched_share == 1.0
    assert report.notes == ["fps, motion, queues and memory are shown where `metrics.bind` is set in the configuration"]


def test_the_effort_of_seven_days_leaves_out_what_was_before(tmp_path: Path) -> None:
    """A camera that was watched for a year and then broke for three days was watched for four of seven."""
    watched(tmp_path, "nut", "online", 8 * 86_400, 3 * 86_400)
    watched(tmp_path, "nut", "offline", 3 * 86_400 - 60, 0)
    watched(tmp_path, "pond", "online", 120, 0)
    report = examine(config(tmp_path), NOW)
    assert report.cameras[0].watched_s == pytest.approx(4 * 86_400, abs=120)
    assert report.cameras[0].watched_share == pytest.approx(4 / 7, abs=0.01)
    assert problems(report) == "camera nut has given no picture for 3 d; see the log"


@pytest.mark.parametrize(("offline_s", "needs"), [(300, False), (900, True)])
def test_a_camera_that_is_offline_needs_a_person_only_after_a_while(
    tmp_path: Path, offline_s: float, needs: bool
) -> None:
    """Cameras reboot by themselves; nobody wants to be woken for that."""
    watched(tmp_path, "nut", "online", 7200, offline_s)
    watched(tmp_path, "nut", "offline", offline_s - 60, 0)
    watched(tmp_path, "pond", "online", 7200, 0)
    report = examine(config(tmp_path), NOW)
    assert ("camera nut has given no picture for 15 min" in problems(report)) is needs
    assert report.cameras[0].offline_s == pytest.approx(offline_s, abs=60)
    assert report.cameras[0].last_frame_s == pytest.approx(offline_s, abs=60)


def test_a_station_that_was_off_for_days_is_not_to_blame_its_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its first minute after a holiday `status` said that the camera had given no picture for 3 days."""
    watched(tmp_path, "nut", "online", 3 * 86_400 + 1800, 3 * 86_400)
    watched(tmp_path, "nut", "starting", 30, 0)
    watched(tmp_path, "pond", "online", 7200, 0)
    report = examine(config(tmp_path), NOW)
    assert report.problems == []
    assert report.cameras[0].offline_s == pytest.approx(30)
    module._print(report)
    said = capsys.readouterr().out
    assert "starting 30 s" in said
    assert "30 min\n" in said, "not 0.5 h, nor 0.0 h of a station's first minutes"


def test_a_daemon_that_does_not_run_is_the_one_problem(tmp_path: Path) -> None:
    """Five cameras that are not watched because of it are not five more problems."""
    watched(tmp_path, "nut", "online", 7200, 1200)
    report = examine(config(tmp_path), NOW)
    assert report.running is False
    assert report.problems == ["the daemon does not run (last sign of life 2026-05-08 11:40); start it: birdwatchd run"]
    assert [camera.state for camera in report.cameras] == ["unknown", "unknown"]
    here = config(tmp_path).model_copy(update={"station": StationSettings(timezone="Asia/Kathmandu")})
    assert "last sign of life 2026-05-08 17:25)" in problems(examine(here, NOW)), "the station's clock, as everywhere"


@pytest.mark.parametrize("more", [{}, {"metrics": {"bind": 1}}])
def test_a_daemon_that_has_just_ended_does_not_run(tmp_path: Path, more: dict[str, Any]) -> None:
    """Who stops it and looks reads that it runs, for two minutes; so does a monitor after a crash."""
    watched(tmp_path, "nut", "online", 7200, 0)
    store = Store.open(tmp_path, zone=Config().station.zone)
    store.claim("run")
    assert examine(config(tmp_path), NOW).running is True
    store.close()
    report = examine(config(tmp_path, **more), NOW)
    assert report.running is False
    assert [camera.state for camera in report.cameras] == ["unknown", "unknown"]
    assert "the daemon does not run (last sign of life 2026-05-08 12:00); start it" in problems(report)


def test_cameras_that_were_all_switched_off_say_nothing_about_the_daemon(tmp_path: Path) -> None:
    """They are written once, when they are switched off; the daemon goes on."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "disabled", 86_400, 86_400)
    report = examine(config(tmp_path), NOW)
    assert report.running is None
    assert report.problems == []
    assert {camera.state for camera in report.cameras} == {"disabled"}


@pytest.mark.parametrize("channel", [None, "phone"])
@pytest.mark.parametrize(("age_s", "needs"), [(3000, False), (9000, True)])
def test_messages_that_wait_for_hours_need_a_person(
    tmp_path: Path, channel: str | None, age_s: float, needs: bool
) -> None:
    """The broker moved, or the phone service wants a new password: only a person knows."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "online", 7200, 0)
    messages(tmp_path, age_s, channel)
    peers = {"mqtt": {"url": "mqtt://127.0.0.1"}, "channels": {"phone": {"webhook": "https://h.example/x"}}}
    report = examine(config(tmp_path, **peers), NOW)
    name = "mqtt" if channel is None else "channel phone"
    assert report.outbox[name] == {"waiting": 1, "oldest_s": age_s}
    assert sum(int(door["waiting"] or 0) for door in report.outbox.values()) == 1
    assert (f"{name}: messages have waited for 2 h" in problems(report)) is needs


def test_a_disk_that_is_nearly_full_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is full, there is time to do something."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "online", 7200, 0)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=900_000_000))
    assert problems(examine(config(tmp_path), NOW)) == "the disk is nearly full: 900.0 MB are free; make room"


@contextmanager
def running(home: Path, port: int) -> Iterator[tuple[Metrics, Vitals]]:
    """The part of a daemon that answers."""
    metrics, vitals = Metrics(), Vitals(["nut", "pond"], monotonic=lambda: 7.0, utc_now=lambda: NOW)
    settings = config(home, metrics={"bind": port}).metrics
    server = build_monitor(settings, metrics, vitals, home / "birdwatchd.sqlite3")
    server.start()
    wait_for(lambda: _answers(settings.local_url), "the server to answer", 10)
    yield metrics, vitals
    server.close()


def _answers(url: str) -> bool:
    try:
        return bool(read_live(url).values)
    except NotServed:
        return False


@pytest.mark.parametrize(("age_d", "needs"), [(None, False), (2, False), (30, True)])
def test_backups_that_have_stopped_need_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], age_d: int | None, needs: bool
) -> None:
    """The timer runs as another user since the update, and nobody looks at it before the disk breaks."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "online", 7200, 0)
    if age_d is not None:
        assert LastBackup(NOW - timedelta(days=age_d), "/mnt/b", 7).write(tmp_path)
    report = examine(config(tmp_path), NOW)
    assert ("the last backup is 30 d old; see why /mnt/b gets none" in problems(report)) is needs
    module._print(report)
    said = "none yet; make one: birdwatchd backup DIR" if age_d is None else f"{age_d} d ago, to /mnt/b"
    assert f"backup     {said}\n" in capsys.readouterr().out


def test_what_only_the_daemon_knows_comes_from_its_metrics(tmp_path: Path) -> None:
    """A camera that came online a second ago is online, whatever the last note of effort says."""
    watched(tmp_path, "nut", "offline", 120, 60)
    watched(tmp_path, "pond", "online", 7200, 0)
    port = free_port()
    with running(tmp_path, port) as (metrics, vitals):
        online = CameraStatus("nut", CameraState.ONLINE, NOW, frames=5, extra=((MOTION_AGE, 90.0),))
        vitals.load("davit@1", "cpu, bfloat16")
        vitals.take_status(online)
        vitals.take_status(replace(online, camera="pond", state=CameraState.OFFLINE, extra=()))
        metrics.set("camera_fps", 14.9, camera="nut")
        metrics.set("camera_blind", 1.0, camera="nut")
        metrics.set("camera_blind", 1.0, camera="pond")
        metrics.set("crops_waiting", 3, camera="nut")
        metrics.add("crops_dropped_total", 12, camera="nut", reason="lane_full")
        module_report = wait_for(lambda: _with_fps(config(tmp_path, metrics={"bind": port})), "the numbers", 10)
    assert module_report.problems == []
    assert (module_report.model, module_report.device) == ("davit@1", "cpu, bfloat16")
    assert (module_report.crops_waiting, module_report.crops_dropped) == (3, 12)
    nut = module_report.cameras[0]
    assert (nut.state, nut.fps, nut.blind, nut.last_frame_s, nut.last_motion_s) == ("online", 14.9, True, 0.0, 90.0)
    assert [getattr(module_report.cameras[1], name) for name in ("state", "fps", "blind")] == ["offline", None, None]
    assert module_report.memory_bytes > 10_000_000
    assert module_report.notes == []


def _with_fps(settings: Config) -> StationReport | None:
    report = examine(settings, NOW)
    return report if report.cameras[0].fps else None


def test_a_daemon_that_does_not_answer_is_said_in_one_line(tmp_path: Path) -> None:
    """Somebody else's web server on the port is not birdwatchd."""
    watched(tmp_path, "nut", "online", 7200, 1200)
    port = free_port()
    report = examine(config(tmp_path, metrics={"bind": port}), NOW)
    assert report.running is False
    assert report.notes == [f"nothing answers at http://127.0.0.1:{port} (Connection refused): no fps, motion, queues"]
    watched(tmp_path, "nut", "online", 60, 0)
    report = examine(config(tmp_path, metrics={"bind": port}), NOW)
    assert report.running is None
    assert problems(report).startswith(
        "the daemon does not answer (Connection refused): it stopped in the last two min"
    )


def test_a_change_of_state_at_the_last_note_counts(tmp_path: Path) -> None:
    """A change ends one span and begins the next at the same instant; the camera is what it became."""
    watched(tmp_path, "nut", "starting", 60, 20)
    watched(tmp_path, "nut", "online", 20, 20)
    assert examine(config(tmp_path), NOW).cameras[0].state == "online"


def test_a_bird_is_not_here_for_ever_after_the_daemon_died(tmp_path: Path) -> None:
    """Its visit has no end until the next start: status and Health said for days that a bird is here now."""
    start = NOW - timedelta(hours=2)
    with Store.open(tmp_path, zone=Config().station.zone) as store:
        visit = example_visit(start=start, end=None, last_seen=start + timedelta(seconds=60))
        store.writer().record(visit, [example_moment()], start)
    watched(tmp_path, "nut", "online", 7300, 7140)
    report = examine(config(tmp_path), NOW)
    assert report.running is False
    assert report.cameras[0].last_visit_s == 7140
    assert report.cameras[0].last_frame_s == 7140  # as of now, and not of the last note


def test_the_command_fits_80_columns_and_says_by_its_status_whether_it_needs_you(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at over a phone's terminal, and called by scripts."""
    home, file = tmp_path / "home", tmp_path / "b.yaml"
    file.write_text(f"home: {home}\ncameras: {{nut_feeder_by_the_pond: {{source: 'rtsp://me:hunter2@192.0.2.1/a'}}}}\n")
    watched(home, "nut_feeder_by_the_pond", "offline", 8000, 60)
    monkeypatch.setattr(module, "datetime", _Then)
    assert run_cli(["status", "-c", str(file)]) == 1
    text = capsys.readouterr().out
    assert "nut_feeder_by_the_pond  offline 2 h" in text
    assert "needs you  camera nut_feeder_by_the_pond has given no picture for 2 h; see the log\n" in text
    assert [line for line in text.split("\n\n")[1].splitlines() if len(line.rstrip()) > 80] == []
    assert run_cli(["status", "-c", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["well"], found["running"], found["cameras"][0]["state"]) == (False, True, "offline")
    assert "hunter2" not in text + json.dumps(found)


class _Then(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return NOW


def test_a_home_without_a_database_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped home is not a station that needs nobody."""
    assert run_cli(["status", "--home", str(tmp_path / "nowhere")]) == 1
    assert "there is no database" in capsys.readouterr().err


def test_why_a_camera_is_blind_is_said_without_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics are off at most stations: a covered lens was "online" for days, and only the log knew better."""
    for camera in ("nut", "pond"):
        watched(tmp_path, camera, "online", 7200, 0)
    vitals = Vitals(["nut", "pond"], monotonic=lambda: 7.0, utc_now=lambda: NOW)
    vitals.take_status(CameraStatus("nut", CameraState.ONLINE, NOW, blind=Blindness.FLAT))
    stop, local = Stop(), LocalSocket(tmp_path, live_answers(vitals, {}), LIVE_SOCKET_NAME)
    thread = threading.Thread(target=local.run, args=(stop,))
    thread.start()
    try:
        wait_for((tmp_path / LIVE_SOCKET_NAME).exists, "the socket", 10)
        report = examine(config(tmp_path), NOW)
        page = browser(tmp_path, cameras={"nut": {"source": "/"}, "pond": {"source": "/"}}).get("/health").text
    finally:
        stop.set("the test is over")
        thread.join(10)
    assert [(camera.blind, camera.blind_why) for camera in report.cameras] == [(True, "flat"), (False, None)]
    module._print(report)
    assert "camera nut: birds can hardly be seen: the picture shows nothing; clean the lens" in capsys.readouterr().out
    assert page.count("cannot see birds: the picture shows nothing; clean the lens") == 1
    assert [camera.blind for camera in examine(config(tmp_path), NOW).cameras] == [None, None]
