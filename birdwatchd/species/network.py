"""Run one birder classifier on one device: pictures in, logits and embeddings out, equal to birder's own.

Everything that can be wrong with a model is found at load, not at the first bird: the weights are read and
checked, one batch is run to warm up, its numbers must be finite and fit the classes, and on a GPU they must
agree with the CPU's (a broken driver answers quickly and wrongly). Which device is used is always said.

Preprocessing is birder's transform, cut in two where bytes become floats: the first half (resize, crop)
works on the decoded picture, the second (scale, normalise) on the device; only uint8 travels between them.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.border import torch_border

# isort: split
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from birdwatchd.config import ModelSettings
from birdwatchd.errors import DeviceLost, ModelUnusable
from birdwatchd.records import FloatArray
from birdwatchd.species.checkpoint import Checkpoint, read_checkpoint
from birdwatchd.species.taxonomy import bundled_taxonomy

__all__ = ["Network", "agrees", "load_network"]

log = logging.getLogger(__name__)

# Pixels per batch on the CPU: one picture of 384 × 384. Measured with davit_tiny on 2 cores, batches of 1, 2,
# 4 and 8: 197, 195, 210 and 230 ms per picture, and a peak of 1043, 1121, 1261 and 1496 MB for the process.
# One picture keeps all cores busy; more cost memory and gain nothing. Small inputs do share batches.
CPU_PIXELS = 384 * 384

# Least cosine between embeddings of the device and of the CPU in float32. Measured with davit_tiny: bfloat16
# 0.99998, float16 0.9999996; a broken device gives noise, zeros or NaN.
_AGREEMENT = {torch.float32: 0.9999, torch.bfloat16: 0.99, torch.float16: 0.99}
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_network(settings: ModelSettings, cache_dir: Path, *, progress: bool = False) -> Network:
    """Load, place, check and warm up the classifier that the settings ask for.

    Args:
        settings: the `model` section.
        cache_dir: where published weights are kept, unless `settings.cache_dir` says otherwise.
        progress: show a download's progress on stderr; for commands, not for the daemon.

    Raises:
        ModelUnusable: weights missing or damaged, no such device, or numbers that are wrong.
        DeviceFull: no room for the network on the device.
    """
    device = choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    network = Network(read_checkpoint(settings, cache_dir, progress=progress), device, settings.precision)
    log.info("model %s: %d classes, %s", network.model_id, len(network.labels), network.device)
    return network


def choose_device(wanted: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ModelUnusable: CUDA was asked for by name and is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if count else "cpu") if wanted == "auto" else wanted)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ModelUnusable(
            f"model.device is {wanted}, but this machine offers {count} CUDA devices",
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
        max_batch: most pictures that are worth giving to `infer` at once; None where memory decides.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "auto") -> None:
        if precision == "auto":
            precision = "float32" if device.type == "cpu" else "bfloat16"
        self.name = checkpoint.name
        self.version = checkpoint.sha256[:12]
        self.labels = bundled_taxonomy().labels(checkpoint.classes)
        self.size = checkpoint.size
        self.device = f"{_device_name(device)}, {precision}"
        self.max_batch = max(1, CPU_PIXELS // (self.size[0] * self.size[1])) if device.type == "cpu" else None
        self._device = torch.device("cpu")
        self._dtype = torch.float32
        self._to_pixels, self._to_input = _cut(checkpoint.transform)
        self._net: Any = checkpoint.net
        trial = np.random.default_rng(0).integers(0, 256, (1, 3, *self.size), np.uint8)
        reference = self._warm_up(trial, checkpoint.path)
        self.dim = reference.shape[1]
        if device.type != "cpu" or precision != "float32":
            self._move(device, _PRECISIONS[precision])
            if not agrees(reference, self._warm_up(trial, checkpoint.path), _AGREEMENT[self._dtype]):
                raise ModelUnusable(
                    f"{self.device} gives other results than the CPU for {checkpoint.path}",
                    "set model.precision to float32; if that fails too, update the driver or use device cpu",
                )

    @property
    def model_id(self) -> str:
        """Name and version as one word, for rows and messages: `davit_tiny_il-all@ba42050975d5`."""
        return f"{self.name}@{self.version}"

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Bring a picture to the network's size by birder's resize: uint8, shape (3, height, width), RGB."""
        pixels: torch.Tensor = self._to_pixels(image.convert("RGB"))
        return pixels.numpy()

    def infer(self, batch: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Ask the network.

        Args:
            batch: what `prepare` gave, stacked: uint8, shape (n, 3, height, width), n at least 1.

        Returns:
            Logits, float32, shape (n, classes), and embeddings, float32, shape (n, dim). They may hold NaN
            where a reduced precision overflowed.

        Raises:
            DeviceFull: the batch does not fit into the device's memory.
            DeviceLost: the device failed; a new process is needed.
        """
        with torch_border(DeviceLost, f"{self.device} failed under {self.model_id}", "start birdwatchd again"):
            return self._forward(batch)

    def _forward(self, batch: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode(), self._autocast():
            pixels = torch.from_numpy(batch).to(self._device)
            inputs = self._to_input(pixels).contiguous(memory_format=torch.channels_last)
            embedding = self._net.embedding(inputs)
            logits = self._net.classify(embedding)
            return logits.float().cpu().numpy(), embedding.float().cpu().numpy()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._dtype)

    def _move(self, device: torch.device, dtype: torch.dtype) -> None:
        with torch_border(ModelUnusable, f"{self.model_id} cannot be placed on {device}", "use device cpu"):
            self._net.to(device)
        self._device, self._dtype = device, dtype

    def _warm_up(self, trial: NDArray[np.uint8], path: Path) -> FloatArray:
        """Run one batch and judge its shape and numbers; return its embedding, shape (1, dim)."""
        with torch_border(ModelUnusable, f"{path} cannot be run on {self._device}", "use other weights"):
            self._net.to(memory_format=torch.channels_last)
            logits, embedding = self._forward(trial)
        if logits.shape != (1, len(self.labels)) or embedding.ndim != 2:
            raise ModelUnusable(
                f"{path} names {len(self.labels)} classes, but its network answers with {logits.shape[-1]}",
                "save it again with birder, with the class list it was trained on",
            )
        if not (np.isfinite(logits).all() and np.isfinite(embedding).all()):
            raise ModelUnusable(
                f"{path} answers with NaN or infinity on {self._device} in {self._dtype}",
                "the weights are spoilt, or model.precision is too low for them: try float32",
            )
        return embedding


def agrees(reference: FloatArray, answer: FloatArray, least: float) -> bool:
    """Whether two embeddings, shape (n, dim), point the same way: cosine at least `least` in every row."""
    norms = np.linalg.norm(reference, axis=1) * np.linalg.norm(answer, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (reference * answer).sum(axis=1) / norms
    return bool((cosine >= least).all())


def _cut(transform: Any) -> tuple[Any, Any]:
    """Part birder's transform before the step that turns bytes into floats."""
    steps = transform.transforms
    at = next(i for i, step in enumerate(steps) if isinstance(step, v2.ToDtype))
    return v2.Compose(steps[:at]), v2.Compose(steps[at:])


def _device_name(device: torch.device) -> str:
    return str(device) if device.type == "cpu" else f"{device} ({torch.cuda.get_device_name(device)})"
