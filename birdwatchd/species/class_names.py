"""Read which classes a model has, from the head of its weights' file: torch is not loaded for it.

The file begins with the length of a JSON object, eight bytes, little-endian, and the object; birder writes the classes
into its `__metadata__` (https://huggingface.co/docs/safetensors, "Format"). Weights as `.pt` cannot be read so.
"""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

from birdwatchd.settings.model import ModelSettings

__all__ = ["DEMO", "class_names"]

DEMO = "demo"  # the name of the model that comes with the package
MOST_BYTES = 5_000_000  # of the head; ten thousand classes take 0.4 MB


def class_names(settings: ModelSettings, cache_dir: Path) -> tuple[str, ...]:
    """The names of a model's classes; none where its file is not here, or does not say.

    Args:
        cache_dir: where published weights are kept.
    """
    if settings.file is None and settings.name == DEMO:
        with as_file(files("birdwatchd.species").joinpath("weights", f"{DEMO}.safetensors")) as path:
            return _read(path)
    return _read(settings.file or cache_dir / f"{settings.name}.safetensors")


def _read(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= MOST_BYTES:
                return ()
            classes = json.loads(json.loads(file.read(size))["__metadata__"]["class_to_idx"])
            return tuple(map(str, classes))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
