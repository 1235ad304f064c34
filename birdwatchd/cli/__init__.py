"""Define the command line: what a person can type, and which module of `commands` does it."""

from birdwatchd.cli.main import app, run_cli

__all__ = ["app", "run_cli"]
