"""The ablation study of naming: a mechanism that is not really off, or stays off, would make the table a lie."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest

from benchmarks.detection.switching import Mechanism, switched_off
from benchmarks.real.__main__ import main
from benchmarks.real.clips import Clip
from benchmarks.real.mechanisms import FEW_MOMENTS, MECHANISMS, WITH_ALL, Trial, mechanisms_table, trial_of
from benchmarks.real.sections import HEADINGS, kept_sections, with_section
from benchmarks.real.visits import Seen
from birdwatchd.address import Source
from birdwatchd.commands import scan
from birdwatchd.records import Box, Crop, FloatArray, Moment, Prediction, Rank, State, Verdict
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.network import network
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.species.verdict import fusion
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.species.verdict.second_look import SecondLooks
from birdwatchd.testing import drawn_scene, write_drawn_clip

DEMO = Path(__file__).parents[2] / "birdwatchd/species/weights/demo.safetensors"
CLASSES = ("Junco hyemalis hyemalis", "Junco hyemalis cismontanus", "Parus major", "Unknown")


def named(name: str) -> Mechanism:
    return next(mechanism for mechanism in MECHANISMS if mechanism.name == name)


def made_of(mechanism: Mechanism) -> list[Any]:
    return [resolve_name(target) for target in mechanism.replaced]


def logits(*p: tuple[float, ...]) -> FloatArray:
    return np.log(np.array(p, np.float32))


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_each_mechanism_is_off_only_inside_the_block(mechanism: Mechanism) -> None:
    """All that a mechanism is made of is replaced, and is back afterwards for the next row of the table."""
    before = made_of(mechanism)
    with switched_off(mechanism):
        assert all(now is not then for now, then in zip(made_of(mechanism), before, strict=True))
    assert all(now is then for now, then in zip(made_of(mechanism), before, strict=True))


def test_without_the_best_moments_all_count_the_same() -> None:
    """One sure look among four empty ones makes the name, or is outvoted by them."""
    looks = logits((0.01, 0.01, 0.97, 0.01), *[(0.1, 0.1, 0.1, 0.7)] * 4)
    judge = Fusion(bundled_taxonomy().labels(CLASSES), SpeciesSettings())
    assert judge.fuse(looks).species == "Parus major"
    with switched_off(named("best-moments")):
        verdict = judge.fuse(looks)
    mean = np.exp(np.array(judge.by_species.merge(looks), np.float64).mean(axis=0))
    assert verdict.state is not State.CONFIRMED
    assert verdict.top[0] == ("Unknown", pytest.approx(mean.max() / mean.sum(), abs=1e-4))


def test_without_the_second_look_no_picture_is_chosen_for_one() -> None:
    """The mechanism is off where it decides, so that no time is spent on brightened copies either."""
    judge = Fusion(bundled_taxonomy().labels(CLASSES), SpeciesSettings())
    (row,) = logits((0.2, 0.2, 0.3, 0.3))
    moment = Moment(0, datetime(2026, 5, 1, tzinfo=UTC), Box(0, 0, 1, 1), 0.5, Crop(b"", 1, 1))
    look = Prediction("visit", moment, row, np.ones(2, np.float32))
    assert SecondLooks(judge.running().branch()).choose([look]) == [look]
    with switched_off(named("second-look")):
        assert SecondLooks(judge.running().branch()).choose([look]) == []


def test_without_many_moments_a_scan_asks_for_fewer() -> None:
    """The cameras of a scan get the number with their settings."""
    default = CameraSettings(source=Source("/"))
    with switched_off(named("many-moments")):
        few = scan.CameraSettings(source=default.source)  # type: ignore[attr-defined]
    assert few.max_moments == FEW_MOMENTS < default.max_moments


def test_without_names_subspecies_are_strangers() -> None:
    """Each junco has half of the probability of its species, and without a table for it not even a genus."""
    looks = logits(*[(0.48, 0.47, 0.04, 0.01)] * 3)
    with_all = Fusion(bundled_taxonomy().labels(CLASSES), SpeciesSettings()).fuse(looks)
    assert (with_all.scientific_name, with_all.score) == ("Junco hyemalis", pytest.approx(0.95, abs=0.01))
    with switched_off(named("same-species")):
        alone = fusion.Fusion(bundled_taxonomy().labels(CLASSES), SpeciesSettings()).fuse(looks)
    assert (alone.rank, alone.scientific_name) == (Rank.GENUS, "Junco")
    assert alone.top[0][1] == pytest.approx(0.48, abs=0.01)
    with switched_off(named("names-of-the-world")):
        labels = network.bundled_taxonomy().labels(CLASSES)  # type: ignore[attr-defined]
        strangers = fusion.Fusion(labels, SpeciesSettings()).fuse(looks)
    assert (strangers.state, strangers.rank) == (State.UNCERTAIN, Rank.SPECIES)
    assert [label.common_name for label in labels] == [*CLASSES[:2], "Great tit", "Unknown"]
    assert [label.is_species for label in labels] == [True, True, True, False]


def seen(path: str, state: State, species: str | None = None) -> Seen:
    rank = Rank.SPECIES if species else Rank.BIRD
    return Seen(Path(path), Verdict(state, rank, species, species, 0.9, ()), None)


CLIPS = [
    Clip("a/b:t", Path("t"), True, frozenset({"Parus major", "Dryobates pubescens"})),
    Clip("a/b:u", Path("u"), True, frozenset({"Parus major"})),
    Clip("a/b:s", Path("s"), False, frozenset()),
]


def test_what_a_row_counts() -> None:
    """An old name is right; a family that is confirmed where there is no bird is false."""
    visits = [
        seen("t", State.CONFIRMED, "Picoides pubescens"),
        seen("t", State.CONFIRMED, "Passer domesticus"),
        seen("t", State.REJECTED),
        seen("s", State.CONFIRMED),
        seen("s", State.UNKNOWN),
    ]
    assert trial_of("x", CLIPS, visits, 2.0) == Trial("x", 1, 1, 1, 3, 1, 1, 2.0)


def test_the_table() -> None:
    """A row for each scan, what is missing in each, and figures only."""
    table = mechanisms_table(
        [Trial(WITH_ALL, 10, 1, 0, 63, 6, 0, 86.4), Trial("second-look", 8, 1, 0, 63, 7, 0, 80)], CLIPS
    )
    assert "clips with a right name, of 2 " in table
    assert "in the 1 clips without birds" in table
    assert (
        "\n| (nothing) | 10 | 1 | 0 | 6 of 63 | 0 | 86 s |\n| second-look | 8 | 1 | 0 | 7 of 63 | 0 | 80 s |\n" in table
    )
    assert all(f"- `{mechanism.name}`: {mechanism.what}.\n" in table for mechanism in MECHANISMS)


def test_each_command_writes_its_own_section_of_the_page() -> None:
    """What took minutes to measure is not lost when another section is measured again."""
    page = "# Page\n\nText.\n\n## In sum\n\n1\n"
    both = with_section(with_section(page, HEADINGS[1], "live 1"), HEADINGS[0], "mechanisms 1")
    assert both == f"{page}\n{HEADINGS[0]}\n\nmechanisms 1\n\n{HEADINGS[1]}\n\nlive 1\n"
    again = with_section(both, HEADINGS[1], "live 2\n")
    assert again == both.replace("live 1", "live 2")
    assert kept_sections("# Page\n\nNew.\n\n## In sum\n\n2\n", again) == again.replace("Text", "New").replace(
        "\n1\n", "\n2\n"
    )
    assert kept_sections(page, "") == page


def test_a_drawn_clip_without_each_mechanism(tmp_path: Path) -> None:
    """Every row is a scan of its own; the drawn birds need no mechanism to be found."""
    (tmp_path / "a__b").mkdir()
    write_drawn_clip(tmp_path / "a__b/x.mp4", drawn_scene(3, 16.0), 16.0)
    table = tmp_path / "clips.csv"
    table.write_text("repository,path,kind,species\na/b,x.mp4,bird,Parus major\n")
    page = tmp_path / "page.md"
    main([str(table), str(tmp_path), "--model", str(DEMO), "--mechanisms", "--markdown", str(page)])
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[1:]] == [
        f"| {name}" for name in (WITH_ALL, *(m.name for m in MECHANISMS))
    ]
    assert all(row.split(" | ")[3] == "0" for row in rows[1:])  # no clip without a visit
