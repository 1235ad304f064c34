"""Review many visits as one job, each through the code of the command `review`; a job can go on, and be undone as one.

What a job is to do is written down before it begins; what it has done are the reviews that carry its time. So after a
kill each visit is reviewed or not, and how far the job got is what the database says. It takes the writer's lock for
one visit at a time, and leaves it alone for as long in between: who records birds does not wait.

A visit that somebody judged already is left as it is, and so is one that has no name to confirm.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.commands.review import species_named
from birdwatchd.errors import NoSuchVisit, ReviewRefused, StoreError
from birdwatchd.flow import Stop
from birdwatchd.mqtt.build import build_composer
from birdwatchd.records import Label
from birdwatchd.settings.config import Config
from birdwatchd.store import Review, ReviewVerdict, Store, StoreReader
from birdwatchd.text_file import NotText, read_text
from birdwatchd.whole_file import write_whole

__all__ = ["MOST_VISITS", "JobFiles", "ReviewJob", "done_by", "run_job", "undo_job"]

FOLDER = "review-jobs"  # below home
MOST_VISITS = 5_000  # of one job
KEPT = 20  # newest jobs that can still be looked at and undone
MOST_BYTES = 2_000_000
ABANDONED_S = 60.0  # after which nobody writes at a file any more that is not finished
LEAST_PAUSE_S, MOST_PAUSE_S = 0.002, 0.25  # between two visits
_ID = re.compile(r"\d{8}T\d{12}")

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ReviewJob:
    """What is said of many visits at once.

    Attributes:
        job_id: when it was asked for, which is also the time of its reviews.
        species: the name, where the verdict is `species`.
        about: which visits these are, in words.
        state: `begun`, `done`, or `undone` from the moment on at which it is to be undone.
    """

    job_id: str
    verdict: ReviewVerdict
    species: str
    by: str
    about: str
    visit_ids: tuple[str, ...]
    state: str = "begun"

    @property
    def at(self) -> datetime:
        """The time of all its reviews."""
        return datetime.strptime(self.job_id, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)

    @staticmethod
    def id_at(now: datetime) -> str:
        """The id of a job that is asked for now."""
        return now.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")


class JobFiles:
    """The newest jobs of a home, each in a file of its own."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def write(self, job: ReviewJob) -> None:
        """Keep a job, as it is now, in the place of what was kept of it; only the newest are kept.

        Raises:
            StoreError: it cannot be written.
        """
        path = self._folder / f"{job.job_id}.json"
        try:
            self._folder.mkdir(exist_ok=True)
            write_whole(path, json.dumps(asdict(job), ensure_ascii=False).encode())
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}", "nothing was reviewed") from None
        for old in self._ids()[KEPT:]:
            with suppress(OSError):
                (self._folder / f"{old}.json").unlink()
        self.sweep()

    def sweep(self) -> None:
        """Delete what a process that was killed left unfinished."""
        for path in self._folder.glob("*.part*"):
            with suppress(OSError):
                if abs(time.time() - path.lstat().st_mtime) > ABANDONED_S:
                    path.unlink()

    def read(self, job_id: str) -> ReviewJob | None:
        """One job; None where there is none that can be read."""
        if not _ID.fullmatch(job_id):
            return None
        with suppress(NotText, ValueError, TypeError, KeyError):
            kept = json.loads(read_text(self._folder / f"{job_id}.json", most_bytes=MOST_BYTES))
            verdict, visit_ids = ReviewVerdict(kept.pop("verdict")), tuple(map(str, kept.pop("visit_ids")))
            return ReviewJob(verdict=verdict, visit_ids=visit_ids, **kept)
        return None

    def newest(self) -> list[ReviewJob]:
        """Those that are kept, newest first."""
        return [job for one in self._ids() if (job := self.read(one)) is not None]

    def _ids(self) -> list[str]:
        return sorted((path.stem for path in self._folder.glob("*.json") if _ID.fullmatch(path.stem)), reverse=True)


def done_by(store: StoreReader, job: ReviewJob) -> set[str]:
    """The visits that carry the job's review."""
    return set(store.visits.reviewed_at(job.at)) & set(job.visit_ids)


def run_job(config: Config, job: ReviewJob, stop: Stop, progress: Progress = lambda _: None) -> ReviewJob:
    """Review the visits that the job has not reviewed yet, until all are done or the stop.

    Args:
        progress: called with the number of visits that were looked at, after each.

    Returns:
        The job as it is then.

    Raises:
        ConfigError: no species has this name.
        StoreError: the rest was not reviewed; the job can go on later.
    """
    label = species_named(job.species, config) if job.verdict is ReviewVerdict.SPECIES else None
    return _each(config, job, stop, progress, undo=False, label=label)


def undo_job(config: Config, job: ReviewJob, stop: Stop, progress: Progress = lambda _: None) -> ReviewJob:
    """Take back all reviews of a job that still are the newest of their visits; as `run_job` otherwise."""
    job = replace(job, state="undone")
    JobFiles(config.home).write(job)  # first: a job whose undoing was killed must not go on with reviewing
    return _each(config, job, stop, progress, undo=True, label=None)


def _each(
    config: Config, job: ReviewJob, stop: Stop, progress: Progress, *, undo: bool, label: Label | None
) -> ReviewJob:
    zone, unkept = config.station.zone, config.without_pictures
    review = Review(job.verdict, job.by, label)
    with Store.open(config.home, zone=zone, without_pictures=unkept, existing=True) as store:
        done = done_by(store, job)
        todo: Sequence[str] = [one for one in job.visit_ids if (one in done) is undo]
        writer = store.writer(build_composer(config), build_alert_engine(config))
        for number, visit_id in enumerate(todo, len(job.visit_ids) - len(todo) + 1):
            began_s = time.monotonic()
            with suppress(ReviewRefused, NoSuchVisit):  # judged by somebody else, without a name, not over, or gone
                if undo:
                    writer.undo_review(visit_id, datetime.now(UTC), job_at=job.at)
                else:
                    writer.review(visit_id, review, datetime.now(UTC), job_at=job.at)
            progress(number)
            if stop.wait(min(max(LEAST_PAUSE_S, time.monotonic() - began_s), MOST_PAUSE_S)):
                return job
    if not undo:
        job = replace(job, state="done")
        JobFiles(config.home).write(job)
    return job
