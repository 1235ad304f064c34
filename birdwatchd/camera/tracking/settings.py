"""Hold every number of the tracker in one place, each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrackerSettings"]


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Every number the tracker decides by. Sizes are the longer side of a track's box; a look is one processed frame.

    Attributes:
        confirm_hits, confirm_s: sightings and seconds before a track can be confirmed; noise rarely lasts so long.
        confirm_share: share of the looks since its first sighting in which it must have been seen.
        max_error: mean distance from its predicted way, in its own sizes, that a track may have to be confirmed.
        min_change: mean change score of its sightings (0 … 1, see `Region`) that is needed to be confirmed.
        clutter_surcharge: added to `min_change` for each tentative track besides this one.
        arrived_discount: taken off `min_change` for what came from elsewhere and has stayed for `arrived_s`.
        arrived_s: see `arrived_discount`.
        min_travel: how far, in its own sizes, a track must get from where it began to count as moving.
        motion_share: share of a region's cells that must change between looks for a look with motion.
        min_motion_looks: looks with motion that tell a bird from a static object.
        min_motion_looks_moved: the same for a track that has moved by `min_travel`.
        static_s: a track without motion for this long is a static object.
        clutter_s: time constant of the mean number of tentative tracks (clutter).
        clutter_low: clutter from which more is asked of what was not seen to arrive.
        clutter_medium: clutter from which only what has settled is confirmed: rain, snow and insects never sit still.
        clutter_high: clutter at which everything below is asked in full.
        settled_s: how long a bird must have stayed in its place at `clutter_high`.
        persist_s, persist_share: how long what was not seen to arrive must be there at `clutter_medium`, and the share
            of the looks in which it must be seen.
        stationary_s, high_change: at `clutter_high`, how long what was not seen to arrive must stay, and the change
            score that it must have.
        constant_s, constant_share: seconds, and share of the looks, from which it needs no high change score: drops
            fall on and leaves swing back.
        min_presence: share of the looks (mean over `presence_s`) in which a bird must be seen at `clutter_high`.
        presence_s: time constant of that mean.
        max_jump: a sighting further than this from the prediction, in its own sizes, proves no movement.
        gone_s: seconds unseen after which a visit is over; shorter would cut visits at every wing beat.
        reach: how far a track may be from its prediction, in its own sizes.
        first_reach: the same for a track seen once, whose speed is not known.
        take_off_s: how soon after a bird was seen to sit it may be seen `first_reach` away, in flight.
        flight_s: a bird that appears so soon after another vanished nearby is that one in flight.
        dropout_s: a bird unseen for less may have been missed; nothing is concluded from it.
        edge_margin: what comes so close to the frame's edge (fractions of the frame) touches it.
        exit_speed: speed, in its own sizes per second, of a bird that is flying somewhere; a hop is slower.
        tone_looks: sightings at rest after which a bird's tone (`tone.py`) is known.
        separated_looks: sightings at rest, after a merge, from which a bird is compared with those it was merged with.
        sure_looks: sightings at rest after which it need not be compared any more.
        switch_margin: grey levels by which its tone must be nearer to another's than to its own for an id switch.
        identity_wait_s: how long to wait for `tone_looks` before deciding whether it is the bird that vanished.
        max_tone_distance: grey levels by which the tones of one bird before and after never differ.
        reappear_reach: how far, in frame widths, an unseen track may reappear (landing after a fast approach).
        max_size_ratio: areas of two sightings of one track differ by at most this factor (wings open and close).
        contrast_jump, contrast_jump_hits: a region whose contrast is so many times that of a tentative track's last
            sighting, after so many sightings, is another thing: a bird has come to where a leaf sways.
        fragment_share: a region that touches a bird and has less than this share of its area is a fragment of it.
        fragment_hits: sightings of a tentative track before it absorbs fragments: a drop has none.
        speck_share: below this share the fragment may be some way off (the white tip of a tail too dark to be seen).
        same_correlation: correlation of appearance from which a bird is taken to be where it was.
        found_correlation: correlation of appearance from which a bird is found in a merged region.
        merged_factor: a region larger than a bird by this factor may hold another one.
        merge_hits: sightings before a tentative track may be merged into a region: a bird that flies in to others is
            often seen only twice before they are one region.
        occluded_s: how long a bird may be hidden behind another before it is given up.
        lifeless_s: a bird that jumped or shrank, and in which nothing changes for so long then, is what it left behind.
        still_s: a track that has not moved for this long is checked for being a ghost.
        max_still_s: a bird that has not moved for this long is a static object after all.
    """

    confirm_hits: int = 4
    confirm_s: float = 0.19
    confirm_share: float = 0.6
    max_error: float = 0.8
    min_change: float = 0.55
    clutter_surcharge: float = 0.07
    arrived_discount: float = 0.1
    arrived_s: float = 1.5
    min_travel: float = 0.6
    motion_share: float = 0.12
    min_motion_looks: int = 3
    min_motion_looks_moved: int = 1
    static_s: float = 2.5
    clutter_s: float = 2.0
    clutter_low: float = 0.3
    clutter_medium: float = 0.5
    clutter_high: float = 1.5
    settled_s: float = 0.5
    persist_s: float = 0.8
    persist_share: float = 0.7
    stationary_s: float = 1.4
    high_change: float = 0.8
    constant_s: float = 2.0
    constant_share: float = 0.9
    min_presence: float = 0.4
    presence_s: float = 2.0
    max_jump: float = 0.8
    gone_s: float = 1.2
    reach: float = 1.1
    first_reach: float = 3.0
    take_off_s: float = 0.2
    flight_s: float = 0.5
    dropout_s: float = 0.1
    edge_margin: float = 0.01
    exit_speed: float = 1.5
    tone_looks: int = 4
    separated_looks: int = 2
    sure_looks: int = 15
    switch_margin: float = 6.0
    identity_wait_s: float = 0.8
    max_tone_distance: float = 16.0
    reappear_reach: float = 0.3
    max_size_ratio: float = 4.0
    contrast_jump: float = 2.5
    contrast_jump_hits: int = 3
    fragment_share: float = 0.35
    fragment_hits: int = 3
    speck_share: float = 0.12
    same_correlation: float = 0.8
    found_correlation: float = 0.6
    merged_factor: float = 1.4
    merge_hits: int = 2
    occluded_s: float = 2.5
    lifeless_s: float = 0.8
    still_s: float = 1.5
    max_still_s: float = 900.0
