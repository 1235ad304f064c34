"""Which frames of a visit the network gets to see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.camera.best_shot import MIN_GAP_S, PER_SECOND, SPREAD_S, MomentPicker, quality_of, window_s
from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.records import Box, Moment

AT = datetime(2026, 5, 1, tzinfo=UTC)
MIDDLE = Box(0.3, 0.3, 0.3, 0.3)


def feathers(seed: int, blur: float, side: int = 400) -> np.ndarray[Any, Any]:
    """Something with fine texture, out of focus by `blur` pixels, at full contrast."""
    noise = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), blur)
    return np.asarray(cv2.normalize(soft, np.empty_like(soft), 0, 255, cv2.NORM_MINMAX))


def test_sharp_large_and_whole_beats_blurred_small_and_cut() -> None:
    """The saved picture must not be the worst one: blurred, or the tail only."""
    sharp, blurred = feathers(1, blur=1.2), feathers(1, blur=4.0)
    middle = Box(0.3, 0.3, 0.3, 0.3)
    good = quality_of(sharp, middle)
    assert good > 1.2 * quality_of(blurred, middle)
    assert good > quality_of(sharp, Box(0.45, 0.45, 0.1, 0.1))
    assert good > 2 * quality_of(sharp, Box(0.0, 0.3, 0.3, 0.3))


@pytest.fixture(scope="module")
def looks() -> tuple[Frame, Frame]:
    """A sharp frame and a blurred one."""

    def frame(blur: float) -> Frame:
        picture = av.VideoFrame.from_ndarray(feathers(1, blur, side=160), format="gray")
        return Frame(picture, luma_of(picture), picture.width, picture.height, AT, 0.0, 0.0)

    return frame(1.0), frame(4.0)


def moments_of(
    picker: MomentPicker, looks: tuple[Frame, Frame], seconds: float, *, fps: int = 10, birds: int = 1
) -> list[Moment]:
    """What a picker gives of a bird that stays so long; every third frame is a sharp one."""
    sharp, blurred = looks
    found = []
    for number in range(round(seconds * fps)):
        now_s = number / fps
        frame = replace(sharp if number % 3 == 2 else blurred, at=AT + timedelta(seconds=now_s))
        picker.offer(frame, MIDDLE, now_s)
        moment = picker.due(now_s, birds=birds)
        found += [moment] if moment else []
    last = picker.due(seconds, ending=True)
    return found + ([last] if last else [])


def seconds_of(moments: list[Moment]) -> list[float]:
    return [(moment.at - AT).total_seconds() for moment in moments]


def test_moments_are_numbered_apart_and_the_best_of_their_window(looks: tuple[Frame, Frame]) -> None:
    """Two pictures of one wing beat prove nothing, and a blurred one next to a sharp one is a wasted look."""
    moments = moments_of(MomentPicker(24), looks, 5.0)
    assert [moment.index for moment in moments] == list(range(len(moments)))
    at_s = seconds_of(moments)
    assert all(b - a >= MIN_GAP_S for a, b in pairwise(at_s))
    assert all(round(second * 10) % 3 == 2 for second in at_s)


def test_a_bird_of_a_few_seconds_is_looked_at_many_times(looks: tuple[Frame, Frame]) -> None:
    """In a visit of four seconds the bird turns its head once: four looks miss it, a dozen do not."""
    at_s = seconds_of(moments_of(MomentPicker(24), looks, 4.0))
    assert at_s[0] <= 0.3
    assert len(at_s) >= 11


def test_the_looks_at_a_bird_that_stays_are_spread_over_minutes(looks: tuple[Frame, Frame]) -> None:
    """A dove that sleeps on the feeder must not cost its whole budget before it lifts its head."""
    at_s = seconds_of(moments_of(MomentPicker(24), looks, SPREAD_S + 60, fps=5))
    assert len(at_s) == 24
    assert 0.6 * SPREAD_S < at_s[-1] <= SPREAD_S + 24 * 0.4
    assert sum(second < 10 for second in at_s) >= 12


@given(st.integers(1, 64))
def test_any_budget_is_dense_at_first_and_spread_later(max_moments: int) -> None:
    """A small machine with a small budget has to see the end of a visit as well."""
    windows = [window_s(number, max_moments) for number in range(max_moments)]
    assert all(b >= a for a, b in pairwise(windows))
    assert windows[0] == 0.25
    if max_moments > 1:
        assert sum(windows) == pytest.approx(SPREAD_S, abs=0.1)


def test_a_flock_shares_what_one_camera_may_ask_of_the_network(looks: tuple[Frame, Frame]) -> None:
    """Twenty sparrows would bury a small machine's classifier; each still gets its first look at once."""
    flock = [moments_of(MomentPicker(24), looks, 5.0, birds=20) for _ in range(20)]
    assert all(seconds_of(moments)[0] <= 0.3 for moments in flock)
    later = sum(len(moments) - 1 for moments in flock)
    assert 0 < later <= 5 * PER_SECOND + len(flock)  # the last of each comes with the end of its visit


def test_a_view_with_another_bird_in_it_is_second_choice(looks: tuple[Frame, Frame]) -> None:
    """A tit beside a woodpecker is named after the woodpecker."""
    sharp, _ = looks
    picker = MomentPicker(24)
    picker.offer(sharp, MIDDLE, 0.0, alone=False)
    picker.offer(replace(sharp, at=AT + timedelta(seconds=0.1)), MIDDLE, 0.1)
    moment = picker.due(0.3)
    assert moment is not None
    assert seconds_of([moment]) == [0.1]


def test_a_short_visit_still_gives_its_picture(looks: tuple[Frame, Frame]) -> None:
    """Some birds pick up a seed and are gone within a second."""
    picker = MomentPicker(4)
    picker.offer(looks[0], MIDDLE, 0.0)
    assert picker.due(0.05) is None
    moment = picker.due(0.05, ending=True)
    assert moment is not None
    assert moment.index == 0


def test_nothing_is_given_or_measured_beyond_the_budget(looks: tuple[Frame, Frame]) -> None:
    """`max_moments` is a promise about what a visit costs."""
    picker = MomentPicker(1)
    assert len(moments_of(picker, looks, 5.0)) == 1
    assert not picker.needs_more
    assert not picker.would_measure(AT + timedelta(seconds=60), 60.0)
