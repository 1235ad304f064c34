"""List the mechanisms of motion detection and tracking that the ablation study switches off one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.detection.switching import Mechanism
from birdwatchd.camera.motion.background import Background, Illumination
from birdwatchd.camera.motion.false_motion import ChangeScore
from birdwatchd.camera.motion.jump import JumpState
from birdwatchd.camera.motion.rois import bounding_roi
from birdwatchd.camera.motion.stabilise import Shift

__all__ = ["MECHANISMS", "mechanism_named"]

MOTION = "birdwatchd.camera.motion."
TRACKING = "birdwatchd.camera.tracking."
NEVER, ALWAYS = 1e9, -1e9


def mechanism_named(name: str) -> Mechanism:
    """The mechanism of that name; KeyError names those there are."""
    for mechanism in MECHANISMS:
        if mechanism.name == name:
            return mechanism
    raise KeyError(f"no mechanism {name!r}; there are {', '.join(m.name for m in MECHANISMS)}")


# -- replacements ------------------------------------------------------------------------------------------------------


def _constant(value: Any) -> Callable[..., Any]:
    return lambda *args, **named: value


def _same_light(self: Background, cells: Any, *, slack: float = 1.0) -> Illumination | None:
    """No fit: the frame has the background's light, or shows another scene where too much of it differs."""
    differs = np.abs(cells.astype(np.float32) - self.level) > self.threshold * np.float32(slack)
    return None if float(differs.mean()) > self.settings.scene_change_share else Illumination()


def _offset_only(self: Background, cells: Any, *, slack: float = 1.0) -> Illumination | None:
    """Brighter or darker by one offset, without a gain."""
    difference = cells.astype(np.float32) - self.level
    offset = float(np.median(difference))
    differs = np.abs(difference - offset) > self.threshold * np.float32(slack)
    return None if float(differs.mean()) > self.settings.scene_change_share else Illumination(1.0, offset)


_fit_illumination = Background.fit_illumination


def _always_some_light(self: Background, cells: Any, *, slack: float = 1.0) -> Illumination:
    """Never another scene."""
    return _fit_illumination(self, cells, slack=slack) or Illumination()


def _all_foreground(now: Any, *rest: Any) -> Any:
    """Nothing is explained."""
    return np.full(now.shape, 255, np.uint8)


def _one_roi(mask: Any, sizes: Any, *, separate: bool) -> Any:
    return [bounding_roi(mask, sizes.margin)]


def _whole_core(self: Any, core: Any) -> Any:
    return core


def _all_loose(tracks: Any, regions: Any, loose: Any, *rest: Any) -> Any:
    return list(loose)


def _uncut(tracks: Any, regions: Any, *rest: Any) -> Any:
    return list(regions)


def _unswapped(birds: Any, whole: Any, places: Any, view: Any) -> Any:
    return places


def _last_box(self: Any, now_s: float) -> Any:
    return self.region.box


# -- the list ----------------------------------------------------------------------------------------------------------

MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism(
        "stabilise", "motion", "camera shake is not undone", {MOTION + "foreground:find_shift": _constant(Shift())}
    ),
    Mechanism(
        "illumination",
        "motion",
        "no gain and offset are fitted to the frame",
        {MOTION + "background:Background.fit_illumination": _same_light},
    ),
    Mechanism(
        "gain",
        "motion",
        "only an offset is fitted to the frame, no gain",
        {MOTION + "background:Background.fit_illumination": _offset_only},
    ),
    Mechanism(
        "scene-switch",
        "motion",
        "a frame that no light explains does not begin another scene",
        {MOTION + "background:Background.fit_illumination": _always_some_light},
    ),
    Mechanism(
        "scene-models",
        "motion",
        "earlier scenes are not kept",
        {MOTION + "background:Background._store": _constant(None)},
    ),
    Mechanism(
        "hidden-background",
        "motion",
        "in a new scene what a bird hides is not estimated",
        {MOTION + "background:_illuminate_hidden": lambda old, new, where: new[where]},
    ),
    Mechanism("noise", "motion", "one threshold for all cells, whatever their noise", background={"noise_factor": 0.0}),
    Mechanism("hysteresis", "motion", "no weak threshold beside the strong one", background={"weak_ratio": 1.0}),
    Mechanism("absorb", "motion", "what stands there never becomes background", background={"absorb_s": NEVER}),
    Mechanism(
        "hold",
        "motion",
        "the background learns under birds as well",
        {MOTION + "detector:MotionDetector._held_mask": _constant(None)},
    ),
    Mechanism(
        "sway",
        "motion",
        "where leaves swayed the threshold is not raised",
        {MOTION + "background:Background.raise_sway": _constant(None)},
    ),
    Mechanism(
        "light",
        "motion",
        "no window is explained by another light",
        {MOTION + "detector:unexplained_by_light": _all_foreground},
    ),
    Mechanism(
        "shift",
        "motion",
        "no window is explained by a shift",
        {MOTION + "detector:unexplained_by_shift": _all_foreground},
    ),
    Mechanism(
        "change-score",
        "motion",
        "regions are not scored by what the background explains",
        {MOTION + "detector:score_change": _constant(ChangeScore(1.0, 1.0, 1.0, 1.0, 1.0))},
    ),
    Mechanism(
        "score-mismatch",
        "motion",
        "in that score: the search for the region in the background around",
        {MOTION + "false_motion:_match_template": _constant((0.0, 10**6, 0))},
    ),
    Mechanism(
        "score-texture",
        "motion",
        "in that score: texture and level",
        {MOTION + "false_motion:_fit_gain": _constant((0.0, 1.0))},
    ),
    Mechanism(
        "score-edges",
        "motion",
        "in that score: sharpness of edges",
        {MOTION + "false_motion:_sharpness": _constant(2.0)},
    ),
    Mechanism("score-skip", "motion", "known birds are scored in every frame", motion={"held_share": 2.0}),
    Mechanism(
        "ghost",
        "motion",
        "what left is taken for what came",
        {MOTION + "detector:is_ghost": _constant(False)},
    ),
    Mechanism(
        "flashes",
        "motion",
        "what is new in one frame only counts in rain and snow, too",
        {MOTION + "detector:MotionDetector._persistent": _whole_core},
    ),
    Mechanism(
        "rois", "motion", "all foreground is explained, specks as well", {MOTION + "detector:find_rois": _one_roi}
    ),
    Mechanism(
        "faint",
        "motion",
        "regions need no peak and no share of strong cells",
        motion={"min_peak": 0.0, "strong_share": 0.0},
    ),
    Mechanism("thin", "motion", "regions may be as thin as a twig", motion={"min_thickness": 0.0}),
    Mechanism(
        "small",
        "motion",
        "regions may be half as small and have half the cells",
        motion={"min_size": 0.325, "min_area": 0.7},  # the area is a share of the square of the size
    ),
    Mechanism(
        "illumination-step",
        "motion",
        "a step of the light is not reported to the observer",
        motion={"step_gain": NEVER, "step_offset": NEVER},
    ),
    Mechanism("tone", "motion", "birds have no tone", {MOTION + "detector:tone_of": _constant(())}),
    Mechanism(
        "uncovered",
        "motion",
        "the light is not fitted to what is left of a scene that a large bird covers",
        {MOTION + "background:Background.fit_uncovered": _constant(None)},
    ),
    Mechanism(
        "lost", "motion", "a scene that stays different without a bird is not learned anew", motion={"lost_s": NEVER}
    ),
    Mechanism(
        "jump-watch",
        "motion",
        "a picture that jumps to another minute of the same place is watched as if it had not",
        {MOTION + "jump:JumpWatch.update": _constant(JumpState.NONE)},
    ),
    Mechanism(
        "whole-recording",
        "motion",
        "a recording is watched like a stream: its scene is not learned beforehand",
        {"birdwatchd.camera.observer:begin_with_recording": _constant(None)},
    ),
    Mechanism(
        "earlier-recordings",
        "motion",
        "nothing is learned from earlier recordings of the folder",
        {"birdwatchd.camera.place:RecordedPlace.earlier": _constant([])},
    ),
    Mechanism(
        "lifeless",
        "tracking",
        "what a departed bird leaves behind goes on as the bird",
        {TRACKING + "state:MotionState.lifeless": property(_constant(False))},
    ),
    Mechanism(
        "confirmation",
        "tracking",
        "every track is a bird from its second look",
        {TRACKING + "tracker:should_confirm": lambda track, *rest: track.sightings.hits > 1},
    ),
    Mechanism(
        "confirm-hits",
        "tracking",
        "birds need not be seen often",
        tracker={"confirm_hits": 1, "confirm_s": 0.0, "confirm_share": 0.0},
    ),
    Mechanism("confirm-error", "tracking", "birds need not move steadily", tracker={"max_error": NEVER}),
    Mechanism(
        "confirm-change",
        "tracking",
        "birds need no change score",
        {TRACKING + "confirmation:_required_change": _constant(ALWAYS)},
    ),
    Mechanism(
        "surcharge", "tracking", "clutter does not raise the change score needed", tracker={"clutter_surcharge": 0.0}
    ),
    Mechanism("discount", "tracking", "what arrived needs no lower change score", tracker={"arrived_discount": 0.0}),
    Mechanism(
        "motion-looks",
        "tracking",
        "birds need not show motion",
        {TRACKING + "confirmation:shows_motion": _constant(True)},
    ),
    Mechanism(
        "motion-in-clutter",
        "tracking",
        "in clutter they need no more than that",
        {TRACKING + "confirmation:_shows_motion_in_clutter": _constant(True)},
    ),
    Mechanism(
        "persist",
        "tracking",
        "what was not seen to arrive need not persist",
        {TRACKING + "confirmation:_persists": _constant(True)},
    ),
    Mechanism("settle", "tracking", "in clutter birds need not have settled", tracker={"settled_s": 0.0}),
    Mechanism(
        "clutter",
        "tracking",
        "clutter is not counted at all",
        {TRACKING + "confirmation:Clutter.without": _constant(0.0), TRACKING + "confirmation:Clutter.high": False},
    ),
    Mechanism("presence", "tracking", "in clutter birds may be seen seldom", tracker={"min_presence": -1.0}),
    Mechanism("jump", "tracking", "any leap counts as movement", tracker={"max_jump": NEVER}),
    Mechanism("static", "tracking", "static objects are never dropped", tracker={"static_s": NEVER}),
    Mechanism("static-birds", "tracking", "birds never become static objects", tracker={"max_still_s": NEVER}),
    Mechanism(
        "drop-ghosts",
        "tracking",
        "neither static objects nor ghosts are ever dropped",
        {TRACKING + "tracker:Tracker._drop_static": lambda self, now_s: ([], [])},
    ),
    Mechanism(
        "reidentify",
        "tracking",
        "a bird that reappears is another one",
        {TRACKING + "tracker:reidentify": _constant(False)},
    ),
    Mechanism(
        "reidentify-tone", "tracking", "re-identification ignores the tone", tracker={"max_tone_distance": NEVER}
    ),
    Mechanism(
        "heading",
        "tracking",
        "re-identification ignores where the bird was heading",
        {TRACKING + "identity:_heading_elsewhere": _constant(False)},
    ),
    Mechanism(
        "entered",
        "tracking",
        "re-identification ignores that the new one came over the edge",
        {TRACKING + "identity:_entered_at_edge": _constant(False)},
    ),
    Mechanism(
        "left",
        "tracking",
        "no bird is known to have left the frame",
        {TRACKING + "tracker:has_left": _constant(False), TRACKING + "identity:has_left": _constant(False)},
    ),
    Mechanism(
        "id-switch", "tracking", "switched ids are not fixed", {TRACKING + "tracker:fix_id_switches": _constant(None)}
    ),
    Mechanism(
        "merge",
        "tracking",
        "birds do not share a region",
        {TRACKING + "tracker:is_merged_into": _constant(False), TRACKING + "tracker:landed_beside": _constant([])},
    ),
    Mechanism("split", "tracking", "merged regions are not split", {TRACKING + "tracker:split_merged": _uncut}),
    Mechanism(
        "landed-beside",
        "tracking",
        "who flies in to others is not looked for in their region",
        {TRACKING + "tracker:landed_beside": _constant([])},
    ),
    Mechanism(
        "unmoved",
        "tracking",
        "in a merged region no bird is known to have kept its place",
        {TRACKING + "occlusion:_unmoved_places": _constant({})},
    ),
    Mechanism(
        "beside", "tracking", "nor to lie beside those who did", {TRACKING + "occlusion:_place_beside": _constant({})}
    ),
    Mechanism(
        "in-order",
        "tracking",
        "nor to lie in the order in which they were",
        {TRACKING + "occlusion:_place_in_order": _constant(None)},
    ),
    Mechanism(
        "order-by-appearance",
        "tracking",
        "that order is not checked by appearance",
        {TRACKING + "occlusion:_swapped_by_appearance": _unswapped},
    ),
    Mechanism(
        "locate-merged",
        "tracking",
        "birds are not searched in a merged region by appearance",
        {TRACKING + "occlusion:_locate_bird": _constant(None)},
    ),
    Mechanism(
        "occluded",
        "tracking",
        "birds without a region are not held by appearance",
        {TRACKING + "tracker:find_occluded": _constant(None)},
    ),
    Mechanism(
        "fragments",
        "tracking",
        "fragments of a bird are tracks of their own",
        {TRACKING + "tracker:absorb_fragments": _all_loose},
    ),
    Mechanism(
        "parts",
        "tracking",
        "what shows for some looks beside a bird, and is much smaller, is another bird",
        {TRACKING + "tracker:join_parts": _constant(set())},
    ),
    Mechanism("far-fragments", "tracking", "a fragment must touch its bird", tracker={"speck_share": 0.0}),
    Mechanism(
        "contrast-jump",
        "tracking",
        "a region may be much plainer than its track",
        {
            TRACKING + "tracker:contrast_jumped": _constant(False),
            TRACKING + "occlusion:contrast_jumped": _constant(False),
        },
    ),
    Mechanism("take-off", "tracking", "a bird at rest may not leap", tracker={"take_off_s": 0.0}),
    Mechanism(
        "prediction",
        "tracking",
        "tracks are matched where they were, not where they fly",
        {TRACKING + "state:MotionState.predicted": _last_box},
    ),
    Mechanism(
        "reappear", "tracking", "a bird in flight must reappear near where it was lost", tracker={"reappear_reach": 0.0}
    ),
)
