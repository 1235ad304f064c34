"""The simulated camera must behave as cameras do: begin on a key frame, keep time, survive its viewers."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from birdwatchd.demo.cameras.broadcast import Broadcast, Chunk
from birdwatchd.demo.cameras.feeder import LateFrames, TransportEncoder, write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit, schedule

COMMAND = [sys.executable, "-m", "birdwatchd.demo.cameras.feeder", "--width", "320", "--height", "180", "--fps", "10"]
VISIT = ScheduledVisit("Laughing dove", 0.5, 2.5, seed=1)


class Running:
    """A feeder process and what it said first."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self.line()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def close_input(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(5)


@pytest.fixture
def feeder() -> Iterator[Running]:
    running = Running("--seed", "2", "--seconds", "30")
    yield running
    running.process.kill()
    running.process.wait(5)
    for end in (running.process.stdin, running.process.stdout):
        assert end is not None
        end.close()


def pictures(url: str, count: int) -> list[tuple[bool, float, np.ndarray]]:
    """The first pictures of a connection: whether a key frame, media time, RGB."""
    with av.open(url, options={"analyzeduration": "500000"}) as stream:
        taken = []
        for frame in stream.decode(video=0):
            taken.append((frame.key_frame, frame.time, frame.to_ndarray(format="rgb24")))
            if len(taken) == count:
                break
        return taken


def test_a_second_viewer_and_a_later_one_get_the_scene_from_a_key_frame(feeder: Running) -> None:
    """The daemon reconnects whenever it likes; a stream that begins mid-group would be grey mud until the next."""
    first = pictures(feeder.ready["url"], 8)
    started = feeder.line()["started"]
    assert abs(time.time() - started) < 10
    second = pictures(feeder.ready["url"], 3)
    assert first[0][0]
    assert second[0][0]
    assert second[0][1] > first[-1][1]
    scene = Scene(SceneSpec(2 * 101, 320, 180, 10), ())
    for _, media_time, picture in (first[3], second[2]):
        drawn = scene.frame(round(media_time * 10)).astype(int)
        assert np.abs(drawn - picture).mean() < 6


def test_time_begins_with_the_first_viewer_and_the_truth_is_printed(feeder: Running) -> None:
    """Loading a model takes as long as it takes; no bird may come and go before the daemon looks."""
    assert feeder.ready["epoch"] is None
    assert feeder.ready["seconds"] == 30
    assert feeder.ready["fps"] == 10
    assert feeder.ready["visits"]
    assert all(set(visit) == {"species", "start_s", "end_s"} for visit in feeder.ready["visits"])
    before = time.time()
    assert pictures(feeder.ready["url"], 1)[0][1] < 0.3
    line = feeder.line()
    assert before - 0.2 <= line["started"] == line["epoch"] <= time.time()


def watch(url: str, until_s: Callable[[], float | None]) -> list[tuple[float, np.ndarray]]:
    """Media time and RGB picture of every frame until a media time that may be known only later."""
    with av.open(url, options={"analyzeduration": "500000"}) as stream:
        taken = []
        for frame in stream.decode(video=0):
            taken.append((frame.time, frame.to_ndarray(format="rgb24")))
            until = until_s()
            if until is not None and frame.time >= until:
                break
        return taken


def test_on_cue_no_bird_comes_before_the_cue_and_then_every_one_at_its_time() -> None:
    """Loading takes a minute on a busy machine; the birds wait, and their times count from the cue."""
    running = Running("--seed", "2", "--seconds", "30", "--on-cue")
    lines: list[dict[str, Any]] = []

    def cue() -> None:
        lines.append(running.line())
        time.sleep(1.5)
        assert running.process.stdin is not None
        running.process.stdin.write("\n")
        running.process.stdin.flush()
        while "epoch" not in lines[-1] or lines[-1]["epoch"] is None:
            lines.append(running.line())

    def until_s() -> float | None:
        epoch = lines[-1].get("epoch") if len(lines) > 1 else None
        return None if epoch is None else epoch - lines[0]["started"] + running.ready["visits"][0]["start_s"] + 1.0

    try:
        thread = threading.Thread(target=cue, daemon=True)
        thread.start()
        taken = watch(running.ready["url"], until_s)
    finally:
        running.process.kill()
        running.process.wait(5)
    assert lines[0]["epoch"] is None
    offset = round((lines[-1]["epoch"] - lines[0]["started"]) * 10)
    assert offset >= 15
    empty = Scene(SceneSpec(2 * 101, 320, 180, 10), ())
    expected = Scene(empty.spec, schedule(2, 30.0), empty, schedule_frame=offset)
    first_bird = offset + running.ready["visits"][0]["start_s"] * 10
    for media_time, picture in taken:
        index = round(media_time * 10)
        differs = np.abs(empty.frame(index).astype(int) - picture).max(initial=0) > 60
        assert not differs or index >= first_bird
    assert np.abs(expected.frame(index).astype(int) - picture).mean() < 6
    assert expected.truth_boxes(index)
    assert differs, "the bird is there"


def test_frames_left_out_are_counted_once_and_reported_together(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo excuses what happened while they were left out, and nothing else."""
    left_out = LateFrames(started_s=1000.0, fps=10)
    for first, after in ((1, 1), (2, 4), (5, 5), (6, 7), (8, 8)):
        left_out.add(first, after)
    assert capsys.readouterr().out == ""
    left_out.add(12, 13)
    assert json.loads(capsys.readouterr().out) == {"left_out": 4, "since": 1000.2, "until": 1001.3}
    left_out.report()
    left_out.add(40, 40)
    left_out.add(50, 52)
    assert capsys.readouterr().out == ""
    left_out.report()
    assert json.loads(capsys.readouterr().out) == {"left_out": 2, "since": 1005.0, "until": 1005.2}


def test_the_stream_is_live_not_a_file(feeder: Running) -> None:
    """A stream that runs ahead of the clock would put every visit at the wrong time."""
    with av.open(feeder.ready["url"]) as stream:
        began, last = feeder.line()["started"], 0.0
        for frame in stream.decode(video=0):
            last = frame.time
            if last >= 2.0:
                break
        assert -0.2 < time.time() - began - last < 1.0


def test_only_the_stream_has_an_address(feeder: Running) -> None:
    """A wrong path must be told at once, as a camera tells it, not stream for ever."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(feeder.ready["url"].replace("feeder", "other"), timeout=5)


@pytest.mark.parametrize("way", ["input", "signal"])
def test_it_ends_when_asked_even_while_someone_watches(feeder: Running, way: str) -> None:
    """A demo that is closed or killed must leave no camera behind on the machine."""
    with urllib.request.urlopen(feeder.ready["url"], timeout=5) as stream:
        assert stream.headers["Content-Type"] == "video/mp2t"
        assert stream.read(188)[0] == 0x47
        if way == "input":
            assert feeder.close_input() == 0
        else:
            feeder.process.send_signal(signal.SIGTERM)
            assert feeder.process.wait(5) == 0


def test_a_viewer_that_does_not_read_is_let_go() -> None:
    """Memory must not grow because one viewer has stopped reading."""
    broadcast = Broadcast(room=5)
    slow = broadcast.join()
    for number in range(100):
        broadcast.send(Chunk(b"%d" % number, key=number % 10 == 3))
    assert list(slow.read()) == [b"3", b"4", b"5", b"6", b"7"]
    late = broadcast.join()
    broadcast.send(Chunk(b"a", key=False))
    broadcast.send(Chunk(b"b", key=True))
    broadcast.finish()
    assert list(late.read()) == [b"b"]


def test_every_key_chunk_opens_a_stream_by_itself(tmp_path: Path) -> None:
    """Clients begin at any of them, so tables and parameter sets must be in each."""
    scene, encoder = Scene(SceneSpec(1, 160, 96, 5), ()), TransportEncoder(160, 96, 5)
    chunks = [chunk for index in range(30) for chunk in encoder.encode(scene.frame(index), index)]
    chunks += encoder.close()
    keys = [index for index, chunk in enumerate(chunks) if chunk.key]
    assert keys == [0, 10, 20]
    path = tmp_path / "from_the_middle.ts"
    path.write_bytes(b"".join(chunk.data for chunk in chunks[10:]))
    with av.open(str(path)) as stream:
        assert sum(1 for _ in stream.decode(video=0)) == 20


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_clip_holds_the_scene(tmp_path: Path, suffix: str) -> None:
    """Tests of the daemon use such clips as their input; a frame lost or doubled here would be blamed on it."""
    scene = Scene(SceneSpec(5, 320, 180, 10), (VISIT,))
    path = tmp_path / f"clip.{suffix}"
    write_clip(path, scene, 0.5, 3.0)
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in clip.decode(video=0)]
    assert len(frames) == 25
    for index in (0, 12, 24):
        assert np.abs(frames[index] - scene.frame(5 + index)).mean() < 6


def test_a_clip_of_no_time_is_refused(tmp_path: Path) -> None:
    """An empty file would fail much later, and far from the mistake."""
    with pytest.raises(ValueError, match="give an end after the start"):
        write_clip(tmp_path / "none.mp4", Scene(SceneSpec(1, 160, 96), ()), 2.0, 2.0)
