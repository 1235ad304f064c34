"""Classify the crops of many visits in batches, tolerating crops and outputs that are broken.

Crops were encoded by other processes from what cameras sent, and are not trusted: one that cannot be decoded is counted
and left out, and costs neither the others of its batch nor the daemon anything.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from birdwatchd.errors import DeviceLost
from birdwatchd.metrics import Metrics
from birdwatchd.records import Crop, FloatArray, Moment, Prediction
from birdwatchd.seen_part import Look
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.looks import shown_by
from birdwatchd.species.network.preprocess import Outputs, Pixels
from birdwatchd.species.network.torch_errors import DeviceOutOfMemory

__all__ = ["Backend", "Classifier"]

# A crop is at most a camera's frame; 8K video has 33 million pixels. More is an attack on our memory.
_MAX_PIXELS = 34_000_000
# Outputs in a row with NaN after which it is the device that is broken, not a crop.
_MAX_NAN_IN_A_ROW = 8


class Backend(Protocol):
    """What `Classifier` needs of a network; `species.network.network.Network` is the real one."""

    @property
    def device(self) -> str:
        """The device, for messages."""
        ...

    @property
    def max_batch(self) -> int | None:
        """Crops beyond which a batch gets no faster; None for no limit."""
        ...

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Image to uint8, shape (3, h, w)."""
        ...

    def infer(self, batch: Sequence[Pixels]) -> Outputs:
        """Crops from `preprocess` to logits (n, classes) and embeddings (n, dim), float32."""
        ...


class Classifier:
    """Moments in, predictions out. Used from one thread.

    Counts `crops_classified_total`, `crops_undecodable_total` and `crops_spoilt_total` (outputs with NaN).
    """

    def __init__(self, backend: Backend, settings: ModelSettings, metrics: Metrics) -> None:
        self._backend = backend
        self._metrics = metrics
        self._nan_in_a_row = 0
        self._halved = False
        self.max_batch = min(settings.max_batch, backend.max_batch or settings.max_batch)

    def predict(self, moments: Sequence[tuple[str, Moment]], *, look: Look = Look.FIRST) -> list[Prediction]:
        """Classify moments of any visits.

        Args:
            moments: (visit id, moment) pairs.
            look: what of their crops is classified; those of which there is no such look are left out.

        Returns:
            One prediction for each moment whose crop could be decoded, in the order given.

        Raises:
            DeviceLost: the device failed, or half a batch does not fit into its memory either.
        """
        predictions: list[Prediction] = []
        remaining: list[tuple[str, Moment]] = list(moments)
        while remaining:
            batch, remaining = remaining[: self.max_batch], remaining[self.max_batch :]
            pixels_of = [(one, self._decode(one[1].crop, look)) for one in batch]
            decoded = [(one, pixels) for one, pixels in pixels_of if pixels is not None]
            if not decoded:
                continue
            logits, embeddings = self._infer([pixels for _, pixels in decoded])
            for ((visit_id, moment), _), row, embedding in zip(decoded, logits, embeddings, strict=True):
                if self._is_finite(row, embedding):
                    predictions.append(Prediction(visit_id, moment, row, embedding))
        self._metrics.add("crops_classified_total", len(predictions))
        return predictions

    def _decode(self, crop: Crop, look: Look) -> Pixels | None:
        """The preprocessed look at a crop; None where its JPEG is broken, or there is no such look."""
        try:
            image: Image.Image = Image.open(io.BytesIO(crop.jpeg), formats=("JPEG",))
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError("more pixels than a camera's frame")
            image.load()
            shown = shown_by(look, image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            self._metrics.add("crops_undecodable_total")
            return None
        return None if shown is None else self._backend.preprocess(shown)

    def _infer(self, batch: Sequence[Pixels]) -> Outputs:
        """Infer; where memory runs out for the first time ever, in halves, and with halves from then on."""
        try:
            return self._backend.infer(batch)
        except DeviceOutOfMemory:
            if self._halved or len(batch) == 1:
                raise
            self._halved = True
            self.max_batch = max(1, len(batch) // 2)
        parts = [batch[start : start + self.max_batch] for start in range(0, len(batch), self.max_batch)]
        outputs = [self._backend.infer(part) for part in parts]
        return np.concatenate([logits for logits, _ in outputs]), np.concatenate([e for _, e in outputs])

    def _is_finite(self, logits: FloatArray, embedding: FloatArray) -> bool:
        if np.isfinite(logits).all() and np.isfinite(embedding).all():
            self._nan_in_a_row = 0
            return True
        self._metrics.add("crops_spoilt_total")
        self._nan_in_a_row += 1
        if self._nan_in_a_row >= _MAX_NAN_IN_A_ROW:
            raise DeviceLost(
                f"{self._backend.device} answered {_MAX_NAN_IN_A_ROW} pictures in a row with NaN",
                "start birdwatchd again; if it comes back, set model.precision to float32",
            )
        return False
