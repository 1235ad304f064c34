"""Be the process of the page: `birdwatchd/stages/page_process.py` starts it, hands it a socket and the configuration.

The end of stdin is the stop. So it ends with the program that started it, however that ends. It takes away from itself
what it does not need (`confined.py`), and where the database is replaced it ends, to be started anew.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from birdwatchd.camera.process.sandbox import confine
from birdwatchd.commands.terminal import setup_log
from birdwatchd.errors import BirdwatchError
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import BEGIN_ANEW
from birdwatchd.web.confined import Reach
from birdwatchd.web.server import serve

__all__ = ["main"]

log = logging.getLogger(__name__)

PREPARE_S = 60  # for the first look at the home; after it the process ends, and is started again
LOOK_S = 1.0  # between two looks whether the database is another one


def main(descriptors: Sequence[int]) -> int:
    """Serve on these sockets until stdin ends; returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes our stdin
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # likewise for a service manager that signals the whole group
    line = sys.stdin.buffer.readline()
    if not line:  # the parent is gone
        return 1
    config = Config.model_validate(json.loads(line))
    setup_log(as_json=config.log.format == "json", zone=config.station.zone)
    signal.alarm(PREPARE_S)  # a disk that does not answer: nobody looks yet whether the parent is gone
    reach = Reach(config)
    signal.alarm(0)
    missing = confine(reach.confinement())
    if missing:
        log.warning("the page's process is not fully confined: not in force: %s", "; ".join(missing))
    stop, begins_anew = Stop(), threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_S):
            if reach.is_another():
                begins_anew.set()
                stop.set("the database is another one")

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # not through the buffer: its lock would be held at the exit
            pass
        stop.set("the program that started it ends")

    threading.Thread(target=wait, name="stdin", daemon=True).start()
    threading.Thread(target=watch, name="database", daemon=True).start()
    try:
        serve(config, [socket.socket(fileno=one) for one in descriptors], stop)
    except BirdwatchError as error:
        sys.stderr.write(f"birdwatchd: the page: {error}\n")
        return error.exit_status
    return BEGIN_ANEW if begins_anew.is_set() else 0


if __name__ == "__main__":
    sys.exit(main([int(one) for one in sys.argv[1:]]))
