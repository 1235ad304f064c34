"""Start the command line: `birdwatchd …` and `python -m birdwatchd …` are the same."""

from __future__ import annotations

import sys

from birdwatchd.cli import run_cli


def main() -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(run_cli(sys.argv[1:]))


if __name__ == "__main__":
    main()
