"""Draw the four panels of a tuning sheet: scale, noise, what was ignored, and paths.

Each is the scene with something drawn over it and rulers in fractions of the frame, the unit in which `ignore` polygons
are written. Pure: results and a size go in, an image comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.tuning.draw import (
    GREY,
    INK,
    LINE,
    PAPER,
    REASONS,
    VISIT_COLOURS,
    WHITE,
    Colour,
    draw_bird,
    label,
    legend,
    reason_colour,
    resized,
    text_width,
    time_text,
    write,
)
from birdwatchd.camera.tuning.log import MAX_VISITS_SHOWN, Image, TuningResults

__all__ = ["PANELS", "panel_height"]

RULER_X, RULER_Y = 34, 24  # pixels that the rulers take left of and below the scene
HEAD, FOOT = 54, 54  # title and caption above, legend below
TALLEST = 640  # pixels of the scene; portraits are made narrower
INSET = 190  # side of the enlargement


@dataclass(frozen=True, slots=True)
class _Area:
    """Where the scene lies in a panel."""

    left: int
    top: int
    width: int
    height: int

    @property
    def below(self) -> int:
        """Baseline of the first line of the legend."""
        return self.top + self.height + RULER_Y + 18


def _area_in(results: TuningResults, panel_width: int) -> _Area:
    width, height = results.frame_size
    across = panel_width - RULER_X
    down = min(TALLEST, round(across * height / width))
    across = min(across, max(40, round(down * width / height)))
    return _Area(RULER_X, HEAD, across, max(24, down))


def panel_height(results: TuningResults, panel_width: int) -> int:
    """Pixels down that each panel takes at this width."""
    return HEAD + _area_in(results, panel_width).height + RULER_Y + FOOT


def _panel(results: TuningResults, panel_width: int, title: str, caption: str, image: Image) -> tuple[Image, _Area]:
    """A panel with title, rulers and the scene, over which the caller has drawn already."""
    area = _area_in(results, panel_width)
    panel = np.full((panel_height(results, panel_width), panel_width, 3), PAPER, np.uint8)
    write(panel, title, 0, 20, 0.68, bold=True)
    write(panel, caption, 0, 43, 0.5, GREY)
    panel[area.top : area.top + area.height, area.left : area.left + area.width] = image
    bottom, right = area.top + area.height, area.left + area.width
    for tenth in range(11):
        x, y = area.left + round(tenth / 10 * (area.width - 1)), area.top + round(tenth / 10 * (area.height - 1))
        long = 6 if tenth % 2 == 0 else 3
        cv2.line(panel, (x, bottom), (x, bottom + long), INK)
        cv2.line(panel, (area.left - long, y), (area.left - 1, y), INK)
        if tenth % 2 == 0:
            text = f"{tenth / 10:g}"
            wide = text_width(text, 0.42)
            write(panel, text, min(x - wide / 2, right - wide), bottom + 20, 0.42, GREY)
            write(panel, text, area.left - 9 - wide, min(y + 5, bottom), 0.42, GREY)
    return panel, area


def _polygons(results: TuningResults, width: int, height: int) -> list[NDArray[np.int32]]:
    return [
        np.round(np.array([(x * (width - 1), y * (height - 1)) for x, y in polygon])).astype(np.int32)
        for polygon in results.settings.ignore
    ]


def _draw_ignore(results: TuningResults, image: Image) -> None:
    """Hatch the `ignore` polygons."""
    height, width = image.shape[:2]
    for polygon in _polygons(results, width, height):
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [polygon], 255)
        hatch = np.zeros_like(mask)
        for offset in range(-height, width, 14):
            cv2.line(hatch, (offset, height), (offset + height, 0), 255, 2)
        image[(mask > 0) & (hatch > 0)] = (60, 60, 220)
        cv2.polylines(image, [polygon], True, (40, 40, 230), 2, cv2.LINE_AA)


def _dimmed(image: Image) -> Image:
    """The scene in pale grey, so that colours drawn over it stand out."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(grey, alpha=0.6, beta=70), cv2.COLOR_GRAY2BGR), np.uint8)


def scale_panel(results: TuningResults, panel_width: int) -> Image:
    """The scene as it is, the smallest bird in its true size, and what `ignore` excludes."""
    area = _area_in(results, panel_width)
    image = resized(results.scene, area.width, area.height)
    _draw_ignore(results, image)
    least = results.min_bird
    side = least * area.width / results.frame_size[0]
    x, y = 0.5 * area.width - side / 2, 0.5 * area.height - side / 2
    draw_bird(image, x, y, side, (0, 215, 255))
    around = max(12, round(0.8 * side + 8))
    cv2.circle(image, (area.width // 2, area.height // 2), around, (20, 20, 20), 4, cv2.LINE_AA)
    cv2.circle(image, (area.width // 2, area.height // 2), around, (0, 215, 255), 2, cv2.LINE_AA)
    _draw_inset(results, image, around)
    panel, area = _panel(
        results,
        panel_width,
        "1  The smallest bird that counts",
        f"The yellow bird is {least} px high: anything clearly smaller is never reported. "
        "Rulers: fractions of the frame.",
        image,
    )
    entries: list[tuple[Colour, str]] = [((0, 215, 255), f"min_bird: {least}, to scale")]
    ignored, masked = (
        f"{count} polygon{'' if count == 1 else 's'}" if (count := len(polygons)) else ""
        for polygons in (results.settings.ignore, results.settings.mask)
    )
    if ignored:
        entries.append(((40, 40, 230), f"ignore: {ignored}, nothing is seen there"))
    if masked:
        entries.append((INK, f"mask: {masked}, black in every picture"))
    if not ignored and not masked:
        entries.append((LINE, "ignore: nothing; the whole frame is watched"))
    legend(panel, entries, RULER_X, area.below, 2, 300)
    return panel


def _draw_inset(results: TuningResults, image: Image, around: int) -> None:
    """Enlarge the middle of the image: the smallest bird on the cells of the gate's grid."""
    least, cell = results.min_bird, results.cell
    factor = 84 / least
    height, width = image.shape[:2]
    span = round(INSET / factor)
    if factor < 1.5 or min(height, width) < 2 * INSET or span > min(results.frame_size):
        return
    left, top = (results.frame_size[0] - span) // 2, (results.frame_size[1] - span) // 2
    inset = resized(results.scene[top : top + span, left : left + span], INSET, INSET)
    for line in np.arange(0, span, cell):
        at = round(float(line) * factor)
        grid = inset.copy()
        cv2.line(grid, (at, 0), (at, INSET), WHITE)
        cv2.line(grid, (0, at), (INSET, at), WHITE)
        inset[:] = cv2.addWeighted(grid, 0.45, inset, 0.55, 0)
    draw_bird(inset, INSET / 2 - 42, INSET / 2 - 42, 84, (0, 215, 255))
    x, y = width - INSET - 12, height - INSET - 12
    cv2.line(image, (width // 2 + around, height // 2), (x, y), (0, 215, 255), 1, cv2.LINE_AA)
    image[y : y + INSET, x : x + INSET] = inset
    cv2.rectangle(image, (x - 2, y - 2), (x + INSET + 1, y + INSET + 1), (0, 215, 255), 2)
    label(image, f"{factor:.1f} x enlarged, cells of {cell} px", x - 20, y - 6, WHITE)


def noise_panel(results: TuningResults, panel_width: int) -> Image:
    """By how much each place must change to be noticed."""
    area = _area_in(results, panel_width)
    image = _dimmed(resized(results.scene, area.width, area.height))
    title, caption = "2  Sensitivity map", "How many grey levels (of 255) a place must change to be noticed."
    if results.noise is None:
        label(image, "the scene was never still long enough to be learned", 10, 30, WHITE)
        return _panel(results, panel_width, title, caption, image)[0]
    low = float(results.noise.min())
    high = max(low + 8.0, float(np.percentile(results.noise, 99.5)))
    scaled = np.asarray(np.clip((results.noise - low) / (high - low), 0, 1) * 255, np.uint8)
    heat = cv2.applyColorMap(resized(scaled, area.width, area.height), cv2.COLORMAP_INFERNO)
    image = np.asarray(cv2.addWeighted(heat, 0.7, image, 0.3, 0), np.uint8)
    _draw_ignore(results, image)
    panel, area = _panel(results, panel_width, title, caption, image)
    _colour_bar(panel, area, low, high)
    return panel


def _colour_bar(panel: Image, area: _Area, low: float, high: float) -> None:
    left, top, wide = area.left, area.below - 12, 300
    ramp = np.tile(np.linspace(0, 255, wide).astype(np.uint8), (14, 1))
    panel[top : top + 14, left : left + wide] = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)
    for step in range(4):
        x = left + step / 3 * (wide - 1)
        text = f"{low + step / 3 * (high - low):.0f}"
        cv2.line(panel, (round(x), top + 14), (round(x), top + 18), INK)
        write(panel, text, max(left, x - text_width(text) / 2), top + 34, 0.5, GREY)
    write(panel, "grey levels; dark: still, even a faint bird is detected", left + wide + 16, top + 12)
    write(panel, "bright: it moves a lot, only a clear bird is detected", left + wide + 16, top + 34)


def ignored_panel(results: TuningResults, panel_width: int) -> Image:
    """Where something moved that was taken for no bird, in the colour of the reason."""
    area = _area_in(results, panel_width)
    image = _dimmed(resized(results.scene, area.width, area.height))
    reasons = list(results.ignored)
    if reasons:
        maps = np.stack([resized_map(results.ignored[why].places, area) for why in reasons])
        whole = maps.sum(axis=0)
        strength = np.log1p(whole) / np.log1p(max(1.0, float(whole.max())))
        colours = np.array([reason_colour(why) for why in reasons], np.float32)[maps.argmax(axis=0)]
        share = np.where(whole > 0, 0.3 + 0.6 * strength, 0.0)[:, :, None]
        image = np.asarray(image * (1 - share) + colours * share, np.uint8)
    _draw_ignore(results, image)
    panel, area = _panel(
        results,
        panel_width,
        "3  What moved and was ignored",
        "Stronger colour: more often. Numbers: how often. A place full of colour is worth an `ignore` polygon.",
        image,
    )
    known = [why for why in REASONS if why in results.ignored] + [why for why in reasons if why not in REASONS]
    entries = [
        (reason_colour(why), f"{why} {results.ignored[why].count}: {REASONS.get(why, (GREY, 'other'))[1]}")
        for why in known
    ]
    legend(panel, entries or [(LINE, "nothing was ignored")], RULER_X, area.below, 3, (panel_width - RULER_X) // 3)
    return panel


def resized_map(places: NDArray[np.float32], area: _Area) -> NDArray[np.float32]:
    """A coarse map at the size of the panel's image."""
    return np.asarray(cv2.resize(places, (area.width, area.height), interpolation=cv2.INTER_NEAREST), np.float32)


def paths_panel(results: TuningResults, panel_width: int) -> Image:
    """Where each visit's bird was, from its first sighting to its last."""
    area = _area_in(results, panel_width)
    image = _dimmed(resized(results.scene, area.width, area.height))
    _draw_ignore(results, image)
    for number, visit in reversed(list(enumerate(results.visits))):
        colour = VISIT_COLOURS[number % len(VISIT_COLOURS)] if number < MAX_VISITS_SHOWN else GREY
        points = [box.centre for _, box in visit.path]
        line = np.array([(x * area.width, y * area.height) for x, y in points], np.float32)
        _draw_path(image, np.round(line * 16).astype(np.int32), colour)
    _label_paths(results, image)
    panel, area = _panel(
        results,
        panel_width,
        "4  The visits and their paths",
        "Filled dot: first seen; ring: last seen. Number and colour are those of the visit below.",
        image,
    )
    shown = min(len(results.visits), 8)
    entries = [
        (VISIT_COLOURS[i], f"{i + 1}: {time_text(v.start_s, fine=True)} to {time_text(v.end_s, fine=True)}")
        for i, v in enumerate(results.visits[:shown])
    ]
    legend(panel, entries or [(LINE, "no visit was found")], RULER_X, area.below, 4, (panel_width - RULER_X) // 4)
    return panel


def _draw_path(image: Image, line: NDArray[np.int32], colour: Colour) -> None:
    """A polyline in sixteenths of pixels, with its ends."""
    if not len(line):
        return
    cv2.polylines(image, [line], False, WHITE, 4, cv2.LINE_AA, 4)
    cv2.polylines(image, [line], False, colour, 2, cv2.LINE_AA, 4)
    first, last = (int(line[0][0]), int(line[0][1])), (int(line[-1][0]), int(line[-1][1]))
    cv2.circle(image, last, 8 * 16, WHITE, 5, cv2.LINE_AA, 4)
    cv2.circle(image, last, 8 * 16, colour, 2, cv2.LINE_AA, 4)
    cv2.circle(image, first, 6 * 16, WHITE, cv2.FILLED, cv2.LINE_AA, 4)
    cv2.circle(image, first, 5 * 16, colour, cv2.FILLED, cv2.LINE_AA, 4)


def _label_paths(results: TuningResults, image: Image) -> None:
    """Times at both ends; a label moves down until it covers no other."""
    height, width = image.shape[:2]
    taken: list[tuple[float, float]] = []
    for number, visit in enumerate(results.visits[:MAX_VISITS_SHOWN]):
        if not visit.path:
            continue
        (_, first), (_, last) = visit.path[0], visit.path[-1]
        ends: Sequence[tuple[str, tuple[float, float]]] = [
            (f"{number + 1}  {time_text(visit.start_s, fine=True)}", first.centre),
            (f"{number + 1}  {time_text(visit.end_s, fine=True)}", last.centre),
        ]
        for text, (x, y) in ends:
            left, base = min(x * width + 12, width - 110), y * height - 4
            while any(abs(left - a) < 100 and abs(base - b) < 19 for a, b in taken) and base < height - 20:
                base += 19
            taken.append((left, base))
            label(image, text, left, base, WHITE)


PANELS: tuple[Callable[[TuningResults, int], Image], ...] = (scale_panel, noise_panel, ignored_panel, paths_panel)
