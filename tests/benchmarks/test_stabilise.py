"""The comparison of ways to find a shift is worth as much as its truth: signs, scales and tables."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.stabilise.__main__ import measure
from benchmarks.stabilise.page import page
from benchmarks.stabilise.trials import COVERS, REPEATS, SHIFTS, Trial, drawn_scene, recorded_scene, trials_of
from benchmarks.stabilise.ways import WAYS, Way
from birdwatchd.camera.motion.grid import Grid


@pytest.fixture(scope="module")
def clean() -> list[Trial]:
    return list(trials_of(drawn_scene(1, 480, 270), 1, coded=False))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_finds_a_shift_that_nothing_hides(way: Way, clean: list[Trial]) -> None:
    """A sign or a scale that is wrong would make a library look bad."""
    grid = Grid(480, 270, 10)
    find = way.finder(clean[0].reference, grid)
    for trial in clean:  # whatever it has seen before
        find(way.shrink(trial.frame, grid))
    easy = [trial for trial in clean if trial.cover == 0 and 1.0 <= math.hypot(trial.dx, trial.dy) <= 5.01]
    errors = []
    for trial in easy:
        found = find(way.shrink(trial.frame, grid))
        assert found is not None
        errors.append(math.hypot(found[0] - trial.dx, found[1] - trial.dy))
    assert np.median(errors) < 0.5
    assert max(errors[-4:]) < 1.5, "OpenCV may write over its arguments: the last frame counts as much as the first"
    assert len(easy) == REPEATS * sum(1.0 <= shift <= 5.0 for shift in SHIFTS)


def test_a_bird_hides_as_much_as_it_should(clean: list[Trial]) -> None:
    """A way that is called robust to half a frame must have been shown that."""
    for cover in COVERS:
        still = [t for t in clean if t.cover == cover and math.hypot(t.dx, t.dy) == 0]
        for trial in still:
            differs = np.abs(trial.frame.astype(np.float32) - trial.reference) > 4
            assert differs.mean() == pytest.approx(cover, abs=0.08)


def test_the_page_has_every_way_and_both_kinds_of_scene(tmp_path: Path) -> None:
    """It is written by the command; nobody reads it before it is committed."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        picture = np.random.default_rng(1).integers(0, 255, (15, 20, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
    scenes = [drawn_scene(1, 320, 180), recorded_scene(path)]
    text = page(list(measure(scenes, 0)))
    for way in WAYS:
        assert text.count(f"| {way.name} |") == 7
    assert "## Drawn scenes" in text
    assert "## Scenes of recordings\n\n1 scenes" in text
    assert "nan" not in text
