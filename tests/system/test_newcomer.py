"""A newcomer installs the service on a fresh machine, from the wheel and by the commands of the documentation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from tests.support.peers import LONG, LONG_S

pytestmark = [pytest.mark.slow, LONG]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "run-as-a-service.md"
MACHINE = ROOT / "tests" / "support" / "fresh_machine.sh"
PYTHON = "/usr/bin/python3"  # anybody may run it, unlike the one that runs the tests

CONFIG = """\
station: {name: reserve1}
home: /var/lib/birdwatchd
model: {name: demo}
cameras:
  nut_feeder: {source: "/srv/${CAM_PASSWORD}.mp4", min_bird: 16}
"""


def documented(beginning: str) -> str:
    """The command of the page that begins so, without `sudo`: the newcomer here is root."""
    (line,) = re.findall(rf"(?m)^(sudo {re.escape(beginning)}.*?)(?: *#.*)?$", PAGE.read_text(encoding="utf-8"))
    as_user = re.sub(r"^sudo -u (\S+) ", r"runuser -u \1 -- ", line)
    return as_user.removeprefix("sudo ")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel as a release has it."""
    if os.geteuid() != 0:
        pytest.skip("run the tests as root for a fresh machine in a folder")
    version = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    found = subprocess.run([PYTHON, "-c", version], capture_output=True, text=True, check=False)
    if found.stdout.strip() != f"{sys.version_info[0]}.{sys.version_info[1]}":
        pytest.skip(f"{PYTHON} is not the version that runs the tests, so it cannot use their packages")
    try:
        machine = subprocess.run(
            [MACHINE, tmp_path / "try", "/usr", "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is missing")
    if machine.returncode:
        pytest.skip(f"no overlay or namespace here: {machine.stderr.strip()}")
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", "tests", "docs", "build")
    )
    build = [sys.executable, "-c", "from setuptools import build_meta as b; print(b.build_wheel('..'))"]
    built = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=LONG_S, check=False)
    if "No module named 'setuptools'" in built.stderr:
        pytest.skip("setuptools is missing; pip install setuptools")
    assert built.returncode == 0, built.stderr
    return tmp_path / built.stdout.splitlines()[-1]


@pytest.mark.timeout(10 * LONG_S)  # half a minute, but for busy machines
def test_a_newcomer_has_a_service_after_the_documented_commands(wheel: Path, tmp_path: Path) -> None:
    """Whatever a page forgets costs an evening, and whatever works only as root is found on the second day."""
    root = tmp_path / "machine"
    (root / "root").mkdir(parents=True, mode=0o700)
    (root / "srv").mkdir()
    shutil.copy(wheel, root / "root")
    film = Scene(SceneSpec(35, 320, 180, 10), (ScheduledVisit("Eurasian hoopoe", 3.0, 6.0, perch=2),))
    write_clip(root / "srv" / "hunter22.mp4", film, 0.0, 9.0)
    (root / "root" / "birdwatchd.yaml").write_text(CONFIG)
    as_user = "runuser -u birdwatchd --"
    torch = find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    script = "\n".join(
        [
            "PS4='+ $SECONDS s '; cd /root; set -eux",  # a folder that the user of the service may not enter
            # instead of pip and an index: the packages that run the tests, and the wheel unpacked
            f"{documented('/usr/bin/python3 -m venv')} --without-pip",
            "cd /opt/birdwatchd/lib/python3*/site-packages; python3 -m zipfile -e /root/birdwatchd-*.whl .; cd /root",
            "echo /packages > $(echo /opt/birdwatchd/lib/python3*/site-packages)/packages.pth",
            "printf '#!/opt/birdwatchd/bin/python\\nfrom birdwatchd.__main__ import main\\nmain()\\n'"
            " > /opt/birdwatchd/bin/birdwatchd; chmod 755 /opt/birdwatchd/bin/birdwatchd",
            documented("/opt/birdwatchd/bin/birdwatchd install"),
            "cat birdwatchd.yaml > /etc/birdwatchd/birdwatchd.yaml",
            f"echo hunter22 | {documented('install -m 640')}",
            documented("-u birdwatchd birdwatchd check").replace(" --probe", ""),  # `run` opens all that it would
            documented("systemctl enable").replace("--now ", ""),
            "ls /etc/systemd/system/*.wants",
            f"{as_user} birdwatchd run -c /etc/birdwatchd/birdwatchd.yaml",  # ends with its file
            f"{as_user} birdwatchd visits",
            "runuser -u nobody -- birdwatchd visits || echo status $?",
            "stat -c '%U %n' /var/lib/birdwatchd/birdwatchd.sqlite3",
            documented("birdwatchd uninstall"),
            "ls /etc/systemd/system; ls /var/lib/birdwatchd",
        ]
    )
    said_file = tmp_path / "said"
    with said_file.open("wb") as file:  # what was said until then is known also where it takes too long
        command: list[str | Path] = [MACHINE, root, Path(torch.origin).parents[1], "bash", "-c", script]
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        try:
            status = machine.wait(8 * LONG_S)
        except subprocess.TimeoutExpired:
            machine.kill()
            pytest.fail(f"it took too long:\n{said_file.read_text()}")
    said = said_file.read_text()
    assert status == 0, said
    assert "Traceback" not in said
    assert "camera nut_feeder: online, 320×180 pixels" in said
    assert "model demo" in said
    assert "birdwatchd.service" in said.split("multi-user.target.wants:")[1]
    assert "birdwatchd-backup.timer" in said.split("timers.target.wants:")[1]
    assert "Eurasian hoopoe" in said
    assert "it is for the service: begin with `sudo -u birdwatchd birdwatchd`" in said
    assert "status 2" in said
    assert "birdwatchd /var/lib/birdwatchd/birdwatchd.sqlite3" in said
    assert "These stay: user birdwatchd" in said
    assert "birdwatchd.service" not in said.split("These stay")[1]
    assert "birdwatchd.sqlite3" in said.split("These stay")[1]
