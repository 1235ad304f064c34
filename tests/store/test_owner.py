"""One process records into a home: whoever comes second is told who is there, and a dead one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.errors import StoreInUse
from birdwatchd.store import Store
from birdwatchd.store.store import OWNER_NAME, is_recorded_into

UTC = ZoneInfo("UTC")
HOLDER = """
import sys
from pathlib import Path
from zoneinfo import ZoneInfo
from birdwatchd.store import Store
store = Store.open(Path(sys.argv[1]), zone=ZoneInfo("UTC"))
store.claim("scan")
print("held", flush=True)
sys.stdin.read()
store.close()
"""


def held_by_another(home: Path) -> subprocess.Popen[str]:
    """Another process that records into a home until its standard input closes."""
    command = [sys.executable, "-c", HOLDER, str(home)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """Two daemons ended each other's visits as interrupted, and swept up each other's crops."""
    other = held_by_another(tmp_path)
    with Store.open(tmp_path, zone=UTC) as store:
        with pytest.raises(StoreInUse, match=rf"birdwatchd scan, pid {other.pid}\); wait for it or stop it"):
            store.claim("run")
        assert store.visits.find() == []  # reading is allowed
    other.communicate()
    with Store.open(tmp_path, zone=UTC) as store:
        store.claim("run")
        assert (tmp_path / OWNER_NAME).read_text() == f"{os.getpid()} run\n"
    assert (tmp_path / OWNER_NAME).read_text() == ""


def test_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    """After a power cut the file with the pid is still there, and its pid may be anybody's."""
    other = held_by_another(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert (tmp_path / OWNER_NAME).read_text() == f"{other.pid} scan\n"
    with Store.open(tmp_path, zone=UTC) as store:
        store.claim("run")


def test_whether_one_records_is_known_also_after_a_kill(tmp_path: Path) -> None:
    """`birdwatchd status` said for two minutes that a daemon runs which had been killed."""
    assert is_recorded_into(tmp_path) is None, "nobody ever did"
    other = held_by_another(tmp_path)
    assert is_recorded_into(tmp_path) is True
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert is_recorded_into(tmp_path) is False


def test_who_only_looks_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor may ask for the status at the moment at which the service starts."""
    (tmp_path / OWNER_NAME).touch()
    with (tmp_path / OWNER_NAME).open("rb") as looking, Store.open(tmp_path, zone=UTC) as store:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        store.claim("run")
        assert is_recorded_into(tmp_path) is True


def test_a_disk_that_became_read_only_does_not_hide_why_a_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of who records cannot be emptied then: this error came out in place of the one that ended the run."""
    store = Store.open(tmp_path, zone=UTC)
    store.claim("run")

    def read_only(descriptor: int, length: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "ftruncate", read_only)
    store.close()
    monkeypatch.undo()
    assert is_recorded_into(tmp_path) is False
