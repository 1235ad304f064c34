"""A whole station: cameras that play a film over RTSP, a broker, a subscriber, and lives of the daemon."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.faults.film import Film, Watched
from benchmarks.faults.line import Line
from benchmarks.faults.row import BUSY, Row
from benchmarks.real.rtsp import RtspCamera
from birdwatchd.demo.load import CoreWait
from birdwatchd.records import Visit
from birdwatchd.store import Store
from tests.support.accounts import ZONE, begin, top_boxes
from tests.support.lives import Home, Life, Nursery, Orphans, wait_until_idle
from tests.support.mqtt import Mosquitto, Subscriber

_FILES = "SELECT crop FROM moment WHERE crop IS NOT NULL UNION SELECT clip FROM visit WHERE clip IS NOT NULL"

_MIGRATIONS = threading.Lock()  # alembic is for one thread at a time

__all__ = ["KEYS", "Station", "station"]

KEYS = ("one", "two")
CAMERA = {"min_bird": 16, "open_timeout_s": 4, "read_timeout_s": 4, "clips": True, "post_roll_s": 1}
STOP_S = 120.0
LAST_VISITS = 4  # that are seen after the last fault
HEARD_S = 10.0  # the subscriber may hear the last messages so long after the daemon has sent them
NEAR_S = 0.8  # a visit may begin and end so much before and after its bird


class Station:
    """One home with all that belongs to it. Make it with `station`.

    Attributes:
        broker_line, camera_lines: what lies between them and the daemon.
        watched: of each camera, when its birds could be seen.
        recovered_s: is given the seconds that each recovery took.
    """

    def __init__(self, film: Film, nursery: Nursery, broker: Mosquitto, listener: Subscriber, home: Home) -> None:
        self.film, self.nursery, self.broker, self.listener, self.home = film, nursery, broker, listener, home
        self.broker_line = Line(broker.port)
        self.camera_lines: dict[str, Line] = {}
        self.watched: dict[str, Watched] = {}
        self.recovered_s: list[float] = []
        self.problems: list[str] = []
        self.life: Life | None = None
        self._core_wait = CoreWait()
        self._held: set[str] = set()  # visits that were in the database at a fault
        self._told: set[tuple[str, int]] = set()

    def start(self) -> Life:
        """Begin a life of the daemon."""
        self.life = Life(self.home, self.nursery.forked)
        return self.life

    def kill(self, *, alone: bool) -> Orphans:
        """End it with SIGKILL, alone or with all its camera processes, and note what the database holds."""
        assert self.life is not None
        self.break_watching()
        orphans = self.life.kill(alone=alone)
        self.note()
        return orphans

    def break_watching(self, *keys: str) -> None:
        """Something happens now that may end watching, of all cameras or of some."""
        now_s = time.time()
        for key in keys or KEYS:
            self.watched[key].breaks.append(now_s)

    def note(self) -> None:
        """Remember which visits the database holds, and which messages were to be sent."""
        self._held |= {visit_id for (visit_id,) in self.home.rows("SELECT id FROM visit")}
        self._told |= set(self.home.rows("SELECT visit_id, revision FROM audit_told"))

    def forget_held(self) -> None:
        """Begin anew: the database that was is not the one that will be."""
        self._held.clear()

    @property
    def held(self) -> set[str]:
        """The visits that were noted."""
        return set(self._held)

    def recover(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until the station is as before, and note how long it took."""
        assert self.life is not None
        began_s = time.monotonic()
        self.life.wait_until(condition, what)
        self.recovered_s.append(time.monotonic() - began_s)

    def is_online(self, key: str, count: int) -> bool:
        """Whether this life has said so often that a camera is online."""
        assert self.life is not None
        return self.life.log.count(f"camera {key}: online, ") >= count

    def wait_for_visit(self, since_s: float, *, ended: bool = False) -> None:
        """Wait for a visit that began after a time (seconds since the epoch)."""
        assert self.life is not None
        self.life.wait_until(lambda: self.visits_since(since_s, ended=ended), "a visit")

    def visits_since(self, since_s: float, *, ended: bool = False) -> int:
        """How many visits began after a time."""
        since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return self.home.count(f"visit WHERE started_at > '{since}'" + " AND ended_at IS NOT NULL" * ended)

    def finish(self, fault: str, times: int) -> Row:
        """See one more bird, come to rest, stop, and count."""
        life = self.life
        assert life is not None
        began_s = time.time()
        life.wait_until(lambda: self.visits_since(began_s, ended=True) >= LAST_VISITS, "visits after the last fault")
        stopped_s = time.time()
        for line in self.camera_lines.values():
            line.cut()  # or there is always a bird at one of them
        wait_until_idle(self.home)
        life.terminate()
        status, waited = life.status(STOP_S), self._core_wait.share() or 0.0
        if status != 0 and not (waited > BUSY and "did not stop in time" in life.log):
            self.problems.append(f"the daemon ended with status {status}")
        self.note()
        until_s = time.monotonic() + HEARD_S
        while not self._told <= set(self._heard()) and time.monotonic() < until_s:
            time.sleep(0.05)
        if "Traceback" in self.home.log_file.read_text(errors="replace"):
            self.problems.append("a traceback in the log")
        return replace(self._counted(fault, times, stopped_s), waited=waited)

    def _heard(self) -> list[tuple[str, int]]:
        events = [json.loads(payload) for topic, payload, _ in list(self.listener.got) if topic.endswith("/visit")]
        return [(event["visit_id"], event["revision"]) for event in events]

    def _counted(self, fault: str, times: int, stopped_s: float) -> Row:
        with Store.open(self.home.folder, zone=ZONE) as store:
            visits = store.visits.find()
        birds = {key: self.watched[key].birds(self.film, stopped_s) for key in KEYS}
        stored = {key: [v for v in visits if v.camera == key] for key in KEYS}
        pictures = [name for (name,) in self.home.rows(_FILES)]
        heard = self._heard()
        return Row(
            fault,
            times,
            birds=sum(map(len, birds.values())),
            birds_stored=sum(_is_stored(bird, stored[key]) for key in KEYS for bird in birds[key]),
            visits=len(self._held),
            visits_kept=len(self._held & {v.visit_id for v in visits}),
            messages=len(self._told),
            received=len(self._told & set(heard)),
            repeats=len(heard) - len(set(heard)),
            pictures=len(pictures),
            pictures_there=sum(_is_whole(self.home.folder / name) for name in pictures),
            recovered_s=tuple(self.recovered_s),
            problems=tuple(self.problems),
        )

    def close(self) -> None:
        """Leave nothing running."""
        if self.life is not None:
            self.life.close()
        for line in (self.broker_line, *self.camera_lines.values()):
            line.close()
        self.listener.close()
        if self.broker.process is not None and self.broker.process.poll() is None:
            self.broker.process.send_signal(signal.SIGCONT)
        self.broker.stop(signal.SIGKILL)


def _is_stored(bird: tuple[float, float], visits: Sequence[Visit]) -> bool:
    since_s, until_s = bird
    return any(
        v.start.timestamp() < until_s + NEAR_S and (v.end or v.start).timestamp() > since_s - NEAR_S for v in visits
    )


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".mp4":
        return top_boxes(path)[:2] == ["ftyp", "moov"]
    jpeg = path.read_bytes()
    return (jpeg[:2], jpeg[-2:]) == (b"\xff\xd8", b"\xff\xd9")


@contextmanager
def station(
    folder: Path, film: Film, nursery: Nursery, *, home: Path | None = None, **config: Any
) -> Iterator[Station]:
    """A station whose daemon has not begun yet.

    Args:
        folder: for everything but the home.
        home: where the home is, if not in the folder.
        config: more of the daemon's configuration.

    Raises:
        RuntimeError: GStreamer's RTSP server is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cameras = {key: stack.enter_context(RtspCamera.playing(film.path)) for key in KEYS}
        broker = Mosquitto(folder).start()
        listener = Subscriber(broker.port, "#", "patient", keep=True)
        made = Station(film, nursery, broker, listener, Home(folder))
        stack.callback(made.close)
        if home is not None:
            made.home.folder = home
            made.home.configure(home=str(home))
        settings = {}
        for key, camera in cameras.items():
            made.watched[key] = Watched(camera.began)
            address = urlsplit(camera.url)
            line = made.camera_lines[key] = Line(int(address.port or 0))
            url = f"rtsp://127.0.0.1:{line.port}{address.path}"
            settings[key] = CAMERA | {"source": url}
        made.home.configure(cameras=settings, mqtt={"url": f"mqtt://127.0.0.1:{made.broker_line.port}"}, **config)
        with _MIGRATIONS:
            begin(made.home)
        yield made
