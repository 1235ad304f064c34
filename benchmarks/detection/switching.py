"""Switch one mechanism of motion detection or tracking off for a while (ablation study).

The package has no switches: a mechanism is off while what it is made of is replaced by something that does nothing, or
while its settings are set to where they never act. A name that is not there any more is an error, so that whoever
renames a function or a setting hears of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

from birdwatchd.camera.motion.settings import BackgroundSettings, MotionSettings
from birdwatchd.camera.tracking.settings import TrackerSettings

__all__ = ["Mechanism", "switched_off"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Mechanism:
    """Something that the detector or the tracker does, and how it is switched off.

    Attributes:
        name: for the command line and the table.
        part: `motion` or `tracking`.
        what: what is missing without it.
        replaced: replacements by `module:name` or `module:class.name`.
        motion, background, tracker: settings that replace the defaults.
    """

    name: str
    part: str
    what: str
    replaced: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    motion: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    background: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    tracker: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@contextlib.contextmanager
def switched_off(mechanism: Mechanism) -> Iterator[None]:
    """Do without a mechanism inside the block.

    Raises:
        AttributeError: what it replaces is not there.
        TypeError: a setting is not there.
    """
    restored = []
    try:
        for owner, name, value in _replacements(mechanism):
            restored.append((owner, name, owner.__dict__[name]))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(restored):
            setattr(owner, name, value)


def _replacements(mechanism: Mechanism) -> list[tuple[Any, str, Any]]:
    found = []
    for target, value in mechanism.replaced.items():
        module, _, path = target.partition(":")
        *owners, name = path.split(".")
        owner = resolve_name(":".join([module, ".".join(owners)]) if owners else module)
        if name not in owner.__dict__:
            raise AttributeError(f"{target} of the mechanism {mechanism.name} is not there")
        found.append((owner, name, value))
    observer = resolve_name("birdwatchd.camera.observer")
    if mechanism.motion or mechanism.background:
        found.append((observer, "MotionSettings", _motion_settings(mechanism)))
    if mechanism.tracker:
        settings = dataclasses.replace(TrackerSettings(), **mechanism.tracker)
        found.append((observer, "TrackerSettings", lambda: settings))
    return found


def _motion_settings(mechanism: Mechanism) -> Callable[..., MotionSettings]:
    background = dataclasses.replace(BackgroundSettings(), **mechanism.background)
    return lambda **own: MotionSettings(**{**own, "background": background, **mechanism.motion})
