"""Today's names of species that were moved to another genus, where the tables leave no choice."""

from __future__ import annotations

import pytest

from birdwatchd.species.old_names import current_names, epithet_stem

DUCKS, OTHERS = "Anatidae", "Picidae"
TODAY = {
    "Anas crecca": DUCKS,
    "Mareca strepera": DUCKS,
    "Mareca americana": DUCKS,
    "Aythya americana": DUCKS,
    "Anser rossii": DUCKS,
    "Anser caerulescens": DUCKS,
    "Picoides arcticus": OTHERS,
    "Dryobates pubescens": OTHERS,
    "Geranospiza caerulescens": "Accipitridae",
}


@pytest.mark.parametrize(
    ("old", "now"),
    [
        (["Picoides pubescens"], ["Dryobates pubescens"]),  # the only one of its family
        (["Picoides strepera"], [None]),  # of another family
        (["Anas americana"], [None]),  # there are two
        (["Anas americana", "Anas strepera"], ["Mareca americana", "Mareca strepera"]),  # they went together
        (["Chen rossii"], [None]),  # a genus of which nothing is known: it may be a beetle
        (["Chen rossii", "Chen caerulescens"], ["Anser rossii", "Anser caerulescens"]),  # two beetles would be a chance
        (["Anas falcata"], [None]),  # lumped, or no bird
    ],
)
def test_an_old_name_is_found_where_there_is_no_choice(old: list[str], now: list[str | None]) -> None:
    """A wrong name is worse than an old one."""
    found = current_names(old, TODAY)
    assert [found.get(name) for name in old] == now


def test_a_species_that_the_model_has_already_is_no_other_class() -> None:
    """A model with redheads as `Aythya americana` means another bird by `Anas americana`."""
    assert current_names(["Anas americana"], TODAY, {"Aythya americana"}) == {"Anas americana": "Mareca americana"}
    assert current_names(["Picoides pubescens"], TODAY, {"Dryobates pubescens"}) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Accipiter badius", "Tachyspiza badia"),
        ("Phalacrocorax auritus", "Nannopterum auritum"),
        ("Pica nuttalli", "Pica nuttallii"),
        ("Ardea alba", "Casmerodius albus"),
    ],
)
def test_the_ending_agrees_with_the_genus(one: str, other: str) -> None:
    """Latin adjectives; `alba` is too short to tell, and is no loss."""
    assert (epithet_stem(one) == epithet_stem(other)) is (one != "Ardea alba")
