"""What earlier visits teach: on made-up embeddings, where it is known what the answer must be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from birdwatchd.records import FloatArray, Label, Rank, State, Verdict
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Assessment, Example, Experience
from birdwatchd.species.learned.metric import Metric
from birdwatchd.species.verdict.fusion import Fusion

SPARROW = Label("House sparrow", "Passer domesticus", "Passeridae", "Passeriformes")
TIT = Label("Great tit", "Parus major", "Paridae", "Passeriformes")
HOOPOE = Label("Eurasian hoopoe", "Upupa epops", "Upupidae", "Bucerotiformes")
NONE = Label("Unknown", is_species=False)
LABELS = (SPARROW, TIT, HOOPOE, NONE)
DIM = 24
MIDDLES = np.random.default_rng(1).normal(0, 2.0, (6, DIM))
SPARROWS, TITS, HOOPOES, SQUIRRELS, COAL_TITS, OTHERS = range(6)


def looks(kind: int, seed: int, moments: int = 3, *, towards: int | None = None) -> FloatArray:
    """Embeddings of one visit's moments: an individual of a kind, perhaps one that half looks like another."""
    chance = np.random.default_rng((kind, seed))
    middle = MIDDLES[kind] if towards is None else 0.45 * MIDDLES[towards] + 0.55 * MIDDLES[kind]
    individual = middle + chance.normal(0, 0.3, DIM)
    return np.asarray(individual + chance.normal(0, 0.3, (moments, DIM)), np.float32)


def birds(count: int = 30) -> list[Example]:
    """Confirmed visits of three species."""
    return [
        Example(looks(kind, n), LABELS[kind].common_name, 5.0 + n % 7 / 10) for kind in range(3) for n in range(count)
    ]


def squirrels(count: int, said: str = "House sparrow") -> list[Example]:
    """Visits of squirrels that were called sparrows, reviewed as no bird."""
    return [Example(looks(SQUIRRELS, n, towards=SPARROWS), said, 5.0, reviewed=True) for n in range(count)]


def assessed(experience: Experience, kind: int, seeds: Sequence[int], best: int, **how: int) -> list[Assessment]:
    """Assessments of visits that the network calls by the class `best`."""
    return [experience.assess(looks(kind, seed, **how).mean(axis=0), best) for seed in seeds]


NEW = range(1000, 1200)


def test_who_saw_nothing_has_no_opinion() -> None:
    """On the first day every bird is new, and none may be refused for it."""
    for experience in (Experience(LABELS), Experience(LABELS, birds(3))):
        for one in assessed(experience, OTHERS, range(20), SPARROWS):
            assert (one.corrections, one.outlier_ratio, one.low_energy) == (0, 0.0, False)


def test_three_lessons_are_enough() -> None:
    """The squirrel that is called a sparrow: three reviews end it, and no sparrow pays for them."""
    experience = Experience(LABELS, [*birds(), *squirrels(3)], inlier_quantile=1)
    later = assessed(experience, SQUIRRELS, NEW, SPARROWS, towards=SPARROWS)
    assert np.mean([one.corrections > 0 and one.truth is None and one.comparable for one in later]) >= 0.9
    assert np.mean([one.corrections for one in later]) > 1.5  # "like 3 reviewed visits" says how many
    assert np.mean([one.corrections > 0 for one in assessed(experience, SPARROWS, NEW, SPARROWS)]) <= 0.01
    assert not any(one.corrections for kind in (TITS, HOOPOES) for one in assessed(experience, kind, NEW, kind))


def test_a_mislabelled_bird_gets_its_own_name() -> None:
    """Coal tits are not among the classes; three corrected ones are enough to stop calling the others great tits."""
    coal_tit = Label("Coal tit", "Periparus ater", "Paridae", "Passeriformes")
    corrections = [Example(looks(COAL_TITS, n, towards=TITS), "Great tit", 5.0, True, coal_tit) for n in range(3)]
    experience = Experience(LABELS, [*birds(), *corrections], inlier_quantile=1)
    later = assessed(experience, COAL_TITS, NEW, TITS, towards=TITS)
    assert np.mean([o.corrections > 0 and o.truth == coal_tit for o in later]) >= 0.9
    assert np.mean([o.corrections > 0 for o in assessed(experience, TITS, NEW, TITS)]) <= 0.01


def test_a_lesson_about_a_species_does_not_reach_to_the_end_of_the_world() -> None:
    """What is nearer to coal tits than to great tits, but like neither, is no coal tit."""
    corrections = [Example(looks(COAL_TITS, n), "Great tit", 5.0, True, HOOPOE) for n in range(3)]
    experience = Experience(LABELS, [*birds(), *corrections], inlier_quantile=1)
    far = 8 * MIDDLES[COAL_TITS] - 7 * MIDDLES[TITS]
    assert experience.assess(far, TITS).corrections == 0
    assert experience.assess(MIDDLES[COAL_TITS], TITS).corrections == 3


def test_earlier_false_visits_do_not_defend_the_next_ones() -> None:
    """Before anyone reviewed a squirrel there were twelve; they are in the database as sparrows."""
    earlier = [Example(looks(SQUIRRELS, n, towards=SPARROWS), "House sparrow", 5.0) for n in range(500, 512)]
    experience = Experience(LABELS, [*birds(), *earlier, *squirrels(3)], inlier_quantile=1)
    later = assessed(experience, SQUIRRELS, NEW, SPARROWS, towards=SPARROWS)
    assert np.mean([one.corrections > 0 for one in later]) >= 0.9
    assert np.mean([one.corrections > 0 for one in assessed(experience, SPARROWS, NEW, SPARROWS)]) <= 0.01


def test_what_a_person_confirmed_stands_against_lessons() -> None:
    """An odd sparrow beside the squirrels, confirmed by a person, must not be rejected with them the next time."""
    odd = looks(SQUIRRELS, 900, towards=SPARROWS)
    examples = [*birds(), *squirrels(3)]
    assert Experience(LABELS, examples).assess(odd.mean(axis=0), SPARROWS).corrections > 0
    confirmed = Example(odd, "House sparrow", 5.0, True, SPARROW)
    assert Experience(LABELS, [*examples, confirmed]).assess(odd.mean(axis=0), SPARROWS).corrections == 0


def test_without_birds_of_the_name_nothing_is_certain() -> None:
    """Every "hoopoe" so far was a hand: the first real one must not be rejected for it."""
    hands = [Example(looks(OTHERS, n), "Eurasian hoopoe", 5.0, reviewed=True) for n in range(3)]
    others = [bird for bird in birds() if bird.predicted != "Eurasian hoopoe"]
    (one,) = assessed(Experience(LABELS, [*others, *hands]), OTHERS, [7], HOOPOES)
    assert one.corrections > 0
    assert not one.comparable


def test_what_is_like_nothing_seen_is_strange() -> None:
    """A cat is called by the name of some bird; it looks like none of that name that was ever here."""
    experience = Experience(LABELS, birds())
    assert all(one.outlier_ratio > 1 for one in assessed(experience, OTHERS, NEW, SPARROWS))
    for kind in (SPARROWS, TITS, HOOPOES):
        assert np.mean([one.outlier_ratio > 1 for one in assessed(experience, kind, NEW, kind)]) <= 0.05
    assert all(
        o.outlier_ratio == 0 for o in assessed(Experience(LABELS, birds(), inlier_quantile=1), OTHERS, NEW, SPARROWS)
    )


def test_little_of_anything_is_faint() -> None:
    """A species that was never here has nothing to be compared with, but its energy has."""
    experience = Experience(LABELS, birds())
    point = MIDDLES[SPARROWS]
    assert experience.assess(point, SPARROWS, 3.0).low_energy
    assert not experience.assess(point, SPARROWS, 5.2).low_energy
    assert not experience.assess(point, SPARROWS).low_energy  # logits were not kept


def test_an_answer_that_is_no_bird_is_left_alone() -> None:
    """The class Unknown is rejected already."""
    experience = Experience(LABELS, [*birds(), *squirrels(3)])
    assert experience.assess(looks(SQUIRRELS, 1).mean(axis=0), 3) == Assessment()


@pytest.mark.parametrize("visits", [1, 2, 40])
def test_the_measure_counts_pictures_of_one_bird_as_one_apart(visits: int) -> None:
    """The distances that settings and reasons speak of have a unit, whatever the network's numbers are."""
    chance = np.random.default_rng(visits)
    residuals = chance.normal(0, np.geomspace(0.1, 50, DIM), (visits * 40, DIM))
    squares = (Metric.of(residuals).whiten(residuals) ** 2).sum(axis=1)
    assert 0.7 < squares.mean() < 1.3


def test_pictures_that_are_all_the_same_measure_nothing_and_break_nothing() -> None:
    """A camera that repeats one picture gives no differences to learn from."""
    same = np.ones((3, DIM), np.float32)
    experience = Experience(LABELS, [Example(same, "House sparrow"), Example(same, "House sparrow", reviewed=True)])
    assert np.isfinite(experience.assess(same.mean(axis=0), SPARROWS).outlier_ratio)


def fused(experience: Experience, kind: int, seed: int, best: int, p: float = 0.95, **how: int) -> Verdict:
    """The verdict on a visit that the network calls `best` with probability `p`."""
    row = np.full(4, np.log((1 - p) / 3))
    row[best] = np.log(p)
    embeddings = looks(kind, seed, **how)
    fusion = Fusion(LABELS, SpeciesSettings(), experience=experience)
    return fusion.fuse(np.tile(row, (len(embeddings), 1)).astype(np.float32) + 6, embeddings=embeddings)


def test_the_verdict_says_what_was_learned() -> None:
    """A person who reads the visit must see why it is not what the network says."""
    coal_tit = Label("Coal tit", "Periparus ater")
    corrections = [Example(looks(COAL_TITS, n, towards=TITS), "Great tit", 5.0, True, coal_tit) for n in range(2)]
    corrections += [Example(looks(OTHERS, n, towards=HOOPOES), "Eurasian hoopoe", 5.0, True, SPARROW) for n in range(2)]
    experience = Experience(LABELS, [*birds(), *squirrels(3), *corrections])
    verdict = fused(experience, SQUIRRELS, 1, SPARROWS, towards=SPARROWS)
    assert (verdict.state, verdict.rank, verdict.common_name) == (State.REJECTED, Rank.BIRD, None)
    assert verdict.reasons == ("resembles 3 visits you marked as not a bird",)
    verdict = fused(experience, COAL_TITS, 1, TITS, towards=TITS)
    assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "Coal tit")
    assert verdict.scientific_name == "Periparus ater"
    assert verdict.reasons == ("resembles 2 visits you corrected to Coal tit, not Great tit",)
    assert verdict.top[0][0] == "Great tit"  # what the network says is kept
    verdict = fused(experience, OTHERS, 1, HOOPOES, towards=HOOPOES)
    assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "House sparrow")
    assert verdict.raw_top[0][0] == "Eurasian hoopoe"
    unsure = fused(experience, COAL_TITS, 1, TITS, p=0.5, towards=TITS)
    assert (unsure.state, unsure.common_name) == (State.UNCERTAIN, "Coal tit")


def test_strange_visits_are_not_confirmed_and_very_strange_ones_have_no_name() -> None:
    """Sure of itself, the network calls the cat a sparrow; "not sure" is the honest answer."""
    experience = Experience(LABELS, birds())
    verdict = fused(experience, OTHERS, 1, SPARROWS)
    assert (verdict.state, verdict.common_name, verdict.rank) == (State.UNKNOWN, None, Rank.BIRD)
    assert "times as much as usual from earlier visits of House sparrow" in verdict.reasons[-1]
    assert verdict.top[0][0] == "House sparrow"
    border = [fused(experience, SQUIRRELS, seed, SPARROWS, towards=SPARROWS) for seed in range(60)]
    assert {v.state for v in border} <= {State.UNCERTAIN, State.UNKNOWN, State.CONFIRMED}
    assert fused(experience, SPARROWS, 5, SPARROWS).state is State.CONFIRMED


def test_an_unanswerable_likeness_is_said_and_not_confirmed() -> None:
    """Like three hands that were called hoopoes, and no hoopoe was ever here: uncertain, and why."""
    hands = [Example(looks(OTHERS, n), "Eurasian hoopoe", 5.0, reviewed=True) for n in range(3)]
    others = [bird for bird in birds() if bird.predicted != "Eurasian hoopoe"]
    verdict = fused(Experience(LABELS, [*others, *hands]), OTHERS, 7, HOOPOES)
    assert (verdict.state, verdict.common_name) == (State.UNCERTAIN, "Eurasian hoopoe")
    assert verdict.reasons[-1].endswith("there is no other Eurasian hoopoe from here to compare with")
