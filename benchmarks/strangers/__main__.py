"""Print how often the demo model gives a bird's name to what is none: alone, with experience, after three reviews."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

from benchmarks.strangers.drawn import NO_BIRDS, SPECIES, Drawn, demo_network, draw_visits
from birdwatchd.config import SpeciesSettings
from birdwatchd.records import State, Verdict
from birdwatchd.species.experience import Experience, Seen
from birdwatchd.species.fusion import Fusion
from birdwatchd.species.network import Network

TURNS = 10  # choices of the three that are reviewed
LEAST = 15  # visits with one wrong name, to teach and to judge by
TAUGHT = 3


class Naming:
    """The demo's naming with and without experience."""

    def __init__(self, network: Network, familiar: float = SpeciesSettings().familiar) -> None:
        self._network, self._familiar = network, familiar
        self._alone = Fusion(network.labels, SpeciesSettings())

    def alone(self, visit: Drawn) -> Verdict:
        """By the network alone."""
        return self._alone.fuse(visit.logits)

    def named(self, visits: Sequence[Drawn], lessons: Sequence[Seen] = ()) -> list[Verdict]:
        """With the birds that came with the model, and lessons."""
        experience = Experience(self._network.labels, (*self._network.reference, *lessons), familiar=self._familiar)
        fusion = Fusion(self._network.labels, SpeciesSettings(), experience=experience)
        return [fusion.fuse(visit.logits, embeddings=visit.embeddings) for visit in visits]


def confirmed(verdict: Verdict, name: str | None = None) -> bool:
    """Whether it has a bird's name for certain, or this one."""
    return verdict.state is State.CONFIRMED and name in (None, verdict.common_name)


def main() -> None:
    """Draw, name, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strangers", description=__doc__)
    parser.add_argument("--visits", type=int, default=100, help="of each kind (100)")
    count = parser.parse_args().visits
    network = demo_network()
    visits = {kind: draw_visits(network, kind, count) for kind in (*SPECIES, *NO_BIRDS)}
    naming = Naming(network)
    print("| visitor | visits | confirmed by the network alone | with experience |\n|---|---|---|---|")
    for kind, mine in visits.items():
        right = kind if kind in SPECIES else None
        alone = sum(confirmed(naming.alone(visit), right) for visit in mine)
        with_experience = sum(confirmed(verdict, right) for verdict in naming.named(mine))
        print(f"| {kind} | {len(mine)} | {alone / count:.1%} | {with_experience / count:.1%} |")
    print("\n| no bird | called | visits | still so after 3 reviews | birds of that name | that are no longer so |")
    print("|---|---|---|---|---|---|")
    for kind in NO_BIRDS:
        for name in SPECIES:
            false = [visit for visit in visits[kind] if confirmed(naming.alone(visit), name)]
            if len(false) >= LEAST:
                _teach(Naming(network, familiar=1.0), kind, name, false, visits[name])


def _teach(naming: Naming, kind: str, name: str, false: Sequence[Drawn], birds: Sequence[Drawn]) -> None:
    chance, still, lost, asked = random.Random(1), 0, 0, 0
    right = [visit for visit in birds if confirmed(naming.alone(visit), name)]
    for _ in range(TURNS):
        mixed = chance.sample(false, len(false))
        lessons = [visit.seen(name, reviewed=True) for visit in mixed[:TAUGHT]]
        still += sum(confirmed(verdict) for verdict in naming.named(mixed[TAUGHT:], lessons))
        lost += sum(not confirmed(verdict, name) for verdict in naming.named(right, lessons))
        asked += len(mixed) - TAUGHT
    print(f"| {kind} | {name} | {len(false)} | {still / asked:.1%} | {len(right)} | {lost / len(right) / TURNS:.1%} |")


if __name__ == "__main__":
    main()
