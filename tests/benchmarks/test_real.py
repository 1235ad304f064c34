"""Rules of naming on real footage: each does what its program does, and the page counts it right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.real.__main__ import main
from benchmarks.real.clips import Clip, read_clips
from benchmarks.real.page import page
from benchmarks.real.rules import (
    RULES,
    Moments,
    majority,
    mean_logits,
    mean_probabilities,
    median_of_best,
    running_mean_logits,
    single_best,
)
from benchmarks.real.score import OURS, Score, coarser, said_by, score, total
from benchmarks.real.visits import Model, Seen
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict.same_species import SameSpecies
from birdwatchd.testing import drawn_scene, write_drawn_clip

TIT, SPARROW, NONE = 0, 1, 2
MODEL = Model(
    Path("m.safetensors"), "0" * 64, SameSpecies(bundled_taxonomy().labels(["Great tit", "House sparrow", "Unknown"]))
)
DEMO = Path(__file__).parents[2] / "birdwatchd/species/weights/demo.safetensors"


def moments(*p: tuple[float, float, float], every_s: float = 0.5) -> Moments:
    """Probabilities of great tit, house sparrow and no bird in each moment."""
    times = tuple(100.0 + every_s * number for number in range(len(p)))
    return Moments(times, np.log(np.array(p)), np.array([True, True, False]))


SURE, FAIR, OTHER, EMPTY = (0.95, 0.04, 0.01), (0.75, 0.2, 0.05), (0.05, 0.85, 0.1), (0.01, 0.01, 0.98)


def test_one_lucky_picture_is_enough_for_the_highest_score() -> None:
    """Four sparrows and one picture that is sure of a tit: a tit. An empty picture is passed over."""
    assert single_best(moments(OTHER, OTHER, SURE, OTHER, OTHER)) == TIT
    assert single_best(moments(FAIR, FAIR, FAIR)) is None
    assert single_best(moments(EMPTY, SURE)) == TIT
    assert single_best(moments(EMPTY, FAIR)) is None


def test_the_median_needs_three_of_a_majority() -> None:
    """Two pictures are too few, however sure; so are three within a tenth of a second, or half of six."""
    assert median_of_best(moments(SURE, SURE)) is None
    assert median_of_best(moments(SURE, FAIR, FAIR)) == TIT
    assert median_of_best(moments(SURE, FAIR, FAIR, every_s=0.1)) is None
    assert median_of_best(moments(SURE, SURE, SURE, OTHER, OTHER, OTHER)) is None
    assert median_of_best(moments(SURE, SURE, SURE, OTHER, OTHER)) == TIT
    assert median_of_best(moments(*[(0.6, 0.3, 0.1)] * 5)) is None
    assert median_of_best(moments(*[SURE] * 5, *[(0.4, 0.3, 0.3)] * 20)) == TIT  # the best five count
    assert median_of_best(moments(EMPTY, EMPTY, EMPTY)) is None


def test_the_running_mean_ends_at_the_first_that_is_sure() -> None:
    """Nine sparrows after the first tit change nothing."""
    assert running_mean_logits(moments(FAIR, *[OTHER] * 9)) == TIT
    assert running_mean_logits(moments(EMPTY, *[OTHER] * 9)) is None
    four = Moments((0.0,), np.log(np.full((1, 4), 0.25)), np.ones(4, bool))
    assert running_mean_logits(four) is None


def test_means_weigh_all_pictures() -> None:
    """Logits let the sure ones speak louder, probabilities do not."""
    assert mean_logits(moments(FAIR, FAIR, FAIR)) == mean_probabilities(moments(FAIR, FAIR, FAIR)) == TIT
    one_sure = moments((0.998, 0.001, 0.001), (0.45, 0.5, 0.05))
    assert mean_logits(one_sure) == TIT
    assert mean_probabilities(moments((0.999, 0.0005, 0.0005), (0.3, 0.65, 0.05))) is None
    assert mean_logits(moments(EMPTY, EMPTY)) is None
    unsure = moments((0.5, 0.3, 0.2), (0.4, 0.35, 0.25))
    assert (mean_logits(unsure), mean_logits(unsure, 0.3)) == (None, TIT)
    assert (mean_probabilities(unsure), mean_probabilities(unsure, 0.5)) == (None, None)


def test_the_majority_need_not_be_sure() -> None:
    """Half is no majority, and one that is for no bird says nothing."""
    assert majority(moments((0.4, 0.3, 0.3), (0.4, 0.3, 0.3), OTHER)) == TIT
    assert majority(moments(SURE, OTHER)) is None
    assert majority(moments(EMPTY, EMPTY, SURE)) is None


def seen(path: str, given: Moments | None, species: str | None = None, group: str | None = None) -> Seen:
    state = State.CONFIRMED if species or group else State.UNKNOWN
    rank = Rank.SPECIES if species else Rank.GENUS if group else Rank.BIRD
    return Seen(Path(path), Verdict(state, rank, species, species or group, 0.9, ()), given)


def test_what_is_right_wrong_and_nothing() -> None:
    """A name is right if it is one of the clip's; in a clip without birds every name is wrong."""
    tits, street = (
        Clip("a/b:t.mp4", Path("t"), True, frozenset({"Parus major"})),
        Clip("a/b:s", Path("s"), False, frozenset()),
    )
    visits = [seen("t", moments(SURE, SURE), "Parus major"), seen("t", moments(OTHER), None, "Parus"), seen("t", None)]
    said = said_by(visits, MODEL)
    assert said["majority vote (WatchMyBirds)"] == ["Parus major", "Passer domesticus", None]
    assert said[OURS] == ["Parus major", None, None]
    assert score(tits, said["majority vote (WatchMyBirds)"]) == Score(1, 1, 1, 1, 1)
    assert score(street, said[OURS]) == Score(0, 1, 2, 0, 1)
    assert total([Score(1, 1, 1, 1, 1), Score(0, 1, 2, 0, 1)]) == Score(1, 2, 3, 1, 2)
    assert coarser(tits, visits, {"Parus major": "Paridae"}) == (1, 0)
    assert coarser(street, visits, {}) == (0, 1)


def test_the_page_has_every_rule_and_every_clip() -> None:
    """Figures only: names of clips, no picture, and no folder of the machine that measured."""
    clips = [
        Clip("a/b:t.mp4", Path("/secret/t"), True, frozenset({"Parus major"})),
        Clip("a/b:s", Path("/secret/s"), False, frozenset()),
    ]
    text = page(
        clips, [seen("/secret/t", moments(SURE, SURE, SURE), "Parus major"), seen("/secret/s", moments(OTHER))], MODEL
    )
    assert all(f"| {rule} | " in text for rule in (*RULES, OURS))
    assert "| mean of logits, from 0.7 | 1 | 0 | 0 | 1 | 0 | 1 | 1 |" in text
    assert f"| {OURS} | 1 | 0 | 0 | 1 | 0 | 0 | 0 |" in text
    assert "| a/b:t.mp4 | 1 / 0 / 0 |" in text
    assert "- a/b:s: 1 visit; running mean of logits, from 0.3 (bird-feeder-ai): Passer domesticus;" in text
    assert "secret" not in text


def test_the_list_of_clips(tmp_path: Path) -> None:
    """Species may have the names of some years ago; a clip that is missing is an error, not a gap in the figures."""
    (tmp_path / "a__b/videos").mkdir(parents=True)
    (tmp_path / "a__b/videos/x.mp4").touch()
    table = tmp_path / "clips.csv"
    head = "set,repository,path,kind,species,note\n"
    table.write_text(f"{head}dev,a/b,videos/x.mp4,bird,Picoides pubescens|Gallus gallus domesticus,\n")
    (clip,) = read_clips(table, [tmp_path / "none", tmp_path])
    assert (clip.name, clip.has_bird, clip.path.name) == ("a/b:videos/x.mp4", True, "x.mp4")
    assert clip.species == {"Dryobates pubescens", "Gallus gallus"}
    table.write_text(f"{head}dev,a/b,videos/y.mp4,none,,\n")
    with pytest.raises(FileNotFoundError, match=r"a__b/videos/y\.mp4, a clip of .*clips\.csv"):
        read_clips(table, [tmp_path])


def test_a_drawn_clip_from_beginning_to_end(tmp_path: Path) -> None:
    """The scan is the product's own, so the page must say what a scan says."""
    scene = drawn_scene(3, 16.0)
    (tmp_path / "a__b").mkdir()
    visits = write_drawn_clip(tmp_path / "a__b/x.mp4", scene, 16.0)
    names = "|".join(sorted({bundled_taxonomy().label(visit.species).scientific_name or "" for visit in visits}))
    table = tmp_path / "clips.csv"
    table.write_text(f"repository,path,kind,species\na/b,x.mp4,bird,{names}\n")
    main([str(table), str(tmp_path), "--model", str(DEMO), "--markdown", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert f"| {OURS} | {len(visits)} | 0 | 0 | 1 | 0 | 0 | 0 |" in text
