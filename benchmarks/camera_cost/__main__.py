"""Draw what is missing, measure the parts asked for, write the page: `python -m benchmarks.camera_cost`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.camera_cost import capacity, cpu, dvr_scan, memory, two_streams
from benchmarks.camera_cost.part import Part, as_json, from_json

__all__ = ["main"]

PARTS = ("cpu", "dvr-scan", "two-streams", "eight", "memory")


def main() -> None:
    """Everything the command line asks for."""
    given = _arguments()
    work: Path = given.work.resolve()
    measures: dict[str, Callable[[], Part | None]] = {
        "cpu": lambda: cpu.measure(work, given.runs),
        "dvr-scan": lambda: _dvr_scan(work, given.runs, given.dvr_scan),
        "two-streams": lambda: two_streams.measure(work, given.runs),
        "eight": lambda: capacity.measure(work, given.cameras, given.seconds),
        "memory": lambda: memory.measure(work, given.hour_s),
    }
    done = {part.name: part for part in from_json(json.loads(given.add.read_text()))} if given.add else {}
    for name in given.only:
        part = measures[name]()
        if part is None:
            continue
        done[name] = part
        print(part.as_markdown())
        if given.json is not None:  # after each part: they take long, and what is measured is measured
            given.json.write_text(json.dumps(as_json(list(done.values())), indent=1) + "\n")
    if given.markdown is not None:
        given.markdown.write_text(_page([done[name] for name in PARTS if name in done]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.camera_cost", description=__doc__)
    parser.add_argument("--only", type=_names, default=PARTS, help=f"parts with commas, of {', '.join(PARTS)}")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "birdwatchd-cost")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (cpu, dvr-scan, two-streams)")
    parser.add_argument("--dvr-scan", type=Path, help="the dvr-scan program, if it is not on the PATH")
    numbers = tuple(range(8, 65, 4))
    parser.add_argument("--cameras", type=_counts, default=numbers, help="numbers of cameras with commas (eight)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of video for each number of cameras (eight)")
    parser.add_argument("--hour-s", type=float, default=3600.0, help="seconds of video that make the hour (memory)")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--add", type=Path, help="an earlier --json: the parts that are not measured now")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))  # none of them: only write what --add says
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    return names


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(number) for number in text.split(","))
    if min(counts) < 1 or list(counts) != sorted(counts):
        raise argparse.ArgumentTypeError("numbers of cameras must be 1 or more, and grow")
    return counts


def _dvr_scan(work: Path, runs: int, named: Path | None) -> Part | None:
    found = str(named.absolute()) if named is not None else shutil.which("dvr-scan")
    if found is None or not Path(found).exists():
        where = f"is not at {named}" if named is not None else "is not on the PATH and not named with --dvr-scan"
        print(
            f"dvr-scan: skipped, it {where}; install dvr-scan-headless into an environment of its own", file=sys.stderr
        )
        return None
    return dvr_scan.measure(work, runs, Path(found))


def _page(parts: list[Part]) -> str:
    return "\n".join([_INTRODUCTION, *(part.as_markdown() for part in parts)])


_INTRODUCTION = """\
# What seeing costs

Written by `python -m benchmarks.camera_cost --markdown docs/measurements/camera-cost.md`; see
`benchmarks/camera_cost/README.md`.

What is measured is the process that the daemon starts for each camera, with the daemon's own end of its pipe. The video
is drawn and then encoded in H.264 as cameras encode: 1920 × 1080 at 15 frames a second, no B frames, a key frame
every two seconds, constant quality at about 4 Mb/s, with a sensor's noise. No classifier runs. Processor time is user
and system time of a process and its children. On a machine that does other things as well, caches and memory are shared
and the same work takes more processor time; so what is compared runs in turn, and ratios are taken within a turn.
"""


if __name__ == "__main__":
    main()
