"""A live picture is made only while somebody looks, shows nothing that is masked, and may be lied about by nobody."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.live_view import MOST_SHOWN
from birdwatchd.camera.process.live_views import MOST_BOXES, MOST_JPEG, LiveViews, jpeg_size
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.camera.process.wire import MAX_HEADER, Pipe, WireError, encode
from birdwatchd.camera.process.worker import CameraWatch
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Box, CameraStatus, Evidence, LiveView
from birdwatchd.settings.cameras import CameraSettings
from tests.support.peers import wait_for


def jpeg(width: int = 64, height: int = 36, **options: Any) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(written, "JPEG", **options)
    return written.getvalue()


VIEW = LiveView(
    "cam",
    jpeg(),
    64,
    36,
    "watching",
    (Box(0.1, 0.2, 0.3, 0.4),),
    ((Box(0.5, 0.5, 0.1, 0.1), "sway"),),
    ((Box(0.1, 0.2, 0.3, 0.4), True),),
    (0.125, 0.0, 0.75, 1.0),
)


def received(message: bytes) -> object:
    return Pipe(io.BytesIO(message)).receive(Evidence, CameraStatus, LiveView)


def changed(changes: dict[str, object], body: bytes | None = None) -> bytes:
    """The message of `VIEW` with other values in its header."""
    whole = encode(VIEW)
    _, head = struct.unpack(">II", whole[:8])
    header = json.loads(whole[8 : 8 + head]) | changes
    text = json.dumps(header).encode()
    rest = whole[8 + head :] if body is None else body
    return struct.pack(">II", len(text) + len(rest), len(text)) + text + rest


def test_a_live_view_crosses_the_wire_as_it_is() -> None:
    """What a person sees drawn over a picture is what the gate saw in it."""
    assert received(encode(VIEW)) == VIEW


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({}, b""),
        ({}, b"GIF89a" + bytes(40)),
        ({}, b"<svg onload='alert(1)'/>"),
        ({}, jpeg()[:-2]),
        ({}, b"\xff\xd8\xff\xd9"),
        ({}, jpeg(65)),
        ({}, jpeg(4000)),
        ({"width": 4000}, jpeg(4000)),
        ({"width": 0}, None),
        ({}, jpeg()[:-2] + bytes(MOST_JPEG) + b"\xff\xd9"),
        ({"state": "<script>"}, None),
        ({"regions": [[0, 0, 2, 1]]}, None),
        ({"regions": [[0, 0, 1]]}, None),
        ({"regions": [["0", 0, 1, 1]]}, None),
        ({"regions": [[0, 0, 1, float("nan")]]}, None),
        ({"regions": [[0, 0, 1, 1]] * (MOST_BOXES + 1)}, None),
        ({"regions": 7}, None),
        ({"ignored": [[[0, 0, 1, 1], "x" * 65]]}, None),
        ({"tracks": [[0, 0, 1, 1]]}, None),
        ({"part": [0, 0, 0, 1]}, None),
        ({"part": [0, 0, 1e9, 1]}, None),
        ({"part": []}, None),
    ],
)
def test_what_no_honest_process_says_is_refused(changes: dict[str, object], body: bytes | None) -> None:
    """Its bytes are shown in the browser of whoever owns the station."""
    with pytest.raises(WireError, match="cannot be read"):
        received(changed(changes, body))


def test_a_word_of_a_stranger_is_one_plain_line() -> None:
    """It is drawn as text, and must not break the line that it stands in."""
    view = received(changed({"ignored": [[[0, 0, 1, 1], "a\nb\x1b[2J"]]}))
    assert isinstance(view, LiveView)
    assert view.ignored == ((Box(0, 0, 1, 1), "a b [2J"),)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"exif": bytes(300)}])
def test_the_size_of_a_jpeg_is_read_without_decoding_it(options: dict[str, Any]) -> None:
    """The main process decodes nothing that a camera's process made."""
    assert jpeg_size(jpeg(320, 200, **options)) == (320, 200)


def test_as_many_boxes_are_sent_as_may_be() -> None:
    """A bush in a storm must not end the process of its camera."""
    assert MOST_SHOWN <= MOST_BOXES
    many = replace(VIEW, regions=(Box(0, 0, 1, 1),) * MOST_SHOWN, tracks=((Box(0, 0, 1, 1), False),) * MOST_SHOWN)
    assert received(encode(many)) == many
    assert len(encode(many)) < MAX_HEADER


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_picture_is_asked_for_only_while_somebody_looks_and_one_at_a_time() -> None:
    """A station that nobody looks at pays nothing; a hundred tabs cost as much as one."""
    clock = Clock()
    views = LiveViews(clock, allowed=True)
    assert not views.order_due()
    assert views.look() is None
    views.look()
    assert (views.order_due(), views.order_due()) == (True, False)
    assert views.take(VIEW)
    clock.now_s += 0.3
    live = views.look()
    assert live is not None
    assert (live.view, live.number, round(live.age_s, 3)) == (VIEW, 1, 0.3)
    assert not views.order_due(), "it is young enough for everybody"
    clock.now_s += 1.0
    views.look()
    assert views.order_due()
    views.begin()  # the process died before it answered
    assert views.order_due()


def test_what_is_not_allowed_is_neither_asked_for_nor_taken() -> None:
    """`store: nothing` means that nobody sees a picture."""
    views = LiveViews(Clock(), allowed=False)
    assert views.look() is None
    assert not views.order_due()
    assert not views.take(VIEW)


def test_a_camera_that_is_switched_off_shows_nothing() -> None:
    """Who switches it off because guests are in the garden means it."""
    camera = CameraProcess("cam", CameraSettings(source=Source("x.mp4")), Mailbox(Metrics()), Metrics(), lambda _: None)
    camera.live.look()
    assert camera.live.order_due()
    assert camera.live.take(VIEW)
    camera.switch(False)
    assert camera.live.look() is None


def test_a_picture_that_nobody_asked_for_ends_its_process() -> None:
    """So a process that was taken over cannot send more than one picture for each question."""

    class Saying:
        def receive(self, *kinds: type) -> object:
            return VIEW

    camera = CameraProcess("cam", CameraSettings(source=Source("x.mp4")), Mailbox(Metrics()), Metrics(), lambda _: None)
    with pytest.raises(WireError, match="nobody asked for"):
        camera._read(Saying(), Stop())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "tit.mp4"
    visit = ScheduledVisit("Great tit", 3.0, 60.0, perch=1)
    write_clip(path, Scene(SceneSpec(5, 800, 450, 10), (visit,)), 0.0, 12.0)
    return path


def looked_at(film: Path, **settings: Any) -> tuple[list[LiveView], int]:
    """The live views of a camera that somebody looks at all the time, and how many things it said in all."""
    given = {"source": Source(str(film)), "decode": "cpu", "min_bird": 16} | settings
    sent, stop = io.BytesIO(), Stop()
    watch = CameraWatch("cam", CameraSettings.model_validate(given), Pipe(sent), stop)
    thread = threading.Thread(target=watch.run)
    thread.start()
    until_s = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until_s:
        watch.live_asked = True
        time.sleep(0.1)
    thread.join(10)
    sent.seek(0)
    pipe, views, said = Pipe(sent), [], 0
    while (item := pipe.receive(Evidence, CameraStatus, LiveView)) is not None:
        said += 1
        if isinstance(item, LiveView):
            views.append(item)
    return views, said


def test_a_question_that_comes_while_a_picture_is_sent_is_answered_too() -> None:
    """It was forgotten, and the page waited for a picture until the camera's process ended."""
    sent: list[object] = []

    class Asking:
        def send(self, item: object) -> None:
            sent.append(item)
            watch.live_asked = True  # the main process has the picture, and somebody looks again

    settings = CameraSettings(source=Source("x.mp4"), decode="cpu")
    watch = CameraWatch("cam", settings, Asking(), Stop())  # type: ignore[arg-type]
    picture = av.VideoFrame.from_ndarray(np.zeros((48, 64), np.uint8), format="gray")
    watch.live_asked = True
    watch._send_live(DecodedFrame(picture, datetime(2026, 5, 1, tzinfo=UTC), 0.0, 0.0).download())
    assert len(sent) == 1
    assert watch.live_asked


def pixels(view: LiveView) -> Any:
    return np.asarray(Image.open(io.BytesIO(view.jpeg)).convert("RGB"))


@pytest.mark.slow
def test_a_live_picture_shows_the_bird_and_nothing_that_is_masked(film: Path) -> None:
    """The neighbours' terrace is black in it as in every other picture."""
    corner = [[[0, 0], [0.4, 0], [0.4, 0.5], [0, 0.5]]]
    views, _ = looked_at(film, mask=corner)
    assert len(views) > 20
    for view in views:
        assert (view.width, view.height) == (640, 360)
        assert len(view.jpeg) < 120_000
        shown = pixels(view)
        assert shown[:176, :252].max() <= 12, "black, but for what JPEG makes of black"
        assert shown[200:, 300:].mean() > 40
    followed = [box for view in views for box, confirmed in view.tracks if confirmed]
    assert followed
    assert {view.state for view in views} == {"learning", "watching"}


@pytest.mark.slow
def test_a_camera_whose_pictures_are_not_kept_makes_none(film: Path) -> None:
    """The process itself does not make it, whoever asks."""
    views, said = looked_at(film, store="nothing")
    assert views == []
    assert said > 5


@pytest.mark.slow
def test_a_camera_process_sends_a_picture_when_one_is_looked_for(film: Path) -> None:
    """From a real process, through the wire, within a second or two of the first question."""
    settings = CameraSettings(source=Source(str(film)), decode="cpu", min_bird=16)
    camera = CameraProcess("cam", settings, Mailbox(Metrics()), Metrics(), lambda _: None)
    stop = Stop()
    thread = threading.Thread(target=camera.run, args=(stop,))
    thread.start()
    try:
        wait_for(camera.live.look, "a picture", 60)
        first = camera.live.look()
        wait_for(lambda: (now := camera.live.look()) and first and now.number > first.number, "the next one", 20)
    finally:
        stop.set("the test is over")
        thread.join(15)
