"""Ask a network on the CPU: each core its own pictures, for cores that share one wait for each other at every layer.

Measured with davit_tiny at 384 on two cores, eight pictures at once, each core one at a time against both the same one:
121 against 157 ms a picture in float32, 49 against 88 in bfloat16. A picture alone is still shared, to be told sooner.
"""

from __future__ import annotations

from birdwatchd.species.border import quiet_import  # noqa: F401 - before torch: it prepares OpenMP

# isort: split
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from birdwatchd.records import FloatArray
from birdwatchd.species.lanes import Answer, Forward
from birdwatchd.species.preparing import Pixels, Preparation

__all__ = ["Cores", "multiplies_bfloat16"]

# Pixels that one core takes at once: one picture of 384 × 384; small inputs share. Measured with davit_tiny in its own
# form on 2 busy cores, batches of 1, 2, 4 and 8: 505, 499, 491 and 549 ms of processor time per picture (the least of
# three), and a peak of 1002, 1058, 1133 and 1357 MB for the process. More cost memory and gain nothing.
_PIXELS = 384 * 384


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
        self._each = max(1, _PIXELS // (preparation.size[0] * preparation.size[1]))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="core")
        self.worth = self._threads * self._each

    def ask(self, batch: Sequence[Pixels]) -> Answer:
        """Pictures, uint8, shape (3, h, w) each, to logits, float32, (n, classes), and embeddings, float32, (n, dim).

        Raises:
            RuntimeError, MemoryError: what torch raises.
        """
        rounds = [self._together(batch[at : at + self.worth]) for at in range(0, len(batch), self.worth)]
        logits, embeddings = (np.concatenate(parts) for parts in zip(*(p for r in rounds for p in r), strict=True))
        return logits, embeddings

    def _together(self, batch: Sequence[Pixels]) -> list[tuple[FloatArray, FloatArray]]:
        """One round: the pictures dealt out to as many workers as have one, and the cores to these workers."""
        workers = min(self._threads, len(batch))
        if workers == 1:
            return [self._run(batch, self._threads)]
        each = -(-len(batch) // workers)
        parts = [batch[at : at + each] for at in range(0, len(batch), each)]
        try:
            return list(self._pool.map(self._run, parts, [self._threads // len(parts)] * len(parts)))
        finally:
            torch.set_num_threads(self._threads)

    def _run(self, part: Sequence[Pixels], threads: int) -> tuple[FloatArray, FloatArray]:
        torch.set_num_threads(threads)  # of this thread, and of those that use torch for the first time from now on
        with torch.inference_mode():
            logits, embeddings = self._forward(self._preparation.normalised(torch.from_numpy(np.stack(part))))
            return logits.float().numpy(), embeddings.float().numpy()


def multiplies_bfloat16() -> bool:
    """Whether this machine's cores multiply matrices in bfloat16 by themselves, and so much faster than in float32.

    Intel's AMX does. AVX-512 with bfloat16 does not pay: measured with davit_tiny, AMX 0.41 of float32's time, AVX-512
    with bfloat16 1.25, without 2.9, AVX2 14.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # older torch cannot tell
    return capabilities is not None and bool(capabilities().get("amx_bf16"))
