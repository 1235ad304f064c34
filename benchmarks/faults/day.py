"""A day of eight cameras, faster than it passes, with faults at random: what memory, files and threads do meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.camera_cost.process import environment
from benchmarks.faults.database import holding
from benchmarks.faults.day_camera import ENVIRONMENT, OVER, Pace
from benchmarks.faults.film import BIRDS, RARE, draw_film
from benchmarks.faults.recorded import record
from tests.support.accounts import begin
from tests.support.lives import ROOT, Home
from tests.support.mqtt import Mosquitto, Subscriber
from tests.support.peers import wait_for

__all__ = ["DAY_H", "Day", "Sample", "run_day"]

CAMERAS = 8
DAY_H = 24.0
FILM_BIRDS = 12
SAMPLE_S = 2.0  # of the real clock
FAULT_EVERY_S = 20.0  # of the real clock, on average
STOP_S = 60.0
LOADING_S = 600.0  # PyTorch, on a busy machine
LOADING_H = 12.0  # of the simulated clock may pass before all cameras are there
HEARD_S = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the main process holds at one moment.

    Attributes:
        hour: of the simulated day.
        children, zombies: its child processes, and those of them that ended and were not waited for.
        written: bytes that it has had written to the disk since its start.
        free: bytes of the home's file system.
    """

    hour: float
    resident: int
    descriptors: int
    threads: int
    children: int
    zombies: int
    written: int
    free: int


@dataclass(slots=True)
class Day:
    """One run.

    Attributes:
        begun: ids of visits that cameras began on the wire.
    """

    home: Home
    broker: Mosquitto
    listener: Subscriber
    pace: Pace
    process: subprocess.Popen[bytes]
    samples: list[Sample] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def begun(self) -> set[str]:
        """Ids of visits that cameras began on the wire."""
        lines = [line.split() for file in self.pace.truth.glob("*.txt") for line in file.read_text().splitlines()]
        return {words[0] for words in lines if len(words) == 2}

    @property
    def hour(self) -> float:
        """Of the simulated day."""
        return (self.pace.now() - self.pace.start).total_seconds() / 3600

    def live(self, hours: float, chance: random.Random | None, each: Callable[[Day], None] = lambda day: None) -> None:
        """Let it run for some hours of the simulated clock, sampling.

        Args:
            chance: of faults; None injects none.
            each: called between two samples.
        """
        next_fault_s = time.monotonic() + FAULT_EVERY_S
        end = self.hour + hours
        while self.hour < end:
            self._sample()
            each(self)
            if chance is not None and time.monotonic() >= next_fault_s:
                self._break(chance)
                next_fault_s = time.monotonic() + chance.uniform(0.5, 1.5) * FAULT_EVERY_S
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended with status {self.process.returncode}; see {self.home.log_file}")
            time.sleep(SAMPLE_S)

    def _sample(self) -> None:
        main = psutil.Process(self.process.pid)
        children = main.children(recursive=True)
        facts = os.statvfs(self.home.folder)
        with main.oneshot():
            self.samples.append(
                Sample(
                    self.hour,
                    main.memory_info().rss,
                    main.num_fds(),
                    main.num_threads(),
                    len(children),
                    sum(_is_zombie(child) for child in children),
                    main.io_counters().write_bytes,
                    facts.f_bavail * facts.f_frsize,
                )
            )

    def _break(self, chance: random.Random) -> None:
        """Inject one fault."""
        faults = {
            "a camera's process killed": self._kill_camera,
            "broker killed": self._kill_broker,
            "broker frozen": self._freeze_broker,
            "database locked": self._lock_database,
            "everything suspended": self._suspend,
        }
        name = chance.choice(sorted(faults))
        faults[name](chance)
        self.faults[name] += 1

    def _kill_camera(self, chance: random.Random) -> None:
        children = psutil.Process(self.process.pid).children()
        with suppress(psutil.NoSuchProcess):
            chance.choice(children).kill()

    def _kill_broker(self, chance: random.Random) -> None:
        self.broker.stop(signal.SIGKILL)
        time.sleep(chance.uniform(1.0, 5.0))
        self.broker.start()

    def _freeze_broker(self, chance: random.Random) -> None:
        assert self.broker.process is not None
        self.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(1.0, 10.0))
        self.broker.process.send_signal(signal.SIGCONT)

    def _lock_database(self, chance: random.Random) -> None:
        with holding(self.home.path):
            time.sleep(chance.uniform(1.0, 15.0))

    def _suspend(self, chance: random.Random) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(1.0, 5.0))
        os.killpg(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Let what has begun be written, and stop it as a service manager does."""
        (self.pace.truth / OVER).touch()
        wait_for(self._is_at_rest, "all to be written and published", 300)
        self.process.terminate()
        if (status := self.process.wait(STOP_S)) != 0:
            self.problems.append(f"the daemon ended with status {status}")
        if "Traceback" in self.home.log_file.read_text(errors="replace"):
            self.problems.append("a traceback in the log")

    def _is_at_rest(self) -> bool:
        missing = len(self.begun) - self.home.count("visit")
        return missing <= 0 and not self.home.count("outbox") and not self.home.count("visit WHERE ended_at IS NULL")

    def heard(self) -> set[tuple[str, int]]:
        """Messages about visits that the subscriber has received, once all that were due are there."""
        due = set(self.home.rows("SELECT visit_id, revision FROM audit_told"))
        until_s = time.monotonic() + HEARD_S
        while True:
            events = [json.loads(payload) for topic, payload, _ in list(self.listener.got) if topic.endswith("/visit")]
            heard = {(event["visit_id"], event["revision"]) for event in events}
            if due <= heard or time.monotonic() > until_s:
                return heard
            time.sleep(0.1)

    def close(self) -> None:
        """Leave nothing running."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.listener.close()
        self.broker.stop(signal.SIGKILL)


def _is_zombie(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def run_day(
    work: Path, folder: Path, minutes: float, visits: int, *, home: Path | None = None, **config: object
) -> Iterator[Day]:
    """Start the daemon with eight cameras; the day begins when they are there.

    Args:
        work: where the film is, or is drawn.
        minutes: of the real clock, for the day.
        visits: by day and camera.
        home: where the home is, if not in the folder.
    """
    film = draw_film(work, FILM_BIRDS)
    common, rare = work / f"common-{FILM_BIRDS}.wire", work / f"rare-{FILM_BIRDS}.wire"
    if not rare.exists():
        record(film, common, rare)
    truth = folder / "truth"
    truth.mkdir(parents=True)
    broker = Mosquitto(folder).start()
    listener = Subscriber(broker.port, "#", "patient", keep=True)
    made = Home(folder)
    if home is not None:
        made.folder = home
        made.configure(home=str(home))
    cameras = {f"cam{n}": {"source": f"rtsp://127.0.0.1:1/{n}"} for n in range(1, CAMERAS + 1)}
    expected = [name for name in BIRDS if name != RARE]
    made.configure(
        cameras=cameras, mqtt={"url": broker.url}, species={"allow": expected, "familiar": 1.0, "rare": 0.5}, **config
    )
    begin(made)
    factor = DAY_H * 60 / minutes
    start = datetime.now(UTC) - timedelta(hours=DAY_H + LOADING_H)
    pace = Pace(time.time(), start, factor, visits, common, rare, truth)
    with made.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.day_daemon", str(made.config)],
            cwd=ROOT,
            env=environment() | {ENVIRONMENT: pace.as_text()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    day = Day(made, broker, listener, pace, process)
    try:
        wait_for(lambda: made.log_file.read_text().count(": online, ") >= CAMERAS, "the cameras", LOADING_S)
        yield day
    finally:
        day.close()
