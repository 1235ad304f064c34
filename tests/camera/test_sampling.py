"""Which frames an observer is shown: the rate that the settings allow, and nothing that is late."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.sampling import FrameSampler

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def taken(max_fps: float, frames: Iterable[tuple[float, float]]) -> list[bool]:
    """Which of these frames (second and lateness, seconds) are taken."""
    sampler = FrameSampler(max_fps, LoadShedder())
    return [sampler.takes(DecodedFrame(None, START + timedelta(seconds=s), s, lag_s)) for s, lag_s in frames]


@pytest.mark.parametrize(("fps", "share"), [(30.0, 0.5), (15.0, 1.0), (16.5, 1.0), (12.0, 1.0)])
def test_a_camera_gives_as_many_frames_as_are_allowed(fps: float, share: float) -> None:
    """A camera that sends a little more than `max_fps` must not lose every second frame to it."""
    kept = taken(15.0, [(n / fps, 0.0) for n in range(300)])
    assert sum(kept) == round(300 * share)


def test_a_late_camera_is_looked_at_again_only_when_it_is_in_time() -> None:
    """Without two limits, a machine that is a little too small would look at each frame as it becomes late again."""
    lags = [0.2, 0.6, 0.8, 0.6, 0.4, 0.2, 0.6]
    assert taken(15.0, [(n / 10, lag_s) for n, lag_s in enumerate(lags)]) == [
        True,
        True,
        False,
        False,
        False,
        True,
        True,
    ]


def test_a_clock_that_is_set_back_does_not_stop_the_watching() -> None:
    """The camera's clock gets the time from the network an hour after it was switched on."""
    assert taken(15.0, [(3600.0, 0.0), (10.0, 0.0), (10.01, 0.0), (10.1, 0.0)]) == [True, True, False, True]
