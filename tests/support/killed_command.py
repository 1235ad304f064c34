"""Run a command again and again until killed, with everything that it needs loaded before. Run by path.

Arguments: those of the command; `{}` in one of them is replaced by the number of the run.
"""

from __future__ import annotations

import sys

import birdwatchd.commands.keep.backup  # loaded before it says that it is ready
import birdwatchd.store.store  # noqa: F401
from birdwatchd.cli import run_cli


def main(arguments: list[str]) -> None:
    """Run for ever; a failure ends it, and is seen by its status."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    number = 0
    while status := run_cli([one.format(number) for one in arguments]) == 0:
        number += 1
        sys.stdout.write(f"done {status}\n")
        sys.stdout.flush()
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
