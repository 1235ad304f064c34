"""Classify the moments of many visits together, whatever their pictures are like.

What the pictures hold was made elsewhere, by cameras and their processes, and is not trusted: one that cannot
be decoded is counted and left out, and costs neither the others nor the daemon anything.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from birdwatchd.errors import DeviceLost
from birdwatchd.metrics import Metrics
from birdwatchd.records import Crop, FloatArray, Moment, Prediction
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.preprocess import Pixels
from birdwatchd.species.network.torch_errors import DeviceOutOfMemory

__all__ = ["Classifier", "Names"]

# A crop is at most a camera's frame; 8K video has 33 million pixels. More is an attack on our memory.
_MAX_PIXELS = 34_000_000
# Spoilt answers in a row after which it is the device that is ill, not a picture.
_SPOILT_IN_A_ROW = 8


class Names(Protocol):
    """What a classifier needs of a network; `species.network.Network` is the real one."""

    @property
    def device(self) -> str:
        """The device, for messages."""
        ...

    @property
    def max_batch(self) -> int | None:
        """Most pictures worth giving at once."""
        ...

    @property
    def prepare(self) -> Callable[[Image.Image], Pixels]:
        """Picture to uint8, shape (3, h, w)."""
        ...

    def infer(self, batch: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """Pictures of `prepare` to logits (n, classes) and embeddings (n, dim)."""
        ...


class Classifier:
    """Moments in, predictions out. Used from one thread.

    Counts `crops_classified_total`, `crops_undecodable_total` and `crops_spoilt_total` (answers with NaN).
    """

    def __init__(self, network: Names, settings: ModelSettings, metrics: Metrics) -> None:
        self._network = network
        self._metrics = metrics
        self._spoilt_in_a_row = 0
        self._halved = False
        self.max_batch = min(settings.max_batch, network.max_batch or settings.max_batch)

    def predict(self, moments: Sequence[tuple[str, Moment]]) -> list[Prediction]:
        """Ask the network about moments of any visits.

        Args:
            moments: (visit id, moment) pairs.

        Returns:
            One prediction for each moment whose picture could be read, in the order given.

        Raises:
            DeviceLost: the device failed, or half a batch does not fit into its memory either.
        """
        predictions: list[Prediction] = []
        waiting: list[tuple[str, Moment]] = list(moments)
        while waiting:
            part, waiting = waiting[: self.max_batch], waiting[self.max_batch :]
            read = [(visit_id, moment, p) for visit_id, moment in part for p in self._decode(moment.crop)]
            if not read:
                continue
            logits, embeddings = self._infer([pixels for _, _, pixels in read])
            for (visit_id, moment, _), row, embedding in zip(read, logits, embeddings, strict=True):
                if self._is_sound(row, embedding):
                    predictions.append(Prediction(visit_id, moment, row, embedding))
        self._metrics.add("crops_classified_total", len(predictions))
        return predictions

    def _decode(self, crop: Crop) -> Iterator[Pixels]:
        """One array, or none where the picture cannot be read."""
        try:
            with Image.open(io.BytesIO(crop.jpeg), formats=("JPEG",)) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ValueError("more pixels than a camera's frame")
                image.load()
                yield self._network.prepare(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            self._metrics.add("crops_undecodable_total")

    def _infer(self, batch: Sequence[Pixels]) -> tuple[FloatArray, FloatArray]:
        """Infer; where memory runs out for the first time ever, in halves, and with halves from then on."""
        try:
            return self._network.infer(batch)
        except DeviceOutOfMemory:
            if self._halved or len(batch) == 1:
                raise
            self._halved = True
            self.max_batch = max(1, len(batch) // 2)
        pieces = [self._network.infer(batch[at : at + self.max_batch]) for at in range(0, len(batch), self.max_batch)]
        return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])

    def _is_sound(self, logits: FloatArray, embedding: FloatArray) -> bool:
        if np.isfinite(logits).all() and np.isfinite(embedding).all():
            self._spoilt_in_a_row = 0
            return True
        self._metrics.add("crops_spoilt_total")
        self._spoilt_in_a_row += 1
        if self._spoilt_in_a_row >= _SPOILT_IN_A_ROW:
            raise DeviceLost(
                f"{self._network.device} answered {_SPOILT_IN_A_ROW} pictures in a row with NaN",
                "start birdwatchd again; if it comes back, set model.precision to float32",
            )
        return False
