"""What the page of the station's health does on request: the daemon's self-test, and the end of its log."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.commands.status import CameraReport, examine
from birdwatchd.daemon import Daemon
from birdwatchd.flow import Stop
from birdwatchd.monitor.local_socket import LocalSocket
from birdwatchd.records import new_visit_id
from birdwatchd.settings.config import Config
from birdwatchd.stages.selftest import unpack
from birdwatchd.store import EffortSpan, Store
from birdwatchd.store.camera_state import Effort
from birdwatchd.testing import START, temporary_store
from birdwatchd.web.access.login import Login, hash_of
from birdwatchd.web.access.tries import FREE_TRIES
from birdwatchd.web.asked.daemon_log import daemon_log
from birdwatchd.web.asked.selftest import station_lines
from tests.support.page import browser
from tests.support.peers import wait_for

ZONE = ZoneInfo("Asia/Jerusalem")
LOG = (
    "2026-05-01 08:31:00+03:00 INFO    the page is at http://127.0.0.1:8787",
    "2026-05-01 08:32:00+03:00 WARNING nut: rtsp://ann:pass1word@192.0.2.1/main gave no picture <b>&",
    json.dumps({"at": "2026-05-01T05:33:00.000+00:00", "level": "error", "logger": "x", "message": "token=abcdef0123"}),
    "not a line of ours",
)


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        yield store.home


@contextmanager
def daemon(home: Path, *, broker: bool = True, log: tuple[str, ...] = LOG) -> Iterator[None]:
    """A daemon's end of the socket: each step of a test, and lines of a log."""

    def test(request: bytes) -> Iterator[dict[str, Any]]:
        evidence = unpack(request)
        assert not isinstance(evidence, str)
        for step in ("camera", "classify", "verdict", "record"):
            yield {"step": step, "ok": True, "text": f"{step} <went> well"}
        yield {"step": "publish", "ok": broker, "text": "it acknowledged" if broker else "the broker is not connected"}

    def lines(request: bytes) -> Iterator[dict[str, Any]]:
        yield {"lines": len(log)}
        yield from ({"line": line} for line in log)

    answers = {"selftest": test, "masked log": lines}
    stop, local = Stop(), LocalSocket(home, answers)
    thread = threading.Thread(target=local.run, args=(stop,), daemon=True)
    thread.start()
    wait_for((home / "birdwatchd.sock").exists, "the socket")
    try:
        yield
    finally:
        stop.set("the test is over")
        thread.join(10)


def test_a_press_tests_the_station_line_by_line(home: Path) -> None:
    """After every change of cable, model or broker: does it work, and if not, where does it stop?"""
    owner = browser(home, station={"name": "site"})
    assert 'hx-post="/health/selftest"' in owner.get("/health").text
    with daemon(home, broker=False):
        assert "A drawn bird goes through" in owner.post("/health/selftest", {}, hx_request="true").text
        wait_for(lambda: "goes through the daemon" not in owner.get("/health/selftest").text, "the test", 60.0)
    text = owner.get("/health").text
    assert re.search(r'class="brand".*>site<', text)  # the station's name is where it is on other pages
    assert "The bird did not come through" in text
    assert "erdict &lt;went&gt; well" in text
    assert re.search(r"Broker</dt><dd><b class=\"problem\">fails:</b> the broker is not connected", text)
    assert re.search(r"Disk</dt><dd", text)
    with daemon(home):
        assert owner.post("/health/selftest", {}).headers["location"] == "/health#selftest"
        wait_for(lambda: "came through" in owner.get("/health/selftest").text, "the second test", 60.0)
    assert "The bird came through" in owner.get("/health/selftest").text


def test_without_a_daemon_the_test_says_so(home: Path) -> None:
    """The steps behind it were not reached, and are shown as that."""
    owner = browser(home)
    owner.post("/health/selftest", {})
    wait_for(lambda: "did not come through" in owner.get("/health/selftest").text, "the test", 60.0)
    text = owner.get("/health/selftest").text
    assert "tart it: birdwatchd run" in text
    assert text.count("not reached") == 6


def test_cameras_and_disk_are_part_of_the_test(home: Path) -> None:
    """A bird that is drawn needs no camera: that one is away must be said all the same."""

    def one(key: str, state: str, *, blind: bool = False) -> CameraReport:
        return CameraReport(key, state, None, None, 3.0, None, None, blind, 0.0, None)

    report = examine(Config.model_validate({"home": home}), START)
    cameras = [one("a", "online"), one("b", "offline"), one("c", "disabled"), one("d", "online", blind=True)]
    object.__setattr__(report, "cameras", tuple(cameras))
    object.__setattr__(report, "disk_free_bytes", 10**8)
    lines = station_lines(report, {key: key for key in "abcd"})
    assert [line.passed for line in lines] == [True, False, True, False, False]
    assert "too little for pictures" in lines[-1].text


def test_the_end_of_the_log_is_on_the_page_without_secrets(home: Path) -> None:
    """Newest first, by level, in the station's time; and nothing in it opens anything or is obeyed."""
    owner = browser(home, station={"timezone": "Asia/Jerusalem"})
    with daemon(home):
        text = owner.get("/health").text
        warnings = owner.get("/health?log=warning").text
        errors = owner.get("/health?log=error").text
        refreshed = owner.get("/health", hx_request="true").text
    assert "not a line of ours" in text
    assert text.index("2026-05-01 08:33:00") < text.index("2026-05-01 08:31:00")
    for shown in (text, warnings, errors):
        assert "pass1word" not in shown
        assert "abcdef0123" not in shown
    assert "gave no picture &lt;b&gt;&amp;" in warnings
    assert ("the page is at" in text, "the page is at" in warnings, "gave no picture" in errors) == (True, False, False)
    assert "token=***" in errors
    assert "gave no picture" not in refreshed  # the log is not what changes by itself
    assert "no daemon listens there" in owner.get("/health").text


def test_at_most_two_hundred_lines(home: Path) -> None:
    """A page is read, not scrolled for ever."""
    with daemon(home, log=tuple(f"2026-05-01 08:31:00+03:00 INFO    line {number};" for number in range(500))):
        lines = daemon_log(home, ZONE).lines
    assert (len(lines), lines[0].text, lines[-1].text) == (200, "line 499;", "line 300;")


def test_a_daemon_of_an_older_version_is_told_apart(home: Path) -> None:
    """After an upgrade the page may be newer than the daemon that still runs."""
    local, stop = LocalSocket(home, {"log": lambda request: iter(())}), Stop()
    thread = threading.Thread(target=local.run, args=(stop,), daemon=True)
    thread.start()
    wait_for((home / "birdwatchd.sock").exists, "the socket")
    assert "another version" in daemon_log(home, ZONE).problem
    stop.set("done")
    thread.join(10)


def test_the_daemon_takes_its_secrets_out(home: Path) -> None:
    """It knows them, the page does not: a bot's token in a path looks like any other word."""
    config = Config.model_validate(
        {
            "home": home,
            "cameras": {"nut": {"source": "rtsp://ann:tit5ecret@192.0.2.1/main"}},
            "channels": {"phone": {"apprise": "tgram://123456789abcdefg/987654321"}},
        }
    )
    lines = [f"posting to https://api.example/bot/123456789abcdefg failed at {new_visit_id(START)}", "it is tit5ecret"]
    station = Daemon(config, Stop(), recent_log=lambda: lines)
    masked = [answer["line"] for answer in station._answer_masked_log(b"") if "line" in answer]
    assert next(Daemon(config, Stop())._answer_masked_log(b"")) == {"lines": 0}  # no line yet is an answer too
    assert masked[1] == "it is ***"
    assert "123456789abcdefg" not in masked[0]


def test_health_says_who_sent_wrong_passwords_and_tokens(home: Path) -> None:
    """They are in the log of the page's process, which is not the daemon's: at night nobody sees them there."""
    owner = browser(home, login=Login(hash_of("correct horse")), web={"password_file": home / "p"})
    owner.post("/login", {"password": "correct horse"})
    assert "Wrong logins" not in owner.get("/health").text
    guesser, script = (browser(home, login=owner.login, web={"password_file": home / "p"}) for _ in range(2))
    guesser.app = script.app = owner.app
    guesser.peer, script.peer = "192.0.2.66", "2001:db8::5"
    for _ in range(FREE_TRIES):
        guesser.post("/login", {"password": "hunter2"})
    script.get("/api/v1/visits", authorization="Bearer revoked")
    text = re.sub(r"\s+", " ", owner.get("/health").text)
    assert (
        f'{FREE_TRIES} wrong passwords from <bdi dir="ltr">192.0.2.66</bdi>, the last just now; it has to wait' in text
    )
    assert '1 wrong token from <bdi dir="ltr">2001:db8::/64</bdi>, the last just now<br>' in text
    assert "From 2 devices in the last day" in text
    assert "hunter2" not in text


def test_a_camera_that_is_online_is_not_said_to_be_late(home: Path) -> None:
    """What is known of it is written twice a minute: "28 s ago" stood beside a picture that moves."""
    with Store.open(home, zone=ZONE) as store:
        store.effort.note("nut", datetime.now(UTC) - timedelta(seconds=28), "online")
    somebody = browser(home, cameras={"nut": {"source": "/"}})
    for page in ("/", "/health", "/cameras/nut"):
        text = somebody.get(page).text
        assert "less than a minute ago" in text
        assert not re.search(r"\d+\ss ago", text)


def test_the_week_of_all_cameras_is_read_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten cameras a week has some hundred thousand spans: they were read anew for each camera."""
    asked: list[object] = []
    read = Effort.spans

    def spans(effort: Effort, since: datetime | None = None) -> list[EffortSpan]:
        asked.append(since)
        return read(effort, since)

    monkeypatch.setattr(Effort, "spans", spans)
    with Store.open(home, zone=ZONE) as store:
        for camera in ("a", "b", "c"):
            store.effort.note(camera, datetime.now(UTC) - timedelta(minutes=1), "online")
    text = browser(home, cameras={key: {"source": "/"} for key in ("a", "b", "c")}).get("/health").text
    assert text.count('<rect class="online"') == 3
    assert len(asked) == 2  # for the state of the station, and for the drawing
