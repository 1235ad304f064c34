"""Clips of visits: what the camera sent, put into a file that a browser plays, and never at the cost of a visit."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import PACKET_COST, Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.clips.mp4 import PLAYABLE
from birdwatchd.camera.clips.recorder import SILENT_S, ClipRecorder, ClipSettings, FinishedClip, VisitClips
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraStatus, Evidence, clip_path, new_visit_id
from birdwatchd.settings.cameras import CameraSettings

FPS = 12
SECONDS = 12


def film(path: Path, codec: str, *, b_frames: int = 0) -> None:
    """Twelve seconds of noise that moves, a key frame every two."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = 320, 180
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 2 * FPS
        stream.codec_context.max_b_frames = b_frames
        if codec == "libx265":
            stream.options = {"x265-params": f"bframes={b_frames}:log-level=none"}
        if codec == "libsvtav1":
            stream.options = {"preset": "12", "svtav1-params": "lookahead=0:pred-struct=1"}
        rng = np.random.default_rng(1)
        ground = rng.integers(0, 256, (180, 640), np.uint8)
        for index in range(SECONDS * FPS):
            grey = np.ascontiguousarray(ground[:, index : index + 320])
            picture = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


class Camera:
    """A camera that has sent its packets, or sends them when told; and the clips of it."""

    def __init__(self, path: Path, home: Path, *, ring_bytes: int = 2**26, max_s: float = 600.0) -> None:
        settings = CameraSettings(source=Source(str(path)))
        self.pictures: list[tuple[datetime, bytes]] = []
        self.packets: list[Packet] = []
        with Stream(settings.source, settings, lambda: datetime.now(UTC)) as stream:
            for frame in stream.frames(keep=self.packets.append):
                self.pictures.append((frame.at, np.ascontiguousarray(frame.luma).tobytes()))
        self.began = self.pictures[0][0]
        self.now = self.began
        self.home, self.ring, self.said = home, Ring(ring_bytes), list[str]()
        self.clips = ClipRecorder(
            "cam", ClipSettings(1.0, 1.0, max_s), home, self.ring, lambda: self.now, self.said.append
        )
        self._sent = 0

    def at(self, second: float) -> datetime:
        return self.began + timedelta(seconds=second)

    def send(self, until_s: float) -> None:
        """Send the packets that are due."""
        self.now = self.at(until_s)
        while self._sent < len(self.packets) and self.packets[self._sent].at <= self.now:
            self.ring.append(self.packets[self._sent])
            self._sent += 1

    def visit(self, start_s: float, end_s: float, number: int = 0) -> str:
        """A visit that is known of only when it is over."""
        visit_id = new_visit_id(self.at(start_s), number)
        self.clips.begin(visit_id, self.at(start_s))
        self.clips.end(visit_id, self.at(end_s))
        return visit_id

    def files(self) -> list[str]:
        media = self.home / "media"
        return [path.name for path in media.rglob("*") if path.is_file()] if media.is_dir() else []


@pytest.fixture(
    params=[
        ("libx264", "mp4", 0),
        ("libx264", "ts", 0),
        ("libx264", "ts", 2),
        ("libx265", "mp4", 0),
        ("libx265", "ts", 2),
        ("libsvtav1", "mp4", 0),
    ],
    ids=lambda p: "-".join(map(str, p)),
)
def camera(tmp_path: Path, request: pytest.FixtureRequest) -> Camera:
    codec, suffix, b_frames = request.param
    path = tmp_path / f"film.{suffix}"
    film(path, codec, b_frames=b_frames)
    return Camera(path, tmp_path / "home")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    film(path, "libx264")
    return path


def test_a_clip_shows_what_the_camera_sent_and_plays_in_a_browser(camera: Camera) -> None:
    """It begins with the key frame before the pre-roll, ends after the post-roll, and no picture is altered."""
    camera.send(SECONDS)
    visit_id = camera.visit(5.5, 7.0)
    camera.now += timedelta(seconds=SILENT_S + 9)
    camera.clips.run_once()
    (finished,) = camera.clips.finished()
    assert finished == FinishedClip(visit_id, clip_path("cam", visit_id), cut=False)
    assert camera.files() == [f"{visit_id}.mp4"]
    assert finished.path is not None
    path = camera.home / finished.path
    content = path.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # a browser can begin at once
    seen, stamps = [], []
    with av.open(str(path)) as container:
        began = datetime.fromisoformat(container.metadata["creation_time"])  # so that pictures are found in it
        assert abs((began - camera.at(4.0)).total_seconds()) <= 0.5
        stream = container.streams.video[0]
        assert stream.codec_context.codec_tag == PLAYABLE[stream.codec_context.codec.canonical_name]
        assert stream.codec_context.extradata[0] in (0x01, 0x81)  # avcC, hvcC, av1C; never start codes
        for packet in container.demux(stream):
            if packet.size:
                stamps.append((packet.dts, packet.pts))
            seen += [(float(f.time), np.ascontiguousarray(f.to_ndarray()[:180]).tobytes()) for f in packet.decode()]
    assert min(pts for _, pts in stamps) == 0
    assert all(before[0] < after[0] for before, after in pairwise(stamps))
    assert all(pts >= dts for dts, pts in stamps)
    sent = {round((at - camera.at(4.0)).total_seconds() * FPS): luma for at, luma in camera.pictures}
    shown = {round(second * FPS): luma for second, luma in seen}
    assert all(second * FPS == pytest.approx(round(second * FPS), abs=0.02) for second, _ in seen)
    assert shown == {index: sent[index] for index in shown}
    assert set(range(48)) <= set(shown) <= set(range(48 + 5))  # where B-frames are held back it ends a little later


def test_a_visit_longer_than_the_ring_is_written_while_it_lasts(plain: Path, tmp_path: Path) -> None:
    """An owl sits there for an hour; memory holds some seconds."""
    whole = sum(len(packet.data) + PACKET_COST for packet in Camera(plain, tmp_path / "home").packets)
    camera = Camera(plain, tmp_path / "home", ring_bytes=whole // 3)
    camera.send(3.0)
    visit_id = new_visit_id(camera.at(1.0))
    camera.clips.begin(visit_id, camera.at(1.0))
    for second in range(3, SECONDS):
        camera.send(second)
        camera.clips.run_once()
    camera.clips.end(visit_id, camera.at(10.0))
    camera.send(SECONDS)
    camera.clips.run_once()
    (finished,) = camera.clips.finished()
    assert not finished.cut
    with av.open(str(camera.home / str(finished.path))) as container:
        assert 11 * FPS <= sum(1 for _ in container.decode(video=0)) <= 11 * FPS + 3


def test_a_clip_is_at_most_so_long(plain: Path, tmp_path: Path) -> None:
    """A nest in the picture must not fill the disk with one file; the row says that the clip is cut."""
    camera = Camera(plain, tmp_path / "home", max_s=5.0)
    camera.send(SECONDS)
    camera.visit(2.0, 11.0)
    camera.clips.run_once()
    (finished,) = camera.clips.finished()
    assert finished.cut
    with av.open(str(camera.home / str(finished.path))) as container:
        assert float(container.duration / 1e6) == pytest.approx(5.0, abs=0.2)


def test_a_stream_that_breaks_off_ends_the_clip(plain: Path, tmp_path: Path) -> None:
    """What follows a reconnection does not follow on; what there is may hold the bird."""
    camera = Camera(plain, tmp_path / "home")
    camera.send(6.0)
    visit_id = new_visit_id(camera.at(3.0))
    camera.clips.begin(visit_id, camera.at(3.0))
    camera.clips.run_once()
    camera.ring.clear()
    camera.send(9.0)
    camera.clips.run_once()
    assert camera.clips.finished() == [FinishedClip(visit_id, clip_path("cam", visit_id), cut=True)]


def test_a_codec_that_browsers_do_not_play_gives_no_clip_and_one_reason(tmp_path: Path) -> None:
    """MJPEG in MP4 plays nowhere; silence would look like a fault, and a line per visit like an alarm."""
    path = tmp_path / "film.mkv"
    film(path, "mjpeg")
    camera = Camera(path, tmp_path / "home")
    camera.send(SECONDS)
    for number in range(3):
        camera.visit(2.0 + number, 5.0 + number, number)
        camera.clips.run_once()
    assert [clip.path for clip in camera.clips.finished()] == [None] * 3
    assert set(camera.said) == {"no clips: browsers do not play mjpeg; let the camera send H.264 or H.265"}
    assert camera.files() == []


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 20 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_the_clip_and_nothing_else(plain: Path, tmp_path: Path, small_disk: None) -> None:
    """Visits matter more than videos; no half file may be left, and the reason is always the same line."""
    camera = Camera(plain, tmp_path / "home")
    camera.send(SECONDS)
    for number in range(2):
        camera.visit(3.0, 8.0, number)
        camera.clips.run_once()
    assert [clip.path for clip in camera.clips.finished()] == [None, None]
    assert camera.files() == []
    assert len(set(camera.said)) == 1
    assert camera.said[0].startswith("no clips: ")
    assert "cannot be written" in camera.said[0]


def test_stopping_completes_what_there_is(plain: Path, tmp_path: Path) -> None:
    """The daemon is restarted in mid-visit; the seconds on disk are kept, and no thread stays behind."""
    camera = Camera(plain, tmp_path / "home")
    camera.send(6.0)
    visit_id = new_visit_id(camera.at(3.0))
    writer = threading.Thread(target=camera.clips.run)
    writer.start()
    camera.clips.begin(visit_id, camera.at(3.0))
    camera.clips.end(visit_id, camera.at(6.0))
    camera.clips.close()
    writer.join(10)
    assert not writer.is_alive()
    assert [clip.path for clip in camera.clips.finished()] == [clip_path("cam", visit_id)]


def test_a_clip_is_told_of_once_and_only_after_the_end(plain: Path, tmp_path: Path) -> None:
    """The revision after the last says the same and names the clip; before the end it would be taken for the end."""
    camera = Camera(plain, tmp_path / "home", max_s=3.0)
    camera.send(SECONDS)
    visits = VisitClips(camera.clips)
    visit_id, start = new_visit_id(camera.at(3.0)), camera.at(3.0)
    first = Evidence(visit_id, "cam", 1, start, None, start, (), 1)
    visits.follow(first)
    camera.clips.run_once()  # the clip is as long as it may be
    assert visits.take_revisions() == []
    last = replace(first, revision=2, end=camera.at(9.0), last_seen=camera.at(9.0))
    visits.follow(last)
    assert visits.take_revisions() == [replace(last, revision=3, clip=clip_path("cam", visit_id), clip_cut=True)]
    assert visits.take_revisions() == []


def test_a_camera_process_keeps_a_clip_of_a_bird(tmp_path: Path) -> None:
    """All of it together: a bird comes and goes, and the last that is said of it names a video of it."""
    path = tmp_path / "feeder.mp4"
    write_clip(path, Scene(SceneSpec(3, 640, 360, 12), (ScheduledVisit("Great tit", 4.0, 7.0, perch=1),)), 0.0, 12.0)
    home, metrics, statuses = tmp_path / "home", Metrics(), list[CameraStatus]()
    mailbox = Mailbox(metrics)
    settings = CameraSettings(source=Source(str(path)), min_bird=16, clips=True, post_roll_s=1.0)
    CameraProcess("cam", settings, mailbox, metrics, statuses.append, home=home).run(Stop())
    evidence = mailbox.take(100, 0.0)
    assert evidence
    assert len({item.visit_id for item in evidence}) == 1
    assert [item.clip is not None for item in evidence] == [False] * (len(evidence) - 1) + [True]
    told = evidence[-1]
    assert told.end is not None
    assert not told.clip_cut
    with av.open(str(home / str(told.clip))) as container:
        length = container.duration / 1e6
    assert (told.end - told.start).total_seconds() + 3.5 < length < 12.0
    assert [status.notice for status in statuses if status.notice] == []
