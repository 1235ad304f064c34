"""Be the process that draws the bird of a self-test which somebody asked for on the page (`web/asked/selftest.py`).

The page draws nothing and cuts nothing out, and the drawing belongs to a part beside it.
"""

from __future__ import annotations

import json
import sys

from birdwatchd.commands.diagnose.selftest import run_selftest
from birdwatchd.demo.still import draw_still
from birdwatchd.settings.config import Config

__all__ = ["main"]


def main() -> int:
    """Test the daemon of the home that a line of stdin names; returns the exit status."""
    order = json.loads(sys.stdin.buffer.readline())
    return run_selftest(Config.model_validate({"home": order["home"]}), draw_still, as_json=True)


if __name__ == "__main__":
    sys.exit(main())
