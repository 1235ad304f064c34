"""Say how log lines are written."""

from __future__ import annotations

from typing import Literal

from birdwatchd.settings.base import Settings

__all__ = ["LogSettings"]


class LogSettings(Settings):
    """The log on stderr: `text` for people, `json` (an object for each line) for programs that collect logs."""

    format: Literal["text", "json"] = "text"
