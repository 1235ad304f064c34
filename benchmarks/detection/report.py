"""Write outcomes as tables, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.detection.methods import METHODS, Outcome
from benchmarks.detection.score import Score, total

__all__ = ["as_json", "as_markdown", "from_json", "print_tables"]


def _text(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _recalled(score: Score) -> str:
    return f"{score.recalled}/{score.required}" if score.required else "-"


def print_tables(outcomes: Sequence[Outcome]) -> None:
    """One table per method, a row per case, with totals of empty cases, of bird cases and of all; then the times."""
    console = Console(width=150)
    for method in _methods(outcomes):
        mine = [o for o in outcomes if o.method == method]
        table = Table("case", *_COLUMNS, title=method, title_justify="left")
        for outcome in mine:
            table.add_row(outcome.case, *_cells(outcome.score))
        table.add_section()
        for name, part in (
            ("empty", [o for o in mine if o.empty]),
            ("birds", [o for o in mine if not o.empty]),
            ("all", mine),
        ):
            if part:
                table.add_row(name, *_cells(total([o.score for o in part])))
        console.print(table)
        wall, cpu = sum(o.wall_s for o in mine), sum(o.cpu_s for o in mine)
        video = sum(o.score.hours for o in mine) * 3600
        console.print(f"{method}: {wall:.0f} s wall, {cpu:.0f} s CPU for {video:.0f} s of video\n")


_COLUMNS = (
    "recall", "false", "/h", "false time", "fragments", "swaps", "count =", "count off", "IoU", "rank", "delay s",
    "missed birds", "false at s",
)  # fmt: skip


def _cells(score: Score) -> tuple[str, ...]:
    false_at = " ".join(f"{at:.0f}" for at in score.false_at_s[:4]) + (" ..." if len(score.false_at_s) > 4 else "")
    return (
        _recalled(score),
        str(score.false_visits),
        f"{score.false_per_hour:.1f}",
        f"{score.false_share:.1%}",
        _text(score.mean_fragments),
        str(score.swaps),
        _text(score.count_exact),
        _text(score.count_off),
        _text(score.median_iou),
        _text(score.median_rank),
        _text(score.median_delay_s),
        " ".join(map(str, score.missed)),
        false_at,
    )


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Everything, for other programs."""
    return [
        asdict(outcome)
        | {
            "recall": outcome.score.recall,
            "false_per_hour": outcome.score.false_per_hour,
            "false_share": outcome.score.false_share,
            "mean_fragments": outcome.score.mean_fragments,
            "count_exact": outcome.score.count_exact,
            "median_iou": outcome.score.median_iou,
            "median_rank": outcome.score.median_rank,
            "median_delay_s": outcome.score.median_delay_s,
        }
        for outcome in outcomes
    ]


def from_json(data: Sequence[dict[str, Any]]) -> list[Outcome]:
    """What `as_json` wrote."""
    outcomes = []
    for row in data:
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row["score"].items()}
        own = {f.name: row[f.name] for f in fields(Outcome) if f.name != "score"}
        outcomes.append(Outcome(score=Score(**told), **own))
    return outcomes


def _methods(outcomes: Sequence[Outcome]) -> list[str]:
    return [method for method in METHODS if any(o.method == method for o in outcomes)]


def as_markdown(outcomes: Sequence[Outcome], *, seed: int, minutes: float) -> str:
    """The page of the documentation."""
    methods = _methods(outcomes)
    by_case: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        by_case.setdefault(outcome.case, {})[outcome.method] = outcome
    versions = ", ".join(dict.fromkeys(o.version for m in methods for o in outcomes if o.method == m))
    boxed = [method for method in methods if method != "dvr-scan"]
    empty = {name: row for name, row in by_case.items() if next(iter(row.values())).empty}
    birds = {name: row for name, row in by_case.items() if name not in empty}
    parts = [_INTRODUCTION.format(minutes=f"{minutes:g}", seed=seed, versions=versions)]
    if empty:
        parts += [_EMPTY, _table(methods, empty, _false_cell)]
    if birds:
        parts += [_BIRDS, _table(methods, birds, _visit_cell)]
        parts += [_PICTURES, _table(boxed, birds, _picture_cell)]
    return "\n".join(parts) + "\n"


def _false_cell(score: Score) -> str:
    return f"{score.false_per_hour:.1f} · {score.false_share:.1%}"


def _visit_cell(score: Score) -> str:
    return (
        f"{_recalled(score)} · {score.false_per_hour:.1f} · {_text(score.mean_fragments)} · "
        f"{_text(score.count_exact)} · {score.swaps}"
    )


def _picture_cell(score: Score) -> str:
    return f"{_text(score.median_iou)} · {_text(score.median_rank)} · {_text(score.median_delay_s)}"


def _table(methods: Sequence[str], by_case: Mapping[str, Mapping[str, Outcome]], cell: Callable[[Score], str]) -> str:
    lines = [f"| case | {' | '.join(methods)} |", f"|---|{'---|' * len(methods)}"]
    for name, row in by_case.items():
        lines.append(f"| {name} | {' | '.join(cell(row[m].score) if m in row else '-' for m in methods)} |")
    scores = [[row[m].score for row in by_case.values() if m in row] for m in methods]
    sums = [f"**{cell(total(mine))}**" if mine else "-" for mine in scores]
    lines.append(f"| **all** | {' | '.join(sums)} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION = """# How well birds are seen

Written by `python -m benchmarks.detection --markdown docs/measurements/detection.md`; see
`benchmarks/detection/README.md`.

Drawn feeder scenes whose truth is known to the pixel, encoded in H.264 and H.265 as cameras encode, are given as files
to birdwatchd (`ours`; `two-streams` looks for motion in a copy of 640 × 360 pixels at 600 kbit/s and cuts its crops
out of the large one), to OpenCV's background models MOG2 and KNN with their default settings and a usual blob
tracker, and to DVR-Scan with its default settings. No classifier runs: this is about motion and following alone.
DVR-Scan says neither where nor how many: an interval counts as having found every bird that it overlaps in time, so one
that never ends finds all of them; it is taken to mean one bird, and cannot swap. MOG2 and KNN report so much in rain,
snow and moving light that something lies on every bird: read what is found beside what is false.

birdwatchd was tuned on scenes of these kinds, the others were not: they run as they come, without masks or areas of
interest, which people would draw. Drawn scenes are no real ones: do not take a figure for what your garden
will give. Nor are they the same bits wherever they are drawn, for arithmetic and encoders differ a little from
processor to processor: the scenes of seed 0 gave 172 of 172 visits drawn on an AMD EPYC and 169 drawn on an Intel Xeon.
Cases without a bird are {minutes} minutes long; seed {seed}; {versions}.
"""

_EMPTY = """## Nothing to see

False visits per hour · share of the time in which one is open.
"""

_BIRDS = """## Visits

Found / true visits · false visits per hour · visits reported per found one · share of found ones with the right
number of birds · swaps of identity.
"""

_PICTURES = """## Pictures

Median IoU of the boxes of the chosen crops with the true ones · median rank of the best chosen crop among all frames
of the visit (1 is the best there was) · median delay of the reported beginning, seconds. MOG2 and KNN keep the frame in
which the box is largest, as is usual, and that is often the one in flight.
"""
