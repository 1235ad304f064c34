"""The time with a bird that is inside a visit is counted as the page of figures says, and a swaying clip sways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.real.presence import (
    Covered,
    Samples,
    covered,
    inside,
    presence_section,
    read_intervals,
    read_samples,
    sway,
)

WIDTH, HEIGHT, RATE = 320, 64, 24


def test_unclear_frames_are_no_samples(tmp_path: Path) -> None:
    table = tmp_path / "frames.csv"
    table.write_text("file,frame,bird_visible\na.mp4,0,1\na.mp4,24,0\na.mp4,48,?\nb.mp4,5,1\n", encoding="utf-8")
    assert read_samples(table) == {"a.mp4": Samples((0,), (24,)), "b.mp4": Samples((5,), ())}


def test_intervals_without_a_bird_are_left_out(tmp_path: Path) -> None:
    table = tmp_path / "seconds.csv"
    text = "repository,path,start_s,end_s,what,count\no/n,a.mp4,1,2.5,wren,1\no/n,b.mp4,0,9,none: leaves,0\n"
    table.write_text(text, encoding="utf-8")
    assert read_intervals(table) == {"o/n:a.mp4": [(1.0, 2.5)]}


def test_samples_are_counted_to_a_frame() -> None:
    samples = {"a.mp4": Samples((0, 23, 24, 48, 49, 50), (10, 47, 72))}
    found = inside(samples, {"a.mp4": [(1.0, 2.0)]}, {"a.mp4": 24.0})
    assert found == Covered(seen=6, seen_inside=4, empty=3, empty_inside=1)


def test_a_file_without_a_visit_counts() -> None:
    assert inside({"a.mp4": Samples((1,), (2,))}, {}, {"a.mp4": 24.0}) == Covered(1, 0, 1, 0)


@pytest.mark.parametrize(
    ("visits", "share"), [([], 0.0), ([(0.0, 10.0)], 1.0), ([(1.0, 2.0), (1.5, 3.0)], 0.5), ([(4.0, 9.0)], 0.0)]
)
def test_time_is_counted_once_where_birds_or_visits_overlap(visits: list[tuple[float, float]], share: float) -> None:
    assert covered([(0.0, 3.0), (1.0, 4.0)], visits) == share


def test_a_swaying_clip_moves_by_the_share_of_its_width_and_comes_back(tmp_path: Path) -> None:
    still, swaying = tmp_path / "still.mp4", tmp_path / "swaying.mp4"
    with av.open(str(still), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", {"crf": "1"}
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        picture[:, 150:170] = 220
        for _ in range(RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    sway(still, swaying, widths=8 / WIDTH)
    with av.open(str(swaying)) as container:
        grey = [frame.to_ndarray(format="gray").astype(float) - 40 for frame in container.decode(video=0)]
    columns = np.arange(WIDTH)
    centres = [float((one.clip(0).sum(axis=0) * columns).sum() / one.clip(0).sum()) for one in grey]
    assert len(centres) == RATE
    assert centres[RATE // 4] - centres[0] == pytest.approx(8, abs=0.5)
    assert centres[3 * RATE // 4] - centres[0] == pytest.approx(-8, abs=0.5)
    assert centres[RATE // 2] - centres[0] == pytest.approx(0, abs=0.5)


def test_the_section_has_both_tables() -> None:
    text = presence_section(Covered(72, 70, 53, 3), [Covered(72, 66, 53, 4)] * 3, {"o/n:a.mp4": 0.5, "o/n:b.mp4": 1.0})
    assert "| as they are | 72 | 70 | 53 | 3 |\n| swaying, from 0.00 of a swing | 72 | 66 | 53 | 4 |" in text
    assert "| mean | 0.75 |" in text
