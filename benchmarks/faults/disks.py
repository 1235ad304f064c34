"""A disk that somebody fills and empties again, and a power cut, after which only that is there which was synced."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults.row import Row
from benchmarks.faults.station import Station
from tests.support.peers import missing, wait_for
from tests.support.small_disk import fill as take_all_room

__all__ = ["Disk", "cut_power", "disk", "fill"]

MEGABYTES = 192
LONGEST_S = 10.0  # after a first visit the power fails


def fill(station: Station, times: int, chance: random.Random, seconds: float = 30.0) -> Row:
    """A log file of another program grows until nothing is free; after a while somebody deletes it."""
    life = station.start()
    life.until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time() - 1.0)
        time.sleep(chance.uniform(0.0, 2.0))
        full_s = time.time()
        big = take_all_room(station.home.folder.parent)
        time.sleep(seconds)
        station.note()
        big.unlink()
        station.recover(partial(_has_picture_since, station, full_s), "pictures again")

    return station.finish(f"disk full for {seconds:.0f} s and freed again", times)


def _has_picture_since(station: Station, since_s: float) -> bool:
    query = "SELECT max(started_at) FROM visit JOIN moment ON visit_id = visit.id WHERE crop NOT NULL"
    at = station.home.rows(query)[0][0]
    return at is not None and at > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_s)) and _has_room(station)


def _has_room(station: Station) -> bool:
    facts = os.statvfs(station.home.folder)
    return facts.f_bavail * facts.f_frsize > 0


def cut_power(
    station: Station, times: int, chance: random.Random, longest_s: float = LONGEST_S, *, device: Disk
) -> Row:
    """The power fails: processes are gone, and of the disk only what had been written to the device is there.

    What the device holds then is what the next start finds, after the file system has played back its own journal.
    """
    for _ in range(times):
        began_s, life = time.time(), station.start()
        station.wait_for_visit(began_s)
        time.sleep(chance.uniform(0.0, longest_s))
        station.break_watching()
        life.kill(alone=False)  # so that nothing is written any more while the device is copied
        device.fail(station.note)
    began_s, life = time.monotonic(), station.start()
    life.until_it_watches()
    station.recovered_s.append(time.monotonic() - began_s)
    return station.finish("power cut", times)


@dataclass(slots=True)
class Disk:
    """An ext4 file system on a loop device, whose image can be taken as it was when the power failed."""

    folder: Path
    image: Path

    def mount(self) -> None:
        """Let it be there; its journal is played back."""
        # commit: the device gets what is synced, and nothing else for five minutes
        command = ["mount", "-o", "loop,commit=300", str(self.image), str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing("a loop device", f"mount says: {done.stderr.strip()}")

    def fail(self, look: Callable[[], None]) -> None:
        """Cut the power.

        Args:
            look: is called when the device is copied and what was not written is still to be seen.
        """
        copy = self.image.with_suffix(".copy")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(copy)], check=True)
        look()
        # The camera processes were killed too; the system may still be closing what they had open.
        umount = ["umount", str(self.folder)]
        wait_for(
            lambda: subprocess.run(umount, check=False).returncode == 0, "the killed processes' files to be closed"
        )
        copy.replace(self.image)
        self.mount()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A new file system at `folder`/disk; skips the test where nobody may mount one."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        missing("the right to mount a file system", "run it as root, with e2fsprogs installed")
    with ExitStack() as stack:
        made = Disk(folder / "disk", folder / "disk.img")
        made.folder.mkdir()
        with made.image.open("wb") as file:
            file.truncate(MEGABYTES * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(made.image)], check=True)
        made.mount()
        stack.callback(subprocess.run, ["umount", "--lazy", str(made.folder)], check=False)
        yield made
