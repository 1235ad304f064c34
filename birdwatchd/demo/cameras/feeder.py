"""Simulate a network camera at a bird feeder: render a scene in real time and serve it as H.264 over HTTP.

    python -m birdwatchd.demo.cameras.feeder --seed 1 --width 960 --height 540 --fps 12 --seconds 60 --port 0

It is a process of its own, as a camera is a device of its own; that is why it may use PyAV. One thread renders,
encodes once and muxes once; libav objects never leave it. The MPEG-TS bytes go to every client, beginning with a key
frame; parameter sets and program tables come with every one.

It prints lines of JSON to standard output:
- when it listens: url, fps, seconds, visits, and an epoch that is null;
- when the first client has connected: {"started": t, "epoch": t}. `started` is the Unix time of frame 0, `epoch` that
  of the schedule's beginning, to which the visits' times are relative;
- with --on-cue the schedule does not begin with the stream but with a line on standard input: `epoch` is null at
  first, and the line is printed again once it is known;
- with --on-cue also, at most once a second: {"left_out": n, "since": t, "until": t}, frames that this machine was too
  slow to draw in time. Whoever asks for --on-cue must read all lines.

It ends on SIGTERM or when its standard input closes, and with --end some time after --seconds; without --end the
stream goes on with no birds, so that a client is not cut off. If its input is /dev/null from the beginning, the end of
the input does not end it.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from birdwatchd.demo.cameras.broadcast import Broadcast, Chunk, StreamServer
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import schedule

GRACE_S = 2.0
"""With --end, the stream goes on this long after the schedule."""

SPARE_S = 0.03
"""So much time before the next frame is used to draw a bird that is to come."""

LEFT_OUT_EVERY_S = 1.0
"""How often frames that were left out are reported."""

_GOP_S = 2.0
_CLIENT_SECONDS = 8.0  # a client that is further behind than this is let go


@dataclass(frozen=True, slots=True)
class FeederSettings:
    """Settings of one simulated camera.

    Attributes:
        seed: fixes scene and schedule.
        camera: which of `cameras` this is, from 0; they share one schedule.
        at_once: birds in the picture at the same time, 1 or 2.
        seconds: length of the schedule.
        port: on 127.0.0.1; 0 takes a free one.
        end: end soon after the schedule.
        on_cue: the schedule begins with a line on standard input, not with the stream.
    """

    seed: int = 1
    camera: int = 0
    cameras: int = 1
    at_once: int = 1
    width: int = 960
    height: int = 540
    fps: int = 12
    seconds: float = 60.0
    port: int = 0
    end: bool = False
    on_cue: bool = False

    def scene(self) -> Scene:
        """This camera's scene, with its share of the visits of all `cameras`."""
        visits = schedule(self.seed, self.seconds, self.cameras, self.at_once)
        spec = SceneSpec(self.seed * 101 + self.camera, self.width, self.height, self.fps)
        return Scene(spec, tuple(visit for visit in visits if visit.camera == self.camera))


class _Sink:
    """A file-like end for the muxer that keeps what it writes until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class TransportEncoder:
    """Pictures in, MPEG-TS chunks out. Belongs to the thread that made it."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        self._sink = _Sink()
        options = {"mpegts_flags": "pat_pmt_at_frames+resend_headers", "flush_packets": "1"}
        self._container = av.open(self._sink, "w", format="mpegts", container_options=options)
        self._stream = _add_stream(self._container, "libx264", (width, height), fps)

    def encode(self, picture: NDArray[np.uint8], index: int, key: bool = False) -> list[Chunk]:
        """Encode one RGB picture (H, W, 3) as frame `index`; `key` forces a key frame."""
        frame = _video_frame(picture, index)
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        return list(self._mux(self._stream.encode(frame)))

    def close(self) -> list[Chunk]:
        """Encode what is held back and end the stream."""
        chunks = list(self._mux(self._stream.encode(None)))
        self._container.close()
        rest = self._sink.take()
        return [*chunks, Chunk(rest, False)] if rest else chunks

    def _mux(self, packets: list[Any]) -> Iterator[Chunk]:
        for packet in packets:
            self._container.mux_one(packet)
            data = self._sink.take()
            if data:
                yield Chunk(data, packet.is_keyframe)


def _add_stream(container: Any, codec: str, size: tuple[int, int], fps: float) -> Any:
    """An encoder as a cheap camera has: no B-frames, a key frame every two seconds."""
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.gop_size = round(_GOP_S * fps)
    stream.codec_context.max_b_frames = 0
    stream.codec_context.thread_count = 1
    if codec in ("libx264", "libx265"):
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23"}
    return stream


def _video_frame(picture: NDArray[np.uint8], index: int) -> Any:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    frame.pts = index
    return frame


def write_clip(path: Path | str, scene: Scene, start_s: float, end_s: float, codec: str = "libx264") -> None:
    """Write the scene from `start_s` to `end_s` as a video file whose container the path's suffix names.

    The clip's own time begins at 0. Raises ValueError for a span that holds no frame.
    """
    spec = scene.spec
    first, last = round(start_s * spec.fps), round(end_s * spec.fps)
    if last <= first:
        raise ValueError(f"{path}: no frame between {start_s} s and {end_s} s; give an end after the start")
    with av.open(str(path), "w") as container:
        stream = _add_stream(container, codec, (spec.width, spec.height), spec.fps)
        for index in range(first, last):
            for packet in stream.encode(_video_frame(scene.frame(index), index - first)):
                container.mux_one(packet)
        for packet in stream.encode(None):
            container.mux_one(packet)


class LateFrames:
    """Count frames that were not drawn because the machine was too slow, and report them now and then."""

    def __init__(self, started_s: float, fps: int) -> None:
        self._started_s, self._fps = started_s, fps
        self._first = self._after = self._frames = 0

    def add(self, first: int, after: int) -> None:
        """Frames `first` to `after` - 1 were left out (none if they are equal)."""
        if after > first:
            self._first = self._first if self._frames else first
            self._after, self._frames = after, self._frames + after - first
        if after - self._first >= LEFT_OUT_EVERY_S * self._fps:
            self.report()

    def report(self) -> None:
        """Print what was left out since the last report."""
        if self._frames:
            since_s, until_s = (self._started_s + index / self._fps for index in (self._first, self._after))
            _print_line({"left_out": self._frames, "since": since_s, "until": until_s})
            self._frames = 0


class Feeder:
    """The simulated camera: `run` until `stop`; with `settings.on_cue`, birds come after `cue`."""

    def __init__(self, settings: FeederSettings) -> None:
        self.settings = settings
        self.scene = settings.scene()
        self.cue = threading.Event()
        self._broadcast = Broadcast(round(_CLIENT_SECONDS * settings.fps))
        self._server = StreamServer(settings.port, self._broadcast)

    @property
    def url(self) -> str:
        """Where the stream is."""
        return self._server.url

    def run(self, stop: threading.Event) -> None:
        """Listen, wait for the first client, then stream until `stop` or the end."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True).start()
        visits = [_truth(asdict(visit)) for visit in self.scene.visits]
        settings = self.settings
        _print_line(
            {"url": self.url, "fps": settings.fps, "seconds": settings.seconds, "visits": visits, "epoch": None}
        )
        while not self._broadcast.joined.wait(0.05):
            if stop.is_set():
                break
        if not stop.is_set():
            self._stream(stop)
        self._broadcast.finish()
        self._server.shutdown()
        self._server.server_close()

    def _stream(self, stop: threading.Event) -> None:
        """Render and send each frame at its time; frames nobody watches, or that are late, are left out."""
        settings = self.settings
        encoder = TransportEncoder(settings.width, settings.height, settings.fps)
        began_s, started_s = time.monotonic(), time.time()
        left_out = LateFrames(started_s, settings.fps)
        scene, last_s = self._begin_stream(started_s)
        index, waiting, asleep = 0, settings.on_cue, True
        while index / settings.fps < last_s:
            if stop.wait(max(0.0, began_s + index / settings.fps - time.monotonic())):
                break
            if waiting and self.cue.is_set():
                waiting = False
                scene, last_s = self._begin_schedule(started_s, index, scene)
            if self._broadcast.watched():
                for chunk in encoder.encode(scene.frame(index), index, key=asleep):
                    self._broadcast.send(chunk)
            asleep = not self._broadcast.watched()
            if began_s + (index + 1) / settings.fps - time.monotonic() > SPARE_S:
                scene.draw_ahead(index)
            due = max(index + 1, int((time.monotonic() - began_s) * settings.fps))
            if settings.on_cue and not asleep:
                left_out.add(index + 1, due)
            index = due
        left_out.report()
        for chunk in encoder.close():
            self._broadcast.send(chunk)

    def _begin_stream(self, started_s: float) -> tuple[Scene, float]:
        """The scene to show, and when the stream ends."""
        if not self.settings.on_cue:
            return self._begin_schedule(started_s, 0)
        _print_line({"started": started_s, "epoch": None})
        return Scene(self.scene.spec, self.scene.visits, self.scene, schedule_frame=None), float("inf")

    def _begin_schedule(self, started_s: float, index: int, drawn: Scene | None = None) -> tuple[Scene, float]:
        """The same where the schedule begins at frame `index`.

        Args:
            drawn: the scene so far, whose birds are drawn already.
        """
        settings, offset_s = self.settings, index / self.settings.fps
        _print_line({"started": started_s, "epoch": started_s + offset_s})
        last_s = offset_s + settings.seconds + GRACE_S if settings.end else float("inf")
        return Scene(self.scene.spec, self.scene.visits, drawn or self.scene, schedule_frame=index), last_s


def _truth(visit: dict[str, Any]) -> dict[str, Any]:
    return {key: visit[key] for key in ("species", "start_s", "end_s")}


def _print_line(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _follow_input(stop: threading.Event, cue: threading.Event) -> None:
    """Raise `cue` at a line on standard input; raise `stop` when whoever started this process closes it, or dies."""
    if os.path.sameopenfile(0, null := os.open(os.devnull, os.O_RDONLY)):
        os.close(null)
        return
    os.close(null)

    def watch() -> None:
        while os.read(0, 4096):
            cue.set()
        stop.set()

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _parse(arguments: list[str] | None) -> FeederSettings:
    usual = FeederSettings()
    parser = argparse.ArgumentParser(prog="birdwatchd.demo.cameras.feeder", description="A simulated feeder camera.")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="length of the schedule")
    parser.add_argument("--end", action="store_true", help="end soon after --seconds")
    parser.add_argument("--on-cue", action="store_true", help="begin the schedule at a line on standard input")
    for name, what in (
        ("seed", "fixes scene and schedule"),
        ("camera", "which of --cameras this is, from 0"),
        ("cameras", "how many share the schedule"),
        ("at-once", "birds in the picture at the same time, 1 or 2"),
        ("width", "pixels"),
        ("height", "pixels"),
        ("fps", "frames a second"),
        ("port", "on 127.0.0.1; 0 takes a free one"),
    ):
        field = name.replace("-", "_")
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, field), help=what)
    return FeederSettings(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> int:
    """Run one simulated camera; the exit status."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        # Not stop.set() itself: the interrupted thread may be holding the lock that it takes.
        threading.Thread(target=stop.set, daemon=True).start()

    feeder = Feeder(_parse(arguments))
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    _follow_input(stop, feeder.cue)
    feeder.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
