"""One process that daemons are forked from, and one film, for all faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.faults.film import Film, draw_film
from tests.support.lives import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where daemons come from."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """What the cameras play, again and again."""
    return draw_film(tmp_path_factory.mktemp("film"), 8)
