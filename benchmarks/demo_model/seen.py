"""Write what the demo's birds look like to its model, from visits found by `birdwatchd scan` in drawn video.

    python benchmarks/demo_model/seen.py birdwatchd/species/weights/demo.safetensors

Scenes, individuals and schedules have seeds that neither training nor `verify.py` nor any test uses. Takes
some minutes.
"""

import sys
import tempfile
from pathlib import Path

from birdwatchd.config import Config
from birdwatchd.demo.birds import SPECIES
from birdwatchd.demo.feeder import write_clip
from birdwatchd.demo.scene import Scene, SceneSpec
from birdwatchd.demo.visits import schedule
from birdwatchd.scan import ScanOptions, run_scan
from birdwatchd.species.download import sha256_of
from birdwatchd.species.experience import Seen
from birdwatchd.species.fusion import log_sum, mean_logits
from birdwatchd.species.reference import write_reference
from birdwatchd.store import Catalogue
from birdwatchd.store.experiences import MOMENTS

VISITS = 30  # of each species
SCENE_S = 90.0
FIRST_SEED = 310_000
SIZES = ((960, 540), (640, 360), (1280, 720))


def main(weights: Path) -> None:
    """Draw, scan, choose, write."""
    with tempfile.TemporaryDirectory() as folder:
        home, clips = Path(folder) / "home", Path(folder) / "clips"
        clips.mkdir()
        chosen: dict[str, list[Seen]] = {species: [] for species in SPECIES}
        number = 0
        while any(len(visits) < VISITS for visits in chosen.values()):
            for _ in range(8):
                spec = SceneSpec(FIRST_SEED + number, *SIZES[number % len(SIZES)], fps=12)
                write_clip(clips / f"{number}.mp4", Scene(spec, schedule(spec.seed, SCENE_S)), 0, SCENE_S)
                number += 1
            config = Config.model_validate({"home": home, "model": {"name": "demo"}, "species": {"learn": False}})
            run_scan(config, ScanOptions((clips,), min_bird=16))
            chosen = _chosen(home)
            print({species: len(visits) for species, visits in chosen.items()}, file=sys.stderr)
    seen = [visit for visits in chosen.values() for visit in visits[:VISITS]]
    print(write_reference(weights, sha256_of(weights), seen))


def _chosen(home: Path) -> dict[str, list[Seen]]:
    """The confirmed visits with enough moments, by name; the model is right about birds that it was trained on."""
    chosen: dict[str, list[Seen]] = {species: [] for species in SPECIES}
    with Catalogue.open_existing(home) as catalogue:
        models = {visit.model for visit in catalogue.visits()}
        for visit in catalogue.seen(models.pop(), 10_000):
            if len(visit.embeddings) == MOMENTS and visit.logits is not None:
                energy = log_sum(mean_logits(visit.logits, visit.qualities))
                chosen[visit.said].append(Seen(visit.embeddings, visit.said, energy))
    return chosen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
