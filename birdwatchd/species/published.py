"""List the classifiers that birder publishes, from the text of its registry: nothing is imported, nothing downloaded.

birder registers its weights while it is imported, and importing it loads torch and every network: six seconds, in which
nobody learns anything. The entries are literals in its modules, so they can be read without running them.
`tests/species/test_published.py` holds that what is read equals birder's registry.

The registry names network, data set, input size, size and hash of the file. It says nothing about region, number of
classes or accuracy. Region and classes are those of the data sets, from the publisher's model cards
(https://huggingface.co/birder-project), and None where no card was at hand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from birdwatchd.errors import ModelUnusable
from birdwatchd.text_file import NotText, read_text

__all__ = ["DATA_SETS", "DataSet", "PublishedModel", "bird_classifiers", "is_suited", "published_entries"]

MOST_BYTES = 5_000_000  # of one of birder's modules; the largest has 100 kB
READABLE = ("safetensors", "pt")  # formats that birdwatchd loads
# Networks that describe a picture by more than one vector, or name it by more than that: found by loading all that are
# published (`tests/species/network/test_listed_networks.py`). Visits could neither be compared nor named by them.
UNSUITED = ("crossvit", "deit_", "efficientvim", "rexnet_lite", "squeezenet")
_DATA_SET = re.compile(r"on the ([^,]+?) dataset")
_NOT_A_CLASSIFIER = "has not been fine-tuned"


@dataclass(frozen=True, slots=True)
class DataSet:
    """What the classes of some models are.

    Attributes:
        name: as birder calls it.
        region: where its birds live, in words.
        classes: number of classes; None where it is not known.
        zones: beginnings of the names of time zones in which these birds live.
    """

    name: str
    region: str
    classes: int | None
    zones: tuple[str, ...] = ()


_ARABIA = ("Aden", "Bahrain", "Dubai", "Kuwait", "Muscat", "Qatar", "Riyadh")
DATA_SETS: tuple[DataSet, ...] = (
    DataSet("il-all", "Israel, with rarities", 550, ("Asia/Jerusalem", "Asia/Tel_Aviv", "Israel", "Asia/Gaza")),
    DataSet("il-common", "Israel, common species", 371, ("Asia/Jerusalem", "Asia/Tel_Aviv", "Israel", "Asia/Gaza")),
    DataSet("eu-common", "Europe, the species of the Collins Bird Guide", 707, ("Europe/", "Atlantic/Reykjavik")),
    DataSet("arabian-peninsula", "Arabian Peninsula, with rarities", 735, tuple(f"Asia/{city}" for city in _ARABIA)),
    DataSet("danube-delta", "Danube Delta", None),
    DataSet("yellowstone", "Yellowstone, North America", None),
    DataSet("iNaturalist 2021", "the world: 10,000 animals, plants and fungi, 1,486 of them birds", 10_000),
)


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """Published weights of one network.

    Attributes:
        name: what `model.name` takes.
        data_set: what its classes are.
        size: (height, width) of the input in pixels.
        megabytes: size of the file.
        description: birder's own sentence.
    """

    name: str
    data_set: DataSet
    size: tuple[int, int]
    megabytes: float
    description: str


def bird_classifiers() -> list[PublishedModel]:
    """birder's published classifiers of birds that can be read here, the smallest file first.

    Raises:
        ModelUnusable: birder is not installed, or its registry looks different from what is known.
    """
    by_name = {one.name: one for one in DATA_SETS}
    found = []
    for name, entry in published_entries().items():
        trained_on = _DATA_SET.findall(entry["description"])
        data_set = by_name.get(trained_on[-1]) if trained_on else None
        sizes = [entry["formats"][kind]["file_size"] for kind in READABLE if kind in entry["formats"]]
        usable = sizes and is_suited(entry["net"]["network"]) and _NOT_A_CLASSIFIER not in entry["description"]
        if data_set is None or not usable:
            continue
        size = (int(entry["resolution"][0]), int(entry["resolution"][1]))
        found.append(PublishedModel(name, data_set, size, float(sizes[0]), entry["description"]))
    return sorted(found, key=lambda one: (one.megabytes, one.name))


def is_suited(network: str) -> bool:
    """Whether birdwatchd can use a network of birder's."""
    return not network.startswith(UNSUITED)


def published_entries() -> dict[str, Mapping[str, Any]]:
    """What birder's registry says of all its weights, detectors and encoders too, by name.

    Raises:
        ModelUnusable: birder is not installed, or its registry looks different from what is known.
    """
    spec = find_spec("birder")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnusable("birder is not installed", "install birdwatchd again")
    root = Path(spec.submodule_search_locations[0]) / "net"
    entries: dict[str, Mapping[str, Any]] = {}
    try:
        for path in sorted(root.rglob("*.py")):
            entries.update(_entries(read_text(path, most_bytes=MOST_BYTES)))
    except (NotText, SyntaxError, ValueError, TypeError, KeyError) as error:
        raise ModelUnusable(f"birder's registry in {root} cannot be read ({error})", _OTHER_LIST) from None
    if not entries:
        raise ModelUnusable(f"birder's registry in {root} holds no published weights", _OTHER_LIST)
    return entries


_OTHER_LIST = "`python -m birder.tools list-models --pretrained` shows birder's own list"


def _entries(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The arguments of every `register_weights(name, {…})`.

    Raises:
        ValueError: one is no literal.
    """
    if "register_weights(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "register_weights":
            name, entry = (ast.literal_eval(argument) for argument in node.args)
            if not {"description", "resolution", "formats", "net"} <= entry.keys():
                raise ValueError(f"{name} lacks a description, resolution, formats or net")
            yield name, entry
