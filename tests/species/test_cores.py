"""Pictures on the CPU: dealt out to the cores, the same answers as one by one, and errors that are not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import birder
import numpy as np
import pytest
import torch
from birder.data.transforms.classification import get_rgb_stats
from torch import Tensor

from birdwatchd.config import ModelSettings
from birdwatchd.species.cores import Cores, multiplies_bfloat16
from birdwatchd.species.network import load_network
from birdwatchd.species.preparing import Pixels, Preparation
from tests.species.random_networks import Saved

SIZE = 192  # four of them are what one core takes at once


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """As many as torch may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pictures(count: int) -> list[Pixels]:
    return list(np.random.default_rng(count).integers(0, 256, (count, 3, SIZE, SIZE), np.uint8))


def cores(forward: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Cores:
    transform = birder.classification_transform((SIZE, SIZE), get_rgb_stats("birder"))
    return Cores(Preparation(transform, (SIZE, SIZE)), forward)


def means(inputs: Tensor) -> tuple[Tensor, Tensor]:
    mean = inputs.mean(dim=(2, 3))
    return mean.double(), mean


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12, 13, 30])
def test_answers_come_in_the_order_of_the_pictures(threads: int, count: int) -> None:
    asked = cores(means)
    given = pictures(count)
    logits, embeddings = asked.ask(given)
    alone = np.concatenate([asked.ask([picture])[1] for picture in given])
    assert logits.dtype == embeddings.dtype == np.float32
    assert logits.shape == embeddings.shape == (count, 3)
    np.testing.assert_allclose(embeddings, alone, rtol=1e-6)
    np.testing.assert_allclose(logits, alone, rtol=1e-6)


def test_cores_have_their_own_pictures_and_share_a_single_one(threads: int) -> None:
    """No core is left out, none is asked for twice, and nobody takes more than it can work on well."""
    met = threading.Barrier(threads)
    seen: list[tuple[int, int]] = []
    together = True

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if together:
            met.wait(30)  # nobody comes past it alone: they do work at the same time
        seen.append((len(inputs), torch.get_num_threads()))
        return means(inputs)

    asked = cores(forward)
    assert asked.worth == 4 * threads
    asked.ask(pictures(4 * threads))
    assert seen == [(4, 1)] * threads
    seen.clear()
    asked.ask(pictures(8 * threads))
    assert seen == [(4, 1)] * (2 * threads)
    seen.clear()
    together = False
    asked.ask(pictures(1))
    assert seen == [(1, threads)]
    seen.clear()
    asked.ask(pictures(2))
    assert sorted(seen) == ([(2, 1)] if threads == 1 else [(1, 1)] * 2)
    assert torch.get_num_threads() == threads, "the caller keeps its own"
    later: list[int] = []
    newcomer = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    newcomer.start()
    newcomer.join()
    assert later == [threads], "and so do threads that begin later"


def test_an_error_of_one_core_is_the_batchs(threads: int) -> None:
    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        if float(inputs.max()) > 2.0:
            raise torch.OutOfMemoryError("no room")
        return means(inputs)

    asked = cores(forward)
    given = [np.zeros_like(picture) for picture in pictures(4 * threads)]
    given[-1][:] = 255
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        asked.ask(given)
    assert np.isfinite(asked.ask(given[:-1])[0]).all(), "and the next batch is answered"


def test_a_davit_is_asked_in_bfloat16_where_the_cores_multiply_in_it(
    small: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(precision: str, able: bool) -> str:
        monkeypatch.setattr("birdwatchd.species.network.multiplies_bfloat16", lambda: able)
        settings = ModelSettings.model_validate({"file": small.pt, "device": "cpu", "precision": precision})
        return load_network(settings, small.pt.parent).device

    assert loaded("auto", able=False) == "cpu, float32"
    assert loaded("auto", able=True) == "cpu, bfloat16"
    assert loaded("float32", able=True) == "cpu, float32"


def test_what_the_cores_can_do_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, able in (
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False),
        ({}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert multiplies_bfloat16() is able
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not multiplies_bfloat16()
