"""Cameras as people have them: each test is a report of somebody whose camera did not do what a standard says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.sampling import FrameSampler
from birdwatchd.settings.cameras import CameraSettings
from tests.support.rtsp_camera import RtspCamera


def now() -> datetime:
    return datetime.now(UTC)


def watched(address: str, frames: int, **fields: Any) -> list[tuple[Frame, bool]]:
    """The first frames of a camera, each with whether an observer would be shown it."""
    settings = CameraSettings(source=Source(address), **{"max_fps": 60.0, "open_timeout_s": 5.0} | fields)
    shedder = LoadShedder()
    sampler = FrameSampler(settings.max_fps, shedder)
    found: list[tuple[Frame, bool]] = []
    with Stream(settings.source, settings, now, shedder=shedder) as stream:
        for frame in stream.frames():
            found.append((frame, sampler.takes(frame)))
            if len(found) == frames:
                break
    return found


def test_a_camera_that_stamps_faster_than_it_sends_is_looked_at_in_every_frame() -> None:
    """My camera says 25 frames a second and delivers 21. Only every eighth was looked at, and nobody said so."""
    with RtspCamera(stamped_fps=60, sent_fps=30) as camera:
        frames = watched(camera.url, 75)
    assert all(shown for _, shown in frames[20:])  # those before were sent while it was being opened
    assert max(frame.lag_s for frame, _ in frames) < 0.5


def test_a_camera_whose_stamps_stand_still_is_looked_at() -> None:
    """After a reboot my doorbell stamps every picture alike until it has the time."""
    with RtspCamera(stamped_fps=0, sent_fps=30) as camera:
        frames = watched(camera.url, 60, open_timeout_s=0.5)
    assert sum(shown for _, shown in frames[-30:]) >= 28
