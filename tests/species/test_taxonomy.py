"""Names: however a model spells a bird, it is the same bird."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.records import Label
from birdwatchd.species.taxonomy import Taxonomy, bundled_taxonomy, name_key, names_of, species_keys


@pytest.mark.parametrize(
    "spelling",
    ["House sparrow", "house_sparrow", "HOUSE-SPARROW", " house  sparrow ", "Passer domesticus", "passer_domesticus"],
)
def test_every_spelling_is_the_same_bird(spelling: str) -> None:
    """Two models of the same garden must write the same name into the database."""
    assert bundled_taxonomy().label(spelling) == Label(
        "House sparrow", "Passer domesticus", "Passeridae", "Passeriformes"
    )


def test_apostrophes_and_hyphens_do_not_part_names() -> None:
    """The table says `Humes short-toed lark`; people and other lists write Hume's."""
    label = bundled_taxonomy().label("Hume's short toed lark")
    assert label.common_name == "Humes short-toed lark"
    assert label == bundled_taxonomy().label("Hume\N{RIGHT SINGLE QUOTATION MARK}s Short-toed Lark")


def test_a_bird_that_the_table_lacks_keeps_its_name() -> None:
    """Any birder model works, also one that knows squirrels."""
    for name in ("Neighbour's cockatiel_", "Sciurus carolinensis", "Cardinalis cardinalis male", "Common teal-like"):
        assert bundled_taxonomy().label(name) == Label(name)


@pytest.mark.parametrize("spelling", ["Northern cardinal", "northern_cardinal", "Cardinalis cardinalis"])
def test_birds_of_the_whole_world_have_names(spelling: str) -> None:
    """A model of another continent, or one with scientific names, is shown and grouped as the default one is."""
    assert bundled_taxonomy().label(spelling) == Label(
        "Northern Cardinal", "Cardinalis cardinalis", "Cardinalidae", "Passeriformes"
    )


@pytest.mark.parametrize(
    ("of_the_world", "name", "scientific"),
    [
        ("Rock Dove", "Rock pigeon", "Columba livia"),
        ("Anarhynchus alexandrinus", "Kentish plover", "Charadrius alexandrinus"),
        ("Ardea ibis", "Cattle egret", "Bubulcus ibis"),
        ("Eurasian Goshawk", "Northern goshawk", "Accipiter gentilis"),
    ],
)
def test_the_birds_of_the_default_model_keep_their_names(of_the_world: str, name: str, scientific: str) -> None:
    """Ten years of visits are stored under them; the other table's names are understood, in rules and lists too."""
    label = bundled_taxonomy().label(of_the_world)
    assert (label.common_name, label.scientific_name) == (name, scientific)
    assert name_key(of_the_world) in names_of(label)
    assert sum(label.scientific_name == scientific for label in bundled_taxonomy().all) == (1 + (name == "Rock pigeon"))


def test_namesakes_stay_two_birds() -> None:
    """Cory's shearwater was split, and the default model means the other half; an epithet is not a bird."""
    table = bundled_taxonomy()
    assert table.label("Cory's Shearwater").scientific_name == "Calonectris diomedea"
    assert table.label("Calonectris borealis").scientific_name == "Calonectris borealis"
    assert table.label("Porphyrio madagascariensis").common_name == "African swamphen"
    assert table.label("Rallus madagascariensis").common_name == "Madagascar Rail"


@pytest.mark.parametrize(
    ("given", "name", "scientific"),
    [
        ("Junco hyemalis oreganus", "Dark-eyed Junco", "Junco hyemalis"),
        ("hirundo_rustica_erythrogaster", "Barn swallow", "Hirundo rustica"),
        ("Circus cyaneus hudsonius", "Northern Harrier", "Circus hudsonius"),  # since raised to a species
        ("Picoides pubescens", "Downy Woodpecker", "Dryobates pubescens"),  # since moved
        ("Pica nuttalli", "Yellow-billed Magpie", "Pica nuttallii"),  # spelt otherwise
        ("Larus thayeri", "Larus thayeri", "Larus thayeri"),  # since lumped
        (
            "Anas superciliosa \\xd7 platyrhynchos",
            "Anas superciliosa × platyrhynchos",
            "Anas superciliosa × platyrhynchos",
        ),
    ],
)
def test_subspecies_and_old_names(given: str, name: str, scientific: str) -> None:
    """What is confirmed has a scientific name, a genus and a family; the model's own name stays one of its names."""
    label = bundled_taxonomy().label(given)
    assert (label.common_name, label.scientific_name, label.genus) == (
        name,
        scientific,
        scientific.split(maxsplit=1)[0],
    )
    assert label.family
    assert label.order
    assert name_key(given) in names_of(label)


def test_what_no_table_has_is_scientific_where_the_model_is() -> None:
    """A genus that is no more says nothing alone; among scientific names it is one, among English ones it is a name."""
    of_a_scientific, _ = bundled_taxonomy().labels(["Psilorhinus morio", "Cyanocorax yncas"])
    of_an_english, _ = bundled_taxonomy().labels(["Psilorhinus morio", "Green jay"])
    assert of_a_scientific == Label("Psilorhinus morio", "Psilorhinus morio")
    assert of_an_english == Label("Psilorhinus morio")


def test_find_knows_species_and_nothing_else() -> None:
    """A review with a slip of the pen must not make a new species."""
    find = bundled_taxonomy().find
    assert [bool(find(name)) for name in ("Downy woodpecker", "Picoides pubescens", "Great tit")] == [True] * 3
    assert [find(name) for name in ("Parus majr", "Paridae", "Unknown", "Neighbour's cockatiel")] == [None] * 4


@pytest.mark.parametrize("name", ["Unknown", "unknown", "background", "Not_a_bird", "OTHER", "no-bird"])
def test_what_is_no_bird_is_no_species(name: str) -> None:
    """Otherwise `Unknown` becomes the station's most frequent species."""
    assert bundled_taxonomy().label(name) == Label(name, is_species=False)


def test_the_table_is_complete_and_unambiguous() -> None:
    """A row without family, or two birds under one key, would misname birds without any error."""
    table = bundled_taxonomy().all
    assert len(table) == 11136
    assert all(label.is_species and label.scientific_name and label.family and label.order for label in table)
    shared = [
        key for key, count in Counter(key for label in table for key in set(species_keys(label))).items() if count > 1
    ]
    assert sorted(shared) == ["columba livia", "corys shearwater", "rock dove"]
    own = table[:551]
    assert [bundled_taxonomy().label(label.common_name) for label in own] == list(own)


def test_both_names_of_every_bird_find_it() -> None:
    """But for the feral pigeon, which shares its scientific name, and for a shearwater that shares its English one."""
    table = bundled_taxonomy()
    lost = [label.common_name for label in table.all if not _found_by_both(table, label)]
    assert lost == ["Feral pigeon", "Cory's Shearwater"]


def test_order_is_that_of_the_classes() -> None:
    """The place of a label is the place of its logit."""
    names = ["Great tit", "Unknown", "Something else", "House sparrow"]
    common = [label.common_name for label in bundled_taxonomy().labels(names)]
    assert common == names


@given(st.text(max_size=30))
def test_keys_are_stable(name: str) -> None:
    """A key of a key is itself, or a name written to the database and read back would match nothing."""
    assert name_key(name_key(name)) == name_key(name)


def _found_by_both(table: Taxonomy, label: Label) -> bool:
    return table.label(label.common_name) == table.label(label.scientific_name or "") == label
