"""Find today's scientific name of a species that was moved to another genus, from the tables alone.

Trained models keep the names of their year: `Picoides pubescens` is `Dryobates pubescens` today. The second word, the
epithet, survives such a move, but for the ending that agrees with the genus. So an old name is a species of the
same family that has the same epithet, if there is just one. Where there are several, species that were in one genus
mostly went to another together: `Anas americana` is `Mareca americana`, not `Aythya americana`, because `Anas strepera`
and `Anas penelope` went to `Mareca`. Where that does not decide either, nothing is claimed. Lumped species (`Larus
thayeri`) have no name of their own any more and are not found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

__all__ = ["current_names", "epithet_stem"]

_ENDINGS = ("us", "a", "um", "is", "e", "er")  # which agree with the genus
MIN_STEM = 4  # letters, so that `alba` does not become `alb`


def epithet_stem(scientific_name: str) -> str:
    """The second word of a scientific name without its ending; `-ii` and `-i` are one name (ICZN, Article 33.4)."""
    epithet = scientific_name.split()[1].casefold()
    if epithet.endswith("ii"):
        return epithet[:-1]
    ending = next((end for end in _ENDINGS if epithet.endswith(end) and len(epithet) - len(end) >= MIN_STEM), "")
    return epithet.removesuffix(ending)


def current_names(
    old_names: Collection[str], families: Mapping[str, str | None], taken: Collection[str] = ()
) -> dict[str, str]:
    """Today's names of those of some old names for which the tables have just one.

    Args:
        old_names: scientific names, two words each, that are no species' name today.
        families: family by scientific name, of all species of today.
        taken: species that another class of the model is by today's name; no old name is one of them.
    """
    genera: dict[str, set[str | None]] = {}
    for name, family in families.items():
        genera.setdefault(_genus(name), set()).add(family)
    stems = _by_stem({epithet_stem(name) for name in old_names}, families, frozenset(taken))
    found = {}
    for name in old_names:
        known = genera.get(_genus(name))
        found[name] = [now for now in stems[epithet_stem(name)] if known is None or families[now] in known]
    chosen = {name: _chosen(name, found, certain=_genus(name) in genera) for name in old_names}
    return {name: now for name, now in chosen.items() if now is not None}


def _by_stem(stems: Iterable[str], names: Iterable[str], taken: Collection[str]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {stem: [] for stem in stems}
    for name in names:
        stem = epithet_stem(name)
        if stem in result and name not in taken:
            result[stem].append(name)
    return result


def _chosen(name: str, found: Mapping[str, list[str]], *, certain: bool) -> str | None:
    """The one species that an old name can be; several, or one of a genus without family, need its old companions."""
    mine = found[name]
    if certain and len(mine) == 1:
        return mine[0]
    companions = [other for other in found if other != name and _genus(other) == _genus(name)]
    went_to = {_genus(now) for other in companions for now in found[other]}
    together = [now for now in mine if _genus(now) in went_to]
    return together[0] if len(together) == 1 else None


def _genus(scientific_name: str) -> str:
    return scientific_name.split(maxsplit=1)[0]
