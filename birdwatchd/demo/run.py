"""Run the whole system on simulated cameras and compare what it recorded and published with what really came.

Nothing inside the daemon knows that this is a demo: it reads network cameras, writes its database and publishes to an
MQTT broker. What came is known from the processes that simulate the cameras, what was published from a subscriber of
the broker.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from birdwatchd.address import Source
from birdwatchd.commands.terminal import VisitLines, err, out, recent_log, shown
from birdwatchd.daemon import Daemon
from birdwatchd.demo.broker import DemoBroker
from birdwatchd.demo.cameras.processes import SimulatedCamera, simulated_cameras
from birdwatchd.demo.cameras.visits import FIRST_VISIT_S
from birdwatchd.demo.comparison import Comparison, compare
from birdwatchd.demo.load import CameraReports, Frames, Load
from birdwatchd.demo.messages import Messages
from birdwatchd.demo.schedule import Schedule
from birdwatchd.demo.summary import show_summary
from birdwatchd.errors import ConfigError
from birdwatchd.flow import Stop
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.subscriber import Subscriber
from birdwatchd.mqtt.topics import Topics
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.model import ModelSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.settings.station import StationSettings
from birdwatchd.settings.web import WebSettings
from birdwatchd.stages.page_process import listening, page_served
from birdwatchd.store import Store, StoreReader

__all__ = ["DemoSettings", "run_demo"]

STATION = "demo"
SCHEDULE_S = 3600.0  # without --seconds there are birds for an hour
PATIENCE_S = 60.0  # for opening and reading a simulated camera: on a busy machine it is slow, not broken
DELIVERY_S = 10.0  # at the end the broker may take so long to deliver its last messages


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the command line asked for. With `stay` the page goes on after the end, until Ctrl-C."""

    seconds: float | None
    home: Path
    cameras: int = 2
    seed: int = 1
    stay: bool = False


def run_demo(settings: DemoSettings, show: Callable[[Comparison, Messages, Load, Config], bool] = show_summary) -> int:
    """Run the demo; 0 if birdwatchd broke no promise, 1 if it did.

    Args:
        show: prints the outcome; returns whether every promise was kept.
    """
    stop = Stop()
    stop_on_signals(stop)
    began = datetime.now(UTC)
    messages, reports = Messages(), CameraReports()
    with ExitStack() as page, ExitStack() as stack:
        err.print("[dim]drawing the cameras' scenes …[/]")
        cameras = stack.enter_context(
            simulated_cameras(settings.seed, settings.cameras, settings.seconds or SCHEDULE_S)
        )
        broker = DemoBroker()
        mqtt = MqttSettings(url=broker.start())
        stack.callback(broker.stop)
        stack.enter_context(Subscriber(mqtt, (Topics(mqtt.base, STATION).visit("+"),), messages.receive))
        config = _config(settings.home, cameras, mqtt)
        usable = threading.Event()
        page.enter_context(page_served(config, usable))
        _announce(config, cameras)
        schedule = Schedule(cameras, reports, stop, settings.seconds)
        threading.Thread(target=schedule.run, args=(partial(_announce_birds, settings.seconds),), daemon=True).start()
        lines = VisitLines(config.station.zone)
        daemon = Daemon(
            config, stop, on_visit=lines.show, on_status=reports.take, recent_log=recent_log, on_home=usable.set
        )
        daemon.run()
        ended = datetime.now(UTC) - timedelta(seconds=stop.for_seconds(time.monotonic()))
        waited = schedule.core_wait.share() if schedule.core_wait is not None else None
        _await_delivery(config, messages, began)
        stack.close()  # the cameras and the broker
        load = _load(cameras, reports, daemon.metrics, waited, ended)
        with Store.open(config.home, zone=config.station.zone) as store:
            comparison = compare(store, cameras, messages, load, began, ended)
        comparison = replace(comparison, failed=daemon.failure is not None, late=tuple(daemon.late))
        kept = show(comparison, messages, load, config)
        if settings.stay:
            _stay(config.web.local_url)
    return 0 if kept else 1


def _stay(url: str) -> None:
    """Leave the page up until Ctrl-C."""
    stop = Stop()
    stop.armed = True
    stop_on_signals(stop)
    out.print(f"\n[bold]The page stays at {url}[/]; Ctrl-C ends it", soft_wrap=True)
    while not stop.wait(1.0):
        pass


def _page_address() -> WebSettings:
    """Where the page is: the usual port, or any that is free."""
    usual = WebSettings()
    try:
        listening(usual).close()
    except ConfigError:
        with socket.socket() as sock:
            sock.bind((usual.host, 0))
            return WebSettings(bind=f"{usual.host}:{sock.getsockname()[1]}")
    return usual


def _config(home: Path, cameras: Sequence[SimulatedCamera], mqtt: MqttSettings) -> Config:
    return Config(
        station=StationSettings(name=STATION),
        home=home.absolute(),
        cameras={
            camera.key: CameraSettings(source=Source(camera.url), open_timeout_s=PATIENCE_S, read_timeout_s=PATIENCE_S)
            for camera in cameras
        },
        model=ModelSettings(name="demo"),
        mqtt=mqtt,
        web=_page_address(),
    )


def _announce(config: Config, cameras: Sequence[SimulatedCamera]) -> None:
    out.print(f"[bold]Your birds: {config.web.local_url}[/]\n", soft_wrap=True)
    out.print("[bold]birdwatchd demo[/]: simulated feeder cameras, the real system behind them")
    for camera in cameras:
        out.print(f"  {camera.key:<10} {camera.url}", soft_wrap=True)
    out.print(f"  {'broker':<10} {config.mqtt.url}  (mosquitto_sub -t 'birdwatch/#' -v)", soft_wrap=True)
    out.print(f"  {'database':<10} {shown(config.home)}\n", soft_wrap=True)


def _announce_birds(seconds: float | None, loading_s: float) -> None:
    end = f"the demo ends in {seconds:.0f} s" if seconds is not None else "Ctrl-C ends the demo"
    out.print(
        f"Ready after {loading_s:.0f} s of loading. The first bird comes in about {FIRST_VISIT_S:.0f} s; {end}.\n",
        soft_wrap=True,
    )


def _await_delivery(config: Config, messages: Messages, began: datetime) -> None:
    """Wait until the broker has delivered what birdwatchd published last; not long, for some may never come."""
    with StoreReader.open_existing(config.home) as store:
        visits = store.visits.find(since=began)
    messages.wait_for(visits, DELIVERY_S)


def _load(
    cameras: Sequence[SimulatedCamera],
    reports: CameraReports,
    metrics: Metrics,
    waited: float | None,
    ended: datetime,
) -> Load:
    frames = {
        camera.key: Frames(
            camera.fps, camera.started or ended, ended, tuple(camera.left_out), reports.online(camera.key)
        )
        for camera in cameras
    }
    return Load(frames, waited, int(metrics.total("crops_dropped_total")))
