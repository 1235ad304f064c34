"""The main process's side of a scan: one child process for all files, started again after one that killed it.

Imports neither libav nor OpenCV.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from birdwatchd.camera.process.spawn import ChildProcess, spawn
from birdwatchd.camera.process.wire import ChildFailed, FileDone, Item, WireError
from birdwatchd.records import CameraStatus, Evidence
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["ScanProcess"]

log = logging.getLogger(__name__)


class ScanProcess:
    """A worker that scans files one after another; a file that kills it costs only that file."""

    patience_s = 30.0  # beyond its own time-outs; a worker that decodes says something four times a second

    def __init__(
        self, camera: str, settings: CameraSettings, sources: Iterable[Path] = (), zones: tuple[str, str] = ("", "")
    ) -> None:
        """
        Args:
            sources: files, and folders of them, that will be scanned; the worker can read nothing else. For one that
                is not among them another worker is started.
            zones: the station's zone, and the one in which cameras wrote their times; empty where they know better.
        """
        self._zones = zones
        self._camera, self._settings = camera, settings
        self._sources = {os.path.realpath(source) for source in sources}
        self._silence_s = settings.open_timeout_s + settings.read_timeout_s + self.patience_s
        self._child: ChildProcess | None = None
        self._hung = self._over = False
        self._hung_over: dict[str, FileDone] = {}  # what hung the decoder already when its date was looked for

    def began_s(self, path: str) -> float | None:
        """When a recording is said to begin, in seconds since 1970; None where it cannot be looked at.

        Nothing of it is decoded. What is wrong with it is said when it is scanned; what hangs the decoder is not given
        to it a second time then.
        """
        found: list[float] = []

        def on_status(status: CameraStatus) -> None:
            found.extend(value for name, value in status.extra if name == "began_s")
            if status.notice:  # of the process, which begins with this: that it is not fully confined
                log.warning("%s", status.notice)

        done = self._ask(path, {"date_of": path}, lambda evidence: None, on_status)
        if self._hung and done.error:
            self._hung_over[path] = done
        return found[0] if found else None

    def scan(
        self, path: str, on_evidence: Callable[[Evidence], None], on_status: Callable[[CameraStatus], None]
    ) -> FileDone:
        """Scan one file; returns how it ended, also when the worker died over it, hung or talked nonsense.

        Args:
            path: as the system knows it; bytes that are no UTF-8 are surrogates, which JSON carries escaped.
        """
        if (done := self._hung_over.pop(path, None)) is not None:
            return done
        return self._ask(path, {"file": path}, on_evidence, on_status)

    def _ask(
        self,
        path: str,
        order: dict[str, str],
        on_evidence: Callable[[Evidence], None],
        on_status: Callable[[CameraStatus], None],
    ) -> FileDone:
        """Give the worker an order about a file, and take what it says until it is done with it."""
        child, seconds, self._hung = self._running(os.path.realpath(path)), 0.0, False
        if self._over:
            child.kill()
        child.command(order)
        done: FileDone | None = None
        open_visits: dict[str, Evidence] = {}
        problem = ""
        try:
            while done is None and (item := self._receive(child)) is not None:
                if isinstance(item, FileDone):
                    done = item
                elif isinstance(item, CameraStatus):
                    seconds = dict(item.extra).get("media_s", seconds)
                    on_status(item)
                elif isinstance(item, Evidence):
                    open_visits[item.visit_id] = item
                    if item.end is not None:
                        del open_visits[item.visit_id]
                    on_evidence(item)
        except ChildFailed as error:
            problem = str(error)
        except WireError as error:
            child.kill()
            problem = f"makes the decoder talk nonsense ({error})"
        for item in open_visits.values():
            on_evidence(replace(item, revision=item.revision + 1, end=item.last_seen, moments=()))
        if done is not None:
            return done
        ending = self._bury(child)
        if self._hung:
            problem = f"hangs the decoder (it said nothing for {self._silence_s:.0f} s)"
        return FileDone(path, seconds, f"{path}: {problem or f'crashed the decoder ({ending})'}; this file is skipped")

    def close(self) -> None:
        """End the worker."""
        if self._child is not None:
            self._bury(self._child)

    def kill(self) -> None:
        """End the worker in the middle of a file (Ctrl-C), and every later one."""
        self._over = True
        if self._child is not None:
            self._child.kill()

    def _receive(self, child: ChildProcess) -> Item | None:
        """The next record, None when the worker is gone; one that says nothing for too long is killed.

        The clock runs only in here: while the classifier is busy, it is the worker that waits.

        Raises:
            ChildFailed, WireError: see `ChildProcess.receive`.
        """
        timer = threading.Timer(self._silence_s, self._give_up, args=(child,))
        timer.daemon = True
        timer.start()
        try:
            return child.receive(Evidence, CameraStatus, FileDone)
        finally:
            timer.cancel()

    def _give_up(self, child: ChildProcess) -> None:
        self._hung = True
        child.kill()

    def _bury(self, child: ChildProcess) -> str:
        self._child = None
        return child.bury()

    def _running(self, path: str) -> ChildProcess:
        if self._sources.isdisjoint((path, *map(str, Path(path).parents))):
            self._sources = {path}
            self.close()
        if self._child is not None and self._child.pid is None:
            self._bury(self._child)
        if self._child is None:
            order = {"mode": "scan", "camera": self._camera, "settings": self._settings.reveal(), "zones": self._zones}
            self._child = spawn(order, recordings=sorted(self._sources))
        return self._child
