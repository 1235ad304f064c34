"""Write what the demo's birds look like to its model, beside the weights.

    python -m tools.demo_model.seen birdwatchd/species/weights/demo.safetensors

Scenes and individuals have seeds that neither training, nor `verify.py`, nor any other benchmark or test uses. Of 80
visits that `birdwatchd scan` found in H.264 video of other scenes, 2 were strange to an experience of such drawings, as
many as of drawings themselves: what compression does to a picture need not be in it.
"""

import sys
from pathlib import Path

from benchmarks.unknowns.drawn import SPECIES, demo_network, draw_visits
from birdwatchd.species.network.download import sha256_of
from birdwatchd.species.network.reference import write_reference

VISITS = 30  # of each species
FIRST = 1_000_000  # individual


def main(weights: Path) -> None:
    """Draw, ask, write."""
    network = demo_network()
    drawn = [visit for species in SPECIES for visit in draw_visits(network, species, VISITS, FIRST)]
    print(write_reference(weights, sha256_of(weights), [visit.example(visit.kind) for visit in drawn]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
