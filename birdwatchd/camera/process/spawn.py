"""Start child processes that decode what strangers send, confined to what their order needs, and talk to them.

Imports neither libav nor OpenCV.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from birdwatchd.address import Source
from birdwatchd.camera.neighbours import earlier_recordings
from birdwatchd.camera.process.memory import memory_limit_mb, most_resident_mb, too_large
from birdwatchd.camera.process.relay import Relay
from birdwatchd.camera.process.sandbox import Confinement
from birdwatchd.camera.process.wire import ChildFailed, Item, Pipe, WireError
from birdwatchd.records import CameraState, CameraStatus, Evidence, LiveView
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["ChildProcess", "spawn"]

log = logging.getLogger(__name__)
STOP_S = 4.0  # how long a child may take to end before it is killed


class ChildProcess:
    """A process that decodes what strangers send, as its parent sees it. Methods may be called from any thread."""

    def __init__(
        self, process: subprocess.Popen[bytes], camera: str, relays: Sequence[Relay] = (), memory_mb: int = 0
    ) -> None:
        """
        Args:
            process: with pipes as stdin and stdout.
            camera: of whom alone it may speak.
            relays: its ways to the network, which end with it.
            memory_mb: what it may have resident, MiB; 0 for any.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._camera, self._relays, self._memory_mb = process, camera, relays, memory_mb
        self._stdin, self._stdout = process.stdin, process.stdout
        self._pipe = Pipe(process.stdout)
        self._killed = ""  # why it was

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
        try:
            item = self._pipe.receive(*kinds)
        except ChildFailed as error:
            raise ChildFailed(self._explained(str(error))) from None
        if isinstance(item, Evidence | CameraStatus | LiveView) and item.camera != self._camera:
            raise WireError(f"a message about {item.camera!r}, which is another camera")
        if isinstance(item, CameraStatus) and item.state is CameraState.ONLINE:
            for relay in self._relays:
                relay.forget()
        elif isinstance(item, CameraStatus) and item.detail:
            return replace(item, detail=self._explained(item.detail))
        return item

    def _explained(self, text: str) -> str:
        for relay in self._relays:
            text = relay.explain(text)
        return text

    def check_memory(self) -> bool:
        """Kill it if it has more memory than it may; False if it had. To be called a few times a second."""
        held_mb = most_resident_mb(self._process.pid) if self._memory_mb and self.pid is not None else 0.0
        if held_mb <= self._memory_mb:
            return True
        self.kill(too_large(self._memory_mb))
        return False

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

    def kill(self, why: str = "") -> None:
        """End it at once.

        Args:
            why: what `bury` is to say of it.
        """
        self._killed = self._killed or why
        self._process.kill()

    def bury(self) -> str:
        """Stop it if it still runs, let go of it, and say how it ended."""
        self.stop()
        code = self._process.wait()
        self._stdout.close()
        for relay in self._relays:
            relay.close()
        if self._killed:
            return f"killed: {self._killed}"
        return f"killed by signal {-code}" if code < 0 else f"status {code}"


def spawn(
    order: Mapping[str, Any],
    module: str = "birdwatchd.camera.process.worker",
    *,
    recordings: Sequence[str] = (),
    write: Sequence[str] = (),
) -> ChildProcess:
    """Start a child process and give it its order on stdin.

    Args:
        order: with the `camera`, and `settings` that hold credentials.
        module: calls `birdwatchd.camera.process.child.run_child`.
        recordings: files, and folders of them, that it may read instead of the source in its settings.
        write: files and folders that it may write.

    Raises:
        OSError: there is no process to be had, or no port.
    """
    camera, settings = str(order["camera"]), CameraSettings.model_validate(order["settings"])
    sources = {name: source for name in ("source", "gate_source") if (source := getattr(settings, name)) is not None}
    files = recordings or [source.location for source in sources.values() if source.kind == "file"]
    relays = _relays(camera, sources, settings)
    device = settings.decode != "cpu" and _has_graphics(settings.decode)
    confinement = Confinement(
        read=tuple(str(path) for file in files for path in _with_neighbours(Path(file))),
        list=tuple({str(Path(file).parent) for file in files}),
        write=tuple(write),
        devices=tuple(source.location for source in sources.values() if source.kind == "device"),
        ports=tuple(relay.port for relay in relays.values()),
        memory_mb=memory_limit_mb(order["settings"], device=device),
        device=device,
    )
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "4194304",  # bytes: a frame's grids are not given back to the kernel and
        "MALLOC_TRIM_THRESHOLD_": "33554432",  # fetched again, page by page, for every frame
        "PYTHONUNBUFFERED": "1",
        "BIRDWATCHD_CAMERA": camera,  # for people who look at the process list: ps e
        "no_proxy": "",  # libav would go past the relay
    }
    try:
        process = subprocess.Popen(
            # -P: `python -m` would look for modules in the current folder first, and that may be a stranger's card
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
    except OSError:
        for relay in relays.values():
            relay.close()
        raise
    child = ChildProcess(process, camera, tuple(relays.values()), confinement.memory_mb)
    child.command(
        {
            **order,
            "confinement": confinement.to_order(),
            "relays": {name: relay.port for name, relay in relays.items()},
        }
    )
    return child


def _with_neighbours(path: Path) -> list[Path]:
    """A recording, and those before it that may show its place; a folder is all that is in it."""
    try:
        names = [] if path.is_dir() else sorted(os.listdir(path.parent))
    except OSError:
        names = []
    return [path, *earlier_recordings(path, names)]


def _relays(camera: str, sources: Mapping[str, Source], settings: CameraSettings) -> dict[str, Relay]:
    """A relay for each source in the network, by its key in the settings."""
    relays: dict[str, Relay] = {}
    try:
        for name, source in sources.items():
            if source.kind in ("rtsp", "http"):
                relays[name] = Relay(camera, source, settings)
    except OSError:
        for relay in relays.values():
            relay.close()
        raise
    return relays


def _has_graphics(decode: str) -> bool:
    """Whether a graphics device may decode: one that is named is tried whatever is there."""
    return decode != "auto" or any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev/dri").glob("renderD*"))
