"""Run inputs through one parser in a process of its own, watched from outside: a crash or a hang costs one input.

What counts as a problem: the process died, an exception other than the parser's own, a message of more than one line,
more than 2 s of processor time, or more memory than the bound.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.fuzz.inputs import chance_of
from birdwatchd.commands.terminal import ignore_warnings
from birdwatchd.errors import BirdwatchError

__all__ = ["Figures", "Parser", "run_here", "run_watched"]

SLOW_S = 2.0  # of processor time for one input
MOST_BYTES = 300 * 2**20  # more memory than before the first input
LONGEST_LINE = 2500  # letters; three texts of 800 and what is said about them
HANGS_S = 20.0  # of processor time on one input, after which it is given up
POLL_S = 0.2
MOST_PROBLEMS = 50  # kept of one parser


@dataclass(frozen=True, slots=True)
class Parser:
    """One parser under test.

    Attributes:
        make: an input from a chance.
        open: given an empty folder, the function that parses one input; it raises `refuses` for what it does not like.
        refuses: the parser's own errors.
    """

    name: str
    make: Callable[[Any], bytes]
    open: Callable[[Path], Callable[[bytes], object]]
    refuses: tuple[type[BirdwatchError], ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the inputs of one parser.

    Attributes:
        slowest_s: processor seconds of the slowest input, `slowest` its number.
        grown: bytes by which the process's peak memory grew.
        problems: `(number, what happened)`.
    """

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    slowest: int = 0
    grown: int = 0
    seconds: float = 0.0
    problems: tuple[tuple[int, str], ...] = field(default=())

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        slower = other.slowest_s > self.slowest_s
        return replace(
            self,
            inputs=self.inputs + other.inputs,
            accepted=self.accepted + other.accepted,
            refused=self.refused + other.refused,
            slowest_s=other.slowest_s if slower else self.slowest_s,
            slowest=other.slowest if slower else self.slowest,
            grown=max(self.grown, other.grown),
            seconds=self.seconds + other.seconds,
            problems=(self.problems + other.problems)[:MOST_PROBLEMS],
        )


def run_here(
    parser: Parser, seed: int, first: int, count: int, folder: Path, at: Callable[[int], None] = lambda number: None
) -> Figures:
    """Run inputs in this process.

    Args:
        at: is told the number of each input before it is parsed.
    """
    parse = parser.open(folder)
    warned: list[str] = []
    warnings.showwarning = lambda message, *_, **__: warned.append(str(message))
    warnings.simplefilter("always")
    ignore_warnings()  # as every command does
    logging.getLogger().addHandler(logging.NullHandler())  # what is ignored is also logged, once
    begun_s, before = time.monotonic(), _peak_bytes()
    accepted = refused = slowest = 0
    slowest_s, peak = 0.0, before
    problems: list[tuple[int, str]] = []
    for number in range(first, first + count):
        data = parser.make(chance_of(seed, parser.name, number))
        at(number)
        start_s = time.process_time()
        try:
            parse(data)
            accepted += 1
        except parser.refuses as error:
            refused += 1
            if fault := _fault_of(error):
                problems.append((number, fault))
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            problems.append((number, f"{type(error).__name__} at {where}: {str(error)[:200]!r}"))
            if isinstance(error, KeyboardInterrupt):
                raise
        if warned:
            problems.append((number, f"warns: {warned[0][:200]!r}"))
            warned.clear()
        took_s, now = time.process_time() - start_s, _peak_bytes()
        if took_s > slowest_s:
            slowest_s, slowest = took_s, number
        if took_s > SLOW_S:
            problems.append((number, f"took {took_s:.1f} s of processor time"))
        if now - before > MOST_BYTES >= peak - before:
            problems.append((number, f"memory grew by {(now - before) / 2**20:.0f} MiB"))
        peak = max(peak, now)
        if len(problems) >= MOST_PROBLEMS:
            count = number + 1 - first
            break
    seconds = time.monotonic() - begun_s
    return Figures(parser.name, count, accepted, refused, slowest_s, slowest, peak - before, seconds, tuple(problems))


def _fault_of(error: BirdwatchError) -> str:
    """What is wrong with the message of an error; empty if nothing is."""
    lines = getattr(error, "problems", ()) or (str(error),)
    for line in lines:
        if len(line.splitlines()) > 1:
            return f"{type(error).__name__} says {line[:200]!r}, which is more than one line"
        if len(line) > LONGEST_LINE:
            return f"{type(error).__name__} says {len(line)} letters"
    return ""


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_watched(parser: Parser, seed: int, first: int, count: int) -> Figures:
    """Run inputs in child processes: one that kills its process, or hangs in it, is a problem, and the next goes on."""
    context = multiprocessing.get_context("fork")
    whole, end = Figures(parser.name), first + count
    while first < end:
        current = context.Value("q", first - 1)
        answer, sender = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(parser, seed, first, end - first, current, sender))
        child.start()
        sender.close()
        done = _await(child, current, answer)
        if isinstance(done, Figures):
            whole, first = whole.plus(done), first + done.inputs
            if len(whole.problems) >= MOST_PROBLEMS:
                break
        else:
            at = max(first, int(current.value))
            whole = whole.plus(run_watched(parser, seed, first, at - first))  # again: their figures died with it
            whole = whole.plus(Figures(parser.name, 1, problems=((at, done),)))
            first = at + 1
    return whole


def _work(parser: Parser, seed: int, first: int, count: int, current: Any, sender: Any) -> None:
    def note(number: int) -> None:
        current.value = number

    with tempfile.TemporaryDirectory(prefix="birdwatchd-fuzz-") as folder:
        sender.send(run_here(parser, seed, first, count, Path(folder), note))
    sender.close()


def _await(child: Any, current: Any, answer: Any) -> Figures | str:
    """The figures of a child process, or why there are none."""
    at, since_s = int(current.value), 0.0
    while not answer.poll(POLL_S):
        used_s = _processor_s(child.pid)
        if int(current.value) != at:
            at, since_s = int(current.value), used_s
        elif used_s - since_s > HANGS_S:
            child.kill()
            child.join()
            return f"hangs: {HANGS_S:.0f} s of processor time"
    try:
        figures: Figures = answer.recv()
    except EOFError:
        child.join()
        return f"killed its process (status {child.exitcode})"
    child.join()
    return figures


def _processor_s(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
