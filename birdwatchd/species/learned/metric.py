"""Measure how far two embeddings of one network are apart, in units of how much pictures of one bird differ.

A network's numbers vary with pose, light and background far more along some directions than along others. Divided by
that variation (the pooled covariance within birds of one kind), what remains is what tells kinds apart; it is the
distance of Mahalanobis that Lee et al. use ("A Simple Unified Framework for Detecting Out-of-Distribution Samples",
NeurIPS 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric"]

# Share of the covariance that is always taken as the same in all directions: pictures of one visit resemble each other,
# so there is less to learn from than their number says. A choice; other shares were not compared.
LEAST_SHRINKING = 0.1

Vectors = NDArray[np.float32]


class Metric:
    """Turns embeddings into points whose squared distance is 1, on average, between a picture and its kind's middle."""

    def __init__(self, turning: Vectors) -> None:
        """
        Args:
            turning: shape (dim, dim); an embedding times this is a point.
        """
        self._turning = turning

    @classmethod
    def of(cls, residuals: NDArray[np.float64]) -> Metric:
        """Learn it from what is left of embeddings when the middle of their kind is taken away: shape (n, dim)."""
        count, dim = residuals.shape
        covariance = residuals.T @ residuals / max(1, count)
        spread = float(np.trace(covariance)) / dim
        if spread <= 0:  # nothing is known of how pictures differ
            return cls((np.eye(dim) / np.sqrt(dim)).astype(np.float32))
        even = max(LEAST_SHRINKING, _shrinking(residuals, covariance, spread))
        mixed = (1 - even) * covariance + even * spread * np.eye(dim)
        turning = np.linalg.inv(np.linalg.cholesky(mixed)).T
        turning /= np.sqrt(np.einsum("ij,ik,kj->", turning, covariance, turning))  # mean square of a residual: 1
        return cls(turning.astype(np.float32))

    def points(self, embeddings: NDArray[np.floating]) -> Vectors:
        """Points of embeddings, shape (…, dim) both."""
        result: Vectors = np.asarray(embeddings, np.float32) @ self._turning
        return result


def _shrinking(residuals: NDArray[np.float64], covariance: NDArray[np.float64], spread: float) -> float:
    """How little the covariance of so few vectors can be trusted, 0 … 1.

    Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004).
    """
    count = len(residuals)
    whole = float((covariance**2).sum())
    away = whole - len(covariance) * spread**2
    noise = (float((np.square(residuals).sum(axis=1) ** 2).sum()) / count - whole) / count
    return 1.0 if away <= 0 else min(1.0, max(0.0, noise / away))
