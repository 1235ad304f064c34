"""Train the demo classifier: a very small DaViT that knows the eight cartoon birds, in birder's own files.

    python tools/demo_model/train.py --out birdwatchd/species/weights

Draws its training crops, trains on the CPU in about a quarter of an hour, checks itself through birder's own loader
on video of scenes it has not seen, and writes `demo.safetensors` and `demo.json` to --out, `training.log` and
`accuracy.json` beside this file.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from birder.common import fs_ops, lib
from birder.data.transforms.classification import get_rgb_stats
from birder.model_registry import registry
from birder.net.base import get_signature
from numpy.typing import NDArray
from torch import nn

from tools.demo_model.samples import CLASSES, SIZE, draw_samples, make_stock
from tools.demo_model.verify import verify

NETWORK = "davit_tiny"
"""birder has no plain "davit" to name: a registered size is named, and its every measure overridden."""

CONFIG: dict[str, Any] = {
    "depths": [1, 1, 1, 1],
    "dims": [16, 32, 64, 96],
    "heads": [1, 2, 4, 6],
    "drop_path_rate": 0.0,
}
RGB_STATS = get_rgb_stats("birder")
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is drawn and how long is trained.

    `stages` are (size, epochs): most passes are over crops of half the size, at a quarter of the cost. No
    weight depends on the input's size, only the windows do, and `adjust_size` sets them.
    """

    crops: int = 20000
    stages: tuple[tuple[int, int], ...] = ((SIZE // 2, 6), (SIZE, 3))
    batch: int = 64
    peak_rate: float = 2e-3
    seed: int = 1
    workers: int = 2


class Log:
    """Lines to the screen and to the training log."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._begun_s = file, time.monotonic()

    def __call__(self, line: str) -> None:
        text = f"{time.monotonic() - self._begun_s:7.1f} s  {line}"
        for out in (sys.stdout, self._file):
            out.write(text + "\n")
            out.flush()


def _draw_share(job: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One worker's share of the crops: its own stock of birds and scenes."""
    seed, count = job
    return draw_samples(make_stock(seed, sprites=45, backdrops=10), seed, count)


def draw_crops(seed: int, count: int, workers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 (count, 3, SIZE, SIZE) and int64 (count,), drawn in shares of 2000 with a stock each."""
    shares = [(seed * 1000 + index, 2000) for index in range(count // 2000)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_draw_share, shares))
    crops = torch.from_numpy(np.concatenate([part[0] for part in parts])).permute(0, 3, 1, 2).contiguous()
    return crops, torch.from_numpy(np.concatenate([part[1] for part in parts]))


def normalise(crops: torch.Tensor) -> torch.Tensor:
    """What birder's inference preset does after resizing: float32, scaled to 0..1, mean and deviation."""
    mean, std = (torch.tensor(RGB_STATS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (crops.float() / 255 - mean) / std


def train(plan: Plan, log: Log) -> nn.Module:
    """Draw the crops and train the network from scratch."""
    torch.manual_seed(plan.seed)
    net = registry.net_factory(NETWORK, len(CLASSES), 3, config=CONFIG, size=(SIZE, SIZE))
    log(f"{sum(part.numel() for part in net.parameters())} parameters; drawing {plan.crops} crops")
    crops, labels = draw_crops(plan.seed, plan.crops, plan.workers)
    held_out, held_out_labels = draw_crops(plan.seed + 1, 2000, 1)
    log(f"drawn; of each class {torch.bincount(labels).tolist()}")
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.peak_rate, weight_decay=0.05)
    sizes = [size for size, epochs in plan.stages for _ in range(epochs)]
    steps = len(sizes) * (len(crops) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.peak_rate, total_steps=steps, pct_start=0.12)
    for epoch, size in enumerate(sizes, 1):
        net.adjust_size((size, size))
        loss = _train_epoch(net, (_shrink(crops, size), labels), plan.batch, optimizer, schedule)
        right, sure = _score(net, _shrink(held_out, size), held_out_labels)
        log(f"epoch {epoch}/{len(sizes)} at {size} px: loss {loss:.4f}, held out {right:.4f}, {sure:.3f} sure")
    return net


def _shrink(crops: torch.Tensor, size: int) -> torch.Tensor:
    """Pictures (N, 3, SIZE, SIZE) as (N, 3, size, size), where `size` divides SIZE."""
    step = SIZE // size
    if step == 1:
        return crops
    parts = [nn.functional.avg_pool2d(part.float(), step).round().byte() for part in crops.split(500)]
    return torch.cat(parts)


def _train_epoch(
    net: nn.Module, data: tuple[torch.Tensor, torch.Tensor], batch: int, optimizer: Any, schedule: Any
) -> float:
    """One pass in random order, mirrored by chance; the mean loss."""
    crops, labels = data
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    net.train()
    total, order = 0.0, torch.randperm(len(crops))
    count = len(crops) // batch
    for step in range(count):
        pick = order[step * batch : (step + 1) * batch]
        chosen = normalise(crops[pick])
        if torch.rand(()) < 0.5:
            chosen = chosen.flip(3)
        loss = criterion(net(chosen), labels[pick])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
    return total / count


def _score(net: nn.Module, crops: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """The share of right answers, and the mean probability given to the right class."""
    net.eval()
    with torch.inference_mode():
        parts = [net(normalise(part)).softmax(1) for part in crops.split(250)]
    shares = torch.cat(parts)
    right = (shares.argmax(1) == labels).float().mean()
    return float(right), float(shares.gather(1, labels[:, None]).mean())


def save(net: nn.Module, folder: Path) -> tuple[Path, Path]:
    """Write the weights and the configuration as birder writes them; (configuration, weights)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, config = folder / "demo.safetensors", folder / "demo.json"
    signature = get_signature((1, 3, SIZE, SIZE), len(CLASSES))
    class_to_idx = {name: index for index, name in enumerate(CLASSES)}
    fs_ops.save_st(net, str(weights), str(net.task), class_to_idx, signature, RGB_STATS, external_config=CONFIG)
    weights.chmod(0o644)  # safetensors leaves it to its owner alone, and a package would ship it so
    described = lib.get_network_config(net, signature, RGB_STATS)
    described["class_to_idx"] = class_to_idx
    config.write_text(json.dumps(described, indent=2) + "\n")
    return config, weights


def main() -> None:
    """Train, save, verify."""
    parser = argparse.ArgumentParser(description="Train the demo classifier.")
    parser.add_argument("--out", type=Path, required=True, help="folder for demo.safetensors and demo.json")
    parser.add_argument("--pictures", type=int, default=Plan().crops, dest="crops", help="crops to train on")
    parser.add_argument("--threads", type=int, default=1, help="for training; 1 is best on a busy machine")
    parser.add_argument("--records", type=Path, default=HERE, help="folder for training.log and accuracy.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with (args.records / "training.log").open("w") as file:
        log = Log(file)
        net = train(Plan(crops=args.crops), log)
        config, weights = save(net, args.out)
        log(f"wrote {weights.name}, {weights.stat().st_size} bytes; verifying on video of unseen scenes")
        report = verify(config, weights)
        (args.records / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n")
        log(f"{report['crops']} crops, {report['accuracy']:.4f} right; per class {report['per_class']}")
        log(f"confidence of right answers: {report['confidence_when_right']}")


if __name__ == "__main__":
    main()
