"""Identify species: the network, fusion of its outputs into verdicts, learning from reviews, taxonomy.

The names below are loaded on first use; see docs/reference/library.md for those that are stable.
"""

from typing import TYPE_CHECKING

from birdwatchd.lazy import lazy_names

if TYPE_CHECKING:
    from birdwatchd.species.image_classifier import ImageClassifier, load_classifier
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.species.network.network import Network, load_network
    from birdwatchd.species.taxonomy import Taxonomy, bundled_taxonomy
    from birdwatchd.species.verdict.build import fusion_for
    from birdwatchd.species.verdict.fusion import Fusion
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Classifier": "network.classifier",
            "Fusion": "verdict.fusion",
            "ImageClassifier": "image_classifier",
            "Network": "network.network",
            "Taxonomy": "taxonomy",
            "bundled_taxonomy": "taxonomy",
            "fusion_for": "verdict.build",
            "load_classifier": "image_classifier",
            "load_network": "network.network",
        },
    )

__all__ = [
    "Classifier",
    "Fusion",
    "ImageClassifier",
    "Network",
    "Taxonomy",
    "bundled_taxonomy",
    "fusion_for",
    "load_classifier",
    "load_network",
]
