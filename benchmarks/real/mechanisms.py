"""Scan the clips once with everything, and once without each mechanism of naming (ablation study)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

import numpy as np

from benchmarks.detection.switching import Mechanism, switched_off
from benchmarks.real.clips import Clip, today
from benchmarks.real.visits import Model, Seen, scan_clips
from birdwatchd.records import FloatArray, Label, State
from birdwatchd.seen_part import Look
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.species.taxonomy import name_key, species_keys
from birdwatchd.species.verdict.best_moments import BestMoments, Counted

__all__ = ["MECHANISMS", "WITH_ALL", "Trial", "mechanisms_table", "trial_of", "try_mechanisms"]

WITH_ALL = "(nothing)"
ALL_MOMENTS = 10**6
FEW_MOMENTS = 8


class OwnClasses:
    """What `SameSpecies` is for fusion, with each class as a species of its own."""

    def __init__(self, classes: Sequence[Label]) -> None:
        self.labels = tuple(classes)
        self.index = tuple(range(len(self.labels)))

    def merge(self, logits: FloatArray) -> FloatArray:
        """The same logits."""
        return logits


class OneTable:
    """The names of the default model's species; a class that is not one of them has its own name and nothing else."""

    def __init__(self) -> None:
        text = files("birdwatchd.species").joinpath("data", "species.csv").read_text(encoding="utf-8")
        rows = csv.DictReader(text.splitlines())
        labels = [
            Label(row["common_name"], row["scientific_name"] or None, row["family"] or None, row["order"] or None)
            for row in rows
        ]
        self._by_key = {key: label for label in labels for key in species_keys(label)}

    def labels(self, names: Iterable[str]) -> tuple[Label, ...]:
        """The labels of a model's classes."""
        return tuple(self._by_key.get(name_key(name)) or _bare(name) for name in names)


def _bare(name: str) -> Label:
    return Label(name, is_species=name_key(name) not in {"unknown", "background"})


def _mean_of_all(self: BestMoments) -> Counted:
    """Every moment counts the same."""
    counted = _counted(self)
    each = np.stack([moment.logits for moment in self._best])
    vectors = [moment.embedding for moment in self._best if moment.embedding is not None]
    return Counted(
        each.mean(axis=0), each, counted.votes, np.stack(vectors) if vectors else None, counted.birds, counted.of
    )


_counted = BestMoments.counted

VERDICT = "birdwatchd.species.verdict."
LOOKS = VERDICT + "second_look:SECOND"
MECHANISMS = (
    Mechanism(
        "best-moments",
        "naming",
        "the mean of the logits of all moments instead of the three that show most of a bird",
        {VERDICT + "best_moments:MOMENTS": ALL_MOMENTS, VERDICT + "best_moments:BestMoments.counted": _mean_of_all},
    ),
    Mechanism(
        "share-of-birds",
        "naming",
        "a name is confirmed also where one or two of a visit's many moments show a bird",
        {VERDICT + "fusion:FEW_MOMENTS": 0},
    ),
    Mechanism(
        "second-look",
        "naming",
        "no picture is looked at again",
        {"birdwatchd.species.verdict.second_look:SecondLooks.choose": lambda self, predictions: []},
    ),
    Mechanism(
        "brighter-look",
        "naming",
        "dark pictures are not looked at again brightened",
        {LOOKS: (Look.WIDER,)},
    ),
    Mechanism(
        "wider-look",
        "naming",
        "pictures are not looked at again with more around the bird",
        {LOOKS: (Look.BRIGHTER,)},
    ),
    Mechanism(
        "many-moments",
        "naming",
        f"at most {FEW_MOMENTS} moments of a visit instead of 24, the later ones further apart",
        {"birdwatchd.commands.scan:CameraSettings": partial(CameraSettings, max_moments=FEW_MOMENTS)},
    ),
    Mechanism(
        "same-species",
        "naming",
        "each class of the network by itself: subspecies of one species are not added up",
        {VERDICT + "fusion:SameSpecies": OwnClasses, VERDICT + "build:SameSpecies": OwnClasses},
    ),
    Mechanism(
        "names-of-the-world",
        "naming",
        "nor has a class more than its own name where the default model does not know it",
        {
            VERDICT + "fusion:SameSpecies": OwnClasses,
            VERDICT + "build:SameSpecies": OwnClasses,
            "birdwatchd.species.network.network:bundled_taxonomy": cache(OneTable),
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out of all clips without one mechanism.

    Attributes:
        without: name of the mechanism; WITH_ALL for none.
        right_clips: clips with birds of which a visit is confirmed as a right species.
        wrong: visits in them that are confirmed as another species.
        missed_clips: clips with birds without a visit.
        visits, rejected: in clips with birds.
        false: visits that are confirmed as anything in clips without birds.
        cpu_s: processor seconds of the scan, all its processes.
    """

    without: str
    right_clips: int
    wrong: int
    missed_clips: int
    visits: int
    rejected: int
    false: int
    cpu_s: float


def try_mechanisms(clips: Sequence[Clip], model: Model) -> list[Trial]:
    """Scan all clips for each row of the table."""
    trials = []
    for mechanism in (Mechanism(WITH_ALL, "naming", ""), *MECHANISMS):
        before_s = _cpu_s()
        with switched_off(mechanism):
            seen = scan_clips([clip.path for clip in clips], model)
        trials.append(trial_of(mechanism.name, clips, seen, _cpu_s() - before_s))
    return trials


def _cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def trial_of(name: str, clips: Sequence[Clip], seen: Sequence[Seen], cpu_s: float) -> Trial:
    """Count the visits of one scan."""
    by_clip = {clip: [visit for visit in seen if visit.path == clip.path] for clip in clips}
    birds = {clip: visits for clip, visits in by_clip.items() if clip.has_bird}
    named = {clip: [today(visit.species) for visit in visits if visit.species] for clip, visits in birds.items()}
    states = [visit.verdict.state for visits in birds.values() for visit in visits]
    others = [visit.verdict.state for clip, visits in by_clip.items() if not clip.has_bird for visit in visits]
    return Trial(
        without=name,
        right_clips=sum(any(one in clip.species for one in names) for clip, names in named.items()),
        wrong=sum(one not in clip.species for clip, names in named.items() for one in names),
        missed_clips=sum(not visits for visits in birds.values()),
        visits=len(states),
        rejected=states.count(State.REJECTED),
        false=others.count(State.CONFIRMED),
        cpu_s=cpu_s,
    )


def mechanisms_table(trials: Sequence[Trial], clips: Sequence[Clip]) -> str:
    """The section of the page, without its heading."""
    birds = sum(clip.has_bird for clip in clips)
    lines = [
        _INTRO,
        f"| without | clips with a right name, of {birds} | visits with a wrong one | clips without a visit"
        f" | visits rejected, in clips with birds | visits confirmed in the {len(clips) - birds} clips without birds"
        " | processor time |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in trials:
        rejected = f"{one.rejected} of {one.visits}"
        cells = (one.right_clips, one.wrong, one.missed_clips, rejected, one.false, f"{one.cpu_s:.0f} s")
        lines.append(f"| {one.without} | {' | '.join(map(str, cells))} |")
    lines += ["", *(f"- `{mechanism.name}`: {mechanism.what}." for mechanism in MECHANISMS)]
    return "\n".join(lines) + "\n"


_INTRO = """Written by the command above with `--mechanisms`.

Each row is a scan of all clips, with default settings, in which one mechanism of naming is switched off and all others
are on; `benchmarks/real/mechanisms.py` says how. Processor time is that of the whole scan, decoding and network
included, and varies by some per cent. There is no row for comparing a picture with the same place when it is empty: it
was measured and left out ([design](../design/naming.md)).
"""
