"""Find the weights that the settings ask for and read them with birder: the one place that speaks to birder.

Three ways lead to weights: the bundled demo model (`name: demo`, never chosen for you), a file of one's own
(`file`), or a name from birder's registry, fetched from its publisher once and then read from the cache
folder. A published file is held against the publisher's SHA-256 at every start: disks rot, and half a copied
file can look whole. `.pt` files are pickles and are read with `weights_only=True`, always.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import quiet_import, torch_errors

# isort: split
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.download import DownloadFailed, download, sha256_of

with quiet_import():
    from birder import classification_transform
    from birder.common.fs_ops import load_model
    from birder.common.lib import get_pretrained_model_url, get_size_from_signature
    from birder.model_registry import Task, registry

__all__ = ["DEMO", "Checkpoint", "read_checkpoint"]

DEMO = "demo"
# Formats that can be read without running what they hold, the safer one first.
_FORMATS = ("safetensors", "pt")
_ONLY_FOR_TRYING = "`model: {name: demo}` needs no download, but is a toy for trying birdwatchd out"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A birder classifier as its file has it: on the CPU, float32, in evaluation mode.

    Attributes:
        name: what people call it; `demo` for the bundled model.
        path: the weights.
        sha256: of the weights, 64 hex digits.
        net: birder's network; `embedding(x)` and `classify(embedding)` are what is used of it.
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
    """A file that exists, and what has to be known of it beforehand: which network it is of."""

    name: str
    path: Path
    sha256: str
    network: str
    config: Mapping[str, Any] | None = None
    reparameterized: bool = False


def read_checkpoint(settings: ModelSettings, cache_dir: Path, *, progress: bool) -> Checkpoint:
    """Read the weights that `settings` ask for, fetching them first where they are published and not here.

    Args:
        settings: `name`, `file`, `cache_dir` (goes before the argument) and `download` count here.
        cache_dir: where published weights are kept.
        progress: show a download's progress on stderr.

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
    return _read(_published(settings, settings.cache_dir or cache_dir, progress))


def _bundled(path: Path) -> _Weights:
    hint = "install birdwatchd again"
    if not path.is_file():
        raise ModelUnusable(f"the bundled demo model {path} is missing", hint)
    return _described(DEMO, path, None, hint)


def _own(path: Path, name: str | None) -> _Weights:
    if path.suffix.lower() not in (".pt", ".safetensors"):
        raise ModelUnusable(f"model.file {path} is of no known format", "use birder's .pt or .safetensors")
    return _described(name or path.stem, path, name, "check model.file")


def _described(name: str, path: Path, network_hint: str | None, hint: str) -> _Weights:
    """Tell the network from the configuration beside the file, else from the model's or the file's name."""
    with torch_errors(ModelUnusable, f"{path} cannot be read", hint):
        sha256 = sha256_of(path)
    beside = path.with_suffix(".json")
    with torch_errors(ModelUnusable, f"{beside} is no configuration of birder's", hint):
        if beside.is_file():
            config = json.loads(beside.read_text(encoding="utf-8"))
            network = str(config["registered_name"] or config["name"])
            return _Weights(name, path, sha256, network, config["model_config"], bool(config.get("reparameterized")))
    for text in filter(None, (network_hint, path.stem)):
        if registry.pretrained_exists(text):
            known = registry.get_pretrained_metadata(text)["net"]
            return _Weights(name, path, sha256, known["network"], None, bool(known.get("reparameterized", False)))
        if begun := _network_in(text):
            return _Weights(name, path, sha256, begun)
    raise ModelUnusable(
        f"which network {path} is of can be told neither from model.name nor from its own name",
        "set model.name to one that begins with a birder network, such as davit_tiny_garden,"
        f" or put birder's {beside.name} beside it",
    )


def _network_in(text: str) -> str | None:
    """The longest birder network that a name begins with: `davit_tiny` in `davit_tiny_garden_40`."""
    networks = registry.list_models(task=Task.IMAGE_CLASSIFICATION)
    begun = [n for n in networks if text.lower() == n or text.lower().startswith(f"{n}_")]
    return max(begun, key=len, default=None)


def _published(settings: ModelSettings, folder: Path, progress: bool) -> _Weights:
    name = settings.name
    metadata = _metadata(name)
    kind = next(kind for kind in _FORMATS if kind in metadata["formats"])
    file_name, url = get_pretrained_model_url(name, kind)
    path, expected = folder / file_name, metadata["formats"][kind]["sha256"]
    with torch_errors(ModelUnusable, f"{path} cannot be read", "check model.cache_dir and who owns it"):
        if not path.exists():
            _fetch(url, path, expected, settings, progress=progress)
        sha256 = sha256_of(path)
    if sha256 != expected:
        raise ModelUnusable(
            f"{path} is damaged, cut short or not the published file"
            f" (sha256 {sha256[:12]}… instead of {expected[:12]}…)",
            f"delete it and start again, or put {url} there",
        )
    net = metadata["net"]
    return _Weights(name, path, sha256, net["network"], None, bool(net.get("reparameterized", False)))


def _fetch(url: str, path: Path, sha256: str, settings: ModelSettings, *, progress: bool) -> None:
    missing = f"the weights of {settings.name} are not on this machine"
    remedy = f"download {url} elsewhere and put it at {path}; {_ONLY_FOR_TRYING}"
    if not settings.download:
        raise ModelUnusable(f"{missing}, and model.download is false", remedy)
    try:
        download(url, path, sha256, progress=progress)
    except DownloadFailed as error:
        raise ModelUnusable(f"{missing}, and fetching them failed ({error})", remedy) from None


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
            f"model.name {name} is no classifier that can be read here", "choose a classification model"
        )
    close = difflib.get_close_matches(name, [*usable, DEMO], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "see birder's list of pretrained models"
    raise ModelUnusable(f"model.name {name} is not known to birder", hint)


def _read(weights: _Weights) -> Checkpoint:
    with torch_errors(
        ModelUnusable,
        f"{weights.path} is damaged, or not weights of {weights.network} in birder's format",
        "give model.file weights that birder saved, and model.name its network"
        " (or delete the file, if birdwatchd fetched it)",
    ):
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
        return Checkpoint(
            name=weights.name,
            path=weights.path,
            sha256=weights.sha256,
            net=net,
            classes=_classes(weights.path, info.class_to_idx),
            size=(int(size[0]), int(size[1])),
            transform=classification_transform(size, info.rgb_stats),
        )


def _classes(path: Path, class_to_idx: Mapping[str, int]) -> tuple[str, ...]:
    classes = sorted(class_to_idx, key=lambda name: class_to_idx[name])
    if not classes:
        raise ModelUnusable(f"{path} holds no classes: it describes images but names nothing", "use a classifier")
    if [class_to_idx[name] for name in classes] != list(range(len(classes))):
        raise ModelUnusable(f"{path} numbers its classes with gaps or twice", "save it again with birder")
    return tuple(classes)
