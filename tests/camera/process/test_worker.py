"""What the process of a camera reports of itself while it watches."""

from __future__ import annotations

import io
import threading
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.motion.settings import SightSettings
from birdwatchd.camera.motion.sight import Sight
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.camera.process.worker import CameraWatch
from birdwatchd.flow import Stop
from birdwatchd.records import Blindness, CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings


def test_a_camera_says_that_it_sees_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spider that covers the lens is found out by nobody who looks at the frame rate."""
    quick = partial(Sight, SightSettings(average_s=0.4))
    monkeypatch.setattr("birdwatchd.camera.observer.Sight", quick)
    path = tmp_path / "cap.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for number in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((120, 160, 3), number % 3, np.uint8), "rgb24")
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode())
    sent = io.BytesIO()
    settings = CameraSettings(source=Source(str(path)), decode="cpu")
    watch = CameraWatch("cam", settings, Pipe(sent), Stop())
    thread = threading.Thread(target=watch.run)
    thread.start()
    thread.join(30)
    sent.seek(0)
    pipe, reports = Pipe(sent), []
    while (item := pipe.receive(CameraStatus)) is not None:
        reports.append(item)
    online = [report for report in reports if isinstance(report, CameraStatus) and report.state is CameraState.ONLINE]
    assert online[0].blind is None, "it has only begun to look"
    assert online[-1].blind is Blindness.DARK
    assert [report.blind for report in reports if isinstance(report, CameraStatus)][-1] is None, "it looks no longer"
