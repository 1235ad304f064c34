"""Turn what the network said of a visit's moments into one name, and say how sure we are and why.

Logits are averaged over moments, then softmax: one lucky frame decides nothing, and averaging beats both
the maximum and voting. A classifier always answers, so abstaining is done here: `confirmed` from the
threshold on, `uncertain` (the name is kept) from `uncertain` on, `unknown` below. When the best class is
no bird (birder's `Unknown`), the visit is `rejected` if the network is sure of that, and never has a name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from birdwatchd.config import SpeciesSettings
from birdwatchd.records import FloatArray, Label, Rank, State, Verdict
from birdwatchd.species.taxonomy import name_key

__all__ = ["Fusion", "RunningVerdict", "unmatched_species"]

TOP = 5


class Fusion:
    """The rules by which logits become a verdict, for the classes of one model."""

    def __init__(self, labels: Sequence[Label], settings: SpeciesSettings) -> None:
        self.labels = tuple(labels)
        self._settings = settings
        wanted = {name_key(name): threshold for name, threshold in settings.per_species.items()}
        self._thresholds = tuple(_threshold(label, wanted, settings.threshold) for label in self.labels)

    def fuse(self, logits: FloatArray) -> Verdict:
        """The verdict on all moments of a visit at once.

        Args:
            logits: float32, shape (moments, classes); no moments at all give `unknown`.
        """
        running = self.running()
        for row in logits:
            running.add(row)
        return running.verdict()

    def running(self) -> RunningVerdict:
        """A verdict that is revised as moments arrive, for a new visit."""
        return RunningVerdict(self)

    def judge(self, mean_logits: NDArray[np.float64]) -> Verdict:
        """The verdict on logits that have been averaged already, shape (classes,)."""
        p = _softmax(mean_logits)
        order = np.argsort(-p, kind="stable")[:TOP]
        best = int(order[0])
        state, reason = self._state(best, float(p[best]))
        label = self.labels[best]
        named = state in (State.CONFIRMED, State.UNCERTAIN)
        return Verdict(
            state=state,
            rank=Rank.SPECIES if named else Rank.BIRD,
            common_name=label.common_name if named else None,
            scientific_name=label.scientific_name if named else None,
            score=float(p[best]),
            top=tuple((self.labels[i].common_name, float(p[i])) for i in order),
            reasons=(reason,) if reason else (),
        )

    def _state(self, best: int, score: float) -> tuple[State, str]:
        label, threshold = self.labels[best], self._thresholds[best]
        if not label.is_species:
            state = State.REJECTED if score >= threshold else State.UNKNOWN
            return state, f"{score:.2f} for {label.common_name}, which is no species"
        if score >= threshold:
            return State.CONFIRMED, ""
        if score >= self._settings.uncertain:
            return State.UNCERTAIN, f"{_below(score, threshold)} for {label.common_name}"
        return State.UNKNOWN, f"{_below(score, self._settings.uncertain)} for {label.common_name}"


class RunningVerdict:
    """One visit's verdict so far. Keeps the sum of the logits and their number, never the logits."""

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self._sum = np.zeros(len(fusion.labels), np.float64)
        self.moments = 0

    def add(self, logits: FloatArray) -> None:
        """Take the logits of one more moment: float32, shape (classes,)."""
        if logits.shape != self._sum.shape:
            raise ValueError(f"logits of shape {logits.shape} given, {self._sum.shape} expected")
        self._sum += logits
        self.moments += 1

    def verdict(self) -> Verdict:
        """The verdict on all moments so far: that of `Fusion.fuse` in the same order, to the last bit."""
        if self.moments == 0:
            return Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.0, (), ("no picture could be classified",))
        return self._fusion.judge(self._sum / self.moments)


def unmatched_species(settings: SpeciesSettings, labels: Sequence[Label]) -> tuple[str, ...]:
    """The keys of `per_species` that name no class of the model, sorted: spelling mistakes, mostly."""
    known = {key for label in labels for key in _keys(label)}
    return tuple(sorted(name for name in settings.per_species if name_key(name) not in known))


def _keys(label: Label) -> tuple[str, ...]:
    names = (label.common_name, label.scientific_name)
    return tuple(name_key(name) for name in names if name)


def _threshold(label: Label, wanted: dict[str, float], default: float) -> float:
    return next((wanted[key] for key in _keys(label) if key in wanted), default)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    result: NDArray[np.float64] = powers / powers.sum()
    return result


def _below(score: float, threshold: float) -> str:
    """Write `0.62 is below 0.70` with as many digits as it takes for that to look true."""
    digits = next((d for d in (2, 3, 4, 5) if f"{score:.{d}f}" != f"{threshold:.{d}f}"), 6)
    return f"{score:.{digits}f} is below {threshold:.{digits}f}"
