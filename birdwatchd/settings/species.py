"""Settings of naming: thresholds, lists, months, bar chart, names in other languages, learning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from birdwatchd.settings.base import Fraction, Settings

__all__ = ["Month", "SpeciesSettings"]

Month = Annotated[int, Field(ge=1, le=12)]


class SpeciesSettings(Settings):
    """When a name is good enough to be said, and what is to be expected here.

    Lists hold names of species, common or scientific, or of a genus, family or order. With an `allow` list everything
    else is improbable; what is on `deny` is never said; what is on `always` is expected in spite of list, month and
    bar chart. `months` are those in which a species is here, 1 … 12. `bar_chart` is a file downloaded from eBird;
    `bar_chart_strength` is how much it counts: 0 not at all, 1 as if people with binoculars saw what the camera sees.
    `rare` is how sure the network must be, alone, of a species that is not to be expected.
    `names_file` has names in another language, see docs; `names_language` is its column.
    With `learn`, visits like corrected ones are corrected too, and what is unlike the birds seen here is not confirmed;
    `familiar` is the share of these birds that are like each other, and 1 finds nothing unlike.
    """

    threshold: Fraction = 0.7
    uncertain: Fraction = 0.35
    per_species: Mapping[str, Fraction] = Field(default_factory=dict)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    months: Mapping[str, tuple[Month, ...]] = Field(default_factory=dict)
    bar_chart: Path | None = None
    bar_chart_strength: Fraction = 0.5
    rare: Fraction = 0.9
    names_file: Path | None = None
    names_language: str = ""
    learn: bool = True
    familiar: Annotated[float, Field(ge=0.5, le=1.0)] = 0.99

    @field_validator("months")
    @classmethod
    def _some_month(cls, value: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
        for name, months in value.items():
            if not months:
                raise ValueError(f"'{name}' has no month; write some of 1 … 12, or put it below `deny`")
        return value

    @model_validator(mode="after")
    def _name_on_one_list(self) -> SpeciesSettings:
        twice = sorted(set(self.deny) & (set(self.allow) | set(self.always)))
        if twice:
            raise ValueError(f"has {', '.join(twice)} below `deny` and below `allow` or `always`; keep one")
        if self.names_language and self.names_file is None:
            raise ValueError("has names_language but no names_file")
        return self
