"""Seeing: drawn scenes with exact truth go in, visits come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.sampling import SamplingSettings
from birdwatchd.camera.tracking.tracker import Tracker, TrackerSettings
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit, schedule
from birdwatchd.records import Box, Evidence, Region
from birdwatchd.settings.cameras import CameraSettings


def now() -> datetime:
    return datetime.now(UTC)


def observe(path: Path, **fields: object) -> list[Evidence]:
    settings = CameraSettings(source=Source(str(path)), **fields)  # type: ignore[arg-type]
    observer = Observer("cam", settings, media=path.name)
    found = []
    with Stream(settings.source, settings, now) as stream:
        for frame in stream.frames():
            found += observer.process(frame)
    return found + observer.finish()


def closings(evidence: list[Evidence]) -> list[Evidence]:
    return [e for e in evidence if e.end is not None]


@pytest.mark.parametrize(("seed", "codec"), [(11, "libx264"), (12, "libx265")])
def test_every_bird_of_a_scene_is_one_visit(tmp_path: Path, seed: int, codec: str) -> None:
    """The first promise: each bird that came is one visit, at its time, and the branch in the wind is none."""
    visits = schedule(seed, 40.0)
    path = tmp_path / "scene.mp4"
    write_clip(path, Scene(SceneSpec(seed, 640, 360, 12), visits), 0.0, 40.0, codec)
    found = sorted(closings(observe(path, min_bird=16)), key=lambda e: e.start)
    assert len(found) == len(visits) >= 3
    for truth, seen in zip(visits, found, strict=True):
        assert seen.start_s == pytest.approx(truth.start_s, abs=0.7)
        assert seen.end_s == pytest.approx(truth.end_s, abs=0.7)


def test_evidence_is_whole_and_in_order(tmp_path: Path) -> None:
    """Revisions count up, each moment is sent once, the last revision has the end: the stages rely on it."""
    visits = (ScheduledVisit("Great tit", 5.0, 10.0, perch=1),)
    path = tmp_path / "one.mkv"
    write_clip(path, Scene(SceneSpec(3, 640, 360, 12), visits), 0.0, 14.0)
    evidence = observe(path, min_bird=16, max_moments=4)
    assert len({e.visit_id for e in evidence}) == 1
    assert [e.revision for e in evidence] == list(range(1, len(evidence) + 1))
    assert [e.end is not None for e in evidence] == [False] * (len(evidence) - 1) + [True]
    moments = [m for e in evidence for m in e.moments]
    assert [m.index for m in moments] == list(range(len(moments)))
    assert 2 <= len(moments) <= 4
    first_answer = (moments[0].at - evidence[0].start).total_seconds()
    assert first_answer < 1.0


def test_an_ignored_place_is_not_seen(tmp_path: Path) -> None:
    """Roads and flags are drawn out by hand; a bird there is not asked for."""
    visits = (ScheduledVisit("Great tit", 5.0, 9.0, perch=1),)
    path = tmp_path / "one.mp4"
    write_clip(path, Scene(SceneSpec(3, 640, 360, 12), visits), 0.0, 12.0)
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert observe(path, ignore=(everything,)) == []
    assert observe(path, min_bird=16) != []


def test_a_change_of_resolution_in_mid_stream_is_survived() -> None:
    """Cameras change resolution when their network gets worse; the daemon must not care."""
    observer = Observer("cam", CameraSettings(source=Source("x.mp4"), min_bird=16))
    scene_a = Scene(SceneSpec(3, 640, 360, 12), (ScheduledVisit("Great tit", 5.0, 30.0, perch=1),))
    scene_b = Scene(SceneSpec(3, 320, 180, 12), ())
    found = []
    for frame in drawn(scene_a, 0, 84):
        found += observer.process(frame)
    assert len(observer.present) == 1
    for frame in drawn(scene_b, 84, 160):
        found += observer.process(frame)
    assert len(closings(found)) == 1


def drawn(scene: Scene, first: int, last: int) -> Iterator[Frame]:
    for index in range(first, last):
        picture = av.VideoFrame.from_ndarray(scene.frame(index), format="rgb24").reformat(format="yuv420p")
        second = index / scene.spec.fps
        at = datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=second)
        yield Frame(picture, luma_of(picture), picture.width, picture.height, at, second, 0.0)


def test_a_clock_that_is_set_back_does_not_stop_the_watching() -> None:
    """The network time comes late, the wall clock steps back a minute: birds before, during and after are all seen."""
    observer = Observer("cam", CameraSettings(source=Source("x.mp4"), min_bird=16))
    visits = (ScheduledVisit("Great tit", 5.0, 9.0, perch=1), ScheduledVisit("Laughing dove", 13.0, 17.0, perch=2))
    found = []
    for frame in drawn(Scene(SceneSpec(3, 640, 360, 12), visits), 0, 20 * 12):
        step = timedelta(seconds=60 if frame.media_s >= 7.0 else 0)
        found += observer.process(replace(frame, at=frame.at - step))
    ends = closings(found)
    assert len(ends) == 2
    assert all(e.end is not None and e.end >= e.start for e in ends)


class Picture:
    """Grey pictures with noise, for the gate alone."""

    def __init__(self, width: int = 640, height: int = 360) -> None:
        self.rng = np.random.default_rng(5)
        self.ground = self.rng.integers(60, 160, (height // 20, width // 20)).repeat(20, 0).repeat(20, 1).astype(float)
        self.at = 0.0

    def next(self, light: float = 1.0, bird: Box | None = None, level: float = 220.0) -> tuple[np.ndarray, float]:
        picture = self.ground * light
        if bird is not None:
            h, w = picture.shape
            picture = picture.copy()
            picture[int(bird.y * h) : int((bird.y + bird.h) * h), int(bird.x * w) : int((bird.x + bird.w) * w)] = level
        self.at += 0.1
        noisy = picture + self.rng.normal(0, 3, picture.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8), self.at


BIRD = Box(0.4, 0.4, 0.08, 0.12)


def learned() -> tuple[MotionDetector, Picture]:
    picture = Picture()
    gate = MotionDetector(MotionSettings(min_bird=24), 640, 360)
    for _ in range(40):
        gate.update(*picture.next())
    return gate, picture


def test_noise_alone_is_no_motion() -> None:
    """A quiet night must not cost anybody a notification."""
    gate, picture = learned()
    assert all(gate.update(*picture.next()).regions == () for _ in range(100))


def test_a_sudden_change_of_light_is_no_motion_and_does_not_blind() -> None:
    """Sun, infra-red switch-over and auto-exposure change everything at once; a second later birds are seen again."""
    gate, picture = learned()
    looks = [gate.update(*picture.next(light=1.5)) for _ in range(15)]
    assert all(look.regions == () for look in looks)
    look = gate.update(*picture.next(light=1.5, bird=BIRD))
    assert len(look.regions) == 1


def test_a_region_is_where_the_bird_is() -> None:
    """The box decides what is cut out; half a bird is no picture."""
    gate, picture = learned()
    regions = gate.update(*picture.next(bird=BIRD)).regions
    assert len(regions) == 1
    assert regions[0].box.iou(BIRD) > 0.6


def test_a_bird_smaller_than_asked_for_is_ignored() -> None:
    """min_bird is how people keep insects out."""
    gate, picture = learned()
    insect = Box(0.4, 0.4, 8 / 640, 8 / 360)
    assert gate.update(*picture.next(bird=insect)).regions == ()


def test_a_held_bird_is_not_absorbed_and_leaves_no_ghost() -> None:
    """A bird that sits still for minutes is one visit, and nothing is left behind when it goes."""
    gate, picture = learned()
    for _ in range(1800):
        look = gate.update(*picture.next(bird=BIRD), held=(BIRD,))
    assert len(look.regions) == 1
    after = [gate.update(*picture.next()).regions for _ in range(30)]
    assert after == [()] * 30


def test_what_was_there_from_the_start_leaves_a_ghost_that_is_known_as_one() -> None:
    """A bird in the first frame is learned as background; its leaving must not be a visit that never ends."""
    picture = Picture()
    gate = MotionDetector(MotionSettings(min_bird=24), 640, 360)
    for _ in range(40):
        gate.update(*picture.next(bird=BIRD))
    tracker = Tracker(TrackerSettings())
    for _ in range(60):
        pixels, at = picture.next()
        step = tracker.update(gate.update(pixels, at, tracker.held).regions, at)
        for box in step.absorb:
            gate.absorb(box)
        assert step.open == ()
    assert gate.update(*picture.next()).regions == ()


def walk(tracker: Tracker, boxes: list[list[Box]], step_s: float = 0.1) -> list[object]:
    closed: list[object] = []
    for number, here in enumerate(boxes):
        closed += tracker.update([Region(box, 0.6, 3.0) for box in here], number * step_s).closed
    return closed


def test_two_birds_at_once_are_two_visits_with_their_count() -> None:
    """Two logged as one is as wrong as one logged as two."""
    tracker = Tracker(TrackerSettings())
    left, right = Box(0.2, 0.5, 0.1, 0.1), Box(0.7, 0.5, 0.1, 0.1)
    closed = walk(tracker, [[left, right]] * 20 + [[]] * 30)
    assert [t.identity.count_max for t in closed] == [2, 2]  # type: ignore[attr-defined]


def test_a_flicker_of_two_looks_is_no_visit() -> None:
    """A leaf in a gust, a drop on the lens."""
    tracker = Tracker(TrackerSettings())
    assert walk(tracker, [[Box(0.2, 0.5, 0.1, 0.1)]] * 2 + [[]] * 30) == []


def test_a_bird_that_moves_keeps_its_id() -> None:
    """The same bird logged forty times is the complaint about every such program."""
    tracker = Tracker(TrackerSettings())
    path = [[Box(0.1 + 0.02 * n, 0.5, 0.08, 0.1)] for n in range(35)]
    assert len(walk(tracker, [*path, *[[]] * 30])) == 1


def test_a_bird_unseen_for_a_moment_is_still_the_same_visit() -> None:
    """Behind the pole for half a second is not gone."""
    tracker = Tracker(TrackerSettings())
    box = Box(0.4, 0.5, 0.08, 0.1)
    closed = walk(tracker, [[box]] * 10 + [[]] * 6 + [[box]] * 10 + [[]] * 30)
    assert len(closed) == 1
    assert closed[0].last_s == pytest.approx(2.5)  # type: ignore[attr-defined]


def test_the_tip_of_a_tail_is_no_second_bird() -> None:
    """A white tip behind a tail as dark as the foliage is seen apart from its bird, a little way off."""
    tracker = Tracker(TrackerSettings())
    body, tip = Box(0.30, 0.56, 0.14, 0.14), Box(0.48, 0.54, 0.01, 0.04)
    closed = walk(tracker, [[body]] * 6 + [[body, tip]] * 20 + [[]] * 30)
    assert [t.identity.count_max for t in closed] == [1]  # type: ignore[attr-defined]


class ScriptedDetector(MotionDetector):
    """Says what it is told to, in turn."""

    looks: ClassVar[list[MotionResult]] = []

    def update(self, luma: NDArray[np.uint8], time_s: float, held: Sequence[Box] = ()) -> MotionResult:
        return ScriptedDetector.looks.pop(0)

    def cut(self, box: Box) -> NDArray[np.uint8]:
        return np.zeros((4, 4), np.uint8)

    def absorb(self, box: Box) -> None:
        ScriptedDetector.looks[:] = [
            MotionResult((), foreground_ratio=look.foreground_ratio) for look in ScriptedDetector.looks
        ]


@pytest.mark.parametrize(
    ("busy", "after_s", "plain_s", "told"),
    [
        (0.07, 4.0, 4.0, 0),  # outlines drown in white one after another, for half a minute
        (0.07, 0.0, 2.1, 0),  # and some only look like it at first, since the step
        (0.005, 0.0, 2.1, 0),
        (0.005, 4.0, 4.0, 1),  # all is learned: something has left
        (0.07, 32.0, 32.0, 1),  # a close bird or a swaying tree, and no step of light any more
    ],
)
def test_where_a_step_of_light_is_still_being_learned_nothing_has_left(
    monkeypatch: pytest.MonkeyPatch, busy: float, after_s: float, plain_s: float, told: int
) -> None:
    """Nobody sat there since the morning; something differs `after_s`, and looks like a departure after `plain_s`."""
    place = Box(0.5, 0.4, 0.05, 0.1)
    faint, ghost = (Region(place, 0.6, 2.0, ghost=ghostly, activity=0.0) for ghostly in (False, True))
    later = [MotionResult((), foreground_ratio=busy)] * round(after_s * 15)
    later += [MotionResult((faint,), foreground_ratio=busy)] * round((plain_s - after_s) * 15) + [
        MotionResult((ghost,), foreground_ratio=busy)
    ] * 8
    ScriptedDetector.looks = [
        MotionResult((), learning=True),
        *[MotionResult((), foreground_ratio=0.09, illumination_step=True)] * 3,
        *later,
        *[MotionResult(())] * 30,
    ]
    monkeypatch.setattr("birdwatchd.camera.observer.MotionDetector", ScriptedDetector)
    frames = list(drawn(Scene(SceneSpec(3, 160, 90, 15), ()), 0, len(ScriptedDetector.looks)))
    observer = Observer(
        "cam",
        CameraSettings(source=Source("x.mp4"), min_bird=16),
        replay=lambda since: (frame for frame in frames if frame.at >= since),
        sampling=SamplingSettings(quiet_fps=15.0, calm_fps=15.0),
    )
    found = [evidence for frame in frames for evidence in observer.process(frame)]
    assert not ScriptedDetector.looks, "every frame was looked at"
    assert len(found) == told


def test_a_visit_ends_before_a_pause_without_pictures() -> None:
    """A laptop sleeps for a minute with a bird in view: a visit of 61.9 s was stored of a bird seen for two."""
    assert paused(60.0) == [pytest.approx(2.2, abs=0.8), pytest.approx(3.0, abs=0.8)]


def test_a_bird_is_one_visit_over_a_short_pause() -> None:
    """A network that hiccups for three seconds must not make two visits of one bird."""
    assert paused(3.0) == [pytest.approx(8.2, abs=0.8)]


def paused(seconds: float) -> list[float]:
    """How long the visits are, in seconds, of a bird of which no picture comes for a while."""
    observer = Observer("cam", CameraSettings(source=Source("x.mp4"), min_bird=16))
    visits = (ScheduledVisit("Great tit", 5.0, 10.0, perch=1),)
    found = []
    for frame in drawn(Scene(SceneSpec(3, 640, 360, 12), visits), 0, 13 * 12):
        late = timedelta(seconds=seconds if frame.media_s >= 7.2 else 0)
        found += observer.process(replace(frame, at=frame.at + late))
    return [(e.end - e.start).total_seconds() for e in closings(found + observer.finish()) if e.end is not None]
