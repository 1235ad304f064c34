"""Fixtures for the tests of species: two networks, and JPEGs."""

from __future__ import annotations

from tests.support.random_networks import SMALL, Saved, build, class_names, register_small, save

# isort: split
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True, scope="package")
def usual_cores() -> Iterator[None]:
    """The same precision on every machine; tests/species/network/test_cpu.py has the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("birdwatchd.species.network.network.has_fast_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def davit_tiny(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """The architecture that is used by default: 550 classes, 384 × 384."""
    folder = tmp_path_factory.mktemp("davit_tiny")
    return save(build("davit_tiny", 550, 384), folder, "davit_tiny_test", class_names(550), 384, "davit_tiny")


@pytest.fixture(scope="session")
def small_net() -> Any:
    """A DaViT of 64 × 64 pixels and 7 classes that loads in a moment, registered as `davit_testling`."""
    register_small()
    return build(SMALL, 7, 64)


@pytest.fixture
def small(small_net: Any, tmp_path: Path) -> Saved:
    """The small network in files of this test's own, to be spoilt at will."""
    return save(small_net, tmp_path / "weights", f"{SMALL}_x", class_names(7), 64, SMALL)


@pytest.fixture
def jpeg() -> Callable[[int, int, int], bytes]:
    """Make a JPEG of (width, height) with shapes and noise in it, another one for every seed."""

    def make(width: int, height: int, seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
        noise = rng.normal(0, 12, (height, width, 3))
        pixels = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=92, subsampling=0)
        return file.getvalue()

    return make
