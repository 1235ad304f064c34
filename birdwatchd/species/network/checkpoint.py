"""Find and load a checkpoint with birder: its network, class names, input size and transform.

The settings name one of three sources: the bundled demo model (`name: demo`, never chosen for you), a file of the
user's (`file`), or a name from birder's registry, downloaded from its publisher once and then read from the cache
folder. The SHA-256 of a published file is compared with the publisher's at every start: disks rot, and half a copied
file can look whole. `.pt` files are pickles and are always read with `weights_only=True`.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import quiet_import, weights_errors

# isort: split
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from birdwatchd.errors import ModelMissing, ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.class_names import DEMO
from birdwatchd.species.network.download import DownloadFailed, OnBytes, download, ignore_bytes, sha256_of
from birdwatchd.species.published import is_suited
from birdwatchd.text_file import NotText, read_text

with quiet_import():
    from birder import classification_transform
    from birder.common.fs_ops import load_model
    from birder.common.lib import get_pretrained_model_url, get_size_from_signature
    from birder.model_registry import Task, registry

__all__ = ["DEMO", "Checkpoint", "read_checkpoint"]

MOST_BYTES = 10_000_000  # of a network's configuration; it has some hundred
LONGEST_NAME = 200  # letters of a network's name
MOST_WIDTH, MOST_LAYERS = 16_384, 512  # of a network: against a digit too many, not a measure of what there is
# Formats that can be read without running what they hold, the safer one first.
_FORMATS = ("safetensors", "pt")
_DEMO_HINT = "`model: {name: demo}` needs no download, but is a toy for trying birdwatchd out"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A birder classifier as loaded from its file: on the CPU, float32, in evaluation mode.

    Attributes:
        name: what people call it; `demo` for the bundled model.
        path: the weights.
        sha256: of the weights, 64 hex digits.
        net: birder's network; callers use its `embedding(x)` and `classify(embedding)`.
        classes: names in the order of the logits.
        size: (height, width) of the input in pixels.
        transform: birder's own steps from a PIL image to the input.
    """

    name: str
    path: Path
    sha256: str
    net: Any
    classes: tuple[str, ...]
    size: tuple[int, int]
    transform: Any


@dataclass(frozen=True, slots=True)
class _Weights:
    """A weights file that exists, and the network architecture that it belongs to."""

    name: str
    path: Path
    sha256: str
    network: str
    config: Mapping[str, Any] | None = None
    reparameterized: bool = False


def read_checkpoint(
    settings: ModelSettings, cache_dir: Path, *, progress: bool, on_bytes: OnBytes = ignore_bytes
) -> Checkpoint:
    """Read the weights that `settings` ask for, fetching them first where they are published and not here.

    Args:
        settings: `name`, `file`, `cache_dir` (overrides the argument) and `download` are used.
        cache_dir: where published weights are kept.
        progress: show a download's progress on stderr.
        on_bytes: is told how a download goes on: bytes that are here, bytes that there will be (0: not known).

    Raises:
        ModelUnusable: missing, damaged, or of another network; says which file belongs where.
    """
    if settings.file is not None:
        if settings.name == DEMO:
            raise ModelUnusable("model.file and `name: demo` exclude each other", "keep one of them")
        return _read(_own(settings.file, settings.name if "name" in settings.model_fields_set else None))
    if settings.name == DEMO:
        with as_file(files("birdwatchd.species").joinpath("weights", f"{DEMO}.safetensors")) as path:
            return _read(_bundled(path))
    return _read(_published(settings, settings.cache_dir or cache_dir, progress, on_bytes))


def _bundled(path: Path) -> _Weights:
    hint = "install birdwatchd again"
    if not path.is_file():
        raise ModelUnusable(f"the bundled demo model {path} is missing", hint)
    return _identified(DEMO, path, None, hint)


def _own(path: Path, name: str | None) -> _Weights:
    if path.suffix.lower() not in (".pt", ".safetensors"):
        raise ModelUnusable(f"model.file {path} has an unknown format", "use birder's .pt or .safetensors")
    return _identified(name or path.stem, path, name, "check model.file")


def _identified(name: str, path: Path, network_hint: str | None, hint: str) -> _Weights:
    """Find out the network from the configuration beside the file, else from the model's or the file's name."""
    sha256 = _hash_of(path, hint)
    if (configuration := _configuration_beside(path, hint)) is not None:
        network, config, reparameterized = configuration
        return _Weights(name, path, sha256, network, config, reparameterized)
    for text in filter(None, (network_hint, path.stem)):
        if registry.pretrained_exists(text):
            known = registry.get_pretrained_metadata(text)["net"]
            return _Weights(name, path, sha256, known["network"], None, bool(known.get("reparameterized", False)))
        if prefix := _network_in(text):
            return _Weights(name, path, sha256, prefix)
    raise ModelUnusable(
        f"cannot tell which network {path} is for, neither from model.name nor from its own name",
        "set model.name to one that begins with a birder network, such as davit_tiny_garden,"
        f" or put birder's {path.with_suffix('.json').name} beside it",
    )


def _exists(path: Path, hint: str) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a folder that may not be entered
        raise ModelUnusable(f"{path} cannot be read ({error})", hint) from None


def _hash_of(path: Path, hint: str) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelUnusable(f"{path} cannot be read ({error})", hint) from None


def _configuration_beside(path: Path, hint: str) -> tuple[str, Mapping[str, Any] | None, bool] | None:
    """Network, its configuration and whether it is reparameterized, from birder's JSON file beside the weights."""
    beside = path.with_suffix(".json")
    try:
        if not beside.is_file():
            return None
        content = json.loads(read_text(beside, most_bytes=MOST_BYTES))
    except (OSError, NotText, ValueError, RecursionError) as error:  # ValueError: no JSON
        raise ModelUnusable(f"{beside} is not a birder configuration ({error})", hint) from None
    if not isinstance(content, dict) or not {"registered_name", "model_config"} <= content.keys():
        raise ModelUnusable(f"{beside} is not a birder configuration (no registered_name, no model_config)", hint)
    network, config = content["registered_name"] or content.get("name"), content["model_config"]
    if not isinstance(network, str) or len(network) > LONGEST_NAME or not isinstance(config, dict | None):
        raise ModelUnusable(f"{beside} is not a birder configuration (its network is not a name)", hint)
    if not _is_plausible(config or {}):
        raise ModelUnusable(f"{beside} is not a birder configuration (its network would be too large)", hint)
    return network, config, bool(content.get("reparameterized"))


def _is_plausible(config: Mapping[str, Any]) -> bool:
    """Whether a network of these numbers can be built: one digit too many takes all memory, or minutes."""

    def largest(value: object) -> float:
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        own = abs(value) if isinstance(value, int | float) else 0.0
        return max((own, *map(largest, values)))

    layers = [value for key, value in config.items() if any(word in key for word in ("depth", "layer", "repeat"))]
    return largest(dict(config)) <= MOST_WIDTH and largest(layers) <= MOST_LAYERS


def _network_in(text: str) -> str | None:
    """The longest birder network that a name begins with: `davit_tiny` in `davit_tiny_garden_40`."""
    networks = registry.list_models(task=Task.IMAGE_CLASSIFICATION)
    prefixes = [n for n in networks if text.lower() == n or text.lower().startswith(f"{n}_")]
    return max(prefixes, key=len, default=None)


def _published(settings: ModelSettings, folder: Path, progress: bool, on_bytes: OnBytes) -> _Weights:
    name = settings.name
    metadata = _metadata(name)
    _require_suited(metadata["net"]["network"], f"model.name {name}")
    kind = next(kind for kind in _FORMATS if kind in metadata["formats"])
    file_name, url = get_pretrained_model_url(name, kind)
    path, expected = folder / file_name, metadata["formats"][kind]["sha256"]
    hint = "check model.cache_dir and who owns it"
    if not _exists(path, hint):
        _fetch(url, path, expected, settings, progress=progress, on_bytes=on_bytes)
    sha256 = _hash_of(path, hint)
    if sha256 != expected:
        raise ModelUnusable(
            f"{path} is damaged, cut short or not the published file"
            f" (sha256 {sha256[:12]}… instead of {expected[:12]}…)",
            f"delete it and start again, or put {url} there",
        )
    net = metadata["net"]
    return _Weights(name, path, sha256, net["network"], None, bool(net.get("reparameterized", False)))


def _fetch(url: str, path: Path, sha256: str, settings: ModelSettings, *, progress: bool, on_bytes: OnBytes) -> None:
    missing = f"the weights of {settings.name} are not on this machine"
    remedy = f"download {url} elsewhere and put it at {path}; {_DEMO_HINT}"
    if not settings.download:
        raise ModelMissing(f"{missing}, and model.download is false", remedy)
    try:
        download(url, path, sha256, progress=progress, on_bytes=on_bytes)
    except DownloadFailed as error:
        raise ModelMissing(f"{missing}, and fetching them failed ({error})", remedy) from None


def _metadata(name: str) -> Mapping[str, Any]:
    """What birder's registry knows of published weights.

    Raises:
        ModelUnusable: no such name, or no classifier that can be read safely.
    """
    usable = [
        known
        for known in registry.list_pretrained_models(task=Task.IMAGE_CLASSIFICATION)
        if any(kind in registry.get_pretrained_metadata(known)["formats"] for kind in _FORMATS)
    ]
    if name in usable:
        metadata: Mapping[str, Any] = registry.get_pretrained_metadata(name)
        return metadata
    if registry.pretrained_exists(name):
        raise ModelUnusable(
            f"model.name {name} is not a classifier that can be used here", "choose a classification model"
        )
    close = difflib.get_close_matches(name, [*usable, DEMO], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "`birdwatchd models` lists them"
    raise ModelUnusable(f"model.name {name} is not known to birder", hint)


def _require_suited(network: str, what: str) -> None:
    if not is_suited(network):
        raise ModelUnusable(
            f"{what} is of the network {network}, which describes a picture by more than one vector",
            "`birdwatchd models` lists those that can be used",
        )


def _read(weights: _Weights) -> Checkpoint:
    _require_suited(weights.network, str(weights.path))
    message = f"{weights.path} is damaged, or not weights of {weights.network} in birder's format"
    hint = (
        "give model.file weights that birder saved, and model.name its network"
        " (or delete the file, if birdwatchd fetched it)"
    )
    with weights_errors(message, hint):
        net, info = load_model(
            torch.device("cpu"),
            weights.network,
            path=weights.path,
            config=dict(weights.config) if weights.config else None,
            reparameterized=weights.reparameterized,
            inference=True,
            st=weights.path.suffix.lower() == ".safetensors",
        )
        size = get_size_from_signature(info.signature)
    if not _are_class_numbers(info.class_to_idx) or not _are_rgb_stats(info.rgb_stats) or not _is_size(size):
        raise ModelUnusable(message, hint)
    return Checkpoint(
        name=weights.name,
        path=weights.path,
        sha256=weights.sha256,
        net=net,
        classes=_classes(weights.path, info.class_to_idx),
        size=(size[0], size[1]),
        transform=classification_transform(size, info.rgb_stats),
    )


def _are_class_numbers(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(k, str) and isinstance(v, int) for k, v in found.items())


def _are_rgb_stats(found: object) -> bool:
    """Whether it is mean and standard deviation of three channels, as `classification_transform` divides by them."""
    if not isinstance(found, dict):
        return False
    try:
        mean, std = (np.asarray(found[key], np.float64) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        return False
    return mean.shape == std.shape == (3,) and bool(np.isfinite([mean, std]).all()) and bool((std > 0).all())


def _is_size(found: object) -> bool:
    return isinstance(found, tuple | list) and len(found) == 2 and all(isinstance(n, int) and n > 0 for n in found)


def _classes(path: Path, class_to_idx: Mapping[str, int]) -> tuple[str, ...]:
    classes = sorted(class_to_idx, key=lambda name: class_to_idx[name])
    if not classes:
        raise ModelUnusable(f"{path} holds no classes: it describes images but names nothing", "use a classifier")
    if [class_to_idx[name] for name in classes] != list(range(len(classes))):
        raise ModelUnusable(f"{path} numbers its classes with gaps or twice", "save it again with birder")
    return tuple(classes)
