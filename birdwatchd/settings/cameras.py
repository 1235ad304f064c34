"""Describe a camera: where its pictures come from, which of its places matter, and what it may cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from birdwatchd.address import Source
from birdwatchd.settings.base import Fraction, Polygon, Settings

__all__ = ["BirdSize", "CameraSettings", "TlsMode", "auto_min_bird"]

LEAST_BIRD, MOST_BIRD = 8, 2000  # pixels that may be asked for
LEAST_CROP = 0.05  # of the picture's width and height
FULL_HD, FULL_HD_BIRD = 1080, 24  # pixels of a picture's shorter side, and of the smallest bird in it
# The least that `auto` asks for, pixels, in pictures up to so many lines: for birds of less than 16 pixels motion is
# looked for in cells of 2 × 2 pixels, for less than 8 pixel by pixel. A finer grid costs two to three times as much,
# finds noise and leaves, and cuts birds into pieces. On real feeders at 320 × 240, 16 pixels find 69 of 72 moments with
# a bird, 12 find 61; magpies at another 320 × 240 camera need 16 (covered 1.00; with 20 0.46).
LEAST_AUTO_BIRD = ((540, 16), (math.inf, 20))


def _to_source(value: object) -> Source:
    if isinstance(value, Source):
        return value
    if not isinstance(value, str):
        raise ValueError("is not an address; write a URL, a path or /dev/video0 as text")
    return Source(value)


def _to_bird_size(value: object) -> object:
    if value == "auto":
        return value
    try:
        pixels = None if isinstance(value, bool) else float(str(value))
    except ValueError:
        pixels = None
    if pixels is not None and pixels.is_integer() and LEAST_BIRD <= pixels <= MOST_BIRD:
        return int(pixels)
    raise ValueError(f"is {value!r}; use auto, or a whole number from {LEAST_BIRD} to {MOST_BIRD}")


def _to_tls_mode(value: object) -> object:
    """YAML reads `off` as false."""
    return "off" if value is False else value


def _to_fingerprint(value: object) -> str:
    text = str(value).lower().removeprefix("sha256:").replace(":", "").replace(" ", "")
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("is not a SHA-256 fingerprint; write its 64 hexadecimal digits, in quotes")
    return text


def _check_crop(edges: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = edges
    if right - left < LEAST_CROP or bottom - top < LEAST_CROP:
        raise ValueError(
            f"leaves nothing; write [left, top, right, bottom] as fractions that are {LEAST_CROP:g} apart or more"
        )
    return edges


TlsMode = Literal["verify", "fingerprint", "off"]
BirdSize = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=LEAST_BIRD, le=MOST_BIRD)], BeforeValidator(_to_bird_size)
]
SourceField = Annotated[Source, BeforeValidator(_to_source)]


def auto_min_bird(width: int, height: int) -> int:
    """The smallest bird worth a visit in frames of this size, pixels.

    2.2 % of the shorter side from 1080p upwards. Below, its share grows (with the square root), because noise and the
    blocks of the encoder have as many pixels in a small picture as in a large one.
    """
    factor = min(width, height) / FULL_HD
    least = next(pixels for lines, pixels in LEAST_AUTO_BIRD if min(width, height) <= lines)
    return max(least, round(FULL_HD_BIRD * (factor if factor > 1 else math.sqrt(factor))))


class CameraSettings(Settings):
    """One camera.

    `gate_source` is a smaller stream of the same picture, in which motion is looked for; `source` is then decoded only
    while there is something to cut out.
    `rotate` turns the picture clockwise, in degrees, and `mirror` then exchanges left and right, both besides what the
    stream says of itself; `crop` is the part of it that is watched: left, top, right and bottom in fractions. All
    other fractions are of that part, and all pixels those of the picture as it is shown.
    `transport` says how an RTSP camera sends its pictures; `auto` tries TCP, then UDP. `poll_s` is the time between two
    pictures of an address that gives one at a time; `auto` is a quarter of a second.
    `area` is where it stands, for Home Assistant. `zones` are places in the picture that alert rules may name.
    `min_bird` is the height or width, in pixels of the source frame, of the smallest bird worth a visit; `auto` goes
    by the frame (`smallest_bird`).
    `open_timeout_s` and `read_timeout_s` bound every wait for the camera. `ring_mb` bounds the compressed video that is
    kept for looking back `pre_roll_s` before a bird was noticed, and for clips. `decode` says which device decodes.
    `keep_lifeless` keeps also what neither moved like an animal nor got a name (dust, leaves, light).
    A clip goes on for `post_roll_s` after the bird left, and is at most `clip_max_s` long.
    `mask` are polygons that are black in every picture, and in which nothing is seen. Clips are not decoded, so a
    camera with a mask keeps none. `store` says which pictures are kept: `crops` of the birds; `frames`, each crop with
    the whole frame beside it; or `nothing`, and then none is sent either.
    `tls` says which certificate of an https or rtsps camera is accepted: one that an authority signed for its host
    (`verify`), the one with `tls_fingerprint` (`fingerprint`), or any (`off`).
    `memory_mb` bounds the memory of the camera's process; `auto` goes by `ring_mb` and what decodes.
    """

    source: SourceField
    gate_source: SourceField | None = None
    name: str = ""
    area: str = ""
    rotate: Literal[0, 90, 180, 270] = 0
    mirror: bool = False
    crop: Annotated[tuple[Fraction, Fraction, Fraction, Fraction], AfterValidator(_check_crop)] | None = None
    ignore: tuple[Polygon, ...] = ()
    mask: tuple[Polygon, ...] = ()
    store: Literal["crops", "frames", "nothing"] = "crops"
    zones: Mapping[str, Polygon] = Field(default_factory=dict)
    min_bird: BirdSize = "auto"
    enabled: bool = True
    open_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    read_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    max_moments: Annotated[int, Field(ge=1, le=64)] = 24
    max_fps: Annotated[float, Field(gt=0, le=120)] = 15.0
    decode: Literal["auto", "cpu", "cuda", "vaapi"] = "auto"
    ring_mb: Annotated[int, Field(ge=1, le=1024)] = 32
    pre_roll_s: Annotated[float, Field(ge=0, le=30)] = 3.0
    clips: bool = False
    post_roll_s: Annotated[float, Field(ge=0, le=30)] = 2.0
    clip_max_s: Annotated[float, Field(ge=10, le=3600)] = 600.0
    keep_lifeless: bool = False
    transport: Literal["auto", "tcp", "udp"] = "auto"
    poll_s: Literal["auto"] | Annotated[float, Field(ge=0.1, le=30)] = "auto"
    tls: Annotated[TlsMode, BeforeValidator(_to_tls_mode)] = "off"
    tls_fingerprint: Annotated[str, BeforeValidator(_to_fingerprint)] = ""
    memory_mb: Literal["auto"] | Annotated[int, Field(ge=256, le=65536)] = "auto"

    @model_validator(mode="after")
    def _clips_show_nothing_masked(self) -> CameraSettings:
        if self.clips and self.mask:
            raise ValueError(
                "has a mask and keeps clips, which are stored as the camera sends them, without the mask;"
                " set clips: off, or mask the place in the camera itself"
            )
        if self.clips and self.store == "nothing":
            raise ValueError("has store: nothing and keeps clips, which are pictures too; set clips: off")
        return self

    @property
    def keeps_clips(self) -> bool:
        """Whether clips are kept: never of a camera whose pictures are masked or not to be kept."""
        return self.clips and not self.mask and self.store != "nothing"

    @model_validator(mode="after")
    def _fingerprint_belongs_to_its_mode(self) -> CameraSettings:
        if self.tls == "fingerprint" and not self.tls_fingerprint:
            raise ValueError(
                "tls is fingerprint, but tls_fingerprint is missing; `birdwatchd check --probe` with tls: off shows it"
            )
        return self

    @model_validator(mode="after")
    def _transport_fits_the_address(self) -> CameraSettings:
        if self.transport == "udp" and self.source.kind == "rtsp" and self.source.endpoint[2]:
            raise ValueError("has transport: udp and an rtsps address, which is TCP; use rtsp, or transport: auto")
        return self

    def smallest_bird(self, width: int, height: int) -> int:
        """`min_bird` in pixels of a main stream of this size."""
        return auto_min_bird(width, height) if self.min_bird == "auto" else self.min_bird

    def reveal(self) -> dict[str, Any]:
        """Plain values with the credentials in them, to hand to the camera's own process. Never log it."""
        addresses = {"source": self.source.reveal()}
        if self.gate_source is not None:
            addresses["gate_source"] = self.gate_source.reveal()
        return self.model_dump(exclude={"source", "gate_source"}) | addresses
