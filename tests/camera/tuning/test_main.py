"""`birdwatchd tune`: what a person is shown of the gate, from drawn video, as a user would run it."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process.scan import scan_file
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.camera.tuning import main as tuning
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.flow import Stop
from birdwatchd.settings.cameras import CameraSettings


def tune(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "birdwatchd", "tune", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tune") / "tit.mp4"
    visits = (ScheduledVisit("Great tit", 4.0, 8.0, perch=1),)
    write_clip(path, Scene(SceneSpec(3, 640, 360, 12), visits), 0.0, 10.0)
    return path


def test_the_sheet_shows_the_visit(clip: Path, tmp_path: Path) -> None:
    """One picture answers "does it see my birds?"."""
    result = tune(clip, "--min-bird", "16", "--out", "sheet.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 visits" in result.stdout
    assert "birds of less than 16 pixels (4.4 % of the height; `min_bird`) are too small to be seen" in result.stdout
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 1800
    assert sheet.shape[0] > 1500
    bottom = sheet[-220:, :400]  # the pictures of the first visit
    assert np.unique(bottom.reshape(-1, 3), axis=0).shape[0] > 500


def test_a_place_that_cannot_be_watched_is_said(tmp_path: Path) -> None:
    """Who tunes a camera that swings too far would turn at `min_bird` in vain."""
    chance, path = np.random.default_rng(1), tmp_path / "sea.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt, video.bit_rate = 320, 180, "yuv420p", 8_000_000
        for _ in range(80):
            waves = cv2.GaussianBlur(chance.normal(0, 1, (180, 320)).astype(np.float32), (0, 0), 8.0)
            grey = np.clip(110 + 45 * waves / waves.std(), 0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.dstack([grey] * 3), "bgr24")))
        container.mux(video.encode())
    result = tune(path, "--out", "sheet.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "for 8 of 8 s birds could hardly be seen: almost the whole picture moves; turn the camera" in result.stderr
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    red = (sheet[152:186, :, 2] > 180) & (sheet[152:186, :, 1] < 60)
    assert red.sum() > 500, "the sheet, which is sent to who can help, says it too"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, bool]]:
    """Each frame that any observer is shown: its second, and whether the gate looked at it."""
    shown: list[tuple[float, bool]] = []
    look = Observer.process

    def noted(observer: Observer, frame: Frame) -> list[Any]:
        before = observer.last_motion
        evidence = look(observer, frame)
        shown.append((frame.media_s, observer.last_motion is not before))
        return evidence

    monkeypatch.setattr(Observer, "process", noted)
    return shown


def late_by(*lags_s: float) -> Callable[..., Iterator[DecodedFrame]]:
    """`Stream.decoded_frames` of a camera whose frames come late by these times, again and again."""
    decoded_frames = Stream.decoded_frames

    def late(stream: Stream, *arguments: Any, **options: Any) -> Iterator[DecodedFrame]:
        lags = itertools.cycle(lags_s)
        for frame in decoded_frames(stream, *arguments, **options):
            yield replace(frame, lag_s=next(lags))

    return late


@pytest.mark.parametrize(("fps", "lags_s"), [(12, (0.0,)), (50, (0.0,)), (12, (0.1, 0.5, 0.8, 0.6, 0.4, 0.2))])
def test_it_looks_at_the_frames_that_a_scan_looks_at(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    looks: list[tuple[float, bool]],
    fps: int,
    lags_s: tuple[float, ...],
) -> None:
    """A sheet is there to show what the daemon sees; one frame more or less, and it may find another bird."""
    path = tmp_path / "tit.mp4"
    write_clip(path, Scene(SceneSpec(3, 320, 180, fps), (ScheduledVisit("Great tit", 3.0, 7.0, perch=1),)), 0.0, 8.0)
    monkeypatch.setattr(Stream, "decoded_frames", late_by(*lags_s))
    settings = CameraSettings(source=Source(str(path)), min_bird=8, decode="cpu")
    scan_file("tit", settings, str(path), Pipe(io.BytesIO()), Acceleration((), print))
    scanned = list(looks)
    looks.clear()
    results = tuning.run(tuning.Order("tit", settings, 60.0, tmp_path / "tit.png"), Stop(), Pipe(io.BytesIO()))
    assert looks == scanned
    by_gate = [media_s for media_s, looked in scanned if looked]
    assert [sample.at_s for sample in results.samples] == pytest.approx(by_gate, abs=1e-5)
    assert len(results.visits) == 1
    assert len(scanned) < results.frames or (fps == 12 and max(lags_s) == 0.0)


def test_without_a_name_it_is_called_after_the_camera(clip: Path, tmp_path: Path) -> None:
    """People type the shortest command and look into the folder."""
    result = tune(clip, "--seconds", "3", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "tit-tune.png").is_file()


def test_of_two_streams_the_small_one_is_shown(clip: Path, tmp_path: Path) -> None:
    """That is the one in which motion is looked for, with `min_bird` in its own pixels."""
    write_clip(tmp_path / "small.mp4", Scene(SceneSpec(3, 320, 180, 12), ()), 0.0, 4.0)
    (tmp_path / "birdwatchd.yaml").write_text(
        f"home: home\ncameras: {{nut: {{source: {clip}, gate_source: small.mp4, min_bird: 32}}}}\n"
    )
    result = tune("nut", "--seconds", "60", "--out", "small.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "0 visits" in result.stdout, "the bird is in the main stream only"
    assert "birds of less than 32 pixels (8.9 % of the height; `min_bird`) are too small" in result.stdout


def test_the_video_plays_with_every_frame(clip: Path, tmp_path: Path) -> None:
    """Stepping through it shows when the gate woke up."""
    result = tune(clip, "--out", "annotated.mp4", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "annotated.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) == 120


class EndlessCamera(BaseHTTPRequestHandler):
    """Sends pictures for ever."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=bird")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
        head = f"--bird\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        with suppress(OSError):  # nobody looks any more
            while True:
                self.wfile.write(head + jpeg + b"\r\n")
                self.server.sent.set()  # type: ignore[attr-defined]
                time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        pass


def test_what_was_seen_until_ctrl_c_is_drawn(tmp_path: Path) -> None:
    """Nobody waits an hour for the sheet of a camera that has been understood after a minute."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EndlessCamera) as server:
        server.daemon_threads, server.sent = True, threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, "-m", "birdwatchd", "tune", f"http://127.0.0.1:{server.server_address[1]}/"]
        process = subprocess.Popen(
            [*command, "--seconds", "3600", "--out", "sheet.png"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        assert server.sent.wait(60)  # type: ignore[attr-defined]
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        server.shutdown()
    assert process.returncode == 0, said
    assert "drawing what was seen so far" in said
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nothing.mp4",), 2, "no camera or file named nothing.mp4"),
        (("broken.mp4",), 1, "broken.mp4"),
        (("good.mp4", "--out", "sheet.txt"), 2, ".png"),
        (("good.mp4", "--out", "no/such/folder/sheet.png"), 1, "cannot be written"),
        (("rtsp://me:secret@127.0.0.1:1/main",), 1, "127.0.0.1"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(
    clip: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """No traceback, no password, and what to do."""
    (tmp_path / "broken.mp4").write_text("not a video")
    (tmp_path / "good.mp4").write_bytes(clip.read_bytes())
    result = tune(*arguments, "--seconds", "3", cwd=tmp_path)
    assert result.returncode == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stdout + result.stderr
