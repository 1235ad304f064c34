"""Pictures that travel in lanes come back with their own answers, and the device never waits for the host in vain."""

from __future__ import annotations

from tests.support.random_networks import SMALL, Saved, build, moment, register_small

# isort: split
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import birder
import numpy as np
import pytest
import torch
from birder.data.transforms.classification import get_rgb_stats
from torch import Tensor

from birdwatchd.errors import ModelUnusable
from birdwatchd.metrics import Metrics
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.classifier import Classifier
from birdwatchd.species.network.cuda import Lanes
from birdwatchd.species.network.davit import Davit
from birdwatchd.species.network.network import load_network
from birdwatchd.species.network.preprocess import Pixels, Preparation

SIZE = (64, 64)


class Events:
    """A mark that tells when it is waited for."""

    def __init__(self, seen: list[str], name: str) -> None:
        self.seen, self.name = seen, name

    def synchronize(self) -> None:
        """Waiting on the host."""
        self.seen.append(f"wait for {self.name}")


class Slow:
    """A device like CUDA's in this: what is recorded is asked for again with other contents in the same memory.

    What is done happens at once; in which order it was asked for is kept.
    """

    device = torch.device("cpu")

    def __init__(self, room: int = 1000) -> None:
        self.room, self.seen, self.stream, self.marks = room, [], "", 0
        self.seen: list[str]

    def shared(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Ordinary memory, full of what was there before."""
        return torch.full(tuple(shape), 77, dtype=dtype)

    def uploading(self) -> AbstractContextManager[Any]:
        """Remember which stream is meant."""
        self.stream = "upload"
        return nullcontext()

    def computing(self) -> AbstractContextManager[Any]:
        """Remember which stream is meant."""
        self.stream = "compute"
        return nullcontext()

    def mark(self) -> Events:
        """Marks are numbered."""
        self.marks += 1
        self.seen.append(f"{self.stream} {self.marks}")
        return Events(self.seen, str(self.marks))

    def after(self, mark: Any) -> None:
        """The device waits, not the host."""
        self.seen.append(f"{self.stream} after {mark.name}")

    def recorded(self, work: Callable[[], None]) -> Callable[[], object]:
        """Run it once, as a rehearsal."""
        work()
        return work


@pytest.fixture(scope="module")
def net() -> Davit:
    """Small, ours."""
    register_small()
    return Davit(build(SMALL, 7, 64))


@pytest.fixture
def preparation() -> Preparation:
    """Of birder's transform."""
    return Preparation(birder.classification_transform(SIZE, get_rgb_stats("birder")), SIZE)


def lanes(net: Davit, preparation: Preparation, device: Slow, **more: Any) -> Lanes:
    """Our lanes on that device."""

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if len(inputs) > device.room:
            raise torch.OutOfMemoryError("no room")
        embedding = net.embedding(inputs)
        return net.classify(embedding), embedding

    return Lanes(device, preparation, forward, (7, 32), **{"record": True, "part": 4} | more)


def pictures(count: int) -> list[Pixels]:
    """Of many sizes, in the memory order that PIL gives."""
    chance = np.random.default_rng(count)
    sizes = [(64, 64), (50, 71), (128, 128), (9, 200), (64, 31)]
    return [chance.integers(0, 256, (*sizes[i % len(sizes)], 3), np.uint8).transpose(2, 0, 1) for i in range(count)]


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("part", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 13])
def test_every_picture_gets_its_own_answer(
    net: Davit, preparation: Preparation, count: int, part: int, record: bool
) -> None:
    """Whatever was in a place before: another bird's answer would be a wrong name in the database."""
    on_lanes = lanes(net, preparation, Slow(), part=part, record=record)
    on_lanes.infer(pictures(14))
    given = pictures(count)
    logits, embeddings = on_lanes.infer(given)
    with torch.inference_mode():
        pixels = torch.stack([preparation.on_device(torch.from_numpy(picture)) for picture in given])
        expected = net.embedding(preparation.normalised(pixels))
        np.testing.assert_allclose(embeddings, expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(logits, net.classify(expected).numpy(), atol=1e-4)


def test_the_next_part_travels_while_the_device_works(net: Davit, preparation: Preparation) -> None:
    """The host waits for a part only after it has asked for the next; each part waits for its own upload."""
    device = Slow()
    lanes(net, preparation, device).infer(pictures(12))
    assert device.seen == [
        *("upload 1", "compute after 1", "compute 2"),
        *("upload 3", "compute after 3", "compute 4", "wait for 1", "wait for 2"),
        *("upload 5", "compute after 5", "compute 6", "wait for 3", "wait for 4"),
        *("wait for 5", "wait for 6"),
    ]


def test_what_was_left_on_its_way_is_waited_for(
    net: Davit, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a part for which memory ran out, its bytes may still travel: they must not be written over."""
    device = Slow()
    on_lanes = lanes(net, preparation, device)
    with monkeypatch.context() as patch:

        def full(_picture: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("no room")

        patch.setattr(preparation, "on_device", full)
        with pytest.raises(torch.OutOfMemoryError):
            on_lanes.infer(pictures(3))
    logits, _ = on_lanes.infer(pictures(3))
    assert device.seen[:4] == ["upload 1", "compute after 1", "wait for 1", "upload 2"]
    assert np.isfinite(logits).all()


def test_parts_are_halved_until_they_fit(net: Davit, preparation: Preparation) -> None:
    """A small GPU works on fewer pictures at once; one that has no room for one is said to be full."""
    on_lanes = lanes(net, preparation, Slow(room=3), part=16)
    assert on_lanes.part == 2
    assert on_lanes.infer(pictures(5))[0].shape == (5, 7)
    with pytest.raises(torch.OutOfMemoryError):
        lanes(net, preparation, Slow(room=0))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """A machine that says it has a GPU; what is sent there stays where it is."""
    device = Slow()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Pretended")
    monkeypatch.setattr("birdwatchd.species.network.network.Cuda", lambda _device: device)
    monkeypatch.setattr(Preparation, "to", lambda *_: None)
    move = torch.nn.Module.to

    def to(self: torch.nn.Module, *where: Any, **more: Any) -> torch.nn.Module:
        return self if where == (torch.device("cuda:0"),) else move(self, *where, **more)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    return device


@pytest.mark.parametrize("precision", ["auto", "float32", "float16"])
def test_a_network_on_a_gpu_names_as_on_the_cpu(
    small: Saved, pretended: Slow, jpeg: Callable[[int, int, int], bytes], precision: str
) -> None:
    """Everything on the way to a GPU except the GPU: loading, its check, and pictures in their own sizes."""
    settings = ModelSettings.model_validate({"file": small.pt, "device": "cuda", "precision": precision})
    on_gpu = load_network(settings, small.pt.parent)
    assert on_gpu.device == f"cuda:0 (Pretended), {'bfloat16' if precision == 'auto' else precision}"
    on_cpu = load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    given = [(str(i), moment(jpeg(40 + 9 * i, 90 - 5 * i, i), i)) for i in range(7)]
    found, expected = (Classifier(n, ModelSettings(), Metrics()).predict(given) for n in (on_gpu, on_cpu))
    assert pretended.seen
    assert [p.moment.index for p in found] == list(range(7))
    for ours, reference in zip(found, expected, strict=True):
        norms = np.linalg.norm(ours.embedding) * np.linalg.norm(reference.embedding)
        assert ours.embedding @ reference.embedding / norms >= 0.999


def test_a_gpu_that_answers_wrongly_is_refused(small: Saved, pretended: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken driver answers quickly; what comes back is held against birder's module on the CPU."""

    def nothing_comes(_work: Callable[[], None]) -> Callable[[], object]:
        return lambda: None

    monkeypatch.setattr(pretended, "recorded", nothing_comes)
    with pytest.raises(ModelUnusable, match=r"cuda:0 \(Pretended\), bfloat16 gives other results than the CPU"):
        load_network(ModelSettings(file=small.pt, device="cuda"), small.pt.parent)
