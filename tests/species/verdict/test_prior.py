"""Place and season: what is improbable here counts less, and is never hidden when the network is sure."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import FloatArray, Label, Rank, State
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.ebird import BarChart, Taxon
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.species.verdict.prior import Prior, matched
from tests.support.ebird import ebird_file

ZONE = ZoneInfo("Asia/Jerusalem")
MAY, DECEMBER = datetime(2026, 5, 10, 9, tzinfo=UTC), datetime(2026, 12, 10, 9, tzinfo=UTC)
LABELS = (
    Label("House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"),
    Label("Spanish sparrow", "Passer hispaniolensis", "Passeridae", "Passeriformes"),
    Label("European bee-eater", "Merops apiaster", "Meropidae", "Coraciiformes"),
    Label("Keel-billed toucan", "Ramphastos sulfuratus", "Ramphastidae", "Piciformes"),
    Label("Unknown", is_species=False),
)
SPARROW, SPANISH, BEE_EATER, TOUCAN, UNKNOWN = range(5)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Sparrows all year, bee-eaters from April to September, no toucan ever."""
    summer = [0.2 if 12 <= quarter < 36 else 0.0 for quarter in range(48)]
    return ebird_file(
        tmp_path / "chart.txt",
        {
            'House Sparrow (<em class="sci">Passer domesticus</em>)': [0.6] * 48,
            'Spanish Sparrow (<em class="sci">Passer hispaniolensis</em>)': [0.1] * 48,
            'European Bee-eater (<em class="sci">Merops apiaster</em>)': summer,
        },
    )


def rules(**settings: object) -> Fusion:
    """A station with these settings."""
    species = SpeciesSettings.model_validate(settings)
    return Fusion(LABELS, species, Prior(LABELS, species, ZONE).on)


def logits(**p: float) -> FloatArray:
    """Logits for these probabilities by name of the constant; the rest is shared equally."""
    given = {globals()[name]: value for name, value in p.items()}
    rest = (1 - sum(given.values())) / (len(LABELS) - len(given)) if len(given) < len(LABELS) else 0
    return np.log([given.get(i, rest) for i in range(len(LABELS))]).astype(np.float32)


def test_an_impossible_species_drops(chart: Path) -> None:
    """A sparrow in odd light looks a little like a toucan, and there are no toucans in the valley."""
    row = logits(TOUCAN=0.6, SPARROW=0.3)
    alone = rules().fuse(row[None], MAY)
    assert alone.common_name == "Keel-billed toucan"
    verdict = rules(bar_chart=chart).fuse(row[None], MAY)
    assert (verdict.common_name, verdict.state) == ("House sparrow", State.CONFIRMED)
    assert verdict.raw_top[0] == ("Keel-billed toucan", pytest.approx(0.6, abs=1e-6))
    assert verdict.raw_score == pytest.approx(0.3, abs=1e-6)
    assert verdict.score > 0.7
    assert any("Keel-billed toucan, which is not expected" in reason for reason in verdict.reasons)


def test_a_strong_rarity_stays_and_is_flagged(chart: Path) -> None:
    """An escaped toucan is what the user would give the year's other visits for."""
    row = logits(TOUCAN=0.97, SPARROW=0.02)
    verdict = rules(bar_chart=chart).fuse(np.stack([row, row]), MAY)
    assert (verdict.common_name, verdict.state, verdict.rare) == ("Keel-billed toucan", State.CONFIRMED, True)
    assert verdict.raw_score == pytest.approx(0.97, abs=1e-6)
    assert verdict.score < 0.97


def test_one_picture_is_not_enough_for_a_rarity(chart: Path) -> None:
    """People travel for rarities."""
    verdict = rules(bar_chart=chart).fuse(logits(TOUCAN=0.97)[None], MAY)
    assert (verdict.common_name, verdict.state, verdict.rare) == ("Keel-billed toucan", State.UNCERTAIN, True)
    assert "one crop is not enough" in " ".join(verdict.reasons)


def test_the_season_counts(chart: Path) -> None:
    """The same pictures in May and in December are not the same birds."""
    row = logits(BEE_EATER=0.6, SPARROW=0.3)
    may, december = rules(bar_chart=chart).fuse(row[None], MAY), rules(bar_chart=chart).fuse(row[None], DECEMBER)
    assert may.common_name == "European bee-eater"
    assert december.common_name == "House sparrow"


def test_the_day_is_the_stations_day(chart: Path) -> None:
    """At 22:30 UTC on 30 September it is October in Jerusalem."""
    prior = Prior(LABELS, SpeciesSettings.model_validate({"months": {"Merops apiaster": [4, 5, 6, 7, 8, 9]}}), ZONE)
    assert prior.on(datetime(2026, 9, 30, 20, 30, tzinfo=UTC)).weights[BEE_EATER] == 1.0
    assert prior.on(datetime(2026, 9, 30, 22, 30, tzinfo=UTC)).weights[BEE_EATER] < 0.1


@pytest.mark.parametrize("name", ["Keel-billed toucan", "ramphastos_sulfuratus", "Ramphastos", "Ramphastidae"])
def test_always_is_stronger_than_chart_month_and_list(chart: Path, name: str) -> None:
    """The neighbour's aviary: here toucans are nothing special."""
    settings = {"bar_chart": chart, "always": [name], "allow": ["Passeridae"], "months": {"Keel-billed toucan": [1]}}
    verdict = rules(**settings).fuse(logits(TOUCAN=0.8, SPARROW=0.15)[None], MAY)
    assert (verdict.common_name, verdict.state, verdict.rare) == ("Keel-billed toucan", State.CONFIRMED, False)


def test_what_is_denied_is_never_said() -> None:
    """The user has had enough of toucans, however sure the network is."""
    verdict = rules(deny=["Keel-billed toucan"]).fuse(np.stack([logits(TOUCAN=0.99, SPARROW=0.0085)] * 3), MAY)
    assert verdict.common_name == "House sparrow"
    assert dict(verdict.top)["Keel-billed toucan"] == 0.0


def test_an_allow_list_makes_the_rest_improbable_and_not_impossible() -> None:
    """A hard filter hides the one bird that would have been news."""
    fusion = rules(allow=["Passer"])
    assert fusion.fuse(logits(TOUCAN=0.6, SPARROW=0.3)[None], MAY).common_name == "House sparrow"
    sure = fusion.fuse(np.stack([logits(TOUCAN=0.97)] * 2), MAY)
    assert (sure.common_name, sure.rare) == ("Keel-billed toucan", True)


def test_no_bird_stays_no_bird(chart: Path) -> None:
    """What the season says about birds says nothing about squirrels: their share must not grow or shrink."""
    for row in (logits(UNKNOWN=0.8, TOUCAN=0.15), logits(UNKNOWN=0.3, SPARROW=0.6)):
        alone, here = rules().fuse(row[None], MAY), rules(bar_chart=chart).fuse(row[None], MAY)
        assert dict(here.top)["Unknown"] == pytest.approx(dict(alone.top)["Unknown"], abs=1e-9)


def test_a_quiet_prior_changes_nothing() -> None:
    """No lists, no chart: the numbers are the network's own, to the last bit."""
    prior = Prior(LABELS, SpeciesSettings(), ZONE)
    assert not prior.active
    row = logits(TOUCAN=0.6, SPARROW=0.3)
    assert Fusion(LABELS, SpeciesSettings()).fuse(row[None], MAY).raw_top == ()


def test_the_strength_of_a_chart(chart: Path) -> None:
    """0 ignores it; the more, the more it says."""
    row = logits(TOUCAN=0.5, SPARROW=0.4)
    shares = [
        dict(rules(bar_chart=chart, bar_chart_strength=s).fuse(row[None], MAY).top)["Keel-billed toucan"]
        for s in (0.0, 0.3, 0.6, 1.0)
    ]
    assert shares[0] == pytest.approx(0.5, abs=1e-6)
    assert shares == sorted(shares, reverse=True)


@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), st.integers(1, 365))
def test_probabilities_stay_probabilities(shares: list[float], day: int) -> None:
    """Whatever is multiplied, the numbers people see sum to one and lie between 0 and 1."""
    settings = {"allow": ["Passer"], "deny": ["Merops apiaster"], "months": {"Spanish sparrow": [11, 12, 1]}}
    fusion = rules(**settings)
    row = np.log(np.array(shares) / sum(shares)).astype(np.float32)
    verdict = fusion.fuse(row[None], datetime.fromordinal(datetime(2026, 1, 1).toordinal() + day).replace(tzinfo=UTC))
    values = [p for _, p in verdict.top]
    assert sum(values) == pytest.approx(1.0, abs=1e-6)
    assert all(0 <= p <= 1 for p in values)
    assert verdict.common_name != "European bee-eater"


def chart_of(*names: str) -> BarChart:
    taxa = tuple(Taxon(name.split("|")[0], name.split("|")[1] or None) for name in names)
    return BarChart(taxa, np.zeros((len(taxa), 48)), np.ones(48))


def test_a_genus_that_was_renamed_still_matches() -> None:
    """Carduelis chloris became Chloris chloris; as `never seen here` the commonest finch would vanish."""
    labels = (
        Label("European greenfinch", "Carduelis chloris"),
        Label("Common blackbird", "Turdus merula"),
        Label("Western cattle egret", "Bubulcus ibis"),
        Label("Isabelline wheatear", "Oenanthe isabellina"),
        Label("Isabelline shrike", "Lanius isabellinus"),
    )
    chart = chart_of(
        "Eurasian Greenfinch|Chloris chloris", "Eurasian Blackbird|Turdus merula", "Cattle Egret|Ardea ibis",
        "Some Wheatear|Saxicola isabellina",
    )  # fmt: skip
    assert matched(labels, chart)[:3] == [0, 1, 2]
    assert matched(labels, chart)[3:] == [None, None]  # two could be meant: neither is taken


def test_old_files_match_by_common_name() -> None:
    """Downloads from before 2018 have no scientific names."""
    assert matched(LABELS, chart_of("HOUSE SPARROW|", "European Bee-eater|"))[:3] == [0, None, 1]


def test_few_checklists_say_little(tmp_path: Path) -> None:
    """One checklist without sparrows in a February must not mean that there are none."""
    file = ebird_file(tmp_path / "chart.txt", {"House Sparrow": [0.6] * 6 + [0.0] + [0.6] * 41})
    text = file.read_text()
    sizes = ["100.0"] * 48
    thin = [*sizes[:6], "1.0", *sizes[7:]]
    file.write_text(text.replace("Sample Size:\t" + "\t".join(sizes), "Sample Size:\t" + "\t".join(thin)))
    settings = SpeciesSettings.model_validate({"bar_chart": file})
    prior = Prior(LABELS, settings, ZONE)
    assert prior.on(datetime(2026, 2, 16, tzinfo=UTC)).weights[SPARROW] == pytest.approx(0.6**0.5, rel=0.05)
    assert prior.missing == ("Spanish sparrow", "European bee-eater", "Keel-billed toucan")


def test_rank_of_a_group_keeps_both_scores(chart: Path) -> None:
    """Two sparrows at a half each: the genus, with what the network alone gave it."""
    verdict = rules(bar_chart=chart, threshold=0.8).fuse(logits(SPARROW=0.35, SPANISH=0.5)[None], MAY)
    assert (verdict.rank, verdict.common_name, verdict.state) == (Rank.GENUS, "Passer sp.", State.CONFIRMED)
    assert verdict.raw_score == pytest.approx(0.85, abs=1e-6)
    assert verdict.score > 0.85
