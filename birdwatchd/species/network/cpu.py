"""Run a network on the CPU with one worker thread per core, each on its own crops.

Cores that share one forward pass wait for each other at every layer. Measured with davit_tiny at 384 on two cores and
eight crops at once, a worker per core against both cores on the same crop: 121 against 157 ms per crop in float32, 49
against 88 in bfloat16. A single crop still uses all cores, for the lower latency.
"""

from __future__ import annotations

from birdwatchd.species.network.torch_errors import quiet_import  # noqa: F401 - before torch: it prepares OpenMP

# isort: split
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from functools import partial

import numpy as np
import torch

from birdwatchd.flow import WorkerThread
from birdwatchd.records import FloatArray
from birdwatchd.species.network.preprocess import Forward, Outputs, Pixels, Preprocessing

__all__ = ["CpuWorkers", "has_fast_bfloat16"]

# Pixels in one forward pass of a worker: one crop of 384 × 384; smaller inputs share. Measured with davit_tiny as
# `Davit` on 2 busy cores, batches of 1, 2, 4 and 8: 505, 499, 491 and 549 ms of processor time per crop (the least of
# three), and a peak of 1002, 1058, 1133 and 1357 MB for the process. Larger ones cost memory and gain nothing.
_PIXELS_PER_WORKER = 384 * 384
# With more cores than this each worker has several. A worker costs 50 to 65 MB with davit_tiny at 384.
_MAX_WORKERS = 8


class CpuWorkers:
    """All cores that torch may use here (`model.threads`), for one network. Use it from one thread at a time.

    Attributes:
        max_batch: crops with which every worker is fully used; larger batches are no faster.
    """

    def __init__(self, preprocessing: Preprocessing, forward: Forward) -> None:
        """
        Args:
            forward: normalised crops to logits and embeddings; may be called from several threads at once.
        """
        self._preprocessing, self._forward = preprocessing, forward
        self._threads = torch.get_num_threads()
        self._max_workers = min(_MAX_WORKERS, self._threads)
        # Part n always goes to worker n: OpenMP keeps a thread team for every thread that ever calls torch.
        self._workers: list[WorkerThread] = []
        per_worker = max(1, _PIXELS_PER_WORKER // (preprocessing.size[0] * preprocessing.size[1]))
        self.max_batch = self._max_workers * per_worker

    def infer(self, crops: Sequence[Pixels]) -> Outputs:
        """Crops, uint8, shape (3, h, w) each, to logits, float32, (n, classes), and embeddings, float32, (n, dim).

        Raises:
            RuntimeError, MemoryError: what torch raises.
        """
        rounds = [
            self._run_parallel(crops[start : start + self.max_batch]) for start in range(0, len(crops), self.max_batch)
        ]
        logits, embeddings = (np.concatenate(parts) for parts in zip(*(p for r in rounds for p in r), strict=True))
        return logits, embeddings

    def _run_parallel(self, crops: Sequence[Pixels]) -> list[Outputs]:
        """Divide at most `max_batch` crops among the workers, and the cores among those that have any."""
        count = min(self._max_workers, len(crops))
        if count == 1:
            return [self._run(crops, self._threads)]
        outputs: list[Future[Outputs]] = []
        for number in range(count):
            part = crops[len(crops) * number // count : len(crops) * (number + 1) // count]
            threads = self._threads * (number + 1) // count - self._threads * number // count
            if number == len(self._workers):
                self._workers.append(WorkerThread(f"cpu worker {number}"))
            outputs.append(self._workers[number].submit(partial(self._run, part, threads)))
        wait(outputs)  # all of them, also where one has failed: whoever tries again finds the memory free
        torch.set_num_threads(self._threads)
        return [output.result() for output in outputs]

    def _run(self, crops: Sequence[Pixels], threads: int) -> Outputs:
        torch.set_num_threads(threads)  # of this thread, and of those that use torch for the first time from now on
        with torch.inference_mode():
            logits, embeddings = self._forward(self._preprocessing.normalise(torch.from_numpy(np.stack(crops))))
            return _to_numpy(logits), _to_numpy(embeddings)


def _to_numpy(values: torch.Tensor) -> FloatArray:
    floats: FloatArray = values.float().numpy()
    return floats


def has_fast_bfloat16(min_speedup: float = 2.0, side: int = 256) -> bool:
    """Measure whether this CPU multiplies matrices in bfloat16 so much faster than in float32 that it is worth it.

    Intel's AMX does, where the kernel lets it be used (3 to 5 times as fast). AVX-512 with bfloat16 does not pay:
    measured with davit_tiny, AMX takes 0.41 of float32's time, AVX-512 with bfloat16 1.25, without 2.9, AVX2 14.

    Args:
        min_speedup: bfloat16's speed over float32's, at least.
        side: rows and columns of the matrices: 0.06 s in all where there is nothing beyond AVX2.
    """
    best_s = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.ones(side, side, dtype=dtype) for _ in range(2))
        times_s: list[float] = []
        while len(times_s) < 2 or (len(times_s) < 12 and sum(times_s) < 0.05):
            begun_s = time.perf_counter()
            a @ b
            times_s.append(time.perf_counter() - begun_s)
        best_s.append(min(times_s[1:]))  # the first one chooses and prepares its kernels
    return best_s[0] >= min_speedup * best_s[1]
