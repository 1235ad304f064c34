"""Cameras as people have them: each test is a report of somebody whose camera did not do what a standard says."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process import worker
from birdwatchd.camera.process.relay import Relay
from birdwatchd.camera.process.supervisor import probe_camera
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.camera.sampling import FrameSampler, SamplingSettings
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.errors import SourceError, SourceRefused, SourceUnreachable, SourceUnusable
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus, Evidence
from birdwatchd.settings.cameras import CameraSettings
from tests.support.http_camera import HttpCamera
from tests.support.peers import RtspServer
from tests.support.rtsp_camera import RtspCamera
from tests.support.stalls import Stalls


def now() -> datetime:
    return datetime.now(UTC)


def watched(address: str | Source, frames: int, **fields: Any) -> list[tuple[Frame, bool]]:
    """The first frames of a camera, each with whether an observer would be shown it."""
    source = address if isinstance(address, Source) else Source(address)
    settings = CameraSettings(source=source, **{"max_fps": 60.0, "open_timeout_s": 5.0} | fields)
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
    with RtspCamera(stamped_fps=60, sent_fps=30) as camera, Stalls() as stalls:
        frames = watched(camera.url, 75)
    shown = [shown for _, shown in frames[20:]]  # those before were sent while it was being opened
    assert len(shown) - sum(shown) <= 30 * stalls.seconds
    assert max(frame.lag_s for frame, _ in frames) < 0.5 + stalls.seconds
    assert sum(shown) > 0.9 * len(shown)


def test_a_camera_whose_stamps_stand_still_is_looked_at() -> None:
    """After a reboot my doorbell stamps every picture alike until it has the time."""
    with RtspCamera(stamped_fps=0, sent_fps=30) as camera:
        frames = watched(camera.url, 60, open_timeout_s=0.5)
    assert sum(shown for _, shown in frames[-30:]) >= 28


def test_a_first_key_frame_after_a_long_while_is_waited_for() -> None:
    """My camera sends a key frame every half minute and its SDP says nothing. "cannot be decoded; check the codec"."""
    late = RtspCamera(tells_parameters=False, first=1, gop=400, frames=400, sent_fps=300, stamped_fps=300)
    with late as camera:
        frames = watched(camera.url, 3, open_timeout_s=0.3, read_timeout_s=0.5)
    assert frames[0][0].av_frame.key_frame
    assert (frames[0][0].width, frames[0][0].height) == camera.size


def test_who_waits_for_a_key_frame_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute without a word is taken for a process that hangs, and it would be killed before the key frame."""
    monkeypatch.setattr(worker, "REPORT_WAITING_S", 0.2)
    late = RtspCamera(tells_parameters=False, first=1, gop=400, frames=400, sent_fps=300, stamped_fps=300)
    out, stop = io.BytesIO(), Stop()
    with late as camera:
        settings = CameraSettings(source=Source(camera.url), open_timeout_s=0.3)
        watch = worker.CameraWatch("nut", settings, Pipe(out), stop)
        threading.Timer(0.9, stop.set).start()
        watch.run()
    reports = [item for item in received(out) if isinstance(item, CameraStatus)]
    assert any(r.state is CameraState.STARTING and "key frame" in r.detail for r in reports)
    assert not any(r.state is CameraState.OFFLINE for r in reports)


def received(out: io.BytesIO) -> Iterator[object]:
    out.seek(0)
    pipe = Pipe(out)
    while (item := pipe.receive(CameraStatus, Evidence)) is not None:
        yield item


def through_relay(address: str, frames: int, **fields: Any) -> list[tuple[Frame, bool]]:
    """As `watched`, the way that a camera process takes."""
    settings = CameraSettings(source=Source(address), **fields)
    relay = Relay("nut", settings.source, settings)
    try:
        return watched(settings.source.through(relay.port), frames, **fields)
    finally:
        relay.close()


@pytest.mark.parametrize(  # libav itself, without a relay, tries the next transport only after a 461
    ("look", "refusal"),
    [(through_relay, "461 Unsupported transport"), (through_relay, "400 Bad"), (watched, "461 Unsupported transport")],
)
def test_a_camera_that_sends_over_udp_only_is_watched(look: Callable[..., Any], refusal: str) -> None:
    """My old IP camera knows no TCP: "Protocol not supported; is it on, and on the network?"."""
    with RtspCamera(transports=("udp",), refusal=refusal, sent_fps=200, stamped_fps=200) as camera:
        assert len(look(camera.url, 20)) == 20
        asked = [asked for asked in camera.asked if asked.startswith("SETUP")]
    assert asked[0].startswith("SETUP RTP/AVP/TCP")
    assert "client_port" in asked[1]


def test_a_camera_that_names_no_ports_for_udp_is_watched() -> None:
    """The server in my OpenIPC camera leaves out `server_port`, and other recorders give up."""
    with RtspCamera(transports=("udp",), names_ports=False, sent_fps=200, stamped_fps=200) as camera:
        assert len(through_relay(camera.url, 10)) == 10


@pytest.mark.parametrize("swaps", [2, 7])
def test_packets_that_a_network_swaps_damage_no_picture(swaps: int) -> None:
    """Over Wi-Fi and UDP my pictures have grey smears now and then; another viewer shows none."""
    settings: dict[str, Any] = {"sent_fps": 100, "stamped_fps": 100, "size": (640, 384), "frames": 40}
    with RtspCamera(**settings) as camera:
        clean = {frame.luma.tobytes() for frame, _ in through_relay(camera.url, 40)}
    with RtspCamera(transports=("udp",), swaps=swaps, **settings) as camera:
        swapped = through_relay(camera.url, 60)
    assert [frame.luma.tobytes() in clean for frame, _ in swapped] == [True] * 60


def test_udp_is_asked_for_at_once_where_it_is_set() -> None:
    """My camera says yes to TCP and then sends nothing."""
    with RtspCamera(sent_fps=200, stamped_fps=200) as camera:
        through_relay(camera.url, 10, transport="udp")
        assert not any("TCP" in asked for asked in camera.asked)


def test_a_transport_that_is_refused_is_said_to_be_that() -> None:
    """I was asked whether my camera is on. It is."""
    with RtspCamera(transports=("udp",)) as camera, pytest.raises(SourceUnreachable, match="set transport: auto"):
        through_relay(camera.url, 1, transport="tcp")


def test_a_camera_that_sends_multicast_only_says_what_to_switch_on() -> None:
    """My camera sends to a multicast group and to nobody else; I was told to set the transport that I had set."""
    with (
        RtspCamera(transports=()) as camera,
        pytest.raises(SourceUnreachable, match="allow unicast in the camera"),
    ):
        through_relay(camera.url, 1)
    assert [asked.split(";")[0] for asked in camera.asked if "SETUP" in asked] == [
        "SETUP RTP/AVP/TCP",
        "SETUP RTP/AVP",
    ]


def test_a_sandboxed_process_watches_a_real_server_that_knows_udp_only(tmp_path: Path) -> None:
    """GStreamer's server; the process itself may make no UDP socket."""
    write_clip(tmp_path / "clip.mp4", Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 3.0)
    server = RtspServer(tmp_path / "clip.mp4", transport="udp")
    server.start()
    try:
        status = probe_camera("nut", CameraSettings(source=Source(server.url)))
    finally:
        server.kill()
    assert (status.state, status.width, status.height) == (CameraState.ONLINE, 320, 180), status.detail


@pytest.mark.parametrize("look", [through_relay, watched])
def test_motion_jpeg_without_a_boundary_before_its_first_part_is_read(look: Callable[..., Any]) -> None:
    """My ESP32-CAM shows in every browser. "Invalid data found when processing input"."""
    with HttpCamera() as camera:
        frames = look(f"{camera.url}/esp32", 8)
    assert [frame.width for frame, _ in frames] == [160] * 8
    assert frames[-1][0].media_s < 3.0


def test_a_snapshot_address_is_asked_again_and_again() -> None:
    """My camera has no stream, only http://camera/snapshot.jpg. It was online for a moment each minute."""
    with HttpCamera() as camera:
        frames = watched(f"{camera.url}/snapshot", 5, poll_s=0.1)
        gaps = np.diff(camera.asked)
    assert len({frame.luma.tobytes() for frame, _ in frames}) == 5
    assert all(0.09 < gap < 0.3 for gap in gaps)
    assert CameraSettings(source=Source("http://camera/snapshot.jpg")).poll_s == "auto"


def test_a_snapshot_without_a_type_is_a_picture() -> None:
    """My server sends no Content-Type, and every browser shows it."""
    with HttpCamera() as camera:
        assert len(through_relay(f"{camera.url}/untyped", 3, poll_s=0.1)) == 3


def test_a_camera_that_is_busy_now_and_then_stays_online() -> None:
    """My Hikvision answers some requests for a snapshot with "Device Busy"."""
    with HttpCamera() as camera:
        frames = watched(f"{camera.url}/sometimes", 4, poll_s=0.1)
        assert len(camera.asked) >= 7
    assert [frame.width for frame, _ in frames] == [160] * 4


def test_a_camera_that_is_busy_for_ever_is_offline() -> None:
    """What is busy for longer than `read_timeout_s` is said."""
    with HttpCamera() as camera:
        settings = CameraSettings(source=Source(f"{camera.url}/snapshot"), read_timeout_s=0.2, poll_s=0.1)
        with Stream(settings.source, settings, now) as stream:
            frames = stream.frames()
            next(frames)
            camera.server.RequestHandlerClass.do_GET = lambda handler: handler.send_error(503)  # type: ignore[attr-defined]
            with pytest.raises(SourceUnreachable, match="a fault of its own"):
                list(frames)


def test_a_boundary_that_is_announced_with_its_hyphens_is_found() -> None:
    """My Panasonic announces `boundary=--myboundary` and sends that, not two hyphens more."""
    with HttpCamera() as camera:
        assert len(through_relay(f"{camera.url}/hyphens", 5)) == 5


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/page", SourceUnusable, "is it the address of a stream"),
        ("/busy", SourceUnreachable, "a fault of its own"),
        ("/nowhere", SourceRefused, "check the path"),
    ],
)
def test_what_is_refused_is_told_by_its_kind(path: str, error: type[SourceError], words: str) -> None:
    """Whatever was wrong, I was asked whether it is on, and on the network."""
    with HttpCamera() as camera, pytest.raises(error, match=words):
        watched(camera.url + path, 1)


@pytest.mark.parametrize("tells_parameters", [True, False])
def test_a_live_picture_is_turned_and_as_wide_as_it_is(tells_parameters: bool) -> None:
    """My recorder squeezes the picture of a camera that hangs on its side: half as wide, and lying."""
    squeezed = RtspCamera(aspect=2, tells_parameters=tells_parameters, sent_fps=200, stamped_fps=200)
    with squeezed as camera:
        settings = CameraSettings(source=Source(camera.url), rotate=90, crop=(0.0, 0.0, 1.0, 0.5))
        ring = Ring(2**22)
        with Stream(settings.source, settings, now) as stream:
            frames = [frame for frame, _ in zip(stream.frames(ring.append), range(15), strict=False)]
            assert stream.codec.shown_size == (96, 160)
        again = list(replay(ring, frames[5].at))
    assert (frames[-1].width, frames[-1].height) == (again[0].width, again[0].height) == (96, 160)
    rows = frames[-1].luma[:, 20:-20].mean(axis=1)
    assert rows.max() > 150 > np.median(rows)  # the upright bar lies


class MainStream:
    """The frames of a main stream, all there."""

    alive = True

    def __init__(self, frames: list[Frame]) -> None:
        self.frames, self.size = frames, (frames[0].width, frames[0].height)
        self.next = 0

    def read(self, since: datetime, until: datetime, *, all_of_them: bool = False) -> Iterator[Frame]:
        """Those from `since` to `until` that were not read yet."""
        while self.next < len(self.frames) and self.frames[self.next].at <= until:
            self.next += 1
            if self.frames[self.next - 1].at >= since:
                yield self.frames[self.next - 1]

    def release(self) -> None:
        """Nothing is held."""


def test_a_small_stream_that_shows_another_part_of_the_picture_costs_no_name(tmp_path: Path) -> None:
    """Alone, my main stream names the bird at 95 %. With the 4:3 sub stream, which cuts the sides, it was unknown."""
    path = tmp_path / "main.mp4"
    visit = ScheduledVisit("Great tit", 2.0, 4.0, perch=1)
    write_clip(path, Scene(SceneSpec(3, 640, 360, 12), (visit,)), 0.0, 5.0)
    settings = CameraSettings(source=Source(str(path)), gate_source=Source("sub"), min_bird=24)
    with Stream(settings.source, settings, now) as stream:
        main = list(stream.frames())
    observer = Observer("nut", settings, full=MainStream(main), sampling=SamplingSettings(quiet_fps=12.0))
    boxes, places = [], []
    for frame in main:
        luma = np.asarray(cv2.resize(frame.luma[:, :480], (320, 240), interpolation=cv2.INTER_AREA), np.uint8)
        cut = replace(frame, av_frame=av.VideoFrame.from_ndarray(luma, format="gray"), luma=luma, width=320, height=240)
        boxes += [moment.box for item in observer.process(cut) for moment in item.moments]
    alone = Observer("nut", CameraSettings(source=settings.source, min_bird=24), sampling=SamplingSettings())
    for frame in main:
        places += [moment.box for item in alone.process(frame) for moment in item.moments]
    assert boxes
    for box in boxes:
        assert max(box.iou(place) for place in places) > 0.5
