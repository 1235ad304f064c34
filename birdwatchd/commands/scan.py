"""Find the visits in recordings: one worker decodes, the stages name and store; resumable, and no file stops it.

A recording is marked as scanned only when its last visit is stored, by what was in it before it was read. What was cut
off, failed, or was scanned with other settings is forgotten and scanned anew (`birdwatchd.store.scans`).
A file has two names: the system's, which may hold any bytes and goes to the worker, and the one that is stored and
shown, which is always text.
"""

from __future__ import annotations

import json
import logging
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zoneinfo import available_timezones

from birdwatchd.camera.process.scan_process import ScanProcess
from birdwatchd.commands.dates import Dates
from birdwatchd.commands.progress import ScanTally, progress_bar
from birdwatchd.commands.recordings import find_recordings, text_of, unreadable
from birdwatchd.commands.terminal import VisitLines, err, json_target, plain, say_problem, write_json
from birdwatchd.errors import BirdwatchError, ConfigError, SourceUnusable
from birdwatchd.flow import Crew, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraStatus, Evidence, Visit
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.base import check_slug
from birdwatchd.settings.cameras import BirdSize, CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.stages.build import build_stages
from birdwatchd.stages.named_files import require_species_files
from birdwatchd.store import Recording, Store, VisitIds, content_of

if TYPE_CHECKING:
    from birdwatchd.species.network.network import Network

__all__ = ["ScanOptions", "run_scan"]

log = logging.getLogger(__name__)

DEADLINE_S = 30.0  # for the last visits of a scan that was stopped


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the command line asked for."""

    paths: tuple[Path, ...]
    json_file: str | None = None
    camera: str = "scan"
    min_bird: BirdSize = "auto"
    again: bool = False
    zone: str = ""


def run_scan(config: Config, options: ScanOptions) -> int:
    """Scan; returns 1 where nothing could be read, 0 where some could (the others are named), 130 when stopped."""
    stop = Stop()
    stop_on_signals(stop)
    try:
        check_slug(options.camera)
    except ValueError as error:
        raise ConfigError(plain(f"--camera: {error}")) from None
    if options.zone and options.zone not in available_timezones():
        hint = "use a name such as Europe/Berlin, or UTC"
        raise ConfigError(plain(f"--zone: {options.zone} is not a time zone"), hint)
    found = find_recordings(options.paths)
    for line in found.notices:
        err.print(plain(line), soft_wrap=True)
    if not found.recordings:
        with json_target(options.json_file):  # an empty list of visits is an answer too
            for line in (*found.problems, f"no recordings below {', '.join(map(str, options.paths))}"):
                say_problem(plain(line))
        return 1
    require_species_files(config.species)
    with ExitStack() as stack:
        unkept, zone = config.without_pictures, config.station.zone
        store = stack.enter_context(Store.open(config.home, zone=zone, check=True, without_pictures=unkept))
        store.claim("scan")
        from birdwatchd.species.network.network import load_network  # the home first: PyTorch takes its time

        network = load_network(config.model, config.model_cache)
        stop.armed = True
        json_out = stack.enter_context(json_target(options.json_file))
        return _Scan(config, options, store, network, json_out, stop).run(found.recordings, found.problems)


def _settings_text(camera: str, settings: CameraSettings, species: SpeciesSettings, zone: str = "") -> str:
    """All that decides what is found in a recording, what it is called and when it was, besides the model."""
    of_no_matter = {"source", "gate_source", "name", "enabled", "open_timeout_s", "read_timeout_s", "decode"}
    of_no_matter |= {"clips", "post_roll_s", "clip_max_s", "store", "tls", "tls_fingerprint", "memory_mb"}
    of_no_matter |= {"transport", "poll_s"}
    of_no_matter |= {
        name for name in ("mask", "keep_lifeless", "rotate", "mirror", "crop") if not getattr(settings, name)
    }
    found = settings.model_dump(mode="json", exclude=of_no_matter)
    named = species.model_dump(mode="json", exclude_defaults=True)  # new settings change nothing
    said = {"camera": camera, "found": found, "named": named} | ({"zone": zone} if zone else {})
    return json.dumps(said, sort_keys=True)


@dataclass(slots=True)
class _FileCount:
    """How far one recording is: marked as scanned when it is read and all its visits are stored.

    Attributes:
        recording: what it was before it was read.
        error: None until it is read; then why it could not be, or empty.
        growing: it changed while it was read.
    """

    recording: Recording
    ended: int = 0
    stored: int = 0
    withdrawn: int = 0
    error: str | None = None
    growing: bool = False
    ids: VisitIds = field(init=False)

    def __post_init__(self) -> None:
        self.ids = VisitIds(self.recording)

    def own(self, evidence: Evidence) -> Evidence:
        """The worker's evidence under the file's stored name, with an id that tells this recording."""
        visit_id = self.ids.of(evidence.visit_id, evidence.start)
        return replace(evidence, visit_id=visit_id, media=self.recording.path, clip=None)


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
        self._json, self._model, self._tally = json_out, network.model_id, ScanTally()
        self._metrics = Metrics()
        self._mailbox = Mailbox(self._metrics, when_full="wait")
        self._counts: dict[str, _FileCount] = {}
        self._lock = threading.Lock()
        self._contents: set[str] = set()  # of this run
        self._dates = Dates(config.station.zone)
        self._lines = VisitLines(config.station.zone, dated=True) if json_out is not sys.stdout else None
        self._camera = config.of_recordings(options.camera, options.min_bird)
        self._settings = _settings_text(options.camera, self._camera, config.species, options.zone)
        self._classify, self._record, _ = build_stages(
            config,
            network,
            self._mailbox,
            self._metrics,
            store,
            store.writer(),
            stop=Stop(),  # the stages of a scan end with their input, so that nothing found is thrown away
            on_visit=self._stored,
            on_withdrawn=self._withdrawn,
            show_known=True,
        )

    def run(self, files: Sequence[Path], problems: Sequence[str]) -> int:
        """Scan these files in order.

        Args:
            problems: of what could not even be looked at; they count as failed.
        """
        for line in problems:
            self._fail(line)
        crew = Crew(self._stop)
        self._mailbox.open_lane(self._options.camera)
        crew.start("classify", self._classify.run)
        crew.start("record", self._record.run)
        links = [path for path in files if path.is_symlink()]  # they may lead out of their folder
        zones = (self._config.station.timezone, self._options.zone)
        worker = ScanProcess(self._options.camera, self._camera, (*self._options.paths, *links), zones)
        interrupt = Crew(self._stop)
        interrupt.start("interrupt", lambda: self._interrupt(worker))
        self._scan_all(files, worker)
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
        if stopped:
            return 130
        return 1 if self._tally.failed and not self._tally.seconds and not self._tally.skipped else 0

    def _scan_all(self, files: Sequence[Path], worker: ScanProcess) -> None:
        with progress_bar("files") as progress:
            task = progress.add_task("looking at dates", total=len(files))
            self._look_at_dates(files, worker)
            progress.update(task, description="scanning")
            for path in files:
                if self._stop.is_set():
                    break
                self._scan_one(path, worker, lambda text: progress.update(task, description=text))
                progress.advance(task)
            worker.close()

    def _interrupt(self, worker: ScanProcess) -> None:
        """At a stop, end the worker in the middle of its file and let nobody wait for a full lane."""
        while not self._stop.wait(0.5):
            pass
        if self._stop.reason != "finished":
            self._mailbox.close_lane(self._options.camera)
            worker.kill()

    def _scan_one(self, path: Path, worker: ScanProcess, describe: Callable[[str], None]) -> None:
        try:
            recording = self._recording(path)
        except SourceUnusable as error:
            self._fail(str(error))
            return
        if self._was_done(recording):
            return
        self._store.scans.forget(recording)
        self._store.scans.mark_begun(recording, datetime.now(UTC))
        count = self._counts[recording.path] = _FileCount(recording)
        name = plain(text_of(Path(path.name)))
        system_name = str(path.absolute())

        def on_status(status: CameraStatus) -> None:
            if status.notice:
                log.warning("%s", status.notice.replace(system_name, recording.path))
            extra = dict(status.extra)
            if "began_s" in extra:
                self._dates.check(recording.path, extra["began_s"])
            if extra.get("duration_s"):
                describe(f"{name}  {extra['media_s'] / extra['duration_s']:.0%}")

        describe(name)
        done = worker.scan(system_name, partial(self._take, count), on_status)
        if self._stop.is_set():
            return
        self._tally.seconds += done.seconds
        self._tally.new_places += done.new_place
        growing = self._has_changed(path, recording)
        problem = done.error.replace(system_name, recording.path)
        if growing and not problem:
            problem = f"{recording.path}: changed while it was read; scan it again when it is whole"
        if not problem:
            self._tally.files += 1
        else:
            self._fail(problem)
            self._contents.discard(recording.content)  # its copies fail too, and are named
        with self._lock:
            count.error, count.growing = problem, growing
        self._mark_if_complete(recording.path)

    def _was_done(self, recording: Recording) -> bool:
        """Whether a recording was scanned before, here or elsewhere, or lies here twice; its visits are shown."""
        if recording.content in self._contents:
            self._tally.skipped += 1
            self._tally.elsewhere += 1
            return True
        self._contents |= {recording.content} - {""}
        done = None if self._options.again else self._store.scans.done_as(recording)
        if done is None:
            return False
        if done.path != recording.path:
            self._tally.elsewhere += 1
        elif not done.content and recording.content:
            self._store.scans.note_content(recording)
        self._repeat(done)
        return True

    def _look_at_dates(self, files: Sequence[Path], worker: ScanProcess) -> None:
        """Warn of dates that cannot be while nothing is stored; what cannot be looked at is told when it is read."""
        for path in files:
            if self._stop.is_set():
                return
            with suppress(SourceUnusable):
                recording = self._recording(path)
                if self._options.again or self._store.scans.done_as(recording) is None:
                    self._dates.check(recording.path, worker.began_s(str(path.absolute())))

    def _recording(self, path: Path) -> Recording:
        """A file as it is now.

        Raises:
            SourceUnusable: it cannot be looked at, or is no file.
        """
        try:
            facts = path.stat()
        except OSError as error:
            raise SourceUnusable(unreadable(path, error)) from None
        if not stat.S_ISREG(facts.st_mode):
            raise SourceUnusable(f"{text_of(path)}: is not a file", "name recordings and folders")
        media = text_of(path.absolute())
        try:
            content = content_of(path, facts.st_size)
        except OSError:  # the worker will say so
            content = ""
        return Recording(media, facts.st_size, facts.st_mtime_ns, self._model, self._settings, content)

    def _has_changed(self, path: Path, recording: Recording) -> bool:
        """Whether it is another file than before it was read. One that is gone (a pulled card) has not changed."""
        try:
            return self._recording(path) != recording
        except SourceUnusable:
            return False

    def _take(self, count: _FileCount, evidence: Evidence) -> None:
        """Pass on what the worker found."""
        if self._stop.is_set():  # the worker was killed in mid-file: the next run begins this file again
            return
        if evidence.end is not None:
            with self._lock:
                count.ended += 1
        self._mailbox.put(self._options.camera, count.own(evidence))

    def _stored(self, visit: Visit) -> None:
        """A revision was stored: show finished visits, and count them for their file."""
        if visit.end is None or visit.media is None:
            return
        self._show(visit)
        with self._lock:
            if visit.media in self._counts:  # a stopped scan no longer counts
                self._counts[visit.media].stored += 1
        self._mark_if_complete(visit.media)

    def _withdrawn(self, visit: Visit) -> None:
        """What was no visit was left out: count it for its file."""
        with self._lock:
            self._tally.withdrawn += 1
            if visit.media in self._counts:
                self._counts[visit.media].withdrawn += 1
        self._mark_if_complete(visit.media or "")

    def _mark_if_complete(self, media: str) -> None:
        with self._lock:
            count = self._counts.get(media)
            if count is None or count.error is None or count.stored + count.withdrawn < count.ended:
                return
            del self._counts[media]
        self._store.scans.mark_done(
            count.recording,
            visits=count.stored,
            error=count.error or None,
            now=datetime.now(UTC),
            growing=count.growing,
        )

    def _repeat(self, recording: Recording) -> None:
        """A recording that was scanned before: give its visits again, so that the JSON is whole."""
        self._tally.skipped += 1
        for visit in self._store.scans.visits_of(recording):
            self._tally.known += 1
            self._show(visit)

    def _show(self, visit: Visit) -> None:
        """Print one finished visit; called by the thread that stores and by the one that repeats."""
        name = visit.verdict.common_name or visit.verdict.state.value
        with self._lock:
            self._tally.visits += 1
            self._tally.by_name[name] = self._tally.by_name.get(name, 0) + 1
            if self._json is not None:
                write_json(self._json, self._options.json_file, visit.to_json())
            if self._lines is not None:
                self._lines.show(visit)

    def _fail(self, line: str) -> None:
        self._tally.failed += 1
        say_problem(plain(line))

    def _summary(self, stopped: bool) -> None:
        self._tally.misdated = len(self._dates.impossible)
        for line in self._tally.lines(stopped=stopped):
            err.print(line, soft_wrap=True)
