"""Privacy masks: what lies in one is black in every picture, and nothing of it is reported."""

from __future__ import annotations

import ast
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.crops import PictureSettings, cut_crop, encode_crop, whole_frame
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.camera.process.worker import CameraWatch
from birdwatchd.camera.tuning import main as tuning
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Box, Evidence
from birdwatchd.settings.cameras import CameraSettings

PACKAGE = Path(__file__).parents[2] / "birdwatchd"
AT = datetime(2026, 5, 1, tzinfo=UTC)
BIRD = (ScheduledVisit("Great tit", 5.0, 9.0, perch=1),)
SPEC = SceneSpec(3, 640, 360, 12)
LEFT: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuyv422", "rgb24", "bgr24", "yuv420p10le", "gray")


def frame_of(rgb: NDArray[np.uint8], pixel_format: str = "yuv420p") -> Frame:
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    return Frame(picture, luma_of(picture), picture.width, picture.height, AT, 0.0, 0.0)


def bright(width: int = 320, height: int = 200) -> NDArray[np.uint8]:
    """Orange and never dark: whatever is black afterwards was made so."""
    return np.full((height, width, 3), (240, 180, 120), np.uint8)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_masked_pixels_are_black_and_others_stay(pixel_format: str) -> None:
    """Cameras deliver many pixel formats; a mask that forgets one shows the neighbour in it."""
    mask = PrivacyMask((LEFT,))
    for picture in (whole_frame(frame_of(bright(), pixel_format), mask), _crop_of_all(pixel_format, mask)):
        width = picture.shape[1]
        assert picture[:, : width // 2].max() == 0
        assert picture[:, width // 2 + 3 :].min() > 60


def _crop_of_all(pixel_format: str, mask: PrivacyMask) -> NDArray[np.uint8]:
    return cut_crop(frame_of(bright(), pixel_format), Box(0.0, 0.0, 1.0, 1.0), mask).rgb


def test_the_decoders_own_frame_is_not_touched() -> None:
    """Later frames are predicted from it: a black place in it would wander through the picture."""
    for pixel_format in ("rgb24", "yuv420p"):
        frame = frame_of(bright(), pixel_format)
        before = [bytes(plane) for plane in frame.av_frame.planes]
        whole_frame(frame, PrivacyMask((LEFT,)))
        assert [bytes(plane) for plane in frame.av_frame.planes] == before


fractions = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(fractions, fractions), min_size=3, max_size=6), fractions, fractions, st.integers(1, 400))
def test_a_crop_is_black_where_the_whole_frame_is(
    corners: list[tuple[float, float]], x: float, y: float, w: int
) -> None:
    """A crop lies anywhere and is cut at any pixel; it must never show more than the whole frame."""
    mask, rgb = PrivacyMask((tuple(corners),)), bright(160, 90)
    whole = whole_frame(frame_of(rgb, "rgb24"), mask)
    part = rgb[int(y * 89) : int(y * 89) + w, int(x * 159) : int(x * 159) + w].copy()
    mask.blacken(part, (160, 90), int(x * 159), int(y * 89))
    assert np.array_equal(part, whole[int(y * 89) : int(y * 89) + w, int(x * 159) : int(x * 159) + w])


def test_the_share_of_a_box() -> None:
    """A bird that sits half behind a mask is still a bird; one that is mostly in it is not seen."""
    mask = PrivacyMask((LEFT,))
    assert mask.share(Box(0.1, 0.1, 0.2, 0.2)) == 1.0
    assert mask.share(Box(0.8, 0.1, 0.2, 0.2)) == 0.0
    assert mask.share(Box(0.4, 0.1, 0.2, 0.2)) == pytest.approx(0.5, abs=0.05)
    assert mask.share(Box(1.0, 1.0, 1e-6, 1e-6)) == 0.0
    assert not PrivacyMask()
    assert PrivacyMask().share(Box(0.1, 0.1, 0.2, 0.2)) == 0.0


def test_what_only_reaches_out_of_a_mask_is_not_reported() -> None:
    """The head of a neighbour above the hedge that is masked would be a region of its own."""
    shape = (180, 320)
    hole = ((0.0, 0.3), (1.0, 0.3), (1.0, 0.9), (0.0, 0.9))
    detector = MotionDetector(MotionSettings(min_bird=16, mask=(hole,)), shape[1], shape[0])
    empty = np.random.default_rng(1).integers(60, 120, shape).astype(np.uint8)
    for number in range(40):
        detector.update(empty, number * 0.2)
    there = empty.copy()
    there[30:176, 100:140] = 230  # from above the mask to below it: two thirds of it are masked
    result = detector.update(there, 8.2)
    assert all(PrivacyMask((hole,)).share(region.box) <= 0.5 for region in result.regions)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mask") / "tit.mp4"
    write_clip(path, Scene(SPEC, BIRD), 0.0, 12.0)
    return path


def observe(path: Path, **fields: Any) -> list[Evidence]:
    settings = CameraSettings(source=Source(str(path)), min_bird=16, **fields)
    observer = Observer("cam", settings, media=path.name)
    found = []
    with Stream(settings.source, settings, lambda: datetime.now(UTC)) as stream:
        for frame in stream.frames():
            found += observer.process(frame)
    return found + observer.finish()


def around(box: Box, left: float, right: float) -> tuple[tuple[float, float], ...]:
    """A polygon from `left` to `right` of a box, in its widths, over all of the frame's height."""
    x0, x1 = min(max(box.x + left * box.w, 0), 1), min(max(box.x + right * box.w, 0), 1)
    return ((x0, 0.0), (x1, 0.0), (x1, 1.0), (x0, 1.0))


@pytest.mark.slow
def test_a_bird_in_a_mask_is_not_seen_and_one_beside_it_is(clip: Path) -> None:
    """The same bird: unmasked, mostly masked, and with a mask through the air beside it."""
    moments = [moment for item in observe(clip) for moment in item.moments]
    box = moments[len(moments) // 2].box
    assert observe(clip, mask=(around(box, -9, 9),)) == []
    beside = observe(clip, mask=(around(box, 1.15, 9),), store="frames")
    assert any(item.end is not None for item in beside)
    black = PrivacyMask((around(box, 1.15, 9),))
    for moment in (moment for item in beside for moment in item.moments):
        assert black.share(moment.box) <= 0.5
        frame = decoded(moment.frame)
        assert frame.shape[:2] == (SPEC.height, SPEC.width)
        masked = np.zeros(frame.shape, np.uint8) + 255
        black.blacken(masked, (SPEC.width, SPEC.height))
        inner = cv2.erode((masked.max(axis=2) == 0).astype(np.uint8), np.ones((19, 19))) > 0  # JPEG's blocks bleed
        assert inner.any()
        assert frame[inner].max() <= 12
    assert all(not moment.frame for item in observe(clip) for moment in item.moments)


@pytest.mark.slow
def test_a_bird_that_is_followed_into_a_mask_has_no_sightings_there(clip: Path) -> None:
    """A track can be carried into a masked place by the birds around it; neither box nor crop of it may leave."""
    settings = CameraSettings(source=Source(str(clip)), min_bird=16)
    observer, followed = Observer("cam", settings, media=clip.name), False
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    observer._pictures = PictureSettings(PrivacyMask((everything,)))  # the motion gate knows nothing of it
    with Stream(settings.source, settings, lambda: datetime.now(UTC)) as stream:
        for frame in stream.frames():
            assert observer.process(frame) == []
            assert observer.present == ()
            followed = followed or any(track.confirmed for track in observer.tracks)
    assert followed
    assert observer.finish() == []


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "mp4"])
def test_what_is_drawn_for_tuning_is_masked(clip: Path, tmp_path: Path, suffix: str) -> None:
    """Sheets are posted in forums. Neither the scene, nor the map of what moves, nor the video shows the place."""
    settings = CameraSettings(source=Source(str(clip)), min_bird=16, mask=(LEFT,))
    out = tmp_path / f"tune.{suffix}"
    results = tuning.run(tuning.Order("cam", settings, 8.0, out), Stop(), Pipe(io.BytesIO()))
    assert results.scene[:, :320].max() == 0
    assert results.scene[:, 330:].max() > 100
    assert results.noise is not None
    assert len(np.unique(results.noise[:, : results.noise.shape[1] // 2 - 1])) == 1
    if suffix == "png":
        assert cv2.imread(str(out)) is not None
        return
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for frame in frames:  # what is written over the picture is at its edges
        assert frame[60:-60, :300].max() <= 24


def test_only_one_module_makes_pictures_of_frames() -> None:
    """There the mask is applied. A second way from a frame to colours would be a way around it."""
    colours = {"to_ndarray", "to_image", "to_rgb", "reformat"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in (PACKAGE / "camera").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in colours
    }
    # frame.py converts to luma and from a graphics device's memory; video.py converts what it drew itself, and
    # still.py a picture that somebody drew, into the colours of a camera
    # display.py makes frames of frames, upright, which are masked when they are made into pictures
    frames = {"camera/capture/frame.py", "camera/capture/display.py"}
    assert found == {"camera/crops.py", "camera/tuning/video.py", "camera/still.py"} | frames


def test_a_camera_with_a_mask_keeps_no_clips() -> None:
    """Clips are what the camera sent: nobody can see the mask in them, so nobody may store them."""
    with pytest.raises(ValueError, match="without the mask; set clips: off"):
        CameraSettings(source=Source("x.mp4"), mask=(LEFT,), clips=True)
    with pytest.raises(ValueError, match="clips, which are pictures too; set clips: off"):
        CameraSettings(source=Source("x.mp4"), store="nothing", clips=True)
    plain = CameraSettings(source=Source("x.mp4"), clips=True)
    assert plain.keeps_clips
    assert not plain.model_copy(update={"mask": (LEFT,)}).keeps_clips  # also where nobody looked
    assert not plain.model_copy(update={"store": "nothing"}).keeps_clips


def test_a_crop_that_is_encoded_keeps_its_black() -> None:
    """JPEG is lossy: a place that was made black must not come back."""
    picture = cut_crop(frame_of(bright()), Box(0.2, 0.1, 0.6, 0.8), PrivacyMask((LEFT,)))
    jpeg = decoded(encode_crop(picture).jpeg)
    half = picture.rgb.shape[1] // 2
    assert jpeg[:, : half - 8].max() <= 8


def test_the_camera_process_records_no_clips_with_a_mask(tmp_path: Path) -> None:
    """It would write them beside the pictures, whatever the main process asks for."""
    plain = CameraSettings(source=Source("x.mp4"), clips=True)
    for settings, records in ((plain, True), (plain.model_copy(update={"mask": (LEFT,)}), False)):
        watch = CameraWatch("cam", settings, Pipe(io.BytesIO()), Stop(), home=tmp_path)
        assert (watch._clips is not None) is records
        process = CameraProcess("cam", settings, Mailbox(Metrics()), Metrics(), print, home=tmp_path)
        assert (process._home is not None) is records
