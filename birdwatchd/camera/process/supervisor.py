"""The main process's side of a camera process: start it, read what it says, start it again when it dies.

Restarted for ever with back-off. When a camera process dies in the middle of a visit, the visit is closed here with
its last sighting, so that no visit stays open for ever. Imports neither libav nor OpenCV.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdwatchd.camera.process.wire import FileDone, Pipe, WireError
from birdwatchd.flow import Backoff, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus, Evidence, clip_part, clip_path
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["CameraProcess", "ScanProcess", "probe_camera"]

log = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_LAST_S = 0.5, 60.0
HEALTHY_S = 60.0  # a process that lived this long is restarted at once
HANGS_S = 20.0  # a process that says nothing for this long beyond its own time-outs hangs in a decoder or driver
LOOK_S = 0.2  # how often is looked whether a process lives, and whether it is still wanted
KEPT_ENDED = 64  # visits that are over and may still get a clip
STOP_S = 4.0  # how long a camera process may take to close its visits before it is killed


def spawn(order: dict[str, Any], module: str = "birdwatchd.camera.process.worker") -> subprocess.Popen[bytes]:
    """Start a process of a camera's and give it its order on stdin."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "4194304",  # bytes: the grids of a look are not given back to the kernel and
        "MALLOC_TRIM_THRESHOLD_": "33554432",  # fetched anew, page by page, in every look
        "PYTHONUNBUFFERED": "1",
        "BIRDWATCHD_CAMERA": str(order["camera"]),  # for people who look at the process list: ps e
    }
    process = subprocess.Popen(
        # -P: `python -m` would look for modules in the current folder first, and that may be a stranger's card
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    command(process, order)
    return process


def command(process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    """Write one JSON line to a worker; a dead worker is noticed by whoever reads from it."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order, default=str).encode() + b"\n")
        process.stdin.flush()
    except (BrokenPipeError, ValueError):
        log.debug("worker %d is gone", process.pid)


def close_stdin(process: subprocess.Popen[bytes]) -> None:
    """Ask a worker to close its visits and end."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except BrokenPipeError:
        log.debug("worker %d was gone before it could be asked to stop", process.pid)


class CameraProcess:
    """One camera as the main process sees it: `run` ends only after the stop (or the end of a file)."""

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        mailbox: Mailbox,
        metrics: Metrics,
        on_status: Callable[[CameraStatus], None],
        *,
        home: Path | None = None,
        on: bool = True,
    ) -> None:
        """
        Args:
            home: where clips are kept, if the camera's settings want any.
            on: whether it starts switched on; see `switch`.
        """
        self.camera, self._settings, self._mailbox = camera, settings, mailbox
        self._metrics, self._on_status = metrics, on_status
        self._home = home.absolute() if home is not None and settings.clips else None
        self._open: dict[str, Evidence] = {}
        self._ended: OrderedDict[str, Evidence] = OrderedDict()
        self._process: subprocess.Popen[bytes] | None = None
        self._finished = False
        self._off = threading.Event()
        self.switch(on)
        self._heard_at = 0.0
        self._patience_s = settings.open_timeout_s + settings.read_timeout_s + HANGS_S
        mailbox.open_lane(camera)

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def switch(self, on: bool) -> None:
        """Start or stop watching, from any thread; while it is off there is no process. Returns at once."""
        (self._off.clear if on else self._off.set)()

    def run(self, stop: Stop) -> None:
        """Keep the camera's process running; closes the camera's lane at the end."""
        backoff = Backoff(RESTART_FIRST_S, RESTART_LAST_S, random.random)
        try:
            while not stop.is_set() and not self._finished:
                if self._off.is_set():
                    self._rest(stop)
                    backoff.reset()
                    continue
                began = time.monotonic()
                status = self._run_process(stop)
                self._close_lost()
                if stop.is_set() or self._finished or self._off.is_set():
                    continue
                if time.monotonic() - began > HEALTHY_S:
                    backoff.reset()
                wait = backoff.next_wait()
                self._metrics.add("camera_restarts_total", camera=self.camera)
                log.warning("camera %s: its process ended (%s); starting it again in %.1f s", self.camera, status, wait)
                self._tell(CameraState.OFFLINE, f"camera process ended ({status})")
                again = time.monotonic() + wait
                while time.monotonic() < again and not (self._off.is_set() or stop.wait(min(wait, LOOK_S))):
                    pass
        finally:
            self._close_lost()
            self._mailbox.close_lane(self.camera)

    def _rest(self, stop: Stop) -> None:
        """Be switched off until somebody switches on, or the stop."""
        self._tell(CameraState.DISABLED, "switched off")
        while self._off.is_set() and not stop.wait(LOOK_S):
            pass
        if not stop.is_set():
            self._tell(CameraState.STARTING, "switched on")

    def _run_process(self, stop: Stop) -> str:
        order = {"mode": "camera", "camera": self.camera, "settings": self._settings.reveal(), "home": self._home}
        try:
            process = self._process = spawn(order)
        except OSError as error:  # out of processes, files or memory: this camera waits, the others go on
            return f"cannot be started: {os.strerror(error.errno or 0)}"
        assert process.stdout is not None
        self._heard_at = time.monotonic()
        guard = threading.Thread(target=self._guard, args=(process, stop), daemon=True)
        guard.start()
        try:
            self._read(Pipe(process.stdout), stop)  # type: ignore[arg-type]  # IO[bytes] reads like BinaryIO
        except WireError as error:
            log.error("camera %s: %s", self.camera, error)
            process.kill()
        process.stdout.close()
        close_stdin(process)
        ending = _ending(process.wait())
        guard.join()
        return ending

    def _guard(self, process: subprocess.Popen[bytes], stop: Stop) -> None:
        """Watch over one process: kill it when it hangs; when it is to stop, ask it, and kill it if it is deaf."""
        while not (self._off.is_set() or stop.wait(LOOK_S)):
            if process.poll() is not None:
                return
            if time.monotonic() - self._heard_at > self._patience_s:
                log.error("camera %s: its process hangs and is killed", self.camera)
                process.kill()
        close_stdin(process)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("camera %s: its process did not stop within %.0f s and is killed", self.camera, STOP_S)
            process.kill()

    def _read(self, pipe: Pipe, stop: Stop) -> None:
        while (item := pipe.receive()) is not None:
            self._heard_at = time.monotonic()
            if isinstance(item, Evidence | CameraStatus) and item.camera != self.camera:
                raise WireError(f"a message about '{item.camera}', which is another camera")
            if isinstance(item, Evidence):
                item = self._claimed(item)
                if item.end is None:
                    self._open[item.visit_id] = item
                else:
                    self._over(item)
                self._metrics.add("evidence_total", camera=self.camera)
                self._mailbox.put(self.camera, item)
            elif isinstance(item, CameraStatus):
                if item.state is CameraState.DISABLED:
                    raise WireError("it says that it was switched off, which only the main process can say")
                over = stop.is_set() or not (self._settings.source.is_live or self._off.is_set())
                self._finished = item.state is CameraState.FINISHED and over
                self._on_status(item)

    def _claimed(self, item: Evidence) -> Evidence:
        """A process may speak only of visits that it began itself: it could have been taken over.

        Of one that is over it can only say which clip it has; everything else stays as it was said before.

        Raises:
            WireError: the visit is not new and not one of its own, or has a clip before its end.
        """
        ended = self._ended.pop(item.visit_id, None)
        if ended is not None:
            if item.clip is None or item.revision <= ended.revision:
                raise WireError(f"evidence of a visit '{item.visit_id}' that is over")
            return replace(ended, revision=item.revision, clip=item.clip, clip_cut=item.clip_cut, moments=())
        new = item.revision == 1 and item.visit_id not in self._open
        if not new and item.visit_id not in self._open:
            raise WireError(f"evidence of a visit '{item.visit_id}' that it did not begin")
        if item.clip is not None:
            raise WireError(f"a clip of a visit '{item.visit_id}' that is not over")
        return item

    def _over(self, item: Evidence) -> None:
        self._open.pop(item.visit_id, None)
        if self._home is not None and item.clip is None:
            self._ended[item.visit_id] = replace(item, moments=())
            if len(self._ended) > KEPT_ENDED:
                self._ended.popitem(last=False)

    def _close_lost(self) -> None:
        self._remove_parts()
        self._ended.clear()
        for item in self._open.values():
            closing = replace(item, revision=item.revision + 1, end=item.last_seen, moments=())
            self._mailbox.put(self.camera, closing)
            self._metrics.add("visits_cut_short_total", camera=self.camera)
        self._open.clear()

    def _remove_parts(self) -> None:
        """Delete the unfinished clips of a process that died; they are of visits that it began."""
        if self._home is not None:
            for visit_id in (*self._open, *self._ended):
                with suppress(OSError):  # most have none; what cannot be deleted is found by the next sweep
                    (self._home / clip_part(clip_path(self.camera, visit_id))).unlink()

    def _tell(self, state: CameraState, detail: str) -> None:
        self._on_status(CameraStatus(self.camera, state, datetime.now(UTC), detail=detail))


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"status {code}"


class ScanProcess:
    """A worker that scans files one after another; a file that kills it costs only that file."""

    patience_s = 30.0  # beyond its own time-outs; a worker that decodes says something four times a second

    def __init__(self, camera: str, settings: CameraSettings) -> None:
        self._camera, self._settings = camera, settings
        self._silence_s = settings.open_timeout_s + settings.read_timeout_s + self.patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._hung = self._over = False

    def scan(
        self, path: str, on_evidence: Callable[[Evidence], None], on_status: Callable[[CameraStatus], None]
    ) -> FileDone:
        """Scan one file; returns how it ended, also when the worker died over it, hung or talked nonsense.

        Args:
            path: as the system knows it; bytes that are no UTF-8 are surrogates, which JSON carries escaped.
        """
        process, seconds, self._hung = self._running(), 0.0, False
        if self._over:
            process.kill()
        command(process, {"file": path})
        done: FileDone | None = None
        open_visits: dict[str, Evidence] = {}
        problem = ""
        try:
            while done is None and (item := self._receive(process)) is not None:
                if isinstance(item, FileDone):
                    done = item
                elif isinstance(item, CameraStatus):
                    seconds = dict(item.extra).get("media_s", seconds)
                    on_status(item)
                else:
                    open_visits[item.visit_id] = item
                    if item.end is not None:
                        del open_visits[item.visit_id]
                    on_evidence(item)
        except WireError as error:
            process.kill()
            problem = f"makes the decoder talk nonsense ({error})"
        for item in open_visits.values():
            on_evidence(replace(item, revision=item.revision + 1, end=item.last_seen, moments=()))
        if done is not None:
            return done
        ending = self._bury(process)
        if self._hung:
            problem = f"hangs the decoder (it said nothing for {self._silence_s:.0f} s)"
        return FileDone(path, seconds, f"{path}: {problem or f'crashed the decoder ({ending})'}; this file is skipped")

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            close_stdin(self._process)
            self._bury(self._process)

    def kill(self) -> None:
        """End the worker in the middle of a file (Ctrl-C), and every later one."""
        self._over = True
        if self._process is not None:
            self._process.kill()

    def _receive(self, process: subprocess.Popen[bytes]) -> Evidence | CameraStatus | FileDone | None:
        """The next message, None when the worker is gone; one that says nothing for too long is killed.

        The clock runs only in here: while the classifier is busy, it is the worker that waits.

        Raises:
            WireError: what came is no message, or about another camera.
        """
        assert process.stdout is not None
        timer = threading.Timer(self._silence_s, self._give_up, args=(process,))
        timer.daemon = True
        timer.start()
        try:
            item = Pipe(process.stdout).receive()  # type: ignore[arg-type]  # IO[bytes] reads like BinaryIO
        finally:
            timer.cancel()
        if isinstance(item, Evidence) and item.camera != self._camera:
            raise WireError(f"evidence of a camera '{item.camera}' that it is not")
        return item

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        self._hung = True
        process.kill()

    def _bury(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of a worker, let go of it, and say how it ended."""
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        ending = _ending(process.wait())
        close_stdin(process)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
        return ending

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._bury(self._process)
        if self._process is None:
            order = {"mode": "scan", "camera": self._camera}
            self._process = spawn(order | {"settings": self._settings.reveal()})
        return self._process


def probe_camera(camera: str, settings: CameraSettings) -> CameraStatus:
    """Open a camera in a process of its own until it gives a picture or fails; returns which."""
    process = spawn({"mode": "camera", "camera": camera, "settings": settings.reveal()})
    assert process.stdout is not None
    assert process.stdin is not None
    timer = threading.Timer(settings.open_timeout_s + settings.read_timeout_s + 5.0, process.kill)
    timer.start()
    answer = CameraStatus(camera, CameraState.OFFLINE, datetime.now(UTC), detail="no answer in time")
    pipe = Pipe(process.stdout)  # type: ignore[arg-type]  # IO[bytes] reads like BinaryIO
    while (item := pipe.receive()) is not None:
        if isinstance(item, CameraStatus) and item.state in (CameraState.ONLINE, CameraState.OFFLINE):
            answer = item
            break
    timer.cancel()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    return answer
