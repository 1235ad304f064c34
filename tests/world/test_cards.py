"""Cards and recordings as cameras leave them."""

from __future__ import annotations

import json
import os
import shutil
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.capture.recorded import Zones, recorded_at
from birdwatchd.camera.process.scan import scan_file
from birdwatchd.camera.process.scan_process import ScanProcess
from birdwatchd.camera.process.wire import FileDone, Item, Pipe
from birdwatchd.commands.dates import Dates, impossible
from birdwatchd.commands.scan import ScanOptions, run_scan
from birdwatchd.commands.visits import ListOptions, run_visits
from birdwatchd.errors import ExportError
from birdwatchd.records import CameraStatus
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import parse_config
from birdwatchd.store import VisitFilter
from tests.support.scan_bench import START, Bench, bench, clip, handlers

__all__ = ["bench", "handlers"]  # fixtures


def card(folder: Path) -> Path:
    """What a card holds that a Mac and a Windows machine have seen, and no recording."""
    for name in (
        "DCIM/100RECNX/._IMG_0001.MP4",
        ".Trashes/501/IMG_0001.MP4",
        "$RECYCLE.BIN/S-1-5-21/$R12.MP4",
        "System Volume Information/x.mp4",
        "DCIM/100RECNX/IMG_0003.JPG",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_shadows_bins_and_photos_of_a_card(tmp_path: Path, bench: Bench) -> None:
    """A card that was in a Mac: a warning "cannot be read as video" for each `._IMG_0001.MP4`, deleted birds are back.

    Must: Shadow files, bins and photos are passed over and counted.
    Now: `4 files are passed over: shadows of macOS (._NAME), or in a bin`
    """
    clip(card(tmp_path / "card") / "DCIM/100RECNX/IMG_0001.MP4")
    assert len(bench.scan(tmp_path / "card")) == 1
    assert bench.scanned == ["IMG_0001.MP4"]
    assert "4 files are passed over: shadows of macOS" in bench.said
    assert "1 photo is passed over: only recordings are read yet" in bench.said


def test_a_card_without_recordings(tmp_path: Path, bench: Bench) -> None:
    """A card with photos only, in a script: status 0, and no JSON file for the next step to read.

    Must: Status 1, what was passed over is said, and `--json FILE` is written, empty.
    """
    file = tmp_path / "visits.jsonl"
    options = ScanOptions((card(tmp_path / "card"),), str(file))
    assert run_scan(Config(home=tmp_path / "home"), options) == 1
    assert file.read_text() == ""


def test_a_json_file_that_is_something_else(tmp_path: Path, bench: Bench) -> None:
    """`scan card --json notes.txt` for the wrong file: a season of notes was gone.

    Must: Only what a scan wrote, or an empty file, is replaced.
    """
    notes = tmp_path / "notes.txt"
    notes.write_text("2026-05-01 hoopoe at the pond\n")
    with pytest.raises(ExportError, match="is there already, and was not written by a scan"):
        run_scan(Config(home=tmp_path / "home"), ScanOptions((clip(tmp_path / "card" / "a.mp4"),), str(notes)))
    assert notes.read_text().startswith("2026-05-01 hoopoe")


def test_the_same_card_at_another_place(tmp_path: Path, bench: Bench) -> None:
    """A card is scanned at /media/card, then at /mnt, then as a copy with other file times: every visit three times.

    Must: A recording is what is in it. Scanning it elsewhere adds nothing, and says so; its visits are in the JSON.
    Now: `0 files scanned (0 s of video), 2 done before (2 of them under another path), 2 visits, 0 failed` and
    `all of these visits were stored before`
    """
    here, there = tmp_path / "media", tmp_path / "mnt"
    clip(here / "IMG_0001.MP4", "one bird")
    clip(here / "IMG_0002.MP4", "another")
    first = {visit["visit_id"] for visit in bench.scan(here)}
    shutil.copytree(here, there)
    for file in there.iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))
    assert {visit["visit_id"] for visit in bench.scan(there)} == first
    assert bench.scanned == []
    assert "2 done before (2 of them under another path), 2 visits, 0 failed" in bench.said
    assert "all of these visits were stored before" in bench.said
    assert len(bench.visits()) == 2
    bench.scan(there, again=True)
    assert len(bench.visits()) == 2, "also by --again"


def test_a_recording_that_lies_on_a_card_twice(tmp_path: Path, bench: Bench) -> None:
    """A copy was made on the card itself, "IMG_0001 (1).MP4".

    Must: It is one recording.
    """
    clip(tmp_path / "card" / "IMG_0001.MP4")
    clip(tmp_path / "card" / "IMG_0001 (1).MP4")
    assert len(bench.scan(tmp_path / "card")) == 1
    assert "1 done before (1 of them under another path)" in bench.said


def test_two_empty_files_are_no_copies(tmp_path: Path, bench: Bench) -> None:
    """A camera that lost its power leaves files of no bytes; all of them are alike.

    Must: Each is named and counted as failed.
    """
    for name in ("IMG_0001.MP4", "IMG_0002.MP4"):
        clip(tmp_path / "card" / name, "")
        bench.error[name] = f"{name}: cannot be read as video"
    bench.status = 0
    bench.scan(tmp_path / "card")
    assert [line for line in bench.said.splitlines() if "cannot be read as video" in line] == [
        "birdwatchd: IMG_0001.MP4: cannot be read as video",
        "birdwatchd: IMG_0002.MP4: cannot be read as video",
    ]
    assert ", 2 failed" in bench.said


def test_another_recording_of_the_same_name_size_and_time(tmp_path: Path, bench: Bench) -> None:
    """Cards of two cameras whose clocks reset with the battery: IMG_0001.MP4 of the same second, and of one size.

    Must: What is in them tells them apart.
    Report: https://github.com/petargyurov/megadetector-gui/issues/11
    """
    path = tmp_path / "card" / "IMG_0001.MP4"
    for content in ("one camera", "the other!"):
        os.utime(clip(path, content), (946_684_800, 946_684_800))
        bench.scan(path.parent)
        assert bench.scanned == ["IMG_0001.MP4"]
    assert len(bench.visits()) == 2


def test_a_scan_that_was_cut_off_goes_on_at_another_place(tmp_path: Path, bench: Bench) -> None:
    """The card was pulled in the middle of a recording, and comes back at another mount point.

    Must: What was found before is replaced, and not doubled.
    """
    here = clip(tmp_path / "media" / "IMG_0001.MP4")
    bench.error["IMG_0001.MP4"] = "the card is gone"
    bench.status = 0
    bench.scan(here)
    bench.error.clear()
    there = clip(tmp_path / "mnt" / "IMG_0001.MP4")
    here.unlink()
    bench.scan(there)
    assert [visit.media for visit in bench.visits()] == [str(there)]


def avi(path: Path, frames: int = 40, idit: str = "") -> Path:
    """A small Motion JPEG AVI as camera-trap cameras write it, perhaps with the time on the camera's clock (IDIT)."""
    chance = np.random.default_rng(3)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(chance.integers(90, 110, (64, 96, 3)).astype(np.uint8), "rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    if idit:
        text = f"{idit}\n\0".encode()
        text += b"\0" * (len(text) % 2)
        _insert(path, b"IDIT" + struct.pack("<I", len(text)) + text)
    return path


def _insert(path: Path, chunk: bytes) -> None:
    """Put a chunk at the end of an AVI's header."""
    data = path.read_bytes()
    begin = data.index(b"LIST")
    (size,) = struct.unpack("<I", data[begin + 4 : begin + 8])
    end = begin + 8 + size
    header = data[begin + 8 : end] + chunk
    data = data[: begin + 4] + struct.pack("<I", len(header)) + header + data[end:]
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def scanned(path: Path, zones: Zones | None = None) -> list[Item]:
    """What the process of a scan sends of a file."""
    items: list[Item] = []

    class Kept:
        send = staticmethod(items.append)

    settings = CameraSettings(source=Source(str(path)))
    scan_file("scan", settings, str(path), cast(Pipe, Kept()), Acceleration((), print), None, zones)
    return items


def began(items: list[Item]) -> datetime:
    """When the recording began, as the process says before anything else."""
    first = items[0]
    assert isinstance(first, CameraStatus)
    return datetime.fromtimestamp(dict(first.extra)["began_s"], UTC)


@pytest.mark.parametrize("cut", ["in the middle", "header never written"])
def test_an_avi_that_was_cut_off(tmp_path: Path, cut: str) -> None:
    """The battery died while an AVI was written: it ends in the middle, or its header still says that it is empty.

    Must: What can be read is read, and it is said.
    Now: `is cut off: 1.9 s of 4.0 s could be read`, or `was not finished by its camera (power, card): …`
    """
    path = avi(tmp_path / "IMG_0001.AVI")
    data = bytearray(path.read_bytes()[: path.stat().st_size * 6 // 10])
    if cut == "header never written":
        data[4:8] = bytes(4)
        for mark, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32), (b"movi", -4)):
            at = data.index(mark) + offset
            data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    items = scanned(path)
    done = items[-1]
    assert isinstance(done, FileDone)
    assert done.seconds > 1.5
    notices = [item.notice for item in items if isinstance(item, CameraStatus)]
    if cut == "in the middle":
        assert f"{path}: is cut off: {done.seconds:.1f} s of 4.0 s could be read" in done.error
    else:
        assert f"{path}: was not finished by its camera (power, card): {done.seconds:.1f} s could be read" in notices


@pytest.mark.parametrize(
    ("metadata", "station", "written", "at"),
    [
        ({"creation_time": "2026-05-01 08:30:00\n"}, "Europe/Berlin", "", "06:30"),  # AVI: on the camera's clock
        ({"creation_time": "2026-05-01 08:30:00"}, "Europe/Berlin", "America/New_York", "12:30"),
        ({"creation_time": "2026-05-01T08:30:00.000000Z"}, "Europe/Berlin", "", "08:30"),  # MP4: believed
        (
            {"creation_time": "2026-05-01T08:30:00.000000Z"},
            "",
            "Europe/Berlin",
            "06:30",
        ),  # unless somebody knows better
        (
            {
                "creation_time": "2026-05-01T08:30:00.000000Z",
                "com.apple.quicktime.creationdate": "2026-05-01T08:30:00+0200",
            },
            "Asia/Jerusalem",
            "America/New_York",
            "06:30",
        ),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, "Europe/Berlin", "Europe/Berlin", "05:00"),  # by the file
        ({"date": "2026"}, "Europe/Berlin", "", "05:00"),
        ({"creation_time": "9999-12-31 23:59:59"}, "America/New_York", "", "05:00"),  # which is none in UTC
    ],
)
def test_times_without_a_zone(tmp_path: Path, metadata: dict[str, str], station: str, written: str, at: str) -> None:
    """A trail camera at 08:30 in Berlin, in May: the visit is stored for 10:30, or 08:30 UTC.

    Must: Times without a zone (AVI) have the station's; `scan --zone` says which zone times have that are local and
    marked as UTC (MP4); a time with an offset is what it says; without any time the file's own counts.
    Report: https://github.com/LycheeOrg/Lychee/issues/675
    """
    path = tmp_path / "a"
    path.write_text("x")
    ends = datetime(2026, 5, 1, 5, 0, 10, tzinfo=UTC).timestamp()
    os.utime(path, (ends, ends))
    found = recorded_at(metadata, path, timedelta(seconds=10), Zones.named(station, written))
    assert f"{found:%Y-%m-%d %H:%M}" == f"2026-05-01 {at}"


def test_a_length_that_cannot_be(tmp_path: Path) -> None:
    """A damaged file says that it is longer than there have been years, and has no time of its own.

    Must: The file's time counts.
    """
    path = clip(tmp_path / "card" / "a.mp4")
    at = recorded_at({}, path, timedelta(microseconds=2**62), Zones())
    assert at == datetime.fromtimestamp(path.stat().st_mtime, UTC)


def test_a_card_that_is_pulled_at_the_end_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last picture was read, and the card is gone: that ended the process that reads.

    Must: The recording is done.
    """
    path = avi(tmp_path / "IMG_0001.AVI", 2)

    def pulled(*_: object) -> str:
        path.unlink()
        return ""

    monkeypatch.setattr("birdwatchd.camera.process.scan._cut_off", pulled)
    done = scanned(path)[-1]
    assert isinstance(done, FileDone)
    assert done.error == ""


@pytest.mark.slow
def test_the_zone_reaches_the_process_that_reads(tmp_path: Path) -> None:
    """An AVI with the time of its camera's clock, read by the confined process of a scan.

    Must: The station's zone and `--zone` reach it, and the tables of zones can be read there.
    """
    path = avi(tmp_path / "IMG_0001.AVI", 8, "Fri May 01 08:30:00 2026")
    seen: list[CameraStatus] = []
    worker = ScanProcess("scan", CameraSettings(source=Source("/")), [tmp_path], ("Europe/Berlin", "America/New_York"))
    at = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    assert worker.began_s(str(clip(tmp_path / "IMG_0000.AVI"))) is None, "which is no AVI, and said when it is scanned"
    assert worker.began_s(str(path)) == at.timestamp()
    worker.scan(str(path), lambda item: None, seen.append)
    worker.close()
    assert began(list(seen)) == at
    assert began(scanned(path, Zones.named("Europe/Berlin"))) == datetime(2026, 5, 1, 6, 30, tzinfo=UTC)


def test_another_zone_takes_the_place(tmp_path: Path, bench: Bench) -> None:
    """The first scan of a card was without `--zone`, and all is two hours off.

    Must: The same command with `--zone` puts the visits right, and adds none.
    """
    path = clip(tmp_path / "card" / "a.mp4")
    bench.scan(path)
    assert bench.zones == ("UTC", "")
    bench.scan(path, zone="Europe/Berlin")
    assert (bench.scanned, bench.zones) == (["a.mp4"], ("UTC", "Europe/Berlin"))
    assert len(bench.visits()) == 1


@pytest.mark.parametrize("year", [1970, 1980, 2000, 2031])
def test_a_date_that_cannot_be(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    """The camera's clock was reset with its battery: birds of 1970, 1980, 2000 or 2031, and wrong firsts ever after.

    Must: It is warned of before anything is stored, also of the recordings before it.
    Now: `IMG_0001.MP4: its date is 2000-01-01 00:03:00, that of a clock that was never set; …`
    """
    warned: list[int] = []
    monkeypatch.setattr("birdwatchd.commands.dates.say_warning", lambda text: warned.append(len(bench.visits())))
    bench.begins["b.mp4"] = datetime(year, 1, 1, 0, 3, tzinfo=UTC)
    clip(tmp_path / "card" / "a.mp4", "a")
    bench.scan(clip(tmp_path / "card" / "b.mp4", "b").parent)
    assert (bench.scanned, warned) == (["a.mp4", "b.mp4"], [0])
    assert "1 recording with a date that cannot be, see above" in bench.said


def test_what_to_do_about_an_impossible_date() -> None:
    """A camera that writes local time as UTC, east of Greenwich: its recordings are some hours in the future.

    Must: What is a matter of the zone is told apart from a clock that was never set.
    """
    now_s = START.timestamp()
    assert impossible(now_s - 60, now_s) == impossible(now_s, 60.0) == ""
    assert impossible(datetime(2009, 4, 1, tzinfo=UTC).timestamp(), now_s) == ""
    assert impossible(now_s + 2 * 3600, now_s).endswith("give its zone: --zone Europe/Berlin")
    for at_s in (60.0, 315_532_860.0, 946_684_860.0, now_s + 86_400 * 400):
        assert "set the camera's clock" in impossible(at_s, now_s)
        assert "--zone" not in impossible(at_s, now_s)


def test_a_date_that_is_in_no_calendar(capsys: pytest.CaptureFixture[str]) -> None:
    """A recording that a broken program wrote says the year 33658.

    Must: It is warned of, once, and ends nothing.
    """
    dates = Dates(ZoneInfo("Asia/Tokyo"))
    for began_s in (1e12, 1e12, None, -1e12):
        dates.check("a.mp4", began_s)
    assert dates.impossible == {"a.mp4"}
    assert capsys.readouterr().err.count("a.mp4: its date is 3000-01-01 09:00:00") == 1


def test_one_time_everywhere(tmp_path: Path, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """`scan` says 08:30, `visits` says 06:30, and the JSON something else; of a card of a week no line has its day.

    Must: Lines and lists have the station's zone and the day; the JSON has the same moment, in UTC.
    """
    config: Any = parse_config("station: {timezone: Europe/Berlin}", "x.yaml", {}).model_copy(
        update={"home": tmp_path / "home"}
    )
    path = clip(tmp_path / "card" / "a.mp4")
    (visit,) = bench.scan(path, config=config)
    assert datetime.fromisoformat(visit["start"]) == START
    assert run_scan(config, ScanOptions((path,))) == 0
    assert capsys.readouterr().out.startswith("2026-05-01 08:30:00  scan")
    run_visits(config, ListOptions(VisitFilter()))
    assert "2026-05-01 08:30:00" in capsys.readouterr().out
    run_visits(config, ListOptions(VisitFilter(), form="json"))
    assert json.loads(capsys.readouterr().out)["start"] == visit["start"]
