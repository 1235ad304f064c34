"""A camera's current picture, from its own process to a browser: the real daemon, its page, and a camera that plays."""

from __future__ import annotations

import io
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from PIL import Image

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME
from tests.support.peers import Birdwatchd, free_port, wait_for

pytestmark = pytest.mark.slow


def got(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status), answer.read()
    except HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[tuple[Birdwatchd, str]]:
    film, port = tmp_path / "film.mp4", free_port()
    birds = (ScheduledVisit("Great tit", 4.0, 300.0, perch=1),)
    write_clip(film, Scene(SceneSpec(5, 800, 450, 8), birds), 0.0, 60.0)
    masked = {"source": str(film), "min_bird": 16, "mask": [[[0, 0], [0.4, 0], [0.4, 0.5], [0, 0.5]]]}
    cameras = {"perch": masked, "private": {"source": str(film), "min_bird": 16, "store": "nothing"}}
    daemon = Birdwatchd(tmp_path, cameras=cameras, web={"bind": f"127.0.0.1:{port}"})
    daemon.start()
    try:
        daemon.wait_for_log("camera perch: online")
        yield daemon, f"http://127.0.0.1:{port}"
    finally:
        daemon.kill()


def test_a_camera_is_looked_at_through_the_page(station: tuple[Birdwatchd, str]) -> None:
    """A bird is followed in the picture, the mask is black, and it comes back when the camera's process dies."""
    daemon, url = station
    wait_for(lambda: got(f"{url}/cameras/perch/still.jpg")[0] == 200, "the picture", 60)
    wait_for(lambda: b'rect class="bird"' in got(f"{url}/cameras/perch/now")[1], "the bird", 60)
    shown = Image.open(io.BytesIO(got(f"{url}/cameras/perch/still.jpg")[1]))
    assert shown.size == (640, 360)
    assert max(shown.convert("L").crop((0, 0, 252, 176)).tobytes()) <= 12, "black, but for what JPEG makes of black"
    status, said = got(f"{url}/cameras/private/still.jpg")
    assert (status, b"store: nothing" in said) == (404, True)
    wait_for(lambda: b'src="/cameras/perch/still.jpg"' in got(f"{url}/")[1], "the picture on the front", 60)
    assert b'src="/cameras/perch/still.jpg"' in got(f"{url}/health")[1]
    assert b'src="/cameras/private/still.jpg"' not in got(f"{url}/")[1]
    assert not list(daemon.home.rglob("*still*")), "nobody keeps it"

    number = re.search(rb"still\.jpg\?n=(\d+)", got(f"{url}/cameras/perch/now")[1])
    assert number
    daemon.cameras()["perch"].send_signal(signal.SIGKILL)
    time.sleep(1)
    renewed = lambda: re.search(rb"still\.jpg\?n=(\d+)", got(f"{url}/cameras/perch/now")[1])  # noqa: E731
    wait_for(lambda: (now := renewed()) and int(now[1]) > int(number[1]) + 1, "pictures of the new process", 60)
    assert daemon.stop()[0] == 0
    assert not (daemon.home / LIVE_SOCKET_NAME).exists()
    assert "nobody asked for" not in daemon.log
    assert "Traceback" not in daemon.log
