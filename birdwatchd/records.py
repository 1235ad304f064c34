"""The nouns that flow through birdwatchd: small frozen records, never a dict between stages.

Boxes are fractions of the frame (x, y, w, h) with a top-left origin, everywhere; pixels live inside one function.
Times are aware UTC datetimes.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # `birdwatchd --help` does without NumPy
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LIFELESS",
    "TEST_CAMERA",
    "Blindness",
    "Box",
    "CameraState",
    "CameraStatus",
    "Crop",
    "Evidence",
    "Label",
    "LiveView",
    "Message",
    "Moment",
    "Phase",
    "Prediction",
    "Rank",
    "Region",
    "State",
    "Verdict",
    "Visit",
    "clip_part",
    "clip_path",
    "new_visit_id",
    "rfc3339",
    "visit_start",
]

FloatArray: TypeAlias = "NDArray[np.float32]"
HalfArray: TypeAlias = "NDArray[np.float16]"

TEST_CAMERA = "-selftest-"  # the camera of a self-test; no configuration can have it, since keys begin with a-z or 0-9
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_visit_id(at: datetime, randomness: int | None = None) -> str:
    """Return a 26-character ULID for a visit that began `at`: sorts by time as text (github.com/ulid/spec).

    Args:
        at: aware datetime; its milliseconds fill the first 10 characters.
        randomness: 80 bits to use instead of fresh random ones (tests).
    """
    bits = secrets.randbits(80) if randomness is None else randomness
    number = (int(at.timestamp() * 1000) << 80) | (bits & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def visit_start(visit_id: str) -> datetime | None:
    """When a visit began, as its id says; None for an id that says no time."""
    try:
        return _began(visit_id) if len(visit_id) == 26 else None
    except (ValueError, OverflowError):
        return None


def _began(visit_id: str) -> datetime:
    milliseconds = 0
    for letter in visit_id[:10]:
        milliseconds = milliseconds << 5 | _CROCKFORD.index(letter)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def clip_path(camera: str, visit_id: str) -> str:
    """Where the clip of a visit lies, relative to home: named by the visit, below its camera and UTC day.

    Raises:
        ValueError, OverflowError: the visit's id says no time that has a day.
    """
    return f"media/{camera}/{_began(visit_id):%Y/%m/%d}/{visit_id}.mp4"


def clip_part(path: str) -> str:
    """Where a clip is while it is being written."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def rfc3339(at: datetime) -> str:
    """Write a datetime as RFC 3339 UTC with milliseconds: `2026-05-01T06:30:00.125Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the frame, top-left origin."""

    x: float
    y: float
    w: float
    h: float

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in fractions of the frame."""
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def area(self) -> float:
        """Share of the frame that is covered."""
        return self.w * self.h

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0 … 1."""
        w = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        h = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if w <= 0 or h <= 0:
            return 0.0
        return w * h / (self.area + other.area - w * h)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Box(x, y, max(self.x + self.w, other.x + other.w) - x, max(self.y + self.h, other.y + other.h) - y)

    def rounded(self, digits: int = 4) -> list[float]:
        """The four numbers for JSON."""
        return [round(float(v), digits) for v in (self.x, self.y, self.w, self.h)]


@dataclass(frozen=True, slots=True)
class Region:
    """A place in one frame that differs from the learned background.

    Attributes:
        box: where, in fractions of the frame.
        fill: share of the box that is foreground, 0 … 1.
        contrast: mean excess over the local threshold, in units of that threshold.
        ghost: it differs because something has left the background, not because something is there.
        activity: share of its cells that changed since the last frame, 0 … 1; static objects soon show none.
        change_score: how little the background, in another light or shifted, explains it, 0 … 1.
        why: empty for what may be a bird, else what explains it (for people who tune).
        tone: grey levels of its cells at some quantiles (`birdwatchd.camera.motion.tone`); empty where they say
        nothing.
    """

    box: Box
    fill: float
    contrast: float
    ghost: bool = False
    activity: float = 1.0
    change_score: float = 1.0
    why: str = ""
    tone: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Crop:
    """A square picture of a bird, ready for the classifier, the disk and a person.

    Attributes:
        jpeg: the encoded picture, RGB, 4:4:4, in which the part that the network sees is marked (`seen_part.py`).
        width, height: pixels of the picture in `jpeg`.
    """

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at the bird of a visit.

    Attributes:
        index: 0, 1, 2 … within the visit; (visit id, index) names a moment for ever.
        at: when the frame was taken, UTC.
        box: the bird (not the crop) in fractions of the frame.
        quality: 0 … 1, higher is sharper, larger and further from the edge.
        media_s: seconds from the start of the media, for files.
        frame: JPEG of the whole frame; empty where it is not to be kept.
    """

    index: int
    at: datetime
    box: Box
    quality: float
    crop: Crop
    media_s: float | None = None
    frame: bytes = b""


@dataclass(frozen=True, slots=True)
class LiveView:
    """What a camera shows now, and what its motion gate sees in it, for a person who looks.

    Attributes:
        jpeg: the picture, masked; boxes are fractions of it.
        width, height: pixels of the picture.
        state: whether the gate was `watching`, still `learning` its background, or the whole scene had `changed`.
        regions: what moves and may be a bird.
        ignored: what moves and is something else, and what explains it.
        tracks: what is followed, and whether it is taken for a bird already.
        part: left, top, width and height of what is shown, in fractions of the main stream's picture: all of it, unless
            motion is looked for in a small stream that shows another part.
    """

    camera: str
    jpeg: bytes
    width: int
    height: int
    state: str
    regions: tuple[Box, ...] = ()
    ignored: tuple[tuple[Box, str], ...] = ()
    tracks: tuple[tuple[Box, bool], ...] = ()
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


LIFELESS = "nothing in it moved like an animal"
"""The reason that a visit carries of which its camera says so at its end."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that crosses from a camera to the classifier: what is new about one visit.

    Idempotent by (visit_id, revision). `moments` holds only the moments that no earlier revision carried.
    `end` is None while the bird is there; where the camera's process died it is the last sighting.
    `clip` names a video of the visit, relative to home; it comes in a revision of its own, after the end. `clip_cut`
    says that the clip ends before the visit does. `lifeless` says at its end that nothing in it moved like an animal.
    `clock` is the stretch of the station's time in which the visit began; the main process says it (`clock.py`).
    """

    visit_id: str
    camera: str
    revision: int
    start: datetime
    end: datetime | None
    last_seen: datetime
    moments: tuple[Moment, ...]
    count_max: int
    media: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    clip: str | None = None
    clip_cut: bool = False
    lifeless: bool = False
    clock: int | None = None


class State(StrEnum):
    """How sure a verdict is."""

    CONFIRMED = "confirmed"
    UNCERTAIN = "uncertain"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


class Rank(StrEnum):
    """How precise a name is."""

    SPECIES = "species"
    GENUS = "genus"
    FAMILY = "family"
    ORDER = "order"
    BIRD = "bird"


class Phase(StrEnum):
    """Where a visit stands for those who are notified of it."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


@dataclass(frozen=True, slots=True)
class Label:
    """One class of a model.

    Attributes:
        common_name: as it is shown: the model's, or in the user's language.
        english_name: the model's own, where another is shown.
        synonyms: what else the species is called: in another table, or by the model (an old name, a subspecies).
    """

    common_name: str
    scientific_name: str | None = None
    family: str | None = None
    order: str | None = None
    is_species: bool = True
    english_name: str | None = None
    synonyms: tuple[str, ...] = ()

    @property
    def genus(self) -> str | None:
        """The first word of the scientific name."""
        return self.scientific_name.split()[0] if self.scientific_name else None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network said of one moment.

    Attributes:
        logits: float32, shape (classes,).
        embedding: float32, shape (dim,).
    """

    visit_id: str
    moment: Moment
    logits: FloatArray
    embedding: FloatArray


@dataclass(frozen=True, slots=True)
class Verdict:
    """The name of a visit's bird so far, and how sure we are.

    Attributes:
        score: probability of the name after place, season and reviews were taken into account.
        top: the most probable species and their probabilities, best first.
        reasons: why it is not confirmed, or not the name that the network alone would give.
        raw_score: of the same name, as the network alone has it; None where nothing else had a say.
        raw_top: as `top`, of the network alone; empty where nothing else had a say.
        rare: it is not to be expected here and now, and the network is sure all the same.
    """

    state: State
    rank: Rank
    common_name: str | None
    scientific_name: str | None
    score: float
    top: tuple[tuple[str, float], ...]
    reasons: tuple[str, ...] = ()
    raw_score: float | None = None
    raw_top: tuple[tuple[str, float], ...] = ()
    rare: bool = False

    @property
    def species(self) -> str | None:
        """The name by which firsts are decided, or None where the verdict does not confirm a species."""
        if self.state is not State.CONFIRMED or self.rank is not Rank.SPECIES:
            return None
        return self.scientific_name or self.common_name


@dataclass(frozen=True, slots=True)
class Visit:
    """A bird was at this camera from `start` to `end`: row, JSON line and MQTT payload all come from here.

    `model` is name@version of the classifier; `last_seen` is None only where that is not known any more. `clip` is the
    name of its video, relative to home, if there is one; `clip_cut` says that it ends before the visit does. `clock` is
    the stretch in which it is stamped; None for recordings and for visits of older versions.
    """

    visit_id: str
    camera: str
    revision: int
    start: datetime
    end: datetime | None
    verdict: Verdict
    moments: int
    count_max: int
    box: Box | None
    model: str
    media: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    last_seen: datetime | None = None
    clip: str | None = None
    clip_cut: bool = False
    clock: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON visit of `scan --json` and `visits --json`; its keys are a promise to other programs."""
        v = self.verdict
        return {
            "visit_id": self.visit_id,
            "camera": self.camera,
            "media": self.media,
            "start": rfc3339(self.start),
            "end": rfc3339(self.end) if self.end else None,
            "start_s": _seconds(self.start_s),
            "end_s": _seconds(self.end_s),
            "state": v.state.value,
            "rank": v.rank.value,
            "common_name": v.common_name,
            "scientific_name": v.scientific_name,
            "score": round(v.score, 4),
            "raw_score": None if v.raw_score is None else round(v.raw_score, 4),
            "rare": v.rare,
            "top": [[name, round(p, 4)] for name, p in v.top],
            "reasons": list(v.reasons),
            "moments": self.moments,
            "count_max": self.count_max,
            "box": self.box.rounded() if self.box else None,
            "model": self.model,
        }


def _seconds(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 3)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send, over MQTT or by another channel.

    Attributes:
        topic: the whole topic; for another channel only what kind of message it is.
        payload: bytes to publish.
        retain: keep it at the broker.
        key: (visit_id, revision) as text, for recognising repeats; None for states.
        coalesce: only the newest message of this topic is worth sending.
        channel: name of the channel that it is for; None for the broker.
    """

    topic: str
    payload: bytes
    retain: bool = False
    key: str | None = None
    coalesce: bool = False
    channel: str | None = None

    def with_payload(self, payload: bytes) -> Message:
        """The same message saying something else."""
        return replace(self, payload=payload)


class CameraState(StrEnum):
    """Whether a camera gives pictures; `disabled`: it was switched off by a command."""

    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"
    FINISHED = "finished"
    DISABLED = "disabled"


class Blindness(StrEnum):
    """Why birds can hardly be seen though pictures come (`birdwatchd.camera.blindness` says it in words)."""

    FROZEN = "frozen"
    DARK = "dark"
    FLAT = "flat"
    SHAKING = "shaking"
    RESTLESS = "restless"


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """What a camera process says of itself about once a second, and at once when its state changes.

    Attributes:
        fps: frames decoded per second since the last report.
        frames: frames that came since the process started.
        late: of these, not looked at, because the process had fallen behind; far behind, they are not even decoded.
        width, height: pixels of the source frame; 0 before the first.
        detail: why it is offline, or which of its streams is lost while it is not; free of credentials.
        refused: the camera said no (wrong password or path).
        lag_s: how far the picture being looked at is behind the newest one.
        extra: more numbers, by name.
        notice: something a person should know that is no change of state; it is said once.
        blind: why birds can hardly be seen; None while they can, and while it is not known.
    """

    camera: str
    state: CameraState
    at: datetime
    fps: float = 0.0
    frames: int = 0
    late: int = 0
    width: int = 0
    height: int = 0
    detail: str = ""
    refused: bool = False
    lag_s: float = 0.0
    extra: tuple[tuple[str, float], ...] = ()
    notice: str = ""
    blind: Blindness | None = None
