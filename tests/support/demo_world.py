"""A made-up run of the demo in which every promise is kept until a test spoils something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from birdwatchd.demo.cameras.processes import LeftOut, SimulatedCamera
from birdwatchd.demo.comparison import Comparison, compare
from birdwatchd.demo.load import Frames, Load
from birdwatchd.demo.messages import Messages
from birdwatchd.demo.summary import show_summary
from birdwatchd.demo.verdict import Check, judge
from birdwatchd.records import Box, CameraState, CameraStatus, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store.reader import StoredMoment

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
END_S = 30.0
FPS = 12.0
BOX = Box(0.1, 0.2, 0.3, 0.4)
BIRDS = (("House sparrow", 6.0, 9.0), ("Great tit", 16.0, 21.0))


def after(seconds: float) -> datetime:
    """A time of the run."""
    return START + timedelta(seconds=seconds)


class World:
    """A camera with two birds, a database, a subscriber, and a machine that keeps up.

    Attributes:
        stored, moments_of: what the database holds.
        messages: what was received over MQTT.
        pending_ids: visits of which a message still waits in the outbox.
        late: frames that came too late, by the second of the run.
        left_out: frames that the simulated camera did not draw in time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        birds = [{"species": name, "start_s": start, "end_s": end} for name, start, end in BIRDS]
        self.cameras = [SimulatedCamera("feeder1", "http://127.0.0.1:1/", FPS, birds, started=START)]
        self.stored: list[Visit] = []
        self.moments_of: dict[str, list[StoredMoment]] = {}
        self.messages = Messages()
        self.pending_ids: list[str] = []
        self.visits = self.outbox = self  # the doors of a store that the comparison uses
        self.late: dict[int, int] = {}
        self.left_out: list[LeftOut] = []
        self.waited: float | None = 0.4
        self.crops_dropped = 0
        for name, start, end in BIRDS:
            self.store(name, start + 0.2, end + 0.2)

    def store(self, name: str, start_s: float, end_s: float) -> str:
        """Put one visit with one moment and its crop into the database, and publish it."""
        visit_id = f"v{len(self.stored)}"
        start, end = after(start_s), after(end_s)
        verdict = Verdict(State.CONFIRMED, Rank.SPECIES, name, None, 0.9, ((name, 0.9),))
        self.stored.append(Visit(visit_id, "feeder1", 1, start, end, verdict, 1, 1, BOX, "demo@1", last_seen=end))
        crop = self.folder / f"{visit_id}.jpg"
        crop.write_bytes(b"jpeg")
        vector = np.linspace(-1, 1, 8).astype(np.float16)
        self.moments_of[visit_id] = [
            StoredMoment(visit_id, 0, start, BOX, 0.5, ((name, 0.9),), vector, None, crop, 64, 64, "demo@1")
        ]
        self.messages.first[visit_id] = start + timedelta(seconds=0.8)
        self.messages.final[visit_id] = end + timedelta(seconds=1.3)
        self.messages.last[visit_id] = {"phase": "final", "state": "confirmed", "common_name": name}
        self.messages.count += 2
        return visit_id

    def find(self, since: datetime, camera: str) -> list[Visit]:
        return [v for v in self.stored if v.start >= since and v.camera == camera]

    def moments(self, visit_id: str) -> list[StoredMoment]:
        return self.moments_of[visit_id]

    def pending(self, after_id: int, limit: int) -> list[Any]:
        return [SimpleNamespace(visit_id=visit_id) for visit_id in self.pending_ids][after_id:limit]

    @property
    def load(self) -> Load:
        """How the machine kept up: a report a second of each camera that was watched."""
        frames = {
            camera.key: Frames(FPS, START, after(END_S), tuple(self.left_out), tuple(self.reports(camera.key)))
            for camera in self.cameras
            if camera.started is not None
        }
        return Load(frames, self.waited, self.crops_dropped)

    def reports(self, camera: str) -> list[CameraStatus]:
        late, reports = 0, []
        for second in range(int(END_S) + 1):
            late += self.late.get(second, 0)
            frames = round(second * FPS)
            reports.append(CameraStatus(camera, CameraState.ONLINE, after(second), FPS, frames=frames, late=late))
        return reports

    def compare(self) -> Comparison:
        return compare(self, self.cameras, self.messages, self.load, after(-20.0), after(END_S))  # type: ignore[arg-type]

    def judge(self) -> list[Check]:
        return judge(self.compare(), self.load)

    def is_good(self) -> bool:
        return show_summary(self.compare(), self.messages, self.load, Config(home=self.folder))
