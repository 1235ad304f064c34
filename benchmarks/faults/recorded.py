"""Record what the camera process says of birds in the drawn film, to be said again faster than time passes."""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from pathlib import Path

from benchmarks.camera_cost.process import Camera, virtual_time
from benchmarks.faults.film import BIRDS, RARE, Film
from birdwatchd.camera.process.wire import Pipe, encode
from birdwatchd.flow import Mailbox
from birdwatchd.records import Evidence

__all__ = ["read_visits", "record"]


class _Recorder(Camera):
    """Keeps the evidence of one camera's process."""

    def _take(self, mailbox: Mailbox) -> None:
        self.evidence: list[Evidence] = []
        while (batch := mailbox.take(64, 0.05)) is not None:
            self.evidence += batch


def record(film: Film, common: Path, rare: Path) -> None:
    """Watch the film with a real camera process in virtual time, and write its visits, those of the rare bird apart.

    Raises:
        RuntimeError: a bird was not seen, or two were one visit.
    """
    camera = _Recorder("film", film.path)
    with virtual_time():
        thread = threading.Thread(target=camera.run)
        thread.start()
        thread.join()
    visits: dict[str, list[Evidence]] = defaultdict(list)
    for item in camera.evidence:
        visits[item.visit_id].append(item)
    if len(visits) != len(film.birds):
        raise RuntimeError(f"{len(visits)} visits of {len(film.birds)} drawn birds")
    for target, is_rare in ((common, False), (rare, True)):
        chosen = [
            items for n, (_, items) in enumerate(sorted(visits.items())) if (BIRDS[n % len(BIRDS)] == RARE) is is_rare
        ]
        target.write_bytes(b"".join(encode(item) for items in chosen for item in items))


def read_visits(path: Path) -> list[list[Evidence]]:
    """The visits of a recording; each begins with its first revision."""
    pipe = Pipe(io.BytesIO(path.read_bytes()))
    visits: dict[str, list[Evidence]] = defaultdict(list)
    while isinstance(item := pipe.receive(Evidence), Evidence):
        visits[item.visit_id].append(item)
    return list(visits.values())
