"""Each fault at a whole station: nothing is lost. `python -m benchmarks.faults` injects them more often, and longer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.faults.film import Film
from benchmarks.faults.trials import TRIALS, run_trial
from benchmarks.real.rtsp import INSTALL, PYTHON
from tests.support.lives import Nursery
from tests.support.peers import LONG, missing

# What is injected, how often, and for how many seconds where a fault lasts; shorter than for the table.
SHORT: dict[str, tuple[int, dict[str, float]]] = {
    "tree": (2, {"longest_s": 4.0}),
    "main": (1, {"longest_s": 4.0}),
    "camera": (1, {}),
    "stopped": (1, {}),
    "suspended": (1, {"seconds": 8.0}),
    "broker-killed": (1, {"longest_s": 2.0}),
    "broker-frozen": (1, {"seconds": 3.0}),
    "broker-forgets": (1, {}),
    "network-cut": (1, {"seconds": 1.0}),
    "network-silent": (1, {"seconds": 5.0}),
    "disk-full": (1, {"seconds": 5.0}),
    "locked": (1, {"seconds": 5.0}),
    "truncated": (1, {}),
    "flipped": (1, {}),
    "power": (1, {"longest_s": 4.0}),
}


@pytest.fixture(scope="module", autouse=True)
def _rtsp_server() -> None:
    probe = [PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    if not Path(PYTHON).exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        missing("GStreamer's RTSP server", INSTALL)


# The others are run by `make long`, and by the command: each takes half a minute.
USUAL = {"tree", "power"}


def chosen(name: str) -> object:
    return pytest.param(name, marks=() if name in USUAL else LONG)


@pytest.mark.parametrize("name", [chosen(name) for name in TRIALS])
def test_nothing_is_lost(name: str, film: Film, nursery: Nursery, tmp_path: Path) -> None:
    """Nobody is there to look: whatever breaks, each bird has its visit, each visit its messages and its pictures."""
    times, more = SHORT[name]
    row = run_trial(name, tmp_path, film, times, [nursery], more=more)
    assert row.lost == ()
    assert row.times == times
    assert row.birds > 0 or row.was_busy, "no bird could be seen: the test proves nothing"
    assert row.messages > 0
    assert row.pictures > 0
    assert row.recovered_s
