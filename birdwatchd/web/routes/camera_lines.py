"""Show the lines of a configuration for places that were drawn in a camera's picture: `ignore`, `mask` and `zones`.

They are for a person to copy. Nothing here writes a configuration; what would be refused in one is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pydantic import ValidationError

from birdwatchd.settings.cameras import CameraSettings

__all__ = ["WHOLE", "CannotBeWritten", "Drawn", "Part", "Polygon", "drawn_shapes", "into_main", "into_part", "lines_of"]

Polygon = tuple[tuple[float, float], ...]
Part = tuple[float, float, float, float]
WHOLE: Part = (0.0, 0.0, 1.0, 1.0)
MOST_POINTS = 100  # an address may have 2,000 characters
DIGITS = 3  # of a fraction: a pixel or two of what cameras send
_LINE = re.compile(r"[\d.,;\s\[\]-]*")
_NUMBER = re.compile(r"\d*\.?\d+")


class CannotBeWritten(ValueError):
    """No lines can be made of what was drawn; the text says why."""


class Drawn:
    """What a person wants to set.

    Attributes:
        key: `ignore`, `mask` or `zones`.
        shapes: polygons, in fractions of the picture that the setting is about.
        zone: the name of a zone.
        instead: whether the places that are set already go.
    """

    __slots__ = ("instead", "key", "shapes", "zone")

    def __init__(self, key: str, shapes: Sequence[Polygon], zone: str = "", *, instead: bool = False) -> None:
        self.key, self.shapes, self.zone, self.instead = key, tuple(shapes), zone.strip(), instead


def drawn_shapes(text: str) -> list[Polygon]:
    """The polygons of a text: one a line, `x y, x y, x y` in fractions; brackets may stand there too.

    Raises:
        CannotBeWritten: with the line and what is wrong in it.
    """
    shapes: list[Polygon] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if not _LINE.fullmatch(line) or "-" in line:
            raise CannotBeWritten(f"Line {number} holds something other than numbers from 0 to 1.")
        values = [float(value) for value in _NUMBER.findall(line)]
        if len(values) % 2:
            raise CannotBeWritten(f"Line {number} has an odd number of numbers: each corner has two.")
        if any(value > 1 for value in values):
            raise CannotBeWritten(f"Line {number} has a number above 1: they are fractions of the picture.")
        if len(values) < 6:
            raise CannotBeWritten(f"A place needs three corners or more; line {number} has {len(values) // 2}.")
        shapes.append(
            tuple((round(x, DIGITS), round(y, DIGITS)) for x, y in zip(values[::2], values[1::2], strict=True))
        )
    if sum(len(shape) for shape in shapes) > MOST_POINTS:
        raise CannotBeWritten(f"That is more than {MOST_POINTS} corners; use fewer.")
    return shapes


def lines_of(settings: CameraSettings, drawn: Drawn) -> str:
    """The lines below a camera's key, indented by four.

    Raises:
        CannotBeWritten: the configuration would be refused with them.
    """
    lines = [f"    {drawn.key}:"]
    value: object
    if drawn.key == "zones":
        if not drawn.zone or len(drawn.zone) > 64 or not drawn.zone.isprintable():
            raise CannotBeWritten("Give the zone a name; alert rules use it.")
        if len(drawn.shapes) != 1:
            raise CannotBeWritten("A zone is one place; draw one.")
        zones = ({} if drawn.instead else dict(settings.zones)) | {drawn.zone: drawn.shapes[0]}
        lines += [f"      {json.dumps(name, ensure_ascii=False)}: {_flow(shape)}" for name, shape in zones.items()]
        value = zones
    else:
        shapes = [*(() if drawn.instead else getattr(settings, drawn.key)), *drawn.shapes]
        lines += [f"      - {_flow(shape)}" for shape in shapes]
        value = shapes
    changed: dict[str, object] = {drawn.key: value}
    if drawn.key == "mask" and settings.clips:
        lines.append("    clips: off  # clips cannot be masked")
        changed["clips"] = False
    try:
        CameraSettings.model_validate(
            settings.model_dump(exclude={"source", "gate_source"}) | changed | {"source": "/"}
        )
    except ValidationError as error:
        raise CannotBeWritten(f"The configuration would be refused: {error.errors()[0]['msg']}.") from None
    return "\n".join(lines) + "\n"


def _flow(shape: Sequence[tuple[float, float]]) -> str:
    return "[" + ", ".join(f"[{_plain(x)}, {_plain(y)}]" for x, y in shape) + "]"


def _plain(value: float) -> str:
    """Without an exponent, which YAML 1.1 takes for a text."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def into_main(shape: Polygon, part: Part) -> Polygon:
    """A place in a small stream's picture as one in the main stream's, of which the small one shows a part."""
    left, top, width, height = part
    return tuple((_fraction(left + x * width), _fraction(top + y * height)) for x, y in shape)


def into_part(shape: Sequence[tuple[float, float]], part: Part) -> Polygon:
    """A place in the main stream's picture as one in the small stream's; it may lie beyond its edges."""
    left, top, width, height = part
    return tuple(((x - left) / width, (y - top) / height) for x, y in shape)


def _fraction(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), DIGITS)
