"""Behave as a service: stop on signals, and notify systemd of readiness, the stop, and that the stages are alive."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from types import FrameType

from birdwatchd.flow import Stop

__all__ = ["ServiceStatus", "notify", "stop_on_signals"]

log = logging.getLogger(__name__)
STDOUT, STDERR = 1, 2
EXTEND_S = 180.0  # more time for the start, asked for again and again while something goes on
REPEAT_S = 5.0  # between two messages that say the same


def stop_on_signals(stop: Stop) -> None:
    """SIGTERM, SIGINT and SIGHUP set the flag, nothing else; a second one leaves at once.

    So does the first one while the stop is not `armed` yet: a download or a slow load has nothing to save. SIGABRT,
    which systemd's watchdog sends, ends the process with the place at which every thread stands in the log.

    SIGHUP comes when the terminal was closed, or an SSH connection broke: what is said from then on goes nowhere,
    instead of ending the writer with an error. It often comes twice, from the shell and from the system: the second one
    says nothing new. Where it is ignored, as `nohup` has it, it stays so.
    """
    if not faulthandler.is_enabled():
        faulthandler.enable(STDERR)
    received: list[int] = []
    terminals = [file for file in (STDOUT, STDERR) if os.isatty(file)]

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            _silence(terminals)
            if received:
                return
        if received or not stop.armed:
            os._exit(0 if not received and number == signal.SIGTERM else 128 + number)
        received.append(number)
        # Not stop.set() itself: the interrupted thread may be holding the lock that it takes.
        threading.Thread(target=stop.set, args=(f"received {signal.Signals(number).name}",)).start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handle)


def _silence(files: Iterable[int]) -> None:
    """Let these files lead nowhere: a terminal that is gone refuses every byte."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in files:
        os.dup2(nowhere, file)
    os.close(nowhere)


def notify(state: str) -> None:
    """Send a state to systemd (sd_notify(3)); does nothing where no service manager listens.

    Args:
        state: assignments, one a line: `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`, `EXTEND_TIMEOUT_USEC=…`.
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


class ServiceStatus:
    """The line that `systemctl status` shows; sent when it changes."""

    def __init__(self, monotonic: Callable[[], float], send: Callable[[str], None] = notify) -> None:
        self._monotonic, self._send = monotonic, send
        self._text, self._sent_s = "", float("-inf")

    def say(self, text: str) -> None:
        """Show this text, one line."""
        if text != self._text:
            self._text = text
            self._send(f"STATUS={text}")

    def starting(self, text: str) -> None:
        """Show what the start waits for, and ask for more time: it goes on."""
        now_s = self._monotonic()
        if text != self._text or now_s - self._sent_s >= REPEAT_S:
            self._text, self._sent_s = text, now_s
            self._send(f"STATUS={text}\nEXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")
