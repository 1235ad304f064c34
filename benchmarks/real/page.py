"""Write the page of figures: rules in sum, and clip by clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.real.clips import Clip
from benchmarks.real.score import OURS, coarser, said_by, score, total
from benchmarks.real.visits import Model, Seen
from birdwatchd.species.taxonomy import bundled_taxonomy

__all__ = ["page"]

_INTRO = """# Rules of naming on real footage

Written by

```sh
python -m benchmarks.real CLIPS.csv FOLDER --model FILE --markdown docs/measurements/real-footage.md
```

Which rule should make one name of all that a network says while a bird is there? Programs for feeders differ, and none
has published figures. Here they are compared on the same footage, the same visits, the same pictures of each and the
same network: what birdwatchd found and chose in each clip (`birdwatchd scan` with default settings) is given to every
rule. So this compares rules, not programs: the others find birds in their own ways, and their networks may be others.
Probabilities of subspecies are added for all of them. Where a program leaves the threshold to its user, it is
birdwatchd's default, 0.7; the two means are also shown from 0.3 on, to tell the rule from its threshold. Code:
`benchmarks/real/rules.py`.

The clips are other people's, in public repositories; none is part of this project, and no picture of them is shown.
Which species may be named in each is one person's opinion. A visit of which nothing is a bird counts as `wrong` when it
is named, also in a clip with birds. What each mechanism of naming is worth, and how the same clips fare when a camera
sends them live, stands at the end.
"""


def page(clips: Sequence[Clip], visits: Sequence[Seen], model: Model) -> str:
    """The whole page, Markdown."""
    by_clip = {clip.name: [number for number, visit in enumerate(visits) if visit.path == clip.path] for clip in clips}
    said = said_by(visits, model)
    birds = [clip for clip in clips if clip.has_bird]
    empty = [clip for clip in clips if not clip.has_bird]
    parts = [
        _INTRO,
        _what(birds, empty, visits, by_clip, model),
        _in_sum(birds, empty, said, by_clip),
        _coarse(birds, empty, visits, by_clip),
        _clip_by_clip(birds, said, by_clip),
        _without_birds(empty, said, by_clip),
    ]
    return "\n".join(parts)


def _what(
    birds: Sequence[Clip],
    empty: Sequence[Clip],
    visits: Sequence[Seen],
    by_clip: Mapping[str, Sequence[int]],
    model: Model,
) -> str:
    known = {label.scientific_name for label in model.labels}
    unknown = [clip for clip in birds if not clip.species & known]
    missed = [clip for clip in birds if not by_clip[clip.name]]
    moments = [len(visit.moments.at_s) if visit.moments else 0 for visit in visits]
    species = sum(label.is_species for label in model.labels)
    network = f"`{model.file.stem}` (sha256 {model.sha256[:12]}…), {len(model.by_species.index)} classes"
    footage = f"{len(visits)} visits, {sum(moments)} pictures, {_median(moments)} in the median visit"
    return f"""Network: {network}, {species} species. Clips: {len(birds)} with birds, {len(empty)} without.
{len(unknown)} of those with birds show no species that the network knows; in {len(missed)} no visit was found.
In all clips: {footage}.
"""


def _median(counts: Sequence[int]) -> int:
    return sorted(counts)[len(counts) // 2] if counts else 0


def _in_sum(
    birds: Sequence[Clip],
    empty: Sequence[Clip],
    said: Mapping[str, Sequence[str | None]],
    by_clip: Mapping[str, Sequence[int]],
) -> str:
    lines = [
        "## In sum",
        "",
        f"| rule | visits in clips with birds: right | wrong | nothing | clips with a right name, of {len(birds)}"
        f" | with a wrong one | clips without birds: visits named | clips with a name, of {len(empty)} |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for rule, names in said.items():
        with_bird = total([score(clip, [names[n] for n in by_clip[clip.name]]) for clip in birds])
        without = total([score(clip, [names[n] for n in by_clip[clip.name]]) for clip in empty])
        figures = (with_bird.right, with_bird.wrong, with_bird.nothing, with_bird.right_clips, with_bird.wrong_clips)
        cells = " | ".join(map(str, (*figures, without.wrong, without.wrong_clips)))
        lines.append(f"| {rule} | {cells} |")
    return "\n".join(lines) + "\n"


def _coarse(
    birds: Sequence[Clip], empty: Sequence[Clip], visits: Sequence[Seen], by_clip: Mapping[str, Sequence[int]]
) -> str:
    table = bundled_taxonomy()
    families = {name: table.label(name).family for clip in birds for name in clip.species}
    figures = [coarser(clip, [visits[n] for n in by_clip[clip.name]], families) for clip in (*birds, *empty)]
    right, wrong = sum(one for one, _ in figures), sum(other for _, other in figures)
    states = Counter(visit.verdict.state.value for visit in visits)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    return f"""birdwatchd's visits in all clips: {counted}.
Of the confirmed ones {right} are named by the right genus or family only, {wrong} by a wrong one.
They count as `nothing` above.
"""


def _clip_by_clip(
    birds: Sequence[Clip], said: Mapping[str, Sequence[str | None]], by_clip: Mapping[str, Sequence[int]]
) -> str:
    rules = list(said)
    lines = ["## Clips with birds", "", "Visits: right / wrong / nothing.", ""]
    lines += [f"{number}. {rule}" for number, rule in enumerate(rules, 1)]
    heads = [OURS if rule == OURS else str(number) for number, rule in enumerate(rules, 1)]
    lines += ["", f"| clip | {' | '.join(heads)} |", f"|---|{'---|' * len(rules)}"]
    for clip in birds:
        scores = [score(clip, [said[rule][n] for n in by_clip[clip.name]]) for rule in rules]
        cells = " | ".join(f"{one.right} / {one.wrong} / {one.nothing}" for one in scores)
        lines.append(f"| {clip.name} | {cells} |")
    return "\n".join(lines) + "\n"


def _without_birds(
    empty: Sequence[Clip], said: Mapping[str, Sequence[str | None]], by_clip: Mapping[str, Sequence[int]]
) -> str:
    lines = ["## Clips without birds", ""]
    for clip in empty:
        mine = by_clip[clip.name]
        named = [
            f"{rule}: {', '.join(sorted(filter(None, (names[n] for n in mine))))}"
            for rule, names in said.items()
            if any(names[n] for n in mine)
        ]
        visits = "1 visit" if len(mine) == 1 else f"{len(mine)} visits"
        lines.append(f"- {clip.name}: {visits}; {'; '.join(named) or 'nothing is named by any rule'}")
    return "\n".join(lines) + "\n"
