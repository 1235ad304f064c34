"""Pictures in, names out: a program gets the name that the daemon would give, at the price of the daemon's looks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Box, Crop, Evidence, Moment, State, Verdict
from birdwatchd.seen_part import PixelRect, with_mark
from birdwatchd.settings.model import ModelSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.image_classifier import ImageClassifier
from birdwatchd.species.network.classifier import Classifier
from birdwatchd.species.network.network import Network, load_network
from birdwatchd.stages.classify import ClassifiedEvidence, Classify
from birdwatchd.testing import bird_image

AT = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
LIGHTS = (1.0, 0.3, 0.12)  # of what the drawn picture has


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_network(ModelSettings(name="demo", device="cpu"), tmp_path_factory.mktemp("weights"))


@pytest.fixture
def classifier(network: Network) -> ImageClassifier:
    return ImageClassifier(network, SpeciesSettings(), ZoneInfo("UTC"))


def crop(species: str, light: float, seed: int) -> Crop:
    """A JPEG of a cartoon bird, as a camera's process cuts it out, under so much of the light."""
    image = bird_image(species, seed).point(lambda level: level * light)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, subsampling=0)
    return Crop(file.getvalue(), *image.size)


def images(crops: Sequence[Crop]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(one.jpeg)) for one in crops]


def by_the_daemon(classifier: ImageClassifier, crops: Sequence[Crop]) -> Verdict:
    """What the classify stage says of a visit with these crops."""
    metrics = Metrics()
    out: Handover[tuple[ClassifiedEvidence, ...]] = Handover("record", metrics)
    predictor = Classifier(classifier.network, ModelSettings(name="demo"), metrics)
    begin, mailbox = classifier.fusion.running, Mailbox(metrics)
    stage = Classify(mailbox, out, predictor, begin, metrics, max_wait_s=0, stop=Stop())
    box = Box(0.1, 0.1, 0.1, 0.1)
    moments = tuple(Moment(index, AT, box, 0.5, one) for index, one in enumerate(crops))
    (judged,) = stage.classify([Evidence("v", "cam", 1, AT, AT, AT, moments, 1)])
    return judged.verdict


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_gets_the_name_that_the_daemon_gives_it(
    classifier: ImageClassifier, light: float, count: int
) -> None:
    """Who tries a picture by hand must see what a camera with that picture would have stored."""
    for number, species in enumerate(SPECIES):
        crops = [crop(species, light, number + 10 * i) for i in range(count)]
        ours, theirs = classifier.classify(images(crops), AT), by_the_daemon(classifier, crops)
        assert (ours.state, ours.common_name, ours.reasons) == (theirs.state, theirs.common_name, theirs.reasons)
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)


def with_surroundings(species: str, light: float, seed: int) -> tuple[Crop, Crop]:
    """The same bird alone, and with as much of a red wall around it, marked; its side is of whole blocks of a JPEG."""
    bird = bird_image(species, seed).point(lambda level: level * light).resize((128, 128))
    wide = Image.new("RGB", (192, 192), (200, 40, 30))
    wide.paste(bird, (32, 32))
    crops = []
    for image in (bird, wide):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=94, subsampling=0)
        crops.append(Crop(file.getvalue(), *image.size))
    marked = with_mark(crops[1].jpeg, PixelRect(32, 32, 160, 160), 192, 192)
    return crops[0], Crop(marked, 192, 192)


@pytest.mark.parametrize("light", LIGHTS[:2])
def test_what_is_around_a_bird_changes_no_name(classifier: ImageClassifier, light: float) -> None:
    """By hand and by the daemon: a wider picture is for people, and its bird keeps name and score."""
    for number, species in enumerate(SPECIES[:3]):
        alone, wide = with_surroundings(species, light, number)
        expected = classifier.classify(images([alone]), AT)
        for verdict in (classifier.classify(images([wide]), AT), by_the_daemon(classifier, [wide])):
            assert (verdict.state, verdict.common_name) == (expected.state, expected.common_name)
            assert verdict.score == pytest.approx(expected.score, abs=1e-4)


class Lamp:
    """A network that names a great tit the more surely the lighter a picture is, and counts what it was shown."""

    name, dim = "lamp", 2

    def __init__(self, network: Network) -> None:
        self.labels, self.shown = network.labels, 0
        self.tit = next(i for i, label in enumerate(self.labels) if label.common_name == "Great tit")

    def preprocess(self, image: Image.Image) -> Any:
        return np.asarray(image.convert("RGB").resize((4, 4))).transpose(2, 0, 1)

    def infer(self, batch: Sequence[Any]) -> tuple[Any, Any]:
        self.shown += len(batch)
        logits = np.zeros((len(batch), len(self.labels)), np.float32)
        logits[:, self.tit] = [pixels.mean() / 12 for pixels in batch]
        return logits, np.ones((len(batch), 2), np.float32)


@pytest.mark.parametrize(("light", "mode", "shown"), [(150, "L", 1), (30, "L", 2), (30, "RGBA", 2), (30, "P", 2)])
def test_only_a_dark_picture_costs_a_second_look(network: Network, light: int, mode: str, shown: int) -> None:
    """A program that names a million bright pictures must not pay for two million; any mode of picture is taken."""
    lamp: Any = Lamp(network)
    verdict = ImageClassifier(lamp, SpeciesSettings(), ZoneInfo("UTC")).classify(
        [Image.new("L", (64, 64), light).convert(mode)]
    )
    assert lamp.shown == shown
    assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "Great tit")


def test_no_picture_is_no_bird(classifier: ImageClassifier) -> None:
    """A program may have found nothing to cut out."""
    assert classifier.classify([]).state is State.UNKNOWN
