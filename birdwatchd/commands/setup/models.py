"""`birdwatchd models`: which published classifiers there are, for which region, and how large they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.commands.terminal import counted, out, shown
from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.species.published import DATA_SETS, DataSet, PublishedModel, bird_classifiers

__all__ = ["ModelsOptions", "run_models"]

SHOWN = 6  # models of a region where nobody asked for it


@dataclass(frozen=True, slots=True)
class ModelsOptions:
    """Which models: those whose name or region holds each of the words; all of them, or a few of each region."""

    words: tuple[str, ...] = ()
    every: bool = False
    as_json: bool = False


def run_models(config: Config, options: ModelsOptions) -> int:
    """List birder's published classifiers of birds by region, the smallest first; nothing is downloaded.

    Raises:
        ConfigError: none fits the words.
        ModelUnusable: birder's registry cannot be read.
    """
    words = [word.casefold() for word in options.words]
    found = [one for one in bird_classifiers() if all(word in _text(one) for word in words)]
    if not found:
        hint = f"give a word of a region or name, such as {', '.join(one.name for one in DATA_SETS[:-1])}"
        raise ConfigError(f"no published model has {' and '.join(options.words)} in its name or region", hint)
    here = {path.stem for path in _files(config.model_cache)}
    if options.as_json:
        for one in found:
            sys.stdout.write(json.dumps(_as_json(one, config, here), ensure_ascii=False) + "\n")
        return 0
    width = max(len(one.name) for one in found)
    for data_set in DATA_SETS:
        ours = [one for one in found if one.data_set == data_set]
        if ours:
            _print_region(data_set, ours, config, here, width, whole=bool(options.every or words))
    out.print(
        "MB: the download; pixels: the side of the picture that the network sees. birder's registry does not say how\n"
        "good a model is, nor how fast: more pixels see more and cost more. To use one, write"
        " `model: {name: NAME}`\nin the configuration; `birdwatchd check --probe` downloads it and says how many"
        " classes it has.",
        soft_wrap=True,
    )
    return 0


def _print_region(
    data_set: DataSet, models: Sequence[PublishedModel], config: Config, here: set[str], width: int, *, whole: bool
) -> None:
    classes = f"{data_set.classes:,} classes" if data_set.classes else "number of classes not known before the download"
    out.print(f"[bold]{shown(data_set.region)}[/] ({shown(data_set.name)}; {classes})", soft_wrap=True)
    first = models if whole else models[:SHOWN]
    used = [one for one in models if one.name == config.model.name and one not in first]
    for one in [*first, *used]:
        notes = [word for word, true in (("in use", one.name == config.model.name), ("here", one.name in here)) if true]
        height, across = one.size
        line = f"  {one.name:<{width}}  {one.megabytes:6.1f} MB  {across}×{height} pixels  {', '.join(notes)}"
        out.print(shown(line.rstrip()), soft_wrap=True)
    if more := len(models) - len(first) - len(used):
        out.print(f"  [dim]… and {counted(more, 'more model')}: birdwatchd models {shown(data_set.name)}[/]")
    out.print()


def _text(model: PublishedModel) -> str:
    return f"{model.name} {model.data_set.name} {model.data_set.region}".casefold()


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix in (".pt", ".safetensors")]
    except OSError:  # nothing was downloaded yet, or into a folder of somebody else's
        return []


def _as_json(model: PublishedModel, config: Config, here: set[str]) -> dict[str, object]:
    return {
        "name": model.name,
        "data_set": model.data_set.name,
        "region": model.data_set.region,
        "classes": model.data_set.classes,
        "megabytes": model.megabytes,
        "height": model.size[0],
        "width": model.size[1],
        "description": model.description,
        "downloaded": model.name in here,
        "in_use": model.name == config.model.name,
    }
