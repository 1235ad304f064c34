"""Compare what a method said with the truth of a clip. Pure functions of records; nothing here reads video.

A predicted visit belongs to the true bird that most of its looks show; one of which less than a third of the looks
show any bird is false. A method that gives intervals without boxes is matched by overlap in time alone.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.detection.truth import Sighting, TrueVisit, Truth
from birdwatchd.records import Box

__all__ = ["Look", "PredictedVisit", "Score", "Seen", "Shot", "bird_in", "score", "total"]

MATCH_IOU = 0.1
TRUE_SHARE = 1 / 3  # of a visit's looks must show a bird
SWAP_LOOKS = 3  # so many looks at another bird, one after another, are a change of identity
STILL_SHARE = 0.5  # while so much of its bird is in the box, a visit has not gone over to another: the box holds both

Look = tuple[float, Sequence[tuple[str, Box]]]
"""Seconds, and visit id and box of everything that was seen then."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that the method chose to keep: when, what of the frame it took for the bird, and how it rated it."""

    time_s: float
    box: Box
    quality: float


@dataclass(frozen=True, slots=True)
class PredictedVisit:
    """A visit as a method reports it."""

    visit_id: str
    start_s: float
    end_s: float
    count_max: int = 1
    shots: tuple[Shot, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a method said of one clip. `looks` is None for methods that give intervals without boxes."""

    visits: tuple[PredictedVisit, ...]
    looks: tuple[Look, ...] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What came out, as counts and lists that can be added up over cases.

    Attributes:
        hours: length of the clips.
        required, recalled: true visits that had to be found, and those of them that were.
        false_visits: predicted visits that show no bird.
        fragments: predicted visits of every true visit that was found.
        swaps: changes from one bird to another within a predicted visit.
        count_errors: predicted less true number of birds at once, of every required visit found.
        delays_s: from the true beginning of a found visit to the earliest predicted one.
        shot_ious: of every chosen picture of a visit that is not false, with the bird it belongs to (0: not in it).
        best_ranks: of every found visit, the share of its frames that give no better picture than the one chosen best.
        false_s: seconds of video in which any false visit is open.
        missed: numbers of the birds that were not found.
        false_at_s: beginnings of the false visits.
    """

    hours: float = 0.0
    required: int = 0
    recalled: int = 0
    false_visits: int = 0
    fragments: tuple[int, ...] = ()
    swaps: int = 0
    count_errors: tuple[int, ...] = ()
    delays_s: tuple[float, ...] = ()
    shot_ious: tuple[float, ...] = ()
    best_ranks: tuple[float, ...] = ()
    false_s: float = 0.0
    missed: tuple[int, ...] = ()
    false_at_s: tuple[float, ...] = ()

    @property
    def recall(self) -> float | None:
        """Share of the required visits that was found."""
        return self.recalled / self.required if self.required else None

    @property
    def false_per_hour(self) -> float:
        """False visits per hour of video."""
        return self.false_visits / self.hours if self.hours else 0.0

    @property
    def false_share(self) -> float:
        """Share of the time in which something false is reported; one event that never ends is not better than many."""
        return self.false_s / (self.hours * 3600) if self.hours else 0.0

    @property
    def mean_fragments(self) -> float | None:
        """Predicted visits per found one; 1 is right."""
        return statistics.fmean(self.fragments) if self.fragments else None

    @property
    def count_exact(self) -> float | None:
        """Share of the found visits whose number of birds is right."""
        return statistics.fmean(e == 0 for e in self.count_errors) if self.count_errors else None

    @property
    def count_off(self) -> float | None:
        """Mean absolute error of the number of birds."""
        return statistics.fmean(abs(e) for e in self.count_errors) if self.count_errors else None

    @property
    def median_delay_s(self) -> float | None:
        """Median delay of the beginning."""
        return statistics.median(self.delays_s) if self.delays_s else None

    @property
    def median_iou(self) -> float | None:
        """Median overlap of the chosen pictures' boxes with the true ones."""
        return statistics.median(self.shot_ious) if self.shot_ious else None

    @property
    def median_rank(self) -> float | None:
        """Median rank of the best chosen picture among the visit's frames; 1 is the best there was."""
        return statistics.median(self.best_ranks) if self.best_ranks else None


@dataclass(slots=True)
class _Belonging:
    """Which bird every predicted visit shows; visits in `false` show none."""

    bird_of: dict[str, int] = field(default_factory=dict)
    false: list[PredictedVisit] = field(default_factory=list)
    swaps: int = 0


def bird_in(box: Box, sightings: Sequence[Sighting]) -> Sighting | None:
    """The bird that a box shows: the one that it overlaps best, else the smallest that holds its centre."""
    best = max(sightings, key=lambda s: s.box.iou(box), default=None)
    if best is not None and best.box.iou(box) >= MATCH_IOU:
        return best
    x, y = box.centre
    holding = [s for s in sightings if s.box.x <= x <= s.box.x + s.box.w and s.box.y <= y <= s.box.y + s.box.h]
    return min(holding, key=lambda s: s.box.area, default=None)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a box of a visit shows: the bird, and how much of each bird there is in the box."""

    bird: int
    covered: Mapping[int, float]


def score(seen: Seen, truth: Truth) -> Score:
    """Score what a method said of a clip."""
    visits = truth.visits()
    if seen.looks is None:
        return _score_intervals(seen, truth, visits)
    frames = truth.by_frame()
    belonging = _belonging(seen, seen.looks, truth, frames)
    owned: dict[int, list[PredictedVisit]] = {}
    for visit in seen.visits:
        if visit.visit_id in belonging.bird_of:
            owned.setdefault(belonging.bird_of[visit.visit_id], []).append(visit)
    found = [(true, own) for true in visits if (own := _in_time(true, owned.get(true.bird, [])))]
    required = [(true, own) for true, own in found if true.required]
    names = {true.bird for true, _ in found}
    birds = truth.by_bird()
    return Score(
        hours=truth.seconds / 3600,
        required=sum(v.required for v in visits),
        recalled=len(required),
        false_visits=len(belonging.false),
        fragments=tuple(len(own) for _, own in required),
        swaps=belonging.swaps,
        count_errors=tuple(max(v.count_max for v in own) - true.count_max for true, own in required),
        delays_s=tuple(min(v.start_s for v in own) - true.start_s for true, own in required),
        shot_ious=tuple(_iou(shot, true.bird, truth, frames) for true, own in found for v in own for shot in v.shots),
        best_ranks=tuple(r for true, own in found if (r := _rank(own, birds[true.bird], truth, frames)) is not None),
        false_s=_covered_s(belonging.false),
        missed=tuple(v.bird for v in visits if v.required and v.bird not in names),
        false_at_s=tuple(sorted(v.start_s for v in belonging.false)),
    )


def total(scores: Sequence[Score]) -> Score:
    """All cases as if they were one."""
    return Score(
        hours=sum(s.hours for s in scores),
        required=sum(s.required for s in scores),
        recalled=sum(s.recalled for s in scores),
        false_visits=sum(s.false_visits for s in scores),
        fragments=tuple(x for s in scores for x in s.fragments),
        swaps=sum(s.swaps for s in scores),
        count_errors=tuple(x for s in scores for x in s.count_errors),
        delays_s=tuple(x for s in scores for x in s.delays_s),
        shot_ious=tuple(x for s in scores for x in s.shot_ious),
        best_ranks=tuple(x for s in scores for x in s.best_ranks),
        false_s=sum(s.false_s for s in scores),
    )


def _belonging(seen: Seen, looks: Sequence[Look], truth: Truth, frames: Mapping[int, Sequence[Sighting]]) -> _Belonging:
    """Follow every visit through its looks."""
    shown: dict[str, list[_Shown | None]] = {}
    for time_s, boxes in looks:
        here = frames.get(round(time_s * truth.fps), ())
        for visit_id, box in boxes:
            shown.setdefault(visit_id, []).append(_shown(box, here))
    result = _Belonging()
    for visit in seen.visits:
        views = shown.get(visit.visit_id)
        if not views:  # reported without ever being present: its pictures must tell
            views = [_shown(shot.box, frames.get(round(shot.time_s * truth.fps), ())) for shot in visit.shots]
        known = [view for view in views if view is not None]
        if not known or len(known) < TRUE_SHARE * len(views):
            result.false.append(visit)
            continue
        result.bird_of[visit.visit_id] = Counter(view.bird for view in known).most_common(1)[0][0]
        result.swaps += _swaps(known)
    return result


def _shown(box: Box, here: Sequence[Sighting]) -> _Shown | None:
    bird = bird_in(box, here)
    return _Shown(bird.bird, {s.bird: _covered(s.box, box) for s in here}) if bird else None


def _covered(bird: Box, box: Box) -> float:
    """Share of a bird's box that lies in a box."""
    w = min(bird.x + bird.w, box.x + box.w) - max(bird.x, box.x)
    h = min(bird.y + bird.h, box.y + box.h) - max(bird.y, box.y)
    return w * h / bird.area if w > 0 and h > 0 else 0.0


def _swaps(views: Sequence[_Shown]) -> int:
    """How often a visit goes over from one bird to another for at least SWAP_LOOKS looks."""
    swaps, current, candidate, run = 0, None, None, 0
    for view in views:
        held = current is not None and view.covered.get(current, 0.0) >= STILL_SHARE
        bird = current if held else view.bird
        run = run + 1 if bird == candidate else 1
        candidate = bird
        if run == SWAP_LOOKS and bird != current:
            swaps += current is not None
            current = bird
    return swaps


def _in_time(true: TrueVisit, visits: Sequence[PredictedVisit]) -> list[PredictedVisit]:
    return [v for v in visits if v.start_s < true.end_s and v.end_s >= true.start_s]


def _iou(shot: Shot, bird: int, truth: Truth, frames: Mapping[int, Sequence[Sighting]]) -> float:
    """Overlap of a chosen picture's box with the bird in that very frame."""
    here = frames.get(round(shot.time_s * truth.fps), ())
    return max((s.box.iou(shot.box) for s in here if s.bird == bird), default=0.0)


def _rank(
    visits: Sequence[PredictedVisit],
    sightings: Sequence[Sighting],
    truth: Truth,
    frames: Mapping[int, Sequence[Sighting]],
) -> float | None:
    """Share of the bird's frames that are no better than the picture rated best; 0 where it does not show the bird."""
    shots = [shot for visit in visits for shot in visit.shots]
    if not shots:
        return None
    best = max(shots, key=lambda shot: shot.quality)
    chosen = bird_in(best.box, frames.get(round(best.time_s * truth.fps), ()))
    if chosen is None or chosen.bird != sightings[0].bird:
        return 0.0
    return sum(s.merit <= chosen.merit + 1e-9 for s in sightings) / len(sightings)


def _covered_s(visits: Sequence[PredictedVisit]) -> float:
    """Seconds in which at least one of the visits is open."""
    covered, until = 0.0, 0.0
    for visit in sorted(visits, key=lambda v: v.start_s):
        covered += max(0.0, visit.end_s - max(until, visit.start_s))
        until = max(until, visit.end_s)
    return covered


def _score_intervals(seen: Seen, truth: Truth, visits: Sequence[TrueVisit]) -> Score:
    """Generous: an interval belongs to every visit that it overlaps in time, and is false only if it overlaps none.

    Such programs begin an event some time before they saw anything, so nothing is said of delays.
    """
    own = {true.bird: _in_time(true, seen.visits) for true in visits}
    found = [true for true in visits if true.required and own[true.bird]]
    false = [v for v in seen.visits if not any(v in mine for mine in own.values())]
    return Score(
        hours=truth.seconds / 3600,
        required=sum(v.required for v in visits),
        recalled=len(found),
        false_visits=len(false),
        fragments=tuple(len(own[true.bird]) for true in found),
        count_errors=tuple(max(v.count_max for v in own[true.bird]) - true.count_max for true in found),
        false_s=_covered_s(false),
        missed=tuple(v.bird for v in visits if v.required and not own[v.bird]),
        false_at_s=tuple(sorted(v.start_s for v in false)),
    )
