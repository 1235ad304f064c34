"""birder is the reference: what we answer for a picture is what birder answers, on the real architecture."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import birder
import numpy as np
import pytest
import torch
from birder.common.fs_ops import load_model
from birder.common.lib import get_size_from_signature
from birder.inference.classification import infer_image
from PIL import Image

from birdwatchd.metrics import Metrics
from birdwatchd.records import FloatArray, Prediction
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.classifier import Classifier
from birdwatchd.species.network.network import Network, load_network
from tests.support.random_networks import Saved, moment

Jpeg = Callable[[int, int, int], bytes]
SIZES = ((640, 480), (37, 91), (1000, 333))
one_format = pytest.mark.parametrize("both", ["safetensors"], indirect=True)


@pytest.fixture(scope="module", params=["pt", "safetensors"])
def both(request: pytest.FixtureRequest, davit_tiny: Saved) -> tuple[Network, Any, Any]:
    """Our network, birder's network and birder's transform, of the same file."""
    path: Path = getattr(davit_tiny, request.param)
    ours = load_network(ModelSettings(file=path, device="cpu"), path.parent)
    theirs, info = load_model(
        torch.device("cpu"), "davit_tiny", path=path, st=request.param == "safetensors", inference=True
    )
    return ours, theirs, birder.classification_transform(get_size_from_signature(info.signature), info.rgb_stats)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities, float64 inside."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return (powers / powers.sum()).astype(np.float32)


def cosine(a: FloatArray, b: FloatArray) -> float:
    """Between two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def ask_birder(net: Any, picture: Image.Image, transform: Any) -> tuple[FloatArray, FloatArray]:
    """birder's own answer: probabilities (classes,), embedding (dim,)."""
    with torch.inference_mode():
        p, embedding = infer_image(net, picture, transform, return_embedding=True)
    assert embedding is not None
    return p[0], embedding[0]


def predict(network: Network, pictures: Sequence[bytes]) -> list[Prediction]:
    """Through the door that the daemon uses."""
    given = [(f"visit {i}", moment(picture, i)) for i, picture in enumerate(pictures)]
    return Classifier(network, ModelSettings(), Metrics()).predict(given)


def test_probabilities_and_embedding_equal_birders(both: tuple[Network, Any, Any], jpeg: Jpeg) -> None:
    """A species that a scientist reads here must be the one birder would have named, to five digits."""
    ours, theirs, transform = both
    pictures = [jpeg(w, h, seed) for seed, (w, h) in enumerate(SIZES)]
    predictions = predict(ours, pictures)
    assert [p.moment.index for p in predictions] == [0, 1, 2]
    for picture, prediction in zip(pictures, predictions, strict=True):
        p, embedding = ask_birder(theirs, Image.open(io.BytesIO(picture)), transform)
        assert p.max() > 0.05, "probabilities so flat that nothing could differ"
        assert np.abs(softmax(prediction.logits) - p).max() <= 1e-5
        assert cosine(prediction.embedding, embedding) >= 0.99999
        assert prediction.logits.dtype == prediction.embedding.dtype == np.float32


@one_format
def test_the_comparison_can_fail(both: tuple[Network, Any, Any], jpeg: Jpeg) -> None:
    """The equality above is worth nothing unless another resize or another picture breaks it."""
    ours, theirs, transform = both
    picture = Image.open(io.BytesIO(jpeg(640, 480, 0)))
    exact, _ = ask_birder(theirs, picture, transform)
    bilinear = picture.resize((384, 384), Image.Resampling.BILINEAR)
    logits, _ = ours.infer(ours.preprocess(bilinear)[None])
    assert np.abs(softmax(logits[0]) - exact).max() > 1e-3
    other, _ = ours.infer(ours.preprocess(Image.open(io.BytesIO(jpeg(640, 480, 5))))[None])
    assert int(other[0].argmax()) != int(exact.argmax())


@one_format
def test_a_batch_gives_what_single_pictures_give(both: tuple[Network, Any, Any], jpeg: Jpeg) -> None:
    """A bird's name must not depend on which other cameras were busy at that moment."""
    ours, _, _ = both
    pictures = [ours.preprocess(Image.open(io.BytesIO(jpeg(200, 150, seed)))) for seed in range(3)]
    logits, embeddings = ours.infer(np.stack(pictures))
    for picture, row, embedding in zip(pictures, logits, embeddings, strict=True):
        alone, alone_embedding = ours.infer(picture[None])
        assert np.abs(softmax(row) - softmax(alone[0])).max() <= 1e-5
        assert cosine(embedding, alone_embedding[0]) >= 0.99999


@one_format
def test_the_network_says_what_it_is(both: tuple[Network, Any, Any], davit_tiny: Saved) -> None:
    """Rows name their model and version, and vectors of two models are never compared."""
    ours, _, _ = both
    assert (ours.name, ours.size, ours.dim) == ("davit_tiny_test", (384, 384), 768)
    assert ours.version == hashlib.sha256(davit_tiny.safetensors.read_bytes()).hexdigest()[:12]
    assert ours.model_id == f"davit_tiny_test@{ours.version}"
    assert len(ours.labels) == 550
    assert ours.labels[0].scientific_name == "Crex egregia"
    assert [label.common_name for label in ours.labels if not label.is_species] == ["Unknown"]


@one_format
def test_stages_have_the_shapes_of_davit_tiny(both: tuple[Network, Any, Any]) -> None:
    """If these move, birder's davit_tiny is another network and its published weights no longer fit."""
    _, theirs, _ = both
    features = theirs.detection_features(torch.zeros(1, 3, 384, 384))
    assert {stage: tuple(x.shape[1:]) for stage, x in features.items()} == {
        "stage1": (96, 96, 96),
        "stage2": (192, 48, 48),
        "stage3": (384, 24, 24),
        "stage4": (768, 12, 12),
    }


def test_birder_is_silent_in_a_daemon(small: Saved) -> None:
    """The journal belongs to the daemon: no foreign log handler, no progress bar, no warning, no LOG_LEVEL trap."""
    script = (
        "from pathlib import Path; from birdwatchd.settings.config import ModelSettings\n"
        "from birdwatchd.species.network.network import load_network; from birdwatchd.errors import ModelUnusable\n"
        "import logging, birder; assert logging.getLogger('birder').handlers == []\n"
        "try: load_network(ModelSettings(name='davit_tiny_il-all', download=False), Path('/nowhere'))\n"
        "except ModelUnusable: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"LOG_LEVEL": "debug", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=small.pt.parent,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
    assert not (small.pt.parent / "models").exists()


@pytest.mark.parametrize("module", ["network.network", "network.classifier"])
def test_threads_that_wait_leave_the_cores_to_the_cameras(module: str) -> None:
    """OpenMP threads that spin made a picture cost 2.4 s instead of 0.4 s beside busy camera processes."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", f"import birdwatchd.species.{module}"],
        capture_output=True,
        text=True,
        env=environment | {"OMP_DISPLAY_ENV": "TRUE", "PYTHONPATH": str(Path(__file__).parents[3])},
        check=True,
    )
    policies = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies, "OpenMP did not start, so this says nothing"
    assert all("PASSIVE" in line for line in policies)


def test_names_and_verdicts_need_no_torch() -> None:
    """`birdwatchd check` and the web page read labels; half a gigabyte of torch is not for them."""
    script = "import sys, birdwatchd.species.verdict.fusion, birdwatchd.species.taxonomy; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_loading_says_once_which_model_and_device(small: Saved, caplog: pytest.LogCaptureFixture) -> None:
    """A machine that quietly uses its CPU instead of its GPU must be seen in the log."""
    with caplog.at_level(logging.INFO, "birdwatchd"):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    assert len(caplog.messages) == 1
    assert "davit_testling_x@" in caplog.text
    assert "cpu, float32" in caplog.text
