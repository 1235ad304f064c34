"""Hand-over between stages: what happens when queues are full, and how everything ends."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.camera.process.wire import FileDone, Item, Pipe, TuneDone, WireError, decode, encode
from birdwatchd.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from birdwatchd.flow import Backoff, Crew, Handover, Mailbox, Stop, StoreRetry, WorkerThread
from birdwatchd.metrics import Metrics
from birdwatchd.records import Blindness, Box, CameraState, CameraStatus, Crop, Evidence, Moment, new_visit_id

AT = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)


def moment(index: int, quality: float = 0.5, jpeg: bytes = b"jpeg") -> Moment:
    return Moment(index, AT, Box(0.1, 0.2, 0.3, 0.4), quality, Crop(jpeg, 10, 10))


def evidence(visit: str, *moments: Moment, camera: str = "a", end: datetime | None = None) -> Evidence:
    return Evidence(visit, camera, 1, AT, end, AT, moments, 1)


def test_a_full_lane_forgets_the_least_useful_crop_and_counts_it() -> None:
    """A machine that is too slow must lose its worst pictures, not its newest visit or its memory."""
    metrics = Metrics()
    box = Mailbox(metrics, lane_crops=3)
    box.open_lane("a")
    box.put("a", evidence("v1", moment(0, 0.1), moment(1, 0.2)))
    box.put("a", evidence("v2", moment(0, 0.05), moment(1, 0.9)))
    batch = box.take(10, 0)
    assert batch is not None
    assert [[m.index for m in e.moments] for e in batch] == [[0], [0, 1]]  # the first look survives a better second
    assert metrics.get("crops_dropped_total", camera="a", reason="lane_full") == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), max_size=60), st.integers(1, 8))
def test_a_lane_never_holds_more_than_its_bound_and_never_loses_evidence(
    crops: list[tuple[int, float]], bound: int
) -> None:
    """That a visit began and ended is small and always kept; pictures are what is bounded."""
    metrics = Metrics()
    box = Mailbox(metrics, lane_crops=bound)
    box.open_lane("a")
    for number, (index, quality) in enumerate(crops):
        box.put("a", evidence(f"v{number}", moment(index, quality)))
    taken = []
    while batch := box.take(1000, 0, poll_s=0):
        taken += batch
    assert sorted(e.visit_id for e in taken) == sorted(f"v{n}" for n in range(len(crops)))
    kept = sum(len(e.moments) for e in taken)
    assert kept == min(len(crops), bound)
    assert metrics.total("crops_dropped_total") == len(crops) - kept


def test_one_long_visit_behind_a_full_disk_does_not_fill_the_memory() -> None:
    """Days without a disk: each visit costs one small record, not one for every look at it."""
    box = Mailbox(Metrics(), lane_crops=4)
    box.open_lane("a")
    for number in range(500):
        box.put("a", replace(evidence("v", moment(number, 0.5)), revision=number + 1))
    box.put("a", replace(evidence("v", end=AT), revision=501))
    batch = box.take(1000, 0)
    assert batch is not None
    assert len(batch) <= 6
    assert batch[-1].end == AT
    assert [e.revision for e in batch] == sorted(e.revision for e in batch)


def test_reports_without_pictures_do_not_fill_the_memory() -> None:
    """They count for nothing in a lane's bound, and a camera process that was taken over may send them for ever."""
    mailbox = Mailbox(Metrics())
    mailbox.open_lane("a")
    ids = [new_visit_id(datetime(2026, 5, 1, 0, 0, second, tzinfo=UTC)) for second in range(5)]
    for revision in range(2, 2000):
        for visit_id in ids:
            mailbox.put("a", replace(evidence(visit_id), revision=revision))
    ended = replace(evidence(ids[0], end=datetime(2026, 5, 1, 1, tzinfo=UTC)), revision=2000)
    mailbox.put("a", ended)
    mailbox.close_lane("a")
    got = mailbox.take(10_000, 0.0) or []
    assert len(got) == 5
    assert {one.revision for one in got} == {1999, 2000}
    assert ended in got


def test_a_windy_camera_cannot_starve_a_quiet_one() -> None:
    """The one hoopoe on the quiet camera must not wait behind a thousand leaves."""
    box = Mailbox(Metrics(), lane_crops=1000)
    box.open_lane("windy")
    box.open_lane("quiet")
    for number in range(500):
        box.put("windy", evidence(f"w{number}", moment(0), camera="windy"))
    box.put("quiet", evidence("q", moment(0), camera="quiet"))
    batch = box.take(4, 0)
    assert batch is not None
    assert "q" in [e.visit_id for e in batch]


def test_the_first_look_at_a_bird_overtakes_further_looks_at_others() -> None:
    """On a slow machine the newcomer would wait for many seconds behind birds that have a name already."""
    box = Mailbox(Metrics())
    box.open_lane("a")
    for number in range(1, 12):
        box.put("a", replace(evidence("stays", moment(number)), revision=number + 1))
    box.put("a", evidence("new", moment(0)))
    box.put("a", replace(evidence("new", moment(1)), revision=2))
    batches = [box.take(1, 0) or [] for _ in range(13)]
    assert batches[0][0].visit_id == "new"
    for visit in ("stays", "new"):  # each visit's own revisions stay in order
        revisions = [e.revision for batch in batches for e in batch if e.visit_id == visit]
        assert revisions == sorted(revisions)


def test_the_mailbox_waits_for_company_but_not_for_ever() -> None:
    """Batches make a GPU fast; the deadline keeps the first alert quick."""
    box = Mailbox(Metrics())
    box.open_lane("a")
    box.put("a", evidence("v", moment(0)))
    began = time.monotonic()
    assert box.take(32, 0.2)
    assert 0.15 < time.monotonic() - began < 2.0


def test_the_mailbox_ends_after_its_last_evidence() -> None:
    """Stopping must drain: what the cameras said last is the end of every open visit."""
    box = Mailbox(Metrics())
    box.open_lane("a")
    box.put("a", evidence("v", end=AT))
    box.close_lane("a")
    batch = box.take(8, 0)
    assert batch
    assert batch[0].visit_id == "v"
    assert box.take(8, 0) is None


def test_a_recording_waits_instead_of_losing_pictures() -> None:
    """A scan has time: nothing may be shed while files are read faster than they are named."""
    box = Mailbox(Metrics(), lane_crops=1, when_full="wait")
    box.open_lane("a")
    box.put("a", evidence("v1", moment(0)))
    sender = threading.Thread(target=box.put, args=("a", evidence("v2", moment(0))))
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    assert box.take(1, 0)
    sender.join(5)
    assert not sender.is_alive()


def test_a_full_handover_makes_the_giver_wait_and_counts_the_time() -> None:
    """A slow disk must show as a number, not as memory."""
    metrics = Metrics()
    handover: Handover[int] = Handover("record", metrics, bound=1)
    handover.put(1)
    giver = threading.Thread(target=handover.put, args=(2,))
    giver.start()
    giver.join(0.2)
    assert giver.is_alive()
    assert handover.take() == 1
    giver.join(5)
    assert metrics.get("record_wait_seconds_total") > 0.1
    handover.close()
    assert handover.take() == 2
    assert handover.take() == "ended"


def test_an_unexpected_end_of_one_stage_stops_all_and_keeps_the_reason() -> None:
    """A stage that dies silently is a daemon that looks alive and records nothing."""
    stop = Stop()
    crew = Crew(stop)

    def fail() -> None:
        raise ZeroDivisionError

    crew.start("stage", fail)
    assert stop.wait(5)
    assert crew.join(5) == []
    assert isinstance(crew.failure, ZeroDivisionError)


def test_who_is_late_is_named() -> None:
    """`did not stop` without a name cannot be repaired."""
    release = threading.Event()
    crew = Crew(Stop())
    crew.start("sleeper", lambda: (release.wait(20), None)[1])
    assert crew.join(0.1) == ["sleeper"]
    release.set()


def test_the_first_reason_to_stop_stays() -> None:
    """The log must name the cause, not the last consequence."""
    stop = Stop()
    stop.set("disk broke")
    stop.set("classify ended")
    assert stop.reason == "disk broke"


@given(st.floats(0, 1), st.integers(1, 40))
def test_backoff_grows_to_its_bound_and_no_further(chance: float, tries: int) -> None:
    """Neither a burnt core on a wrong URL nor an hour of silence after a camera's reboot."""
    backoff = Backoff(1.0, 60.0, lambda: chance)
    waits = [backoff.next_wait_s() for _ in range(tries)]
    assert all(0.75 <= w <= 60.0 for w in waits)
    assert waits == sorted(waits)
    backoff.reset()
    assert backoff.next_wait_s() <= 1.0


ids = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
boxes = st.builds(Box, *(st.floats(0, 1),) * 4)
moments = st.builds(
    Moment,
    st.integers(0, 50),
    st.just(AT),
    boxes,
    st.floats(0, 1),
    st.builds(Crop, st.binary(max_size=2000), st.integers(1, 999), st.integers(1, 999)),
    st.none() | st.floats(0, 1e6),
)
evidences = st.builds(
    Evidence,
    ids,
    st.text(max_size=30),
    st.integers(1, 99),
    st.just(AT),
    st.none() | st.just(AT),
    st.just(AT),
    st.lists(moments, max_size=4).map(tuple),
    st.integers(0, 9),
    st.none() | st.text(max_size=20),
    st.none() | st.floats(0, 1e6),
    st.none() | st.floats(0, 1e6),
    clip_cut=st.booleans(),
)
statuses = st.builds(
    CameraStatus,
    st.text(max_size=9),
    st.sampled_from(CameraState),
    st.just(AT),
    st.floats(0, 240),
    extra=st.lists(st.tuples(st.text(max_size=5), st.floats(0, 9)), max_size=2).map(tuple),
    notice=st.text("abc: ", max_size=9),
    blind=st.none() | st.sampled_from(Blindness),
)


scans = st.builds(FileDone, st.text(), st.floats(0, 9), st.text())
counts = st.lists(st.tuples(st.text(max_size=9), st.integers(0, 2**40)), max_size=5).map(tuple)
tunings = st.builds(
    TuneDone,
    st.floats(0, 9),
    st.integers(0, 9),
    counts,
    st.text("abc: ", max_size=9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.text("abc: ", max_size=9),
)


@settings(max_examples=60)
@given(st.lists(evidences | statuses | scans | tunings, max_size=5))
def test_records_cross_a_pipe_unchanged(items: list[Item]) -> None:
    """What the camera saw must be what is stored, whatever is in names and pictures."""
    stream = io.BytesIO()
    pipe = Pipe(stream)
    for item in items:
        pipe.send(item)
    stream.seek(0)
    assert [pipe.receive(type(item)) for item in items] == items
    assert pipe.receive(Evidence) is None


@given(evidences, st.integers(1, 60))
def test_a_message_cut_off_is_the_end_not_a_crash(item: Evidence, missing: int) -> None:
    """kill -9 of a camera leaves half a message in the pipe."""
    data = encode(item)
    assert Pipe(io.BytesIO(data[:-missing])).receive(Evidence) is None


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_garbage_from_a_camera_process_is_an_error_not_an_exploit(header: bytes, body: bytes) -> None:
    """A decoder taken over by a hostile camera may write anything it likes into the pipe."""
    with pytest.raises(WireError):
        decode(header, body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("visit_id", "../../etc/cron.d/x"),
        ("visit_id", "01M84K0YGZ6EFQREEA2BCJZZG\n"),
        ("revision", 10**30),
        ("revision", -1),
        ("count_max", float("inf")),
        ("start", "2026-05-01T06:30:00"),
        ("start", "0001-01-01T00:00:00+00:00"),
        ("start_s", float("nan")),
        ("moments", [{"index": 0}]),
        ("camera", ["a"]),
        ("clip", "media/cam/2026/05/01/../../../../birdwatchd.sqlite3"),
        ("clip", "/etc/shadow"),
        ("clip", 7),
    ],
)
def test_what_no_honest_camera_process_says_is_refused(field: str, value: object) -> None:
    """A decoder taken over by a hostile stream must not write elsewhere, nor end the daemon with an odd number."""
    data = encode(evidence("0" * 26))
    header = json.loads(data[8:])
    header[field] = value
    with pytest.raises(WireError):
        decode(json.dumps(header).encode(), b"")


def test_deep_nesting_is_refused() -> None:
    """The JSON reader recurses; a thousand brackets must not end the thread that reads."""
    with pytest.raises(WireError):
        decode(b'{"kind": ' + b"[" * 100_000, b"")


def test_a_reason_is_one_line() -> None:
    """What a process says goes into the log; a newline there forges another line."""
    status = CameraStatus("a", CameraState.OFFLINE, AT, detail="x\nCRITICAL forged\x1b[2J")
    data = encode(status)
    (head,) = struct.unpack(">I", data[4:8])
    read = decode(data[8 : 8 + head], b"")
    assert isinstance(read, CameraStatus)
    assert read.detail.isprintable()


def test_visit_ids_sort_by_time() -> None:
    """Exports and pages are read in the order of ids."""
    early = new_visit_id(datetime(2026, 1, 1, tzinfo=UTC))
    late = new_visit_id(datetime(2026, 1, 1, 0, 0, 0, 2000, tzinfo=UTC))
    assert len(early) == 26
    assert early < late


def test_a_worker_thread_works_in_order_and_gives_errors_to_who_waits() -> None:
    """And it goes on afterwards, whatever a call has raised."""
    worker, threads = WorkerThread("right"), set[threading.Thread]()

    def work(number: int) -> int:
        threads.add(threading.current_thread())
        if number == 2:
            raise KeyboardInterrupt("in the middle")
        return 10 * number

    futures = [worker.submit(partial(work, number)) for number in range(5)]
    with pytest.raises(KeyboardInterrupt, match="in the middle"):
        futures[2].result(20)
    assert [future.result(20) for future in futures[:2] + futures[3:]] == [0, 10, 30, 40]
    (thread,) = threads
    assert (thread.name, thread.daemon) == ("right", True)
    del worker
    thread.join(20)
    assert not thread.is_alive(), "it ends with its owner"


def test_a_worker_thread_at_work_keeps_no_process_alive() -> None:
    """A network that hangs in a driver must not hold up the end of the daemon."""
    program = (
        "import time\nfrom birdwatchd.flow import WorkerThread\nworker = WorkerThread('stuck')\n"
        "worker.submit(lambda: time.sleep(60))\nworker.submit(lambda: None)\ntime.sleep(0.2)"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
    assert time.monotonic() - began < 40


class Flaky:
    """A call of the store that fails with each of some errors in turn, and then says what it was given."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "stored"


def test_a_busy_store_is_asked_again_later_and_complained_of_once() -> None:
    """A database that is locked for an hour must fill neither the log nor the memory; each failure is counted."""
    said: list[Any] = []
    metrics = Metrics()
    retry = StoreRetry(said.append, lambda: metrics.add("tries"))
    call = Flaky(StoreBusy("held"), StoreFull("full"))
    assert [retry.attempt(call, "later") for _ in range(3)] == ["later", "later", "stored"]
    assert [str(error) for error in said] == ["held"]
    assert not retry.failing
    assert retry.attempt(Flaky(StoreBusy("again")), "later") == "later"
    assert retry.failing
    assert [str(error) for error in said] == ["held", "again"]
    assert metrics.get("tries") == 3


def test_what_waited_and_goes_on_is_said_once() -> None:
    """Whoever reads that visits wait wants to read that they no longer do."""
    said: list[str] = []
    retry = StoreRetry(on_first=lambda error: said.append("waits"), on_again=lambda: said.append("goes on"))
    call = Flaky(StoreBusy("1"), StoreBusy("2"))
    assert [retry.attempt(call, "later") for _ in range(5)] == ["later", "later", "stored", "stored", "stored"]
    assert retry.until_done(Flaky(StoreFull("3")), lambda: True) == "stored"
    assert said == ["waits", "goes on", "waits", "goes on"]


def test_a_write_that_must_not_be_lost_is_tried_until_it_is_done() -> None:
    """Visits wait for a full disk; only who waits decides when there is no more time for it."""
    waits = iter([True, True, False])
    errors = [StoreFull("1"), StoreBusy("2")]
    assert StoreRetry().until_done(Flaky(*errors), lambda: next(waits)) == "stored"
    with pytest.raises(StoreUnavailable, match="late"):
        StoreRetry().until_done(Flaky(StoreBusy("late")), lambda: next(waits))


def test_a_damaged_store_is_not_asked_again() -> None:
    """Trying again helps while something is busy or full; a damaged database has to be heard of at once."""
    retry = StoreRetry()
    with pytest.raises(StoreError, match="damaged"):
        retry.attempt(Flaky(StoreError("damaged")), "later")
    with pytest.raises(StoreError, match="damaged"):
        retry.until_done(Flaky(StoreError("damaged")), lambda: True)
