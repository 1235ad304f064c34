"""What is asked of a running station: alive, ready, and when each camera was last of use."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from birdwatchd.monitor.vitals import BEAT_PATIENCE_S, MOTION_AGE, Vitals
from birdwatchd.records import CameraState, CameraStatus, Rank, State, Verdict, Visit

AT = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
BIRD = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, ())
VISIT = Visit("v1", "nut", 1, AT, None, BIRD, 1, 1, None, "m@1")


class Clock:
    """A clock that a test moves; wall clock and monotonic clock move together."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return 500.0 + self.passed_s

    def utc_now(self) -> datetime:
        return AT + timedelta(seconds=self.passed_s)


def made(*cameras: str) -> tuple[Vitals, Clock]:
    clock = Clock()
    return Vitals(cameras, monotonic=clock.monotonic, utc_now=clock.utc_now), clock


def test_a_station_is_ready_when_the_model_is_loaded_and_every_camera_gave_a_picture() -> None:
    """A deployment that waits for `ready` must not go on while a camera has a wrong password."""
    vitals, _ = made("nut", "pond")
    assert len(vitals.not_ready()) == 3
    vitals.load("davit@1", "cpu")
    vitals.take_status(CameraStatus("nut", CameraState.ONLINE, AT))
    assert vitals.not_ready() == ["camera pond has given no picture since the start"]
    vitals.take_status(CameraStatus("pond", CameraState.ONLINE, AT))
    vitals.take_status(CameraStatus("nut", CameraState.OFFLINE, AT))
    assert vitals.not_ready() == [], "a camera that was seen and reboots does not undo it"
    vitals.stop()
    assert vitals.not_ready() == ["the daemon is stopping"]


def test_a_camera_that_was_switched_off_keeps_nobody_waiting() -> None:
    """Whoever switches a camera off over MQTT knows that it gives no picture."""
    vitals, _ = made("nut")
    vitals.load("davit@1", "cpu")
    vitals.take_status(CameraStatus("nut", CameraState.DISABLED, AT))
    assert vitals.not_ready() == []


def test_a_station_that_starts_is_healthy_and_one_whose_beat_stops_is_not() -> None:
    """A restart in the middle of a long download would begin it again for ever; a stage that hangs needs one."""
    vitals, clock = made("nut")
    clock.passed_s = 10 * BEAT_PATIENCE_S
    assert vitals.unhealthy() == ""
    vitals.beat()
    clock.passed_s += BEAT_PATIENCE_S - 1
    assert vitals.unhealthy() == ""
    clock.passed_s += 2
    assert vitals.unhealthy() == "a stage has given no sign of life for 121 s"


def test_ages_of_frame_and_motion_go_on_while_a_camera_is_silent() -> None:
    """A frozen number looks like a camera that works."""
    vitals, clock = made("nut")
    assert vitals.ages_s("nut") == {}
    online = CameraStatus("nut", CameraState.ONLINE, AT, frames=10, extra=((MOTION_AGE, 4.0),))
    vitals.take_status(online)
    clock.passed_s = 3.0
    vitals.take_status(replace(online, extra=((MOTION_AGE, 7.0),)))  # no new frame
    vitals.take_status(CameraStatus("nut", CameraState.OFFLINE, AT))
    clock.passed_s = 5.0
    assert vitals.ages_s("nut") == {"frame": 5.0, "motion": 9.0}
    assert vitals.state_of("nut") is CameraState.OFFLINE


def test_the_last_bird_is_the_last_that_was_one() -> None:
    """A leaf that was rejected is no bird, and a bird that sits there is not minutes ago."""
    vitals, clock = made("nut")
    vitals.take_visit(VISIT)
    clock.passed_s = 60.0
    assert vitals.ages_s("nut") == {"visit": 0.0}
    vitals.take_visit(replace(VISIT, revision=2, end=AT + timedelta(seconds=40)))
    assert vitals.ages_s("nut") == {"visit": 20.0}
    leaf = replace(VISIT, visit_id="v2", start=AT + timedelta(seconds=50), verdict=replace(BIRD, state=State.REJECTED))
    vitals.take_visit(leaf)
    assert vitals.ages_s("nut") == {"visit": 20.0}
