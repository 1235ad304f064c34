"""The classes of a model are read without torch, and damaged weights only cost the order of names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.class_names import class_names


def weights(head: bytes) -> bytes:
    return len(head).to_bytes(8, "little") + head + bytes(100)


def test_classes_of_published_own_and_bundled_weights(tmp_path: Path) -> None:
    """Whichever a station uses, its birds are known."""
    head = {"__metadata__": {"class_to_idx": json.dumps({"Great tit": 0, "House sparrow": 1})}}
    (tmp_path / "davit_tiny.safetensors").write_bytes(weights(json.dumps(head).encode()))
    assert class_names(ModelSettings(name="davit_tiny"), tmp_path) == ("Great tit", "House sparrow")
    own = ModelSettings(file=tmp_path / "davit_tiny.safetensors")
    assert class_names(own, Path("/nowhere")) == ("Great tit", "House sparrow")
    assert "Palestine sunbird" in class_names(ModelSettings(name="demo"), tmp_path)
    assert class_names(ModelSettings(name="other"), tmp_path) == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 20, weights(b"{}"), weights(b"[" * 100_000), weights(b'{"__metadata__": {"class_to_idx": 3}}')],
)
def test_weights_that_are_none(tmp_path: Path, content: bytes) -> None:
    """The page must come up with a file that was cut short, too."""
    (tmp_path / "x.safetensors").write_bytes(content)
    assert class_names(ModelSettings(name="x"), tmp_path) == ()
