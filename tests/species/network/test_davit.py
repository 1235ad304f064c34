"""Our form of DaViT is birder's DaViT: the same weights give the same answers, whatever its shape and the picture's."""

from __future__ import annotations

from tests.support.random_networks import SMALL, Saved, build, class_names, register_small, save

# isort: split
import copy
from pathlib import Path
from typing import Any

import birder
import numpy as np
import pytest
import torch
from birder.data.transforms.classification import get_rgb_stats
from birder.model_registry import registry
from birder.net.davit import DaViT
from PIL import Image

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network import davit
from birdwatchd.species.network.davit import Davit, is_davit
from birdwatchd.species.network.network import load_network

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "heads": [1, 2, 3, 4]},
    "deep": {"depths": [2, 1, 3, 1], "dims": [12, 24, 48, 96], "heads": [3, 6, 12, 24]},
    "one head": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8], "heads": [1, 1, 1, 1]},
    "three stages": {"depths": [1, 2, 1], "dims": [8, 16, 32], "heads": [2, 2, 4]},
    "florence": {
        "depths": [1, 1, 2, 1],
        "dims": [8, 16, 24, 32],
        "heads": [1, 2, 3, 4],
        "down_kernel_size": 3,
        "window_size": (5, 3),
        "channel_attention_type": "FlorenceChannelAttention",
    },
    "mlp head": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "heads": [1, 2, 3, 4], "mlp_head": True},
}
SIZES = ((64, 64), (96, 64), (101, 75), (130, 67))


def birders(config: dict[str, Any], size: tuple[int, int], classes: int = 7) -> Any:
    """A network whose every weight matters."""
    torch.manual_seed(3)
    net = DaViT(3, classes, config={"drop_path_rate": 0.1, **config}, size=size).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("config", CONFIGS)
def test_it_answers_what_birder_answers(config: str, size: tuple[int, int]) -> None:
    """Odd sizes, padded windows and both kinds of channel attention: a wrong one is a wrong bird."""
    net = birders(CONFIGS[config], size)
    x = torch.randn(3, 3, *size)
    with torch.inference_mode():
        embedding, logits = net.embedding(x), net(x)
        ours = Davit(copy.deepcopy(net))
        described = ours.embedding(x.contiguous(memory_format=torch.channels_last))
    assert embedding.std() > 0.1
    torch.testing.assert_close(described, embedding, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(ours.classify(described), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["davit_tiny", "davit_fl_tiny"])
def test_the_registered_shapes_are_answered_alike(name: str) -> None:
    """These are what people use; 192 pixels make the windows of the Florence kind need padding."""
    net = build(name, 50, 192)
    x = torch.randn(2, 3, 192, 192)
    with torch.inference_mode():
        expected = net.embedding(x)
        found = Davit(copy.deepcopy(net)).embedding(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_small_parts_of_a_perceptron_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU rows go through in parts; the last one is shorter, and none may be left out."""
    net = birders(CONFIGS["deep"], (101, 75))
    x = torch.randn(2, 3, 101, 75)
    monkeypatch.setattr(davit, "_MLP_CHUNK_BYTES", 1)
    with torch.inference_mode():
        expected = net.embedding(x)
        torch.testing.assert_close(Davit(copy.deepcopy(net)).embedding(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("dtype", "least"), [(torch.bfloat16, 0.999), (torch.float16, 0.9999)])
def test_half_a_precision_is_near(dtype: torch.dtype, least: float) -> None:
    """On a GPU it is the default: the direction of an embedding must stay what it is."""
    net = birders(CONFIGS["deep"], (96, 64))
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        expected = net.embedding(x)
        found = Davit(copy.deepcopy(net), dtype).embedding(x)
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() >= least


def test_what_is_not_known_is_left_to_birder() -> None:
    """Other networks, and DaViTs with parts that this form does not have, must not be answered wrongly."""
    register_small()
    assert is_davit(build(SMALL, 7, 64))
    assert not is_davit(registry.net_factory("mobilenet_v3_small_0_5", 7, 3, size=(64, 64)))
    other = birders(CONFIGS["plain"], (64, 64))
    other.body.stage2.blocks[0].cpe1.act = torch.nn.GELU()
    assert not is_davit(other)


def test_a_form_that_disagrees_with_birder_is_refused(small: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new torch may break one kernel; the daemon must say so at its start, not name birds with it."""
    right = Davit.embedding
    monkeypatch.setattr(Davit, "embedding", lambda self, x: right(self, x).flip(1))
    with pytest.raises(ModelUnusable, match="cpu, float32 gives other results than the CPU for"):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    monkeypatch.setattr(Davit, "embedding", lambda self, x: right(self, x) * float("nan"))
    with pytest.raises(ModelUnusable, match="NaN or infinity on cpu, float32"):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)


def test_other_networks_answer_through_birders_own_module(tmp_path: Path) -> None:
    """Any birder classifier works by file; only DaViT is rewritten."""
    name = "regnet_x_200m"
    net = build(name, 7, 64)
    saved = save(net, tmp_path, f"{name}_x", class_names(7), 64, name)
    network = load_network(ModelSettings(file=saved.safetensors, device="cpu"), tmp_path)
    pixels = np.random.default_rng(5).integers(0, 256, (3, 3, 64, 64), np.uint8)
    transform = birder.classification_transform((64, 64), get_rgb_stats("birder"))
    inputs = torch.stack([transform(Image.fromarray(p.transpose(1, 2, 0))) for p in pixels])
    with torch.inference_mode():
        np.testing.assert_allclose(network.infer(pixels)[0], net(inputs).numpy(), atol=1e-4)
