"""The ways to run a DaViT that are compared: each takes resized crops and gives logits, both in host memory.

birder's way is given floats that were normalised beforehand, which its users do in other processes; ours takes bytes.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from birdwatchd.species.network.cpu import CpuWorkers
from birdwatchd.species.network.cuda import Cuda, CudaPipeline
from birdwatchd.species.network.davit import Davit
from birdwatchd.species.network.preprocess import Forward, Preprocessing

# isort: split
import birder
from birder.data.transforms.classification import get_rgb_stats
from birder.inference.classification import infer_batch
from birder.model_registry import registry

__all__ = ["Way", "network", "ways"]

Batch = NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """One way: `prepare` makes of crops, uint8, shape (n, 3, size, size), what `infer` takes; only `infer` is timed.

    `infer` returns logits, float32, shape (n, classes).
    """

    prepare: Callable[[Batch], Any]
    infer: Callable[[Any], NDArray[np.float32]]


def network(name: str, classes: int, size: int) -> Any:
    """birder's network with random weights, biases too: only how long it takes is of use."""
    torch.manual_seed(1)
    net = registry.net_factory(name, classes, 3, size=(size, size)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return net


def ways(net: Any, name: str, size: int, device: torch.device, compiled: bool) -> dict[str, Way]:
    """All that can be run here, ours last. What cannot is left out, with a line on stderr."""
    transform = birder.classification_transform((size, size), get_rgb_stats("birder"))
    on_device = copy.deepcopy(net).to(device)
    half = torch.bfloat16
    found: dict[str, Way] = {"birder, eager, float32": _eager(on_device, transform, device, None)}
    found["birder, AMP, bfloat16"] = _eager(on_device, transform, device, half)
    if compiled:
        found["birder, torch.compile, float32"] = _eager(_Compiled(on_device), transform, device, None)
    found.update(_timm(name, net, size, transform, device))
    if device.type == "cuda":
        found["ours, float32"] = _ours_on_cuda(net, transform, size, device, torch.float32)
        found["ours, float16"] = _ours_on_cuda(net, transform, size, device, torch.float16)
        found["ours, bfloat16"] = _ours_on_cuda(net, transform, size, device, half)
    else:
        found["ours, float32"] = _ours_on_cpu(net, transform, size, torch.float32)
        found["ours, bfloat16"] = _ours_on_cpu(net, transform, size, half)
    return found


class _Compiled:
    """birder's network with its forward compiled; `infer_batch` calls it like a network."""

    def __init__(self, net: Any) -> None:
        self._forward = torch.compile(net)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._forward(inputs)
        return logits


def _eager(net: Any, transform: Any, device: torch.device, amp: torch.dtype | None) -> Way:
    steps = transform.transforms
    split = next(i for i, step in enumerate(steps) if type(step).__name__ == "ToDtype")
    normalised = type(transform)(steps[split:])

    def infer(inputs: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.amp.autocast(device.type, enabled=amp is not None, dtype=amp):
            logits, _ = infer_batch(net, inputs.to(device), return_logits=True)
        return logits

    return Way(lambda pixels: normalised(torch.from_numpy(pixels)), infer)


def _timm(name: str, net: Any, size: int, transform: Any, device: torch.device) -> dict[str, Way]:
    try:
        import timm
    except ImportError:
        print("timm is not installed: left out", file=sys.stderr)
        return {}
    if name not in timm.list_models("davit*"):
        print(f"timm has no {name}: left out", file=sys.stderr)
        return {}
    # The window as birder has it; timm's own choice for 224 pixels would be other work.
    theirs = timm.create_model(name, num_classes=net.num_classes, window_size=size // 32).eval().to(device)
    return {"timm, eager, float32": _eager(theirs, transform, device, None)}


def _ours_on_cpu(net: Any, transform: Any, size: int, dtype: torch.dtype) -> Way:
    """As the daemon does it: one worker per core."""
    workers = CpuWorkers(Preprocessing(transform, (size, size)), _forward(Davit(copy.deepcopy(net), dtype).eval()))
    return Way(list, lambda crops: workers.infer(crops)[0])


def _ours_on_cuda(net: Any, transform: Any, size: int, device: torch.device, dtype: torch.dtype) -> Way:
    module, preprocessing = Davit(copy.deepcopy(net), dtype).eval().to(device), Preprocessing(transform, (size, size))
    preprocessing.to(device)
    output_dims = (net.num_classes, net.embedding_size)
    pipeline = CudaPipeline(Cuda(device), preprocessing, _forward(module), output_dims, capture=True)
    return Way(list, lambda crops: pipeline.infer(crops)[0])


def _forward(module: Davit) -> Forward:
    def forward(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = module.embedding(inputs)
        return module.classify(embedding), embedding

    return forward
