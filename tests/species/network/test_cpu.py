"""Crops on the CPU: divided among workers, the same outputs as one by one, and errors that are not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import birder
import numpy as np
import pytest
import torch
from birder.data.transforms.classification import get_rgb_stats
from torch import Tensor

from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.cpu import CpuWorkers, has_fast_bfloat16
from birdwatchd.species.network.network import load_network
from birdwatchd.species.network.preprocess import Pixels, Preprocessing
from tests.support.random_networks import Saved

SIZE = 192  # four of them are what one core takes at once


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """As many as torch may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def crops(count: int) -> list[Pixels]:
    return list(np.random.default_rng(count).integers(0, 256, (count, 3, SIZE, SIZE), np.uint8))


def workers_of(forward: Callable[[Tensor], tuple[Tensor, Tensor]]) -> CpuWorkers:
    transform = birder.classification_transform((SIZE, SIZE), get_rgb_stats("birder"))
    return CpuWorkers(Preprocessing(transform, (SIZE, SIZE)), forward)


def means(inputs: Tensor) -> tuple[Tensor, Tensor]:
    mean = inputs.mean(dim=(2, 3))
    return mean.double(), mean


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12, 13, 30])
def test_answers_come_in_the_order_of_the_pictures(threads: int, count: int) -> None:
    on_cpu = workers_of(means)
    given = crops(count)
    logits, embeddings = on_cpu.infer(given)
    alone = np.concatenate([on_cpu.infer([crop])[1] for crop in given])
    assert logits.dtype == embeddings.dtype == np.float32
    assert logits.shape == embeddings.shape == (count, 3)
    np.testing.assert_allclose(embeddings, alone, rtol=1e-6)
    np.testing.assert_allclose(logits, alone, rtol=1e-6)


def test_cores_have_their_own_pictures_and_share_a_single_one(threads: int) -> None:
    """No core is left out, none is on_cpu for twice, and nobody takes more than it can work on well."""
    met = threading.Barrier(threads)
    seen: list[tuple[int, int]] = []
    together = True

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if together:
            met.wait(30)  # nobody comes past it alone: they do work at the same time
        seen.append((len(inputs), torch.get_num_threads()))
        return means(inputs)

    on_cpu = workers_of(forward)
    assert on_cpu.max_batch == 4 * threads
    on_cpu.infer(crops(4 * threads))
    assert seen == [(4, 1)] * threads
    seen.clear()
    on_cpu.infer(crops(8 * threads))
    assert seen == [(4, 1)] * (2 * threads)
    seen.clear()
    together = False
    on_cpu.infer(crops(1))
    assert seen == [(1, threads)]
    seen.clear()
    on_cpu.infer(crops(2))
    assert sorted(seen) == {1: [(2, 1)], 2: [(1, 1), (1, 1)], 3: [(1, 1), (1, 2)]}[threads]
    assert torch.get_num_threads() == threads, "the caller keeps its own"
    later: list[int] = []
    newcomer = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    newcomer.start()
    newcomer.join()
    assert later == [threads], "and so do threads that begin later"


def test_workers_stay_the_same_and_end_with_the_network(threads: int) -> None:
    """OpenMP keeps a team of threads for every thread that ever on_cpu: other ones each time would add up."""
    workers: set[threading.Thread] = set()

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        workers.add(threading.current_thread())
        return means(inputs)

    on_cpu = workers_of(forward)
    for count in (2, on_cpu.max_batch, 1, 3, 2, 2):
        on_cpu.infer(crops(count))
    workers.discard(threading.current_thread())
    assert len(workers) == (threads if threads > 1 else 0)
    assert all(worker.is_alive() and worker.daemon for worker in workers)
    del on_cpu
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()


def test_an_error_of_one_core_is_the_batchs_and_comes_when_all_are_done(threads: int) -> None:
    """Who tries again in halves must find the memory of the others free."""
    done: list[bool] = []

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if float(inputs.max()) > 2.0:
            raise torch.OutOfMemoryError("no room")
        time.sleep(0.2)
        done.append(True)
        return means(inputs)

    on_cpu = workers_of(forward)
    given = [np.zeros_like(crop) for crop in crops(4 * threads)]
    given[0][:] = 255
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        on_cpu.infer(given)
    assert len(done) == threads - 1
    assert np.isfinite(on_cpu.infer(given[1:])[0]).all(), "and the next batch is answered"


def test_bfloat16_of_several_cores_is_near_float32_of_one(
    threads: int, small: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdwatchd.species.network.network.has_fast_bfloat16", lambda: True)
    half, full = (
        load_network(ModelSettings.model_validate({"file": small.pt, "device": "cpu", "precision": p}), small.pt.parent)
        for p in ("auto", "float32")
    )
    batch = list(np.random.default_rng(1).integers(0, 256, (80, 3, 64, 64), np.uint8))
    (_, near), (_, exact) = half.infer(batch), full.infer(batch)
    cosine = (near * exact).sum(axis=1) / np.linalg.norm(near, axis=1) / np.linalg.norm(exact, axis=1)
    assert 0.999 < cosine.min() <= cosine.max() < 1.0 - 1e-9


def test_a_davit_is_asked_in_bfloat16_where_the_cores_multiply_in_it(
    small: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(file: Path, precision: str, able: bool) -> str:
        monkeypatch.setattr("birdwatchd.species.network.network.has_fast_bfloat16", lambda: able)
        settings = ModelSettings.model_validate({"file": file, "device": "cpu", "precision": precision})
        return load_network(settings, file.parent).device

    assert loaded(small.pt, "auto", able=False) == "cpu, float32"
    assert loaded(small.pt, "auto", able=True) == "cpu, bfloat16"
    assert loaded(small.pt, "float32", able=True) == "cpu, float32"
    monkeypatch.setattr("birdwatchd.species.network.network.is_davit", lambda net: False)
    assert loaded(small.pt, "auto", able=True) == "cpu, float32", "of others it is not known whether it pays"
    assert loaded(small.pt, "bfloat16", able=False) == "cpu, bfloat16"


def test_what_the_cores_can_do_is_tried() -> None:
    """And soon over, also where bfloat16 is a hundred times slower."""
    began = time.monotonic()
    assert has_fast_bfloat16(min_speedup=0.0)
    assert not has_fast_bfloat16(min_speedup=1e6)
    assert time.monotonic() - began < 10.0
