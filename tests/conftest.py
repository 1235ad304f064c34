"""What tests of more than one folder need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support.peer import Peer, serving  # noqa: E402  # after it is said that its asserts explain themselves


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A local web server that keeps what is posted."""
    with serving() as made:
        yield made
