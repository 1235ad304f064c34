"""Crops that go through the pipeline come back with their own outputs, and uploads overlap with compute."""

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
from birdwatchd.species.network.cuda import CudaPipeline
from birdwatchd.species.network.davit import Davit
from birdwatchd.species.network.network import load_network
from birdwatchd.species.network.preprocess import Pixels, Preprocessing

SIZE = (64, 64)


class FakeEvent:
    """An event that notes when the host waits for it."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def synchronize(self) -> None:
        """Waiting on the host."""
        self.log.append(f"wait for {self.name}")


class FakeGpu:
    """A device like CUDA's in this: what is captured is replayed with other contents in the same memory.

    Work is done at once; the order in which it was queued is kept in `log`.
    """

    device = torch.device("cpu")

    def __init__(self, most: int = 1000) -> None:
        self.log: list[str] = []
        self.most, self.stream, self.events = most, "", 0

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Ordinary memory, full of what was there before."""
        return torch.full(tuple(shape), 77, dtype=dtype)

    def upload_stream(self) -> AbstractContextManager[Any]:
        """Remember which stream is current."""
        self.stream = "upload"
        return nullcontext()

    def compute_stream(self) -> AbstractContextManager[Any]:
        """Remember which stream is current."""
        self.stream = "compute"
        return nullcontext()

    def record_event(self) -> FakeEvent:
        """Events are numbered."""
        self.events += 1
        self.log.append(f"{self.stream} {self.events}")
        return FakeEvent(self.log, str(self.events))

    def wait_event(self, event: Any) -> None:
        """The device waits, not the host."""
        self.log.append(f"{self.stream} after {event.name}")

    def capture(self, work: Callable[[], None]) -> Callable[[], object]:
        """Run it once, as a warm-up."""
        work()
        return work


@pytest.fixture(scope="module")
def net() -> Davit:
    """Small, ours."""
    register_small()
    return Davit(build(SMALL, 7, 64))


@pytest.fixture
def preprocessing() -> Preprocessing:
    """Of birder's transform."""
    return Preprocessing(birder.classification_transform(SIZE, get_rgb_stats("birder")), SIZE)


def pipeline(net: Davit, preprocessing: Preprocessing, device: FakeGpu, **more: Any) -> CudaPipeline:
    """Our pipeline on that device."""

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if len(inputs) > device.most:
            raise torch.OutOfMemoryError("no memory")
        embedding = net.embedding(inputs)
        return net.classify(embedding), embedding

    return CudaPipeline(device, preprocessing, forward, (7, 32), **{"capture": True, "micro_batch": 4} | more)


def crops(count: int) -> list[Pixels]:
    """Of many sizes, in the memory order that PIL gives."""
    chance = np.random.default_rng(count)
    sizes = [(64, 64), (50, 71), (128, 128), (9, 200), (64, 31)]
    return [chance.integers(0, 256, (*sizes[i % len(sizes)], 3), np.uint8).transpose(2, 0, 1) for i in range(count)]


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("micro_batch", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 13])
def test_every_picture_gets_its_own_answer(
    net: Davit, preprocessing: Preprocessing, count: int, micro_batch: int, capture: bool
) -> None:
    """Whatever was in a place before: another bird's answer would be a wrong name in the database."""
    on_gpu = pipeline(net, preprocessing, FakeGpu(), micro_batch=micro_batch, capture=capture)
    on_gpu.infer(crops(14))
    given = crops(count)
    logits, embeddings = on_gpu.infer(given)
    with torch.inference_mode():
        pixels = torch.stack([preprocessing.resize_on_device(torch.from_numpy(crop)) for crop in given])
        expected = net.embedding(preprocessing.normalise(pixels))
        np.testing.assert_allclose(embeddings, expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(logits, net.classify(expected).numpy(), atol=1e-4)


def test_the_next_part_travels_while_the_device_works(net: Davit, preprocessing: Preprocessing) -> None:
    """The host waits for a micro-batch only after it has queued the next; each one waits for its own upload."""
    device = FakeGpu()
    pipeline(net, preprocessing, device).infer(crops(12))
    assert device.log == [
        *("upload 1", "compute after 1", "compute 2"),
        *("upload 3", "compute after 3", "compute 4", "wait for 1", "wait for 2"),
        *("upload 5", "compute after 5", "compute 6", "wait for 3", "wait for 4"),
        *("wait for 5", "wait for 6"),
    ]


def test_what_was_left_on_its_way_is_waited_for(
    net: Davit, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a micro-batch for which memory ran out, its bytes may still travel: they must not be written over."""
    device = FakeGpu()
    on_gpu = pipeline(net, preprocessing, device)
    with monkeypatch.context() as patch:

        def full(_picture: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("no memory")

        patch.setattr(preprocessing, "resize_on_device", full)
        with pytest.raises(torch.OutOfMemoryError):
            on_gpu.infer(crops(3))
    logits, _ = on_gpu.infer(crops(3))
    assert device.log[:4] == ["upload 1", "compute after 1", "wait for 1", "upload 2"]
    assert np.isfinite(logits).all()


def test_parts_are_halved_until_they_fit(net: Davit, preprocessing: Preprocessing) -> None:
    """A small GPU works on fewer crops at once; one that has no memory for one is said to be full."""
    on_gpu = pipeline(net, preprocessing, FakeGpu(most=3), micro_batch=16)
    assert on_gpu.micro_batch == 2
    assert on_gpu.infer(crops(5))[0].shape == (5, 7)
    with pytest.raises(torch.OutOfMemoryError):
        pipeline(net, preprocessing, FakeGpu(most=0))


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """A machine that says it has a GPU; what is sent there stays where it is."""
    device = FakeGpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Pretended")
    monkeypatch.setattr("birdwatchd.species.network.network.Cuda", lambda _device: device)
    monkeypatch.setattr(Preprocessing, "to", lambda *_: None)
    move = torch.nn.Module.to

    def to(self: torch.nn.Module, *where: Any, **more: Any) -> torch.nn.Module:
        return self if where == (torch.device("cuda:0"),) else move(self, *where, **more)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    return device


@pytest.mark.parametrize("precision", ["auto", "float32", "float16"])
def test_a_network_on_a_gpu_names_as_on_the_cpu(
    small: Saved, fake_gpu: FakeGpu, jpeg: Callable[[int, int, int], bytes], precision: str
) -> None:
    """Everything on the way to a GPU except the GPU: loading, its check, and crops in their own sizes."""
    settings = ModelSettings.model_validate({"file": small.pt, "device": "cuda", "precision": precision})
    on_gpu = load_network(settings, small.pt.parent)
    assert on_gpu.device == f"cuda:0 (Pretended), {'bfloat16' if precision == 'auto' else precision}"
    on_cpu = load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    given = [(str(i), moment(jpeg(40 + 9 * i, 90 - 5 * i, i), i)) for i in range(7)]
    found, expected = (Classifier(n, ModelSettings(), Metrics()).predict(given) for n in (on_gpu, on_cpu))
    assert fake_gpu.log
    assert [p.moment.index for p in found] == list(range(7))
    for ours, reference in zip(found, expected, strict=True):
        norms = np.linalg.norm(ours.embedding) * np.linalg.norm(reference.embedding)
        assert ours.embedding @ reference.embedding / norms >= 0.999


def test_a_gpu_that_answers_wrongly_is_refused(
    small: Saved, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken driver answers quickly; what comes back is held against birder's module on the CPU."""

    def nothing_comes(_work: Callable[[], None]) -> Callable[[], object]:
        return lambda: None

    monkeypatch.setattr(fake_gpu, "capture", nothing_comes)
    with pytest.raises(ModelUnusable, match=r"cuda:0 \(Pretended\), bfloat16 gives other results than the CPU"):
        load_network(ModelSettings(file=small.pt, device="cuda"), small.pt.parent)
