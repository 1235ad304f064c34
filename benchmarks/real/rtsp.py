"""Join recorded clips into one recording, and play it in real time as an RTSP camera does."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from benchmarks.detection.cases import Encoding
from benchmarks.detection.encode import encoder_options

__all__ = ["RtspCamera", "join"]

PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer's bindings
INSTALL = "apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good python3-gi"
CRF = 12  # far better than a camera's, so that what is coded twice looks like what was coded once

_SERVER = """
import sys, time
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
port, clip = sys.argv[1:]
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory.new()
pay = "rtph264pay name=pay0 pt=96 config-interval=1"
factory.set_launch(f'( filesrc location="{clip}" ! qtdemux ! h264parse ! {pay} )')
def say(media, state):
    if state == int(Gst.State.PLAYING):
        print(time.time(), flush=True)
factory.connect("media-configure", lambda _, media: media.connect("new-state", say))
server.get_mount_points().add_factory("/main", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def join(paths: Sequence[Path], target: Path) -> list[float]:
    """Write clips one after the other as H.264 in mp4, in the size and frame rate of the first.

    Returns:
        How many seconds each lasts.
    """
    seconds = []
    with av.open(str(paths[0])) as first:
        source = first.streams.video[0]
        width, height, rate = source.width, source.height, Fraction(source.average_rate or 25)
    with av.open(str(target), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = encoder_options(Encoding("libx264", crf=CRF), round(rate))
        number = 0
        for path in paths:
            begun = number
            for frame in _frames(path):
                picture = frame.reformat(width, height, "yuv420p")
                picture.pts, picture.time_base = number, 1 / rate
                picture.pict_type = av.video.frame.PictureType.NONE
                container.mux(stream.encode(picture))
                number += 1
            seconds.append(float((number - begun) / rate))
        container.mux(stream.encode(None))
    return seconds


def _frames(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


class RtspCamera:
    """GStreamer's RTSP server, which plays a recording from its beginning for every client.

    Attributes:
        began: seconds since the epoch at which a client's stream began, for each.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url
        self.began: list[float] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.began.extend(float(line) for line in self._process.stdout)

    @classmethod
    @contextmanager
    def playing(cls, recording: Path) -> Iterator[RtspCamera]:
        """A camera for as long as the block runs.

        Raises:
            RuntimeError: GStreamer's RTSP server is not installed.
        """
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
        argv = [PYTHON, "-c", _SERVER, str(port), str(recording)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise RuntimeError(f"GStreamer's RTSP server cannot be started; {INSTALL}")
                yield cls(process, f"rtsp://127.0.0.1:{port}/main")
            finally:
                process.kill()
