"""The bundled demo model is an ordinary birder model: small, honest about its name, read by the same code."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import birder
import numpy as np
import pytest
import torch
from birder.common.fs_ops import load_model_with_cfg
from birder.inference.classification import infer_image
from PIL import Image

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.network import load_network

DEMO = ModelSettings(name="demo", device="cpu")


def test_demo_loads_by_name_and_says_so(tmp_path: Path) -> None:
    """`birdwatchd demo` starts with it, and no row it writes may pass for a real model's."""
    network = load_network(DEMO, tmp_path)
    assert network.name == "demo"
    assert network.model_id.startswith("demo@")
    assert len(network.labels) == 9
    assert [label.common_name for label in network.labels if not label.is_species] == ["Unknown"]
    assert all(label.scientific_name and label.family for label in network.labels if label.is_species)
    logits, embedding = network.infer(np.zeros((2, 3, *network.size), np.uint8))
    assert (logits.shape, embedding.shape) == ((2, 9), (2, network.dim))
    assert list(tmp_path.iterdir()) == []


def test_demo_gives_birders_numbers(jpeg: Callable[[int, int, int], bytes], tmp_path: Path) -> None:
    """Who opens the demo weights with birder itself must see what birdwatchd sees."""
    weights = Path(str(files("birdwatchd.species"))) / "weights"
    theirs, config = load_model_with_cfg(weights / "demo.json", weights / "demo.safetensors")
    network = load_network(DEMO, tmp_path)
    transform = birder.classification_transform(network.size, config["rgb_stats"])
    for seed in range(3):
        picture = Image.open(io.BytesIO(jpeg(90 + 70 * seed, 120, seed)))
        with torch.inference_mode():
            p, embedding = infer_image(theirs.eval(), picture, transform, return_embedding=True)
        logits, ours = network.infer(network.preprocess(picture)[None])
        powers = np.exp(logits[0] - logits[0].max())
        assert np.abs(powers / powers.sum() - p[0]).max() <= 1e-5
        assert embedding is not None
        assert ours[0] @ embedding[0] / np.linalg.norm(ours[0]) / np.linalg.norm(embedding[0]) >= 0.99999


def test_demo_and_a_file_exclude_each_other(tmp_path: Path) -> None:
    """Other weights under the name `demo` would mix two models' embeddings."""
    with pytest.raises(ModelUnusable, match="exclude each other"):
        load_network(ModelSettings(name="demo", file=tmp_path / "x.pt"), tmp_path)
