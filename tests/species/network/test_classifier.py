"""The classifier takes what cameras hand it, in batches, and survives what is wrong with it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from birdwatchd.errors import DeviceLost
from birdwatchd.metrics import Metrics
from birdwatchd.records import FloatArray, Moment
from birdwatchd.seen_part import Look, PixelRect, with_mark
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.classifier import Classifier
from birdwatchd.species.network.network import load_network
from birdwatchd.species.network.preprocess import Pixels
from birdwatchd.species.network.torch_errors import DeviceOutOfMemory
from tests.support.random_networks import Saved, moment

Jpeg = Callable[[int, int, int], bytes]


class FakeNetwork:
    """Answers with the mean brightness; fails when told to."""

    device = "fake"
    max_batch: int | None = None

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.batches: list[int] = []
        self.spoilt = False

    def preprocess(self, image: Image.Image) -> Pixels:
        """8 × 8 pixels are plenty."""
        return np.asarray(image.convert("RGB").resize((8, 8))).transpose(2, 0, 1)

    def infer(self, batch: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """Two classes, one dimension."""
        self.batches.append(len(batch))
        if len(batch) > self.room:
            raise DeviceOutOfMemory("no room")
        mean = np.stack(batch).reshape(len(batch), -1).mean(axis=1).astype(np.float32)
        mean = np.full_like(mean, np.nan) if self.spoilt else mean
        return np.stack([mean, -mean], axis=1), mean[:, None]


def grey(level: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(file, "JPEG", quality=100)
    return file.getvalue()


def given(*pictures: bytes) -> list[tuple[str, Moment]]:
    """Moments of as many visits."""
    return [(f"visit {i}", moment(picture, i)) for i, picture in enumerate(pictures)]


def test_every_moment_gets_its_own_answer() -> None:
    """Answers that slip by one place put each bird's name on its neighbour's visit."""
    network, metrics = FakeNetwork(), Metrics()
    classifier = Classifier(network, ModelSettings(max_batch=3), metrics)
    predictions = classifier.predict(given(*(grey(level) for level in range(10, 90, 10))))
    assert network.batches == [3, 3, 2]
    assert [(p.visit_id, p.moment.index) for p in predictions] == [(f"visit {i}", i) for i in range(8)]
    assert [round(float(p.embedding[0])) for p in predictions] == list(range(10, 90, 10))
    assert metrics.get("crops_classified_total") == 8


@pytest.mark.parametrize(
    "broken", [b"", b"not a picture", grey(3)[:-400], b"\x89PNG\r\n\x1a\n" + bytes(40), grey(3, (9000, 4000))]
)
def test_a_picture_that_cannot_be_read_costs_only_itself(broken: bytes) -> None:
    """A camera may send anything; the other birds of the batch must not pay for it."""
    metrics = Metrics()
    classifier = Classifier(FakeNetwork(), ModelSettings(), metrics)
    predictions = classifier.predict(given(grey(10), broken, grey(30)))
    assert [p.moment.index for p in predictions] == [0, 2]
    assert metrics.get("crops_undecodable_total") == 1
    assert classifier.predict(given(broken)) == []
    assert classifier.predict([]) == []


def in_its_middle(level: int, around: int, *, claimed: int = 48) -> bytes:
    """A JPEG of one grey with a square of another in its middle, which is marked as what is to be seen."""
    image = Image.new("L", (48, 48), around)
    image.paste(level, (16, 16, 32, 32))
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=100, subsampling=0)
    return with_mark(file.getvalue(), PixelRect(16, 16, 32, 32), claimed, claimed)


def test_only_the_marked_part_of_a_crop_is_classified() -> None:
    """The picture shows more around the bird for people; what the network sees of the hedge costs it names."""
    classifier = Classifier(FakeNetwork(), ModelSettings(), Metrics())
    predictions = classifier.predict(given(in_its_middle(60, 200), in_its_middle(60, 200, claimed=99), grey(60)))
    seen = [round(float(p.embedding[0])) for p in predictions]
    assert seen[0] == seen[2] == 60
    assert seen[1] > 150  # the mark is of another picture: all of it


def test_a_wider_look_is_at_all_of_a_picture_that_shows_more() -> None:
    """A picture of an older version is classified as a whole already: once more would cost as much and say the same."""
    classifier = Classifier(FakeNetwork(), ModelSettings(), Metrics())
    (found,) = classifier.predict(given(in_its_middle(60, 200), grey(60)), look=Look.WIDER)
    assert found.visit_id == "visit 0"
    assert float(found.embedding[0]) == pytest.approx((60 + 8 * 200) / 9, abs=2)


def test_whether_a_bird_is_dark_is_judged_in_the_marked_part() -> None:
    """A dark bird in the snow, or a bright one in the shade: what is around decides nothing."""
    classifier = Classifier(FakeNetwork(), ModelSettings(), Metrics())
    dark, bright = in_its_middle(50, 250), in_its_middle(200, 5)
    (prediction,) = classifier.predict(given(dark, bright), look=Look.BRIGHTER)
    assert prediction.moment.index == 0
    assert round(float(prediction.embedding[0])) == 118


def test_out_of_memory_halves_the_batch_once_and_is_remembered() -> None:
    """Running into the wall again with every batch would cost half of the GPU's time."""
    network = FakeNetwork(room=4)
    classifier = Classifier(network, ModelSettings(max_batch=8), Metrics())
    pictures = given(*(grey(level) for level in range(10, 90, 10)))
    assert [p.moment.index for p in classifier.predict(pictures)] == list(range(8))
    assert network.batches == [8, 4, 4]
    assert [round(float(p.embedding[0])) for p in classifier.predict(pictures)] == list(range(10, 90, 10))
    assert network.batches[3:] == [4, 4]
    network.room = 2
    with pytest.raises(DeviceLost):
        classifier.predict(pictures)


def test_no_room_for_a_single_picture_is_a_lost_device() -> None:
    """There is nothing left to halve; only a new process can help."""
    with pytest.raises(DeviceLost):
        Classifier(FakeNetwork(room=0), ModelSettings(), Metrics()).predict(given(grey(1)))


def test_nan_is_dropped_and_a_row_of_them_is_a_lost_device() -> None:
    """One spoilt answer would turn a visit's mean into NaN; nothing but spoilt answers is a dead GPU."""
    network, metrics = FakeNetwork(), Metrics()
    classifier = Classifier(network, ModelSettings(), metrics)
    for _ in range(3):
        network.spoilt = True
        assert classifier.predict(given(*[grey(9)] * 7)) == []
        network.spoilt = False
        assert len(classifier.predict(given(grey(9)))) == 1
    assert metrics.get("crops_spoilt_total") == 21
    network.spoilt = True
    with pytest.raises(DeviceLost, match="8 pictures in a row"):
        classifier.predict(given(*[grey(9)] * 8))


def test_errors_of_the_device_carry_its_name(small: Saved, monkeypatch: pytest.MonkeyPatch, jpeg: Jpeg) -> None:
    """Above this border nobody knows torch; its exceptions would be taken for bugs."""
    network = load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)

    def fail_with(error: Exception) -> None:
        def layer_norm(*_: object) -> torch.Tensor:
            raise error

        monkeypatch.setattr("birdwatchd.species.network.davit.F.layer_norm", layer_norm)

    classifier = Classifier(network, ModelSettings(), Metrics())
    for error in (RuntimeError("CUDA error: unspecified launch failure\nmore"), MemoryError()):
        fail_with(error)
        with pytest.raises(DeviceLost, match=r"cpu, float32 failed under davit_testling_x@"):
            classifier.predict(given(jpeg(50, 40, 1)))
    fail_with(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(DeviceOutOfMemory):
        network.infer(np.zeros((1, 3, 64, 64), np.uint8))


def test_on_a_cpu_batches_are_what_the_cores_take_at_once(small: Saved, davit_tiny: Saved) -> None:
    """A batch of 8 at 384 pixels on one core costs half a gigabyte and is no faster than one by one."""
    small_network = load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    large_network = load_network(ModelSettings(file=davit_tiny.pt, device="cpu"), davit_tiny.pt.parent)
    settings = ModelSettings(max_batch=32)
    assert Classifier(large_network, settings, Metrics()).max_batch == min(32, torch.get_num_threads())
    assert Classifier(small_network, settings, Metrics()).max_batch == 32


def test_only_dark_pictures_are_brightened_and_to_middle_grey() -> None:
    """A second look at what is light enough costs as much and says the same."""
    network, metrics = FakeNetwork(), Metrics()
    classifier = Classifier(network, ModelSettings(), metrics)
    predictions = classifier.predict(given(grey(50), grey(160), grey(80), grey(10)), look=Look.BRIGHTER)
    assert [p.visit_id for p in predictions] == ["visit 0", "visit 2", "visit 3"]
    assert [float(p.embedding[0]) for p in predictions] == [118, 118, 40]  # at most four times: more is noise
    assert network.batches == [3]


def test_how_dark_a_picture_is_is_measured_where_the_bird_is() -> None:
    """A dark bird before the bright sky is dark."""
    classifier = Classifier(FakeNetwork(), ModelSettings(), Metrics())
    backlit = Image.new("RGB", (140, 140), (255, 255, 255))
    backlit.paste((50, 50, 50), (20, 20, 120, 120))
    file = io.BytesIO()
    backlit.save(file, "JPEG", quality=100)
    assert len(classifier.predict(given(file.getvalue()), look=Look.BRIGHTER)) == 1


@pytest.mark.parametrize(("side", "looked_at"), [(50, True), (20, False)])
def test_a_dark_bird_before_bright_leaves_is_dark(side: int, looked_at: bool) -> None:
    """A titmouse on a perch in the shade was "no bird" where leaves in the sun filled the rest of its crop."""
    network = FakeNetwork()
    leaves = Image.new("RGB", (140, 140), (200, 200, 200))
    leaves.paste((40, 40, 40), (45, 45, 45 + side, 45 + side))
    file = io.BytesIO()
    leaves.save(file, "JPEG", quality=100)
    found = Classifier(network, ModelSettings(), Metrics()).predict(given(file.getvalue()), look=Look.BRIGHTER)
    assert len(found) == looked_at
