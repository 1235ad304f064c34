"""Print how often the demo model gives a bird's name to what is none: alone, with experience, after three reviews."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

from benchmarks.unknowns.drawn import NO_BIRDS, SPECIES, Drawn, demo_network, draw_visits
from birdwatchd.records import State, Verdict
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Example, Experience
from birdwatchd.species.network.network import Network
from birdwatchd.species.verdict.fusion import Fusion

REPEATS = 10  # random choices of the three that are reviewed
MIN_VISITS = 15  # visits with one wrong name, to review some and measure on the others
REVIEWED = 3
SQUIRRELS, RETURNS = 10, 12  # individuals that come again and again, and how often


class Identifier:
    """The demo's verdicts with and without experience."""

    def __init__(self, network: Network, inlier_quantile: float = SpeciesSettings().familiar) -> None:
        self._network, self._inlier_quantile = network, inlier_quantile
        self._alone = Fusion(network.labels, SpeciesSettings())

    def alone(self, visit: Drawn) -> Verdict:
        """The verdict by the network alone."""
        return self._alone.fuse(visit.logits)

    def with_experience(self, visits: Sequence[Drawn], corrections: Sequence[Example] = ()) -> list[Verdict]:
        """Verdicts with the examples that came with the model, and corrections."""
        examples = (*self._network.reference, *corrections)
        experience = Experience(self._network.labels, examples, inlier_quantile=self._inlier_quantile)
        fusion = Fusion(self._network.labels, SpeciesSettings(), experience=experience)
        return [fusion.fuse(visit.logits, embeddings=visit.embeddings) for visit in visits]


def confirmed(verdict: Verdict, name: str | None = None) -> bool:
    """Whether it is confirmed as some bird, or as this one."""
    return verdict.state is State.CONFIRMED and name in (None, verdict.common_name)


def main() -> None:
    """Draw, name, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unknowns", description=__doc__)
    parser.add_argument("--visits", type=int, default=100, help="of each kind (100)")
    count = parser.parse_args().visits
    network = demo_network()
    visits = {kind: draw_visits(network, kind, count) for kind in (*SPECIES, *NO_BIRDS)}
    identifier = Identifier(network)
    print("| visitor | visits | confirmed by the network alone | with experience |\n|---|---|---|---|")
    for kind, mine in visits.items():
        right = kind if kind in SPECIES else None
        alone = sum(confirmed(identifier.alone(visit), right) for visit in mine)
        with_experience = sum(confirmed(verdict, right) for verdict in identifier.with_experience(mine))
        print(f"| {kind} | {len(mine)} | {alone / count:.1%} | {with_experience / count:.1%} |")
    print("\n| no bird | called | visits | still so after 3 reviews | and with `familiar` | birds no longer so |")
    print("|---|---|---|---|---|---|")
    for kind in NO_BIRDS:
        for name in SPECIES:
            _correct(network, f"any {kind}", name, _called(identifier, visits[kind], name), visits[name], MIN_VISITS)
    returning = [draw_visits(network, "squirrel", RETURNS, individual=n) for n in range(count, count + SQUIRRELS)]
    for number, mine in enumerate(returning, 1):
        for name in SPECIES:
            false = _called(identifier, mine, name)
            _correct(network, f"squirrel {number}, again and again", name, false, visits[name], REVIEWED + 3)


def _called(identifier: Identifier, visits: Sequence[Drawn], name: str) -> list[Drawn]:
    return [visit for visit in visits if confirmed(identifier.alone(visit), name)]


def _correct(
    network: Network, kind: str, name: str, false: Sequence[Drawn], birds: Sequence[Drawn], min_visits: int
) -> None:
    """Print a row: with corrections alone, and with outlier detection too; none where there are too few visits."""
    if len(false) < min_visits:
        return
    by_corrections, both = Identifier(network, inlier_quantile=1.0), Identifier(network)
    rng, still, still_both, lost, asked = random.Random(1), 0, 0, 0, 0
    right = _called(by_corrections, birds, name)
    for _ in range(REPEATS):
        mixed = rng.sample(false, len(false))
        corrections = [visit.example(name, reviewed=True) for visit in mixed[:REVIEWED]]
        still += sum(map(confirmed, by_corrections.with_experience(mixed[REVIEWED:], corrections)))
        still_both += sum(map(confirmed, both.with_experience(mixed[REVIEWED:], corrections)))
        lost += sum(not confirmed(verdict, name) for verdict in by_corrections.with_experience(right, corrections))
        asked += len(mixed) - REVIEWED
    shares = f"{still / asked:.1%} | {still_both / asked:.1%} | {lost / len(right) / REPEATS:.1%}"
    print(f"| {kind} | {name} | {len(false)} | {shares} |")


if __name__ == "__main__":
    main()
