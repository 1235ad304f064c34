"""The past decoded once more is the same past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.settings.cameras import CameraSettings


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=[("libx264", "mp4"), ("libx264", "ts"), ("libx265", "mp4"), ("libx265", "ts")])
def clip(tmp_path: Path, request: pytest.FixtureRequest) -> CameraSettings:
    codec, suffix = request.param
    path = tmp_path / f"clip.{suffix}"
    visits = (ScheduledVisit("Great tit", 1.0, 4.0, perch=1),)
    write_clip(path, Scene(SceneSpec(3, 320, 180, 12), visits), 0.0, 5.0, codec)
    return CameraSettings(source=Source(str(path)))


def watched(settings: CameraSettings) -> tuple[Ring, list[tuple[datetime, float, bytes]]]:
    """The ring after the whole clip, and of each frame its time, second and brightness."""
    ring, seen = Ring(2**24), []
    with Stream(settings.source, settings, now) as stream:
        for frame in stream.frames(keep=ring.append):
            seen.append((frame.at, frame.media_s, np.ascontiguousarray(frame.luma).tobytes()))
    return ring, seen


def test_frames_of_the_past_are_the_same_as_they_were(clip: CameraSettings) -> None:
    """A bird is cut out of a frame decoded again by the place and time at which it was seen in the first one."""
    ring, seen = watched(clip)
    since = seen[20][0]
    again = [(frame.at, frame.media_s, np.ascontiguousarray(frame.luma).tobytes()) for frame in replay(ring, since)]
    assert len(seen) == 60
    assert again == seen[20:]


def test_looking_back_may_stop_at_any_moment(clip: CameraSettings) -> None:
    """Whoever has found the bird does not pay for the rest."""
    ring, seen = watched(clip)
    frames = replay(ring, seen[0][0])
    assert next(frames).at == seen[0][0]
    frames.close()  # a generator, as its callers know
    assert list(frames) == []


def test_an_empty_ring_has_no_past() -> None:
    """The camera has only just been opened."""
    assert list(replay(Ring(1000), now() - timedelta(seconds=3))) == []
