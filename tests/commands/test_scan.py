"""Scanning recordings: any file name, any card, any interruption, and every visit once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process import scan_process
from birdwatchd.camera.process.scan_process import ScanProcess
from birdwatchd.camera.process.spawn import ChildProcess
from birdwatchd.camera.process.wire import Failure, FileDone, TuneDone, encode
from birdwatchd.commands import scan
from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.errors import ConfigError, ExportError
from birdwatchd.records import CameraState, CameraStatus, Evidence
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings
from tests.support.scan_bench import START, WORKER_ID, Bench, bench, clip, evidence, handlers
from tests.support.small_disk import fill, small_disk

__all__ = ["bench", "handlers"]  # fixtures


def test_names_of_any_bytes(tmp_path: Path, bench: Bench) -> None:
    """Cards come from cameras that know nothing of UTF-8; the worker gets the bytes, everybody else gets text."""
    path = clip(tmp_path / os.fsdecode(b"a\xff.mp4"))
    bench.error[path.name] = f"{path}: is cut off"
    (visit,) = bench.scan(tmp_path)
    assert bench.scanned == [os.fsdecode(b"a\xff.mp4")]
    assert visit["media"] == f"{tmp_path}/a\\xff.mp4"
    assert r"a\xff.mp4: is cut off" in bench.said


def test_a_real_worker_reads_a_file_of_any_name(tmp_path: Path) -> None:
    """The order to the worker, its opening of the file and its answer carry the bytes of the name."""
    path = tmp_path / os.fsdecode(b"a\xff [b]\n.mkv")
    write_clip(tmp_path / "a.mkv", Scene(SceneSpec(31, 320, 180, 12), ()), 0.0, 1.0)
    os.replace(tmp_path / "a.mkv", path)
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    done = worker.scan(str(path), lambda item: None, lambda status: None)
    worker.close()
    assert (done.error, done.media) == ("", str(path))
    assert done.seconds > 0.5


def test_recordings_of_a_place_that_nothing_else_shows_are_counted(tmp_path: Path, bench: Bench) -> None:
    """A bird that sits still all through such a recording is not seen; more recordings of the camera help."""
    bench.new_places = {"a.mp4"}
    bench.scan(clip(tmp_path / "cards" / "a.mp4").parent)
    assert "1 recording shows a place never seen empty before: a bird that sits still" in bench.said
    bench.scan(clip(tmp_path / "other" / "b.mp4"))
    assert "never seen empty" not in bench.said


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path, bench: Bench) -> None:
    """One problem is one line, whatever a stranger called his file."""
    path = clip(tmp_path / "a\nbirdwatchd: all is well\x1b[2J[bold]\u2028.mp4")
    bench.error[path.name] = f"{path}: is no video"
    bench.scan(tmp_path)
    (line,) = [line for line in bench.said.split("\n") if line.startswith("birdwatchd:")]
    assert "\x1b[2J" not in bench.said
    assert "is no video" in line


def test_a_file_that_grows_is_scanned_again_and_its_first_part_is_forgotten(tmp_path: Path, bench: Bench) -> None:
    """A scan beside a copy that still runs must neither miss the rest nor double the beginning."""
    path = clip(tmp_path / "card" / "a.mkv")
    bench.meanwhile = lambda path: path.write_text("longer")
    (half,) = bench.scan(path)
    assert "a.mkv: changed while it was read" in bench.said
    bench.meanwhile = lambda path: None
    (whole,) = bench.scan(path)
    assert bench.scanned == ["a.mkv"]
    assert half["visit_id"] != whole["visit_id"]
    assert [visit.visit_id for visit in bench.visits()] == [whole["visit_id"]]
    assert bench.scan(path) == [whole]
    assert bench.scanned == []


def test_a_card_that_is_pulled_ends_nothing(tmp_path: Path, bench: Bench) -> None:
    """The last visit is stored after the file was read; by then the card may be in somebody's pocket."""
    path = clip(tmp_path / "card" / "a.mkv")
    bench.meanwhile = lambda path: path.unlink()
    assert len(bench.scan(path)) == 1
    assert "Traceback" not in bench.said


def test_failed_files_are_tried_again(tmp_path: Path, bench: Bench) -> None:
    """A worn reader fails today and reads tomorrow; "done before" would hide the file for ever."""
    path = clip(tmp_path / "a.mp4")
    bench.error["a.mp4"] = "a.mp4: breaks off"
    first = bench.scan(path)
    assert bench.scan(path) == first
    assert bench.scanned == ["a.mp4"]
    assert "1 failed" in bench.said
    bench.error.clear()
    assert bench.scan(path) == first
    assert bench.scan(path) == first
    assert bench.scanned == []
    assert len(bench.visits()) == 1


def test_another_card_with_the_same_names(tmp_path: Path, bench: Bench) -> None:
    """Every card begins with IMG_0001: last week's birds are neither lost nor shown as this week's."""
    path = clip(tmp_path / "card" / "IMG_0001.MP4", "first card")
    first = bench.scan(path)
    os.utime(clip(path, "another card"), (5, 5))
    second = bench.scan(path)
    assert bench.scanned == ["IMG_0001.MP4"]
    assert first[0]["visit_id"] != second[0]["visit_id"]
    assert bench.scan(path) == second
    assert bench.scanned == []
    assert len(bench.visits()) == 2


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({"min_bird": 16}, {}),
        ({"camera": "pond"}, {}),
        ({"again": True}, {}),
        ({}, {"species": SpeciesSettings(threshold=0.9)}),
    ],
)
def test_other_settings_scan_again_and_take_the_place(
    tmp_path: Path, bench: Bench, options: dict[str, Any], config: dict[str, Any]
) -> None:
    """Who lowers --min-bird wants the birds that were missed, and the others not twice."""
    path = clip(tmp_path / "a.mp4")
    (before,) = bench.scan(path)
    (after,) = bench.scan(path, config=Config(home=bench.home, **config), **options)
    assert bench.scanned == ["a.mp4"]
    assert [visit.visit_id for visit in bench.visits()] == [after["visit_id"]]
    assert (before["visit_id"] == after["visit_id"]) is ("again" in options)


def test_another_model_adds_its_own_visits(tmp_path: Path, bench: Bench) -> None:
    """Two models are compared by scanning twice; each row names its model."""
    path = clip(tmp_path / "a.mp4")
    bench.scan(path)
    bench.model = "demo@2"
    bench.scan(path)
    assert sorted(visit.model for visit in bench.visits()) == ["demo@1", "demo@2"]


def test_a_file_named_twice_is_one_file(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scan . a.mp4 /card/a.mp4` and a link to it: one pass, one set of visits."""
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    assert len(bench.scan(Path("a.mp4"), tmp_path / "a.mp4", tmp_path)) == 1
    assert bench.scanned == ["a.mp4"]


def test_what_cannot_be_looked_at_is_one_line(tmp_path: Path, bench: Bench) -> None:
    """A name too long, a dead link, a pipe: each costs a line, none costs the scan."""
    clip(tmp_path / "card" / "a.mp4")
    (tmp_path / "card" / "dead.mp4").symlink_to("nothing")
    os.mkfifo(tmp_path / "card" / "pipe.mp4")
    assert len(bench.scan(Path("x" * 300), tmp_path / "card")) == 1
    assert "File name too long" in bench.said
    assert "dead.mp4: No such file" in bench.said
    assert "pipe.mp4: is not a file" in bench.said
    assert "3 failed" in bench.said


def test_a_scan_that_could_read_nothing_says_so_by_its_status(tmp_path: Path, bench: Bench) -> None:
    """A job that runs at night would else report that there were no birds."""
    bench.status = 1
    (tmp_path / "empty").mkdir()
    assert bench.scan(tmp_path / "empty") == []
    assert f"no recordings below {tmp_path / 'empty'}" in bench.said
    (tmp_path / "dead.mp4").symlink_to("nothing")
    assert bench.scan(tmp_path) == []
    assert "1 failed" in bench.said


def test_the_list_of_visits_is_there_also_where_there_is_none(tmp_path: Path, bench: Bench) -> None:
    """The program that reads it must not stumble over the night without recordings."""
    (tmp_path / "empty").mkdir()
    found = tmp_path / "found.jsonl"
    assert scan.run_scan(Config(home=bench.home), scan.ScanOptions((tmp_path / "empty",), str(found))) == 1
    assert found.read_bytes() == b""


def test_only_a_list_of_visits_is_replaced(tmp_path: Path, bench: Bench) -> None:
    """`scan --json a.mp4 card/` was a recording once."""
    card, found = clip(tmp_path / "card" / "a.mp4"), tmp_path / "found.jsonl"
    for _ in range(2):
        assert scan.run_scan(Config(home=bench.home), scan.ScanOptions((card,), str(found))) == 0
        assert found.read_bytes().startswith(b'{"visit_id": ')
    with pytest.raises(ExportError, match="is there already"):
        scan.run_scan(Config(home=bench.home), scan.ScanOptions((tmp_path / "card",), str(card)))
    assert card.read_text() == "x"


def test_a_camera_key_is_a_slug(tmp_path: Path, bench: Bench) -> None:
    """The key goes into folders and topics, as those of the configuration do."""
    with pytest.raises(ConfigError, match="a-z, 0-9") as caught:
        bench.scan(clip(tmp_path / "a.mp4"), camera="../Nut\n")
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_signals_are_heard_before_the_model_is_loaded(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during a download of 200 MB is no KeyboardInterrupt in the middle of somebody's library."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    class Loading(Exception):
        pass

    def load(settings: object, cache: object) -> Any:
        assert callable(signal.getsignal(signal.SIGTERM))
        raise Loading

    monkeypatch.setattr("birdwatchd.species.network.network.load_network", load)
    with pytest.raises(Loading):
        bench.scan(clip(tmp_path / "a.mp4"))


WORKER = """
import json, sys, time
sys.stdin.readline()
while line := sys.stdin.readline():
    answer = {answers}[next(iter(json.loads(line).values()))]
    sys.stdout.buffer.write(bytes.fromhex(answer))
    sys.stdout.buffer.flush()
    if {hang}:
        time.sleep(60)
"""


def fake_worker(monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes], *, hang: bool = False) -> None:
    script = WORKER.format(answers={name: answer.hex() for name, answer in answers.items()}, hang=hang)

    def spawn(order: dict[str, Any], **_: Any) -> ChildProcess:
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        child = ChildProcess(process, order["camera"])
        child.command(order)
        return child

    monkeypatch.setattr(scan_process, "spawn", spawn)


OPEN = Evidence(WORKER_ID, "scan", 1, START, None, START, (), 1, "bad", 1.0, None)
GOOD = encode(FileDone("good", 3.0, ""))


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff" * 64, encode(evidence(camera="another")), encode(TuneDone(1.0, 1, ()))],
    ids=["no message", "another camera", "of another process"],
)
def test_a_worker_that_talks_nonsense_costs_one_file(monkeypatch: pytest.MonkeyPatch, nonsense: bytes) -> None:
    """A file that takes the decoder over must not end the scan of 20,000 others, nor leave a visit open."""
    fake_worker(monkeypatch, {"bad": encode(OPEN) + nonsense, "good": GOOD})
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    found: list[Evidence] = []
    done = worker.scan("bad", found.append, lambda status: None)
    assert done.error.startswith("bad: makes the decoder talk nonsense")
    assert [item.end for item in found] == [None, START]
    assert worker.scan("good", found.append, lambda status: None) == FileDone("good", 3.0, "")
    worker.close()


def test_a_worker_that_says_why_it_cannot_go_on_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words say more than that it is gone."""
    fake_worker(monkeypatch, {"bad": encode(OPEN) + encode(Failure("no room for the frames"))})
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    found: list[Evidence] = []
    done = worker.scan("bad", found.append, lambda status: None)
    assert done.error == "bad: no room for the frames; this file is skipped"
    assert [item.end for item in found] == [None, START]
    worker.close()


def test_a_worker_that_falls_silent_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some files hang a decoder for ever; nobody sits beside the scan to kill it."""
    fake_worker(monkeypatch, {"bad": encode(OPEN)}, hang=True)
    monkeypatch.setattr(ScanProcess, "patience_s", 0.5)
    settings = CameraSettings(source=Source("/"), open_timeout_s=0.2, read_timeout_s=0.2)
    worker = ScanProcess("scan", settings)
    statuses: list[CameraStatus] = []
    found: list[Evidence] = []
    done = worker.scan("bad", found.append, statuses.append)
    assert "hangs the decoder" in done.error
    assert found[-1].end == found[-1].last_seen
    worker.close()


def test_what_hangs_the_decoder_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at its date has shown it; on a card with twenty such files each would cost a minute more."""
    fake_worker(monkeypatch, {"bad": b""}, hang=True)
    monkeypatch.setattr(ScanProcess, "patience_s", 0.5)
    settings = CameraSettings(source=Source("/"), open_timeout_s=0.2, read_timeout_s=0.2)
    worker = ScanProcess("scan", settings)
    assert worker.began_s("bad") is None
    monkeypatch.setattr(scan_process, "spawn", lambda *_, **__: pytest.fail("the decoder is given the file again"))
    assert "hangs the decoder" in worker.scan("bad", lambda item: None, lambda status: None).error
    worker.close()


def test_what_the_kernel_cannot_enforce_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker says so when it starts, which is now when dates are looked at: it was said to nobody."""
    notice = CameraStatus("scan", CameraState.STARTING, START, notice="its process is not fully confined")
    date = CameraStatus("scan", CameraState.ONLINE, START, extra=(("began_s", 7.0),))
    said = iter([notice, date, FileDone("a", 0.0)])
    child = SimpleNamespace(command=lambda order: None, receive=lambda *kinds: next(said), kill=lambda: None)
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    monkeypatch.setattr(worker, "_running", lambda path: child)
    assert worker.began_s("a") == 7.0
    assert "its process is not fully confined" in caplog.text


def test_a_killed_scan_starts_no_further_worker_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between two files must not wait for the next one to be read."""
    fake_worker(monkeypatch, {"good": b""}, hang=True)
    worker = ScanProcess("scan", CameraSettings(source=Source("/")))
    worker.kill()
    assert worker.scan("good", lambda item: None, lambda status: None).error
    worker.close()


def test_how_a_stream_is_reached_is_of_no_matter_to_recordings() -> None:
    """A new key of cameras must not make everybody's cards be scanned anew."""
    source = Source("/")
    plain = scan._settings_text("scan", CameraSettings(source=source), SpeciesSettings())
    other = CameraSettings(source=source, tls="verify", memory_mb=900)
    assert scan._settings_text("scan", other, SpeciesSettings()) == plain
    assert "tls" not in plain
    assert "memory" not in plain


def test_a_list_that_cannot_be_written_is_one_line(
    tmp_path: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk under `--json` is no fault of the program, and needs no traceback."""
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        fill(disk)
        options = scan.ScanOptions((clip(tmp_path / "a.mp4"),), str(disk / "visits.jsonl"))
        with pytest.raises(ExportError, match=r"visits.jsonl: cannot be written \(No space left on device\)"):
            scan.run_scan(Config(home=bench.home), options)
    assert [record.exc_info for record in caplog.records] == [None] * len(caplog.records)
