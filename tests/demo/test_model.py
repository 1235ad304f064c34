"""The bundled demo model must know the birds as they are drawn today, through birder's own loader."""

import json
from pathlib import Path

import numpy as np
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import inference_preset
from PIL import Image

import birdwatchd.species
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.testing import bird_image

WEIGHTS = Path(birdwatchd.species.__file__).parent / "weights"


def test_the_model_knows_every_bird_and_an_empty_feeder() -> None:
    """Whoever redraws a bird must train again; without this the demo would quietly give wrong names."""
    net, described = fs_ops.load_model_with_cfg(WEIGHTS / "demo.json", WEIGHTS / "demo.safetensors")
    net.eval()
    transform = inference_preset((128, 128), described["rgb_stats"], 1.0)
    empty = Image.fromarray(np.ascontiguousarray(Scene(SceneSpec(90_001), ()).frame(0)[:300, :300]))
    crops = [bird_image(species, 90_000 + index) for index, species in enumerate(SPECIES)]
    with torch.inference_mode():
        shares = net(torch.stack([transform(crop) for crop in [*crops, empty]])).softmax(1)
    names = list(described["class_to_idx"])
    assert [names[int(best)] for best in shares.argmax(1)] == [*SPECIES, "Unknown"]
    assert float(shares.amax(1).min()) > 0.7


def test_the_model_files_agree_and_name_no_machine() -> None:
    """The weights' header and the configuration are read by different loaders; both must say the same."""
    _, info = fs_ops.load_model(
        torch.device("cpu"), "davit_tiny", path=WEIGHTS / "demo.safetensors", st=True, inference=True
    )
    described = json.loads((WEIGHTS / "demo.json").read_text())
    assert info.class_to_idx == described["class_to_idx"]
    assert info.signature == described["signature"]
    assert info.custom_config == described["model_config"]
    assert (WEIGHTS / "demo.safetensors").stat().st_size < 2_000_000
