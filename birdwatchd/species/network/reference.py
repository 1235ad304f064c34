"""Read and write reference examples beside the weights: `demo.seen.safetensors` to `demo.safetensors`.

With them a model detects outliers from the first day on (`birdwatchd.species.learned.experience`). A model without such
a file collects examples from the visits of its station.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import weights_errors

# isort: split
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from birdwatchd.errors import ModelUnusable
from birdwatchd.species.learned.experience import Example

__all__ = ["read_reference", "reference_path", "write_reference"]


def reference_path(weights: Path) -> Path:
    """Path of the examples of weights."""
    return weights.with_suffix(".seen.safetensors")


def read_reference(weights: Path, sha256: str) -> tuple[Example, ...]:
    """The examples that came with the weights; none where there is no such file.

    Args:
        sha256: of the weights, 64 hex digits.

    Raises:
        ModelUnusable: the file is damaged, or of other weights.
    """
    path = reference_path(weights)
    if not path.is_file():
        return ()
    message, hint = f"{path} cannot be read", "delete it, or install birdwatchd again"
    with weights_errors(message, hint), safe_open(path, "np") as file:
        metadata = file.metadata() or {}
        embeddings, energies = file.get_tensor("embeddings"), file.get_tensor("energies")
    names = _names(metadata.get("names", ""))
    if not len(names) == len(embeddings) == len(energies) or embeddings.ndim != 3:
        raise ModelUnusable(f"{message} (names, embeddings and energies do not fit each other)", hint)
    if not np.isfinite(embeddings).all():
        raise ModelUnusable(f"{message} (embeddings are not numbers)", hint)
    if metadata.get("weights") != sha256:
        raise ModelUnusable(f"{path} belongs to other weights than {weights}", "delete it: it is of no use here")
    return tuple(Example(*one) for one in zip(embeddings, names, map(float, energies), strict=True))


def _names(text: str) -> list[str]:
    """The list in the file's header; empty where it is none."""
    try:
        names = json.loads(text)
    except ValueError:
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def write_reference(weights: Path, sha256: str, examples: Sequence[Example]) -> Path:
    """Write examples, each with the same number of moments, beside their weights; returns the path."""
    tensors = {
        "embeddings": np.stack([np.asarray(example.embeddings, np.float16) for example in examples]),
        "energies": np.array([example.energy for example in examples], np.float32),
    }
    metadata = {"weights": sha256, "names": json.dumps([example.predicted for example in examples])}
    path = reference_path(weights)
    save_file(tensors, path, metadata)
    return path
