"""Tell birds apart that share one region, and see which regions are parts of one bird.

Where two birds become one region, each is found in it by its size, by the order in which they sat and by its own
appearance, so that they are told apart again afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from birdwatchd.camera.boxes import grown, kept_inside, rest_of, share_in, touch
from birdwatchd.camera.track import Patch, Track
from birdwatchd.camera.tracker_settings import TrackerSettings
from birdwatchd.records import Box, Region

__all__ = ["Eyes", "find_hidden", "give_pieces", "is_guest", "sight_together", "split_crowded"]

WELL_KNOWN = 12  # sightings before a bird's appearance is trusted to tell it from another
ROOM = 1.25  # of the larger bird: a region that long shows two


class Eyes(Protocol):
    """What the tracker needs to see of the present look (`birdwatchd.camera.gate`)."""

    def cut(self, box: Box) -> Patch:
        """The grid's cells in `box`, a copy."""

    def locate(self, patch: Patch, around: Box) -> tuple[Box, float]:
        """Where in `around` the look resembles `patch` most, and how much (correlation, -1 … 1)."""

    def resembles_background(self, patch: Patch, box: Box) -> float:
        """How much the empty background around `box` resembles `patch` (correlation, -1 … 1)."""


def split_crowded(
    tracks: Sequence[Track], regions: Sequence[Region], at: float, eyes: Eyes, s: TrackerSettings
) -> list[Region]:
    """Cut a region in two where a bird is found unchanged in a part of it: another one has come to it."""
    result = list(regions)
    for bird in tracks:
        if not bird.believed or bird.patch is None or at - bird.seen_alone_at > s.gone_s:
            continue
        for index, region in enumerate(result):
            if region.box.area < s.crowded * bird.size[0] * bird.size[1]:
                continue
            others = any(other is not bird and is_guest(other, region, at, s, calm=True) for other in tracks)
            if share_in(bird.box, region.box) < 0.6 or others:
                continue
            place, likeness = eyes.locate(bird.patch, region.box)
            rest = rest_of(region.box, place)
            if likeness > s.same_look and min(rest.w / bird.size[0], rest.h / bird.size[1]) > 0.4:
                result[index] = replace(region, box=place, tone=())
                result.append(replace(region, box=rest, tone=()))
                break
    return result


def is_guest(track: Track, region: Region, at: float, s: TrackerSettings, *, calm: bool) -> bool:
    """Whether a track that has no region of its own is in this one.

    Args:
        calm: the weather is good: also a track that is not believed yet may be one.
    """
    known = track.believed or (calm and track.hits >= s.guest_hits)
    return known and max(share_in(track.box, region.box), share_in(track.predicted(at), region.box)) > 0.3


def sight_together(birds: Sequence[Track], region: Region, at: float, eyes: Eyes | None, s: TrackerSettings) -> None:
    """Several birds in one region: side by side where there is room, else all where they were going."""
    roomy = _side_by_side(birds, region.box, at)
    if roomy is not None and len(birds) == 2 and eyes is not None:
        roomy = _by_appearance(birds, region.box, roomy, eyes)
    nowhere: list[Box | None] = [None] * len(birds)
    for bird, place in zip(birds, roomy or nowhere, strict=True):
        here = place or _found_again(bird, region.box, at, eyes, s)
        if here is not None:
            bird.apart_at = at
        elif at - bird.apart_at < s.hidden_s or bird is birds[0]:
            here = kept_inside(bird.predicted(at), region.box)
        if here is not None:
            bird.sight(replace(region, box=here), at, alone=False)
            bird.stirred += region.activity >= s.stir


def give_pieces(
    tracks: Sequence[Track], regions: Sequence[Region], loose: Sequence[int], at: float, s: TrackerSettings
) -> list[int]:
    """Give what no track owns to the bird it is a piece of (a wing, the tip of a tail); returns what is left."""
    rest = []
    for index in loose:
        region = regions[index]
        for bird in tracks:
            if bird.last_at != at or not (bird.believed or bird.hits > s.guest_hits):
                continue
            share = region.box.area / max(bird.box.area, bird.size[0] * bird.size[1], 1e-9)
            near = touch(bird.box, region.box, 0.7 if share < s.speck_share else 0.25)
            if share < s.piece_share and near:
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
        if not bird.believed or bird.last_at == at or bird.patch is None:
            continue
        place, likeness = eyes.locate(bird.patch, grown(bird.box, 0.2))
        empty = eyes.resembles_background(bird.patch, bird.box)
        if likeness > s.same_look and likeness > empty + 0.15:
            bird.sight(replace(bird.region, box=place, ghost=False), at, alone=False)


def _found_again(bird: Track, whole: Box, at: float, eyes: Eyes | None, s: TrackerSettings) -> Box | None:
    """Where in a crowded region a bird looks like itself."""
    if eyes is None or bird.patch is None:
        return None
    place, likeness = eyes.locate(bird.patch, whole.union(kept_inside(bird.predicted(at), whole)))
    return place if likeness > s.found else None


def _side_by_side(birds: Sequence[Track], whole: Box, at: float) -> list[Box] | None:
    """Lay birds of known size into the region they share, in the order they were in; None without room for two.

    The first one reaches to the region's one end and the last one to the other; who sits between keeps its place.
    """
    lying = whole.w * sum(b.size[1] for b in birds) >= whole.h * sum(b.size[0] for b in birds)
    axis = 0 if lying else 1
    begin, length = (whole.x, whole.w) if lying else (whole.y, whole.h)
    if length < ROOM * max(bird.size[axis] for bird in birds):
        return None
    order = sorted(birds, key=lambda bird: _on_its_way(bird, at)[axis])
    places = {}
    for rank, bird in enumerate(order):
        w, h = min(bird.size[0], whole.w), min(bird.size[1], whole.h)
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
