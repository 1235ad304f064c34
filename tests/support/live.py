"""The daemon's end of live pictures, without a camera: a picture for each question, as a camera's process sends it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PIL import Image

from birdwatchd.camera.process.live_views import LiveViews
from birdwatchd.flow import Stop
from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME, LocalSocket
from birdwatchd.records import Box, LiveView
from birdwatchd.stages.live import answer_live
from tests.support.peers import wait_for

JAY, LEAF = Box(0.25, 0.5, 0.1, 0.2), Box(0.8, 0.1, 0.05, 0.05)


def example_view(camera: str, number: int = 0, size: tuple[int, int] = (640, 360)) -> LiveView:
    """A grey picture whose brightness is its number, with a bird that is followed and a leaf."""
    written = io.BytesIO()
    Image.new("RGB", size, (number % 256,) * 3).save(written, "JPEG")
    leaf = ((LEAF, "sway"),)
    return LiveView(camera, written.getvalue(), *size, "watching", (JAY,), leaf, ((JAY, True),))


@contextmanager
def live_pictures(home: Path, cameras: Mapping[str, bool]) -> Iterator[dict[str, LiveViews]]:
    """A home whose daemon answers what its cameras show now.

    Args:
        cameras: those that are watched, and whether one gives pictures.
    """
    views = {camera: LiveViews(time.monotonic, allowed=True) for camera in cameras}
    stop = Stop()

    def give() -> None:
        number = 0
        while not stop.wait(0.02):
            for camera, gives in cameras.items():
                if gives and views[camera].order_due():
                    number += 1
                    views[camera].take(example_view(camera, number))

    socket = LocalSocket(home, {"live": partial(answer_live, views)}, LIVE_SOCKET_NAME)
    threads = [threading.Thread(target=give), threading.Thread(target=socket.run, args=(stop,))]
    for thread in threads:
        thread.start()
    wait_for((home / LIVE_SOCKET_NAME).exists, "the socket", 10)
    try:
        yield views
    finally:
        stop.set("the test is over")
        for thread in threads:
            thread.join(10)
