"""Draw what is missing, run the methods over every case, print the tables: `python -m benchmarks.detection`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.detection import ablation, ablation_report, report
from benchmarks.detection.ablation import Trial
from benchmarks.detection.cases import CASES, case_named
from benchmarks.detection.clips import Clip, clip_of, make_clip
from benchmarks.detection.mechanisms import MECHANISMS
from benchmarks.detection.methods import METHODS, Outcome, run
from benchmarks.detection.real import real_clips

__all__ = ["main"]


def main() -> None:
    """Everything the command line asks for."""
    given = _arguments()
    methods: list[str] = [] if given.without else given.methods.split(",")
    program = _dvr_scan(given.dvr_scan) if "dvr-scan" in methods else None
    if "dvr-scan" in methods and program is None:
        print("dvr-scan is not on the PATH and not named with --dvr-scan; going on without it", file=sys.stderr)
        methods.remove("dvr-scan")
    names = [case.name for case in CASES] if given.cases is None else [n for n in given.cases.split(",") if n]
    clips = [clip_of(case_named(name), given.seed, given.minutes, given.work) for name in names]
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        _draw(pool, clips)
        if given.without:
            _ablate(pool, clips, given)
            return
        outcomes = _run(pool, clips, methods, program)
    if given.add is not None:
        drawn = {clip.path.stem for clip in clips}
        earlier = report.from_json(json.loads(given.add.read_text()))
        outcomes += [o for o in earlier if o.method not in methods and o.clip in drawn]
    report.print_tables(outcomes)
    if given.json is not None:
        given.json.write_text(json.dumps(report.as_json(outcomes), indent=1) + "\n")
    if given.markdown is not None:
        given.markdown.write_text(report.as_markdown(outcomes, seed=given.seed, minutes=given.minutes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--cases", help="names with commas; default all")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the cases without birds")
    parser.add_argument("--seed", type=int, default=0, help="other scenes, birds and weather")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "birdwatchd-seeing")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--methods", default=",".join(METHODS), help="names with commas")
    parser.add_argument("--dvr-scan", type=Path, help="the dvr-scan program, if it is not on the PATH")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--add", type=Path, help="what an earlier --json of the same clips says of the other methods")
    off = parser.add_argument_group("ablation", "birdwatchd alone, without one mechanism at a time")
    off.add_argument("--without", help="names with commas, or `all`; each is switched off by itself")
    off.add_argument("--real", nargs=2, type=Path, metavar=("CSV", "FOLDER"), help="recorded clips to watch as well")
    off.add_argument("--labels", nargs="+", type=Path, default=[], help="CSVs of when a bird is visible in them")
    off.add_argument("--ablation-markdown", type=Path, help="write the page of the documentation here")
    given = parser.parse_args()
    if given.without == "all":
        given.without = ",".join(mechanism.name for mechanism in MECHANISMS)
    _refuse_unknown(parser, "case", given.cases, [case.name for case in CASES])
    _refuse_unknown(parser, "method", given.methods, METHODS)
    _refuse_unknown(parser, "mechanism", given.without, [mechanism.name for mechanism in MECHANISMS])
    return given


def _refuse_unknown(parser: argparse.ArgumentParser, what: str, given: str | None, known: Sequence[str]) -> None:
    unknown = [name for name in (given or "").split(",") if name and name not in known]
    if unknown:
        parser.error(f"unknown {what}: {', '.join(unknown)}; there are {', '.join(known)}")


def _draw(pool: ProcessPoolExecutor, clips: Sequence[Clip]) -> None:
    missing = sorted((clip for clip in clips if not clip.there), key=lambda clip: -clip.seconds)
    if not missing:
        return
    begun = time.monotonic()
    for done, clip in enumerate(_as_done(pool, make_clip, [(clip,) for clip in missing]), 1):
        print(f"drawn {done}/{len(missing)} {clip.case.name}, {time.monotonic() - begun:.0f} s", file=sys.stderr)


def _run(
    pool: ProcessPoolExecutor, clips: Sequence[Clip], methods: Sequence[str], program: Path | None
) -> list[Outcome]:
    """Every method on every clip, in the order asked for."""
    work = [(method, clip, program) for method in methods for clip in sorted(clips, key=lambda clip: -clip.seconds)]
    place = {(method, clip.case.name): n for n, (method, clip) in enumerate((m, c) for m in methods for c in clips)}
    outcomes: list[Outcome] = []
    begun = time.monotonic()
    for outcome in _as_done(pool, run, work):
        outcomes.append(outcome)
        told = f"{outcome.method} {outcome.case}, {time.monotonic() - begun:.0f} s"
        print(f"scored {len(outcomes)}/{len(work)} {told}", file=sys.stderr)
    return sorted(outcomes, key=lambda outcome: place[outcome.method, outcome.case])


def _ablate(pool: ProcessPoolExecutor, clips: Sequence[Clip], given: argparse.Namespace) -> None:
    """Every mechanism off in turn on every clip; `--json` is written after each clip, so that nothing is lost."""
    without = given.without.split(",")
    recorded = real_clips(given.real[0], given.real[1], given.labels) if given.real else []
    clip_names = {clip.path.stem for clip in clips} | {clip.name for clip in recorded}
    earlier: list[Trial] = []
    if given.add is not None:
        earlier = [t for t in ablation.from_json(json.loads(given.add.read_text())) if t.clip in clip_names]
    work: list[tuple[Any, ...]] = [
        (ablation.try_drawn, clip, without) for clip in sorted(clips, key=lambda clip: -clip.seconds)
    ]
    work += [(ablation.try_real, clip, without) for clip in sorted(recorded, key=lambda clip: -clip.seconds)]
    fresh: list[Trial] = []
    begun = time.monotonic()
    for done, future in enumerate(as_completed([pool.submit(*arguments) for arguments in work]), 1):
        fresh += future.result()
        print(f"watched {done}/{len(work)} {fresh[-1].clip}, {time.monotonic() - begun:.0f} s", file=sys.stderr)
        trials = ablation.merged(fresh, earlier)
        if given.json is not None:
            given.json.write_text(json.dumps([trial.as_json() for trial in trials], indent=1) + "\n")
    trials = ablation.merged(fresh, earlier)
    ablation_report.print_table(trials)
    if given.ablation_markdown is not None:
        page = ablation_report.as_markdown(trials, seed=given.seed, minutes=given.minutes)
        given.ablation_markdown.write_text(page)


def _as_done(pool: ProcessPoolExecutor, call: Callable[..., Any], work: Sequence[tuple[Any, ...]]) -> Any:
    for future in as_completed([pool.submit(call, *arguments) for arguments in work]):
        yield future.result()


def _dvr_scan(named: Path | None) -> Path | None:
    if named is not None:
        return named.resolve()
    found = shutil.which("dvr-scan")
    return Path(found) if found else None


if __name__ == "__main__":
    main()
