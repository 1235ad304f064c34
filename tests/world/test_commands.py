"""Command lines as people type them, and what they had to live with elsewhere."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.address import Source
from birdwatchd.cli import run_cli
from birdwatchd.commands.setup.init import InitOptions, run_init
from birdwatchd.commands.terminal import setup_log
from birdwatchd.errors import BirdwatchError
from birdwatchd.records import CameraState, CameraStatus, Rank, State, Verdict
from birdwatchd.settings.load import load_config
from birdwatchd.store import Store
from birdwatchd.testing import START, example_moment, example_visit

FILE = Path("birdwatchd.yaml")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, in which everything is typed."""
    monkeypatch.chdir(tmp_path)


def online(source: Source) -> CameraStatus:
    """A camera that shows the same at whatever path."""
    return CameraStatus("camera", CameraState.ONLINE, datetime.now(UTC), width=1920, height=1080)


def init(camera: str, *, probe: bool = False) -> Source:
    """What `birdwatchd init --camera …` writes, as it is read again."""
    options = InitOptions(FILE, camera=camera, place="garden", broker="none", probe=probe)
    assert run_init(options, terminal=False, probe=online) == 0
    return load_config(FILE, {}).cameras["feeder"].source


@pytest.mark.parametrize("password", ["pa#ss", "p/a?s", "50%off", "^!$&*()", "ünïcode ", "a:b", "${x"])
def test_any_password_of_a_camera(password: str) -> None:
    """A camera's password with `#`, `^`, `!` or `%`: "Invalid URL", or another one was sent, and it had to be changed.

    Must: `init` takes the address as it is typed, its file has `${CAM_PASSWORD}`, and the camera gets the password.
    Report: https://github.com/tphakala/birdnet-go/issues/3352
    Report: https://github.com/mcguirepr89/BirdNET-Pi/issues/742
    Report: https://github.com/thirtythreeforty/neolink/issues/242
    """
    source = init(f"rtsp://admin:{password}@192.0.2.10/stream1")
    assert (source.username, source.password.reveal()) == ("admin", password)
    assert source.location == "rtsp://192.0.2.10/stream1"
    assert password not in FILE.read_text()


@pytest.mark.parametrize("address", ["rtsp://192.0.2.10/live", "rtsp://user:p@192.0.2.10/live", "rtsp://h:8554/live"])
def test_a_wizard_adds_nothing_to_an_address(address: str) -> None:
    """A camera without user, password or port: the wizard wrote `rtsp://:@host:/live`, and the error was about blobs.

    Must: What is not given is not there.
    Report: https://github.com/bobcamera/bobcamera/issues/146
    Report: https://github.com/bobcamera/bobinstall/issues/4
    """
    assert init(address) == Source(address)


def test_a_wrong_password_does_not_lock_the_camera() -> None:
    """A wrong password, tried again and again by a program that looks for streams: the camera locked for half an hour.

    Must: One attempt, and it says that user or password is wrong.
    Report: https://github.com/Skinah/IpCamera/issues/11
    Report: https://github.com/evercam/evercam-server/issues/91
    """
    attempts = []

    def refuses(source: Source) -> CameraStatus:
        attempts.append(source)
        detail = f"{source}: refused (Server returned 401 Unauthorized (authorization failed)); check user and password"
        return CameraStatus("camera", CameraState.OFFLINE, datetime.now(UTC), detail=detail, refused=True)

    with closing(create_server(("127.0.0.1", 0))) as camera:
        host = f"127.0.0.1:{camera.getsockname()[1]}"
        options = InitOptions(FILE, camera=f"rtsp://admin:wrong@{host}", place="garden", broker="none")
        with pytest.raises(BirdwatchError, match="check user and password"):
            run_init(options, terminal=False, probe=refuses)
    assert len(attempts) == 1
    assert not FILE.exists()


def test_a_camera_that_shows_the_same_at_every_path() -> None:
    """A camera that answers 200 whatever the path: every stream "was found".

    Must: What is as large as the main stream is no small stream, and is not decoded a second time.
    Report: https://github.com/Ullaakut/cameradar/issues/438
    """
    with closing(create_server(("127.0.0.1", 0))) as camera:
        init(f"rtsp://127.0.0.1:{camera.getsockname()[1]}/stream1", probe=True)
    assert load_config(FILE, {}).cameras["feeder"].gate_source is None


def test_lines_of_the_log_say_in_which_zone_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Parts of a program that log in local time beside others in UTC, without a zone: nothing could be put in order.

    Must: The station's zone everywhere, and its offset in each line.
    Now: `2026-05-01 02:30:00-04:00 WARNING camera nut: offline`
    Report: https://github.com/blakeblackshear/frigate/issues/24405
    """
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        setup_log(zone=ZoneInfo("America/New_York"))
        said = {"msg": "camera nut: offline", "created": START.timestamp(), "levelname": "WARNING"}
        root.handle(logging.makeLogRecord(said | {"levelno": logging.WARNING}))
    finally:
        root.handlers[:], root.level = before, level
    assert capsys.readouterr().err == "2026-05-01 02:30:00-04:00 WARNING camera nut: offline\n"


def test_a_wrong_name_is_corrected_and_not_deleted() -> None:
    """Wrong detections could only be deleted, one by one: to rename one, a script moved files and changed the database.

    Must: `review VISIT --species NAME`, in English, scientific or local; pictures stay, and it can be undone.
    Report: https://github.com/Nachtzuster/BirdNET-Pi/issues/53
    Report: https://github.com/Suncuss/BirdNET-PiPy/issues/69
    """
    tit = Verdict(State.CONFIRMED, Rank.SPECIES, "Great tit", "Parus major", 0.9, (("Great tit", 0.9),))
    with Store.open(Path("home"), zone=ZoneInfo("UTC")) as store:
        store.writer().record(example_visit("v1", end=START, verdict=tit), [example_moment(0)], START)
        pictures = [moment.crop for moment in store.visits.moments("v1")]
    Path("names.csv").write_text("scientific_name,name\nCyanistes caeruleus,Mésange bleue\n")
    FILE.write_text("home: home\nspecies: {names_file: names.csv}\n")
    for name in ("Eurasian Blue Tit", "Cyanistes caeruleus", "mésange bleue"):
        assert run_cli(["review", "last", "--species", name]) == 0
    with Store.open(Path("home"), zone=ZoneInfo("UTC")) as store:
        (visit,) = store.visits.find()
        assert (visit.verdict.common_name, visit.verdict.state) == ("Mésange bleue", State.CONFIRMED)
        assert [moment.crop for moment in store.visits.moments("v1")] == pictures
    assert run_cli(["review", "last", "--undo"]) == 0  # the same said three times is one review
    with Store.open(Path("home"), zone=ZoneInfo("UTC")) as store:
        assert store.visits.find()[0].verdict == tit
