"""Make a map of what in a crop led the model to a name, when somebody asks for it; it is kept with the small pictures.

It takes some eighty runs of the network, seconds to minutes. The file says in its comment what it shows.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict, dataclass

from PIL import Image

from birdwatchd.settings.config import Config
from birdwatchd.web.asked.task import ChildTask
from birdwatchd.web.pictures.kept import KeptPictures

__all__ = ["KIND", "Evidence", "EvidenceMaps", "EvidenceState"]

KIND = "why.jpg"
MODULE = "birdwatchd.web.asked.evidence_child"
LIMIT_S = 600.0  # a small computer with a large network takes some minutes at the lowest priority
BUSY = "another map is being made; ask again when it is done"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a map shows: areas that support this name, which the model gives the crop alone with this probability.

    Attributes:
        weights: what the model was asked for as, by which a map of another model is told.
    """

    name: str
    probability: float
    model: str
    weights: str


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """The map of a crop, or how far it is; nothing of all that before somebody asks.

    Attributes:
        problem, hint: why there is none, and what to do.
    """

    evidence: Evidence | None = None
    is_running: bool = False
    problem: str = ""
    hint: str = ""


class EvidenceMaps:
    """The maps of one home. Safe to use from several threads."""

    def __init__(self, config: Config, kept: KeptPictures) -> None:
        self._config, self._kept = config, kept
        self._weights = str(config.model.file or config.model.name)
        self.task = ChildTask("evidence map", [sys.executable, "-P", "-m", MODULE], limit_s=LIMIT_S)

    def picture(self, crop: str) -> bytes | None:
        """The map of a crop as JPEG; None where there is none."""
        return self._kept.get(crop, KIND)

    def ask(self, crop: str) -> None:
        """Begin to make the map of a crop, unless there is one or another one is being made."""
        if self._evidence(crop) is None:
            self.task.start(crop, {"config": self._config.without_secrets(), "crop": crop, "weights": self._weights})

    def state(self, crop: str, *, asked: bool = False) -> EvidenceState:
        """How the map of a crop is.

        Args:
            asked: somebody waits for it, and is told that another one is being made.
        """
        found = self._evidence(crop)
        if found is not None:
            return EvidenceState(found)
        last = self.task.state()
        if last is None or last.about != crop:
            return EvidenceState(problem=BUSY) if asked and last is not None and last.is_running else EvidenceState()
        if last.is_running:
            return EvidenceState(is_running=True)
        return EvidenceState(problem=last.problem or str(last.answer.get("problem", "")), hint=_hint(last.answer))

    def _evidence(self, crop: str) -> Evidence | None:
        jpeg = self.picture(crop)
        found = read_evidence(jpeg) if jpeg is not None else None
        return found if found is not None and found.weights == self._weights else None


def _hint(answer: object) -> str:
    return str(answer.get("hint", "")) if isinstance(answer, dict) else ""


def write_evidence(image: Image.Image, evidence: Evidence) -> bytes:
    """A map as a JPEG that says what it shows."""
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88, comment=json.dumps(asdict(evidence)).encode())
    return written.getvalue()


def read_evidence(jpeg: bytes) -> Evidence | None:
    """What a map shows; None where its file does not say."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            return Evidence(**json.loads(image.info["comment"]))
    except (OSError, ValueError, SyntaxError, KeyError, TypeError):
        return None
