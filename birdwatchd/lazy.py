"""Load the public names of a package on first use, with a module's `__getattr__` (PEP 562).

A package then offers names from many modules while importing it loads none of them: a camera process that uses
`birdwatchd.camera` pays for no torch, and `birdwatchd --help` for no NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its `__name__`.
        homes: the module, below the package, that defines each public name.

    Returns:
        A function that imports the module of a name, keeps the name in the package and returns its value. It raises
        AttributeError for any other name, as Python expects of it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
