"""`birdwatchd why`: save an image with a heatmap of what led the model to a name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdwatchd.commands.terminal import out, shown
from birdwatchd.errors import ConfigError, ExportError, NoSuchVisit, StoreError
from birdwatchd.records import Label
from birdwatchd.seen_part import seen_part
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.store import StoreReader
from birdwatchd.whole_file import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Explained", "WhyOptions", "explain", "run_why"]


@dataclass(frozen=True, slots=True)
class WhyOptions:
    """What the command line asked for.

    Attributes:
        what: a visit's id, or the path of an image.
        species: the class to explain; the most probable one by default.
        moment: number of the visit's moment; the one that shows most of a bird by default.
    """

    what: str
    species: str | None = None
    moment: int | None = None
    out_file: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """A picture with a map over it of what led a model to a name; `probability` is the model's for the picture."""

    image: Image
    name: str
    probability: float
    model: str


def run_why(config: Config, options: WhyOptions) -> int:
    """Write the image with its heatmap.

    Raises:
        ConfigError: it is neither a visit nor an image, or the model does not know the species.
        StoreError: the visit has no such crop any more.
        ModelError: the model cannot be loaded or run.
        ExportError: the file cannot be written.
    """
    from PIL.Image import registered_extensions

    path = _image_path(config, options)
    found = explain(config, path, options.species)
    target = options.out_file or Path(f"{Path(options.what).stem}-why.png")
    try:
        kind = registered_extensions()[target.suffix.lower()]
        picture = io.BytesIO()
        found.image.save(picture, kind)
    except (KeyError, ValueError, OSError):  # the last where a kind holds no colours
        raise ExportError(f"{target} cannot be written (not a picture's name)", "name a .png or .jpg") from None
    try:
        write_whole(target, picture.getvalue())
    except OSError as error:
        raise ExportError(f"{target} cannot be written ({error.strerror})", "check the folder and the disk") from None
    text = f"bright areas support [bold]{shown(found.name)}[/] ({found.probability:.0%})"
    out.print(f"saved {shown(target)}; {text}", soft_wrap=True)
    return 0


def explain(config: Config, path: Path, species: str | None = None) -> Explained:
    """Find out what in a picture led the model to a name.

    Args:
        path: of an image.
        species: the class to explain; the most probable one by default.

    Raises:
        ConfigError: it is no image, or the model does not know the species.
        ModelError: the model cannot be loaded or run.
    """
    from PIL import Image as Images
    from PIL import UnidentifiedImageError

    from birdwatchd.species.network.checkpoint import read_checkpoint
    from birdwatchd.species.network.heatmap import occlusion_heatmap, overlay

    checkpoint = read_checkpoint(config.model, config.model_cache, progress=True)
    labels = bundled_taxonomy().labels(checkpoint.classes)
    among = _classes_of(species, labels) if species is not None else ()
    try:
        with Images.open(path) as opened:
            image = seen_part(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, Images.DecompressionBombError):
        raise ConfigError(f"{path} cannot be read as an image", "give a JPEG or PNG of the bird") from None
    heatmap = occlusion_heatmap(checkpoint, image, among)
    drawn = overlay(image, heatmap.logit_drop)
    return Explained(drawn, labels[heatmap.index].common_name, heatmap.probability, checkpoint.name)


def _image_path(config: Config, options: WhyOptions) -> Path:
    path = Path(options.what)
    if path.is_file():
        return path
    if not (config.home / "birdwatchd.sqlite3").is_file():
        raise ConfigError(f"{path} is not an image, and there is no database", "check the path, or `home`")
    with StoreReader.open_existing(config.home) as store:
        try:
            visit = store.visits.named(options.what)
        except NoSuchVisit as error:
            raise ConfigError(f"no visit or image named {options.what}", error.hint) from None
        moments = store.visits.moments(visit.visit_id)
    crops = [m for m in moments if m.crop is not None and m.crop.is_file() and options.moment in (None, m.idx)]
    best = max(crops, key=lambda moment: moment.sort_key, default=None)
    if best is None or best.crop is None:
        which = "crops" if options.moment is None else f"crop {options.moment}"
        hint = "retention or somebody has removed it, or its camera has `store: nothing`"
        raise StoreError(f"visit {options.what} has no {which}", hint)
    return best.crop


def _classes_of(species: str, labels: Sequence[Label]) -> tuple[int, ...]:
    """The class of a species, or those of its subspecies."""
    found = tuple(index for index, label in enumerate(labels) if name_key(species) in species_keys(label))
    if found:
        return found
    raise ConfigError(f"the model does not know {species}", "check the spelling against the model's labels")
