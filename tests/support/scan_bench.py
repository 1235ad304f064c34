"""`birdwatchd scan` with a worker that finds one visit in each file, and a network that is never asked."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.camera.process.wire import FileDone
from birdwatchd.commands import scan
from birdwatchd.records import CameraState, CameraStatus, Evidence, Label, Visit, new_visit_id
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import Store

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
WORKER_ID = new_visit_id(START, 7)  # a real worker's ids tell names apart, but not what is behind a name


def evidence(number: int = 7, camera: str = "scan", at: datetime = START) -> Evidence:
    """A visit of nine seconds, as a worker reports it."""
    end = at + timedelta(seconds=9)
    return Evidence(new_visit_id(at, number), camera, 1, at, end, end, (), 1, "name", 1.0, 9.0)


@dataclass
class Bench:
    """`run_scan` with a worker that finds one visit in each file, and a network that is never asked."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    status: int = 0
    scanned: list[str] = field(default_factory=list)
    error: dict[str, str] = field(default_factory=dict)
    new_places: set[str] = field(default_factory=set)
    meanwhile: Callable[[Path], object] = lambda path: None
    model: str = "demo@1"
    settings: CameraSettings | None = None
    zones: tuple[str, str] = ("", "")
    begins: dict[str, datetime] = field(default_factory=dict)

    def worker(self, camera: str, settings: CameraSettings, sources: Any = (), zones: Any = ()) -> Any:
        del sources
        self.zones = zones

        def read(path: str, on_evidence: Callable[[Evidence], None], on_status: Any) -> FileDone:
            self.scanned.append(os.path.basename(path))
            at = self.begins.get(os.path.basename(path), START)
            on_status(CameraStatus(camera, CameraState.ONLINE, START, extra=(("began_s", at.timestamp()),)))
            on_evidence(evidence(camera=camera, at=at))
            self.meanwhile(Path(path))
            name = os.path.basename(path)
            return FileDone(path, 10.0, self.error.get(name, ""), name in self.new_places)

        self.settings = settings

        def began_s(path: str) -> float:
            return self.begins.get(os.path.basename(path), START).timestamp()

        return SimpleNamespace(scan=read, began_s=began_s, close=lambda: None, kill=lambda: None)

    def scan(self, *paths: Path, config: Config | None = None, **options: Any) -> list[dict[str, Any]]:
        """Scan; returns the JSON visits. What was said is in `said`, which files were read in `scanned`."""
        self.scanned.clear()
        settings = config or Config(home=self.home)
        assert scan.run_scan(settings, scan.ScanOptions(paths, "-", **options)) == self.status
        out, self.said = self.capsys.readouterr()
        return [json.loads(line) for line in out.split("\n") if line]  # a name may hold U+2028

    def visits(self) -> list[Visit]:
        with Store.open(self.home, zone=ZoneInfo("UTC")) as store:
            return store.visits.find()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Leave the signals of the test process as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], handlers: None) -> Bench:
    made = Bench(tmp_path / "home", capsys)

    def load_network(settings: object, cache: object) -> Any:
        labels = (Label("Great tit"),)
        return SimpleNamespace(model_id=made.model, labels=labels, max_batch=4, device="cpu", reference=())

    monkeypatch.setattr("birdwatchd.species.network.network.load_network", load_network)
    monkeypatch.setattr(scan, "ScanProcess", made.worker)
    return made


def clip(path: Path, text: str = "x") -> Path:
    """A file that is called a recording."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
