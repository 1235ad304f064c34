"""Distractors at the demo's feeders, through the demo's real model: not confirmed, and corrected by few reviews."""

from __future__ import annotations

import pytest

from benchmarks.unknowns.__main__ import Identifier, confirmed
from benchmarks.unknowns.drawn import NO_BIRDS, SPECIES, Drawn, demo_network, draw_visits

BIRDS, DISTRACTORS = 6, 7  # visits of each kind
SQUIRRELS, RETURNS = (8, 12), 10  # individuals that the model takes for sparrows, and how often each comes


@pytest.fixture(scope="module")
def visits() -> dict[str, list[Drawn]]:
    """Visits of every kind."""
    network = demo_network()
    counts = dict.fromkeys(SPECIES, BIRDS) | dict.fromkeys(NO_BIRDS, DISTRACTORS)
    return {kind: draw_visits(network, kind, count) for kind, count in counts.items()}


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    """As the daemon is on its first day."""
    return Identifier(demo_network())


def test_what_is_no_bird_is_not_confirmed_and_birds_still_are(
    identifier: Identifier, visits: dict[str, list[Drawn]]
) -> None:
    """A squirrel in the list of birds costs trust in every other line of it."""
    every = [visit for kind in (*NO_BIRDS, *SPECIES) for visit in visits[kind]]
    verdicts = dict(zip(map(id, every), identifier.with_experience(every), strict=True))
    shares = [sum(confirmed(verdicts[id(v)]) for v in visits[kind]) / len(visits[kind]) for kind in NO_BIRDS]
    assert sum(shares) / len(shares) <= 0.05
    alone = [confirmed(identifier.alone(visit)) for visit in visits["squirrel"]]
    assert sum(alone) > len(alone) / 2  # the network alone falls for it: without that the line above shows nothing
    birds = [confirmed(verdicts[id(v)], kind) for kind in SPECIES for v in visits[kind]]
    assert sum(birds) >= 0.95 * len(birds)


def test_three_reviews_are_enough(visits: dict[str, list[Drawn]]) -> None:
    """Also where nothing is found strange: corrections alone must stop what was corrected, and nothing else."""
    identifier = Identifier(demo_network(), inlier_quantile=1.0)
    birds = [visit for kind in SPECIES for visit in visits[kind] if confirmed(identifier.alone(visit), kind)]
    still, lost, asked = 0, 0, 0
    for individual in SQUIRRELS:
        returns = draw_visits(demo_network(), "squirrel", RETURNS, individual=individual)
        false = [visit for visit in returns if confirmed(identifier.alone(visit), "House sparrow")]
        assert len(false) >= 6
        corrections = [visit.example("House sparrow", reviewed=True) for visit in false[:3]]
        verdicts = identifier.with_experience([*false[3:], *birds], corrections)
        still += sum(map(confirmed, verdicts[: len(false) - 3]))
        lost += sum(not confirmed(v, b.kind) for b, v in zip(birds, verdicts[len(false) - 3 :], strict=True))
        asked += len(false) - 3
    assert still <= 0.1 * asked
    assert lost <= 0.01 * len(SQUIRRELS) * len(birds)
