"""Draw where a bird's picture speaks for its name, for those who ask why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from birdwatchd.commands.terminal import out, shown
from birdwatchd.errors import ConfigError, ExportError, StoreError
from birdwatchd.records import Label
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key
from birdwatchd.store import StoreReader

__all__ = ["WhyOptions", "run_why"]


@dataclass(frozen=True, slots=True)
class WhyOptions:
    """What the command line asked for.

    Attributes:
        what: a visit's id, or the path of a picture.
        species: the class to explain; the most probable one by default.
        moment: number of the visit's picture; the best one by default.
    """

    what: str
    species: str | None = None
    moment: int | None = None
    out_file: Path | None = None


def run_why(config: Config, options: WhyOptions) -> int:
    """Write the picture with its evidence map.

    Raises:
        ConfigError: it is neither a visit nor a picture, or the model does not know the species.
        StoreError: the visit has no such picture any more.
        ModelError: the model cannot be loaded, or cannot say why.
        ExportError: the file cannot be written.
    """
    from PIL import Image, UnidentifiedImageError

    picture = _picture_of(config, options)
    from birdwatchd.species.network.checkpoint import read_checkpoint
    from birdwatchd.species.network.heatmap import overlay, why

    checkpoint = read_checkpoint(config.model, config.model_cache, progress=True)
    labels = bundled_taxonomy().labels(checkpoint.classes)
    index = _index_of(options.species, labels) if options.species is not None else None
    try:
        with Image.open(picture) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise ConfigError(f"{picture} is no picture that can be read", "give a JPEG or PNG of the bird") from None
    found = why(checkpoint, image, index)
    target = options.out_file or Path(f"{Path(options.what).stem}-why.png")
    try:
        overlay(image, found.loss).save(target)
    except (OSError, ValueError) as error:
        raise ExportError(f"{target} cannot be written ({error})", "name a .png or .jpg where you may write") from None
    name, share = labels[found.index].common_name, found.probability
    out.print(f"{shown(target)}: what speaks for [bold]{shown(name)}[/] ({share:.0%}) is bright", soft_wrap=True)
    return 0


def _picture_of(config: Config, options: WhyOptions) -> Path:
    path = Path(options.what)
    if path.is_file():
        return path
    if not (config.home / "birdwatchd.sqlite3").is_file():
        raise ConfigError(f"{path} is no picture, and there is no database", "check the path, or `home`")
    with StoreReader.open_existing(config.home) as store:
        if store.visits.get(options.what) is None:
            raise ConfigError(f"{options.what} is neither a visit nor a picture", "see `birdwatchd visits` for the ids")
        moments = store.visits.moments(options.what)
    wanted = [m for m in moments if m.crop is not None and m.crop.is_file() and options.moment in (None, m.idx)]
    best = max(wanted, key=lambda moment: moment.quality, default=None)
    if best is None or best.crop is None:
        which = "pictures" if options.moment is None else f"picture {options.moment}"
        raise StoreError(f"visit {options.what} has no {which} any more", "retention may have removed it")
    return best.crop


def _index_of(species: str, labels: tuple[Label, ...]) -> int:
    for index, label in enumerate(labels):
        if name_key(species) in {name_key(name) for name in (label.common_name, label.scientific_name) if name}:
            return index
    raise ConfigError(f"the model has no class {species}", "check the spelling against the model's labels")
