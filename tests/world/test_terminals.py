"""Terminals that are closed while something runs in them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

# What every command that runs long does: it stops on signals, says something for each visit, and ends by itself.
COMMAND = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # as a shell in a terminal
from birdwatchd.flow import Stop
from birdwatchd.service import stop_on_signals
stop = Stop()
stop_on_signals(stop)
stop.armed = True
print("ready", flush=True)
while not stop.wait(0.01):
    pass
print("a visit", flush=True)
print("1 visit", file=sys.stderr, flush=True)
open("reason", "w").write(stop.reason)
"""


@pytest.mark.slow
def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """The window was closed, or the SSH connection broke, while `scan` or `run` ran there: killed, visits without end.

    Must: It is a stop as Ctrl-C is one, and no word to the terminal that is gone ends it with an error before.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=tmp_path,
    )
    os.close(theirs)
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 1000)
    os.close(ours)  # the kernel sends SIGHUP, and refuses what is written from now on
    assert process.wait(20) == 0
    assert (tmp_path / "reason").read_text() == "received SIGHUP"


def test_a_terminal_that_says_it_twice() -> None:
    """The shell tells its programs that the terminal is closed, and then the system does: killed by the second one.

    Must: They end in order all the same; Ctrl-C twice leaves at once.
    """
    code = (
        "import os, signal; from birdwatchd.flow import Stop; from birdwatchd.service import stop_on_signals\n"
        "stop = Stop(); stop.armed = True; stop_on_signals(stop)\n"
        "for _ in range(2): os.kill(os.getpid(), signal.SIGHUP)\n"
        "stop.wait(5); print(stop.reason, flush=True); os.kill(os.getpid(), signal.SIGINT)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (said.stdout, said.returncode) == ("received SIGHUP\n", 128 + 2)


def test_what_was_started_with_nohup_goes_on() -> None:
    """`nohup birdwatchd run &`, then the terminal is closed: that is what nohup is for.

    Must: A signal that is ignored at the start stays ignored.
    """
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from birdwatchd.flow import Stop; from birdwatchd.service import stop_on_signals\n"
        "stop_on_signals(Stop()); print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
