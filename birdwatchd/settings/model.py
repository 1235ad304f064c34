"""Settings of the classifier: which one, on what device, in what batches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from birdwatchd.settings.base import Settings

__all__ = ["ModelSettings"]


class ModelSettings(Settings):
    """The classifier. `file` takes weights of your own (.pt or .safetensors in birder's formats) instead of a name."""

    name: str = "davit_tiny_il-all"
    file: Path | None = None
    cache_dir: Path | None = None
    download: bool = True
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 32
    max_wait_ms: Annotated[int, Field(ge=0, le=5000)] = 50
    threads: Annotated[int, Field(ge=0, le=256)] = 0
