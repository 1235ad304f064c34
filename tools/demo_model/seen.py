"""Write the demo model's reference examples beside its weights.

    python -m tools.demo_model.seen birdwatchd/species/weights/demo.safetensors

Scenes and individuals have seeds that neither training, nor `verify.py`, nor any other benchmark or test uses. Of 80
visits that `birdwatchd scan` found in H.264 video of other scenes, 2 were outliers to an experience of such drawings,
as many as of drawings themselves: the examples need no compression artefacts.
"""

import sys
from pathlib import Path

from benchmarks.unknowns.drawn import SPECIES, demo_network, draw_visits
from birdwatchd.species.network.download import sha256_of
from birdwatchd.species.network.reference import write_reference

VISITS = 30  # of each species
FIRST = 1_000_000  # individual


def main(weights: Path) -> None:
    """Draw, infer, write."""
    network = demo_network()
    drawn = [visit for species in SPECIES for visit in draw_visits(network, species, VISITS, FIRST)]
    print(write_reference(weights, sha256_of(weights), [visit.example(visit.kind) for visit in drawn]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
