"""The ablation study: a mechanism that is not really off, or stays off, would make the table a lie."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are no part of the installed package

import birdwatchd.camera.observer
from benchmarks.detection.ablation import WITH_ALL, Trial, from_json, merged, try_real
from benchmarks.detection.ablation_report import as_markdown, thresholds
from benchmarks.detection.mechanisms import MECHANISMS, mechanism_named
from benchmarks.detection.real import RealClip, RealScore, Span, real_clips, score_real, total_real
from benchmarks.detection.score import PredictedVisit, Score
from benchmarks.detection.switching import Mechanism, switched_off
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit

# -- switching off -------------------------------------------------------------------------------------------------


def made_of(mechanism: Mechanism) -> list[Any]:
    """What the package would use for a mechanism now."""
    motion = birdwatchd.camera.observer.MotionSettings(min_bird=30, ignore=())  # type: ignore[attr-defined]
    settings = [motion, birdwatchd.camera.observer.TrackerSettings()]  # type: ignore[attr-defined]
    return [*(resolve_name(target) for target in mechanism.replaced), *settings]


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_mechanism_is_off_inside_the_block_and_on_again_after_it(mechanism: Mechanism) -> None:
    """A name that was changed in the package must be an error here, not a row in which nothing was off."""
    before = made_of(mechanism)
    with switched_off(mechanism):
        inside = made_of(mechanism)
    changed = [a is not b and a != b for a, b in zip(before, inside, strict=True)]
    assert all(changed[: len(mechanism.replaced)])
    assert changed[-2] is bool(mechanism.motion or mechanism.background)
    assert changed[-1] is bool(mechanism.tracker)
    assert any(changed)
    assert made_of(mechanism) == before


def test_settings_that_are_not_replaced_stay_as_they_are() -> None:
    """The camera's own `min_bird` must reach the detector whatever is off."""
    with switched_off(Mechanism("", "", "", motion={"shake_share": 2.0}, background={"level_s": 9.0})):
        settings = birdwatchd.camera.observer.MotionSettings(min_bird=30, ignore=())  # type: ignore[attr-defined]
    assert settings == replace(
        MotionSettings(min_bird=30), shake_share=2.0, background=replace(MotionSettings().background, level_s=9.0)
    )


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Mechanism("", "", "", {"birdwatchd.camera.motion.detector:no_such_function": None}), AttributeError),
        (Mechanism("", "", "", tracker={"no_such_setting": 1.0}), TypeError),
        (Mechanism("", "", "", background={"no_such_setting": 1.0}), TypeError),
    ],
)
def test_what_is_not_there_cannot_be_switched_off(wrong: Mechanism, error: type[Exception]) -> None:
    with pytest.raises(error), switched_off(wrong):
        pass


def test_every_name_is_there_once() -> None:
    names = [mechanism.name for mechanism in MECHANISMS]
    assert len(names) == len(set(names))
    assert all(mechanism_named(name).name == name for name in names)


# -- recorded clips ------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """One bird from second 5 to second 9 of 12."""
    path = tmp_path / "clips" / "some__body" / "videos" / "tit.mp4"
    path.parent.mkdir(parents=True)
    visit = ScheduledVisit("Great tit", 5.0, 9.0, perch=1)
    write_clip(path, Scene(SceneSpec(5, 320, 180, 10), (visit,)), 0.0, 12.0)
    return path


def listed(tmp_path: Path, kind: str, **tables: str) -> list[RealClip]:
    (tmp_path / "list.csv").write_text(f"set,repository,path,kind\ndev,some/body,videos/tit.mp4,{kind}\n")
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return real_clips(tmp_path / "list.csv", tmp_path / "clips", [tmp_path / f"{name}.csv" for name in tables])


def test_a_labelled_frame_speaks_for_the_time_around_it(tmp_path: Path, film: Path) -> None:
    """Frames are labelled every second or two; unclear ones count neither way."""
    labels = "file,frame,bird_visible\ntit.mp4,0,0\ntit.mp4,60,1\ntit.mp4,80,1\ntit.mp4,100,?\ntit.mp4,110,0\n"
    (clip,) = listed(tmp_path, "bird", frames=labels)
    assert clip.name == "some/body/videos/tit.mp4"
    assert clip.seconds == pytest.approx(12.0)
    assert clip.spans == (Span(0.0, 3.0, False), Span(3.0, 7.0, True), Span(7.0, 9.0, True), Span(10.5, 12.0, False))


def test_between_labelled_intervals_there_is_no_bird(tmp_path: Path, film: Path) -> None:
    rows = "some/body,videos/tit.mp4,5,7,x,1\nsome/body,videos/tit.mp4,6,99,x,2\nsome/body,videos/tit.mp4,0,3,x,0\n"
    (clip,) = listed(tmp_path, "bird", intervals="repository,path,start_s,end_s,what,count\n" + rows)
    assert clip.spans == (Span(0.0, 5.0, False), Span(5.0, pytest.approx(12.0), True))  # type: ignore[arg-type]


def test_a_clip_without_a_bird_needs_no_label_and_one_with_a_bird_may_have_none(tmp_path: Path, film: Path) -> None:
    (empty,), (unknown,) = listed(tmp_path, "none"), listed(tmp_path, "bird")
    assert [(span.start_s, span.bird) for span in empty.spans] == [(0.0, False)]
    assert unknown.spans == ()


def test_a_missing_clip_and_a_table_of_something_else_are_errors(tmp_path: Path, film: Path) -> None:
    with pytest.raises(ValueError, match="weather"):
        listed(tmp_path, "bird", weather="day,weather\n1,rain\n")
    film.unlink()
    with pytest.raises(FileNotFoundError, match=r"tit\.mp4"):
        listed(tmp_path, "bird")


def visits(*spans: tuple[float, float]) -> Sequence[PredictedVisit]:
    return [PredictedVisit(str(n), start, end) for n, (start, end) in enumerate(spans)]


def test_time_in_visits_is_counted_once_and_only_where_something_is_known() -> None:
    """Two visits at once cover a bird's time as one does."""
    spans = (Span(0, 3, False), Span(3, 9, True), Span(10, 12, False))
    clip = RealClip("c", Path("c"), True, 12.0, spans)
    result = score_real(visits((2.0, 5.0), (4.0, 6.0), (9.0, 11.0)), clip)
    assert (result.bird_s, result.covered_s) == (6.0, 3.0)
    assert (result.empty_s, result.false_s) == (5.0, 2.0)
    assert (result.bird_clips, result.missed_clips, result.empty_clips, result.false_clips) == (1, 0, 0, 0)


def test_clips_without_a_visit_are_missed_only_if_they_have_a_bird() -> None:
    bird, empty = RealClip("b", Path("b"), True, 5.0, ()), RealClip("e", Path("e"), False, 5.0, (Span(0, 5, False),))
    both = total_real([score_real([], bird), score_real([], empty), score_real(visits((1, 2)), empty)])
    assert (both.bird_clips, both.missed_clips, both.empty_clips, both.false_clips) == (1, 1, 2, 1)
    assert (both.empty_s, both.false_s, both.visits) == (10.0, 1.0, 1)


# -- the study -----------------------------------------------------------------------------------------------------


def test_observers_that_share_a_clip_do_without_their_own_mechanism_only(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are given the same frames in turn; who does without nothing must see what it sees alone."""
    clip = RealClip("tit", film, True, 12.0, (Span(0, 5, False), Span(5, 9, True), Span(9, 12, False)))
    never: Callable[..., bool] = lambda *args: False  # noqa: E731
    blind = Mechanism("blind", "tracking", "", {"birdwatchd.camera.tracking.tracker:should_confirm": never})
    monkeypatch.setattr("benchmarks.detection.mechanisms.MECHANISMS", (*MECHANISMS, blind))
    (alone,) = try_real(clip, [])
    first, second, third = try_real(clip, ["blind", "ghost"])
    assert (first.without, second.without, third.without) == (WITH_ALL, "blind", "ghost")
    assert first.real == alone.real
    assert alone.real is not None
    assert alone.real.covered_s > 3.0
    assert second.real is not None
    assert (second.real.visits, second.real.missed_clips) == (0, 1)
    assert third.real is not None
    assert third.real.visits == alone.real.visits


SCORE = Score(hours=0.1, required=4, recalled=4, false_visits=1, fragments=(1, 1, 2, 1), count_errors=(0, 0, 1, 0))
REAL = RealScore(bird_s=10.0, covered_s=8.0, empty_s=20.0, false_s=3.0, bird_clips=2, missed_clips=1)


def trials(without: str, score: Score = SCORE, real: RealScore = REAL, cpu_s: float = 2.0) -> list[Trial]:
    return [Trial(without, "wind-0", "wind", score, None, cpu_s), Trial(without, "a/b.mp4", "", None, real, cpu_s)]


def test_trials_survive_json_and_are_replaced_by_newer_ones() -> None:
    """A long run is interrupted, and goes on with what `--json` has."""
    old = [*trials(WITH_ALL), *trials("ghost")]
    assert from_json(json.loads(json.dumps([trial.as_json() for trial in old]))) == old
    fresh = trials("ghost", cpu_s=9.0)
    assert merged(fresh, old) == [*fresh, *trials(WITH_ALL)]


def test_a_row_shows_what_differs_and_where() -> None:
    """Who reads sixty rows must see at once which mechanism does nothing."""
    found = [
        *trials(WITH_ALL),
        *trials("ghost", replace(SCORE, recalled=3, missed=(2,)), cpu_s=1.0),
        *trials("rois"),
        *trials("split", real=replace(REAL, covered_s=9.0)),
    ]
    lines = as_markdown(found, seed=3, minutes=1.0).splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}
    assert rows[WITH_ALL] == f"| {WITH_ALL} | 4/4 | 1 | 1.25 | 0.75 | 0 | 80% | 3 s | 1/2 | 100% |  |"
    assert rows["ghost"] == "| ghost | 3/4 | · | · | · | · | · | · | · | 50% | wind |"
    assert rows["rois"] == "| rois | · | · | · | · | · | · | · | · | 100% | nothing |"
    assert rows["split"] == "| split | · | · | · | · | · | 90% | · | · | 100% | 1 recorded |"
    assert f"{sum(thresholds())}." in "\n".join(lines)


def test_thresholds_are_what_nobody_but_a_developer_sets() -> None:
    """`min_bird` and `ignore` are keys of the configuration, and no thresholds."""
    assert thresholds()[2] == len(TrackerSettings.__slots__)
    assert thresholds()[0] == len(MotionSettings.__slots__) - 3
