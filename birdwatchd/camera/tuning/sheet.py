"""Lay out one tuning sheet: what was watched, the four panels, the timeline, and the crops of each visit.

Pure: results go in, an image comes out. The sheet is as wide as a screen and as high as it must be.
"""

from __future__ import annotations

import cv2
import numpy as np

from birdwatchd.camera.tuning.draw import (
    GREY,
    INK,
    LINE,
    PAPER,
    VISIT_COLOURS,
    Colour,
    legend,
    resized,
    text_width,
    time_text,
    write,
)
from birdwatchd.camera.tuning.log import MAX_VISITS_SHOWN, GateState, Image, TuningResults, VisitResult
from birdwatchd.camera.tuning.panels import PANELS, panel_height
from birdwatchd.records import Moment

__all__ = ["WIDTH", "draw_sheet"]

WIDTH = 1800  # pixels
MARGIN = 28
HEADER = 152
WARNING = 34  # below it, where birds could hardly be seen
RED: Colour = (30, 30, 200)
TIMELINE = 236
CROP = 132  # side of a crop
CROPS = 6  # of one visit
VISIT_ROW = 46 + CROP + 44
STATES: dict[GateState, tuple[Colour, str]] = {
    GateState.LEARNING: ((205, 170, 110), "learning the background"),
    GateState.CHANGED: ((70, 70, 220), "the whole frame changed"),
}
FOREGROUND: Colour = (150, 120, 80)
PALE: Colour = (238, 236, 232)


def draw_sheet(results: TuningResults) -> Image:
    """The whole sheet: BGR, uint8 (height, WIDTH, 3)."""
    half = (WIDTH - 3 * MARGIN) // 2
    down = panel_height(results, half) + 18
    shown = min(len(results.visits), MAX_VISITS_SHOWN)
    rows = -(-shown // 2)
    visits = 60 + max(1, rows) * VISIT_ROW if shown else 70
    header = HEADER + (WARNING if results.blind is not None else 0)
    top = header + 2 * down
    sheet = np.full((top + TIMELINE + visits, WIDTH, 3), PAPER, np.uint8)
    _draw_header(results, sheet[:HEADER])
    if results.blind is not None:
        write(sheet[HEADER:header], _sentence(str(results.blind)), MARGIN, 22, 0.55, RED, bold=True)
    for number, panel in enumerate(PANELS):
        x, y = MARGIN + number % 2 * (half + MARGIN), header + number // 2 * down
        drawn = panel(results, half)
        sheet[y : y + drawn.shape[0], x : x + half] = drawn
    _draw_timeline(results, sheet[top : top + TIMELINE])
    _draw_visits(results, sheet[top + TIMELINE :])
    return sheet


# -- header ---------------------------------------------------------------------------------------------------------


def _draw_header(results: TuningResults, part: Image) -> None:
    end = write(part, results.name, MARGIN, 42, 1.0, bold=True)
    write(part, "what the motion gate sees", end + 18, 42, 0.68, GREY)
    origin = f"{results.source}    from {results.start:%Y-%m-%d %H:%M:%S} UTC"
    write(part, origin, MARGIN, 68, 0.5, GREY)
    if results.problem:
        write(part, f"ended early: {results.problem}", MARGIN + text_width(origin) + 40, 68, 0.5, RED)
    cv2.line(part, (MARGIN, 82), (WIDTH - MARGIN, 82), LINE)
    facts = _facts(results)
    pitch = (WIDTH - 2 * MARGIN) // len(facts)
    for number, (name, fact, more) in enumerate(facts):
        x = MARGIN + number * pitch
        write(part, name, x, 102, 0.5, GREY)
        write(part, fact, x, 124, 0.6, bold=True)
        write(part, more, x, 143, 0.5, GREY)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _facts(results: TuningResults) -> list[tuple[str, str, str]]:
    """(name, fact, more) of each column in the header."""
    width, height = results.frame_size
    seconds = max(results.seconds, 1e-3)
    least, (rows, columns) = results.min_bird, results.grid_shape
    share = f"{100 * least / height:.1f} %"
    if results.main_size == results.frame_size:
        of_what = f"{share} of the height"
    else:
        of_what = f"{share}; {least * results.main_size[1] / height:.0f} px of the main stream"
    birds = len(results.visits)
    learning, changed = (100 * results.share_of(state) for state in (GateState.LEARNING, GateState.CHANGED))
    blind, why = learning + changed, f"learning {learning:.1f} %, changes {changed:.1f} %"
    if results.blind is not None:
        blind, why = 100 * results.blind.blind_s / seconds, "or nearly so; see below"
    return [
        ("Frame", f"{width} x {height} px", f"{(results.frames - 1) / seconds:.1f} frames per second"),
        ("Read", f"{results.seconds:.1f} s", f"{results.frames} frames"),
        ("Smallest bird", f"{least} px", of_what),
        ("Grid", f"{columns} x {rows} cells", f"of {results.cell} px; a bird: {least / results.cell:.1f} cells"),
        ("Looks", f"{len(results.samples) / seconds:.1f} per second", "more while something moves"),
        ("Visits found", str(birds), f"{60 * birds / seconds:.1f} per minute"),
        ("Blind", f"{min(blind, 100.0):.1f} % of the time", why),
    ]


# -- timeline -------------------------------------------------------------------------------------------------------


def _draw_timeline(results: TuningResults, part: Image) -> None:
    write(part, "5  Over time", MARGIN, 22, 0.68, bold=True)
    what = "Share of the frame that differs from the background, before anything is ignored."
    write(part, what, MARGIN + 150, 22, 0.5, GREY)
    left, right, top, bottom = MARGIN + 66, WIDTH - MARGIN - 8, 40, 130
    length = max(results.seconds, 1e-3)
    busiest = max((g.foreground_ratio for g in results.samples if g.state is GateState.WATCHING), default=0.0)
    most = max(0.005, busiest)
    cv2.rectangle(part, (left, top), (right, bottom), PALE, cv2.FILLED)
    _draw_states(results, part, (left, right, top, bottom + 46))
    _draw_foreground(results, part, (left, right, top, bottom), most)
    for share in (0.0, 0.5, 1.0):
        text = f"{100 * share * most:.1f} %"
        write(part, text, left - 8 - text_width(text, 0.45), bottom - share * (bottom - top) + 5, 0.45, GREY)
    write(part, "visits", left - 8 - text_width("visits"), bottom + 28, 0.5, GREY)
    lanes = _lanes(results.visits)
    high = max(3, min(12, 40 // max(1, max(lanes, default=0) + 1)))
    for number, (visit, lane) in enumerate(zip(results.visits, lanes, strict=True)):
        x0 = left + round(visit.start_s / length * (right - left))
        x1 = left + round(visit.end_s / length * (right - left))
        y = bottom + 6 + lane * high
        colour = VISIT_COLOURS[number % len(VISIT_COLOURS)] if number < MAX_VISITS_SHOWN else GREY
        cv2.rectangle(part, (x0, y), (max(x1, x0 + 3), y + high - 2), colour, cv2.FILLED)
    _draw_axis(part, (left, right), bottom + 48, length)
    entries = [(FOREGROUND, "differs from the background"), *STATES.values()]
    legend(part, entries, left, bottom + 94, 3, 260)


def _draw_states(results: TuningResults, part: Image, place: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = place
    length = max(results.seconds, 1e-3)
    ends = [sample.at_s for sample in results.samples[1:]] + [results.seconds]
    for sample, end in zip(results.samples, ends, strict=False):
        if sample.state in STATES:
            x0, x1 = (left + round(s / length * (right - left)) for s in (sample.at_s, end))
            cv2.rectangle(part, (x0, top), (max(x0 + 1, x1), bottom), STATES[sample.state][0], cv2.FILLED)


def _draw_foreground(results: TuningResults, part: Image, place: tuple[int, int, int, int], most: float) -> None:
    """The largest share in each column of pixels."""
    left, right, top, bottom = place
    length = max(results.seconds, 1e-3)
    columns = np.zeros(right - left + 1, np.float32)
    for sample in results.samples:
        if sample.state is GateState.WATCHING:
            x = min(right - left, round(sample.at_s / length * (right - left)))
            columns[x] = max(columns[x], sample.foreground_ratio)
    filled = np.asarray(cv2.dilate(columns[None, :], np.ones((1, 3), np.uint8)), np.float32)[0]
    for x, share in enumerate(filled):
        if share > 0:
            y = bottom - round(float(min(1.0, share / most)) * (bottom - top))
            cv2.line(part, (left + x, bottom), (left + x, y), FOREGROUND)


def _lanes(visits: tuple[VisitResult, ...]) -> list[int]:
    """A lane for each visit, so that visits at the same time lie below each other."""
    free: list[float] = []
    lanes = []
    for visit in visits:
        lane = next((i for i, end in enumerate(free) if end <= visit.start_s), len(free))
        free[lane : lane + 1] = [visit.end_s]
        lanes.append(lane)
    return lanes


def _draw_axis(part: Image, span: tuple[int, int], y: int, length: float) -> None:
    left, right = span
    cv2.line(part, (left, y), (right, y), INK)
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    step = next((s for s in steps if length / s <= 16), steps[-1])
    for tick in range(int(length // step) + 1):
        x = left + round(tick * step / length * (right - left))
        cv2.line(part, (x, y), (x, y + 5), INK)
        text = time_text(tick * step)
        write(part, text, min(x - text_width(text, 0.45) / 2, right - text_width(text, 0.45)), y + 21, 0.45, GREY)


# -- crops of visits ------------------------------------------------------------------------------------------------


def _draw_visits(results: TuningResults, part: Image) -> None:
    write(part, "6  The crops chosen for each visit", MARGIN, 22, 0.68, bold=True)
    if not results.visits:
        hint = "No visit was found. If birds came: is min_bird too large (1), their place bright on the map (2)?"
        write(part, hint, MARGIN, 50, 0.55, GREY)
        return
    caption = "Below each: time, quality (0 to 1; sharp, large and whole is better) and size of the bird in px."
    more = len(results.visits) - MAX_VISITS_SHOWN
    if more > 0:
        caption += f" {more} more visits are not shown."
    write(part, caption, MARGIN + 400, 22, 0.5, GREY)
    half = (WIDTH - 3 * MARGIN) // 2
    for number, visit in enumerate(results.visits[:MAX_VISITS_SHOWN]):
        x, y = MARGIN + number % 2 * (half + MARGIN), 40 + number // 2 * VISIT_ROW
        _draw_visit(results, visit, number, part[y : y + VISIT_ROW, x : x + half])


def _draw_visit(results: TuningResults, visit: VisitResult, number: int, part: Image) -> None:
    cv2.rectangle(part, (0, 6), (13, 20), VISIT_COLOURS[number % len(VISIT_COLOURS)], cv2.FILLED)
    end = write(part, f"{number + 1}", 22, 20, 0.6, bold=True)
    start, end_text = time_text(visit.start_s, fine=True), time_text(visit.end_s, fine=True)
    times = f"{start} to {end_text}, {visit.end_s - visit.start_s:.1f} s"
    more = len(visit.moments) - CROPS
    times += f"; {more} more crop{'' if more == 1 else 's'}" if more > 0 else ""
    write(part, times if visit.moments else f"{times}; no crop was good enough", end + 12, 20, 0.5, GREY)
    for place, moment in enumerate(visit.moments[:CROPS]):
        x = place * (CROP + 14)
        if x + CROP > part.shape[1]:
            return
        crop = cv2.imdecode(np.frombuffer(moment.crop.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if crop is None:
            continue
        part[30 : 30 + CROP, x : x + CROP] = resized(np.asarray(crop, np.uint8), CROP, CROP)
        cv2.rectangle(part, (x, 30), (x + CROP - 1, 30 + CROP - 1), LINE)
        _draw_moment(results, moment, part, x)


def _draw_moment(results: TuningResults, moment: Moment, part: Image, x: int) -> None:
    width, height = results.frame_size
    after_s = (moment.at - results.start).total_seconds()
    size = f"{round(moment.box.w * width)} x {round(moment.box.h * height)} px"
    write(part, f"{time_text(max(0.0, after_s), fine=True)}  q {moment.quality:.2f}", x, 30 + CROP + 18, 0.5)
    write(part, size, x, 30 + CROP + 37, 0.5, GREY)
