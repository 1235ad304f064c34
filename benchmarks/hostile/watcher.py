"""Watch one camera as the daemon does, without model and database, and log what the daemon would log.

Started by `benchmarks.hostile` with the address as its argument; runs until its stdin ends.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from birdwatchd.address import Source
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.stages.upkeep import Upkeep

__all__ = ["main"]


def main() -> None:
    """Watch until stdin ends."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    metrics, stop = Metrics(), Stop()
    mailbox = Mailbox(metrics)

    def ignore(*_: Any) -> None:
        """Effort and MQTT are of no interest here."""

    upkeep = Upkeep(metrics, on_status=ignore, on_change=ignore, healthy=lambda: True, beat_service=ignore)
    camera = CameraProcess("attacker", CameraSettings(source=Source(sys.argv[1])), mailbox, metrics, upkeep.take_status)
    threads = [
        threading.Thread(target=camera.run, args=(stop,)),
        threading.Thread(target=upkeep.run, args=(stop,)),
    ]
    for thread in threads:
        thread.start()
    threading.Thread(target=_drain, args=(mailbox,), daemon=True).start()
    sys.stdin.read()
    stop.set("asked")
    for thread in threads:
        thread.join()


def _drain(mailbox: Mailbox) -> None:
    while mailbox.take(64, 0.0) is not None:
        pass


if __name__ == "__main__":
    main()
