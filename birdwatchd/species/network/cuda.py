"""Run a network on a GPU: double-buffered uploads overlap with compute, and each forward pass is one CUDA graph launch.

A batch is cut into micro-batches. While the device computes one, the host packs the next into the other of two staging
buffers, and a second stream uploads it. DaViT is some 250 short kernels, and launching them one by one from Python
takes longer than running them. So the forward pass is captured as a CUDA graph for each of a few batch sizes and
replayed with a single call. A micro-batch that is smaller than the next captured size leaves rows unused: whatever they
held before is computed once more and dropped.

Everything specific to CUDA is in `Cuda`; `CudaPipeline` itself runs on any `Accelerator` and is tested on the CPU.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network import torch_errors  # noqa: F401

# isort: split
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from birdwatchd.species.network.preprocess import MAX_UPLOAD_RATIO, Forward, Outputs, Pixels, Preprocessing

__all__ = ["Accelerator", "Cuda", "CudaPipeline", "Event"]

log = logging.getLogger(__name__)

# Crops in a micro-batch. 16 of davit_tiny are 440 GFLOP, enough to fill any GPU of today, and the default batch of 32
# is then two micro-batches, one of which is uploaded while the other is computed.
_MICRO_BATCH = 16
# Forward passes before one is captured: libraries choose their kernels and allocate their workspace at first use.
WARMUP_RUNS = 3


class Event(Protocol):
    """A point in a stream of work, as `torch.cuda.Event`."""

    def synchronize(self) -> None:
        """Block the host until the device has reached it."""
        ...


class Accelerator(Protocol):
    """What `CudaPipeline` needs of a device; `Cuda` is the real one."""

    device: torch.device

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Uninitialised page-locked host memory, which the device copies from and to asynchronously."""
        ...

    def upload_stream(self) -> AbstractContextManager[Any]:
        """Inside, work is queued on the stream for uploads."""
        ...

    def compute_stream(self) -> AbstractContextManager[Any]:
        """Inside, work is queued on the stream for compute."""
        ...

    def record_event(self) -> Event:
        """An event after everything queued on the current stream so far."""
        ...

    def wait_event(self, event: Event) -> None:
        """Make what is queued on the current stream from now on wait for an event; the host does not wait."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], object]:
        """Run work a few times, then capture it; returns what replays it on the current stream."""
        ...


class Cuda:
    """An NVIDIA GPU.

    Args:
        device: `cuda` with its index. Tensors that will be used on it were moved there before, on torch's default
            stream: the streams of this class do not wait for that one later.
    """

    def __init__(self, device: torch.device) -> None:
        torch.cuda.synchronize(device)
        self.device = device
        self._upload = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # All graphs share one memory pool for their activations: they never run at the same time.
        self._pool: Any = torch.cuda.graph_pool_handle()

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Pinned memory; copies from pageable memory are synchronous."""
        with torch.cuda.device(self.device):
            return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def upload_stream(self) -> AbstractContextManager[Any]:
        """The stream for uploads."""
        return torch.cuda.stream(self._upload)

    def compute_stream(self) -> AbstractContextManager[Any]:
        """The stream for compute."""
        return torch.cuda.stream(self._compute)

    def record_event(self) -> torch.cuda.Event:
        """An event in the current stream. A host thread that waits for it sleeps: the cores belong to the cameras."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def wait_event(self, event: Any) -> None:
        """Make the current stream wait for an event."""
        torch.cuda.current_stream(self.device).wait_event(event)

    def capture(self, work: Callable[[], None]) -> Callable[[], object]:
        """A CUDA graph, with the convolution algorithms that cuDNN finds fastest for exactly these shapes."""
        benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            with self.compute_stream():
                for _ in range(WARMUP_RUNS):
                    work()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._compute, capture_error_mode="thread_local"):
                work()
        finally:
            torch.backends.cudnn.benchmark = benchmark
        return graph.replay


class CudaPipeline:
    """A network on an accelerator. Use it from one thread at a time.

    Args:
        accelerator: the device.
        preprocessing: moved to the device already.
        forward: normalised input (n, 3, height, width) to logits and embeddings; its weights are on the device.
        output_dims: (classes, dim): lengths of logits and embeddings.
        capture: whether `forward` always launches the same kernels, whatever the numbers, so that it can be captured.
        micro_batch: most crops computed at once.

    Raises:
        torch.OutOfMemoryError: not even one crop fits into the device's memory.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        preprocessing: Preprocessing,
        forward: Forward,
        output_dims: tuple[int, int],
        *,
        capture: bool,
        micro_batch: int = _MICRO_BATCH,
    ) -> None:
        self._accelerator, self._preprocessing, self._forward = accelerator, preprocessing, forward
        self.micro_batch = micro_batch
        self._forward_passes: dict[int, Callable[[], object]] = {}
        self._buffers: list[_StagingBuffer] = []
        with torch.inference_mode():
            while True:
                try:
                    with accelerator.compute_stream():
                        self._allocate(output_dims, capture)
                    return
                except torch.OutOfMemoryError:
                    if self.micro_batch == 1:
                        raise
                self._forward_passes, self._buffers = {}, []
                self.micro_batch //= 2
                log.warning("%s has memory for %d crops at once, not more", accelerator.device, self.micro_batch)

    def _allocate(self, output_dims: tuple[int, int], capture: bool) -> None:
        """All memory of inference, and the captured network for 1, 2, 4 … crops; the largest first."""
        device, most = self._accelerator.device, self.micro_batch
        self._pixels = torch.zeros((most, *self._preprocessing.size, 3), dtype=torch.uint8, device=device)
        self._outputs = [torch.zeros((most, dim), device=device) for dim in output_dims]
        self._sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
        for size in reversed(self._sizes):
            run = self._forward_pass(size)
            self._forward_passes[size] = self._accelerator.capture(run) if capture else run
        self._buffers = [
            _StagingBuffer(self._accelerator, most, self._preprocessing.size, output_dims) for _ in range(2)
        ]

    def _forward_pass(self, size: int) -> Callable[[], None]:
        """The network on the first `size` rows of `_pixels`, into the same rows of `_outputs`."""

        def run() -> None:
            inputs = self._preprocessing.normalise(self._pixels[:size].permute(0, 3, 1, 2))
            for rows, output in zip(self._outputs, self._forward(inputs), strict=True):
                rows[:size].copy_(output)

        return run

    def infer(self, crops: Sequence[Pixels]) -> Outputs:
        """Run the network on at least one crop from `Preprocessing.for_upload`.

        Returns:
            Logits, float32, (n, classes), and embeddings, float32, (n, dim).
        """
        batches = [crops[start : start + self.micro_batch] for start in range(0, len(crops), self.micro_batch)]
        outputs: list[Outputs] = []
        with torch.inference_mode():
            for number, batch in enumerate(batches):
                buffer = self._buffers[number % 2]
                buffer.upload(batch)
                self._launch(buffer)
                if number:
                    outputs.append(self._buffers[(number - 1) % 2].collect())
            outputs.append(self._buffers[(len(batches) - 1) % 2].collect())
        return np.concatenate([logits for logits, _ in outputs]), np.concatenate([e for _, e in outputs])

    def _launch(self, buffer: _StagingBuffer) -> None:
        """Queue resizing, the network and the download; returns at once."""
        with self._accelerator.compute_stream():
            buffer.wait_for_upload()
            for row, crop in zip(self._pixels, buffer.crops(), strict=False):
                row.permute(2, 0, 1).copy_(self._preprocessing.resize_on_device(crop))
            self._forward_passes[next(size for size in self._sizes if size >= buffer.count)]()
            buffer.download(self._outputs)


class _StagingBuffer:
    """Memory for one micro-batch in transit: its bytes on host and device, and its outputs on the host."""

    def __init__(
        self, accelerator: Accelerator, most: int, size: tuple[int, int], output_dims: tuple[int, int]
    ) -> None:
        self._accelerator = accelerator
        shape = (most * MAX_UPLOAD_RATIO * 3 * size[0] * size[1],)
        self._host = accelerator.pinned(shape, torch.uint8)
        self._device = torch.empty(shape, dtype=torch.uint8, device=accelerator.device)
        self._outputs = [accelerator.pinned((most, dim), torch.float32) for dim in output_dims]
        self._slices: list[tuple[int, int, int]] = []  # of each crop: first byte, height, width
        self._pending: list[Event] = []

    @property
    def count(self) -> int:
        """Crops in it."""
        return len(self._slices)

    def upload(self, crops: Sequence[Pixels]) -> None:
        """Pack crops of any sizes one behind the other, and queue their upload."""
        self._synchronize()
        self._slices = []
        end = 0
        for crop in crops:
            _, height, width = crop.shape
            self._slices.append((end, height, width))
            _view(self._host, self._slices[-1]).copy_(torch.from_numpy(crop))
            end += 3 * height * width
        with self._accelerator.upload_stream():
            self._device[:end].copy_(self._host[:end], non_blocking=True)
            self._pending.append(self._accelerator.record_event())

    def wait_for_upload(self) -> None:
        """Make the current stream wait for the upload."""
        self._accelerator.wait_event(self._pending[0])

    def crops(self) -> list[Tensor]:
        """On the device, uint8, each of shape (3, h, w)."""
        return [_view(self._device, part) for part in self._slices]

    def download(self, outputs: Sequence[Tensor]) -> None:
        """Queue the copy of the first rows of each output to the host."""
        for host, device in zip(self._outputs, outputs, strict=True):
            host[: self.count].copy_(device[: self.count], non_blocking=True)
        self._pending.append(self._accelerator.record_event())

    def collect(self) -> Outputs:
        """Wait for the outputs and return them."""
        self._synchronize()
        logits, embeddings = (host[: self.count].numpy().copy() for host in self._outputs)
        return logits, embeddings

    def _synchronize(self) -> None:
        """Wait until no copy of this buffer is under way; also after a micro-batch that failed half-way."""
        events, self._pending = self._pending, []
        for event in events:
            event.synchronize()


def _view(packed: Tensor, part: tuple[int, int, int]) -> Tensor:
    """One crop in packed bytes, as (3, h, w); in memory it is (h, w, 3), as PIL has it."""
    start, height, width = part
    return packed[start : start + 3 * height * width].view(height, width, 3).permute(2, 0, 1)
