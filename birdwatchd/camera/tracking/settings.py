"""Every number by which birds are followed, in one place, with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrackerSettings"]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Every number the tracker decides by.

    Attributes:
        believe_hits, believe_s: sightings and seconds before a track counts as a bird; noise rarely lasts so long.
        believe_share: share of the looks since its first sighting in which it was seen.
        travel: how far, in its own sizes, a track must get from where it began to count as moving.
        stir: share of a region's cells that must change between looks to count as stirring.
        stirs: looks with stirring that prove life in a place.
        stirs_moving: the same for what seems to have moved: cells change where something moves, but not where it only
            shows in parts that are other ones in each look.
        lifeless_s: a track that shows no life for so long is furniture.
        steady: how far off its expected way, in its own sizes and in the mean, a credible track may be.
        newness: mean newness of its sightings (0 … 1, see `Region`) that a credible track has.
        doubt: how much more newness each track that is no bird asks of the others.
        trust: how much less newness is asked of what came from elsewhere and has stayed for `arrived_s`.
        calm: how many tracks that are no birds there may be at once, in the mean, before only what settles is
            believed: rain, snow and swarms of insects never sit still.
        clutter: how many make it bad weather, with all the caution there is.
        clutter_s: time constant of that mean.
        settled_s: how long a bird must sit in its place then.
        still_air: how many there may be before any more is asked of what was not seen to come.
        unseen_coming_s: how long that must be there, when as much else is about as `calm` says.
        constant: share of the looks in which it must be seen then.
        stays_s, plainly_new: how long it must sit, and how new it must be, if it was not seen to come.
        long_s, never_missed: seconds, and share of the looks, from which it need not be so new: drops fall on and
            leaves swing back.
        presence: share of the looks (mean of `presence_s`) in which a bird must be seen in bad weather.
        jump: a sighting further than this from where it was expected, in its own sizes, proves no movement.
        gone_s: seconds unseen after which a visit is over; shorter would cut visits at every wing beat.
        reach: how far a bird may be from where it was expected, in its own sizes.
        first_reach: the same for a track seen once, whose speed is not known.
        take_off_s: how soon after a bird was seen to sit it may be seen `first_reach` away, in flight.
        flight_s: a bird that appears so soon after another vanished nearby is that one in flight.
        blink_s: one that is unseen for less may have been overlooked; nothing is concluded from it.
        edge: what comes so close to the frame's edge (fractions of the frame) touches it.
        outward: speed, in its own sizes per second, of a bird that is on its way; a hop is slower.
        tone_looks: sightings at rest after which a bird's tone (`tone.py`) is known.
        parted_looks: sightings at rest, after a crowd, from which a bird is compared with those who were in it.
        sure_looks: sightings after which it need not be compared any more.
        mistaken: grey levels by which its tone must be nearer to another's than to its own to be that other.
        doubt_s: how long they are waited for, where it must be told whether it is the bird that vanished.
        other_tone: grey levels by which the tones of one bird before and after never differ.
        lost_reach: how far, in frame widths, an unseen track may reappear (landing after a fast approach).
        flare, flare_hits: a region so many times plainer than a track that is no bird (yet) was in its last look, after
            so many sightings, is another thing: a bird has come to where a leaf sways.
        alike: areas of two sightings of one track differ by at most this factor (wings open and close).
        piece_share: a region that touches a bird and has less than this share of its area is a piece of it.
        piece_hits: sightings of a track that is no bird yet before anything is a piece of it: a drop has none.
        speck_share: below this share it may even be some way off (the white tip of a tail too dark to be seen).
        same_look: correlation of appearance from which a bird is taken to be where it was.
        hidden_s: how long a bird may be lost behind another before it is given up.
        crowded: a region larger than a bird by this factor may hold another one.
        found: correlation of appearance from which a bird is found in a crowd.
        guest_hits: sightings before a track is looked for inside another's region; who flies in to others is often
            seen twice before they are one region.
        still_s: a track that has not moved for this long is checked for being a ghost.
        hold_s: something that stands still longer than this is furniture, not a bird.
    """

    believe_hits: int = 4
    believe_s: float = 0.19
    believe_share: float = 0.6
    travel: float = 0.6
    stir: float = 0.12
    stirs: int = 3
    stirs_moving: int = 1
    lifeless_s: float = 2.5
    steady: float = 0.8
    newness: float = 0.55
    doubt: float = 0.07
    trust: float = 0.1
    arrived_s: float = 1.5
    calm: float = 0.5
    clutter: float = 1.5
    clutter_s: float = 2.0
    settled_s: float = 0.5
    still_air: float = 0.3
    unseen_coming_s: float = 0.8
    constant: float = 0.7
    stays_s: float = 1.4
    plainly_new: float = 0.8
    long_s: float = 2.0
    never_missed: float = 0.9
    presence: float = 0.4
    presence_s: float = 2.0
    jump: float = 0.8
    gone_s: float = 1.2
    reach: float = 1.1
    first_reach: float = 3.0
    take_off_s: float = 0.2
    flight_s: float = 0.5
    blink_s: float = 0.1
    edge: float = 0.01
    outward: float = 1.5
    tone_looks: int = 4
    parted_looks: int = 2
    sure_looks: int = 15
    mistaken: float = 6.0
    doubt_s: float = 0.8
    other_tone: float = 16.0
    lost_reach: float = 0.3
    alike: float = 4.0
    flare: float = 2.5
    flare_hits: int = 3
    piece_share: float = 0.35
    piece_hits: int = 3
    speck_share: float = 0.12
    same_look: float = 0.8
    hidden_s: float = 2.5
    guest_hits: int = 2
    found: float = 0.6
    crowded: float = 1.4
    still_s: float = 1.5
    hold_s: float = 900.0
