"""What a scan says of a recording: whole, cut off, or nothing to be seen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.place import Places
from birdwatchd.camera.process.scan import scan_file
from birdwatchd.camera.process.wire import FileDone, Item, Pipe
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.records import CameraStatus
from birdwatchd.settings.cameras import CameraSettings


def scanned(path: Path, places: Places | None = None) -> list[Item]:
    """What the process of a scan sends of a file."""

    class Kept:
        def __init__(self) -> None:
            self.items: list[Item] = []

        def send(self, item: Item) -> None:
            self.items.append(item)

    pipe = Kept()
    settings = CameraSettings(source=Source(str(path)))
    scan_file("scan", settings, str(path), cast(Pipe, pipe), Acceleration((), lambda line: None), places)
    return pipe.items


def error_of(path: Path) -> str:
    """How the scan of a file ended."""
    done = scanned(path)[-1]
    assert isinstance(done, FileDone)
    return done.error


def write(
    path: Path, seconds: float = 10.0, rate: Fraction = Fraction(10), sound_s: float = 0.0, *, lens_cap: bool = False
) -> Path:
    """A recording of a wall in the sun with a little noise in it, and with sound of another length."""
    chance = np.random.default_rng(3)
    wall = np.zeros((120, 160, 3)) if lens_cap else np.linspace(90, 190, 160)[None, :, None] * np.ones((120, 1, 3))
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound: Any = container.add_stream("mp2", rate=16_000) if sound_s else None
        for number in range(round(seconds * rate)):
            noisy = wall + chance.integers(0, 20, (120, 160, 3))
            picture = av.VideoFrame.from_ndarray(noisy.astype(np.uint8), "rgb24")
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode())
        for start in range(0, round(16_000 * sound_s), 1152):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 16_000, start
            container.mux(sound.encode(samples))
        if sound is not None:
            container.mux(sound.encode())
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """What is left of a file whose copy broke off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def test_the_first_recording_of_a_place_is_told_from_those_that_know_it(tmp_path: Path) -> None:
    """A bird that sits still all through the only recording of a place is not seen, and a person should know."""
    feeders = [SceneSpec(31, 320, 180, 12), SceneSpec(31, 320, 180, 12), SceneSpec(77, 320, 180, 12)]
    places, told = Places(), []
    for number, feeder in enumerate(feeders):
        write_clip(tmp_path / f"{number}.mp4", Scene(feeder, ()), 0.0, 4.0)
        done = scanned(tmp_path / f"{number}.mp4", places)[-1]
        assert isinstance(done, FileDone)
        told.append(done.new_place)
    assert told == [True, False, True]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_sound_that_goes_on_is_no_reason_to_copy_it_again(tmp_path: Path, suffix: str) -> None:
    """Some cameras write sound until they are switched off, and the whole file was called cut off."""
    assert error_of(write(tmp_path / f"a{suffix}", sound_s=25.0)) == ""


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_copy_that_broke_off_is_cut_off(tmp_path: Path, suffix: str) -> None:
    """The bird is in the other half, and only the card still has it."""
    path = write(tmp_path / f"a{suffix}")
    assert error_of(path) == ""
    assert f"a{suffix}: is cut off: " in error_of(cut(path))
    assert " s of 10.0 s could be read; copy it again" in error_of(path)


def test_a_time_lapse_is_whole(tmp_path: Path) -> None:
    """Its last picture begins ten seconds before the end."""
    assert error_of(write(tmp_path / "a.mp4", 100.0, Fraction(1, 10))) == ""


def test_a_file_without_one_good_picture_has_failed(tmp_path: Path) -> None:
    """It looked like ten seconds in which no bird came."""
    path = write(tmp_path / "a.avi")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for packet in packets:
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    assert error_of(path).endswith("a.avi: not one picture could be decoded; copy it again from the card")


def test_a_recording_in_which_nothing_could_be_watched_says_so(tmp_path: Path) -> None:
    """A clip of a few pictures is over before its scene is known, and is not free of birds."""
    notices = [item.notice for item in scanned(write(tmp_path / "a.mp4", 0.3)) if isinstance(item, CameraStatus)]
    assert f"{tmp_path}/a.mp4: no bird could be looked for; it is too short, or its picture is never still" in notices
    for seconds in (1.0, 10.0):
        watched = scanned(write(tmp_path / "b.mp4", seconds))
        assert not any(isinstance(item, CameraStatus) and item.notice for item in watched)


def test_a_recording_in_which_birds_could_hardly_be_seen_says_so(tmp_path: Path) -> None:
    """Its owner takes a card without visits for a week without birds, and leaves the lens cap on."""
    said = scanned(write(tmp_path / "a.mp4", lens_cap=True))
    notices = [item.notice for item in said if isinstance(item, CameraStatus) and item.notice]
    (notice,) = notices
    assert notice.startswith(f"{tmp_path}/a.mp4: for 10 of 10 s birds could hardly be seen: the picture is black; ")
    done = said[-1]
    assert isinstance(done, FileDone)
    assert done.error == "", "it was read to its end all the same"
