"""Ask a network on the CPU: each core its own pictures, for cores that share one wait for each other at every layer.

Measured with davit_tiny at 384 on two cores, eight pictures at once, each core one at a time against both the same one:
121 against 157 ms a picture in float32, 49 against 88 in bfloat16. A picture alone is still shared, to be told sooner.
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
from birdwatchd.species.network.cuda import Answer, Forward
from birdwatchd.species.network.preprocess import Pixels, Preparation

__all__ = ["Cores", "multiplies_bfloat16"]

# Pixels that one worker takes at once: one picture of 384 × 384; small inputs share. Measured with davit_tiny in its
# own form on 2 busy cores, batches of 1, 2, 4 and 8: 505, 499, 491 and 549 ms of processor time per picture (the least
# of three), and a peak of 1002, 1058, 1133 and 1357 MB for the process. More cost memory and gain nothing.
_PIXELS = 384 * 384
# Most workers; with more cores than that each has several. A worker costs 50 to 65 MB with davit_tiny at 384.
_WORKERS = 8


class Cores:
    """All cores that torch may use here (`model.threads`), for one network. Use it from one thread at a time.

    Attributes:
        worth: most pictures that are worth asking about at once: all cores then have their pictures.
    """

    def __init__(self, preparation: Preparation, forward: Forward) -> None:
        """
        Args:
            forward: normalised pictures to logits and embeddings; may be called from several threads at once.
        """
        self._preparation, self._forward = preparation, forward
        self._threads = torch.get_num_threads()
        self._most = min(_WORKERS, self._threads)
        self._workers: list[
            WorkerThread
        ] = []  # part n is always the same one's: OpenMP keeps threads for each that ever asks
        each = max(1, _PIXELS // (preparation.size[0] * preparation.size[1]))
        self.worth = self._most * each

    def ask(self, batch: Sequence[Pixels]) -> Answer:
        """Pictures, uint8, shape (3, h, w) each, to logits, float32, (n, classes), and embeddings, float32, (n, dim).

        Raises:
            RuntimeError, MemoryError: what torch raises.
        """
        rounds = [self._together(batch[at : at + self.worth]) for at in range(0, len(batch), self.worth)]
        logits, embeddings = (np.concatenate(parts) for parts in zip(*(p for r in rounds for p in r), strict=True))
        return logits, embeddings

    def _together(self, batch: Sequence[Pixels]) -> list[Answer]:
        """One round: the pictures dealt out to as many workers as have one, and the cores to these workers."""
        count = min(self._most, len(batch))
        if count == 1:
            return [self._run(batch, self._threads)]
        answers: list[Future[Answer]] = []
        for number in range(count):
            part = batch[len(batch) * number // count : len(batch) * (number + 1) // count]
            cores = self._threads * (number + 1) // count - self._threads * number // count
            if number == len(self._workers):
                self._workers.append(WorkerThread(f"core {number}"))
            answers.append(self._workers[number].submit(partial(self._run, part, cores)))
        wait(answers)  # all of them, also where one has failed: whoever tries again finds the memory free
        torch.set_num_threads(self._threads)
        return [answer.result() for answer in answers]

    def _run(self, part: Sequence[Pixels], threads: int) -> Answer:
        torch.set_num_threads(threads)  # of this thread, and of those that use torch for the first time from now on
        with torch.inference_mode():
            logits, embeddings = self._forward(self._preparation.normalised(torch.from_numpy(np.stack(part))))
            return _floats(logits), _floats(embeddings)


def _floats(values: torch.Tensor) -> FloatArray:
    floats: FloatArray = values.float().numpy()
    return floats


def multiplies_bfloat16(least: float = 2.0, side: int = 256) -> bool:
    """Whether this machine multiplies matrices in bfloat16 so much faster than in float32 that it is worth it: tried.

    Intel's AMX does, where the kernel lets it be used (3 to 5 times as fast). AVX-512 with bfloat16 does not pay:
    measured with davit_tiny, AMX takes 0.41 of float32's time, AVX-512 with bfloat16 1.25, without 2.9, AVX2 14.

    Args:
        least: times as fast.
        side: rows and columns of the matrices that are tried: 0.06 s in all where there is nothing beyond AVX2.
    """
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.ones(side, side, dtype=dtype) for _ in range(2))
        tries: list[float] = []
        while len(tries) < 2 or (len(tries) < 12 and sum(tries) < 0.05):
            began = time.perf_counter()
            a @ b
            tries.append(time.perf_counter() - began)
        seconds.append(min(tries[1:]))  # the first one chooses and prepares its kernels
    return seconds[0] >= least * seconds[1]
