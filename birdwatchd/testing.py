"""Test programs that use birdwatchd without a camera, a bird, a network's weights or a broker: drawn scenes whose
visits are known, a classifier that knows the truth, a broker in this process, and a store in a temporary home.

The names in `__all__` are public, and the project's own tests use them too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from birdwatchd.demo.broker import DemoBroker
from birdwatchd.demo.cameras.scene import Scene, SceneSpec, ScheduledVisit, schedule
from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.records import Box, Crop, FloatArray, Label, Moment, Prediction, Rank, State, Verdict, Visit
from birdwatchd.seen_part import Look
from birdwatchd.store import MomentRow, Store

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "SPECIES",
    "START",
    "OracleClassifier",
    "bird_image",
    "broker",
    "drawn_scene",
    "example_moment",
    "example_visit",
    "label_in_scene",
    "temporary_store",
    "write_drawn_clip",
]

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)  # of example visits
SURE = 12.0  # the logit of the class that the oracle names; all others are 0
_SCIENTIFIC = {"House sparrow": "Passer domesticus", "Great tit": "Parus major"}


# -- pictures ---------------------------------------------------------------------------------------------------------


def drawn_scene(
    seed: int = 1,
    seconds: float = 20.0,
    visits: Sequence[ScheduledVisit] | None = None,
    *,
    size: tuple[int, int] = (640, 360),
    fps: float = 12.0,
) -> Scene:
    """A feeder with cartoon birds. `frame(n)` is a picture, uint8 (height, width, 3), RGB; `visits` is the truth.

    Args:
        visits: which bird comes when (seconds since frame 0); by default they follow from the seed. No bird should
            come in the first 6 seconds, in which a camera learns the empty scene.
        size: (width, height) in pixels.
    """
    spec = SceneSpec(seed, *size, fps)
    return Scene(spec, tuple(visits) if visits is not None else schedule(seed, seconds))


def write_drawn_clip(path: Path | str, scene: Scene, seconds: float = 20.0) -> tuple[ScheduledVisit, ...]:
    """Write the first seconds of a scene as an H.264 video; the path's suffix names the container.

    Returns:
        The visits that are over before the end of the clip: what should be found in it.
    """
    from birdwatchd.demo.cameras.feeder import write_clip  # which imports PyAV

    write_clip(path, scene, 0.0, seconds)
    return tuple(visit for visit in scene.visits if visit.end_s <= seconds)


def bird_image(species: str = "Great tit", seed: int = 1) -> Image.Image:
    """A square picture of one cartoon bird with some air around it, as a crop has.

    Raises:
        KeyError: the species is not one of `SPECIES`.
    """
    from PIL import Image

    scene = drawn_scene(seed, visits=[ScheduledVisit(species, 0.0, 3.0, seed=seed)], fps=10)
    width, height = scene.spec.width, scene.spec.height
    middle = 15  # frame in the middle of the visit
    x, y, w, h = scene.truth_boxes(middle)[0][1]
    side = round(max(w * width, h * height) * 1.4)
    left = min(max(round((x + w / 2) * width - side / 2), 0), width - side)
    top = min(max(round((y + h / 2) * height - side / 2), 0), height - side)
    return Image.fromarray(scene.frame(middle)[top : top + side, left : left + side])


# -- classifier -------------------------------------------------------------------------------------------------------


@dataclass
class OracleClassifier:
    """Has the interface of `birdwatchd.species.Classifier`, and names each moment as the test wants.

    Attributes:
        answer: the common name of a moment's bird; None leaves the moment out, as a broken crop is.
        labels: the classes, in the order of the logits. Any name of `answer` is one of them.
        max_batch: as of the real one.
        batches: how many moments each call had, for tests of batching.
    """

    answer: Callable[[Moment], str | None]
    labels: tuple[Label, ...] = tuple(Label(name) for name in SPECIES)
    max_batch: int = 8
    batches: list[int] = field(default_factory=list)

    def predict(self, moments: Sequence[tuple[str, Moment]], *, look: Look = Look.FIRST) -> list[Prediction]:
        """One prediction for each (visit id, moment) with an answer: the logit of its name is 12, the others 0.

        It sees all at the first look, and gives nothing for others.

        Raises:
            ValueError: the answer is not one of the labels.
        """
        if look is not Look.FIRST:
            return []
        self.batches.append(len(moments))
        answers = [(visit_id, moment, self.answer(moment)) for visit_id, moment in moments]
        return [
            Prediction(visit_id, moment, logits := self._logits(name), logits / SURE)
            for visit_id, moment, name in answers
            if name is not None
        ]

    def _logits(self, name: str) -> FloatArray:
        names = [label.common_name for label in self.labels]
        logits = np.zeros(len(names), np.float32)
        logits[names.index(name)] = SURE
        return logits


def label_in_scene(scene: Scene) -> Callable[[Moment], str | None]:
    """The truth for `OracleClassifier`: the species that a drawn clip shows at a moment's time and place.

    The function returns None where no bird of the scene touches the moment's box, or `media_s` is not known.
    """

    def answer(moment: Moment) -> str | None:
        if moment.media_s is None:
            return None
        shown = scene.truth_boxes(round(moment.media_s * scene.spec.fps))
        overlap, species = max(
            ((Box(*box).iou(moment.box), name) for name, box in shown if name in SPECIES), default=(0.0, None)
        )
        return species if overlap > 0 else None

    return answer


# -- store ------------------------------------------------------------------------------------------------------------


@contextmanager
def temporary_store(zone: ZoneInfo | None = None) -> Iterator[Store]:
    """An empty store in a temporary home (`store.home`), which is deleted at the end.

    Args:
        zone: whose midnight ends a day; UTC by default.
    """
    with (
        tempfile.TemporaryDirectory(prefix="birdwatchd-") as home,
        Store.open(Path(home), zone=zone or ZoneInfo("UTC")) as store,
    ):
        yield store


def example_visit(visit_id: str = "v1", name: str = "House sparrow", **changes: Any) -> Visit:
    """A confirmed visit of 9 seconds with one moment, to be written with `store.writer().record(visit, moments, now)`.

    Args:
        changes: other fields of the record; `start` also moves `end` and `last_seen`, unless they are given.
    """
    start: datetime = changes.get("start", START)
    scientific = _SCIENTIFIC.get(name)
    plain = Visit(
        visit_id=visit_id,
        camera="nut",
        revision=1,
        start=start,
        end=start + timedelta(seconds=9),
        verdict=Verdict(State.CONFIRMED, Rank.SPECIES, name, scientific, 0.9, ((name, 0.9), ("Great tit", 0.05))),
        moments=1,
        count_max=1,
        box=Box(0.1, 0.2, 0.3, 0.4),
        model="demo@1",
        last_seen=start + timedelta(seconds=5),
    )
    return replace(plain, **changes)


def example_moment(index: int = 0, *, quality: float = 0.5, dim: int = 8, jpeg: bytes = b"") -> MomentRow:
    """A moment as the store takes it, one second after the one before.

    Args:
        dim: length of its embedding.
        jpeg: its picture; by default some bytes that no program can show.
    """
    at = START + timedelta(seconds=index)
    crop = Crop(jpeg or f"jpeg {index}".encode(), 64, 64)
    embedding = np.linspace(-3, 3, dim, dtype=np.float32) + index
    return MomentRow(Moment(index, at, Box(0.1, 0.2, 0.3, 0.4), quality, crop), embedding, (("House sparrow", 0.9),))


# -- broker -----------------------------------------------------------------------------------------------------------


@contextmanager
def broker() -> Iterator[str]:
    """An MQTT broker on a free port of 127.0.0.1, in this process; gives its URL. Needs the extra `demo`.

    Raises:
        BrokerUnreachable: the extra is not installed, or it does not start.
    """
    running = DemoBroker()
    try:
        yield running.start()
    finally:
        running.stop()
