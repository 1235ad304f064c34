"""Run the whole system on simulated cameras and compare what it saw and told with what was really there.

Nothing inside the daemon knows that this is a demo: it reads network cameras, writes its database and publishes to an
MQTT broker. The truth comes from the processes that play the cameras, what was told from a subscriber of the broker.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from rich.table import Table

from birdwatchd.alerts.listener import Listener
from birdwatchd.alerts.topics import Topics
from birdwatchd.config import CameraSettings, Config, ModelSettings, MqttSettings, Source, StationSettings
from birdwatchd.daemon import Daemon, stop_on_signals
from birdwatchd.demo.broker import DemoBroker
from birdwatchd.errors import BirdwatchError
from birdwatchd.flow import Stop
from birdwatchd.records import Visit
from birdwatchd.store.queries import Catalogue
from birdwatchd.terminal import VisitLines, err, out

__all__ = ["DemoSettings", "Sighting", "compare", "run_demo"]

log = logging.getLogger(__name__)

STATION = "demo"
SCHEDULE_S = 3600.0  # without --seconds there are birds for an hour
READY_S = 60.0  # a feeder process draws its scene before it listens
LEAST_VISIT_S = 1.0  # shorter visits are not promised to be seen
TOLERANCE_S = 0.6  # a stored visit belongs to a bird if their times overlap, give or take this
PROMISED_NAMES, PROMISED_LATENCY_S = 0.95, 2.5


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line asked for."""

    seconds: float | None
    home: Path
    cameras: int = 2
    seed: int = 1


@dataclass(slots=True)
class Feeder:
    """One process that plays a camera."""

    key: str
    process: subprocess.Popen[str]
    url: str
    visits: list[dict[str, Any]]
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A bird that was really there, and what birdwatchd made of it."""

    camera: str
    species: str
    start: datetime
    end: datetime
    visits: tuple[Visit, ...]
    embeddings: int = 0
    crops: int = 0
    latency_s: float | None = None

    @property
    def named_right(self) -> bool:
        """The one visit has the right, confirmed or uncertain, species."""
        return len(self.visits) == 1 and self.visits[0].verdict.common_name == self.species

    @property
    def kept_whole(self) -> bool:
        """Every moment has an embedding and a crop file, and there is at least one."""
        return len(self.visits) == 1 and self.embeddings >= 1 and self.crops == self.embeddings


@dataclass(slots=True)
class _Heard:
    """When the first message of each visit arrived at the subscriber."""

    first: dict[str, datetime] = field(default_factory=dict)
    messages: int = 0

    def hear(self, topic: str, payload: bytes, at: datetime) -> None:
        del topic
        self.messages += 1
        self.first.setdefault(str(json.loads(payload)["visit_id"]), at)


def run_demo(settings: DemoSettings) -> int:
    """Run the demo; 0 if everything that was promised was kept, 1 if not."""
    stop = Stop()
    stop_on_signals(stop)
    heard = _Heard()
    with ExitStack() as stack:
        err.print("[dim]drawing the cameras' scenes …[/]")
        feeders = stack.enter_context(_feeders(settings))
        broker = DemoBroker()
        mqtt = MqttSettings(url=broker.start())
        stack.callback(broker.stop)
        topics = Topics(mqtt.base, STATION)
        stack.enter_context(Listener(mqtt, (topics.visit("+"),), heard.hear))
        config = Config(
            station=StationSettings(name=STATION),
            home=settings.home.absolute(),
            cameras={f.key: CameraSettings(source=Source(f.url), read_timeout_s=5.0) for f in feeders},
            model=ModelSettings(name="demo"),
            mqtt=mqtt,
        )
        _announce(config, feeders)
        threading.Thread(target=_end_in_time, args=(settings, feeders, stop), daemon=True).start()
        status = Daemon(config, stop, on_visit=VisitLines().show).run()
        ended = datetime.now(UTC)
    with Catalogue.open_existing(config.home) as store:
        sightings, extra = compare(store, feeders, heard.first, ended)
    kept = _summary(sightings, extra, heard.messages, config)
    return status or (0 if kept else 1)


@contextmanager
def _feeders(settings: DemoSettings) -> Iterator[list[Feeder]]:
    """Start the camera processes and end them."""
    processes = [_start_feeder(settings, number) for number in range(settings.cameras)]
    try:
        feeders = []
        for number, process in enumerate(processes):
            ready = _read_line(process, READY_S)
            feeders.append(Feeder(f"feeder{number + 1}", process, ready["url"], ready["visits"]))
        for feeder in feeders:
            threading.Thread(target=_await_start, args=(feeder,), daemon=True).start()
        yield feeders
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start_feeder(settings: DemoSettings, number: int) -> subprocess.Popen[str]:
    arguments = {
        "--seed": settings.seed,
        "--camera": number,
        "--cameras": settings.cameras,
        "--seconds": settings.seconds or SCHEDULE_S,
    }
    flat = [str(word) for pair in arguments.items() for word in pair]
    return subprocess.Popen(
        [sys.executable, "-m", "birdwatchd.demo.feeder", *flat],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for birdwatchd, which then ends the cameras
    )


def _read_line(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        line = _stdout(process).readline()
    finally:
        timer.cancel()
    if not line:
        raise BirdwatchError("a simulated camera did not start", "its own message is above")
    data: dict[str, Any] = json.loads(line)
    return data


def _await_start(feeder: Feeder) -> None:
    line = _stdout(feeder.process).readline()
    if line:
        feeder.started = datetime.fromtimestamp(json.loads(line)["epoch"], UTC)


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _end_in_time(settings: DemoSettings, feeders: Sequence[Feeder], stop: Stop) -> None:
    """Raise the stop `seconds` after the last camera began to be watched."""
    if settings.seconds is None:
        return
    while not stop.wait(0.1):
        started = [feeder.started for feeder in feeders]
        newest = max((at for at in started if at is not None), default=None)
        if newest is None or None in started:
            continue
        if (datetime.now(UTC) - newest).total_seconds() >= settings.seconds:
            stop.set(f"{settings.seconds:.0f} seconds are over")


def _announce(config: Config, feeders: Sequence[Feeder]) -> None:
    out.print("[bold]birdwatchd demo[/]: simulated feeder cameras, the real system behind them")
    for feeder in feeders:
        out.print(f"  {feeder.key:<10} {feeder.url}", soft_wrap=True)
    out.print(f"  {'broker':<10} {config.mqtt.url}  (mosquitto_sub -t 'birdwatch/#' -v)", soft_wrap=True)
    out.print(f"  {'database':<10} {config.home}\n", soft_wrap=True)


def compare(
    store: Catalogue, feeders: Sequence[Feeder], first_told: dict[str, datetime], ended: datetime
) -> tuple[list[Sighting], list[Visit]]:
    """Match what was there with what was stored.

    Returns:
        One sighting per scheduled bird of at least a second that had left before `ended`, and the stored visits that
        match no bird at all and yet were not rejected.
    """
    sightings: list[Sighting] = []
    unmatched: list[Visit] = []
    for feeder in feeders:
        if feeder.started is None:
            continue
        stored = store.visits(since=feeder.started, camera=feeder.key)
        claimed: set[str] = set()
        for truth in feeder.visits:
            start = feeder.started + timedelta(seconds=truth["start_s"])
            end = feeder.started + timedelta(seconds=truth["end_s"])
            mine = tuple(v for v in stored if _overlap(v, start, end))
            claimed |= {v.visit_id for v in mine}
            if truth["end_s"] - truth["start_s"] >= LEAST_VISIT_S and end < ended:
                sightings.append(_sighting(store, feeder.key, truth["species"], start, end, mine, first_told))
        unmatched += [v for v in stored if v.visit_id not in claimed and v.verdict.state.value != "rejected"]
    return sorted(sightings, key=lambda s: s.start), unmatched


def _overlap(visit: Visit, start: datetime, end: datetime) -> bool:
    slack = timedelta(seconds=TOLERANCE_S)
    return visit.start < end + slack and (visit.end or visit.start) > start - slack


def _sighting(
    store: Catalogue,
    camera: str,
    species: str,
    start: datetime,
    end: datetime,
    visits: tuple[Visit, ...],
    first_told: dict[str, datetime],
) -> Sighting:
    moments = [m for visit in visits for m in store.moments(visit.visit_id)]
    told = [first_told[v.visit_id] for v in visits if v.visit_id in first_told]
    return Sighting(
        camera,
        species,
        start,
        end,
        visits,
        embeddings=sum(m.embedding.ndim == 1 and m.embedding.dtype.name == "float16" for m in moments),
        crops=sum(m.crop is not None and m.crop.is_file() for m in moments),
        latency_s=(min(told) - start).total_seconds() if told else None,
    )


def _summary(sightings: Sequence[Sighting], extra: Sequence[Visit], messages: int, config: Config) -> bool:
    """Show what was promised and what came of it; True if all was kept."""
    out.print(_sightings_table(sightings))
    total = len(sightings)
    once = sum(len(s.visits) == 1 for s in sightings)
    named = sum(s.named_right for s in sightings)
    whole = sum(s.kept_whole for s in sightings)
    latencies = [s.latency_s for s in sightings if s.latency_s is not None]
    median = statistics.median(latencies) if latencies else float("nan")
    checks = [
        (f"{once} of {total} visits are in the database exactly once", once == total > 0),
        (f"{named} of {total} have the right species", total > 0 and named >= PROMISED_NAMES * total),
        (f"{whole} of {total} have float16 embeddings, each with its crop file", whole == total > 0),
        (
            f"first MQTT message {median:.2f} s after the bird's first frame (median of {len(latencies)})",
            len(latencies) == total > 0 and median <= PROMISED_LATENCY_S,
        ),
        (f"{len(extra)} visits stored without a bird", not extra),
    ]
    for text, good in checks:
        out.print(f"  {'[green]✓[/]' if good else '[red]✗[/]'} {text}", soft_wrap=True)
    out.print(f"\n  {messages} visit messages heard; database and pictures are in {config.home}", soft_wrap=True)
    out.print(f"  look again with: birdwatchd visits --home {config.home}", soft_wrap=True)
    return all(good for _, good in checks)


def _sightings_table(sightings: Sequence[Sighting]) -> Table:
    table = Table(title="\nwhat was there, and what birdwatchd saw", title_justify="left", box=None, header_style="dim")
    for heading in ("camera", "bird", "for", "seen as", "sure", "pictures", "told", "visits"):
        words = heading in ("camera", "bird", "seen as")
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for s in sightings:
        visit = s.visits[0] if s.visits else None
        name = (visit.verdict.common_name or visit.verdict.state.value) if visit else "not seen"
        table.add_row(
            s.camera,
            s.species,
            f"{(s.end - s.start).total_seconds():.1f} s",
            "[green]the same[/]" if s.named_right else f"[red]{name}[/]",
            f"{visit.verdict.score:.0%}" if visit else "",
            str(s.crops),
            f"{s.latency_s:.2f} s" if s.latency_s is not None else "",
            str(len(s.visits)),
        )
    return table
