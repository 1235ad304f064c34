"""Keep a GPU busy: the next pictures travel while it works, and it is told what to do once, not layer by layer.

A batch is cut into parts. Two lanes take turns: while the device works on the part in one, the host packs the next part
into the other, and it is uploaded on a stream of its own. DaViT is some 250 short kernels; one after another the host
can hardly ask for them as fast as they run. So the whole network is recorded once for each of a few batch sizes (a CUDA
graph) and then asked for with one call. A part that is smaller than the next recorded size leaves places unused:
what they held before is computed once more and dropped.

Everything that is CUDA's own is in `Cuda`; the rest runs on any device, and is tested on the CPU.
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

from birdwatchd.records import FloatArray
from birdwatchd.species.network.preprocess import ROOM, Pixels, Preparation

__all__ = ["Accelerator", "Answer", "Cuda", "Lanes", "Mark"]

log = logging.getLogger(__name__)

Answer = tuple[FloatArray, FloatArray]  # logits (n, classes), embeddings (n, dim)
Forward = Callable[[Tensor], tuple[Tensor, Tensor]]

# Most pictures in a part. 16 of davit_tiny are 440 GFLOP, enough for any GPU of today at once, and the default batch
# of 32 is then two parts, one of which travels while the other is worked on.
_PART = 16
# What is recorded must have run before: libraries choose their kernels, and get their memory, at first use.
_REHEARSALS = 3


class Mark(Protocol):
    """A point in a stream of work."""

    def synchronize(self) -> None:
        """Wait on the host until the device has come to it."""
        ...


class Accelerator(Protocol):
    """What lanes need of a device; `Cuda` is the real one."""

    device: torch.device

    def shared(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Host memory that the device reads and writes while the host goes on."""
        ...

    def uploading(self) -> AbstractContextManager[Any]:
        """Inside, work is queued for the stream of uploads."""
        ...

    def computing(self) -> AbstractContextManager[Any]:
        """Inside, work is queued for the stream of computing."""
        ...

    def mark(self) -> Mark:
        """Everything that has been queued for the present stream so far."""
        ...

    def after(self, mark: Mark) -> None:
        """Let what is queued for the present stream from now on wait for a mark."""
        ...

    def recorded(self, work: Callable[[], None]) -> Callable[[], object]:
        """Run work a few times, then record it; what is returned asks for it again, on the present stream."""
        ...


class Cuda:
    """An NVIDIA GPU.

    Args:
        device: `cuda` with its number. What will be used on it has been moved there before, on torch's own stream,
            for which the streams here do not wait later.
    """

    def __init__(self, device: torch.device) -> None:
        torch.cuda.synchronize(device)
        self.device = device
        self._uploads = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._computes = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # All graphs share memory for what is between their layers: they never run at the same time.
        self._pool: Any = torch.cuda.graph_pool_handle()

    def shared(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Pinned memory; pageable memory would make every copy wait."""
        with torch.cuda.device(self.device):
            return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def uploading(self) -> AbstractContextManager[Any]:
        """The stream of uploads."""
        return torch.cuda.stream(self._uploads)

    def computing(self) -> AbstractContextManager[Any]:
        """The stream of computing."""
        return torch.cuda.stream(self._computes)

    def mark(self) -> torch.cuda.Event:
        """An event in the present stream. Who waits for it sleeps: the cores belong to the cameras."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def after(self, mark: Any) -> None:
        """Let the present stream wait for an event."""
        torch.cuda.current_stream(self.device).wait_event(mark)

    def recorded(self, work: Callable[[], None]) -> Callable[[], object]:
        """A CUDA graph, of the convolutions that cuDNN finds quickest for just these shapes."""
        choosy, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            with self.computing():
                for _ in range(_REHEARSALS):
                    work()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._computes, capture_error_mode="thread_local"):
                work()
        finally:
            torch.backends.cudnn.benchmark = choosy
        return graph.replay


class Lanes:
    """A network on an accelerator. Use it from one thread at a time.

    Args:
        accelerator: where.
        preparation: moved to the device already.
        forward: normalised input (n, 3, height, width) to logits and embeddings; its weights are on the device.
        widths: (classes, dim): how long logits and embeddings are.
        record: whether `forward` always does the same, without looking at numbers, so that it can be recorded.
        part: most pictures worked on at once.

    Raises:
        torch.OutOfMemoryError: not even one picture fits into the device's memory.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        preparation: Preparation,
        forward: Forward,
        widths: tuple[int, int],
        *,
        record: bool,
        part: int = _PART,
    ) -> None:
        self._on, self._preparation, self._forward = accelerator, preparation, forward
        self.part = part
        self._works: dict[int, Callable[[], object]] = {}
        self._lanes: list[_Lane] = []
        with torch.inference_mode():
            while True:
                try:
                    with accelerator.computing():
                        self._make_room(widths, record)
                    return
                except torch.OutOfMemoryError:
                    if self.part == 1:
                        raise
                self._works, self._lanes = {}, []
                self.part //= 2
                log.warning("%s has room for %d pictures at once, not more", accelerator.device, self.part)

    def _make_room(self, widths: tuple[int, int], record: bool) -> None:
        """Everything that inference writes to, and the recorded network for 1, 2, 4 … pictures; the largest first."""
        device = self._on.device
        self._pixels = torch.zeros((self.part, *self._preparation.size, 3), dtype=torch.uint8, device=device)
        self._answers = [torch.zeros((self.part, width), device=device) for width in widths]
        sizes = [1 << power for power in range(self.part.bit_length()) if 1 << power < self.part] + [self.part]
        for size in reversed(sizes):
            work = self._work(size)
            self._works[size] = self._on.recorded(work) if record else work
        self._sizes = sizes
        self._lanes = [_Lane(self._on, self.part, self._preparation.size, widths) for _ in range(2)]

    def _work(self, size: int) -> Callable[[], None]:
        def work() -> None:
            inputs = self._preparation.normalised(self._pixels[:size].permute(0, 3, 1, 2))
            for room, answer in zip(self._answers, self._forward(inputs), strict=True):
                room[:size].copy_(answer)

        return work

    def infer(self, pictures: Sequence[Pixels]) -> Answer:
        """Ask the network about any number of pictures, at least one, as `Preparation.for_device` gives them."""
        parts = [pictures[at : at + self.part] for at in range(0, len(pictures), self.part)]
        answers: list[Answer] = []
        with torch.inference_mode():
            for number, part in enumerate(parts):
                lane = self._lanes[number % 2]
                lane.upload(part)
                self._launch(lane)
                if number:
                    answers.append(self._lanes[(number - 1) % 2].collect())
            answers.append(self._lanes[(len(parts) - 1) % 2].collect())
        return np.concatenate([logits for logits, _ in answers]), np.concatenate([e for _, e in answers])

    def _launch(self, lane: _Lane) -> None:
        """Queue resizing, the network and the way back; returns at once."""
        with self._on.computing():
            lane.wait_for_upload()
            for place, picture in zip(self._pixels, lane.pictures(), strict=False):
                place.permute(2, 0, 1).copy_(self._preparation.on_device(picture))
            self._works[next(size for size in self._sizes if size >= lane.count)]()
            lane.download(self._answers)


class _Lane:
    """Room for one part on its way: its bytes on the host and on the device, and its answers on the host."""

    def __init__(self, accelerator: Accelerator, part: int, size: tuple[int, int], widths: tuple[int, int]) -> None:
        self._on = accelerator
        room = (part * ROOM * 3 * size[0] * size[1],)
        self._host = accelerator.shared(room, torch.uint8)
        self._device = torch.empty(room, dtype=torch.uint8, device=accelerator.device)
        self._answers = [accelerator.shared((part, width), torch.float32) for width in widths]
        self._places: list[tuple[int, int, int]] = []
        self._marks: list[Mark] = []

    @property
    def count(self) -> int:
        """Pictures in it."""
        return len(self._places)

    def upload(self, pictures: Sequence[Pixels]) -> None:
        """Pack pictures of any sizes one behind the other, and send them off."""
        self._settle()
        self._places = []
        end = 0
        for picture in pictures:
            _, height, width = picture.shape
            self._places.append((end, height, width))
            _at(self._host, self._places[-1]).copy_(torch.from_numpy(picture))
            end += 3 * height * width
        with self._on.uploading():
            self._device[:end].copy_(self._host[:end], non_blocking=True)
            self._marks.append(self._on.mark())

    def wait_for_upload(self) -> None:
        """Let the present stream wait for what `upload` sent."""
        self._on.after(self._marks[0])

    def pictures(self) -> list[Tensor]:
        """On the device, uint8, each of shape (3, h, w)."""
        return [_at(self._device, place) for place in self._places]

    def download(self, answers: Sequence[Tensor]) -> None:
        """Queue the way back of the first rows of each answer."""
        for room, answer in zip(self._answers, answers, strict=True):
            room[: self.count].copy_(answer[: self.count], non_blocking=True)
        self._marks.append(self._on.mark())

    def collect(self) -> Answer:
        """Wait for the answers and take them out."""
        self._settle()
        logits, embeddings = (room[: self.count].numpy().copy() for room in self._answers)
        return logits, embeddings

    def _settle(self) -> None:
        """Wait until nothing of this lane is on its way; also after a part that failed half-way."""
        marks, self._marks = self._marks, []
        for mark in marks:
            mark.synchronize()


def _at(packed: Tensor, place: tuple[int, int, int]) -> Tensor:
    """One picture in packed bytes, as (3, h, w); in memory it is (h, w, 3), as PIL has it."""
    begin, height, width = place
    return packed[begin : begin + 3 * height * width].view(height, width, 3).permute(2, 0, 1)
