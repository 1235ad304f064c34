"""What tests of more than one folder need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.alerts.peer import Peer, serving


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A local web server that keeps what is posted."""
    with serving() as made:
        yield made
