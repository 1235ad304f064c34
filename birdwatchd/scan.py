"""Find the visits in recordings: one worker decodes, the stages name and store; resumable, and no file stops it.

A file is marked as scanned only when its last visit is stored. Visit ids of recordings are derived from the file, the
model and the visit's number, so that a scan that was cut off and begins a file again writes the same visits again
instead of doubling them.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from birdwatchd.camera.process import ScanProcess
from birdwatchd.config import CameraSettings, Config, Source
from birdwatchd.daemon import build_stages, model_cache, stop_on_signals, tell_nobody
from birdwatchd.errors import BirdwatchError, ConfigError, ExportError
from birdwatchd.flow import Crew, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraStatus, Evidence, Visit
from birdwatchd.store.writer import Store
from birdwatchd.terminal import VisitLines, err, say_problem
from birdwatchd.wire import FileDone

if TYPE_CHECKING:
    from birdwatchd.species.network import Network

__all__ = ["ScanOptions", "find_recordings", "run_scan"]

log = logging.getLogger(__name__)

_CAMERAS = ("mp4", "m4v", "mov", "mkv", "avi", "ts", "mts", "m2ts", "asf", "wmv", "3gp", "dav", "mjpeg", "mjpg")
_OTHERS = ("webm", "mpg", "mpeg", "flv", "ogv", "h264", "h265", "264", "265", "hevc", "mxf")
SUFFIXES = frozenset(f".{suffix}" for suffix in _CAMERAS + _OTHERS)
DEADLINE_S = 30.0  # for the last visits of a scan that was stopped


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the command line asked for."""

    paths: tuple[Path, ...]
    json_file: str | None = None
    camera: str = "scan"
    min_bird: int = 24
    again: bool = False


def find_recordings(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as named; of folders every file below with a video's suffix, sorted; links are not followed.

    Raises:
        ConfigError: a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        elif path.exists():
            yield path
        else:
            raise ConfigError(f"{path}: no such file or folder", "check the path")


def run_scan(config: Config, options: ScanOptions) -> int:
    """Scan; returns 0 also where files could not be read (they are counted and named), 130 when stopped."""
    files = list(dict.fromkeys(find_recordings(options.paths)))
    if not files:
        say_problem(f"no recordings below {', '.join(map(str, options.paths))}")
        return 0
    from birdwatchd.species.network import load_network

    network = load_network(config.model, model_cache(config))
    stop = Stop()
    stop_on_signals(stop)
    with ExitStack() as stack:
        json_out = stack.enter_context(_json_target(options.json_file))
        store = stack.enter_context(Store.open(config.home, zone=config.station.zone))
        return _Scan(config, options, store, network, json_out, stop).run(files)


@contextmanager
def _json_target(name: str | None) -> Iterator[IO[str] | None]:
    if name is None or name == "-":
        yield sys.stdout if name else None
        return
    try:
        with Path(name).open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise ExportError(f"{name}: cannot be written ({error.strerror})", "choose another --json FILE") from None


@dataclass(slots=True)
class _FileCount:
    """How far one file is: marked as scanned when it is read and all its visits are stored."""

    path: Path
    ended: int = 0
    stored: int = 0
    done: FileDone | None = None


@dataclass(slots=True)
class _Tally:
    files: int = 0
    skipped: int = 0
    failed: int = 0
    visits: int = 0
    seconds: float = 0.0
    by_name: dict[str, int] = field(default_factory=dict)


class _Scan:
    """One run of `birdwatchd scan`."""

    def __init__(
        self,
        config: Config,
        options: ScanOptions,
        store: Store,
        network: Network,
        json_out: IO[str] | None,
        stop: Stop,
    ) -> None:
        self._config, self._options, self._store, self._stop = config, options, store, stop
        self._json, self._model, self._tally = json_out, network.model_id, _Tally()
        self._metrics = Metrics()
        self._mailbox = Mailbox(self._metrics, when_full="wait")
        self._counts: dict[str, _FileCount] = {}
        self._lock = threading.Lock()
        self._lines = VisitLines() if json_out is not sys.stdout else None
        self._classify, self._record = build_stages(
            config,
            network,
            self._mailbox,
            self._metrics,
            store,
            tell_nobody,
            stop=Stop(),  # the stages of a scan end with their input, so that nothing found is thrown away
            on_visit=self._stored,
            show_known=True,
        )

    def run(self, files: Sequence[Path]) -> int:
        """Scan these files in order."""
        crew = Crew(self._stop)
        self._mailbox.open_lane(self._options.camera)
        crew.start("classify", self._classify.run)
        crew.start("record", self._record.run)
        camera = CameraSettings(source=Source("/"), min_bird=self._options.min_bird)
        worker = ScanProcess(self._options.camera, camera, salt=self._model)
        interrupt = Crew(self._stop)
        interrupt.start("interrupt", lambda: self._interrupt(worker))
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("scanning", total=len(files))
            for path in files:
                if self._stop.is_set():
                    break
                self._scan_one(path, worker, lambda text: progress.update(task, description=text))
                progress.advance(task)
            worker.close()
            self._mailbox.close_lane(self._options.camera)
            crew.join(DEADLINE_S if self._stop.is_set() else None)
        stopped = self._stop.is_set()
        self._stop.set("finished")
        interrupt.join(DEADLINE_S)
        if crew.failure is not None:
            if isinstance(crew.failure, BirdwatchError):
                raise crew.failure
            return 1
        self._summary(stopped)
        return 130 if stopped else 0

    def _interrupt(self, worker: ScanProcess) -> None:
        """At a stop, end the worker in the middle of its file and let nobody wait for a full lane."""
        while not self._stop.wait(0.5):
            pass
        if self._stop.reason != "finished":
            self._mailbox.close_lane(self._options.camera)
            worker.kill()

    def _scan_one(self, path: Path, worker: ScanProcess, describe: Callable[[str], None]) -> None:
        media = str(path.absolute())
        try:
            facts = path.stat()
        except OSError as error:
            self._fail(f"{path}: {error.strerror}; check the card")
            return
        if not self._options.again and self._store.scanned(media, facts.st_size, facts.st_mtime_ns, self._model):
            self._repeat(media)
            return
        self._counts[media] = _FileCount(path)

        def on_status(status: CameraStatus) -> None:
            extra = dict(status.extra)
            if extra.get("duration_s"):
                describe(f"{path.name}  {extra['media_s'] / extra['duration_s']:.0%}")

        def on_evidence(evidence: Evidence) -> None:
            if self._stop.is_set():  # the worker was killed in mid-file: the next run begins this file again
                return
            if evidence.end is not None:
                with self._lock:
                    self._counts[media].ended += 1
            self._mailbox.put(self._options.camera, evidence)

        describe(path.name)
        done = worker.scan(media, on_evidence, on_status)
        if self._stop.is_set():
            return
        with self._lock:
            self._counts[media].done = done
        self._tally.files += 1
        self._tally.seconds += done.seconds
        if done.error:
            self._fail(done.error)
        self._mark_if_complete(media)

    def _stored(self, visit: Visit) -> None:
        """A revision was stored: show finished visits, and count them for their file."""
        if visit.end is None or visit.media is None:
            return
        self._show(visit)
        with self._lock:
            if visit.media in self._counts:  # a stopped scan no longer counts
                self._counts[visit.media].stored += 1
        self._mark_if_complete(visit.media)

    def _mark_if_complete(self, media: str) -> None:
        with self._lock:
            count = self._counts.get(media)
            if count is None or count.done is None or count.stored < count.ended:
                return
            del self._counts[media]
        facts = count.path.stat()
        self._store.mark_scanned(
            media,
            facts.st_size,
            facts.st_mtime_ns,
            self._model,
            visits=count.stored,
            error=count.done.error or None,
            now=datetime.now(UTC),
        )

    def _repeat(self, media: str) -> None:
        """A file scanned before: give its visits again, so that the JSON is whole."""
        self._tally.skipped += 1
        for visit in self._store.visits(media=media, model=self._model):
            self._show(visit)

    def _show(self, visit: Visit) -> None:
        self._tally.visits += 1
        name = visit.verdict.common_name or visit.verdict.state.value
        self._tally.by_name[name] = self._tally.by_name.get(name, 0) + 1
        if self._json is not None:
            self._json.write(json.dumps(visit.to_json(), ensure_ascii=False) + "\n")
            self._json.flush()
        if self._lines is not None:
            self._lines.show(visit)

    def _fail(self, line: str) -> None:
        self._tally.failed += 1
        say_problem(line)

    def _summary(self, stopped: bool) -> None:
        t = self._tally
        parts = [f"{t.files} file{'' if t.files == 1 else 's'} scanned ({t.seconds:.0f} s of video)"]
        if t.skipped:
            parts.append(f"{t.skipped} done before")
        parts += [f"{t.visits} visit{'' if t.visits == 1 else 's'}", f"{t.failed} failed"]
        err.print(("stopped: " if stopped else "") + ", ".join(parts), soft_wrap=True)
        for name, number in sorted(t.by_name.items(), key=lambda item: -item[1]):
            err.print(f"  {number:>4}  {name}", soft_wrap=True)
        if stopped:
            err.print("run the same command again to go on", soft_wrap=True)
