"""A quiet camera must look different from a broken one, and from one that sees nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.health import CameraHealth
from birdwatchd.records import Blindness, CameraState, CameraStatus

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


class Camera:
    """What a camera process reports, second by second."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.health = CameraHealth(self.metrics)
        self.at, self.frames = START, 0

    def runs(self, seconds: int, state: CameraState = CameraState.ONLINE, fps: float = 15.0) -> None:
        for _ in range(seconds):
            self.at += timedelta(seconds=1)
            self.frames += round(fps)
            self.health.report(CameraStatus("nut", state, self.at, fps, self.frames))

    def says(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.health.payload("nut", self.at))
        return found


@pytest.fixture
def camera() -> Camera:
    return Camera()


def test_a_camera_that_runs(camera: Camera) -> None:
    """All is well: pictures come, the newest is of now."""
    camera.runs(60)
    well = {"fps": 15.0, "last_frame_age_s": 0.0, "reconnects_1h": 0, "dropped_crops_1h": 0, "blind": None}
    assert camera.says() == well


def test_a_camera_that_never_gave_a_picture(camera: Camera) -> None:
    """No age is not an age of zero."""
    assert camera.says()["last_frame_age_s"] is None
    camera.runs(30, CameraState.OFFLINE, 0.0)
    assert (camera.says()["fps"], camera.says()["last_frame_age_s"], camera.says()["blind"]) == (0.0, None, None)


def test_the_frame_rate_is_unknown_until_it_is_measured(camera: Camera) -> None:
    """A zero in the minute of each start went into people's statistics."""
    assert camera.says()["fps"] is None
    camera.runs(1, CameraState.STARTING, 0.0)
    assert camera.says()["fps"] is None
    camera.runs(1, CameraState.ONLINE, 0.0)  # the first report of a connection has nothing to measure it by
    assert camera.says()["fps"] is None
    camera.runs(1)
    assert camera.says()["fps"] == 15.0


def test_what_changed_is_told_at_once(camera: Camera) -> None:
    """Not with the next minute: until then Home Assistant would show what was."""
    camera.runs(1)
    assert camera.health.take_changed() == set()
    camera.runs(5)
    assert (camera.health.take_changed(), camera.health.take_changed()) == ({"nut"}, set())
    camera.runs(1, CameraState.OFFLINE, 0.0)
    assert camera.health.take_changed() == {"nut"}
    camera.runs(3)
    assert camera.health.take_changed() == {"nut"}


def test_a_frozen_stream_ages(camera: Camera) -> None:
    """A camera that says `online` and sends nothing is the worst kind."""
    camera.runs(10)
    camera.runs(45, CameraState.ONLINE, 0.0)
    assert (camera.says()["last_frame_age_s"], camera.says()["fps"]) == (45.0, 0.0)


def test_a_camera_that_can_hardly_see_says_why(camera: Camera) -> None:
    """Its frames come as they should; without this word it is a quiet feeder. Offline, nothing is known of its view."""
    camera.runs(10)
    for state, blind in ((CameraState.ONLINE, "shaking"), (CameraState.OFFLINE, None)):
        camera.health.report(CameraStatus("nut", state, camera.at, 15.0, camera.frames, blind=Blindness.SHAKING))
        assert camera.says()["blind"] == blind


def test_an_offline_camera_has_no_frame_rate(camera: Camera) -> None:
    """The last report's rate is not the rate of now."""
    camera.runs(10)
    camera.health.report(CameraStatus("nut", CameraState.OFFLINE, camera.at, 15.0, camera.frames))
    assert camera.says()["fps"] == 0.0


def test_reconnects_of_the_last_hour_are_counted(camera: Camera) -> None:
    """The first connect is none; what is more than an hour old is forgotten."""
    camera.runs(5, CameraState.OFFLINE, 0.0)
    camera.runs(5)
    assert camera.says()["reconnects_1h"] == 0
    for _ in range(3):
        camera.runs(2, CameraState.OFFLINE, 0.0)
        camera.runs(2)
    assert camera.says()["reconnects_1h"] == 3
    camera.at += timedelta(minutes=59)
    assert camera.says()["reconnects_1h"] == 3
    camera.at += timedelta(minutes=2)
    assert camera.says()["reconnects_1h"] == 0


def test_dropped_crops_of_the_last_hour_are_counted(camera: Camera) -> None:
    """A counter since the start says nothing of now."""
    for minute in range(90):
        camera.at += timedelta(minutes=1)
        if minute < 10:
            camera.metrics.add("crops_dropped_total", 2, camera="nut", reason="lane_full")
        camera.metrics.add("crops_dropped_total", 5, camera="pond", reason="lane_full")
        found = camera.says()["dropped_crops_1h"]
        if minute == 30:
            assert found == 18, "what came before the first look is not known to be of the last hour"
    assert found == 0


def test_a_restarted_camera_process_still_gives_pictures(camera: Camera) -> None:
    """Its counter begins anew; fewer frames than before are frames all the same."""
    camera.runs(100)
    camera.frames = 0
    camera.runs(1)
    assert camera.says()["last_frame_age_s"] == 0.0
