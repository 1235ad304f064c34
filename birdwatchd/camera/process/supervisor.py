"""Supervise child processes: start them, read what they send, start them again when they die.

A camera's process is restarted for ever with back-off. When it dies in the middle of a visit, the visit is closed here
with its last sighting, so that no visit stays open for ever. Imports neither libav nor OpenCV.
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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdwatchd.camera.process.wire import Item, Pipe, WireError
from birdwatchd.flow import Backoff, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus, Evidence, clip_part, clip_path
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["CameraProcess", "ChildProcess", "probe_camera", "spawn"]

log = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_LAST_S = 0.5, 60.0
HEALTHY_S = 60.0  # a process that lived this long is restarted at once
HANGS_S = 20.0  # a process that says nothing for this long beyond its own time-outs hangs in a decoder or driver
POLL_S = 0.2  # between looks whether a process lives, and whether it is still wanted
KEPT_ENDED = 64  # visits that are over and may still get a clip
STOP_S = 4.0  # how long a child may take to end before it is killed


class ChildProcess:
    """A process that decodes what strangers send, as its parent sees it. Methods may be called from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], camera: str) -> None:
        """
        Args:
            process: with pipes as stdin and stdout.
            camera: of whom alone it may speak.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._camera = process, camera
        self._stdin, self._stdout = process.stdin, process.stdout
        self._pipe = Pipe(process.stdout)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process.poll() is None else None

    def command(self, order: Mapping[str, Any]) -> None:
        """Write an order as one JSON line; a dead process is noticed by whoever reads from it."""
        try:
            self._stdin.write(json.dumps(order, default=str).encode() + b"\n")
            self._stdin.flush()
        except (BrokenPipeError, ValueError):
            log.debug("process %d is gone", self._process.pid)

    def receive(self, *kinds: type[Item]) -> Item | None:
        """Wait for the next record of these kinds; None when the process is gone.

        Raises:
            ChildFailed: it could not do its work.
            WireError: what came is no message, of another kind, or about another camera.
        """
        item = self._pipe.receive(*kinds)
        if isinstance(item, Evidence | CameraStatus) and item.camera != self._camera:
            raise WireError(f"a message about {item.camera!r}, which is another camera")
        return item

    def ask_to_stop(self) -> None:
        """End its stdin. Returns at once."""
        with suppress(BrokenPipeError):  # it is gone
            self._stdin.close()

    def stop(self) -> bool:
        """Ask it to stop, and kill it if it has not within `STOP_S`; False where it had to be killed."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return False
        return True

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def bury(self) -> str:
        """Stop it if it still runs, let go of it, and say how it ended."""
        self.stop()
        code = self._process.wait()
        self._stdout.close()
        return f"killed by signal {-code}" if code < 0 else f"status {code}"


def spawn(order: Mapping[str, Any], module: str = "birdwatchd.camera.process.worker") -> ChildProcess:
    """Start a child process and give it its order on stdin.

    Args:
        order: with the `camera`, and `settings` that hold credentials.
        module: calls `birdwatchd.camera.process.child.run_child`.

    Raises:
        OSError: there is no process to be had.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "4194304",  # bytes: a frame's grids are not given back to the kernel and
        "MALLOC_TRIM_THRESHOLD_": "33554432",  # fetched again, page by page, for every frame
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
    child = ChildProcess(process, str(order["camera"]))
    child.command(order)
    return child


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
        self._child: ChildProcess | None = None
        self._finished = False
        self._off = threading.Event()
        self.switch(on)
        self._received_s = 0.0
        self._patience_s = settings.open_timeout_s + settings.read_timeout_s + HANGS_S
        mailbox.open_lane(camera)

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        child = self._child
        return child.pid if child is not None else None

    def switch(self, on: bool) -> None:
        """Start or stop watching, from any thread; while it is off there is no process. Returns at once."""
        (self._off.clear if on else self._off.set)()

    def run(self, stop: Stop) -> None:
        """Keep the camera's process running; closes the camera's lane at the end."""
        backoff = Backoff(RESTART_FIRST_S, RESTART_LAST_S, random.random)
        try:
            while not stop.is_set() and not self._finished:
                if self._off.is_set():
                    self._stay_off(stop)
                    backoff.reset()
                    continue
                start_s = time.monotonic()
                ending = self._run_process(stop)
                self._close_lost()
                if stop.is_set() or self._finished or self._off.is_set():
                    continue
                if time.monotonic() - start_s > HEALTHY_S:
                    backoff.reset()
                wait_s = backoff.next_wait_s()
                self._metrics.add("camera_restarts_total", camera=self.camera)
                log.warning(
                    "camera %s: its process ended (%s); starting it again in %.1f s", self.camera, ending, wait_s
                )
                self._report(CameraState.OFFLINE, f"camera process ended ({ending})")
                again_s = time.monotonic() + wait_s
                while time.monotonic() < again_s and not (self._off.is_set() or stop.wait(min(wait_s, POLL_S))):
                    pass
        finally:
            self._close_lost()
            self._mailbox.close_lane(self.camera)

    def _stay_off(self, stop: Stop) -> None:
        """Run no process until somebody switches on, or the stop."""
        self._report(CameraState.DISABLED, "switched off")
        while self._off.is_set() and not stop.wait(POLL_S):
            pass
        if not stop.is_set():
            self._report(CameraState.STARTING, "switched on")

    def _run_process(self, stop: Stop) -> str:
        order = {"mode": "camera", "camera": self.camera, "settings": self._settings.reveal(), "home": self._home}
        try:
            child = self._child = spawn(order)
        except OSError as error:  # out of processes, files or memory: this camera waits, the others go on
            return f"cannot be started: {os.strerror(error.errno or 0)}"
        self._received_s = time.monotonic()
        guard = threading.Thread(target=self._guard, args=(child, stop), daemon=True)
        guard.start()
        try:
            self._read(child, stop)
        except WireError as error:
            log.error("camera %s: %s", self.camera, error)
            child.kill()
        ending = child.bury()
        guard.join()
        return ending

    def _guard(self, child: ChildProcess, stop: Stop) -> None:
        """Watch over one process: kill it when it hangs, stop it when it is to stop."""
        while not (self._off.is_set() or stop.wait(POLL_S)):
            if child.pid is None:
                return
            if time.monotonic() - self._received_s > self._patience_s:
                log.error("camera %s: its process hangs and is killed", self.camera)
                child.kill()
        if not child.stop():
            log.warning("camera %s: its process did not stop within %.0f s and is killed", self.camera, STOP_S)

    def _read(self, child: ChildProcess, stop: Stop) -> None:
        while (item := child.receive(Evidence, CameraStatus)) is not None:
            self._received_s = time.monotonic()
            if isinstance(item, Evidence):
                item = self._checked(item)
                if item.end is None:
                    self._open[item.visit_id] = item
                else:
                    self._close(item)
                self._metrics.add("evidence_total", camera=self.camera)
                self._mailbox.put(self.camera, item)
            elif isinstance(item, CameraStatus):
                if item.state is CameraState.DISABLED:
                    raise WireError("it says that it was switched off, which only the main process can say")
                over = stop.is_set() or not (self._settings.source.is_live or self._off.is_set())
                self._finished = item.state is CameraState.FINISHED and over
                self._on_status(item)

    def _checked(self, item: Evidence) -> Evidence:
        """Evidence of a visit that the process began itself: it could have been taken over.

        Of a visit that is over it can only say which clip it has; everything else stays as it was.

        Raises:
            WireError: the visit is not new and not one of its own, or has a clip before its end.
        """
        ended = self._ended.pop(item.visit_id, None)
        if ended is not None:
            if item.clip is None or item.revision <= ended.revision:
                raise WireError(f"evidence of a visit '{item.visit_id}' that is over")
            self._metrics.add("clips_cut_total", float(item.clip_cut), camera=self.camera)
            return replace(ended, revision=item.revision, clip=item.clip, clip_cut=item.clip_cut, moments=())
        new = item.revision == 1 and item.visit_id not in self._open
        if not new and item.visit_id not in self._open:
            raise WireError(f"evidence of a visit '{item.visit_id}' that it did not begin")
        if item.clip is not None:
            raise WireError(f"a clip of a visit '{item.visit_id}' that is not over")
        return item

    def _close(self, item: Evidence) -> None:
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

    def _report(self, state: CameraState, detail: str) -> None:
        self._on_status(CameraStatus(self.camera, state, datetime.now(UTC), detail=detail))


def probe_camera(camera: str, settings: CameraSettings) -> CameraStatus:
    """Open a camera in a process of its own until it gives a frame or fails; returns which."""
    child = spawn({"mode": "camera", "camera": camera, "settings": settings.reveal()})
    timer = threading.Timer(settings.open_timeout_s + settings.read_timeout_s + 5.0, child.kill)
    timer.start()
    answer = CameraStatus(camera, CameraState.OFFLINE, datetime.now(UTC), detail="no answer in time")
    try:
        while (item := child.receive(Evidence, CameraStatus)) is not None:
            if isinstance(item, CameraStatus) and item.state in (CameraState.ONLINE, CameraState.OFFLINE):
                return item
    except WireError as error:
        return replace(answer, detail=str(error))
    finally:
        timer.cancel()
        child.kill()
        child.bury()
    return answer
