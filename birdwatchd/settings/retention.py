"""Settings of what is deleted, and when: by age, by the room that the home takes, by the room that is left."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from birdwatchd.settings.base import Settings

__all__ = ["RetentionSettings"]

Gigabytes = Annotated[float, Field(gt=0, le=100_000)]


class RetentionSettings(Settings):
    """Limits; what none of them touches is kept for ever.

    Attributes:
        keep_days: age at which clips and pictures of ordinary visits go.
        max_gb: what database, pictures and clips may take together.
        min_free_gb: what is to stay free on their disk.
    """

    keep_days: Annotated[int, Field(ge=1, le=36600)] | None = None
    max_gb: Gigabytes | None = None
    min_free_gb: Gigabytes | None = None

    @property
    def is_set(self) -> bool:
        """Whether anything is ever deleted."""
        return (self.keep_days, self.max_gb, self.min_free_gb) != (None, None, None)
