"""Be the process of the page: `birdwatchd/stages/page_process.py` starts it, hands it a socket and the configuration.

The end of stdin is the stop. So it ends with the program that started it, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from birdwatchd.commands.terminal import setup_log
from birdwatchd.errors import BirdwatchError
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.web.server import serve

__all__ = ["main"]


def main(descriptors: Sequence[int]) -> int:
    """Serve on these sockets until stdin ends; returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes our stdin
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # likewise for a service manager that signals the whole group
    line = sys.stdin.buffer.readline()
    if not line:  # the parent is gone
        return 1
    config = Config.model_validate(json.loads(line))
    setup_log(as_json=config.log.format == "json")
    stop = Stop()

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # not through the buffer: its lock would be held at the exit
            pass
        stop.set("the program that started it ends")

    threading.Thread(target=wait, name="stdin", daemon=True).start()
    try:
        serve(config, [socket.socket(fileno=one) for one in descriptors], stop)
    except BirdwatchError as error:
        sys.stderr.write(f"birdwatchd: the page: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main([int(one) for one in sys.argv[1:]]))
