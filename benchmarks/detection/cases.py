"""The cases by name: what disturbs the picture, which birds come, and how the camera encodes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "Case", "Encoding", "case_named"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the camera compresses.

    Attributes:
        codec: libav's name.
        crf: constant quality (variable bit rate); None for constant bit rate.
        kbps: the constant bit rate.
        gop_s: seconds from key frame to key frame.
    """

    codec: str = "libx264"
    crf: float | None = 26
    kbps: int = 0
    gop_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Case:
    """One scene.

    Attributes:
        weather: what disturbs the picture, of wind, rain, snow, flicker, exposure, infrared, shadow, shake, overlay,
            insect.
        plan: who comes, a name of `plans.PLANS`.
        seconds: length; None for as many minutes as asked for.
        min_bird: what the methods are told is the smallest bird, pixels.
        pace: shortens the time between disturbances where birds are present.
        noise: spread of the sensor's noise, grey levels.
    """

    name: str
    number: int
    weather: tuple[str, ...]
    plan: str = "nobody"
    seconds: float | None = None
    encoding: Encoding = Encoding()
    width: int = 960
    height: int = 540
    fps: int = 15
    min_bird: int = 20
    pace: float = 1.0
    noise: float = 2.7

    @property
    def empty(self) -> bool:
        """Whether no bird ever comes."""
        return self.plan == "nobody"


_VBR264, _CBR264 = Encoding(), Encoding(crf=None, kbps=1200, gop_s=2.0)
_VBR265, _CBR265 = Encoding("libx265", crf=23, gop_s=4.0), Encoding("libx265", crf=None, kbps=800, gop_s=4.0)
_STARVED = Encoding(crf=None, kbps=260, gop_s=3.0)  # too few bits: the picture jumps at every key frame

_WEATHER: dict[str, tuple[Encoding, Encoding]] = {  # of the empty case and of the one with birds
    "noise": (_CBR265, _CBR265),
    "wind": (_CBR264, _VBR264),
    "rain": (_VBR264, _CBR264),
    "snow": (_VBR264, _VBR265),
    "flicker": (_CBR264, _VBR264),
    "exposure": (_VBR265, _CBR264),
    "infrared": (_CBR264, _VBR264),
    "shadow": (_VBR264, _CBR265),
    "shake": (_CBR264, _VBR264),
    "overlay": (_VBR264, _CBR264),
    "pulsing": (_STARVED, _STARVED),
    "insect": (_VBR264, _VBR264),
}


def _empty(number: int, weather: str) -> Case:
    return Case(weather, number, _effects(weather), encoding=_WEATHER[weather][0])


def _effects(weather: str) -> tuple[str, ...]:
    return () if weather in ("noise", "pulsing") else (weather,)


def _birds(number: int, weather: str) -> Case:
    name = "plain" if weather == "noise" else f"{weather}_birds"
    return Case(name, number, _effects(weather), "varied", 100.0, _WEATHER[weather][1], pace=0.3)


CASES: tuple[Case, ...] = (
    *(_empty(number, weather) for number, weather in enumerate(_WEATHER)),
    *(_birds(20 + number, weather) for number, weather in enumerate(_WEATHER) if weather != "insect"),
    Case("small", 40, (), "small", 90.0, _VBR264, width=1920, height=1080),
    Case("short", 41, (), "short", 90.0, _CBR264),
    Case("still", 42, (), "still", 386.0, _VBR264),
    Case("first_frame", 43, (), "first_frame", 75.0, _VBR264),
    Case("first_frame_still", 44, (), "first_frame_still", 75.0, _CBR264),
    Case("cross", 45, (), "cross", 110.0, _VBR264),
    Case("side_by_side", 46, (), "side_by_side", 120.0, _CBR264),
    Case("flythrough", 47, (), "flythrough", 90.0, _VBR265),
    Case("many", 48, (), "many", 100.0, _CBR264),
)


def case_named(name: str) -> Case:
    """The case of that name; KeyError names those there are."""
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(f"no case {name!r}; there are {', '.join(case.name for case in CASES)}")
