"""Tell birds apart that share one region, and see which regions are parts of one bird.

Where two birds become one region, each is found in it by its size, by the order in which they sat and by its own
appearance, so that they are told apart again afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from birdwatchd.camera.tracking.boxes import distance, grown, kept_inside, rest_of, share_in, touch
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.track import Patch, Track
from birdwatchd.records import Box, Region

__all__ = ["Eyes", "find_hidden", "flared_up", "flew_in", "give_pieces", "is_guest", "sight_together", "split_crowded"]

WELL_KNOWN = 12  # sightings before a bird's appearance is trusted to tell it from another
LEAST_REST = 0.4  # of the smallest bird: less beside the birds that are known is a wing or a tail
OVERLAP = 1.25  # times the length that they share: birds that are together longer have folded their wings since
ROOM = 1.25  # of the larger bird: a region that long shows two


class Eyes(Protocol):
    """What the tracker needs to see of the present look (`birdwatchd.camera.motion.detector`)."""

    def cut(self, box: Box) -> Patch:
        """The grid's cells in `box`, a copy."""

    def locate(self, patch: Patch, around: Box) -> tuple[Box, float]:
        """Where in `around` the look resembles `patch` most, and how much (correlation, -1 … 1)."""

    def resembles_background(self, patch: Patch, box: Box) -> float:
        """How much the empty background around `box` resembles `patch` (correlation, -1 … 1)."""


def split_crowded(
    tracks: Sequence[Track], regions: Sequence[Region], at: float, eyes: Eyes, s: TrackerSettings
) -> list[Region]:
    """Cut a region in two where every bird in it is found unchanged in a part of it: another one has come to them."""
    result = []
    for region in regions:
        inside = [t for t in tracks if at - t.last_at < s.flight_s and is_guest(t, region, at, s, clear=True)]
        places = [_unchanged(bird, region, eyes, s) for bird in inside if bird.confirmed]
        known = [place for place in places if place is not None]
        if not known or len(known) < len(inside):
            result.append(region)
            continue
        whole = known[0]
        for place in known[1:]:
            whole = whole.union(place)
        rest = rest_of(region.box, whole)
        size = min(bird.size[0] for bird in inside), min(bird.size[1] for bird in inside)
        if min(rest.w / size[0], rest.h / size[1]) > LEAST_REST:
            result += [replace(region, box=whole, tone=()), replace(region, box=rest, tone=())]
        else:
            result.append(region)
    return result


def _unchanged(bird: Track, region: Region, eyes: Eyes, s: TrackerSettings) -> Box | None:
    """Where in a region that is more than a bird it sits as it sat in the look before; None if it moved."""
    if bird.seat is None or not bird.at_rest or region.box.area < s.merged_factor * bird.size[0] * bird.size[1]:
        return None
    place, likeness = eyes.locate(bird.seat, grown(bird.box, 0.2))
    return place if likeness > s.same_correlation else None


def is_guest(track: Track, region: Region, at: float, s: TrackerSettings, *, clear: bool) -> bool:
    """Whether a track that has no region of its own is in this one.

    Args:
        clear: there is little clutter, so a tentative track may be one as well.
    """
    known = track.confirmed or (clear and track.hits >= s.merge_hits and not flared_up(track, region, s))
    inside = max(share_in(track.box, region.box), share_in(track.predicted(at), region.box))
    return known and at - track.last_at < s.flight_s and inside > 0.3


def flew_in(
    tracks: Sequence[Track], birds: Sequence[Track], region: Region, at: float, s: TrackerSettings
) -> list[Track]:
    """Which of the tracks without a region landed beside the birds in this one: seen too seldom to tell where it flew.

    The region must have more room than those birds take, and what was seen must be no less plain than a bird.
    """
    if region.box.area < s.merged_factor * sum(bird.size[0] * bird.size[1] for bird in birds):
        return []
    least = s.fragment_share * min(bird.size[0] * bird.size[1] for bird in birds)
    return [
        track
        for track in tracks
        if not track.confirmed
        and at - track.last_at < s.take_off_s
        and track.newness > s.high_change
        and track.size[0] * track.size[1] > least
        and distance(track.predicted(at).centre, region.box)
        < (s.first_reach if track.hits == 1 else s.reach) * max(track.size)
    ]


def flared_up(track: Track, region: Region, s: TrackerSettings) -> bool:
    """Whether a region is far too plain to be, or to hold, what was faint for several looks."""
    return (
        not track.confirmed
        and track.hits >= s.contrast_jump_hits
        and region.contrast > s.contrast_jump * track.region.contrast
    )


def sight_together(birds: Sequence[Track], region: Region, at: float, eyes: Eyes | None, s: TrackerSettings) -> None:
    """Several birds in one region: who did not move stays, the others lie where there is room or were going there."""
    places = _kept_seats(birds, region.box, at, eyes, s)
    moved = [bird for bird in birds if bird.number not in places]
    beside: dict[int, Box] = {}
    if not places:
        roomy = _side_by_side(birds, region.box, at)
        if roomy is not None and len(birds) == 2 and eyes is not None:
            roomy = _by_appearance(birds, region.box, roomy, eyes)
        places = {bird.number: place for bird, place in zip(birds, roomy or (), strict=False)}
    elif len(moved) == 1:
        beside = _beside(moved[0], list(places.values()), region.box, s)
        places |= beside
    for bird in birds:
        here = places.get(bird.number) or _found_again(bird, region.box, at, eyes, s)
        if here is not None:
            bird.apart_at = at
        elif at - bird.apart_at < s.occluded_s or bird is birds[0]:
            here = kept_inside(bird.predicted(at), region.box)
        if here is not None:
            bird.remember()
            bird.partners |= {other.number for other in birds if other is not bird}
            bird.sight(replace(region, box=here, tone=()), at, alone=False, placed=bird.number in beside)
            bird.stirred += region.activity >= s.motion_share
            bird.seat = eyes.cut(here) if eyes is not None else None


def _kept_seats(birds: Sequence[Track], whole: Box, at: float, eyes: Eyes | None, s: TrackerSettings) -> dict[int, Box]:
    """The places, by the number of the bird, of those that look as they looked before, or rest while others fly."""
    places = {}
    for bird in birds:
        if eyes is None or bird.seat is None or share_in(bird.box, whole) < 0.6 or at - bird.still_at < s.dropout_s:
            continue
        place, likeness = eyes.locate(bird.seat, grown(bird.box, 0.2))
        if likeness > s.same_correlation:
            places[bird.number] = bird.box if bird.box.iou(place) > 0.7 else place
    resting = [bird for bird in birds if bird.at_rest and at - bird.last_at < s.flight_s]
    if not places and len(resting) < len(birds):  # somebody flies in, or off, while all others stir in their places
        places = {bird.number: kept_inside(bird.box, whole) for bird in resting}
    return places


def _beside(bird: Track, taken: Sequence[Box], whole: Box, s: TrackerSettings) -> dict[int, Box]:
    """Where in a region a bird lies when others keep their seats, if there is room: at the far end of it."""
    seats = taken[0]
    for seat in taken[1:]:
        seats = seats.union(seat)
    rest = rest_of(whole, seats)
    if min(rest.w / bird.size[0], rest.h / bird.size[1]) < LEAST_REST:
        return {}
    if bird.appearance.count < s.tone_looks:  # it was never seen at rest: its size is that of spread wings
        return {bird.number: rest}
    (x, y), (sx, sy) = rest.centre, seats.centre
    w, h = min(bird.size[0], whole.w), min(bird.size[1], whole.h)
    left = whole.x if x < sx else whole.x + whole.w - w
    top = whole.y if y < sy else whole.y + whole.h - h
    if rest.w < whole.w:  # beside them
        return {bird.number: kept_inside(Box(left, bird.box.y, w, h), whole)}
    return {bird.number: kept_inside(Box(bird.box.x, top, w, h), whole)}


def give_pieces(
    tracks: Sequence[Track], regions: Sequence[Region], loose: Sequence[int], at: float, s: TrackerSettings
) -> list[int]:
    """Give what no track owns to the bird it is a piece of (a wing, the tip of a tail); returns what is left."""
    rest = []
    for index in loose:
        region = regions[index]
        for bird in tracks:
            if bird.last_at != at or not (bird.confirmed or bird.hits > s.fragment_hits):
                continue
            share = region.box.area / max(bird.box.area, bird.size[0] * bird.size[1], 1e-9)
            near = touch(bird.box, region.box, 0.7 if share < s.speck_share else 0.25)
            if share < s.fragment_share and near:
                joint = bird.box.union(region.box)
                if joint.area < 1.6 * max(bird.box.area, bird.size[0] * bird.size[1]):
                    bird.region = replace(bird.region, box=joint)
                break
        else:
            rest.append(index)
    return rest


def find_hidden(tracks: Sequence[Track], at: float, eyes: Eyes, s: TrackerSettings) -> None:
    """Hold birds that no region shows, as long as they are still to be seen where they sat."""
    for bird in tracks:
        if not bird.confirmed or bird.last_at == at or bird.patch is None or not bird.at_rest:
            continue
        place, likeness = eyes.locate(bird.patch, grown(bird.box, 0.2))
        empty = eyes.resembles_background(bird.patch, grown(bird.box, 0.2))
        if likeness > s.same_correlation and likeness > empty + 0.15:
            bird.sight(replace(bird.region, box=place, ghost=False), at, alone=False)


def _found_again(bird: Track, whole: Box, at: float, eyes: Eyes | None, s: TrackerSettings) -> Box | None:
    """Where in a crowded region a bird looks like itself."""
    if eyes is None or bird.patch is None:
        return None
    place, likeness = eyes.locate(bird.patch, whole.union(kept_inside(bird.predicted(at), whole)))
    return place if likeness > s.found_correlation else None


def _side_by_side(birds: Sequence[Track], whole: Box, at: float) -> list[Box] | None:
    """Lay birds of known size into the region they share, in the order they were in; None without room for two.

    The first one reaches to the region's one end and the last one to the other; who sits between keeps its place.
    """
    lying = whole.w * sum(b.size[1] for b in birds) >= whole.h * sum(b.size[0] for b in birds)
    axis = 0 if lying else 1
    begin, length = (whole.x, whole.w) if lying else (whole.y, whole.h)
    if length < ROOM * max(bird.size[axis] for bird in birds):
        return None
    scale = min(1.0, OVERLAP * length / sum(bird.size[axis] for bird in birds))
    order = sorted(birds, key=lambda bird: _on_its_way(bird, at)[axis])
    places = {}
    for rank, bird in enumerate(order):
        w = min(bird.size[0] * (scale if lying else 1.0), whole.w)
        h = min(bird.size[1] * (1.0 if lying else scale), whole.h)
        size = w if lying else h
        part = rank / (len(order) - 1)
        start = begin + part * (length - size)
        place = Box(start, bird.box.y, w, h) if lying else Box(bird.box.x, start, w, h)
        places[bird.number] = kept_inside(place, whole)
    return [places[bird.number] for bird in birds]


def _on_its_way(bird: Track, at: float) -> tuple[float, float]:
    """Where a bird should be that went on as it was last seen alone; where it is if that is long ago."""
    since = at - bird.seen_alone_at
    if since > 0.6:
        return bird.box.centre
    return bird.alone_centre[0] + bird.velocity[0] * since, bird.alone_centre[1] + bird.velocity[1] * since


def _by_appearance(birds: Sequence[Track], whole: Box, places: list[Box], eyes: Eyes) -> list[Box]:
    """Exchange two birds' places where they look much more like it: they crossed while they were one region."""
    first, second = birds
    if first.patch is None or second.patch is None or min(first.hits, second.hits) < WELL_KNOWN:
        return places
    exchanged = [kept_inside(Box(p.x, p.y, *b.size), whole) for p, b in zip(reversed(places), birds, strict=True)]

    def likeness(where: Sequence[Box]) -> float:
        return sum(eyes.locate(b.patch, place)[1] for b, place in zip(birds, where, strict=True) if b.patch is not None)

    return exchanged if likeness(exchanged) > likeness(places) + 0.3 else places
