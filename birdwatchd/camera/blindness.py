"""Say in words why a camera can hardly see birds, and what a person can do about it.

Whether it can is measured where motion is detected (`motion/sight.py`). Imports no heavy library: the main process,
which decodes nothing, logs these words.
"""

from __future__ import annotations

from dataclasses import dataclass

from birdwatchd.records import Blindness

__all__ = ["BlindSpell", "explain"]

_WORDS: dict[Blindness, tuple[str, str]] = {
    Blindness.FROZEN: ("the picture is frozen", "restart the camera, or the recorder that it comes from"),
    Blindness.DARK: (
        "the picture is black",
        "check the lens cover, the exposure and the infra-red lamp; a night without a lamp is as dark as that",
    ),
    Blindness.FLAT: ("the picture shows nothing", "clean the lens; it is covered, fogged up or overexposed"),
    Blindness.SHAKING: (
        "the camera moves too much",
        "fix it to something firm, shield it from the wind, and switch off whatever turns it",
    ),
    Blindness.RESTLESS: (
        "almost the whole picture moves",
        "turn the camera away from water and leaves, dry the lens, or draw `ignore` polygons around what moves",
    ),
}


@dataclass(frozen=True, slots=True)
class BlindSpell:
    """For how much of a recording birds could hardly be seen, and mostly why.

    Attributes:
        blind_s: seconds of that.
        seconds: of the recording that were watched.
    """

    why: Blindness
    blind_s: float
    seconds: float

    def __str__(self) -> str:
        return f"for {self.blind_s:.0f} of {self.seconds:.0f} s birds could hardly be seen: {explain(self.why)}"


def explain(why: Blindness) -> str:
    """The reason and what to do, without a full stop."""
    reason, advice = _WORDS[why]
    return f"{reason}; {advice}"
