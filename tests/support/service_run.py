"""Run the daemon in a world of a test's making, as a process of its own.

`python -m tests.support.service_run WORLD FILE`: FILE is the configuration; WORLD is JSON: `url` and `sha256` of
published weights that birder does not know, or `hang_s`, after which the storage stage stops going round, with
`patience_s` for it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from birdwatchd import daemon
from birdwatchd.__main__ import main
from birdwatchd.stages.storage import Storage


def hang(after_s: float, patience_s: float) -> None:
    """Let the storage stage stand still, as a disk does that no longer answers."""
    setattr(daemon, "LONG_S", patience_s)  # noqa: B010 # a constant for everybody else
    run_once, began_s = Storage.run_once, time.monotonic()

    def stand_still(self: Storage, now_s: float) -> float:
        if time.monotonic() - began_s > after_s:
            time.sleep(3600)
        return min(0.2, run_once(self, now_s))

    Storage.run_once = stand_still  # type: ignore[method-assign]


if __name__ == "__main__":
    world: dict[str, Any] = json.loads(sys.argv[1])
    if "hang_s" in world:
        hang(world["hang_s"], world["patience_s"])
    if "url" in world:
        from tests.support.publisher import register
        from tests.support.random_networks import register_small

        register_small()
        register(world["url"], world["sha256"])
    sys.argv = ["birdwatchd", "run", "--config", sys.argv[2]]
    main()
