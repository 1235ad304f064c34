"""Behave as a service: stop on signals, and notify systemd of readiness, the stop, and that the stages are alive."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from types import FrameType

from birdwatchd.flow import Stop

__all__ = ["notify", "stop_on_signals"]

log = logging.getLogger(__name__)


def stop_on_signals(stop: Stop) -> None:
    """SIGTERM and SIGINT set the flag, nothing else; a second one leaves at once.

    So does the first one while the stop is not `armed` yet: a download or a slow load has nothing to save.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if received or not stop.armed:
            os._exit(0 if not received and number == signal.SIGTERM else 128 + number)
        received.append(number)
        # Not stop.set() itself: the interrupted thread may be holding the lock that it takes.
        threading.Thread(target=stop.set, args=(f"received {signal.Signals(number).name}",)).start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def notify(state: str) -> None:
    """Send a state to systemd (sd_notify(3)); does nothing where no service manager listens.

    Args:
        state: `READY=1`, `STOPPING=1` or `WATCHDOG=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError as error:
            log.debug("service manager does not listen (%s)", error.strerror)
