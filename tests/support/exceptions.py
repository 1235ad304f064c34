"""Find the exception classes of a library, so that a test notices one that a later version adds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

__all__ = ["defined_in", "defined_in_package", "make"]


def name_of(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def defined_in(*modules: ModuleType) -> dict[str, type[BaseException]]:
    """The public exception classes that these modules define or offer, by full name."""
    public = [value for module in modules for name, value in vars(module).items() if not name.startswith("_")]
    return {name_of(kind): kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseException)}


def defined_in_package(package: ModuleType) -> dict[str, type[BaseException]]:
    """The exception classes that a package and all its modules define, by full name."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # of an optional dependency: the library itself does without the module
                continue
    root = package.__name__.split(".")[0]
    return {name_of(kind): kind for kind in _below(BaseException) if kind.__module__.split(".")[0] == root}


def _below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for sub in type.__subclasses__(kind):
        yield sub
        yield from _below(sub)


def make(kind: type[BaseException], *arguments: object) -> BaseException:
    """An instance of an exception class whose constructor may want something of its own."""
    for chosen in (arguments, ("hunter2",), (), ("hunter2", "hunter2")):
        try:
            return kind(*chosen)
        except TypeError:
            continue
    raise AssertionError(f"no arguments known for {kind}")
