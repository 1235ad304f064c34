"""What a camera process says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["TEST_CAMERA", "Blindness", "CameraState", "CameraStatus"]

TEST_CAMERA = "-selftest-"  # the camera of a self-test; no configuration can have it, since keys begin with a-z or 0-9


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
        unwatched_s: for how long before this report nothing was seen, although the one before said that pictures come;
            measured by the main process.
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
    unwatched_s: float = 0.0
