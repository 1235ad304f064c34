"""Decoding on a graphics device where there is one; the same pictures from the CPU where there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import Acceleration, devices_to_try
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.settings.cameras import CameraSettings


@pytest.mark.parametrize(
    ("wanted", "devices", "tried"),
    [
        ("auto", {"cuda", "vaapi"}, ("cuda", "vaapi")),
        ("auto", {"vaapi"}, ("vaapi",)),
        ("auto", set(), ()),
        ("cpu", {"cuda", "vaapi"}, ()),
        ("cuda", set(), ("cuda",)),
        ("vaapi", {"cuda"}, ("vaapi",)),
    ],
)
def test_which_devices_are_tried(wanted: str, devices: set[str], tried: tuple[str, ...]) -> None:
    """`auto` costs nothing where no device is; a device that is named is tried, so that its absence is said."""
    assert devices_to_try(wanted, devices) == tried  # type: ignore[arg-type]


@pytest.fixture
def clip(tmp_path: Path) -> CameraSettings:
    path = tmp_path / "clip.mp4"
    write_clip(path, Scene(SceneSpec(3, 320, 180, 12), ()), 0.0, 3.0)
    return CameraSettings(source=Source(str(path)))


def count(clip: CameraSettings, acceleration: Acceleration) -> int:
    with Stream(clip.source, clip, lambda: datetime.now(UTC), acceleration=acceleration) as stream:
        return sum(1 for _ in stream.frames())


def test_a_device_that_fails_costs_one_line_and_no_picture(clip: CameraSettings) -> None:
    """The driver was updated and CUDA is gone: the birds are still seen, and the log says why the CPU is busy."""
    said: list[str] = []
    acceleration = Acceleration(("nothing", "cuda_of_another_machine"), said.append)
    assert count(clip, acceleration) == 36
    assert len(said) == 1
    assert "on the CPU" in said[0]
    assert count(clip, acceleration) == 36  # the stream is opened again: nothing new to say
    assert len(said) == 1


def test_without_devices_nothing_is_said(clip: CameraSettings) -> None:
    """Most machines have none; that is no news."""
    said: list[str] = []
    assert count(clip, Acceleration((), said.append)) == 36
    assert said == []
