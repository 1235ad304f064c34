"""Make classifiers with random weights for tests, saved by birder in its own formats."""

from __future__ import annotations

# Before torch and birder, as in the daemon: it quietens both.
from birdwatchd.species.network import checkpoint

# isort: split
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import get_rgb_stats
from birder.model_registry import registry
from birder.net.base import get_signature
from birder.net.davit import DaViT

from birdwatchd.records import Box, Crop, Moment

SMALL = "davit_testling"


@dataclass(frozen=True)
class Saved:
    """One network in both of birder's formats."""

    pt: Path
    safetensors: Path
    network: str


def register_small() -> None:
    """Make `davit_testling` known to birder; once, since birder warns of a second time."""
    config = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "heads": [1, 2, 3, 4], "drop_path_rate": 0.0}
    if not registry.exists(SMALL):
        registry.register_model_config(SMALL, DaViT, config=config)


def build(network: str, classes: int, size: int) -> Any:
    """A network in which every weight matters, and whose peaked probabilities differ from image to image.

    With fresh weights all images have nearly the same embedding. So the classifier is centred on their mean.
    """
    torch.manual_seed(20260501)
    net = registry.net_factory(network, classes, 3, size=(size, size))
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        coarse = torch.nn.functional.interpolate(torch.randn(4, 3, 4, 4), size=(size, size), mode="bicubic")
        embeddings = net.eval().embedding(coarse + 0.2 * torch.randn(4, 3, size, size))
        mean = embeddings.mean(dim=0)
        weight = net.classifier.weight
        weight.mul_(2.5 / ((embeddings - mean) @ weight.T).std())
        net.classifier.bias.copy_(-weight @ mean)
    return net


def save(
    net: Any, folder: Path, stem: str, names: list[str], size: int, network: str, claimed: int | None = None
) -> Saved:
    """Write both formats through birder; `claimed` lies about the number of classes."""
    signature = get_signature((1, 3, size, size), claimed or len(names))
    rgb_stats = get_rgb_stats("birder")
    class_to_idx = {name: index for index, name in enumerate(names)}
    folder.mkdir(parents=True, exist_ok=True)
    saved = Saved(folder / f"{stem}.pt", folder / f"{stem}.safetensors", network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs_ops.settings, "MODELS_DIR", folder)
        fs_ops.checkpoint_model(stem, 1, net, signature, class_to_idx, rgb_stats, None, None, None, None)
    (folder / f"{stem}_1.pt").rename(saved.pt)
    fs_ops.save_st(net, str(saved.safetensors), net.task, class_to_idx, signature, rgb_stats)
    return saved


def class_names(count: int) -> list[str]:
    """Names as birder's models have them: birds of the table, and `Unknown`."""
    known = checkpoint.files("birdwatchd.species").joinpath("data", "species.csv").read_text("utf-8")  # type: ignore[attr-defined]
    birds = [line.split(",")[0] for line in known.splitlines()[1:count]]
    return [*birds, "Unknown"]


def moment(jpeg: bytes, index: int = 0, width: int = 64, height: int = 64) -> Moment:
    """A moment with a crop."""
    at = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
    return Moment(index, at, Box(0.4, 0.4, 0.2, 0.2), 0.8, Crop(jpeg, width, height))
