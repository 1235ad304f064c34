"""Measure what cameras that attack their viewer cost it: `python -m benchmarks.hostile`.

Each attack (`tests/support/hostile.py`) is served by a process of its own and watched by another, which does what the
daemon does for a camera. Memory is that of the watcher and its children together, resident, the most that was seen;
the time that until the first line that says the camera gives no picture.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from benchmarks.camera_cost.machine import described
from tests.support.hostile import ATTACKS

HERE = Path(__file__).resolve().parents[2]
MIB = 2**20
SAMPLE_S = 0.02
SECONDS = 45.0  # for each attack at the most
AFTERWARDS_S = 4.0  # that it is watched after the first refusal: it is tried again meanwhile
NOTHING = "(nothing)"


@dataclass(slots=True)
class Outcome:
    """What came of one attack.

    Attributes:
        peak_mib: most resident memory of watcher and children together.
        refused_s: when it was first said that there is no picture; None if it never was.
        line: what the log said then.
        elsewhere: how often another host was asked for something.
    """

    attack: str
    peak_mib: float = 0.0
    refused_s: float | None = None
    line: str = NOTHING
    elsewhere: int = 0
    log: list[str] = field(default_factory=list)


def measure(attack: str, seconds: float, checkout: Path) -> Outcome:
    """Watch one attacker for so long, with the code of a checkout."""
    outcome = Outcome(attack)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hostile", attack],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    url = server.stdout.readline().strip()
    watcher = subprocess.Popen(
        [sys.executable, "-P", str(HERE / "benchmarks" / "hostile" / "watcher.py"), url],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    began_s = time.monotonic()
    reader = threading.Thread(target=_read_log, args=(watcher.stdout, outcome, began_s))
    reader.start()
    process = psutil.Process(watcher.pid)
    while watcher.poll() is None and time.monotonic() - began_s < min(
        seconds, math.inf if outcome.refused_s is None else outcome.refused_s + AFTERWARDS_S
    ):
        outcome.peak_mib = max(outcome.peak_mib, _resident(process) / MIB)
        time.sleep(SAMPLE_S)
    watcher.stdin.close()
    watcher.wait()
    reader.join()
    server.stdin.close()
    outcome.elsewhere = int(server.stdout.read() or 0)
    server.wait()
    return outcome


def _read_log(lines: IO[str], outcome: Outcome, began_s: float) -> None:
    for line in lines:
        outcome.log.append(f"{time.monotonic() - began_s:5.1f} {line.rstrip()}")
        if outcome.refused_s is None and ("offline:" in line or "ended (" in line):
            outcome.refused_s, outcome.line = time.monotonic() - began_s, line.split(" ", 1)[1].strip()


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total


def page(now: Sequence[Outcome], former: Sequence[Outcome], seconds: float) -> str:
    """The outcomes as a page in Markdown.

    Args:
        former: of the same attacks with a former version; empty for none.
    """
    lines = [
        "# What hostile cameras cost",
        "",
        "Written by `python -m benchmarks.hostile`; see `benchmarks/hostile/README.md`.",
        f"Peak memory is that of the process tree of one camera; {seconds:.0f} s at the most for each attack.",
        f"On a machine that did other work as well: {', '.join(described())}.",
        "",
    ]
    if former:
        lines += [
            "| attack | peak before, MiB | now, MiB | refused before after | now after | what the log says now |",
            "|---|---:|---:|---:|---:|---|",
        ]
    else:
        lines += ["| attack | peak, MiB | refused after | what the log says |", "|---|---:|---:|---|"]
    for number, one in enumerate(now):
        before = former[number] if former else None
        peaks = [f"{each.peak_mib:.0f}" for each in (before, one) if each is not None]
        times = [_refused(each) for each in (before, one) if each is not None]
        said = one.line.replace("|", "\\|")
        notes = [
            f" **({when}: another host was asked {each.elsewhere} times)**"
            for when, each in (("before", before), ("now", one))
            if each is not None and each.elsewhere
        ]
        lines.append(f"| {' | '.join([one.attack.replace('_', ' '), *peaks, *times, said + ''.join(notes)])} |")
    return "\n".join(lines) + "\n"


def _refused(outcome: Outcome) -> str:
    return "never" if outcome.refused_s is None else f"{outcome.refused_s:.0f} s"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS), help="names in tests/support/hostile.py")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--former", type=Path, help="another checkout, to compare with")
    parser.add_argument("--markdown", type=Path, help="the page to write; else it is printed")
    parser.add_argument("--log", action="store_true", help="print everything that was logged")
    options = parser.parse_args()
    now: list[Outcome] = []
    former: list[Outcome] = []
    for attack in options.attacks:
        if options.former is not None:
            former.append(measure(attack, options.seconds, options.former.resolve()))
        now.append(measure(attack, options.seconds, HERE))
        sys.stderr.write(page(now[-1:], former[-1:], options.seconds).splitlines()[-1] + "\n")
        if options.log:
            sys.stderr.write("\n".join(now[-1].log) + "\n")
    text = page(now, former, options.seconds)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
