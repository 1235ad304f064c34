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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.table import Table

from birdwatchd.address import Source
from birdwatchd.commands.terminal import VisitLines, err, out, shown
from birdwatchd.daemon import Daemon
from birdwatchd.demo.broker import DemoBroker
from birdwatchd.demo.latency import Heard, told_in
from birdwatchd.errors import BirdwatchError
from birdwatchd.flow import Stop
from birdwatchd.mqtt.subscriber import Subscriber
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import State, Visit
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.model import ModelSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.settings.station import StationSettings
from birdwatchd.store import StoredMoment, StoreReader, Visits

__all__ = ["Comparison", "DemoSettings", "Feeder", "Sighting", "compare", "run_demo", "summary"]

log = logging.getLogger(__name__)

STATION = "demo"
SCHEDULE_S = 3600.0  # without --seconds there are birds for an hour
READY_S = 60.0  # a feeder process draws its scene before it listens
START_GRACE_S = 60.0  # a camera that nobody watches this long after the first one is given up
NONE_STARTED_S = 180.0  # and so is the demo if nobody watches any camera
LEAST_VISIT_S = 1.0  # shorter visits are not promised to be seen
TOLERANCE_S = 0.6  # a stored visit belongs to a bird if their times overlap, give or take this
PROMISED_NAMES, PROMISED_LATENCY_S = 0.95, 2.5
CLOCK_SLACK_S = 0.1  # a message may seem this much older than its bird: a frame's time is known to one frame


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line asked for."""

    seconds: float | None
    home: Path
    cameras: int = 2
    seed: int = 1


@dataclass(slots=True)
class Feeder:
    """One process that plays a camera; `started` is None until somebody watches it."""

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
    moments: int = 0
    embeddings: int = 0
    crops: int = 0
    latency_s: float | None = None
    final_s: float | None = None

    @property
    def named_right(self) -> bool:
        """The one visit has the right, confirmed or uncertain, species."""
        return len(self.visits) == 1 and self.visits[0].verdict.common_name == self.species

    @property
    def kept_whole(self) -> bool:
        """Every moment has a sound embedding and a crop file, and there is at least one."""
        return len(self.visits) == 1 and self.crops == self.embeddings == self.moments >= 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was there beside what was stored.

    Attributes:
        sightings: one per scheduled bird of at least a second that had left before the end, by start.
        extra: stored visits that belong to no bird and yet were not rejected.
        never_started: cameras that nobody ever watched; their birds are sightings without a visit.
    """

    sightings: tuple[Sighting, ...]
    extra: tuple[Visit, ...]
    never_started: tuple[str, ...]


def run_demo(settings: DemoSettings) -> int:
    """Run the demo; 0 if everything that was promised was kept, 1 if not."""
    stop = Stop()
    stop_on_signals(stop)
    heard = Heard()
    with ExitStack() as stack:
        err.print("[dim]drawing the cameras' scenes …[/]")
        feeders = stack.enter_context(_feeders(settings))
        broker = DemoBroker()
        mqtt = MqttSettings(url=broker.start())
        stack.callback(broker.stop)
        topics = Topics(mqtt.base, STATION)
        stack.enter_context(Subscriber(mqtt, (topics.visit("+"),), heard.hear))
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
    with StoreReader.open_existing(config.home) as store:
        comparison = compare(store.visits, feeders, heard, ended)
    kept = summary(comparison, heard.messages, config)
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
        [sys.executable, "-P", "-m", "birdwatchd.demo.cameras.feeder", *flat],  # -P: run no hashlib.py of this folder
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
    began = datetime.now(UTC)
    while not stop.wait(0.1):
        if _is_over(settings.seconds, [feeder.started for feeder in feeders], began, datetime.now(UTC)):
            stop.set(f"{settings.seconds:.0f} seconds are over")


def _is_over(seconds: float, started: Sequence[datetime | None], began: datetime, now: datetime) -> bool:
    """Whether the demo has lasted long enough, or waits for a camera in vain."""
    watched = [at for at in started if at is not None]
    if not watched:
        return (now - began).total_seconds() >= NONE_STARTED_S
    if len(watched) < len(started) and (now - min(watched)).total_seconds() < START_GRACE_S:
        return False
    return (now - max(watched)).total_seconds() >= seconds


def _announce(config: Config, feeders: Sequence[Feeder]) -> None:
    out.print("[bold]birdwatchd demo[/]: simulated feeder cameras, the real system behind them")
    for feeder in feeders:
        out.print(f"  {feeder.key:<10} {feeder.url}", soft_wrap=True)
    out.print(f"  {'broker':<10} {config.mqtt.url}  (mosquitto_sub -t 'birdwatch/#' -v)", soft_wrap=True)
    out.print(f"  {'database':<10} {shown(config.home)}\n", soft_wrap=True)


def compare(visits: Visits, feeders: Sequence[Feeder], heard: Heard, ended: datetime) -> Comparison:
    """Match what was there with what was stored; every stored visit belongs to one bird at most."""
    sightings: list[Sighting] = []
    extra: list[Visit] = []
    # The birds of a camera that nobody watched would have come as if it had started with the first.
    first = min((feeder.started for feeder in feeders if feeder.started is not None), default=None)
    for feeder in feeders:
        since = feeder.started or first
        if since is None:
            continue
        birds = [tuple(since + timedelta(seconds=bird[key]) for key in ("start_s", "end_s")) for bird in feeder.visits]
        stored = visits.find(since=since, camera=feeder.key)
        owners = [_owner(visit, birds) for visit in stored]
        for number, (truth, (start, end)) in enumerate(zip(feeder.visits, birds, strict=True)):
            if (end - start).total_seconds() >= LEAST_VISIT_S and end < ended:
                mine = tuple(visit for visit, owner in zip(stored, owners, strict=True) if owner == number)
                sightings.append(_sighting(visits, feeder.key, truth["species"], start, end, mine, heard))
        nobodys = (visit for visit, owner in zip(stored, owners, strict=True) if owner is None)
        extra += [visit for visit in nobodys if visit.verdict.state is not State.REJECTED]
    return Comparison(
        tuple(sorted(sightings, key=lambda s: s.start)),
        tuple(extra),
        tuple(feeder.key for feeder in feeders if feeder.started is None),
    )


def _owner(visit: Visit, birds: Sequence[tuple[datetime, ...]]) -> int | None:
    """Which bird, each from start to end, was there for most of this visit; None if none was."""
    shares = [(_overlap_s(visit, start, end), -number) for number, (start, end) in enumerate(birds)]
    most, number = max(shares, default=(0.0, 0))
    return -number if most > 0 else None


def _overlap_s(visit: Visit, start: datetime, end: datetime) -> float:
    """For how long visit and bird were there together, in seconds, give or take the tolerance."""
    together = min(visit.end or visit.last_seen or visit.start, end) - max(visit.start, start)
    return together.total_seconds() + TOLERANCE_S


def _sighting(
    stored: Visits,
    camera: str,
    species: str,
    start: datetime,
    end: datetime,
    visits: tuple[Visit, ...],
    heard: Heard,
) -> Sighting:
    moments = [moment for visit in visits for moment in stored.moments(visit.visit_id)]
    told = [heard.first[visit.visit_id] for visit in visits if visit.visit_id in heard.first]
    final = [heard.final[visit.visit_id] for visit in visits if visit.visit_id in heard.final]
    lengths = {moment.embedding.size for moment in moments}
    return Sighting(
        camera,
        species,
        start,
        end,
        visits,
        moments=max(len(moments), sum(visit.moments for visit in visits)),
        embeddings=sum(_is_sound(moment) for moment in moments) if len(lengths) == 1 else 0,
        crops=sum(_has_picture(moment) for moment in moments),
        latency_s=(min(told) - start).total_seconds() if told else None,
        final_s=(max(final) - end).total_seconds() if final else None,
    )


def _is_sound(moment: StoredMoment) -> bool:
    """Whether the embedding is a float16 vector that says something."""
    vector = moment.embedding
    if vector.ndim != 1 or vector.size == 0 or vector.dtype != np.float16:
        return False
    return bool(np.isfinite(vector).all() and vector.any())


def _has_picture(moment: StoredMoment) -> bool:
    return moment.crop is not None and moment.crop.is_file() and moment.crop.stat().st_size > 0


def summary(comparison: Comparison, messages: int, config: Config) -> bool:
    """Show what was promised and what came of it; True if all was kept."""
    out.print(_sightings_table(comparison.sightings))
    checks = _checks(comparison)
    for text, good in checks:
        out.print(f"  {'[green]✓[/]' if good else '[red]✗[/]'} {shown(text)}", soft_wrap=True)
    sightings = comparison.sightings
    first = [s.latency_s for s in sightings if s.latency_s is not None]
    for line in told_in(first, [s.final_s for s in sightings if s.final_s is not None]):
        out.print(f"    {line}", soft_wrap=True)
    home = shown(config.home)
    out.print(f"\n  {messages} visit messages heard; database and pictures are in {home}", soft_wrap=True)
    out.print(f"  look again with: birdwatchd visits --home {home}", soft_wrap=True)
    return all(good for _, good in checks)


def _checks(comparison: Comparison) -> list[tuple[str, bool]]:
    """Every promise in words, and whether it was kept."""
    sightings = comparison.sightings
    total = len(sightings)
    once = sum(len(s.visits) == 1 for s in sightings)
    named = sum(s.named_right for s in sightings)
    whole = sum(s.kept_whole for s in sightings)
    return [
        *((f"camera {key} never started", False) for key in comparison.never_started),
        (f"{once} of {total} visits are in the database exactly once", once == total > 0),
        (f"{named} of {total} have the right species", total > 0 and named >= PROMISED_NAMES * total),
        (f"{whole} of {total} have float16 embeddings, each with its crop file", whole == total > 0),
        _latency_check([s.latency_s for s in sightings if s.latency_s is not None], total),
        (f"{len(comparison.extra)} visits stored without a bird", not comparison.extra),
    ]


def _latency_check(latencies: Sequence[float], total: int) -> tuple[str, bool]:
    """Every bird is told of, soon after it came and never before."""
    if not latencies:
        return "no bird was told of over MQTT", False
    median, least = statistics.median(latencies), min(latencies)
    text = f"first MQTT message {median:.2f} s after the bird's first frame (median of {len(latencies)})"
    if least < -CLOCK_SLACK_S:
        return f"{text}, but one came {-least:.2f} s before its bird", False
    return text, len(latencies) == total and median <= PROMISED_LATENCY_S


def _sightings_table(sightings: Sequence[Sighting]) -> Table:
    table = Table(title="\nwhat was there, and what birdwatchd saw", title_justify="left", box=None, header_style="dim")
    for heading in ("camera", "bird", "for", "seen as", "sure", "pictures", "told", "visits"):
        words = heading in ("camera", "bird", "seen as")
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for s in sightings:
        visit = s.visits[0] if s.visits else None
        name = (visit.verdict.common_name or visit.verdict.state.value) if visit else "not seen"
        table.add_row(
            shown(s.camera),
            shown(s.species),
            f"{(s.end - s.start).total_seconds():.1f} s",
            "[green]the same[/]" if s.named_right else f"[red]{shown(name)}[/]",
            f"{visit.verdict.score:.0%}" if visit else "",
            str(s.crops),
            f"{s.latency_s:.2f} s" if s.latency_s is not None else "",
            str(len(s.visits)),
        )
    return table
