"""Be `birdwatchd run` again and again without importing torch each time: imported once, forked for each life.

Importing takes some nine seconds of processor time and touches nothing that a kill could harm. All else is as if the
command had been typed: a process and session of its own, no input, one file for all that it says. Each line on stdin
is one life, as JSON: the configuration and the log file. Answers are its process id and, when it has ended, its status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

from birdwatchd.cli import run_cli

IMPORTED = ("birdwatchd.daemon", "birdwatchd.species.network.network", "birdwatchd.species.network.classifier")


def be(config: str, log: str) -> None:
    """One life; never returns."""
    status = 1
    try:
        os.setsid()
        for file, way, descriptor in ((os.devnull, os.O_RDONLY, 0), (log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 1)):
            opened = os.open(file, way, 0o644)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.dup2(1, 2)
        status = run_cli(["run", "-c", config])
    finally:
        if status:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            be(*json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
