"""The map of what in a picture led the model to a name: asked for, made by a process of its own, kept, explained."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from birdwatchd.settings.config import Config
from birdwatchd.store.media import Media, made_path
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store
from birdwatchd.web.asked.evidence import KIND, Evidence, EvidenceMaps, read_evidence, write_evidence
from birdwatchd.web.asked.evidence_child import make_map
from birdwatchd.web.asked.task import ChildTask
from birdwatchd.web.pictures.kept import KeptPictures
from tests.support.page import browser
from tests.support.peers import wait_for

VISIT, BARE = "01JTJC2Q8ZK4V7XW5N3M9R6BDA", "01JTJC2Q8ZK4V7XW5N3M9R6BDB"
CROP = f"media/nut/2026/05/01/{VISIT}-0.jpg"
DEMO = {"name": "demo"}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a tit, and a visit of which no picture is kept."""
    written = io.BytesIO()
    bird_image("Great tit").save(written, "JPEG")
    with temporary_store() as store:
        store.writer().record(example_visit(VISIT, "Great tit"), [example_moment(jpeg=written.getvalue())], START)
        store.writer().record(example_visit(BARE), [], START)
        yield store.home


def keep(home: Path, weights: str) -> None:
    """A map as the process keeps it."""
    media = Media(home)
    jpeg = write_evidence(Image.new("RGB", (20, 20)), Evidence("Magpie", 0.5, "davit_tiny", weights))
    assert KeptPictures(media).put(CROP, KIND, jpeg, media.version(CROP) or 0)


def test_a_press_gives_a_map_of_the_best_picture(home: Path) -> None:
    """From the button to the map: another process makes it, and this one never loads torch."""
    owner = browser(home, model=DEMO)
    where = f"/visits/{VISIT}/evidence"
    assert f'hx-post="{where}"' in owner.get(f"/visits/{VISIT}").text
    part = owner.post(where, {}, hx_request="true").text
    assert "The map is being made" in part
    assert 'hx-trigger="every 2s"' in part
    assert "The map is being made" in owner.post(where, {}, hx_request="true").text  # pressed twice, made once
    wait_for(lambda: "being made" not in owner.get(where).text, "the map", 90.0)
    assert "Bright areas support <b>Great tit</b>" in owner.get(where).text
    answer = owner.get(f"{where}/map")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"  # the map of another model has the same address
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.width > 20
    assert f'src="{where}/map"' in owner.get(f"/visits/{VISIT}").text  # and it is there the next time
    restarted = browser(home, model=DEMO)
    assert "Bright areas support" in restarted.get(where).text


def test_a_map_of_another_model_is_none(home: Path) -> None:
    """Who changes the model wants to know what the new one looks at."""
    keep(home, "other")
    assert "Bright areas" not in browser(home, model=DEMO).get(f"/visits/{VISIT}").text
    keep(home, "demo")
    assert "Bright areas support <b>Magpie</b>" in browser(home, model=DEMO).get(f"/visits/{VISIT}").text


def test_without_the_model_it_is_said_what_to_do(home: Path) -> None:
    """A page must not begin to download weights; the remedy is a sentence."""
    config = Config.model_validate({"home": home, "model": {"name": "davit_tiny_il-all"}})
    said = make_map({"config": config.without_secrets(), "crop": CROP, "weights": "davit_tiny_il-all"})
    assert said["problem"] == "the model davit_tiny_il-all is not on this machine"
    assert "birdwatchd check --probe" in said["hint"]
    assert not (home / "models").exists()


def test_without_a_picture_it_is_said_why(home: Path) -> None:
    """Retention took it, or it never was kept."""
    owner = browser(home, model=DEMO)
    assert "/evidence" not in owner.get(f"/visits/{BARE}").text
    assert "No picture of this visit is kept" in owner.get(f"/visits/{BARE}/evidence").text
    assert "No picture of this visit is kept" in owner.post(f"/visits/{BARE}/evidence", {}, hx_request="true").text
    (home / CROP).unlink()
    assert "No picture of this visit is kept" in owner.get(f"/visits/{VISIT}/evidence").text
    keep_private = browser(home, model=DEMO, cameras={"nut": {"source": "/", "store": "nothing"}})
    assert "No picture of this visit is kept" in keep_private.get(f"/visits/{VISIT}/evidence").text
    assert owner.get("/visits/01JTJC2Q8ZK4V7XW5N3M9R6BDX/evidence").status == 404


def test_a_failure_is_shown_and_can_be_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed for memory must not leave a wait that never ends."""
    maps = EvidenceMaps(Config.model_validate({"home": home, "model": DEMO}), KeptPictures(Media(home)))
    maps.task = ChildTask("map", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], limit_s=20)
    maps.ask(CROP)
    wait_for(lambda: not maps.state(CROP).is_running, "its end")
    assert "ended by signal 9" in maps.state(CROP).problem
    assert maps.state("another").problem == ""


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import no_such_library", r"ended with status 1 \(ModuleNotFoundError: No module named 'no_such_library'\)"),
        ("raise MemoryError", "ended with status 1; there may be too little memory"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9; there may be too little memory"),
        ("import os; os.kill(os.getpid(), 24)", "was ended by signal 24"),
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("import sys; sys.stderr.write('x' * 300_000); sys.exit(3)", r"ended with status 3 \(x{200}\)"),
    ],
)
def test_what_failed_is_said(code: str, problem: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A library that was not installed was "too little memory": somebody bought some."""
    task = ChildTask("test", [sys.executable, "-c", code], limit_s=20)
    thread = task.start("x", {})
    assert thread is not None
    thread.join(20)
    state = task.state()
    assert state is not None
    assert re.fullmatch(f"its process {problem}", state.problem)
    assert ("Traceback" in capfd.readouterr().err) is (
        "import no" in code or "raise" in code
    )  # all of it is in the log


def test_what_holds_its_error_pipe_open_holds_nothing_up() -> None:
    """Libraries start processes of their own, which get the pipe and may go on after the child."""
    start = "import subprocess; other = subprocess.Popen(['sleep', '30'], stdin=-3, stdout=-3)"
    task = ChildTask("test", [sys.executable, "-c", f"{start}; print('{{\"other\":', other.pid, '}}')"], limit_s=20)
    thread = task.start("x", {})
    assert thread is not None
    thread.join(15)
    state = task.state()
    assert state is not None
    assert not state.is_running
    os.kill(state.answer["other"], signal.SIGKILL)


def test_one_at_a_time_and_not_for_ever() -> None:
    """Eight impatient presses are one process; and one that hangs is ended."""
    task = ChildTask("test", [sys.executable, "-c", "import time; time.sleep(60)"], limit_s=0.5)
    thread = task.start("a", {})
    assert thread is not None
    assert task.start("b", {}) is None
    thread.join(10)
    state = task.state()
    assert state is not None
    assert (state.is_running, state.problem) == (False, "it took longer than 0 s and was stopped")
    assert task.start("b", {}) is not None


def test_the_process_ends_with_the_page() -> None:
    """The page is killed in the middle: nothing goes on computing for nobody, and it was the last to be served."""
    code = (
        "import birdwatchd.web.asked.evidence_child as child, time\n"
        "child.make_map = lambda order: time.sleep(60)\nchild.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"{}\n")
    process.stdin.flush()
    with process:
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 19, "its low priority", 30.0)
        limits = Path(f"/proc/{process.pid}/limits")
        data = wait_for(lambda: re.search(r"Max data size\s+(\d+)", limits.read_text()), "its limit of memory", 30.0)
        assert 2**32 <= int(data[1]) < 2**32 + 2**28
        began_s = time.monotonic()
        process.stdin.close()
        assert process.wait(20) == 1
    assert time.monotonic() - began_s < 15


def test_a_map_says_what_it_shows() -> None:
    """The name under it is the one that the map was made for; a damaged file shows nothing."""
    evidence = Evidence("Kohlmeise ♂", 0.25, "demo", "demo")
    jpeg = write_evidence(Image.new("RGB", (8, 8)), evidence)
    assert read_evidence(jpeg) == evidence
    assert read_evidence(jpeg[:40]) is None
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "JPEG")
    assert read_evidence(plain.getvalue()) is None


def test_the_page_loads_no_torch(home: Path) -> None:
    """It would cost 900 MB for as long as the page is up."""
    code = "import sys, birdwatchd.web.server; print({'torch', 'av', 'cv2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
    assert made_path(home, CROP, KIND).parts[-7:-5] == ("cache", "media")
