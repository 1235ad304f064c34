"""Count what each rule says, visit by visit: right, wrong or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.real.clips import Clip
from benchmarks.real.rules import RULES
from benchmarks.real.visits import Model, Seen

__all__ = ["OURS", "Score", "coarser", "said_by", "score", "total"]

OURS = "**birdwatchd**"


@dataclass(frozen=True, slots=True)
class Score:
    """What one rule said of the visits in some clips.

    Attributes:
        right, wrong, nothing: visits.
        right_clips: clips of which at least one visit has a right name.
        wrong_clips: clips of which at least one has a wrong one.
    """

    right: int = 0
    wrong: int = 0
    nothing: int = 0
    right_clips: int = 0
    wrong_clips: int = 0


def said_by(visits: Sequence[Seen], model: Model) -> Mapping[str, list[str | None]]:
    """What each rule says of each visit: a scientific name, or None for nothing; birdwatchd's own verdict last."""
    said: dict[str, list[str | None]] = {}
    for name, rule in RULES.items():
        indices = [rule(visit.moments) if visit.moments else None for visit in visits]
        said[name] = [None if index is None else _scientific(model, index) for index in indices]
    said[OURS] = [visit.species for visit in visits]
    return said


def _scientific(model: Model, index: int) -> str:
    label = model.labels[index]
    return label.scientific_name or label.common_name


def score(clip: Clip, said: Sequence[str | None]) -> Score:
    """The score of what was said of the visits of one clip; where there is no bird every name is wrong."""
    right = sum(name in clip.species for name in said if name)
    wrong = sum(name not in clip.species for name in said if name)
    return Score(right, wrong, len(said) - right - wrong, int(right > 0), int(wrong > 0))


def total(scores: Sequence[Score]) -> Score:
    """All clips together."""
    return Score(*(sum(getattr(one, name) for one in scores) for name in Score.__slots__))


def coarser(clip: Clip, visits: Sequence[Seen], families: Mapping[str, str | None]) -> tuple[int, int]:
    """How many visits birdwatchd confirms as the right genus or family, and as a wrong one.

    Args:
        families: family of each species that a clip may have, by scientific name.
    """
    groups = {name.split(maxsplit=1)[0] for name in clip.species} | {families[name] for name in clip.species}
    named = [visit.group for visit in visits if visit.group]
    return sum(group in groups for group in named), sum(group not in groups for group in named)
