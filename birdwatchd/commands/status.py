"""Show on one screen how the station is, and say by the exit status whether it needs a person.

What is stored (visits, effort, messages that wait) comes from the home's database; what only the running daemon knows
(frame rate, dropped crops, the loaded model) from its metrics, where it serves them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

from rich.table import Table

from birdwatchd.camera.blindness import explain
from birdwatchd.commands.terminal import counted, out, shown
from birdwatchd.monitor.exposition import database_bytes
from birdwatchd.monitor.local_socket import blind_cameras
from birdwatchd.monitor.scrape import Live, NotServed, read_live
from birdwatchd.records import Blindness, CameraState, rfc3339
from birdwatchd.settings.config import Config
from birdwatchd.store import EffortSpan, LastBackup, StoreReader
from birdwatchd.store.store import is_recorded_into

__all__ = ["CameraReport", "StationReport", "examine", "run_status"]

EFFORT = timedelta(days=7)  # that is summed up
SILENCE = timedelta(minutes=2)  # a running daemon writes effort every half minute
OFFLINE_S = 600.0  # a camera that reboots or loses its network for a moment needs nobody
WAITING_S = 3600.0  # a broker or phone service that is away for longer needs somebody
OLD_BACKUP_S = 8 * 86_400.0  # a weekly backup that was missed once
LEAST_FREE_BYTES = 1_000_000_000
_WHILE_ONLINE = ("camera_fps", "camera_blind")  # say nothing of a camera that gives no pictures
STYLES = {"online": "green", "offline": "bold red", "starting": "yellow"}


@dataclass(frozen=True, slots=True)
class CameraReport:
    """One camera. Ages are in seconds; None is not known, or never was.

    Attributes:
        state: online, offline, starting, finished, disabled, or unknown where the daemon does not run.
        offline_s: for how long it has given no picture, while it should.
        watched_s: seconds of the last seven days in which it gave pictures.
        watched_share: the same as a share of the time since it was first watched, at most seven days.
        blind: whether birds can hardly be seen though pictures come.
        blind_why: why; the daemon says so where it serves the page.
    """

    camera: str
    state: str
    offline_s: float | None
    fps: float | None
    last_frame_s: float | None
    last_motion_s: float | None
    last_visit_s: float | None
    blind: bool | None
    watched_s: float
    watched_share: float | None
    blind_why: Blindness | None = None


@dataclass(frozen=True, slots=True)
class StationReport:
    """The whole station.

    Attributes:
        at: when it was looked at.
        running: whether the daemon runs; None where that cannot be known.
        live: the address of the metrics that were read; empty without.
        last_backup: `at`, `age_s` and `folder` of the last one; None if there was none.
        problems: what needs a person, a sentence each.
        notes: what is missing in this report, and why.
    """

    at: str
    running: bool | None
    live: str
    model: str | None
    device: str | None
    memory_bytes: float | None
    crops_waiting: float | None
    crops_dropped: float | None
    outbox: dict[str, dict[str, float | None]]
    disk_free_bytes: int
    disk_size_bytes: int
    database_bytes: int
    last_backup: dict[str, str | float] | None
    cameras: tuple[CameraReport, ...]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_status(config: Config, *, as_json: bool) -> int:
    """Print the state of the station; 0 if all is well, 1 if something needs a person.

    Raises:
        StoreError: there is no database in the home that can be read.
    """
    report = examine(config, datetime.now(UTC))
    if as_json:
        sys.stdout.write(json.dumps(asdict(report) | {"well": not report.problems}, ensure_ascii=False) + "\n")
    else:
        _print(report)
    return 1 if report.problems else 0


def examine(config: Config, now: datetime) -> StationReport:
    """Look at the home and, where it is served, at the running daemon.

    Raises:
        StoreError: there is no database in the home that can be read.
    """
    live, silent = None, ""
    if config.metrics.bind:
        try:
            live = read_live(config.metrics.local_url)
        except NotServed as why:
            silent = str(why)
    with StoreReader.open_existing(config.home) as store:
        spans = store.effort.spans(now - EFFORT)
        running = _runs(config, live, spans, now)
        reasons = blind_cameras(config.home)
        cameras = tuple(
            _camera(store, key, live, [span for span in spans if span.camera == key], now, reasons, running=running)
            for key, camera in config.cameras.items()
            if camera.enabled
        )
        disk = shutil.disk_usage(config.home)
        about = live.labels("model_info") if live is not None else {}
        report = StationReport(
            at=now.isoformat(timespec="seconds"),
            running=running,
            live=config.metrics.local_url if live is not None else "",
            model=about.get("model") or _last_model(store, config),
            device=about.get("device"),
            memory_bytes=_memory(live),
            crops_waiting=live.total("crops_waiting") if live is not None else None,
            crops_dropped=live.total("crops_dropped_total") if live is not None else None,
            outbox=_outbox(store, config, now),
            disk_free_bytes=disk.free,
            disk_size_bytes=disk.total,
            database_bytes=database_bytes(store.path),
            last_backup=_last_backup(config, now),
            cameras=cameras,
        )
    report.problems.extend(_problems(report, silent, spans, config.station.zone))
    report.notes.extend(_notes(config, silent))
    return report


def _runs(config: Config, live: Live | None, spans: Sequence[EffortSpan], now: datetime) -> bool | None:
    """Whether the daemon runs: it answers, or wrote effort lately; None where that cannot be known."""
    if live is not None:
        return True
    if is_recorded_into(config.home) is False:
        return False  # also right after its end
    newest = {span.camera: span for span in spans if span.camera in config.cameras}
    if any(now - span.end < SILENCE for span in newest.values()):
        return None if config.metrics.bind else True  # it does not answer: perhaps it stopped just now
    off = newest and all(span.state == CameraState.DISABLED for span in newest.values())
    return None if off and not config.metrics.bind else False


def _camera(
    store: StoreReader,
    key: str,
    live: Live | None,
    spans: Sequence[EffortSpan],
    now: datetime,
    reasons: Mapping[str, Blindness | None],
    *,
    running: bool | None,
) -> CameraReport:
    newest = max(spans, key=lambda span: (span.end, span.start), default=None)  # a change ends one and begins the next
    state = newest.state if newest is not None and running and now - newest.end < SILENCE else "unknown"
    if newest is not None and newest.state == CameraState.DISABLED:
        state = newest.state  # written once, when it is switched off
    if live is not None:
        states = (one.value for one in CameraState)
        state = next((one for one in states if live.get("camera_state", camera=key, state=one)), state)
    online = [span for span in spans if span.state == CameraState.ONLINE]
    bird = store.visits.newest_bird(key)
    frame_s, visit_s = (_age_s(live, key, what) for what in ("frame", "visit"))
    if frame_s is None and online:
        frame_s = max(0.0, (now - max(span.end for span in online)).total_seconds())
    if visit_s is None and bird is not None:
        left = bird.last_seen or bird.start if bird.end is None and running is False else bird.end  # cut off by its end
        visit_s = 0.0 if left is None else max(0.0, (now - left).total_seconds())
    since = now - EFFORT
    watched_s = sum((span.end - max(span.start, since)).total_seconds() for span in online)
    known_s = (now - max(min((span.start for span in spans), default=now), since)).total_seconds()
    gives_pictures = live is not None and state == CameraState.ONLINE
    fps, blind = (live.get(name, camera=key) if live and gives_pictures else None for name in _WHILE_ONLINE)
    return CameraReport(
        camera=key,
        state=state,
        offline_s=_offline_s(state, online, spans, now),
        fps=fps,
        last_frame_s=frame_s,
        last_motion_s=_age_s(live, key, "motion"),
        last_visit_s=visit_s,
        blind=reasons[key] is not None if key in reasons else None if blind is None else bool(blind),
        blind_why=reasons.get(key),
        watched_s=watched_s,
        watched_share=min(1.0, watched_s / known_s) if known_s > 0 else None,
    )


def _age_s(live: Live | None, camera: str, what: str) -> float | None:
    return live.get(f"camera_last_{what}_age_seconds", camera=camera) if live is not None else None


def _offline_s(state: str, online: Sequence[EffortSpan], spans: Sequence[EffortSpan], now: datetime) -> float | None:
    """For how long a camera that should give pictures has given none; while the daemon did not run, it should not."""
    if state not in (CameraState.OFFLINE, CameraState.STARTING, CameraState.FINISHED):
        return None
    in_order = sorted(spans, key=lambda span: span.start)
    began = in_order[0].start if in_order else now
    for before, after in pairwise(in_order):
        if after.start - before.end > SILENCE:
            began = after.start  # the daemon, or the camera, was switched on again
    since = max([began, *(span.end for span in online)])
    return max(0.0, (now - since).total_seconds())


def _last_model(store: StoreReader, config: Config) -> str | None:
    birds = [bird for key in config.cameras if (bird := store.visits.newest_bird(key)) is not None]
    return max(birds, key=lambda bird: bird.start).model if birds else None


def _memory(live: Live | None) -> float | None:
    if live is None:
        return None
    return live.total("process_resident_memory_bytes") + live.total("camera_memory_bytes")


def _outbox(store: StoreReader, config: Config, now: datetime) -> dict[str, dict[str, float | None]]:
    """What waits for the broker (`mqtt`) and for each channel."""
    doors: dict[str, str | None] = {"mqtt": None} if config.mqtt.url else {}
    doors |= {f"channel {name}": name for name in config.channels}
    return {
        name: {"waiting": store.outbox.depth(channel), "oldest_s": store.outbox.oldest_s(now, channel)}
        for name, channel in doors.items()
    }


def _last_backup(config: Config, now: datetime) -> dict[str, str | float] | None:
    last = LastBackup.read(config.home)
    return None if last is None else {"at": rfc3339(last.at), "age_s": last.age_s(now), "folder": last.folder}


def _problems(report: StationReport, silent: str, spans: Sequence[EffortSpan], zone: tzinfo) -> list[str]:
    """What needs a person."""
    found = []
    if report.running is False:
        last = max((span.end for span in spans), default=None)
        sign = (
            f"last sign of life {last.astimezone(zone):%Y-%m-%d %H:%M}"
            if last
            else "no sign of life in the last seven days"
        )
        found.append(f"the daemon does not run ({sign}); start it: birdwatchd run")
    elif silent:
        found.append(
            f"the daemon does not answer ({silent}): it stopped in the last two minutes, starts just now, or cannot use"
            " its address; see its log"
        )
    for camera in report.cameras:
        if camera.offline_s is not None and camera.offline_s > OFFLINE_S and report.running:
            found.append(f"camera {camera.camera} has given no picture for {_span(camera.offline_s)}; see the log")
    for name, waiting in report.outbox.items():
        oldest_s = waiting["oldest_s"]
        if oldest_s is not None and oldest_s > WAITING_S:
            found.append(f"{name}: messages have waited for {_span(oldest_s)}; is its service reachable?")
    if report.last_backup is not None and float(report.last_backup["age_s"]) > OLD_BACKUP_S:
        age = _span(float(report.last_backup["age_s"]))
        found.append(f"the last backup is {age} old; see why {report.last_backup['folder']} gets none")
    if report.disk_free_bytes < LEAST_FREE_BYTES:
        found.append(f"the disk is nearly full: {_bytes(report.disk_free_bytes)} are free; make room")
    return found


def _notes(config: Config, silent: str) -> list[str]:
    if not config.metrics.bind:
        return ["fps, motion, queues and memory are shown where `metrics.bind` is set in the configuration"]
    return [f"nothing answers at {config.metrics.local_url} ({silent}): no fps, motion, queues"] if silent else []


def _print(report: StationReport) -> None:
    runs = {True: "[green]runs[/]", False: "[bold red]does not run[/]", None: "not known whether it runs"}
    facts = {"daemon": f"{runs[report.running]}{f', metrics at {shown(report.live)}' if report.live else ''}"}
    facts["model"] = shown(f"{report.model or 'not known yet'}{f' on {report.device}' if report.device else ''}")
    if report.crops_waiting is not None and report.crops_dropped is not None:
        waiting, dropped = (counted(int(n), "crop") for n in (report.crops_waiting, report.crops_dropped))
        facts["queues"] = f"{waiting} waiting, {dropped} dropped since the start"
    for name, door in report.outbox.items():
        oldest = f", the oldest for {_span(door['oldest_s'])}" if door["oldest_s"] is not None else ""
        facts[shown(name)] = f"{counted(int(door['waiting'] or 0), 'message')} waiting{oldest}"
    facts["disk"] = f"{_bytes(report.disk_free_bytes)} of {_bytes(report.disk_size_bytes)} free"
    facts["database"] = _bytes(report.database_bytes)
    facts["backup"] = "none yet; make one: birdwatchd backup DIR"
    if report.last_backup is not None:
        age_s, folder = float(report.last_backup["age_s"]), report.last_backup["folder"]
        facts["backup"] = shown(f"{_span(age_s)} ago, to {folder}")
    if report.memory_bytes is not None:
        facts["memory"] = f"{_bytes(report.memory_bytes)} with the processes of the cameras"
    for name, fact in facts.items():
        out.print(f"{name:<10} {fact}", soft_wrap=True)
    out.print()
    out.print(_table(report.cameras), soft_wrap=True)
    out.print()
    for camera in report.cameras:
        if camera.blind_why is not None:
            said = f"camera {camera.camera}: birds can hardly be seen: {explain(camera.blind_why)}"
            out.print(f"[yellow]{shown(said)}[/]", soft_wrap=True)
    for note in report.notes:
        out.print(f"[dim]{shown(note)}[/]", soft_wrap=True)
    for problem in report.problems:
        out.print(f"[bold red]needs you[/]  {shown(problem)}", soft_wrap=True)
    if not report.problems:
        out.print("[green]nothing needs you[/]")


def _table(cameras: Sequence[CameraReport]) -> Table:
    """The cameras; ages are how long ago."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("camera", "state", "fps", "frame", "motion", "bird", "watched, 7 days"):
        table.add_column(heading, justify="left" if heading in ("camera", "state") else "right", no_wrap=True)
    for camera in cameras:
        since = f" {_span(camera.offline_s)}" if camera.offline_s is not None else ""
        style = "yellow" if camera.blind else STYLES.get(camera.state, "dim")
        share = "" if camera.watched_share is None else f"{camera.watched_share:.0%}, "
        table.add_row(
            shown(camera.camera),
            f"[{style}]{shown(camera.state)}{since}{', blind' if camera.blind else ''}[/]",
            "–" if camera.fps is None else f"{camera.fps:.1f}",
            *(_span(age_s) for age_s in (camera.last_frame_s, camera.last_motion_s)),
            "here" if camera.last_visit_s == 0.0 else _span(camera.last_visit_s),
            f"{share}{_watched(camera.watched_s)}",
        )
    return table


def _watched(seconds: float) -> str:
    """A length of time to compare with others: `40 min`, `119.6 h`."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _span(seconds: float | None) -> str:
    """A length of time in its largest unit: `40 s`, `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return "–"
    for unit, length_s in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
