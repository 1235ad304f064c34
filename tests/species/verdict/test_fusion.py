"""Verdicts: one name per visit, with "not sure" as a first-class answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdwatchd.records import FloatArray, Label, Rank, State
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.fusion import Fusion, unmatched_species

LABELS = (
    Label("House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"),
    Label("Great tit", "Parus major", "Paridae", "Passeriformes"),
    Label("Eurasian jay", "Garrulus glandarius", "Corvidae", "Passeriformes"),
    Label("Common chaffinch", "Fringilla coelebs"),
    Label("Syrian woodpecker", "Dendrocopos syriacus"),
    Label("Unknown", is_species=False),
)
SPARROW, TIT, UNKNOWN = 0, 1, 5


def logits_for(index: int, p: float) -> FloatArray:
    """Logits that give class `index` probability p, and the others equal shares of the rest."""
    rest = (1 - p) / (len(LABELS) - 1)
    return np.log([p if i == index else rest for i in range(len(LABELS))]).astype(np.float32)


def fusion(**settings: object) -> Fusion:
    """With the default thresholds 0.7 and 0.35, unless told."""
    return Fusion(LABELS, SpeciesSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("p", "state", "name", "rank"),
    [
        (0.9, State.CONFIRMED, "House sparrow", Rank.SPECIES),
        (0.71, State.CONFIRMED, "House sparrow", Rank.SPECIES),
        (0.69, State.UNCERTAIN, "House sparrow", Rank.SPECIES),
        (0.36, State.UNCERTAIN, "House sparrow", Rank.SPECIES),
        (0.34, State.UNKNOWN, None, Rank.BIRD),
    ],
)
def test_the_state_follows_the_score(p: float, state: State, name: str | None, rank: Rank) -> None:
    """A record that says `House sparrow` on a guess spoils the data set it ends up in."""
    verdict = fusion().fuse(logits_for(SPARROW, p)[None])
    assert (verdict.state, verdict.common_name, verdict.rank) == (state, name, rank)
    assert verdict.scientific_name == ("Passer domesticus" if name else None)
    assert verdict.score == pytest.approx(p, abs=1e-6)
    assert bool(verdict.reasons) == (state is not State.CONFIRMED)


def test_reasons_are_sentences_that_are_true() -> None:
    """A person who sees `uncertain` asks why; "0.70 is below 0.70" is no answer."""
    assert fusion().fuse(logits_for(SPARROW, 0.62)[None]).reasons == ("0.62 is below 0.70 for House sparrow",)
    assert fusion().fuse(logits_for(TIT, 0.6996)[None]).reasons == ("0.6996 is below 0.7000 for Great tit",)
    assert fusion().fuse(logits_for(TIT, 0.3)[None]).reasons == ("0.30 is below 0.35 for Great tit",)


@pytest.mark.parametrize("key", ["House sparrow", "house_sparrow", "HOUSE SPARROW", "passer domesticus"])
def test_a_threshold_of_its_own_for_one_species(key: str) -> None:
    """Sparrows look like many things; who asks for more certainty there must get it, however it is spelt."""
    strict = fusion(per_species={key: 0.95})
    assert strict.fuse(logits_for(SPARROW, 0.9)[None]).state is State.UNCERTAIN
    assert strict.fuse(logits_for(TIT, 0.9)[None]).state is State.CONFIRMED


@pytest.mark.parametrize(("p", "state"), [(0.95, State.REJECTED), (0.5, State.UNKNOWN), (0.2, State.UNKNOWN)])
def test_what_is_no_species_is_never_named(p: float, state: State) -> None:
    """A squirrel must not be alerted as a new species called `Unknown`."""
    verdict = fusion().fuse(logits_for(UNKNOWN, p)[None])
    assert (verdict.state, verdict.common_name, verdict.scientific_name) == (state, None, None)
    assert verdict.rank is Rank.BIRD
    assert verdict.top[0] == ("Unknown", pytest.approx(p, abs=1e-6))
    assert "which is not a species" in verdict.reasons[0]


def test_one_lucky_frame_does_not_decide() -> None:
    """The maximum over frames would confirm a jay because of a single odd frame."""
    sparrow, jay = logits_for(SPARROW, 0.8), logits_for(2, 0.97)
    verdict = fusion().fuse(np.stack([sparrow, sparrow, jay, sparrow, sparrow]))
    assert verdict.state is State.UNCERTAIN
    assert verdict.reasons == ("crops contradict each other: 1 of 3 say Eurasian jay",)


def test_top_five_are_sorted_and_named() -> None:
    """A reviewer picks the right name from this list."""
    verdict = fusion().fuse(logits_for(TIT, 0.5)[None])
    assert len(verdict.top) == 5
    assert verdict.top[0][0] == "Great tit"
    scores = [p for _, p in verdict.top]
    assert scores == sorted(scores, reverse=True)


def test_no_moment_at_all_is_unknown() -> None:
    """A visit whose pictures were all unreadable still happened and needs a verdict."""
    verdict = fusion().fuse(np.empty((0, len(LABELS)), np.float32))
    assert (verdict.state, verdict.score, verdict.top) == (State.UNKNOWN, 0.0, ())
    assert fusion().running().verdict() == verdict


def test_logits_of_another_model_are_refused() -> None:
    """numpy would broadcast a single number over all classes and go on."""
    with pytest.raises(ValueError, match="expected"):
        fusion().running().add(np.zeros(1, np.float32))


many = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.just(len(LABELS))),
    elements=st.floats(-60, 60, width=32),
)


@given(many, st.data())
def test_revising_ends_where_the_batch_ends(logits: FloatArray, data: st.DataObject) -> None:
    """The final message of a visit must agree with the row that a later recount would write."""
    running = fusion().running()
    for row in logits:
        running.add(row)
        if data.draw(st.booleans()):
            running.verdict()
    assert running.moments == len(logits)
    assert running.verdict() == fusion().fuse(logits)


@given(many)
def test_the_verdict_is_the_softmax_of_the_mean(logits: FloatArray) -> None:
    """Checked against the formula written out, since every number that users see comes from here."""
    rows = logits.astype(np.float64)
    odds = np.exp(rows[:, :UNKNOWN]).sum(axis=1) / np.exp(rows[:, UNKNOWN])
    order = np.argsort(-odds, kind="stable")
    assume(len(odds) < 4 or odds[order[2]] > odds[order[3]] * (1 + 1e-9))  # else either may be the third
    best = order[:3]
    if odds[best[0]] > 1:
        best = best[odds[best] > 1]
    mean = (rows[best] * odds[best][:, None]).sum(axis=0) / odds[best].sum()
    p = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
    verdict = fusion().fuse(logits)
    assert [q for _, q in verdict.top] == pytest.approx(sorted(p, reverse=True)[:5], abs=1e-9)
    named = verdict.state in (State.CONFIRMED, State.UNCERTAIN)
    assert named == (verdict.common_name is not None)
    if verdict.rank is Rank.ORDER:
        assert verdict.score == pytest.approx(p[:3].sum(), abs=1e-9)  # the three songbirds
    else:
        assert verdict.score == pytest.approx(p.max(), abs=1e-9)
        assert verdict.common_name in {None, *(label.common_name for label in LABELS if label.is_species)}
        assert verdict.rank is (Rank.SPECIES if named else Rank.BIRD)


@given(many, st.randoms(use_true_random=False))
def test_the_order_of_moments_does_not_matter(logits: FloatArray, random: np.random.Generator) -> None:
    """Two cameras' crops arrive interleaved as they like; the name must not hang on it."""
    shuffled = logits.copy().tolist()
    random.shuffle(shuffled)
    other = fusion().fuse(np.asarray(shuffled, np.float32))
    assert other.score == pytest.approx(fusion().fuse(logits).score, abs=1e-9)


def test_misspelt_species_are_found() -> None:
    """A threshold for a name that no class has is silently ignored for years."""
    names = {"house_sparrow": 0.8, "Parus major": 0.8, "Grate tit": 0.8, "Dodo": 0.9}
    lists = {"allow": ["Passeridae", "Moa"], "always": ["Parus"], "months": {"Passeriformes": [5], "Roc": [1]}}
    settings = SpeciesSettings.model_validate({"per_species": names, **lists})
    wrong = [("allow", "Moa"), ("months", "Roc"), ("per_species", "Dodo"), ("per_species", "Grate tit")]
    assert unmatched_species(settings, LABELS) == tuple(wrong)


WARBLERS = (
    Label("Common chiffchaff", "Phylloscopus collybita", "Phylloscopidae", "Passeriformes"),
    Label("Willow warbler", "Phylloscopus trochilus", "Phylloscopidae", "Passeriformes"),
    Label("House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"),
    Label("Spanish sparrow", "Passer hispaniolensis", "Passeridae", "Passeriformes"),
    Label("Rock sparrow", "Petronia petronia", "Passeridae", "Passeriformes"),
    Label("Hoopoe", "Upupa epops", "Upupidae", "Bucerotiformes"),
    Label("Unknown", is_species=False),
)


def warblers(*p: float, **settings: object) -> tuple[State, Rank, str | None, str | None, float]:
    """The verdict on one picture with these probabilities."""
    fused = Fusion(WARBLERS, SpeciesSettings.model_validate(settings))
    verdict = fused.fuse(np.log(np.array([p])).astype(np.float32))
    return verdict.state, verdict.rank, verdict.common_name, verdict.scientific_name, round(verdict.score, 3)


def test_look_alikes_are_answered_with_their_genus() -> None:
    """Chiffchaff or willow warbler: nobody can tell in a picture, and everybody can tell that it is one of them."""
    found = warblers(0.48, 0.46, 0.01, 0.01, 0.01, 0.02, 0.01)
    assert found == (State.CONFIRMED, Rank.GENUS, "Phylloscopus sp.", "Phylloscopus", 0.94)


def test_or_with_their_family() -> None:
    """Three sparrows of two genera."""
    found = warblers(0.02, 0.02, 0.33, 0.2, 0.39, 0.03, 0.01)
    assert found == (State.CONFIRMED, Rank.FAMILY, "Passeridae", "Passeridae", 0.92)


def test_an_order_is_never_confirmed() -> None:
    """`Passeriformes` is true of half of all birds; an alert that says it helps nobody."""
    found = warblers(0.2, 0.15, 0.2, 0.1, 0.2, 0.1, 0.05)
    assert found == (State.UNCERTAIN, Rank.ORDER, "Passeriformes", "Passeriformes", 0.85)


def test_a_genus_of_one_adds_nothing_to_its_species() -> None:
    """A species below its bar must not be confirmed under its genus' name."""
    assert warblers(0.02, 0.02, 0.02, 0.02, 0.02, 0.65, 0.25)[:3] == (State.UNCERTAIN, Rank.SPECIES, "Hoopoe")


def test_no_bird_is_in_no_group() -> None:
    """The leaf's share must not make it a sparrow."""
    assert warblers(0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.5)[:2] == (State.UNKNOWN, Rank.BIRD)


def test_one_picture_of_many_is_an_accident() -> None:
    """Of nine pictures of somebody in black, one looked like a grackle; a bird is in more of its visit's pictures."""
    tit, empty = logits_for(TIT, 0.9), logits_for(UNKNOWN, 0.8)
    said = lambda birds, of: fusion().fuse(np.stack([tit] * birds + [empty] * (of - birds)))  # noqa: E731
    assert said(1, 5).state is State.CONFIRMED
    assert said(1, 6).state is State.UNCERTAIN
    assert said(1, 6).reasons == ("1 of 6 crops show a bird",)
    assert said(2, 10).state is State.CONFIRMED
    assert said(2, 11).state is State.UNCERTAIN
    assert said(3, 24).state is State.CONFIRMED
    kept = fusion().fuse(np.stack([tit, empty]), others=4)
    assert (kept.state, kept.reasons) == (State.UNCERTAIN, ("1 of 6 crops show a bird",))


def test_pictures_that_show_no_bird_do_not_hide_the_one_that_does() -> None:
    """The tit was there for a second of ten; nine empty perches averaged with it were no bird at all."""
    tit, empty = logits_for(TIT, 0.9), logits_for(UNKNOWN, 0.8)
    verdict = fusion().fuse(np.stack([empty, empty, tit, empty, empty]))
    assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "Great tit")
    assert verdict.score == pytest.approx(0.9, abs=1e-6)


def test_pictures_that_show_more_of_a_bird_count_more() -> None:
    """A clear look at a tit and two in which some bird or other half hides."""
    clear, half = logits_for(TIT, 0.95), logits_for(UNKNOWN, 0.4)
    assert fusion().fuse(np.stack([half, half, clear])).score > 0.9


def test_of_many_pictures_three_decide() -> None:
    """Among many there is always one that looks like something; it needs two others on its side."""
    jay, tit = logits_for(2, 0.99), logits_for(TIT, 0.9)
    assert fusion().fuse(np.stack([tit] * 12 + [jay])).state is State.UNCERTAIN
    assert fusion().fuse(np.stack([tit] * 12 + [jay, jay])).common_name == "Eurasian jay"


@pytest.mark.parametrize(
    ("none", "state"),
    [
        ((0.92,), State.REJECTED),
        ((0.9,), State.UNKNOWN),
        ((0.8, 0.8), State.REJECTED),
        ((0.95, 0.95, 0.6), State.UNKNOWN),
        ((0.95, 0.8, 0.8, 0.8), State.REJECTED),
    ],
)
def test_a_visit_is_rejected_only_where_its_best_pictures_are_sure(none: tuple[float, ...], state: State) -> None:
    """A bird that is rejected is in no list and rings no phone: there must be no picture that may show one."""
    assert fusion().fuse(np.stack([logits_for(UNKNOWN, p) for p in none])).state is state


def test_a_model_without_a_class_for_no_bird_is_asked_for_its_energy() -> None:
    """Many classifiers know nothing but birds; a blur is then what no class speaks for much."""
    knows_birds = Fusion(LABELS[:UNKNOWN], SpeciesSettings())
    clear = np.array([0, 9, 1, 0, 0], np.float32)
    blur = np.array([2, 0, 1, 0, 0], np.float32)
    verdict = knows_birds.fuse(np.stack([blur, clear, blur, clear, blur]))
    assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "Great tit")
    assert verdict.score > 0.99


def test_the_better_of_two_pictures_that_show_as_much_counts() -> None:
    """The first three of an undecided four must not hang on when they came."""
    rows = np.stack([logits_for(i, 0.9) for i in (SPARROW, TIT, TIT, SPARROW)])
    assert fusion().fuse(rows, qualities=[0.1, 0.5, 0.5, 0.2]).common_name == "Great tit"
    assert fusion().fuse(rows, qualities=[0.5, 0.1, 0.2, 0.5]).common_name == "House sparrow"


def test_a_tail_at_the_edge_does_not_outshout_the_whole_bird() -> None:
    """A dove of which eight good pictures were a dove at 95 % ended as `unknown`, by the last one, of its tail."""
    dove, tail = np.array([1.0, 4.2, 1, 1, 1], np.float32), np.array([5.3, 2.4, 1, 1, 1], np.float32)
    knows_birds = Fusion(LABELS[:UNKNOWN], SpeciesSettings())
    for order in (slice(None), slice(None, None, -1)):
        rows, qualities = np.stack([dove] * 8 + [tail])[order], ([0.4] * 8 + [0.06])[order]
        verdict = knows_birds.fuse(rows, qualities=qualities)
        assert (verdict.state, verdict.common_name) == (State.CONFIRMED, "Great tit")
    assert knows_birds.fuse(rows).state is not State.CONFIRMED  # were all pictures alike, it would outshout them


def test_a_poor_picture_of_a_bird_counts_before_good_ones_of_none() -> None:
    """Three sharp pictures of the branch that it left do not take away the only one that shows it."""
    branch, tit = logits_for(UNKNOWN, 0.6), logits_for(TIT, 0.8)
    verdict = fusion().fuse(np.stack([branch] * 3 + [tit]), qualities=[1.0, 1.0, 1.0, 0.01])
    assert verdict.top[0][0] == "Great tit"
    assert verdict.score > 0.7


def test_of_no_quality_at_all_a_picture_counts_still() -> None:
    """A file may say so; a visit of one such picture has a name all the same."""
    assert fusion().fuse(logits_for(TIT, 0.9)[None], qualities=[0.0]).state is State.CONFIRMED


def test_moments_that_contradict_each_other_confirm_nothing() -> None:
    """Two birds in one visit, or one that looks like two: one picture shouts, and two whisper otherwise."""
    loud, soft = logits_for(TIT, 0.99999), logits_for(SPARROW, 0.4)
    verdict = fusion().fuse(np.stack([loud, soft, soft]))
    assert verdict.score > 0.7
    assert (verdict.state, verdict.common_name) == (State.UNCERTAIN, "Great tit")
    assert verdict.reasons == ("crops contradict each other: 1 of 3 say Great tit",)


def test_two_moments_that_agree_are_confirmed() -> None:
    """Agreement is not contradiction, also when a third sees something else."""
    tit, sparrow = logits_for(TIT, 0.95), logits_for(SPARROW, 0.6)
    assert fusion().fuse(np.stack([tit, tit, sparrow])).state is State.CONFIRMED
