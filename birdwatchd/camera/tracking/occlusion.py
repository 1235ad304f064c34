"""Follow birds through occlusion: regions that hold several birds (merges), and birds that show as several (fragments).

Birds at a feeder sit side by side and cross each other, and the motion gate sees one region. Each bird is located in it
by its size, by the order in which they sat and by template matching, so that its id is right when they part again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from birdwatchd.camera.tracking.boxes import distance, expanded, largest_rest, moved_inside, share_inside, touch
from birdwatchd.camera.tracking.settings import TrackerSettings
from birdwatchd.camera.tracking.state import Template
from birdwatchd.camera.tracking.track import Track
from birdwatchd.records import Box, Region

__all__ = [
    "AppearanceView",
    "absorb_fragments",
    "contrast_jumped",
    "find_occluded",
    "is_merged_into",
    "join_parts",
    "landed_beside",
    "split_merged",
    "update_merged",
]

COMPARABLE_HITS = 12  # sightings before a bird's template is trusted to tell it from another
MIN_REST = 0.4  # of the smallest bird's sides: less room beside the located birds shows a wing or a tail
OVERLAP = 1.25  # times the region's length: birds that are longer together have folded their wings since
ROOM = 1.25  # times the larger bird's length: a region that long shows two

FRAGMENT_REACH = 0.25  # of the larger of two boxes: what is farther from a bird is no fragment of it
PART_S = 0.5  # a bird that was not seen for longer has no parts
JOINT_SHARE = 1.2  # of its usual area: a bird and its parts are no larger together


class AppearanceView(Protocol):
    """The pixels that the tracker compares: the present look, and the background (see `camera.motion.detector`)."""

    def cut(self, box: Box) -> Template:
        """The grid's cells in `box` in the present look: uint8 (rows, columns), a copy."""

    def locate(self, template: Template, around: Box) -> tuple[Box, float]:
        """Where in `around` the present look is most like `template`, and their normalised correlation, -1 … 1."""

    def resembles_background(self, template: Template, box: Box) -> float:
        """The best normalised correlation, -1 … 1, of `template` with the background model around `box`."""


def split_merged(
    tracks: Sequence[Track], regions: Sequence[Region], now_s: float, view: AppearanceView, s: TrackerSettings
) -> list[Region]:
    """Split a region in two where every bird in it is located, unmoved, in one part: another bird has come to them."""
    result = []
    for region in regions:
        inside = [
            t for t in tracks if now_s - t.last_s < s.flight_s and is_merged_into(t, region, now_s, s, clear=True)
        ]
        places = [_unmoved_place(bird, region, view, s) for bird in inside if bird.confirmed]
        known = [place for place in places if place is not None]
        if not known or len(known) < len(inside):
            result.append(region)
            continue
        whole = known[0]
        for place in known[1:]:
            whole = whole.union(place)
        rest = largest_rest(region.box, whole)
        size = min(bird.motion.size[0] for bird in inside), min(bird.motion.size[1] for bird in inside)
        if min(rest.w / size[0], rest.h / size[1]) > MIN_REST:
            result += [replace(region, box=whole, tone=()), replace(region, box=rest, tone=())]
        else:
            result.append(region)
    return result


def _unmoved_place(bird: Track, region: Region, view: AppearanceView, s: TrackerSettings) -> Box | None:
    """Where in a region larger than itself a bird sits as in the look before; None if it moved."""
    if (
        bird.appearance.last_template is None
        or not bird.motion.at_rest
        or region.box.area < s.merged_factor * bird.motion.area
    ):
        return None
    place, correlation = view.locate(bird.appearance.last_template, expanded(bird.box, 0.2))
    return place if correlation > s.same_correlation else None


def is_merged_into(track: Track, region: Region, now_s: float, s: TrackerSettings, *, clear: bool) -> bool:
    """Whether a track without a region of its own is in this one.

    Args:
        clear: there is little clutter, so a tentative track may be one as well.
    """
    known = track.confirmed or (
        clear and track.sightings.hits >= s.merge_hits and not contrast_jumped(track, region, s)
    )
    motion = track.motion
    if not known or now_s - motion.last_s >= s.flight_s:
        return False
    return max(share_inside(motion.box, region.box), share_inside(motion.predicted(now_s), region.box)) > 0.3


def landed_beside(
    tracks: Sequence[Track], birds: Sequence[Track], region: Region, now_s: float, s: TrackerSettings
) -> list[Track]:
    """Which of the tracks without a region landed beside the birds in this one.

    They were seen too seldom to predict where they fly. The region must have more room than its birds take, and the
    track must differ from the background as much as a bird does.
    """
    if region.box.area < s.merged_factor * sum(bird.motion.area for bird in birds):
        return []
    least = s.fragment_share * min(bird.motion.area for bird in birds)
    return [
        track
        for track in tracks
        if not track.confirmed
        and now_s - track.last_s < s.take_off_s
        and track.sightings.change_score > s.high_change
        and track.motion.area > least
        and distance(track.motion.predicted(now_s).centre, region.box)
        < (s.first_reach if track.sightings.hits == 1 else s.reach) * max(track.motion.size)
    ]


def contrast_jumped(track: Track, region: Region, s: TrackerSettings) -> bool:
    """Whether a region has far too much contrast to show a tentative track that was faint in several looks."""
    return (
        not track.confirmed
        and track.sightings.hits >= s.contrast_jump_hits
        and region.contrast > s.contrast_jump * track.motion.region.contrast
    )


def update_merged(
    birds: Sequence[Track], region: Region, now_s: float, view: AppearanceView | None, s: TrackerSettings
) -> None:
    """Update several birds from the one region they share.

    Unmoved birds stay; the others lie where there is room, where they look like themselves, or where they were going.
    """
    places = _unmoved_places(birds, region.box, now_s, view, s)
    moved = [bird for bird in birds if bird.number not in places]
    beside: dict[int, Box] = {}
    if not places:
        roomy = _place_in_order(birds, region.box, now_s)
        if roomy is not None and len(birds) == 2 and view is not None:
            roomy = _swapped_by_appearance(birds, region.box, roomy, view)
        places = {bird.number: place for bird, place in zip(birds, roomy or (), strict=False)}
    elif len(moved) == 1:
        beside = _place_beside(moved[0], list(places.values()), region.box, s)
        places |= beside
    for bird in birds:
        here = places.get(bird.number) or _locate_bird(bird, region.box, now_s, view, s)
        located = here is not None
        if here is None and (now_s - bird.motion.separated_s < s.occluded_s or bird is birds[0]):
            here = moved_inside(bird.motion.predicted(now_s), region.box)
        if here is not None:
            bird.merge_with({other.number for other in birds if other is not bird})
            bird.update(
                replace(region, box=here, tone=()),
                now_s,
                moving=region.activity >= s.motion_share,
                alone=False,
                located=located,
                measured=bird.number in beside,
            )
            bird.appearance = bird.appearance.with_last_template(view.cut(here) if view is not None else None)


def _unmoved_places(
    birds: Sequence[Track], whole: Box, now_s: float, view: AppearanceView | None, s: TrackerSettings
) -> dict[int, Box]:
    """Places by track number of the birds that look as they did in the look before, or rest while others fly."""
    places = {}
    for bird in birds:
        if (
            view is None
            or bird.appearance.last_template is None
            or share_inside(bird.box, whole) < 0.6
            or now_s - bird.motion.still_since_s < s.dropout_s
        ):
            continue
        place, correlation = view.locate(bird.appearance.last_template, expanded(bird.box, 0.2))
        if correlation > s.same_correlation:
            places[bird.number] = bird.box if bird.box.iou(place) > 0.7 else place
    resting = [bird for bird in birds if bird.motion.at_rest and now_s - bird.last_s < s.flight_s]
    if not places and len(resting) < len(birds):  # one flies in, or off, while all others move in their places
        places = {bird.number: moved_inside(bird.box, whole) for bird in resting}
    return places


def _place_beside(bird: Track, others: Sequence[Box], whole: Box, s: TrackerSettings) -> dict[int, Box]:
    """Where in a region a bird lies when the others are unmoved, if there is room: at the far end of it."""
    occupied = others[0]
    for other in others[1:]:
        occupied = occupied.union(other)
    rest = largest_rest(whole, occupied)
    if min(rest.w / bird.motion.size[0], rest.h / bird.motion.size[1]) < MIN_REST:
        return {}
    if bird.appearance.tone.count < s.tone_looks:  # it was never seen at rest: its size is that of spread wings
        return {bird.number: rest}
    (x, y), (ox, oy) = rest.centre, occupied.centre
    w, h = min(bird.motion.size[0], whole.w), min(bird.motion.size[1], whole.h)
    left = whole.x if x < ox else whole.x + whole.w - w
    top = whole.y if y < oy else whole.y + whole.h - h
    if rest.w < whole.w:  # beside them
        return {bird.number: moved_inside(Box(left, bird.box.y, w, h), whole)}
    return {bird.number: moved_inside(Box(bird.box.x, top, w, h), whole)}


def absorb_fragments(
    tracks: Sequence[Track], regions: Sequence[Region], unmatched: Sequence[int], now_s: float, s: TrackerSettings
) -> list[int]:
    """Add unmatched regions that are fragments of a bird (a wing, the tip of a tail) to its box.

    Args:
        unmatched: indices of the regions that no track was matched with.

    Returns:
        The indices that are no fragment.
    """
    rest = []
    for index in unmatched:
        region = regions[index]
        for bird in tracks:
            if bird.last_s != now_s or not (bird.confirmed or bird.sightings.hits > s.fragment_hits):
                continue
            share = region.box.area / max(bird.box.area, bird.motion.area, 1e-9)
            near = touch(bird.box, region.box, 0.7 if share < s.speck_share else FRAGMENT_REACH)
            if share < s.fragment_share and near:
                joint = bird.box.union(region.box)
                if joint.area < 1.6 * max(bird.box.area, bird.motion.area):
                    bird.motion = bird.motion.extended_to(joint)
                break
        else:
            rest.append(index)
    return rest


def join_parts(tracks: Sequence[Track], now_s: float, s: TrackerSettings) -> set[int]:
    """Add tentative tracks that may be parts of a bird beside them to its box.

    Of a dark bird before dark and bright leaves only some parts differ from the background, other ones each time.

    Returns:
        The numbers of these tracks: they are no birds of their own while they are so near.
    """
    birds, parts = [t for t in tracks if t.confirmed and now_s - t.last_s < PART_S], set()
    for part in tracks if birds else ():
        whole = None if part.confirmed else next((bird for bird in birds if _is_part_of(part, bird, s)), None)
        if whole is None:
            continue
        parts.add(part.number)
        joint = whole.box.union(part.box)
        if whole.last_s == part.last_s == now_s and joint.area < JOINT_SHARE * whole.motion.usual_area:
            whole.motion = whole.motion.extended_to(joint)
    return parts


def _is_part_of(part: Track, bird: Track, s: TrackerSettings) -> bool:
    """Whether a track is much smaller than a bird usually is, and beside it, or inside its outline."""
    usual = max(bird.motion.usual_area, bird.motion.area)
    if max(part.motion.area, part.motion.usual_area) >= s.fragment_share * usual:
        return False
    return bird.box.union(part.box).area < JOINT_SHARE * usual or touch(bird.box, part.box, FRAGMENT_REACH)


def find_occluded(tracks: Sequence[Track], now_s: float, view: AppearanceView, s: TrackerSettings) -> None:
    """Keep birds that no region shows as long as they are still seen, by template, where they sat."""
    for bird in tracks:
        if not bird.confirmed or bird.last_s == now_s or bird.appearance.template is None or not bird.motion.at_rest:
            continue
        place, correlation = view.locate(bird.appearance.template, expanded(bird.box, 0.2))
        empty = view.resembles_background(bird.appearance.template, expanded(bird.box, 0.2))
        if correlation > s.same_correlation and correlation > empty + 0.15:
            bird.update(replace(bird.motion.region, box=place, ghost=False), now_s, alone=False)


def _locate_bird(bird: Track, whole: Box, now_s: float, view: AppearanceView | None, s: TrackerSettings) -> Box | None:
    """Where in a merged region a bird looks like itself; None where nothing is like it."""
    if view is None or bird.appearance.template is None:
        return None
    place, correlation = view.locate(
        bird.appearance.template, whole.union(moved_inside(bird.motion.predicted(now_s), whole))
    )
    return place if correlation > s.found_correlation else None


def _place_in_order(birds: Sequence[Track], whole: Box, now_s: float) -> list[Box] | None:
    """Lay birds of known size into the region they share, in the order they were in; None without room for two.

    The first one touches one end of the region, the last one the other; those between are spread evenly.
    """
    lying = whole.w * sum(b.motion.size[1] for b in birds) >= whole.h * sum(b.motion.size[0] for b in birds)
    axis = 0 if lying else 1
    begin, length = (whole.x, whole.w) if lying else (whole.y, whole.h)
    if length < ROOM * max(bird.motion.size[axis] for bird in birds):
        return None
    scale = min(1.0, OVERLAP * length / sum(bird.motion.size[axis] for bird in birds))
    order = sorted(birds, key=lambda bird: _extrapolated(bird, now_s)[axis])
    places = {}
    for rank, bird in enumerate(order):
        w = min(bird.motion.size[0] * (scale if lying else 1.0), whole.w)
        h = min(bird.motion.size[1] * (1.0 if lying else scale), whole.h)
        size = w if lying else h
        part = rank / (len(order) - 1)
        start = begin + part * (length - size)
        place = Box(start, bird.box.y, w, h) if lying else Box(bird.box.x, start, w, h)
        places[bird.number] = moved_inside(place, whole)
    return [places[bird.number] for bird in birds]


def _extrapolated(bird: Track, now_s: float) -> tuple[float, float]:
    """Centre of a bird that went on at its last speed since it was alone; where it is if that is long ago."""
    motion = bird.motion
    since_s = now_s - motion.alone_s
    if since_s > 0.6:
        return bird.box.centre
    return motion.alone_centre[0] + motion.velocity[0] * since_s, motion.alone_centre[1] + motion.velocity[1] * since_s


def _swapped_by_appearance(birds: Sequence[Track], whole: Box, places: list[Box], view: AppearanceView) -> list[Box]:
    """Swap two birds' places where the correlations say so clearly: they crossed while they were one region."""
    first, second = birds
    templates = [bird.appearance.template for bird in birds if bird.appearance.template is not None]
    if len(templates) < 2 or min(first.sightings.hits, second.sightings.hits) < COMPARABLE_HITS:
        return places
    swapped = [moved_inside(Box(p.x, p.y, *b.motion.size), whole) for p, b in zip(reversed(places), birds, strict=True)]

    def correlation(where: Sequence[Box]) -> float:
        return sum(view.locate(template, place)[1] for template, place in zip(templates, where, strict=True))

    return swapped if correlation(swapped) > correlation(places) + 0.3 else places
