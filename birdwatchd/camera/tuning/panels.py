"""Draw the four pictures of a tuning sheet: scale, noise, what was ignored, and paths.

Each is the camera's picture with something drawn over it and rulers in fractions of the frame, the unit in which
`ignore` polygons are written. Pure: notes and a size go in, a picture comes out.
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
    bird,
    clock,
    fitted,
    label,
    legend,
    reason_colour,
    text_width,
    write,
)
from birdwatchd.camera.tuning.log import WITH_PICTURES, Notes, Picture

__all__ = ["PANELS", "panel_height"]

RULER_X, RULER_Y = 34, 24  # pixels that the rulers take left of and below a picture
HEAD, FOOT = 54, 54  # title and caption above, legend below
TALLEST = 640  # pixels of a picture; portraits are made narrower
INSET = 190  # side of the enlargement


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the picture lies in a panel."""

    left: int
    top: int
    width: int
    height: int

    @property
    def below(self) -> int:
        """Baseline of the first line of the legend."""
        return self.top + self.height + RULER_Y + 18


def _frame(notes: Notes, panel_width: int) -> _Frame:
    width, height = notes.frame_size
    across = panel_width - RULER_X
    down = min(TALLEST, round(across * height / width))
    across = min(across, max(40, round(down * width / height)))
    return _Frame(RULER_X, HEAD, across, max(24, down))


def panel_height(notes: Notes, panel_width: int) -> int:
    """Pixels down that each panel takes at this width."""
    return HEAD + _frame(notes, panel_width).height + RULER_Y + FOOT


def _panel(notes: Notes, panel_width: int, title: str, caption: str, picture: Picture) -> tuple[Picture, _Frame]:
    """An empty panel with title, rulers and the picture; what is drawn over it is drawn by the caller before."""
    frame = _frame(notes, panel_width)
    panel = np.full((panel_height(notes, panel_width), panel_width, 3), PAPER, np.uint8)
    write(panel, title, 0, 20, 0.68, bold=True)
    write(panel, caption, 0, 43, 0.5, GREY)
    panel[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = picture
    bottom, right = frame.top + frame.height, frame.left + frame.width
    for tenth in range(11):
        x, y = frame.left + round(tenth / 10 * (frame.width - 1)), frame.top + round(tenth / 10 * (frame.height - 1))
        long = 6 if tenth % 2 == 0 else 3
        cv2.line(panel, (x, bottom), (x, bottom + long), INK)
        cv2.line(panel, (frame.left - long, y), (frame.left - 1, y), INK)
        if tenth % 2 == 0:
            text = f"{tenth / 10:g}"
            wide = text_width(text, 0.42)
            write(panel, text, min(x - wide / 2, right - wide), bottom + 20, 0.42, GREY)
            write(panel, text, frame.left - 9 - wide, min(y + 5, bottom), 0.42, GREY)
    return panel, frame


def _polygons(notes: Notes, width: int, height: int) -> list[NDArray[np.int32]]:
    return [
        np.round(np.array([(x * (width - 1), y * (height - 1)) for x, y in polygon])).astype(np.int32)
        for polygon in notes.settings.ignore
    ]


def _draw_ignore(notes: Notes, picture: Picture) -> None:
    """Hatch the `ignore` polygons."""
    height, width = picture.shape[:2]
    for polygon in _polygons(notes, width, height):
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [polygon], 255)
        hatch = np.zeros_like(mask)
        for offset in range(-height, width, 14):
            cv2.line(hatch, (offset, height), (offset + height, 0), 255, 2)
        picture[(mask > 0) & (hatch > 0)] = (60, 60, 220)
        cv2.polylines(picture, [polygon], True, (40, 40, 230), 2, cv2.LINE_AA)


def _quiet(picture: Picture) -> Picture:
    """The picture in pale grey, so that colours drawn over it stand out."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(grey, alpha=0.6, beta=70), cv2.COLOR_GRAY2BGR), np.uint8)


def scale_panel(notes: Notes, panel_width: int) -> Picture:
    """The picture as it is, the smallest bird in its true size, and what is left out by `ignore`."""
    frame = _frame(notes, panel_width)
    picture = fitted(notes.picture, frame.width, frame.height)
    _draw_ignore(notes, picture)
    least = notes.settings.min_bird
    side = least * frame.width / notes.frame_size[0]
    x, y = 0.5 * frame.width - side / 2, 0.5 * frame.height - side / 2
    bird(picture, x, y, side, (0, 215, 255))
    around = max(12, round(0.8 * side + 8))
    cv2.circle(picture, (frame.width // 2, frame.height // 2), around, (20, 20, 20), 4, cv2.LINE_AA)
    cv2.circle(picture, (frame.width // 2, frame.height // 2), around, (0, 215, 255), 2, cv2.LINE_AA)
    _draw_inset(notes, picture, around)
    panel, frame = _panel(
        notes,
        panel_width,
        "1  The smallest bird that counts",
        f"The yellow bird is {least} px high: anything clearly smaller is never reported. "
        "Rulers: fractions of the frame.",
        picture,
    )
    entries: list[tuple[Colour, str]] = [((0, 215, 255), f"min_bird: {least}, to scale")]
    count = len(notes.settings.ignore)
    if count:
        entries.append(((40, 40, 230), f"ignore: {count} polygon{'' if count == 1 else 's'}, nothing is seen there"))
    else:
        entries.append((LINE, "ignore: nothing; the whole picture is watched"))
    legend(panel, entries, RULER_X, frame.below, 2, 300)
    return panel


def _draw_inset(notes: Notes, picture: Picture, around: int) -> None:
    """Enlarge the middle of the picture: the smallest bird on the cells of the gate's grid."""
    least, cell = notes.settings.min_bird, notes.cell
    factor = 84 / least
    height, width = picture.shape[:2]
    span = round(INSET / factor)
    if factor < 1.5 or min(height, width) < 2 * INSET or span > min(notes.frame_size):
        return
    left, top = (notes.frame_size[0] - span) // 2, (notes.frame_size[1] - span) // 2
    inset = fitted(notes.picture[top : top + span, left : left + span], INSET, INSET)
    for line in np.arange(0, span, cell):
        at = round(float(line) * factor)
        grid = inset.copy()
        cv2.line(grid, (at, 0), (at, INSET), WHITE)
        cv2.line(grid, (0, at), (INSET, at), WHITE)
        inset[:] = cv2.addWeighted(grid, 0.45, inset, 0.55, 0)
    bird(inset, INSET / 2 - 42, INSET / 2 - 42, 84, (0, 215, 255))
    x, y = width - INSET - 12, height - INSET - 12
    cv2.line(picture, (width // 2 + around, height // 2), (x, y), (0, 215, 255), 1, cv2.LINE_AA)
    picture[y : y + INSET, x : x + INSET] = inset
    cv2.rectangle(picture, (x - 2, y - 2), (x + INSET + 1, y + INSET + 1), (0, 215, 255), 2)
    label(picture, f"{factor:.1f} x enlarged, cells of {cell} px", x - 20, y - 6, WHITE)


def noise_panel(notes: Notes, panel_width: int) -> Picture:
    """By how much each place must change to be noticed."""
    frame = _frame(notes, panel_width)
    picture = _quiet(fitted(notes.picture, frame.width, frame.height))
    title, caption = "2  Restless places", "The picture must change here by so many grey levels (of 255) to be noticed."
    if notes.noise is None:
        label(picture, "the picture was never still long enough to be learned", 10, 30, WHITE)
        return _panel(notes, panel_width, title, caption, picture)[0]
    low = float(notes.noise.min())
    high = max(low + 8.0, float(np.percentile(notes.noise, 99.5)))
    scaled = np.asarray(np.clip((notes.noise - low) / (high - low), 0, 1) * 255, np.uint8)
    heat = cv2.applyColorMap(fitted(scaled, frame.width, frame.height), cv2.COLORMAP_INFERNO)
    picture = np.asarray(cv2.addWeighted(heat, 0.7, picture, 0.3, 0), np.uint8)
    _draw_ignore(notes, picture)
    panel, frame = _panel(notes, panel_width, title, caption, picture)
    _colour_bar(panel, frame, low, high)
    return panel


def _colour_bar(panel: Picture, frame: _Frame, low: float, high: float) -> None:
    left, top, wide = frame.left, frame.below - 12, 300
    ramp = np.tile(np.linspace(0, 255, wide).astype(np.uint8), (14, 1))
    panel[top : top + 14, left : left + wide] = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)
    for step in range(4):
        x = left + step / 3 * (wide - 1)
        text = f"{low + step / 3 * (high - low):.0f}"
        cv2.line(panel, (round(x), top + 14), (round(x), top + 18), INK)
        write(panel, text, max(left, x - text_width(text) / 2), top + 34, 0.5, GREY)
    write(panel, "grey levels; dark: quiet, a dull bird is seen", left + wide + 16, top + 12)
    write(panel, "bright: restless, only a bold bird is seen", left + wide + 16, top + 34)


def ignored_panel(notes: Notes, panel_width: int) -> Picture:
    """Where something moved that was taken for no bird, in the colour of the reason."""
    frame = _frame(notes, panel_width)
    picture = _quiet(fitted(notes.picture, frame.width, frame.height))
    reasons = list(notes.ignored)
    if reasons:
        maps = np.stack([fitted_map(notes.ignored[why].places, frame) for why in reasons])
        whole = maps.sum(axis=0)
        strength = np.log1p(whole) / np.log1p(max(1.0, float(whole.max())))
        colours = np.array([reason_colour(why) for why in reasons], np.float32)[maps.argmax(axis=0)]
        share = np.where(whole > 0, 0.3 + 0.6 * strength, 0.0)[:, :, None]
        picture = np.asarray(picture * (1 - share) + colours * share, np.uint8)
    _draw_ignore(notes, picture)
    panel, frame = _panel(
        notes,
        panel_width,
        "3  What moved and was ignored",
        "Stronger colour: more often. Numbers: how often. A place full of colour is worth an `ignore` polygon.",
        picture,
    )
    known = [why for why in REASONS if why in notes.ignored] + [why for why in reasons if why not in REASONS]
    entries = [
        (reason_colour(why), f"{why} {notes.ignored[why].count}: {REASONS.get(why, (GREY, 'other'))[1]}")
        for why in known
    ]
    legend(panel, entries or [(LINE, "nothing was ignored")], RULER_X, frame.below, 3, (panel_width - RULER_X) // 3)
    return panel


def fitted_map(places: NDArray[np.float32], frame: _Frame) -> NDArray[np.float32]:
    """A coarse map at the size of the panel's picture."""
    return np.asarray(cv2.resize(places, (frame.width, frame.height), interpolation=cv2.INTER_NEAREST), np.float32)


def paths_panel(notes: Notes, panel_width: int) -> Picture:
    """Where each visit's bird was, from its first sighting to its last."""
    frame = _frame(notes, panel_width)
    picture = _quiet(fitted(notes.picture, frame.width, frame.height))
    _draw_ignore(notes, picture)
    for number, visit in reversed(list(enumerate(notes.visits))):
        colour = VISIT_COLOURS[number % len(VISIT_COLOURS)] if number < WITH_PICTURES else GREY
        points = [box.centre for _, box in visit.path]
        line = np.array([(x * frame.width, y * frame.height) for x, y in points], np.float32)
        _draw_path(picture, np.round(line * 16).astype(np.int32), colour)
    _label_paths(notes, picture)
    panel, frame = _panel(
        notes,
        panel_width,
        "4  The visits and their paths",
        "Filled dot: first seen; ring: last seen. Number and colour are those of the visit below.",
        picture,
    )
    shown = min(len(notes.visits), 8)
    entries = [
        (VISIT_COLOURS[i], f"{i + 1}: {clock(v.start_s, fine=True)} to {clock(v.end_s, fine=True)}")
        for i, v in enumerate(notes.visits[:shown])
    ]
    legend(panel, entries or [(LINE, "no visit was found")], RULER_X, frame.below, 4, (panel_width - RULER_X) // 4)
    return panel


def _draw_path(picture: Picture, line: NDArray[np.int32], colour: Colour) -> None:
    """A polyline in sixteenths of pixels, with its ends."""
    if not len(line):
        return
    cv2.polylines(picture, [line], False, WHITE, 4, cv2.LINE_AA, 4)
    cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA, 4)
    first, last = (int(line[0][0]), int(line[0][1])), (int(line[-1][0]), int(line[-1][1]))
    cv2.circle(picture, last, 8 * 16, WHITE, 5, cv2.LINE_AA, 4)
    cv2.circle(picture, last, 8 * 16, colour, 2, cv2.LINE_AA, 4)
    cv2.circle(picture, first, 6 * 16, WHITE, cv2.FILLED, cv2.LINE_AA, 4)
    cv2.circle(picture, first, 5 * 16, colour, cv2.FILLED, cv2.LINE_AA, 4)


def _label_paths(notes: Notes, picture: Picture) -> None:
    """Times at both ends; a label moves down until it covers no other."""
    height, width = picture.shape[:2]
    taken: list[tuple[float, float]] = []
    for number, visit in enumerate(notes.visits[:WITH_PICTURES]):
        if not visit.path:
            continue
        (_, first), (_, last) = visit.path[0], visit.path[-1]
        ends: Sequence[tuple[str, tuple[float, float]]] = [
            (f"{number + 1}  {clock(visit.start_s, fine=True)}", first.centre),
            (f"{number + 1}  {clock(visit.end_s, fine=True)}", last.centre),
        ]
        for text, (x, y) in ends:
            left, base = min(x * width + 12, width - 110), y * height - 4
            while any(abs(left - a) < 100 and abs(base - b) < 19 for a, b in taken) and base < height - 20:
                base += 19
            taken.append((left, base))
            label(picture, text, left, base, WHITE)


PANELS: tuple[Callable[[Notes, int], Picture], ...] = (scale_panel, noise_panel, ignored_panel, paths_panel)
