"""Draw visits of birds and of distractors, and run the demo model on them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.demo.drawing.distractors import DISTRACTORS
from birdwatchd.records import FloatArray, Label
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.learned.experience import Example
from birdwatchd.species.network.network import Network, load_network
from birdwatchd.species.verdict.best_moments import BirdEvidence

BLANK = "moving background"
NO_BIRDS = (*DISTRACTORS, BLANK)
MOMENTS = 3
LENGTH_S = 6.0
WIDTH, HEIGHT, FPS = 640, 360, 10
STATIONS = 8  # scenes that visits take turns in: painting one is what takes the time
FIRST_SEED = 550_000


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One visit as the network saw it: float32, logits (moments, classes) and embeddings (moments, dim).

    Attributes:
        evidence: of the classes of the model.
    """

    kind: str
    logits: FloatArray
    embeddings: FloatArray
    evidence: BirdEvidence

    def example(self, predicted: str, *, reviewed: bool = False, truth: Label | None = None) -> Example:
        """The visit as an example to learn from."""
        energy = self.evidence.energy(self.evidence.mean_logits(self.logits))
        return Example(self.embeddings, predicted, energy, reviewed, truth)


def demo_network() -> Network:
    """The demo's model."""
    return load_network(ModelSettings(name="demo"), Path())


def draw_visits(network: Network, kind: str, count: int, first: int = 0, individual: int | None = None) -> list[Drawn]:
    """`count` visits of a species, a distractor or BLANK, in changing places.

    Args:
        first: number of the first; the same numbers are the same visits.
        individual: which one comes each time; by default another at each visit.
    """
    visits = []
    for number in range(first, first + count):
        crops = _crops(kind, number, number if individual is None else individual)
        outputs = [network.infer([network.preprocess(crop)]) for crop in crops]
        logits, embeddings = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        visits.append(Drawn(kind, logits, embeddings, BirdEvidence(network.labels)))
    return visits


def _crops(kind: str, number: int, individual: int) -> Iterator[Image.Image]:
    """Squares as the daemon cuts them, from moments spread over the visit."""
    rng = random.Random(f"{kind}/{number}")
    scene = _empty(number % STATIONS)
    if kind != BLANK:
        visit = ScheduledVisit(kind, 0.0, LENGTH_S, perch=rng.randrange(4), seed=FIRST_SEED + individual)
        scene = Scene(scene.spec, (visit,), scene)
    for frame in sorted(rng.sample(range(6, 54), MOMENTS)):
        boxes = scene.truth_boxes(frame)
        if boxes:
            x, y, w, h = boxes[0][1]
            side = max(w * WIDTH, h * HEIGHT) * rng.uniform(1.2, 1.5)
            middle = (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT
        else:
            side = rng.uniform(40, 200)
            middle = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        yield _cut(scene, frame, round(min(side, HEIGHT)), middle)


def _cut(scene: Scene, frame: int, side: int, middle: tuple[float, float]) -> Image.Image:
    left = min(max(round(middle[0] - side / 2), 0), WIDTH - side)
    top = min(max(round(middle[1] - side / 2), 0), HEIGHT - side)
    return Image.fromarray(np.ascontiguousarray(scene.frame(frame)[top : top + side, left : left + side]))


@lru_cache(maxsize=STATIONS)
def _empty(station: int) -> Scene:
    return Scene(SceneSpec(FIRST_SEED + station, WIDTH, HEIGHT, FPS), ())


__all__ = ["BLANK", "NO_BIRDS", "SPECIES", "Drawn", "demo_network", "draw_visits"]
