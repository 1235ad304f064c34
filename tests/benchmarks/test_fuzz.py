"""Some hundred inputs for each parser, and that the program which feeds them notices what it is there to notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz.__main__ import page
from benchmarks.fuzz.inputs import Corpus, chance_of
from benchmarks.fuzz.media import KINDS, MEDIA
from benchmarks.fuzz.parsers import PARSERS
from benchmarks.fuzz.run import Figures

ROOT = Path(__file__).parents[2]
QUICK, WITH_TORCH = ("config", "names", "chart", "wire", "commands"), ("memory", "model", "network", "pictures")
BROKEN = """
import os, time
from benchmarks.fuzz import run
from benchmarks.fuzz.run import Parser, run_watched
from birdwatchd.errors import ConfigError
run.HANGS_S, run.SLOW_S, run.MOST_BYTES = 0.4, 0.2, 50 * 2**20
kept = []

def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

def parse(data):
    number = int(data)
    if number == 1: raise KeyError("of our own")
    if number == 2: raise ConfigError("two\\nlines")
    if number == 3: os._exit(7)
    if number == 4: spin(0.3)
    if number == 5: spin(99)
    if number == 6: kept.append(bytearray(os.urandom(80 * 2**20)))
    if number == 7: raise ConfigError("x" * 9999)
    if number == 8: raise ConfigError("as it should be")

run.chance_of = lambda seed, parser, number: number
parser = Parser("toy", lambda number: str(number).encode(), lambda folder: parse, (ConfigError,))
found = run_watched(parser, 1, 0, 10)
print(found.inputs, found.accepted)
for number, what in found.problems:
    print(number, what)
"""


def python(*arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parsers", "inputs"), [(QUICK, "250"), (WITH_TORCH, "150"), ((MEDIA,), "1")], ids=["quick", "with torch", "media"]
)
def test_no_input_breaks_a_parser(parsers: tuple[str, ...], inputs: str) -> None:
    """Each parser reads what strangers wrote; one traceback in a daemon is a station that stands still."""
    result = python("-m", "benchmarks.fuzz", *parsers, "--inputs", inputs, "--media", "60", "--seed", "20260501")
    assert result.returncode == 0, result.stdout + result.stderr
    for name in parsers:
        assert f"{name} | {'60' if name == MEDIA else inputs} | " in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_every_kind_of_problem_is_noticed() -> None:
    """A harness that sees nothing would call every parser good."""
    result = python("-c", BROKEN)
    assert result.returncode == 0, result.stderr
    first, *lines = result.stdout.splitlines()
    assert first == "10 4"  # 0 and 9 are good; 4 is slow, 6 is large
    said = dict(line.split(" ", 1) for line in lines)
    assert said["1"].startswith("KeyError at <string>")
    assert "which is more than one line" in said["2"]
    assert said["3"] == "killed its process (status 7)"
    assert "of processor time" in said["4"]
    assert said["5"].startswith("hangs")
    assert "memory grew by" in said["6"]
    assert said["7"] == "ConfigError says 9999 letters"
    assert set(said) == set("1234567")


def test_inputs_can_be_made_again_and_differ() -> None:
    """A problem that cannot be repeated cannot be mended."""
    for name, parser in PARSERS.items():
        made = [parser.make(chance_of(1, name, number)) for number in range(20)]
        assert made == [parser.make(chance_of(1, name, number)) for number in range(20)]
        assert len(set(made)) >= 15
    ends = Corpus((bytes(10_000),), head=10, tail=10)
    changed = [at for n in range(40) for at, byte in enumerate(ends.make(chance_of(1, "x", n))[:10_000]) if byte]
    assert changed
    assert len(KINDS) == 11


def test_rows_of_parsers_that_are_not_tried_stay() -> None:
    """All inputs of all parsers take hours; one that was mended is tried alone."""
    first = page([Figures("names", inputs=7), Figures("config", inputs=5)], 1)
    again = page([Figures("config", inputs=6)], 1, first)
    assert [line.split(" | ")[:2] for line in again.splitlines() if line.startswith("| ")] == [
        ["| parser", "inputs"],
        ["| config", "6"],
        ["| names", "7"],
    ]
