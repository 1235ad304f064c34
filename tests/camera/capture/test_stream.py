"""Opening sources: real files, real HTTP servers, and everything that is no video."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import MAX_LAG_S, FileClock, LiveClock, Playback
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.open import LibavErrors
from birdwatchd.camera.capture.shedding import CAUGHT_UP_S, TOO_LATE_S, LoadShedder
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.errors import SourceError, SourceRefused, SourceUnreachable, SourceUnusable
from birdwatchd.settings.cameras import CameraSettings

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def read(address: str, limit: int = 10_000, **fields: float) -> list[tuple[int, int, float]]:
    """Width, height and media second of the frames of a source."""
    timeouts: dict[str, Any] = {"open_timeout_s": 5.0, "read_timeout_s": 2.0} | fields
    settings = CameraSettings(source=Source(address), **timeouts)
    found = []
    with Stream(settings.source, settings, now) as stream:
        for frame in stream.frames():
            found.append((frame.width, frame.height, frame.media_s))
            if len(found) == limit:
                break
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 3.0)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".mov"])
def test_recordings_of_every_usual_kind_are_read_whole(tmp_path: Path, suffix: str) -> None:
    """Every brand of camera writes another container."""
    path = tmp_path / f"clip{suffix}"
    write_clip(path, Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 3.0)
    frames = read(str(path))
    assert len(frames) == 30
    assert frames[0][2] == 0.0
    assert frames[-1][2] == pytest.approx(2.9, abs=0.05)


def test_odd_file_names_are_only_names(tmp_path: Path, clip: Path) -> None:
    """Cards come with every name; none of them may be taken for a protocol or an option."""
    for name in ("-i.mp4", "a:b.mp4", "concat:x|y.mp4", "100%.mp4", "ä ö.mp4", "%03d.mp4"):
        path = tmp_path / name
        path.write_bytes(clip.read_bytes())
        assert len(read(str(path), limit=3)) == 3, name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just text\n" * 50,
        b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        bytes(range(256)) * 40,
    ],
    ids=["empty", "text", "playlist", "concat", "garbage"],
)
def test_what_is_no_video_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    """A playlist named .mp4 must not make us read other files, and none of these may crash anything."""
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceUnusable, match=r"bad\.mp4"):
        read(str(path))


@pytest.mark.parametrize("missing", ["nowhere.mp4", "."])
def test_missing_files_and_folders_are_named(tmp_path: Path, missing: str) -> None:
    """The commonest mistake is a path."""
    with pytest.raises(SourceUnusable, match=r"No such file|is a folder"):
        read(str(tmp_path / missing))


def test_a_sound_recording_is_no_video(tmp_path: Path) -> None:
    """Recorders for bat and bird calls lie on the same cards."""
    path = tmp_path / "call.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(SourceUnusable, match="no video"):
        read(str(path))


class Camera(BaseHTTPRequestHandler):
    """An HTTP camera with good and bad manners."""

    log: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        getattr(self, f"serve_{self.path.strip('/').split('.')[0]}")()

    def serve_mjpeg(self) -> None:
        """Endless pictures, another size after ten of them."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=bird")
        self.end_headers()
        for number in range(400):
            size = (240, 320) if number < 10 else (120, 160)
            picture = np.full((*size, 3), number * 5 % 256, np.uint8)
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            head = f"--bird\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            try:
                self.wfile.write(head + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(0.01)

    def serve_slow(self) -> None:
        """Ten pictures a second."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=bird")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.zeros((120, 160, 3), np.uint8))[1].tobytes()
        head = f"--bird\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        for _ in range(200):
            try:
                self.wfile.write(head + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(0.1)

    def serve_private(self) -> None:
        expected = "Basic " + base64.b64encode(b"user:p@ss/word").decode()
        if self.headers.get("Authorization") == expected:
            self.serve_mjpeg()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.end_headers()

    def serve_gone(self) -> None:
        self.send_error(404)

    def serve_playlist(self) -> None:
        """A hostile camera that asks us to read our own files."""
        body = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def serve_stall(self) -> None:
        """Some pictures, then silence on an open connection: a half-open camera."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=bird")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.zeros((120, 160, 3), np.uint8))[1].tobytes()
        head = f"--bird\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        for _ in range(40):
            self.wfile.write(head + jpeg + b"\r\n")
        self.wfile.flush()
        time.sleep(8)

    def log_message(self, format: str, *args: object) -> None:
        self.log.append(format % args)


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_an_mjpeg_camera_is_read_and_may_change_its_resolution(camera: str) -> None:
    """Old and cheap cameras speak MJPEG; some change size with the light."""
    sizes = [(w, h) for w, h, _ in read(f"http://{camera}/mjpeg", limit=40)]
    assert sizes[0] == (320, 240)
    assert sizes[-1] == (160, 120)


def test_an_mjpeg_camera_of_any_rate_is_in_time(camera: str) -> None:
    """libav invents 25 pictures a second for MJPEG; a slower camera would seem ever later, and be ignored as late."""
    settings = CameraSettings(source=Source(f"http://{camera}/slow"))
    lags, ages = [], []
    with Stream(settings.source, settings, now) as stream:
        for frame in stream.frames():
            lags.append(frame.lag_s)
            ages.append((now() - frame.at).total_seconds())
            if len(lags) == 30:
                break
    assert max(lags) < 0.3
    assert max(ages) < 0.3


def test_a_password_is_sent_but_its_lack_is_a_refusal_without_it_in_the_message(camera: str) -> None:
    """Wrong password: say so, wait long (cameras lock accounts), and never show it."""
    assert read(f"http://user:p%40ss%2Fword@{camera}/private", limit=3)
    with pytest.raises(SourceRefused) as caught:
        read(f"http://user:hunter22@{camera}/private")
    assert "check user and password" in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_path_is_a_refusal_that_says_so(camera: str) -> None:
    """Every brand has another path; the message must point there."""
    with pytest.raises(SourceRefused, match="check the path"):
        read(f"http://{camera}/gone")


@pytest.mark.parametrize("path", ["playlist.m3u8", "redirect"])
def test_a_hostile_camera_cannot_make_us_read_our_files(camera: str, path: str) -> None:
    """A camera is a stranger's computer in one's network."""
    with pytest.raises(SourceError) as caught:
        read(f"http://{camera}/{path}")
    assert "root:" not in str(caught.value)


def test_a_camera_that_falls_silent_is_noticed_in_time(camera: str) -> None:
    """Half-open TCP is the classic way to watch nothing for a week."""
    began = time.monotonic()
    with pytest.raises(SourceUnreachable):
        read(f"http://{camera}/stall", read_timeout_s=1.0)
    assert time.monotonic() - began < 7


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_never_answers_is_unreachable_in_time(scheme: str) -> None:
    """Something listens, nothing speaks: libav alone would wait for ever."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(SourceUnreachable) as caught:
            read(f"{scheme}://user:hunter22@127.0.0.1:{silent.getsockname()[1]}/x", open_timeout_s=1.0)
        assert time.monotonic() - began < 6
        assert "hunter22" not in str(caught.value)


def test_nobody_there_is_unreachable_at_once() -> None:
    """The camera is off: try again soon, and say what to look at."""
    for scheme in ("rtsp", "http"):
        with pytest.raises(SourceUnreachable, match="is it on, and on the network"):
            read(f"{scheme}://127.0.0.1:9/x")


@pytest.mark.parametrize("error", [IndexError("list index out of range"), MemoryError()])
@pytest.mark.parametrize(("place", "kind"), [("http://cam/x", SourceUnreachable), ("/x.ts", SourceUnusable)])
def test_what_the_decoder_raises_by_mistake_is_an_error_of_the_source(
    place: str, kind: type[SourceError], error: Exception
) -> None:
    """A stream to which others come while it is read makes PyAV look for what is not there."""
    with pytest.raises(kind, match="streams"), LibavErrors(Source(place), opening=False):
        raise error


def test_a_missing_usb_camera_is_named() -> None:
    """Plugs come loose."""
    if os.path.exists("/dev/video63"):
        pytest.skip("this machine has 64 cameras")
    with pytest.raises(SourceUnreachable, match="plugged in"):
        read("/dev/video63")


def test_a_cut_recording_gives_what_it_has(tmp_path: Path) -> None:
    """The battery died while it wrote: what is readable may hold the only hoopoe."""
    whole = tmp_path / "whole.ts"
    write_clip(whole, Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 6.0)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 10 < len(read(str(cut))) < 50


@given(
    st.lists(st.floats(0.0, 0.5), min_size=30, max_size=120),
    st.floats(0.0, 1e6),
)
def test_live_time_is_never_in_the_future_and_settles_on_the_smallest_delay(delays: list[float], base: float) -> None:
    """Two cameras' visits must be comparable to the tenth of a second whatever their networks do."""
    clock = LiveClock()
    for number, delay in enumerate(delays):
        arrival = START + timedelta(seconds=number * 0.1 + delay)
        at = clock.at(base + number * 0.1, arrival)
        assert at <= arrival + timedelta(milliseconds=1)
        settled = START + timedelta(seconds=number * 0.1 + min(delays[: number + 1]))
        assert abs((at - settled).total_seconds()) < 0.1


@pytest.mark.parametrize("jump", [-1e5, -3600.0, 1e5, 30.0])
def test_a_timestamp_that_jumps_does_not_move_the_time_of_day(jump: float) -> None:
    """Cameras restart their clocks at zero, at midnight, or whenever they get the time from the network."""
    clock = LiveClock()
    for number in range(100):
        media = number * 0.1 + (jump if number >= 50 else 0.0) + 2e5
        arrival = START + timedelta(seconds=number * 0.1 + 0.05)
        at = clock.at(media, arrival)
        assert abs((at - arrival).total_seconds()) < 0.3, number


def test_a_burst_of_old_frames_is_dated_back() -> None:
    """A server that sends from its last key frame sends two seconds of the past at once."""
    clock = LiveClock()
    for number in range(20):  # two seconds of pictures within a few milliseconds
        clock.at(number * 0.1, START + timedelta(seconds=number * 0.001))
    later = clock.at(2.0, START + timedelta(seconds=0.1))
    assert abs((later - (START + timedelta(seconds=0.02 + 0.1))).total_seconds()) < 0.2


def test_a_stream_without_timestamps_is_dated_by_arrival() -> None:
    """MJPEG over HTTP often has none."""
    clock = LiveClock()
    assert clock.at(None, START) == START


def test_a_slow_clock_in_the_camera_does_not_add_up() -> None:
    """A camera's clock that is 0.1 % slow would be off by a minute every day."""
    clock = LiveClock()
    worst = 0.0
    for number in range(86_400):
        arrival = START + timedelta(seconds=number)
        at = clock.at(number * 0.999, arrival)
        worst = max(worst, (arrival - at).total_seconds())
    assert worst < MAX_LAG_S


@given(st.lists(st.none() | st.floats(-1e5, 1e5), min_size=1, max_size=80))
def test_file_time_never_runs_backwards(stamps: list[float | None]) -> None:
    """Start after end, or a negative length, would break every export."""
    clock = FileClock(START)
    seconds = [clock.never_back(clock.seconds(stamp, 0.1)) for stamp in stamps]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0.0


def test_a_recording_whose_timestamps_restart_goes_on() -> None:
    """Joined clips begin anew at zero in the middle."""
    clock = FileClock(START)
    first = [clock.seconds(n * 0.1, 0.1) for n in range(50)]
    second = [clock.seconds(n * 0.1, 0.1) for n in range(50)]
    assert second[0] == pytest.approx(first[-1] + 0.1)
    assert second[-1] == pytest.approx(9.9)


def test_frames_are_views_not_copies(clip: Path) -> None:
    """Copying every picture would cost more than looking at it."""
    settings = CameraSettings(source=Source(str(clip)))
    with Stream(settings.source, settings, now) as stream:
        frame: Frame = next(stream.frames())
        assert frame.luma.base is not None
        assert frame.luma.shape == (180, 320)


def test_where_decoding_is_too_slow_everything_up_to_a_key_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    """Else a machine that is a little too small would be ever later, and look at nothing at all."""
    path = tmp_path / "clip.mp4"
    write_clip(path, Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 20.0)
    settings = CameraSettings(source=Source(str(path)))
    passed = [0.0]

    def wait(seconds: float) -> None:
        passed[0] += seconds

    kept = 0
    lags: list[float] = []
    shedder = LoadShedder()
    playback = Playback(lambda: START, lambda: passed[0], wait)
    with Stream(settings.source, settings, lambda: START, playback=playback, shedder=shedder) as stream:

        def keep(_: object) -> None:
            nonlocal kept
            kept += 1

        for frame in stream.decoded_frames(keep):
            lags.append(frame.lag_s)
            passed[0] += 0.2  # twice as long as there is
    assert kept == len(lags) + shedder.dropped_packets == 200
    assert 60 < len(lags) < 120  # half of them can be decoded
    assert max(lags) <= TOO_LATE_S + 0.21
    assert sum(lag < CAUGHT_UP_S for lag in lags) > 10  # again and again it is up to date
    assert passed[0] < 22


def test_leaving_out_begins_when_it_is_too_late_and_ends_at_a_key_frame() -> None:
    """What follows a gap cannot be decoded; key frames are, once a second, so that a camera never seems dead."""
    shedder = LoadShedder()
    assert shedder.drops_frame(0.8)
    asked = [
        (False, 0.0, False),
        (False, 1.4, False),
        (False, 1.6, True),
        (False, 0.1, True),  # in time again, but its key frame was ...
        (True, 1.0, False),  # ... the last that was decoded: a sign of life
        (False, 1.0, True),
        (True, 0.8, True),  # a second has not passed
        (True, 0.2, False),
        (False, 0.4, False),
    ]
    assert [shedder.drops_packet(key, lag, 0.1 * n) for n, (key, lag, _) in enumerate(asked)] == [a[2] for a in asked]
    assert shedder.dropped_packets == 4
    assert not shedder.drops_frame(0.5), "once it has caught up, frames are no longer late"


def test_a_camera_that_stays_a_little_late_is_caught_up_with_as_well() -> None:
    """Decoding with nothing to spare, it would be late for ever, and every picture decoded in vain."""
    shedder = LoadShedder()
    assert [shedder.drops_packet(False, 0.8, at) for at in (0.0, 0.5, 1.0, 1.1)] == [False, False, False, True]
    assert not shedder.drops_packet(True, 0.0, 1.2)
    assert [shedder.drops_packet(False, lag, at) for lag, at in ((0.8, 2.0), (0.2, 2.5), (0.8, 3.1))] == [False] * 3


def test_a_network_that_delays_every_key_frame_is_good_enough_after_a_while() -> None:
    """Key frames are large; on a slow radio link none of them is ever quite in time."""
    shedder = LoadShedder()
    assert shedder.drops_packet(False, 2.0, 0.0)
    assert not shedder.drops_packet(True, 0.5, 0.1)
    assert shedder.drops_packet(False, 0.5, 0.2)
    assert not shedder.drops_packet(True, 0.5, 8.0)
    assert not shedder.drops_packet(False, 0.5, 8.1)


def test_a_camera_that_sends_no_key_frames_is_decoded_again_after_half_a_minute() -> None:
    """Some refresh their picture bit by bit."""
    shedder = LoadShedder()
    assert shedder.drops_packet(False, 2.0, 0.0)
    assert shedder.drops_packet(False, 0.0, 29.0)
    assert not shedder.drops_packet(False, 0.0, 31.0)


def test_a_recording_is_decoded_whole_however_long_it_takes(clip: Path) -> None:
    """Nobody waits for it."""
    settings = CameraSettings(source=Source(str(clip)))
    shedder = LoadShedder()
    with Stream(settings.source, settings, now, shedder=shedder) as stream:
        assert len(list(stream.decoded_frames())) == 30
    assert shedder.dropped_packets == 0


@pytest.mark.parametrize(("waited_s", "said"), [(10.2, "no answer for 10 s"), (0.1, "no answer in time")])
def test_a_wait_that_ends_is_said_with_its_length(monkeypatch: pytest.MonkeyPatch, waited_s: float, said: str) -> None:
    """A process that was suspended, or a part that goes on without a picture: nobody waited for 0 s."""
    times = iter([100.0, 100.0 + waited_s])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    with pytest.raises(SourceUnreachable, match=said), LibavErrors(Source("rtsp://camera/main"), opening=False):
        raise av.error.ExitError(1, "Immediate exit requested")
