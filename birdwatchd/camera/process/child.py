"""Run in a child process: orders come as JSON lines on stdin, records go out on stdout, the end of stdin is the stop.

Streams and files of strangers are decoded in children only; `birdwatchd.camera.process.supervisor` starts them. What to
do comes with the first order, so credentials never stand in a command line. Stdin ends when the parent asks for the
stop and also when it dies, so that no child is ever left behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any, NoReturn

import cv2

from birdwatchd.camera.process.memory import too_large
from birdwatchd.camera.process.sandbox import Confinement, confine
from birdwatchd.camera.process.wire import Failure, Pipe
from birdwatchd.errors import BirdwatchError
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Parent", "run_child"]


class Parent:
    """The process that started this one.

    Attributes:
        order: what it wants: its first line.
        pipe: takes the records for it.
    """

    def __init__(self, order: dict[str, Any], stdin: IO[bytes], pipe: Pipe) -> None:
        self.order, self._stdin, self.pipe = order, stdin, pipe

    @property
    def settings(self) -> CameraSettings:
        """The camera's settings, with sources that lead through its relays."""
        settings = CameraSettings.model_validate(self.order["settings"])
        relayed = {name: getattr(settings, name).through(port) for name, port in self.order.get("relays", {}).items()}
        return settings.model_copy(update=relayed)

    def further_orders(self) -> Iterator[dict[str, Any]]:
        """Wait for one after another, until the end of stdin."""
        for line in iter(self._stdin.readline, b""):
            yield json.loads(line)

    def stop_at_end(
        self,
        stop: Stop,
        then: Callable[[], None] = lambda: None,
        *,
        on_order: Callable[[dict[str, Any]], None] = lambda order: None,
    ) -> None:
        """Start a thread that waits for the end of stdin, raises the stop and calls `then`.

        Args:
            on_order: gets what the parent says until then.
        """

        def wait() -> None:
            for order in self.further_orders():
                on_order(order)
            stop.set("the parent process asked")
            then()

        threading.Thread(target=wait, name="stdin", daemon=True).start()


def run_child(work: Callable[[Parent], None]) -> NoReturn:
    """Read the first order, do the work and end the process; a `BirdwatchError` of the work is sent to the parent.

    The exit status is 0 when the work was done, 1 when it could not be, or nobody reads the records any more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes our stdin
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # likewise for a service manager that signals the whole group
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # and for a terminal that is closed
    cv2.setNumThreads(1)
    pipe = Pipe(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints must not end up between records
    line = sys.stdin.buffer.readline()
    status = 1
    try:
        if line:  # else the parent is gone
            status = _done(work, Parent(json.loads(line), sys.stdin.buffer, pipe))
    except BrokenPipeError:
        pass  # the parent is gone
    sys.stdout.flush()
    os._exit(status)  # skip destructors: libav's and OpenCV's threads have nothing left to save


def _done(work: Callable[[Parent], None], parent: Parent) -> int:
    missing = confine(Confinement.from_order(parent.order.get("confinement", {})))
    if missing:
        text = f"its process is not fully confined: not in force: {'; '.join(missing)}"
        parent.pipe.send(CameraStatus(parent.order["camera"], CameraState.STARTING, datetime.now(UTC), notice=text))
    threading.excepthook = lambda failed: _fail(parent, failed.exc_value)
    sys.excepthook = lambda kind, error, trace: _fail(parent, error)  # a thread that reads would abort the exit
    try:
        work(parent)
    except BirdwatchError as error:
        parent.pipe.send(Failure(str(error)))
        return 1
    except (MemoryError, cv2.error) as error:
        _fail(parent, error)
    return 0


def _fail(parent: Parent, error: BaseException | None) -> NoReturn:
    """End the process because one of its threads cannot go on, and say why where that is known."""
    if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.STS_NO_MEM):
        limit_mb = Confinement.from_order(parent.order.get("confinement", {})).memory_mb
        with suppress(OSError):  # nobody listens any more
            parent.pipe.send(Failure(too_large(limit_mb)))
    elif error is not None:
        traceback.print_exception(error)
    os._exit(1)
