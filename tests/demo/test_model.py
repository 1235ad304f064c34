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
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.demo.drawing.birds import SPECIES

WEIGHTS = Path(birdwatchd.species.__file__).parent / "weights"


def portrait(species: str, seed: int) -> Image.Image:
    """A square around the bird, with air, from the middle of its visit."""
    scene = Scene(SceneSpec(seed, 640, 360, 10), (ScheduledVisit(species, 0.0, 3.0, seed=seed),))
    x, y, w, h = scene.truth_boxes(15)[0][1]
    side = round(max(w * 640, h * 360) * 1.4)
    left = min(max(round((x + w / 2) * 640 - side / 2), 0), 640 - side)
    top = min(max(round((y + h / 2) * 360 - side / 2), 0), 360 - side)
    return Image.fromarray(scene.frame(15)[top : top + side, left : left + side])


def test_the_model_knows_every_bird_and_an_empty_feeder() -> None:
    """Whoever redraws a bird must train again; without this the demo would quietly give wrong names."""
    net, described = fs_ops.load_model_with_cfg(WEIGHTS / "demo.json", WEIGHTS / "demo.safetensors")
    net.eval()
    transform = inference_preset((128, 128), described["rgb_stats"], 1.0)
    empty = Image.fromarray(np.ascontiguousarray(Scene(SceneSpec(90_001), ()).frame(0)[:300, :300]))
    crops = [portrait(species, 90_000 + index) for index, species in enumerate(SPECIES)]
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
