"""A picture lies as its container and the settings say, in every combination and every format of pixels."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import utc_now
from birdwatchd.camera.capture.display import Display, Orientation, as_shown, matrix_of, orientation_in
from birdwatchd.camera.capture.frame import luma_of
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.preview import spread_frames
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.clips.mp4 import ClipFile
from birdwatchd.camera.crops import picture_of
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.camera.tuning.log import TuningLog
from birdwatchd.settings.cameras import CameraSettings

ALL = [Orientation(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
WIDTH, HEIGHT = 96, 64


def drawn() -> NDArray[np.uint8]:
    """RGB with another colour in each corner: red, green, blue, white, clockwise from the left upper one."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    colours = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 230, 230))
    for (top, left), colour in zip(((0, 0), (0, 64), (32, 64), (32, 0)), colours, strict=True):
        picture[top : top + 32, left : left + 32] = colour
    return picture


def turned(picture: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """What is meant, by NumPy."""
    return np.rot90(picture[:, ::-1] if orientation.mirrored else picture, -orientation.turns)


def write(path: Path, own: Orientation, aspect: Fraction = Fraction(1), frames: int = 12) -> None:
    """A clip whose container says how it lies."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "crf": "5", "g": "6"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_matrix(matrix_of(own, WIDTH, HEIGHT))
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(), format="rgb24")))
        container.mux(stream.encode())


def rgb(av_frame: object) -> NDArray[np.uint8]:
    return np.asarray(picture_of(av_frame, PrivacyMask())[:, :, ::-1], np.uint8)


def error(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Mean difference, pixel by pixel; infinite where the sizes differ."""
    return float(np.abs(found.astype(int) - expected).mean()) if found.shape == expected.shape else float("inf")


@pytest.mark.parametrize(("own", "turns", "mirrored"), list(itertools.product(ALL, range(4), (False, True))))
def test_what_the_stream_says_and_what_the_settings_say_add_up(own: Orientation, turns: int, mirrored: bool) -> None:
    """A phone's clip that lies on its side, of a camera that hangs upside down."""
    expected = turned(turned(drawn(), own), Orientation(turns))
    expected = turned(expected, Orientation(0, mirrored))
    frame = av.VideoFrame.from_ndarray(drawn(), format="rgb24").reformat(format="yuv420p")
    shown = as_shown(frame, Display(own, turns, mirrored))
    assert error(rgb(shown), expected) < 6


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "yuyv422", "gray", "yuv420p10le"])
def test_pictures_of_every_format_are_turned(pixels: str) -> None:
    """Cameras on USB give other pixels than those in the network, and night pictures are gray."""
    frame = av.VideoFrame.from_ndarray(drawn(), format="rgb24").reformat(format=pixels)
    expected = turned(rgb(frame), Orientation(1))
    assert error(rgb(as_shown(frame, Display(turns=1))), expected) < 6


def test_colours_do_not_change_where_a_turned_picture_is_higher() -> None:
    """Without a word of the stream, the matrix of colours is guessed by the height: of the picture as it is sent."""
    tall = np.zeros((400, 720, 3), np.uint8)
    tall[:] = (200, 40, 40)
    frame = av.VideoFrame.from_ndarray(tall, format="rgb24").reformat(format="yuv420p")
    shown = as_shown(frame, Display(turns=1))
    assert (shown.width, shown.height, int(shown.colorspace)) == (400, 720, 5)


@pytest.mark.parametrize("own", ALL)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_crops_replay_empty_scene_and_clip_show_the_same_picture(tmp_path: Path, own: Orientation, suffix: str) -> None:
    """My phone's clips came out lying on their side, so that the network took a tit for a nuthatch.

    Must: Crops, what is decoded again, the look beforehand and the clip lie as a person sees them, `rotate` on top.
    """
    path = tmp_path / f"phone{suffix}"
    write(path, own)
    settings = CameraSettings(source=Source(str(path)), rotate=90)
    expected = turned(turned(drawn(), own), Orientation(1))
    ring = Ring(2**20)
    with Stream(settings.source, settings, utc_now) as stream:
        frames = list(stream.frames(ring.append))
        assert stream.codec.shown_size == (frames[0].width, frames[0].height) == expected.shape[1::-1]
    assert error(rgb(frames[3].av_frame), expected) < 6
    again = list(replay(ring, frames[0].at))
    assert error(rgb(again[3].av_frame), expected) < 6
    luma = next(iter(spread_frames(settings.source, settings)))
    assert np.array_equal(luma, luma_of(frames[0].av_frame))
    assert shown_by_a_player(tmp_path, ring.since(frames[0].at)) == Orientation(own.turns, own.mirrored).then(1, False)


def shown_by_a_player(folder: Path, packets: list[Packet]) -> Orientation | None:
    """How a clip of these packets says that it lies."""
    clip = ClipFile(folder / "part", folder / "clip.mp4", packets[0].codec)
    for packet in packets:
        clip.add(packet)
    clip.finish()
    with av.open(str(folder / "clip.mp4")) as container:
        return orientation_in(next(container.decode(video=0))) or Orientation()


def test_a_tuning_sheet_shows_the_picture_turned(tmp_path: Path) -> None:
    """Polygons are drawn after its rulers, so it must lie as the boxes do."""
    path = tmp_path / "clip.mp4"
    write(path, Orientation(3), frames=30)
    settings = CameraSettings(source=Source(str(path)), rotate=180, mirror=True)
    stream = ObservedStream("nut", settings, "nut")
    log = TuningLog("nut", settings, stream.observer, None)
    for frame, evidence in stream.frames():
        log.add(frame, evidence or ())
    results = log.finish(stream.finish(), "")
    expected = turned(turned(drawn(), Orientation(1)), Orientation(0, True))
    assert error(np.asarray(results.scene[:, :, ::-1], np.uint8), expected) < 6


def test_squeezed_pictures_are_shown_as_wide_as_they_are(tmp_path: Path) -> None:
    """Recorders send 960 × 1080 of what is 1920 wide: birds of half the width are no birds to the network.

    Must: They are as wide as they are meant, and a clip says so too.
    """
    path = tmp_path / "recorder.mp4"
    write(path, Orientation(), Fraction(2))
    settings = CameraSettings(source=Source(str(path)))
    ring = Ring(2**20)
    with Stream(settings.source, settings, utc_now) as stream:
        frame = next(stream.frames(ring.append))
        assert (frame.width, frame.height) == stream.codec.shown_size == (2 * WIDTH, HEIGHT)
    clip = ClipFile(tmp_path / "part", tmp_path / "clip.mp4", stream.codec)
    for packet in ring.since(frame.at):
        clip.add(packet)
    clip.finish()
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2


@pytest.mark.parametrize("aspect", [Fraction(0), Fraction(1, 100), Fraction(50), Fraction(1088, 1080), None])
def test_an_aspect_that_cannot_be_meant_changes_nothing(aspect: Fraction | None) -> None:
    """Some cameras write anything there."""
    settings = CameraSettings(source=Source("/dev/video0"))
    assert Display.of(settings, aspect).size(1920, 1080) == (1920, 1080)


def test_a_crop_is_what_is_shown_after_turning() -> None:
    """I cut away the house in the left half of the picture as I see it.

    Must: `crop` is a part of the picture as it is shown, after it was turned.
    """
    frame = av.VideoFrame.from_ndarray(drawn(), format="rgb24").reformat(format="yuv420p")
    display = Display(turns=1, crop=(0.5, 0.0, 1.0, 0.5))
    shown = as_shown(frame, display)
    expected = turned(drawn(), Orientation(1))[: WIDTH // 2, HEIGHT // 2 :]
    assert display.size(WIDTH, HEIGHT) == (shown.width, shown.height) == (HEIGHT // 2, WIDTH // 2)
    assert error(rgb(shown), expected) < 6
