"""Every threshold of motion detection and its background model, in one place, with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BackgroundSettings", "JumpSettings", "MotionSettings", "SightSettings"]


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """Every number the background model decides by.

    Attributes:
        learn_s: seconds of video before anything is reported; noise is unknown until then.
        relearn_s: the same after a change of scene, where noise is roughly known.
        min_contrast: smallest difference that counts, grey levels of 255; H.264 leaves up to 3 on a still picture.
        weak_ratio: share of the threshold that the weak cells of a region exceed (hysteresis, as in Canny's edges): it
            keeps a bird whole whose back has the brightness of the foliage behind it.
        noise_factor: a cell must differ by this many times its mean absolute deviation (5 are 4 sigma).
        sway_share: share of a cell's sway that it must exceed to count.
        swaying_share: share of the cells that must have swayed by more than what counts for the scene to be swaying; a
            key frame's blocks come to 0.00004, a gust in leaves to 0.01 and more.
        threshold_every_s: how often thresholds are computed.
        level_s, noise_s: time constants of learning brightness and noise.
        absorb_s: time constant with which foreground that is no bird becomes background; birds are held meanwhile.
        sway_s: time constant with which sway is forgotten; gusts come again within minutes.
        scene_change_share: share of the frame that no illumination explains before it is another scene.
        uncovered_share: where something hides more than `scene_change_share` of the frame, share of the textured blocks
            that must still show the scene for it to be the same one.
        max_scenes: scenes kept besides the present one (day, infra-red, floodlight).
        min_scene_s: how long a scene must have lasted to be kept; what lies between two is not.
    """

    learn_s: float = 1.5
    relearn_s: float = 0.6
    min_contrast: float = 7.0
    weak_ratio: float = 0.6
    noise_factor: float = 5.0
    sway_share: float = 0.7
    swaying_share: float = 1e-4
    threshold_every_s: float = 1.0
    level_s: float = 5.0
    noise_s: float = 12.0
    absorb_s: float = 25.0
    sway_s: float = 120.0
    scene_change_share: float = 0.4
    uncovered_share: float = 0.12
    max_scenes: int = 2
    min_scene_s: float = 8.0


@dataclass(frozen=True, slots=True)
class JumpSettings:
    """Every number that decides whether the picture jumped to another minute or hour of the same place (`jump.py`).

    Attributes:
        share: share of the blocks in which cells must change at once.
        share_beside_birds: the same while birds are known, whose surroundings do not count.
        free: share of the frame beside them, less of which tells nothing; then all of it is looked at.
        times_usual: and this many times the share that changed in the look before.
        gap_s: after no frames for so long the place may have changed meanwhile.
        share_after_gap: share of the blocks that must have changed then; a bird that came is in fewer.
        moving_share: what changes after the jump is at most this share of what the jump changed.
        lasting_share: so much of what the jump changed must stay changed.
        looks, lasting_s: for so many looks, and for so long.
        empty_share: a region that differs from the place before the jump by less than this share of how it differs from
            the place as learned since shows where something has left that was there when the picture jumped.
    """

    share: float = 0.2
    share_beside_birds: float = 0.1
    free: float = 0.3
    times_usual: float = 3.0
    gap_s: float = 2.0
    share_after_gap: float = 0.12
    moving_share: float = 0.25
    lasting_share: float = 0.6
    looks: int = 2
    lasting_s: float = 0.1
    empty_share: float = 0.5


@dataclass(frozen=True, slots=True)
class SightSettings:
    """Every number that decides whether birds can be seen in a picture at all (`sight.py`).

    Attributes:
        bird_contrast: by how much birds differ from what is behind them, grey levels; a cell with a higher threshold
            misses most of them.
        average_s: time constant of the share of such cells; gusts and lamps last for less.
        begin, end: that share, 0 … 1, from which on a picture is called blind, and below which it no longer is. On
            35 real clips and 32 drawn cases it stays below 0.2; where the camera swings by 4 % of the picture, it is
            0.7.
        min_spread: brightness between the 5th and the 95th per cent of the cells, grey levels; fog and lens caps have
            less.
        dark_level: mean brightness below which a picture without contrast is black.
        frozen_s: no cell changes for so long only where no new pictures come; the noise of a sensor changes some in
            the first key frame.
        shaking_share: share of the blind seconds in which the picture must move as one for it to be the camera.
        as_one, moved_cells: response of the phase correlation with the frame before, 0 … 1, and shift in cells (good to
            half a one), from which on it does; water has 0.2 to 0.5, a camera that swings 0.7 to 0.9.
        spell_s, spell_share: blind seconds of a recording, or their share of it, that are worth a word.
        least_s: a recording shorter than this proves nothing.
    """

    bird_contrast: float = 40.0
    average_s: float = 40.0
    begin: float = 0.5
    end: float = 0.3
    min_spread: float = 5.0
    dark_level: float = 40.0
    frozen_s: float = 30.0
    shaking_share: float = 0.5
    as_one: float = 0.6
    moved_cells: float = 1.0
    spell_s: float = 60.0
    spell_share: float = 0.5
    least_s: float = 5.0


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """Every threshold of the motion detector; those of the background model are in `background`,
    those of jumps in `jump`.

    Attributes:
        min_bird: height or width of the smallest bird, pixels of the source frame.
        ignore: polygons in fractions of the frame that never count as motion.
        mask: the same; nor does what lies mostly in one and only reaches out of it.
        min_size: share of `min_bird` that a region must measure; wings and tail fade into the background.
        min_area: cells above the threshold, as a share of the square of the smallest region.
        min_thickness: mean thickness of a region in smallest birds; rain and twigs are long and thin.
        strong_share: share of a region's cells that must be above the threshold, not only above the weak one.
        min_peak: some cell must exceed its threshold by this factor; noise barely crosses it.
        shift_reach: how far around each cell its window is searched in the background, in smallest birds (leaves).
        match_reach: the same for whole regions (twigs).
        min_change_score: below this mean `ChangeScore` the background explains a region.
        max_flashes: in rain and snow more regions than this, in the mean, are new in one frame only; then what is not
            there in two frames is dropped.
        flash_s: time constant of that mean.
        flash_gap_s: frames further apart than this are not counted.
        shake_share: share of the cells that must be foreground (not under birds) before camera shake is looked for.
        step_gain, step_offset: change of the illumination between two frames that is a step (exposure, a lamp), as the
            gain's distance from 1 and in grey levels.
        lost_share, lost_s: a background from which so much of the frame differs for so long without a region is wrong.
        held_share: share of a region's cells that must lie under a known bird for it to be that bird.
        whole_share: where foreground lies in no more of the frame than this, all of it is explained at once; else it
            is first split into components, which costs something as well.
        held_score_every: the region of a known bird gets a change score in every third (or so) frame only, because
            scoring is much of a frame's cost.
    """

    min_bird: int = 24
    ignore: tuple[tuple[tuple[float, float], ...], ...] = ()
    mask: tuple[tuple[tuple[float, float], ...], ...] = ()
    min_size: float = 0.65
    min_area: float = 0.35
    min_thickness: float = 0.22
    strong_share: float = 0.3
    min_peak: float = 1.4
    shift_reach: float = 0.6
    match_reach: float = 1.6
    min_change_score: float = 0.42
    max_flashes: float = 4.0
    flash_s: float = 2.0
    flash_gap_s: float = 0.15
    shake_share: float = 0.006
    step_gain: float = 0.05
    step_offset: float = 5.0
    lost_share: float = 0.3
    lost_s: float = 30.0
    held_share: float = 0.7
    whole_share: float = 0.2
    held_score_every: int = 3
    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    jump: JumpSettings = field(default_factory=JumpSettings)
