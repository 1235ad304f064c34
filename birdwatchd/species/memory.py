"""Find what looks alike: all embeddings of one model, searched exactly, on the device that the model uses.

Vectors are kept as float16 of length one, so that a million of 768 numbers take 1.5 GB, in blocks that are filled one
after the other: adding never copies what is there. A search multiplies everything in float16 and sorts out the best in
float32, so that the answers are those of float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from birdwatchd.records import FloatArray, HalfArray

__all__ = ["Found", "Memory"]

BLOCK = 16_384  # vectors allocated at once: 25 MB at 768 numbers
SPARE = 8  # times as many candidates as are wanted, from the float16 pass
LEAST_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One moment that looks alike.

    Attributes:
        similarity: cosine of the embeddings, -1 … 1.
    """

    visit_id: str
    index: int
    similarity: float


class Memory:
    """The embeddings of one model. Used from one thread at a time."""

    def __init__(self, dim: int, device: str = "cpu") -> None:
        """
        Args:
            dim: length of an embedding.
            device: where they are kept and compared, as torch names it.
        """
        self.dim = dim
        self._device = torch.device(device)
        self._blocks: list[torch.Tensor] = []
        self._visits: list[str] = []
        self._indices: list[int] = []

    def __len__(self) -> int:
        return len(self._visits)

    def add(self, visits: Sequence[str], indices: Sequence[int], embeddings: FloatArray | HalfArray) -> None:
        """Remember moments.

        Args:
            visits, indices: visit id and number of each moment.
            embeddings: shape (moments, dim), any float type, of any length.

        Raises:
            ValueError: they are of another model: their length differs.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise ValueError(f"embeddings of shape {embeddings.shape} given, (…, {self.dim}) expected")
        vectors = torch.from_numpy(_unit(embeddings).astype(np.float16))
        begin = 0
        while begin < len(vectors):
            place = len(self._visits) % BLOCK
            if place == 0:
                self._blocks.append(torch.empty(BLOCK, self.dim, dtype=torch.float16, device=self._device))
            end = min(len(vectors), begin + BLOCK - place)
            self._blocks[-1][place : place + end - begin] = vectors[begin:end].to(self._device)
            self._visits.extend(self._shared(visits[begin:end]))
            self._indices.extend(indices[begin:end])
            begin = end

    def _shared(self, visits: Sequence[str]) -> Iterator[str]:
        """The same ids, one object for all moments of a visit."""
        last = self._visits[-1] if self._visits else ""
        for visit in visits:
            last = last if visit == last else visit
            yield last

    def nearest(self, embedding: FloatArray, count: int) -> list[Found]:
        """The moments whose embeddings point most nearly the same way, best first.

        Args:
            embedding: shape (dim,), of any length.
            count: how many at most.
        """
        if not self._visits or count < 1:
            return []
        wanted = torch.from_numpy(_unit(embedding[None])[0]).to(self._device)
        half = wanted.half()
        scores = torch.cat([block @ half for block in self._blocks])[: len(self._visits)]
        candidates = min(len(scores), max(LEAST_CANDIDATES, SPARE * count))
        rows = torch.topk(scores, candidates).indices
        exact = self._exact(rows, wanted)
        best = np.argsort(-exact, kind="stable")[:count]
        chosen = rows.cpu().numpy()[best]
        return [
            Found(self._visits[row], self._indices[row], float(score))
            for row, score in zip(chosen, exact[best], strict=True)
        ]

    def _exact(self, rows: torch.Tensor, wanted: torch.Tensor) -> NDArray[np.float32]:
        block, place = rows // BLOCK, rows % BLOCK
        vectors = torch.stack([self._blocks[b][p] for b, p in zip(block.tolist(), place.tolist(), strict=True)])
        result: NDArray[np.float32] = (vectors.float() @ wanted).cpu().numpy()
        return result


def _unit(vectors: FloatArray | HalfArray) -> FloatArray:
    """Of length one; a vector of zeros stays zeros and is like nothing."""
    wide = vectors.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.maximum(norms, np.float32(1e-12)), np.float32)
