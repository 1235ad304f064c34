"""Run one job of many reviews at a time, in a thread of its own, and say how far it is."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace

from birdwatchd.commands.review_many import JobFiles, ReviewJob, run_job, undo_job
from birdwatchd.errors import BirdwatchError, ReviewRefused
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config

__all__ = ["JobProgress", "Jobs"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is that runs, or ran last.

    Attributes:
        looked_at: visits that it is through with, of those that it is about.
        problem: why it ended before its end.
    """

    job_id: str
    undo: bool
    looked_at: int
    is_running: bool = True
    problem: str = ""


class Jobs:
    """The job of this process. Safe to use from several threads."""

    def __init__(self, config: Config, stop: Stop) -> None:
        """
        Args:
            stop: ends a job between two visits.
        """
        self._config, self._stop = config, stop
        self._lock = threading.Lock()
        self._last: JobProgress | None = None
        self._ends: Stop = stop
        JobFiles(config.home).sweep()

    def start(self, job: ReviewJob, *, undo: bool = False) -> threading.Thread:
        """Write a job down and begin it, let it go on, or undo it; returns the thread, for who wants to wait.

        Raises:
            ReviewRefused: another one runs, or it was undone.
            StoreError: it cannot be written down.
        """
        if job.state == "undone" and not undo:
            raise ReviewRefused("this was undone, and cannot go on", "start a new review")
        with self._lock:
            if self._last is not None and self._last.is_running:
                raise ReviewRefused("other visits are just being reviewed", "wait until that is done, or stop it")
            JobFiles(self._config.home).write(job)
            self._last = JobProgress(job.job_id, undo, 0)
            self._ends = Stop()
        thread = threading.Thread(target=self._run, args=(job, undo), name="reviews", daemon=True)
        thread.start()
        return thread

    def halt(self, job_id: str) -> None:
        """Let a job end after the visit that it is at."""
        with self._lock:
            if self._last is not None and self._last.job_id == job_id:
                self._ends.set("somebody stopped it")

    def progress(self, job_id: str) -> JobProgress | None:
        """How far a job is; None for one that this process has not run last."""
        with self._lock:
            return self._last if self._last is not None and self._last.job_id == job_id else None

    def _run(self, job: ReviewJob, undo: bool) -> None:
        problem = ""
        try:
            (undo_job if undo else run_job)(self._config, job, self._ends, self._count)
        except BirdwatchError as error:
            log.warning("the reviews of %s stopped: %s", job.about, error)
            problem = str(error)
        finally:
            with self._lock:
                assert self._last is not None
                self._last = replace(self._last, is_running=False, problem=problem)

    def _count(self, looked_at: int) -> None:
        with self._lock:
            assert self._last is not None
            self._last = replace(self._last, looked_at=looked_at)
        if self._stop.is_set():
            self._ends.set("the page ends")
