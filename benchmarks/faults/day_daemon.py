"""`birdwatchd run` with cameras whose time is simulated, and with the intervals of its storage watching shortened.

All else is the daemon as it is: supervisors, pipes, stages, network, SQLite, outbox, MQTT, retention.
"""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.faults.day_camera import Pace
from birdwatchd import daemon
from birdwatchd.camera.process import supervisor
from birdwatchd.cli import run_cli
from birdwatchd.mqtt import retained
from birdwatchd.stages import storage

__all__ = ["main"]


def main(config: str) -> int:
    """Run until told to stop."""
    pace = Pace.from_environment()
    supervisor.spawn = partial(supervisor.spawn, module="benchmarks.faults.day_camera")
    setattr(daemon, "Storage", partial(storage.Storage, clock=pace.now))  # noqa: B010
    for module, name in (
        (storage, "LOOK_EVERY_S"),
        (storage, "CHECK_S"),
        (storage, "AGE_CHECK_S"),
        (storage, "PUBLISH_S"),
        (retained, "UPDATE_INTERVAL_S"),
    ):
        setattr(module, name, getattr(module, name) / pace.factor)
    return run_cli(["run", "-c", config])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
