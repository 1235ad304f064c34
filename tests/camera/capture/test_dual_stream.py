"""Two streams of one camera: the small one is watched, the main one gives the pictures, and either can do without the
other."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import dropwhile, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from birdwatchd.address import Source
from birdwatchd.camera.capture.dual_stream import PAUSE_S, DualStream
from birdwatchd.camera.capture.feed import Feed
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.full_frames import OnDemandFrames
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import LATE_FRAME_S, LoadShedder
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit, schedule
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus, Evidence
from birdwatchd.seen_part import seen_part
from birdwatchd.settings.cameras import CameraSettings
from tests.support.stalls import Stalls

MAIN, SUB = (1280, 720), (480, 270)
START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def film(path: Path, size: tuple[int, int], visits: tuple[ScheduledVisit, ...], seconds: float, seed: int = 3) -> None:
    write_clip(path, Scene(SceneSpec(seed, *size, 12), visits), 0.0, seconds)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, tuple[ScheduledVisit, ...]]:
    """One scene as the two streams of a camera."""
    folder, visits = tmp_path_factory.mktemp("pair"), schedule(11, 40.0)
    main, sub = folder / "main.mp4", folder / "sub.mp4"
    film(main, MAIN, visits, 40.0)
    film(sub, SUB, visits, 40.0)
    return main, sub, visits


class CountedFrames(OnDemandFrames):
    """Knows how many packets it has decoded."""

    decoded = 0

    def _decoded(self, packet: Packet) -> list[Frame]:
        self.decoded += 1
        return super()._decoded(packet)


class Lockstep:
    """Both streams read in step: before each small picture, the main stream's packets up to its time."""

    def __init__(self, main: Path, sub: Path, *, skew_s: float = 0.0, main_until_s: float = 1e9) -> None:
        self.settings = CameraSettings(source=Source(str(main)), min_bird=32, gate_source=Source(str(sub)))
        self.ring = Ring(2**26)
        self.skew, self.main_until_s = timedelta(seconds=skew_s), main_until_s
        self.alive = True
        self.full = CountedFrames(self.ring, lambda: self.alive, turn_s=1e9)
        self.observer = Observer("cam", self.settings, media="cam", full=self.full, replay=partial(replay, self.ring))
        self.packets = 0

    def run(self) -> list[Evidence]:
        assert self.settings.gate_source is not None
        found: list[Evidence] = []
        with (
            Stream(self.settings.source, self.settings, lambda: START) as main,
            Stream(self.settings.gate_source, self.settings, lambda: START) as sub,
        ):
            packets = main.packets()
            waiting = next(packets, None)
            for frame in sub.frames():
                while waiting is not None and waiting.media_s <= frame.media_s + 1.0:
                    at = frame.at + timedelta(seconds=waiting.media_s - frame.media_s) + self.skew
                    self.alive = waiting.media_s < self.main_until_s
                    if self.alive:
                        self.ring.append(replace(waiting, at=at))
                        self.packets += 1
                    waiting = next(packets, None)
                found += self.observer.process(frame)
        return found + self.observer.finish()


def crops(evidence: list[Evidence]) -> dict[str, list[int]]:
    """Sides of each visit's crops, pixels."""
    sides: dict[str, list[int]] = {}
    for item in evidence:
        sides.setdefault(item.visit_id, []).extend(moment.crop.width for moment in item.moments)
    return sides


def test_every_bird_is_seen_small_and_cut_out_large(scene: tuple[Path, Path, tuple[ScheduledVisit, ...]]) -> None:
    """The promise of two streams: as many visits as with one, crops as large, and most of the main stream asleep."""
    main, sub, visits = scene
    both = Lockstep(main, sub)
    evidence = both.run()
    ended = sorted((item for item in evidence if item.end is not None), key=lambda item: item.start)
    assert len(ended) == len(visits) >= 3
    for truth, seen in zip(visits, ended, strict=True):
        assert seen.start_s == pytest.approx(truth.start_s, abs=0.7)
        assert seen.end_s == pytest.approx(truth.end_s, abs=0.7)
    for item in evidence:
        for moment in item.moments:
            side = max(moment.box.w * MAIN[0], moment.box.h * MAIN[1]) * 1.4
            part = seen_part(Image.open(io.BytesIO(moment.crop.jpeg)))
            assert min(side, 640) - 3 <= part.width <= 1.8 * side  # not much smaller than the bird was lately
            assert shows_a_bird(moment.crop.jpeg)
    assert all(crops(evidence).values())
    there_s = sum(visit.end_s - visit.start_s for visit in visits)
    assert both.full.decoded < both.packets
    assert both.full.decoded < 12 * (there_s + 3.5 * len(visits))


def shows_a_bird(jpeg: bytes) -> bool:
    """Whether the middle of a picture differs from its rim, as a bird before a lawn does."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(np.float32)  # type: ignore[union-attr]
    side = picture.shape[0]
    inner = picture[side // 3 : -side // 3, side // 3 : -side // 3].reshape(-1, 3)
    rim = np.concatenate([picture[: side // 16].reshape(-1, 3), picture[-side // 16 :].reshape(-1, 3)])
    return float(np.abs(inner.mean(0) - np.median(rim, 0)).max() + inner.std()) > 12


@pytest.mark.parametrize("skew_s", [-0.25, 0.25])
def test_clocks_of_the_streams_that_differ_do_not_cost_the_bird(
    scene: tuple[Path, Path, tuple[ScheduledVisit, ...]], skew_s: float
) -> None:
    """The main stream often comes a little later; the bird is then taken from where it is in that very picture."""
    main, sub, visits = scene
    evidence = Lockstep(main, sub, skew_s=skew_s).run()
    sides = crops(evidence)
    assert len(sides) == len(visits)
    assert all(sides.values())
    shown = [shows_a_bird(moment.crop.jpeg) for item in evidence for moment in item.moments]
    assert sum(shown) >= 0.9 * len(shown)


def test_without_the_main_stream_crops_come_from_the_small_one(
    scene: tuple[Path, Path, tuple[ScheduledVisit, ...]],
) -> None:
    """A small picture of the bird beats none."""
    main, sub, visits = scene
    evidence = Lockstep(main, sub, main_until_s=0.0).run()
    sides = crops(evidence)
    assert len(sides) == len(visits)
    assert all(sides.values())


def test_a_main_stream_that_stalls_in_mid_visit_leaves_no_visit_without_a_picture(tmp_path: Path) -> None:
    """It counts as alive for some seconds more, and gives nothing: the small stream's picture is kept in reserve."""
    main, sub = tmp_path / "main.mp4", tmp_path / "sub.mp4"
    visits = (ScheduledVisit("Great tit", 6.0, 8.0, perch=1),)
    film(main, MAIN, visits, 12.0)
    film(sub, SUB, visits, 12.0)
    both = Lockstep(main, sub, main_until_s=5.0)
    both.full = CountedFrames(both.ring, lambda: True)
    both.observer = Observer("cam", both.settings, media="cam", full=both.full)
    evidence = both.run()
    assert [len(sides) > 0 for sides in crops(evidence).values()] == [True]


def run_camera(**fields: object) -> tuple[list[Evidence], list[CameraStatus]]:
    """A whole camera process over files that play a camera."""
    metrics, statuses = Metrics(), list[CameraStatus]()
    mailbox = Mailbox(metrics)
    CameraProcess("cam", CameraSettings(**fields), mailbox, metrics, statuses.append).run(Stop())  # type: ignore[arg-type]
    return mailbox.take(1000, 0.0) or [], statuses


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    main, sub = folder / "main.mp4", folder / "sub.mp4"
    visits = (ScheduledVisit("Great tit", 5.0, 8.0, perch=1),)
    film(main, MAIN, visits, 12.0)
    film(sub, SUB, visits, 12.0)
    return main, sub


def test_a_camera_process_watches_two_streams(pair: tuple[Path, Path]) -> None:
    """All of it together, at a camera's pace."""
    main, sub = pair
    evidence, statuses = run_camera(source=Source(str(main)), gate_source=Source(str(sub)), min_bird=32)
    sides = crops(evidence)
    assert len(sides) == 1
    assert min(next(iter(sides.values()))) > 60, "at 480 pixels the bird is smaller than this"
    assert evidence[-1].end is not None
    online = [status for status in statuses if status.state is CameraState.ONLINE]
    assert {(status.width, status.height) for status in online[1:]} == {MAIN}
    assert {status.detail for status in online} == {""}


@pytest.mark.parametrize("lost", ["source", "gate_source"])
def test_either_stream_does_without_the_other(pair: tuple[Path, Path], lost: str) -> None:
    """A stream that cannot be had is said, with what does its work, and the bird is seen all the same."""
    broken = pair[0].with_name("broken.mp4")
    broken.write_bytes(pair[0].read_bytes()[:5000])
    sources = {"source": Source(str(pair[0])), "gate_source": Source(str(pair[1]))} | {lost: Source(str(broken))}
    evidence, statuses = run_camera(**sources, min_bird=32 if lost == "gate_source" else 12)
    assert all(crops(evidence).values())
    assert len(crops(evidence)) == 1
    details = [status.detail for status in statuses if status.state is CameraState.ONLINE]
    said = list(dropwhile(lambda detail: not detail, details))  # the first report may come before the other was tried
    assert len(details) - len(said) <= 1
    assert len(set(said)) == 1
    assert said[0].startswith(f"{lost} is lost, ")
    assert CameraState.OFFLINE not in {status.state for status in statuses}


def test_a_device_that_is_not_there_is_said_once_and_costs_no_picture(pair: tuple[Path, Path]) -> None:
    """The main stream's decoder is made anew for every bird; its failure is no news the second time."""
    main, sub = pair
    evidence, statuses = run_camera(source=Source(str(main)), gate_source=Source(str(sub)), min_bird=32, decode="vaapi")
    assert [min(sides) > 60 for sides in crops(evidence).values()] == [True]
    notices = [status.notice for status in statuses if "vaapi" in status.notice]  # a busy machine is said as well
    assert len(notices) == 1
    assert notices[0].startswith("decodes on the CPU: vaapi failed")


def test_a_feed_that_is_started_again_does_not_read_twice(pair: tuple[Path, Path]) -> None:
    """A frame that cannot be looked at makes the camera begin again; two threads would mix two readings in one ring."""
    settings, ring = CameraSettings(source=Source(str(pair[1]))), Ring(2**26)
    feed = Feed(settings.source, settings, ring, Stop(), lambda: START)
    for _ in range(3):
        feed.start()
    until = time.monotonic() + 20.0
    while not feed.ended_well and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    times = [packet.media_s for packet in ring.after(0).packets]
    assert times == sorted(set(times))
    assert len(times) == 12 * 12


def test_pictures_that_wait_on_purpose_in_quiet_are_not_late(pair: tuple[Path, Path]) -> None:
    """Late ones would not be looked at; here they come some at a time, and every one of them in time."""
    settings = CameraSettings(source=Source(str(pair[0])), gate_source=Source(str(pair[1])))
    both = DualStream(settings, Ring(2**26), Stop(), lambda: datetime.now(UTC), LoadShedder(), quiet=lambda: True)
    came, lags = [], []
    with Stalls() as stalls:
        for frame in both.frames():
            if frame is not None:
                came.append(time.monotonic())
                lags.append(frame.lag_s)
    assert len(came) == 12 * 12
    pauses = [after - before for before, after in pairwise(came) if after - before > PAUSE_S * 0.9]
    assert len(pauses) >= 8  # it did wait
    assert sorted(lags)[len(lags) // 2] < 0.35
    assert max(lags) < LATE_FRAME_S + 0.3 + stalls.seconds  # a machine that is busy may be late once
    late = sum(lag > LATE_FRAME_S for lag in lags) / len(lags)
    assert late < 0.1  # a machine that stalls once is late for some pictures; too long a pause, for some in each turn


def test_without_both_the_camera_is_offline(tmp_path: Path) -> None:
    """Then, and only then."""
    gone = Source(str(tmp_path / "gone.mp4"))
    evidence, statuses = run_camera(source=gone, gate_source=gone)
    assert evidence == []
    assert CameraState.ONLINE not in {status.state for status in statuses}
    assert any(status.state is CameraState.OFFLINE and "gone.mp4" in status.detail for status in statuses)
