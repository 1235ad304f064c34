"""Fuzz the parsers: `python -m benchmarks.fuzz [PARSER…] [--inputs N] [--seed S] [--media N] [--markdown FILE]`.

Ends with status 1 where anything went wrong. `--show PARSER NUMBER` writes one input to stdout.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.fuzz.inputs import chance_of
from benchmarks.fuzz.media import MEDIA, run_media
from benchmarks.fuzz.parsers import PARSERS
from benchmarks.fuzz.run import Figures, run_watched

HEAD = ("parser", "inputs", "accepted", "refused", "slowest, s of processor", "memory grew, MiB", "problems", "seconds")


def main() -> None:
    """Run, print a table, and every problem with the number that makes its input again."""
    given = _arguments()
    if given.show:
        name, number = given.show
        sys.stdout.buffer.write(PARSERS[name].make(chance_of(given.seed, name, int(number))))
        return
    found = []
    if not given.parsers or {"memory", "model", "network", "pictures"} & set(given.parsers):
        import birdwatchd.species.network.checkpoint  # noqa: F401  # once, not in each child process
    for name in given.parsers or (*PARSERS, MEDIA):
        if name == MEDIA:
            found.append(run_media(given.seed, given.first, given.media))
        else:
            found.append(run_watched(PARSERS[name], given.seed, given.first, given.inputs))
        print(" | ".join(_row(found[-1])), flush=True)
        for number, what in found[-1].problems:
            print(f"  input {number}: {what}", flush=True)
    if given.markdown:
        before = given.markdown.read_text(encoding="utf-8") if given.markdown.exists() else ""
        given.markdown.write_text(page(found, given.seed, before), encoding="utf-8")
    sys.exit(any(figures.problems for figures in found))


def page(found: Sequence[Figures], seed: int, before: str = "") -> str:
    """The table as a page of the documentation.

    Args:
        before: the page as it was; rows of parsers that were not tried now stay.
    """
    rows = {line.split(" | ")[0].lstrip("| "): line for line in before.splitlines() if line.startswith("| ")}
    rows |= {figures.name: f"| {' | '.join(_row(figures))} |" for figures in found}
    lines = [
        "# Fuzzing",
        "",
        "Written by `python -m benchmarks.fuzz --markdown docs/measurements/fuzz.md`; see `benchmarks/fuzz/README.md`.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|---|{'---:|' * (len(HEAD) - 1)}",
        *(rows[name] for name in (*PARSERS, MEDIA) if name in rows),
        "",
        f"Seed {seed}; Python {platform.python_version()}, {platform.machine()}.",
        "",
    ]
    return "\n".join(lines)


def _row(figures: Figures) -> Iterator[str]:
    yield figures.name
    yield from (f"{number:,}" for number in (figures.inputs, figures.accepted, figures.refused))
    yield f"{figures.slowest_s:.2f}"
    yield f"{figures.grown / 2**20:.0f}"
    yield str(len(figures.problems))
    yield f"{figures.seconds:.0f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parsers", nargs="*", choices=[*PARSERS, MEDIA, []], metavar="PARSER")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each parser")
    parser.add_argument("--media", type=int, default=10_000, help="damaged recordings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--show", nargs=2, metavar=("PARSER", "NUMBER"))
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
