"""Name the bird in some images: a network and the fusion of its outputs in one object, for other programs.

The daemon uses the two apart, because it revises a visit's verdict while its crops arrive from several cameras. The
same pictures get the same name here as there, also by second looks (`verdict/second_look.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from birdwatchd.records import Verdict
from birdwatchd.seen_part import Look
from birdwatchd.settings.model import ModelSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.network.looks import shown_by
from birdwatchd.species.network.network import Network, load_network
from birdwatchd.species.verdict.build import fusion_for
from birdwatchd.species.verdict.second_look import Outputs, RunningVerdict, SecondLooks, together

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageClassifier", "load_classifier"]

QUALITY = 1.0  # of pictures that somebody chose; a camera process measures that of its crops


class ImageClassifier:
    """Images in, names out. Use it from one thread at a time.

    Attributes:
        network: the network, for logits and embeddings.
        fusion: turns logits into verdicts by threshold, place and season.
    """

    def __init__(self, network: Network, species: SpeciesSettings, zone: ZoneInfo) -> None:
        """
        Args:
            species: thresholds, lists, months and names.
            zone: of the place, which decides the month at a time.

        Raises:
            ConfigError: the names file or the bar chart of the settings cannot be used.
        """
        self.network = network
        self.fusion = fusion_for(network.labels, species, zone)

    def classify(self, images: Sequence[Image.Image], at: datetime | None = None) -> Verdict:
        """The verdict on one bird: the one that a visit with these crops gets.

        Those that show most of a bird are classified again, brightened where they are dark, and as a whole where a part
        of them is marked, unless the images up to them confirm a name.

        Args:
            images: of the same bird, cut out with some air around it; any size and mode. Of crops that birdwatchd made
                the part that it classified is. None at all give `unknown`.
            at: when it was there; None leaves place and season out.

        Returns:
            A verdict: its name, how sure that is, and in `top` the five most probable species, best first.

        Raises:
            DeviceOutOfMemory, DeviceLost: the device failed.
        """
        running = self.fusion.running(at)
        for logits, embedding in self._looks(images, running) if images else ():
            running.add(logits, QUALITY, embedding)
        return running.verdict()

    def _looks(self, images: Sequence[Image.Image], running: RunningVerdict) -> list[Outputs]:
        """Of each image what all looks at it give together."""
        first = self._look(Look.FIRST, dict(enumerate(images)))
        chooser = SecondLooks(running.branch())
        chosen = {number: images[number] for number, one in first.items() if chooser.wants(one[0], QUALITY, one[1])}
        brighter, wider = self._look(Look.BRIGHTER, chosen), self._look(Look.WIDER, chosen)
        return [together(running, one, brighter.get(number), wider.get(number)) for number, one in first.items()]

    def _look(self, look: Look, images: Mapping[int, Image.Image]) -> dict[int, Outputs]:
        """What one look at some images gives; those of which there is no such look are left out."""
        shown = {number: copy for number, image in images.items() if (copy := shown_by(look, image)) is not None}
        if not shown:
            return {}
        logits, embeddings = self.network.infer([self.network.preprocess(image) for image in shown.values()])
        return dict(zip(shown, zip(logits, embeddings, strict=True), strict=True))


def load_classifier(
    model: ModelSettings | str,
    cache_dir: Path | str = "models",
    *,
    species: SpeciesSettings | None = None,
    zone: ZoneInfo | None = None,
) -> ImageClassifier:
    """Load, check and warm up a classifier.

    Args:
        model: its name (`demo` knows eight cartoon birds), or settings with a file, device or precision.
        cache_dir: folder in which published weights are kept; they are downloaded on first use.
        species: thresholds, lists, months and names; the usual thresholds by default.
        zone: time zone of the place; UTC by default.

    Raises:
        ModelUnusable: weights missing or damaged, no such device, or numbers that are wrong.
        ConfigError: the names file or the bar chart of `species` cannot be used.
    """
    settings = ModelSettings(name=model) if isinstance(model, str) else model
    network = load_network(settings, Path(cache_dir), progress=False)
    return ImageClassifier(network, species or SpeciesSettings(), zone or ZoneInfo("UTC"))
