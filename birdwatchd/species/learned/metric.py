"""Mahalanobis distance between embeddings of one network, learned from how crops of one species differ.

A network's embeddings vary with pose, light and background far more along some directions than along others. Whitening
with the pooled within-class covariance leaves what tells species apart. It is the distance of Lee et al. ("A Simple
Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric"]

# Least shrinkage of the covariance towards the same variance in all directions: crops of one visit resemble each other,
# so there is less to learn from than their number says. A choice; other values were not compared.
MIN_SHRINKAGE = 0.1

Vectors = NDArray[np.float32]


class Metric:
    """Whitens embeddings. The mean squared distance of a whitened embedding from its class centre is 1."""

    def __init__(self, whitening: Vectors) -> None:
        """
        Args:
            whitening: shape (dim, dim); an embedding times this is a point.
        """
        self._whitening = whitening

    @classmethod
    def of(cls, residuals: NDArray[np.float64]) -> Metric:
        """Fit to the differences of embeddings from the centre of their class, shape (n, dim)."""
        count, dim = residuals.shape
        covariance = residuals.T @ residuals / max(1, count)
        mean_variance = float(np.trace(covariance)) / dim
        if mean_variance <= 0:  # nothing is known of how crops differ
            return cls((np.eye(dim) / np.sqrt(dim)).astype(np.float32))
        shrinkage = max(MIN_SHRINKAGE, _shrinkage(residuals, covariance, mean_variance))
        shrunk = (1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(dim)
        whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
        # Scale so that the mean squared length of a whitened residual is 1.
        whitening /= np.sqrt(np.einsum("ij,ik,kj->", whitening, covariance, whitening))
        return cls(whitening.astype(np.float32))

    def whiten(self, embeddings: NDArray[np.floating]) -> Vectors:
        """Embeddings to points, shape (…, dim) both."""
        result: Vectors = np.asarray(embeddings, np.float32) @ self._whitening
        return result


def _shrinkage(residuals: NDArray[np.float64], covariance: NDArray[np.float64], mean_variance: float) -> float:
    """The optimal shrinkage of a sample covariance, 0 … 1.

    Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004).
    """
    count = len(residuals)
    norm = float((covariance**2).sum())
    distance = norm - len(covariance) * mean_variance**2
    noise = (float((np.square(residuals).sum(axis=1) ** 2).sum()) / count - norm) / count
    return 1.0 if distance <= 0 else min(1.0, max(0.0, noise / distance))
