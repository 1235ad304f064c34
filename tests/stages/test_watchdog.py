"""Who stands still is named, with the place where it stands, before systemd restarts the daemon."""

from __future__ import annotations

import logging
import threading

import pytest

from birdwatchd.records import CameraState
from birdwatchd.stages.watchdog import STUCK_S, Watchdog, standing_at, status_line


class Beats:
    """Stages that beat when the test says so, watched every half second."""

    def __init__(self, *names: str) -> None:
        self.now_s = 1000.0
        self.watchdog = Watchdog(self.now_s)
        self.beat_s = dict.fromkeys(names, self.now_s)
        for name in names:
            self.watchdog.watch(name, lambda name=name: self.beat_s[name], STUCK_S)  # type: ignore[misc]

    def pass_s(self, seconds: float, *but: str) -> None:
        """Let time pass; all beat but these."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.5
            self.beat_s |= {name: self.now_s for name in self.beat_s if name not in but}
            self.watchdog.look(self.now_s)

    @property
    def healthy(self) -> bool:
        return self.watchdog.healthy(self.now_s)


def test_a_stage_that_stands_still_is_named_once_and_so_is_that_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """`it was restarted last night` helps nobody; `record stood still, in fsync` finds the bad card."""
    caplog.set_level(logging.INFO)
    beats = Beats("classify", "record")
    beats.pass_s(STUCK_S - 1, "record")
    assert beats.healthy
    assert caplog.records == []
    beats.pass_s(20, "record")
    assert not beats.healthy
    assert beats.watchdog.stuck == ("record",)
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.startswith("record has stood still for 90 s, at ")
    beats.pass_s(1)
    assert beats.healthy
    assert beats.watchdog.stuck == ()
    assert caplog.records[-1].getMessage() == "record goes on again after 110 s"


def test_where_a_thread_stands_is_said_by_file_line_and_function() -> None:
    """The log of a station far away is all there is to find the fault with."""
    go_on, there = threading.Event(), threading.Event()

    def wait_in_vain() -> None:
        there.set()
        go_on.wait(60)

    thread = threading.Thread(target=wait_in_vain, name="channel phone")
    thread.start()
    assert there.wait(10)
    where = standing_at("channel phone")
    go_on.set()
    thread.join()
    assert "test_watchdog.py:" in where
    assert "wait_in_vain" in where
    assert where.index("wait_in_vain") < where.rindex(" wait")  # the innermost last
    assert standing_at("channel phone") == "its end: the thread is gone"


def test_a_machine_that_slept_is_not_taken_for_a_stage_that_stands(caplog: pytest.LogCaptureFixture) -> None:
    """After a pause of the virtual machine nobody has beaten for an hour, and all is well."""
    beats = Beats("record")
    beats.pass_s(5)
    beats.now_s += 3600
    beats.watchdog.look(beats.now_s)
    beats.pass_s(5)
    assert beats.healthy
    assert caplog.records == []


def test_a_main_thread_that_looks_no_more_starves_the_watchdog() -> None:
    """Otherwise nobody would notice that nobody watches."""
    beats = Beats("record")
    beats.pass_s(5)
    beats.now_s += STUCK_S + 1
    assert not beats.healthy


def test_the_status_says_what_is_not_as_it_should_be() -> None:
    """`systemctl status` is the first thing that anybody types."""
    online, offline, disabled = CameraState.ONLINE, CameraState.OFFLINE, CameraState.DISABLED
    assert status_line({"nut": online}, broker=None, stuck=()) == "watching 1 of 1 cameras"
    cameras = {"nut": online, "pond": offline, "shed": disabled}
    assert status_line(cameras, broker=False, stuck=("record", "channel phone")) == (
        "STANDS STILL: record, channel phone; watching 1 of 2 cameras; not online: pond; no connection to the broker"
    )
    assert status_line(cameras, broker=True, stuck=()) == "watching 1 of 2 cameras; not online: pond"
