"""Load a birder classifier onto one device and run it: crops to logits and embeddings, equal to birder's own.

Everything that can be wrong with a model is found when it is loaded, not at the first bird: the weights are read and
checked, one test batch is run, its outputs must be finite and fit the classes, and on a GPU they must agree with the
CPU's (a broken driver answers quickly and wrongly). The device that is used is logged.

birder's own module, in float32 on the CPU, is the reference. What runs afterwards is faster: DaViT is rewritten
(`davit`), the CPU runs one worker per core (`cpu`), a GPU resizes crops itself and replays CUDA graphs (`cuda`).
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import torch_errors, weights_errors

# isort: split
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from birdwatchd.errors import DeviceLost, ModelUnusable
from birdwatchd.records import FloatArray
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.checkpoint import Checkpoint, read_checkpoint
from birdwatchd.species.network.cpu import CpuWorkers, has_fast_bfloat16
from birdwatchd.species.network.cuda import Cuda, CudaPipeline
from birdwatchd.species.network.davit import Davit, is_davit
from birdwatchd.species.network.download import OnBytes, ignore_bytes
from birdwatchd.species.network.preprocess import Forward, Outputs, Pixels, Preprocessing
from birdwatchd.species.network.reference import read_reference
from birdwatchd.species.taxonomy import bundled_taxonomy

__all__ = ["Network", "agrees", "load_network"]

log = logging.getLogger(__name__)

# Least cosine similarity between embeddings of the device and of the CPU in float32. Measured with davit_tiny:
# bfloat16 0.99998, float16 0.9999996; a broken device gives noise, zeros or NaN.
_MIN_COSINE = {torch.float32: 0.9999, torch.bfloat16: 0.99, torch.float16: 0.99}
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_network(
    settings: ModelSettings, cache_dir: Path, *, progress: bool = False, on_bytes: OnBytes = ignore_bytes
) -> Network:
    """Load, check and warm up the classifier that the settings ask for, on its device.

    Args:
        settings: the `model` section.
        cache_dir: where published weights are kept, unless `settings.cache_dir` says otherwise.
        progress: show a download's progress on stderr; for commands, not for the daemon.
        on_bytes: is told how a download goes on: bytes that are here, bytes that there will be (0: not known).

    Raises:
        ModelUnusable: weights missing or damaged, no such device, or numbers that are wrong.
        DeviceOutOfMemory: the network does not fit into the device's memory.
    """
    device = choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    checkpoint = read_checkpoint(settings, cache_dir, progress=progress, on_bytes=on_bytes)
    network = Network(checkpoint, device, settings.precision)
    log.info("model %s: %d classes, %s", network.model_id, len(network.labels), network.device)
    return network


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ModelUnusable: CUDA was asked for by name and is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ModelUnusable(
            f"model.device is {name}, but this machine offers {count} CUDA devices",
            "check the driver with nvidia-smi, or set model.device to cpu or auto",
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


class Network:
    """A classifier that works. Use it from one thread at a time.

    Attributes:
        name: of the model; `demo` for the bundled one.
        version: first 12 hex digits of the weights' SHA-256: embeddings of two versions are never compared.
        labels: the classes, in the order of the logits.
        size: (height, width) of the input in pixels.
        dim: length of an embedding.
        device: for people, such as `cpu, float32` or `cuda:0 (NVIDIA H200), bfloat16`.
        torch_device: the same as torch names it: `cpu`, `cuda:0`.
        max_batch: crops for `infer` beyond which it gets no faster; None where only memory sets a limit.
        reference: examples that came with the weights, as this network saw them; mostly none.
        preprocess: an image to what `infer` takes: uint8, shape (3, h, w), RGB; on the CPU (h, w) is `size`.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "auto") -> None:
        net = checkpoint.net.eval()
        if precision == "auto":
            low = device.type != "cpu" or (is_davit(net) and has_fast_bfloat16())
            precision = "bfloat16" if low else "float32"
        self.name = checkpoint.name
        self.version = checkpoint.sha256[:12]
        self.labels = bundled_taxonomy().labels(checkpoint.classes)
        self.size = checkpoint.size
        self.reference = read_reference(checkpoint.path, checkpoint.sha256)
        self.torch_device = str(device)
        self.device = f"{_device_name(device)}, {precision}"
        self.max_batch: int | None = None
        self._preprocessing = Preprocessing(checkpoint.transform, checkpoint.size)
        self.preprocess: Callable[[Image.Image], Pixels] = self._preprocessing.resize_on_host
        dtype = _PRECISIONS[precision]
        test_batch = np.random.default_rng(0).integers(0, 256, (1, 3, *self.size), np.uint8)
        with weights_errors(f"{checkpoint.path} cannot be run on the CPU", "use other weights"):
            reference = CpuWorkers(self._preprocessing, _forward(net, torch.device("cpu"), torch.float32))
            self._infer: Callable[[Sequence[Pixels]], Outputs] = reference.infer
            expected = self._tested(test_batch, checkpoint.path)
        self.dim = expected.shape[1]
        with weights_errors(f"{self.model_id} cannot be run on {self.device}", "use device cpu"):
            self._move_to(device, net, dtype)
            found = self._tested(test_batch, checkpoint.path)
        if not agrees(expected, found, _MIN_COSINE[dtype]):
            raise ModelUnusable(
                f"{self.device} gives other results than the CPU for {checkpoint.path}",
                "set model.precision to float32; if that fails too, update the driver or use device cpu",
            )

    @property
    def model_id(self) -> str:
        """Name and version as one word, for rows and messages: `davit_tiny_il-all@ba42050975d5`."""
        return f"{self.name}@{self.version}"

    def infer(self, batch: Sequence[Pixels] | Pixels) -> Outputs:
        """Run the network.

        Args:
            batch: at least one crop from `preprocess`; on the CPU they have one size and may be one array,
                uint8, shape (n, 3, height, width).

        Returns:
            Logits, float32, shape (n, classes), and embeddings, float32, shape (n, dim). They may hold NaN
            where a reduced precision overflowed.

        Raises:
            DeviceOutOfMemory: the batch does not fit into the device's memory.
            DeviceLost: the device failed; a new process is needed.
        """
        with torch_errors(DeviceLost, f"{self.device} failed under {self.model_id}", "start birdwatchd again"):
            return self._infer(list(batch))

    def _move_to(self, device: torch.device, net: Any, dtype: torch.dtype) -> None:
        """Put the fastest form of the network on the device; `net` itself is used up."""
        module = Davit(net, dtype) if is_davit(net) else net
        module.to(device).to(memory_format=torch.channels_last)
        forward = _forward(module, device, torch.float32 if isinstance(module, Davit) else dtype)
        if device.type == "cpu":
            workers = CpuWorkers(self._preprocessing, forward)
            self._infer, self.max_batch = workers.infer, workers.max_batch
            return
        self._preprocessing.to(device)
        output_dims = (len(self.labels), self.dim)
        # Networks other than DaViT may branch on their numbers, which a CUDA graph cannot.
        capture = isinstance(module, Davit)
        self._infer = CudaPipeline(Cuda(device), self._preprocessing, forward, output_dims, capture=capture).infer
        self.preprocess = self._preprocessing.for_upload

    def _tested(self, test_batch: Pixels, path: Path) -> FloatArray:
        """Run one batch, which also warms up; check shape and numbers; return its embedding, shape (1, dim)."""
        logits, embedding = self._infer(list(test_batch))
        if logits.shape != (1, len(self.labels)) or embedding.ndim != 2:
            raise ModelUnusable(
                f"{path} names {len(self.labels)} classes, but its network answers with {logits.shape[-1]}",
                "save it again with birder, with the class list it was trained on",
            )
        if not (np.isfinite(logits).all() and np.isfinite(embedding).all()):
            raise ModelUnusable(
                f"{path} answers with NaN or infinity on {self.device}",
                "the weights are spoilt, or model.precision is too low for them: try float32",
            )
        return embedding


def _forward(net: Any, device: torch.device, dtype: torch.dtype) -> Forward:
    """Input to logits and embeddings; a network that keeps its weights in float32 is given `dtype` by autocast."""

    def forward(inputs: Tensor) -> tuple[Tensor, Tensor]:
        # Without autocast's weight cache, whose tensors must not outlive the capture of a CUDA graph.
        reduced = dtype != torch.float32
        with torch.autocast(device.type, dtype=dtype, cache_enabled=False) if reduced else nullcontext():
            embedding = net.embedding(inputs)
            return net.classify(embedding), embedding

    return forward


def agrees(expected: FloatArray, found: FloatArray, min_cosine: float) -> bool:
    """Whether embeddings, shape (n, dim), have a cosine similarity of at least `min_cosine` in every row."""
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (expected * found).sum(axis=1) / norms
    return bool((cosine >= min_cosine).all())


def _device_name(device: torch.device) -> str:
    return str(device) if device.type == "cpu" else f"{device} ({torch.cuda.get_device_name(device)})"
