"""Match the birds that came to the simulated cameras with the visits that birdwatchd stored and published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from birdwatchd.demo.cameras.processes import SimulatedCamera
from birdwatchd.demo.load import Load
from birdwatchd.demo.messages import Messages
from birdwatchd.records import State, Visit
from birdwatchd.store import Store, StoredMoment, Visits
from birdwatchd.store.writer import MOST_MOMENTS

__all__ = ["Comparison", "Sighting", "compare"]

LEAST_VISIT_S = 1.0  # shorter visits are not promised to be seen
SETTLE_S = 1.0  # nor are birds that left only so shortly before the end
TOLERANCE_S = 0.6  # a stored visit belongs to a bird if their times overlap, give or take this
MOST_PENDING = 1000  # messages in the outbox at the end that are looked at


@dataclass(frozen=True, slots=True)
class Sighting:
    """A bird that came, and what birdwatchd made of it.

    Attributes:
        visits: the stored visits that belong to it, oldest first.
        moments, embeddings, crops: how many they have and should keep; of the latter two only sound ones count.
        latency_s: from its first frame to its first message; None if there was none.
        final_s: from its last frame to the message that its visit is over.
        slowed: frames about its time, or that of its visits, were not looked at because this machine was too slow.
    """

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
    slowed: bool = False

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
    """What came beside what was stored and published, and how birdwatchd ended.

    Attributes:
        sightings: one per bird of at least a second that had left before the end, by start.
        extra: how many stored visits belong to no bird and yet were not rejected.
        slowed_extra: likewise, of those in whose time frames were not looked at.
        stored: how many visits were stored.
        unpublished: of how many the last message does not say what the database says, although none is waiting.
        pending: of how many a message was still waiting to be sent at the end.
        unready: cameras that were not ready for birds, so that none came.
        failed: one of birdwatchd's threads failed.
        late: those of its threads that did not end in time.
    """

    sightings: tuple[Sighting, ...]
    extra: int = 0
    slowed_extra: int = 0
    stored: int = 0
    unpublished: int = 0
    pending: int = 0
    unready: tuple[str, ...] = ()
    failed: bool = False
    late: tuple[str, ...] = ()


def compare(
    store: Store,
    cameras: Sequence[SimulatedCamera],
    messages: Messages,
    load: Load,
    began: datetime,
    ended: datetime,
) -> Comparison:
    """Match what came with what was stored; every stored visit belongs to one bird at most.

    Args:
        began, ended: from when until when birdwatchd was running.
    """
    sightings: list[Sighting] = []
    extra: list[bool] = []
    visits: list[Visit] = []
    for camera in cameras:
        stored = store.visits.find(since=began, camera=camera.key)
        visits += stored
        birds = _birds(camera)
        owners = [_owner(visit, birds) for visit in stored]
        for number, (start, end) in enumerate(birds):
            if (end - start).total_seconds() >= LEAST_VISIT_S and end <= ended - timedelta(seconds=SETTLE_S):
                mine = tuple(visit for visit, owner in zip(stored, owners, strict=True) if owner == number)
                bird = Sighting(camera.key, camera.visits[number]["species"], start, end, mine)
                sightings.append(_measured(bird, store.visits, messages, load))
        nobodys = (visit for visit, owner in zip(stored, owners, strict=True) if owner is None)
        named = (visit for visit in nobodys if visit.verdict.state is not State.REJECTED)
        extra += [load.slowed(camera.key, visit.start, _end_of(visit)) for visit in named]
    missing = messages.missing(visits)
    waiting = {row.visit_id for row in store.outbox.pending(0, MOST_PENDING)} if missing else set()
    return Comparison(
        tuple(sorted(sightings, key=lambda s: s.start)),
        extra=extra.count(False),
        slowed_extra=extra.count(True),
        stored=len(visits),
        unpublished=sum(visit.visit_id not in waiting for visit in missing),
        pending=sum(visit.visit_id in waiting for visit in missing),
        unready=tuple(camera.key for camera in cameras if camera.started is None),
    )


def _birds(camera: SimulatedCamera) -> list[tuple[datetime, datetime]]:
    """When each bird of this camera came and was gone; none came if its schedule never began."""
    since = camera.started
    if since is None:
        return []
    spans = ((bird["start_s"], bird["end_s"]) for bird in camera.visits)
    return [(since + timedelta(seconds=start_s), since + timedelta(seconds=end_s)) for start_s, end_s in spans]


def _owner(visit: Visit, birds: Sequence[tuple[datetime, datetime]]) -> int | None:
    """Which bird, each from start to end, was there for most of this visit; None if none was."""
    shares = [(_overlap_s(visit, start, end), -number) for number, (start, end) in enumerate(birds)]
    most, number = max(shares, default=(0.0, 0))
    return -number if most > 0 else None


def _overlap_s(visit: Visit, start: datetime, end: datetime) -> float:
    """For how long visit and bird were there together, in seconds, give or take the tolerance."""
    together = min(_end_of(visit), end) - max(visit.start, start)
    return together.total_seconds() + TOLERANCE_S


def _end_of(visit: Visit) -> datetime:
    return visit.end or visit.last_seen or visit.start


def _measured(bird: Sighting, store: Visits, messages: Messages, load: Load) -> Sighting:
    """The same sighting with what is stored and published of its visits."""
    visits = bird.visits
    moments = [moment for visit in visits for moment in store.moments(visit.visit_id)]
    first = [messages.first[visit.visit_id] for visit in visits if visit.visit_id in messages.first]
    final = [messages.final[visit.visit_id] for visit in visits if visit.visit_id in messages.final]
    lengths = {moment.embedding.size for moment in moments}
    return replace(
        bird,
        moments=max(len(moments), sum(min(visit.moments, MOST_MOMENTS) for visit in visits)),
        embeddings=sum(_is_sound(moment) for moment in moments) if len(lengths) == 1 else 0,
        crops=sum(_has_crop(moment) for moment in moments),
        latency_s=(min(first) - bird.start).total_seconds() if first else None,
        final_s=(max(final) - bird.end).total_seconds() if final else None,
        slowed=load.slowed(
            bird.camera,
            min((bird.start, *(visit.start for visit in visits))),
            max((bird.end, *(_end_of(visit) for visit in visits))),
        ),
    )


def _is_sound(moment: StoredMoment) -> bool:
    """Whether the embedding is a float16 vector that is finite and not all zero."""
    vector = moment.embedding
    if vector.ndim != 1 or vector.size == 0 or vector.dtype != np.float16:
        return False
    return bool(np.isfinite(vector).all() and vector.any())


def _has_crop(moment: StoredMoment) -> bool:
    return moment.crop is not None and moment.crop.is_file() and moment.crop.stat().st_size > 0
