"""The commands as people type them: what they print, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from tests.support.peers import wait_for

README = Path(__file__).parent.parent.parent / "README.md"
KEYS = {
    "visit_id", "camera", "media", "start", "end", "start_s", "end_s", "state", "rank", "common_name",
    "scientific_name", "score", "raw_score", "rare", "top", "reasons", "moments", "count_max", "box", "model",
}  # fmt: skip


def birdwatchd(
    *arguments: str | Path, cwd: Path, timeout_s: float = 240.0, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "birdwatchd", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=os.environ | {"COLUMNS": "200"} | environ,
    )


def write_card(folder: Path) -> None:
    """A camera-trap card as they come back: one good clip, four that are not."""
    folder.mkdir()
    visits = (ScheduledVisit("House sparrow", 5.0, 9.0, perch=1),)
    write_clip(folder / "a_good.mp4", Scene(SceneSpec(31, 640, 360, 12), visits), 0.0, 12.0)
    write_clip(folder / "b_nothing.mkv", Scene(SceneSpec(32, 640, 360, 12), ()), 0.0, 10.0)
    whole = (folder / "a_good.mp4").read_bytes()
    (folder / "c_truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "d_text.mp4").write_text("not a video at all\n")
    (folder / "e_empty.mp4").touch()
    (folder / "notes.txt").write_text("rain on Tuesday\n")


def test_scan_of_a_real_card(tmp_path: Path) -> None:
    """One corrupt file must not cost the other 20,000, and must be named."""
    write_card(tmp_path / "card")
    scan = ("scan", "card", "--model", "demo", "--home", "home", "--min-bird", "16", "--json", "-")
    result = birdwatchd(*scan, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (visit,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert set(visit) == KEYS
    assert visit["common_name"] == "House sparrow"
    assert visit["scientific_name"] == "Passer domesticus"
    assert visit["start_s"] == pytest.approx(5.0, abs=0.7)
    assert visit["end_s"] == pytest.approx(9.0, abs=0.7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", visit["start"])
    assert len(visit["top"]) == 5
    assert all(0 <= v <= 1 for v in visit["box"])
    assert visit["media"].endswith("a_good.mp4")
    problems = [line for line in result.stderr.splitlines() if line.startswith("birdwatchd:")]
    assert len(problems) == 3
    for line, name in zip(problems, ("c_truncated.mp4", "d_text.mp4", "e_empty.mp4"), strict=True):
        assert name in line
    assert "2 files scanned" in result.stderr, "those that failed are counted as such, and only so"
    assert "1 visit, 3 failed" in result.stderr
    assert "Traceback" not in result.stderr

    again = birdwatchd(*scan, cwd=tmp_path)
    assert again.stdout == result.stdout, "a resumed scan gives the same JSON"
    assert "0 files scanned (0 s of video)" in again.stderr
    assert "2 done before" in again.stderr
    assert "1 visit, 3 failed" in again.stderr
    assert [line for line in again.stderr.splitlines() if line.startswith("birdwatchd:")] == problems

    listed = birdwatchd("visits", "--home", "home", "--species", "house sparrow", "--json", cwd=tmp_path)
    (found,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert all(Path(picture).is_file() for picture in found.pop("pictures"))
    assert found.pop("clip") is None
    assert found == visit


def test_a_scan_that_is_stopped_goes_on_without_doubling(tmp_path: Path) -> None:
    """Hours of recordings: Ctrl-C in the evening, go on in the morning, every visit once."""
    (tmp_path / "card").mkdir()
    birds = tuple(ScheduledVisit("Great tit", 5.0 + 9 * n, 9.0 + 9 * n, perch=n % 4) for n in range(3))
    for number in range(4):  # each of another seed: copies of one recording are one recording
        scene = Scene(SceneSpec(33 + number, 640, 360, 12), birds)
        write_clip(tmp_path / "card" / f"clip{number}.mp4", scene, 0.0, 33.0)
    arguments = ["scan", "card", "--model", "demo", "--home", "home", "--min-bird", "16", "--json"]
    first = subprocess.Popen(
        [sys.executable, "-m", "birdwatchd", *arguments, "first.json"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    wait_for(lambda: (tmp_path / "first.json").is_file() and (tmp_path / "first.json").stat().st_size, "a visit")
    first.send_signal(signal.SIGINT)
    _, complaint = first.communicate(timeout=60)
    assert first.returncode in (0, 130), complaint
    second = birdwatchd(*arguments, "second.json", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    lines = (tmp_path / "second.json").read_text().splitlines()
    assert len(lines) == 12
    listed = birdwatchd("visits", "--home", "home", "--json", cwd=tmp_path)
    ids = [json.loads(line)["visit_id"] for line in listed.stdout.splitlines()]
    assert len(ids) == len(set(ids)) == 12


def test_a_missing_model_says_which_file_belongs_where(tmp_path: Path) -> None:
    """Reserve stations have no internet; the message must be enough to carry the file there on a stick."""
    (tmp_path / "clip.mp4").write_bytes(b"")
    (tmp_path / "birdwatchd.yaml").write_text("model: {download: false}\nhome: home\n")
    result = birdwatchd("scan", "clip.mp4", cwd=tmp_path)
    assert result.returncode == 1
    assert "davit_tiny_il-all.pt" in result.stderr
    assert "https://" in result.stderr
    assert str(tmp_path / "home" / "models") in result.stderr or "home/models" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("staton: {}\n", "birdwatchd.yaml:1: staton is not a known key"),
        ("cameras:\n  a:\n    source: x.mp4\n    min_bird: many\n", "birdwatchd.yaml:4: cameras.a.min_bird is 'many'"),
        ("cameras:\n  a: {source: 'exec:reboot'}\n", "birdwatchd.yaml:2: cameras.a.source uses the forbidden scheme"),
        ("cameras:\n  a: {source: 'rtsp://u:${NOT_SET}@h/1'}\n", "needs the environment variable NOT_SET"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run", "visits"])
def test_a_bad_config_is_status_2_and_one_line(tmp_path: Path, command: str, text: str, line: str) -> None:
    """Scripts and service managers tell a wrong file from a broken network by the status."""
    (tmp_path / "birdwatchd.yaml").write_text(f"home: {tmp_path / 'home'}\n{text}" if "NOT_SET" in text else text)
    result = birdwatchd(command, cwd=tmp_path)
    (complaint,) = result.stderr.strip().splitlines()
    if command == "visits" and "NOT_SET" in text:  # nobody needs the password of a camera to look at what is stored
        assert "there is no database" in complaint
        return
    assert result.returncode == 2
    assert line in complaint


def test_check_probe_says_what_works_and_what_does_not(tmp_path: Path) -> None:
    """Before driving home from the station, one command that says whether everything works."""
    write_clip(tmp_path / "clip.mp4", Scene(SceneSpec(34, 320, 180, 12), ()), 0.0, 2.0)
    (tmp_path / "birdwatchd.yaml").write_text(
        "home: home\nmodel: {name: demo}\ncameras:\n  good: {source: clip.mp4}\n"
        "  bad: {source: 'http://127.0.0.1:9/x'}\n  two: {source: clip.mp4, gate_source: clip.mp4}\n"
        "  half: {source: clip.mp4, gate_source: 'http://127.0.0.1:9/y'}\nmqtt: {url: 'mqtt://127.0.0.1:9'}\n"
    )
    result = birdwatchd("check", "--probe", cwd=tmp_path)
    assert result.returncode == 1
    assert "works  camera good: 320×180" in result.stdout
    assert re.search(r"fails  camera bad: http://127\.0\.0\.1:9/x: cannot be opened", result.stdout)
    assert "works  camera two: 320×180 pixels; birds of less than" in result.stdout
    assert "works  gate_source of two: 320×180 pixels" in result.stdout
    assert "of the height; `min_bird: auto`) are too small to be seen" in result.stdout
    assert re.search(r"fails  gate_source of half: http://127\.0\.0\.1:9/y: cannot be opened", result.stdout)
    assert "fails  broker: broker 127.0.0.1:9" in result.stdout
    assert "works  model: demo@" in result.stdout
    assert "works  database" in result.stdout
    assert result.stdout.endswith("3 of 9 fail: camera bad, gate_source of half, broker\n")


def test_what_init_writes_passes_the_check(tmp_path: Path) -> None:
    """The first two commands of the README, one after the other, with nobody at a keyboard."""
    write_clip(tmp_path / "clip.mp4", Scene(SceneSpec(34, 320, 180, 12), ()), 0.0, 2.0)
    answers = ("--camera", "clip.mp4", "--place", "Garden", "--broker", "none", "--model", "demo")
    result = birdwatchd("init", *answers, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "works  main stream: clip.mp4, 320×180 pixels" in result.stdout
    with (tmp_path / "birdwatchd.yaml").open("a") as file:
        file.write("home: home\n")
    result = birdwatchd("check", "--probe", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert result.stdout.endswith("all 3 work\n")


def test_a_wrong_source_on_the_command_line_is_bad_usage(tmp_path: Path) -> None:
    """A scheme that is not on the list must never reach libav, and a password must never reach the screen."""
    for source in ("exec:rm", "tcp://u:hunter22@h/1", "no_such_file.mp4", "/dev/sda"):
        result = birdwatchd("watch", source, cwd=tmp_path)
        assert result.returncode == 2, source
        assert "Traceback" not in result.stderr
        assert "hunter22" not in result.stderr


def test_a_password_in_a_wrong_address_is_never_shown(tmp_path: Path) -> None:
    """urllib's own errors quote the password, and people paste errors into public forums."""
    for source in ("rtsp://admin:hunter22/x@10.0.0.2/main", "rtsp://admin:1/hunter22@10.0.0.2/main"):
        result = birdwatchd("watch", source, cwd=tmp_path)
        assert result.returncode == 2
        assert "%2F %23 %3F" in result.stderr
        assert "hunter22" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["watch", "scan"])
def test_a_bird_larger_than_any_picture_is_bad_usage(tmp_path: Path, command: str) -> None:
    """The bound of the configuration file holds on the command line too, and is said before anything starts."""
    (tmp_path / "a.mp4").touch()
    result = birdwatchd(command, "a.mp4", "--min-bird", "2001", cwd=tmp_path)
    assert result.returncode == 2
    assert "2000" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_service_is_not_restarted_for_a_bad_config() -> None:
    """Status 2 means that only a person can mend it; every five seconds the same error hides the first."""
    unit = (README.parent / "birdwatchd" / "install" / "templates" / "birdwatchd.service").read_text().splitlines()
    service = unit[unit.index("[Service]") : unit.index("[Install]")]
    assert "RestartPreventExitStatus=2 3" in service
    assert "Environment=MALLOC_ARENA_MAX=2" in service


def test_check_prints_a_home_with_brackets(tmp_path: Path) -> None:
    """A name that looks like markup is still a name."""
    (tmp_path / "birdwatchd.yaml").write_text('home: "/tmp/[/b]x"\n')
    result = birdwatchd("check", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "home       /tmp/[/b]x" in result.stdout


def test_watch_shows_the_visit_and_ends_with_its_file(tmp_path: Path) -> None:
    """The shortest way to try it on a recording of one's own."""
    visits = (ScheduledVisit("Eurasian hoopoe", 5.0, 9.0, perch=2),)
    write_clip(tmp_path / "garden.mp4", Scene(SceneSpec(35, 640, 360, 12), visits), 0.0, 12.0)
    result = birdwatchd("watch", "garden.mp4", "--model", "demo", "--home", "home", "--min-bird", "16", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Eurasian hoopoe" in result.stdout
    assert "garden" in result.stdout


def test_the_demo_keeps_what_it_promises(tmp_path: Path) -> None:
    """`make demo` is the first thing anyone sees: every visit once, with its name, its pictures and its message."""
    began = time.monotonic()
    result = birdwatchd("demo", "--seconds", "40", "--home", "home", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "✗" not in result.stdout
    assert result.stdout.count("✓") == 6, result.stdout
    loading = re.search(r"Ready after (\d+) s of loading", result.stdout)
    assert loading
    assert 40 <= time.monotonic() - began - float(loading[1]) < 100, "40 seconds from when birds may come"


@pytest.fixture
def busy_cores() -> Iterator[None]:
    """Two processes beside the test for every core, which do nothing but keep it busy."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for other in others:
        other.kill()
        other.wait()


@pytest.mark.timeout(600)  # loading alone may take minutes beside them
@pytest.mark.usefixtures("busy_cores")
def test_the_demo_calls_a_busy_machine_slow_and_not_itself_broken(tmp_path: Path) -> None:
    """It ended with an error and four ✗ beside two busy programs: no bird was missed by any fault of the software."""
    result = birdwatchd("demo", "--seconds", "30", "--home", "home", cwd=tmp_path, timeout_s=480.0)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "✗" not in result.stdout
    ready = result.stdout.index("Ready after")
    first = re.search(r"^\d\d:\d\d:\d\d  feeder", result.stdout, re.MULTILINE)
    assert first is None or first.start() > ready, "a bird came before every camera was ready"
    assert re.search(r"[✓!] \d+ of \d+ birds are in the database exactly once", result.stdout)
    slow = re.search(r"! this machine was (too slow|busy): ", result.stdout)
    whole = re.search(r"✓ (\d+) of \1 birds are in the database exactly once", result.stdout)
    assert slow or whole, "a fast machine may keep up beside them; one that does not says so"


def test_the_readme_names_only_commands_that_exist() -> None:
    """A README that lies about the first command loses its reader."""
    text = README.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    shown = set(re.findall(r"^birdwatchd (\w+)", blocks, re.MULTILINE))
    helped = birdwatchd("--help", cwd=README.parent).stdout
    assert shown
    for command in shown:
        assert re.search(rf"^\s+{command}\s", helped, re.MULTILINE), command
