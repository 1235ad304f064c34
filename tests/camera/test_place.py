"""What is known of a recording's place from the recordings beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.preview import spread_frames
from birdwatchd.camera.motion.grid import Grid
from birdwatchd.camera.place import KEPT_SCENES, Places
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.settings.cameras import CameraSettings

GRID = Grid(320, 180, 16)


def settings(path: Path) -> CameraSettings:
    return CameraSettings(source=Source(str(path)))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Five clips of one camera, one of another size, a text file, and a clip that is none."""
    for number in range(5):
        write_clip(tmp_path / f"clip{number}.mp4", Scene(SceneSpec(1, 320, 180, 10), ()), 0.0, 2.0)
    write_clip(tmp_path / "clip2-large.mp4", Scene(SceneSpec(1, 640, 360, 10), ()), 0.0, 2.0)
    (tmp_path / "clip2-notes.txt").write_text("feeder filled")
    (tmp_path / "clip3-broken.mp4").write_bytes(b"no video")
    return tmp_path


def test_the_recordings_that_come_before_it_by_name_show_its_place(card: Path) -> None:
    """Those of another size, and what is no video, are left out; what comes after does not count."""
    assert Places().recording(settings(card / "clip0.mp4")).earlier(GRID) == []
    assert len(Places().recording(settings(card / "clip1.mp4")).earlier(GRID)) == 1
    # before clip4: clip3, clip3-broken, clip2
    assert len(Places().recording(settings(card / "clip4.mp4")).earlier(GRID)) == 2
    # before clip2: clip2-large, clip1, clip0
    assert len(Places().recording(settings(card / "clip2.mp4")).earlier(GRID)) == 2


def test_a_recording_that_was_watched_before_is_not_read_again(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(source: Source, given: CameraSettings) -> list[NDArray[np.uint8]]:
        read.append(Path(source.location).name)
        return list(spread_frames(source, given))

    monkeypatch.setattr("birdwatchd.camera.place.spread_frames", counted)
    places = Places()
    first = places.recording(settings(card / "clip1.mp4"))
    scene = first.earlier(GRID)[0]
    first.remember(GRID, scene, seen_before=False)
    assert read == ["clip0.mp4"]
    assert len(places.recording(settings(card / "clip2.mp4")).earlier(GRID)) == 2
    assert read == ["clip0.mp4", "clip2-large.mp4"]


def test_what_is_kept_is_bounded(card: Path) -> None:
    places = Places()
    scene = places.recording(settings(card / "clip1.mp4")).earlier(GRID)[0]
    for number in range(100):
        places.remember(settings(card / f"other{number}.mp4"), GRID, scene)
    assert len(places._scenes) == KEPT_SCENES
