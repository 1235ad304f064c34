"""Start the command line: `birdwatchd …` and `python -m birdwatchd …` are the same."""

from __future__ import annotations

import os
import sys

from birdwatchd.cli import run_cli


def main() -> None:
    """Run the command line and leave with its exit status.

    `sudo -u birdwatchd` leaves one in a folder that this user may not enter; libraries that look for files there fail.
    """
    if not os.access(".", os.X_OK, effective_ids=True):
        os.chdir("/")
    sys.exit(run_cli(sys.argv[1:]))


if __name__ == "__main__":
    main()
