"""Write an ablation study as a table, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from rich.console import Console
from rich.table import Table

from benchmarks.detection.ablation import WITH_ALL, Trial
from benchmarks.detection.cases import CASES
from benchmarks.detection.mechanisms import MECHANISMS
from benchmarks.detection.real import RealScore, total_real
from benchmarks.detection.score import Score, total
from benchmarks.detection.switching import Mechanism
from birdwatchd.camera.motion.settings import BackgroundSettings, MotionSettings
from birdwatchd.camera.tracking.settings import TrackerSettings

__all__ = ["as_markdown", "print_table", "thresholds"]

SAME = "·"
CASES_NAMED = 3  # in the last column; the rest are counted
_NO_THRESHOLDS = {"min_bird", "ignore", "background"}  # what the user sets, and a group
_COLUMNS = (
    "without", "found", "false", "fragments", "count =", "swaps", "covered", "false time", "missed", "CPU", "changes"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    """Everything that was measured without one mechanism."""

    drawn: Score
    real: RealScore
    cpu_s: float
    by_clip: Mapping[str, tuple[Score | None, RealScore | None]]


def thresholds() -> tuple[int, int, int]:
    """How many numbers there are to set in the motion detector, its background model and the tracker."""
    motion, background, tracker = (
        sum(f.name not in _NO_THRESHOLDS for f in fields(settings))
        for settings in (MotionSettings, BackgroundSettings, TrackerSettings)
    )
    return motion, background, tracker


def print_table(trials: Sequence[Trial]) -> None:
    """One table of all mechanisms; figures that are as in the first row are left out."""
    table = Table(*_COLUMNS)
    for part in ("motion", "tracking"):
        for cells in _table(trials, part):
            table.add_row(*cells)
        table.add_section()
    Console(width=170).print(table)


def as_markdown(trials: Sequence[Trial], *, seed: int, minutes: float) -> str:
    """The page of the documentation."""
    cases = [case.name for case in CASES if any(trial.case == case.name for trial in trials)]
    recorded = {trial.clip for trial in trials if not trial.case}
    motion, background, tracker = thresholds()
    parts = [
        _INTRODUCTION.format(
            cases="all" if len(cases) == len(CASES) else f"{len(cases)} ({', '.join(cases)}) of",
            recorded=len(recorded),
            seed=seed,
            minutes=f"{minutes:g}",
            thresholds=motion + background + tracker,
            motion=motion,
            background=background,
            tracker=tracker,
        )
    ]
    for part, title in (("motion", "Motion detection"), ("tracking", "Tracking")):
        lines = [f"## {title}\n", f"| {' | '.join(_COLUMNS)} |", f"|---|{'---|' * (len(_COLUMNS) - 1)}"]
        lines += [f"| {' | '.join(cells)} |" for cells in _table(trials, part)]
        lines += ["", *(f"- `{m.name}`: {m.what}." for m in _measured(trials, part)), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _table(trials: Sequence[Trial], part: str) -> list[tuple[str, ...]]:
    whole = _row(trials, WITH_ALL)
    first = _figures(whole)
    rows = [(WITH_ALL, *first, "100%", "")]
    for mechanism in _measured(trials, part):
        row = _row(trials, mechanism.name)
        figures = [SAME if cell == before else cell for cell, before in zip(_figures(row), first, strict=True)]
        rows.append((mechanism.name, *figures, f"{row.cpu_s / whole.cpu_s:.0%}", _changes(trials, row, whole)))
    return rows


def _measured(trials: Sequence[Trial], part: str) -> list[Mechanism]:
    names = {trial.without for trial in trials}
    return [mechanism for mechanism in MECHANISMS if mechanism.part == part and mechanism.name in names]


def _row(trials: Sequence[Trial], without: str) -> _Row:
    mine = [trial for trial in trials if trial.without == without]
    return _Row(
        total([trial.score for trial in mine if trial.score is not None]),
        total_real([trial.real for trial in mine if trial.real is not None]),
        sum(trial.cpu_s for trial in mine),
        {trial.clip: (trial.score, trial.real) for trial in mine},
    )


def _figures(row: _Row) -> tuple[str, ...]:
    drawn, real = row.drawn, row.real
    return (
        f"{drawn.recalled}/{drawn.required}",
        str(drawn.false_visits),
        "-" if drawn.mean_fragments is None else f"{drawn.mean_fragments:.2f}",
        "-" if drawn.count_exact is None else f"{drawn.count_exact:.2f}",
        str(drawn.swaps),
        f"{real.covered_s / real.bird_s:.0%}" if real.bird_s else "-",
        f"{real.false_s:.0f} s",
        f"{real.missed_clips}/{real.bird_clips}",
    )


def _changes(trials: Sequence[Trial], row: _Row, whole: _Row) -> str:
    """Which drawn cases, and how many recorded clips, come out differently in any figure, also in boxes and delays."""
    changed = {clip for clip, scores in row.by_clip.items() if scores != whole.by_clip.get(clip)}
    cases = list(dict.fromkeys(trial.case for trial in trials if trial.case and trial.clip in changed))
    recorded = len({trial.clip for trial in trials if not trial.case and trial.clip in changed})
    named = ", ".join(cases[:CASES_NAMED]) + (
        f" and {len(cases) - CASES_NAMED} more" if len(cases) > CASES_NAMED else ""
    )
    if not changed:
        return "nothing"
    return "; ".join(filter(None, (named, f"{recorded} recorded" if recorded else "")))


_INTRODUCTION = """# What each mechanism contributes

Written by

```sh
python -m benchmarks.detection --without all --minutes {minutes} --ablation-markdown docs/measurements/ablation.md \\
    --real clips.csv folder --labels frames.csv intervals.csv
```

Each row is birdwatchd with one mechanism switched off and all others on; `benchmarks/detection/mechanisms.py` says how.
The drawn cases are {cases} those of [detection.md](detection.md), seed {seed}; those without a bird are {minutes} min
long. The {recorded} recorded clips are a list of public clips that are not part of the project; somebody marked when a
bird is visible in them.

- **found**, **false**, **fragments**, **count =**, **swaps**: of all drawn cases together: visits found, false visits,
  visits reported per found one, share of found ones with the right number of birds, changes of identity.
- **covered**: share of the time with a bird in the recorded clips that lies in a visit. **false time**: seconds without
  a bird that do. **missed**: clips with a bird that have no visit.
- **CPU**: processor time of detection, tracking and choosing crops, without decoding; a few per cent are chance.
- **changes**: drawn cases, and number of recorded clips, in which any figure differs, also boxes and delays.
- `·`: as in the first row.

The motion detector has {motion} thresholds, its background model {background} and the tracker {tracker}: {thresholds}.
"""
