"""Judge the demo classifier as the daemon uses it: crops of decoded video, birder's loader and transform.

    python tools/demo_model/verify.py birdwatchd/species/weights

Scenes, individuals and schedules have seeds that training never used. Video is H.264 as the feeder makes it.
"""

import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from birder.common import fs_ops, lib
from birder.data.transforms.classification import inference_preset
from numpy.typing import NDArray
from PIL import Image

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import schedule

SCENES = 16
_FIRST_SEED = 77_000
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75)


def verify(config: Path, weights: Path) -> dict[str, Any]:
    """Load the files with birder, classify every crop of the unseen scenes, and count."""
    described = json.loads(config.read_text())
    net, _ = fs_ops.load_model_with_cfg(config, weights)
    net.eval()
    size = lib.get_size_from_signature(described["signature"])
    transform = inference_preset(size, described["rgb_stats"], 1.0)
    names = list(described["class_to_idx"])
    truths: list[str] = []
    shares: list[NDArray[np.float32]] = []
    for number in range(SCENES):
        crops = list(_crops_of_scene(_FIRST_SEED + number))
        truths += [truth for truth, _ in crops]
        with torch.inference_mode():
            batch = torch.stack([transform(crop) for _, crop in crops])
            shares.append(net(batch).softmax(1).numpy())
    return _report(names, truths, np.concatenate(shares))


def _crops_of_scene(seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Every third frame with a bird, cut around its true box with 15 % to 70 % of air; some without one."""
    rng = random.Random(seed)
    size = rng.choice(((960, 540), (640, 360), (1280, 720)))
    scene = Scene(SceneSpec(seed, *size, fps=12), schedule(seed, 40))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.mp4"
        write_clip(path, scene, 0, 40)
        with av.open(str(path)) as video:
            for index, frame in enumerate(video.decode(video=0)):
                boxes = scene.truth_boxes(index)
                if index % 3 == 0 and boxes and boxes[0][1][2] * size[0] > 24:
                    yield boxes[0][0], _cut(frame.to_ndarray(format="rgb24"), boxes[0][1], rng)
                elif index % 24 == 0 and not boxes:
                    span = rng.uniform(0.08, 0.28)
                    box = (rng.uniform(0, 1 - span), rng.uniform(0, 1 - span), span, span)
                    yield "Unknown", _cut(frame.to_ndarray(format="rgb24"), box, rng)


def _cut(frame: NDArray[np.uint8], box: tuple[float, float, float, float], rng: random.Random) -> Image.Image:
    """The square around a box, a tenth off centre at most, moved to lie inside the frame."""
    height, width = frame.shape[:2]
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = round(min(max(48, max(w, h) * rng.uniform(1.15, 1.7)), height))
    left = round(x + w / 2 + rng.uniform(-0.1, 0.1) * side - side / 2)
    top = round(y + h / 2 + rng.uniform(-0.1, 0.1) * side - side / 2)
    left, top = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return Image.fromarray(frame[top : top + side, left : left + side])


def _report(names: list[str], truths: list[str], shares: NDArray[np.float32]) -> dict[str, Any]:
    """Accuracy over all and per class, confidences of right and wrong answers, what was taken for what."""
    wanted = np.array([names.index(truth) for truth in truths])
    given, sure = shares.argmax(1), shares.max(1)
    right = given == wanted
    mistaken: dict[str, int] = {}
    for truth, answer in zip(wanted[~right], given[~right], strict=True):
        key = f"{names[truth]} taken for {names[answer]}"
        mistaken[key] = mistaken.get(key, 0) + 1
    return {
        "crops": len(truths),
        "scenes": SCENES,
        "accuracy": round(float(right.mean()), 4),
        "accuracy_without_unknown": round(float(right[wanted != names.index("Unknown")].mean()), 4),
        "per_class": {
            name: round(float(right[wanted == index].mean()), 4)
            for index, name in enumerate(names)
            if (wanted == index).any()
        },
        "crops_per_class": {name: int((wanted == index).sum()) for index, name in enumerate(names)},
        "confidence_when_right": _quantiles(sure[right]),
        "confidence_when_wrong": _quantiles(sure[~right]),
        "right_and_over_0.8": round(float((right & (sure > 0.8)).mean()), 4),
        "mistaken": dict(sorted(mistaken.items(), key=lambda item: -item[1])),
    }


def _quantiles(values: NDArray[np.float32]) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"q{quantile:g}": round(float(np.quantile(values, quantile)), 3) for quantile in _QUANTILES}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps(verify(folder / "demo.json", folder / "demo.safetensors"), indent=2))
