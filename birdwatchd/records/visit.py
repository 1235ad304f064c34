"""What is known of a visit: the network's predictions, the verdict on them, the visit itself, and messages about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from birdwatchd.records.box import Box
from birdwatchd.records.evidence import Moment

if TYPE_CHECKING:  # `birdwatchd --help` does without NumPy
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FloatArray",
    "HalfArray",
    "Label",
    "Message",
    "Phase",
    "Prediction",
    "Rank",
    "State",
    "Verdict",
    "Visit",
    "rfc3339",
]

FloatArray: TypeAlias = "NDArray[np.float32]"
HalfArray: TypeAlias = "NDArray[np.float16]"


def rfc3339(at: datetime) -> str:
    """Write a datetime as RFC 3339 UTC with milliseconds: `2026-05-01T06:30:00.125Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
