"""Reviews of many visits as one job: how far it gets, that it can be undone as one, and what it leaves alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.commands.review_many import KEPT, JobFiles, ReviewJob, done_by, run_job, undo_job
from birdwatchd.errors import ConfigError, ReviewRefused
from birdwatchd.flow import Stop
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.settings.config import Config
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.jobs import Jobs

IDS = tuple(f"v{number}" for number in range(6))
NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)


@pytest.fixture
def store() -> Iterator[Store]:
    """Six uncertain great tits: v1 was judged by Ann, v2 has no name, v3's bird is still there."""
    with temporary_store() as made:
        writer = made.writer()
        for number, visit_id in enumerate(IDS):
            visit = example_visit(visit_id, "Great tit", start=START + timedelta(minutes=number))
            visit = replace(visit, verdict=replace(visit.verdict, state=State.UNCERTAIN, score=0.5))
            if visit_id == "v2":
                visit = replace(visit, verdict=Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, ()))
            if visit_id == "v3":
                visit = replace(visit, end=None)
            writer.record(visit, [example_moment()], START)
        writer.review("v1", Review(ReviewVerdict.NOT_A_BIRD, "ann"), START)
        yield made


def config_of(store: Store) -> Config:
    return Config.model_validate({"home": store.home})


def job_of(verdict: ReviewVerdict = ReviewVerdict.CONFIRM, species: str = "", at: datetime = NOW) -> ReviewJob:
    return ReviewJob(ReviewJob.id_at(at), verdict, species, "ann", "all of them", IDS)


def states(store: Store) -> list[State]:
    return [visit.verdict.state for one in IDS if (visit := store.visits.get(one)) is not None]


def test_a_job_says_one_thing_of_many_and_is_undone_as_one(store: Store) -> None:
    """One wrong press on two hundred birds must be one press to take back, and cost nobody's own answer."""
    before, config, seen = states(store), config_of(store), list[int]()
    job = run_job(config, job_of(), Stop(), seen.append)
    assert job.state == "done"
    assert seen == [1, 2, 3, 4, 5, 6]
    assert done_by(store, job) == {"v0", "v4", "v5"}
    assert states(store)[1:4] == before[1:4]  # judged, nameless, still there
    assert JobFiles(store.home).read(job.job_id) == job
    store.writer().review(
        "v4", Review(ReviewVerdict.NOT_A_BIRD, "ben"), NOW + timedelta(hours=1)
    )  # somebody knows better since
    undone = undo_job(config, job, Stop())
    assert states(store) == [*before[:4], State.REJECTED, before[5]]
    kept = JobFiles(store.home).read(job.job_id)
    assert (undone.state, kept and kept.state) == ("undone", "undone")
    with pytest.raises(ReviewRefused, match="undone"):
        Jobs(config, Stop()).start(undone)


def test_a_job_that_was_ended_half_way_says_so_and_goes_on(store: Store) -> None:
    """A power cut after 2,000 of 5,000: each visit is reviewed or not, and nobody begins anew."""
    config, stop = config_of(store), Stop()
    job = job_of(ReviewVerdict.SPECIES, "Parus major")
    JobFiles(store.home).write(job)
    half = run_job(config, job, stop, lambda number: stop.set("ended") if number == 3 else None)
    assert half.state == "begun"
    assert done_by(store, half) == {"v0", "v2"}
    assert JobFiles(store.home).newest() == [job]
    seen = list[int]()
    assert run_job(config, job, Stop(), seen.append).state == "done"
    assert done_by(store, job) == {"v0", "v2", "v4", "v5"}
    assert seen == [3, 4, 5, 6]  # what was done is not looked at again
    visit = store.visits.get("v2")
    assert visit is not None
    assert visit.verdict.common_name == "Great tit"


def test_an_unknown_species_reviews_nothing(store: Store) -> None:
    """A typing error must not name two hundred birds."""
    with pytest.raises(ConfigError, match="unknown species"):
        run_job(config_of(store), job_of(ReviewVerdict.SPECIES, "Greta tit"), Stop())
    assert done_by(store, job_of()) == set()


def test_birds_are_recorded_while_a_job_runs(store: Store) -> None:
    """A job of thousands lasts minutes; the daemon may wait for one visit of it, and not for the job."""
    config, job, waited_s = config_of(store), job_of(), list[float]()

    def record(number: int) -> None:
        with Store.open(store.home, zone=store.zone) as daemon:
            began_s = time.monotonic()
            daemon.writer().record(example_visit(f"x{number:04}"), [], START)
            waited_s.append(time.monotonic() - began_s)

    run_job(config, job, Stop(), record)  # between any two visits
    assert len(waited_s) == len(IDS)
    assert max(waited_s) < 5.0  # of the 10 s that SQLite waits for a lock that is held
    assert len(done_by(store, job)) == 3


def test_only_the_newest_jobs_are_kept_and_a_damaged_one_is_none(store: Store) -> None:
    """The folder must not grow for years, and a file that was cut short must not take the page down."""
    files = JobFiles(store.home)
    for second in range(KEPT + 3):
        files.write(job_of(at=NOW + timedelta(seconds=second)))
    assert len(files.newest()) == KEPT
    newest = files.newest()[0]
    (store.home / "review-jobs" / f"{newest.job_id}.json").write_text('{"verdict": "conf')
    assert files.read(newest.job_id) is None
    assert len(files.newest()) == KEPT - 1
    assert files.read("../birdwatchd") is None


def test_what_a_killed_page_left_unfinished_is_swept_at_the_next_start(store: Store) -> None:
    """Not what another page is just writing."""
    config, folder = config_of(store), store.home / "review-jobs"
    folder.mkdir()
    long_ago = NOW.timestamp()
    for name in ("20260502T120000000000.part", ".20260502T120000000000.part.json"):  # as older versions name it; as now
        (folder / name).write_text("{")
        os.utime(folder / name, (long_ago, long_ago))
    (folder / ".20260502T120000000001.part.json").write_text("{")
    Jobs(config, Stop())
    assert [path.name for path in folder.iterdir()] == [".20260502T120000000001.part.json"]
