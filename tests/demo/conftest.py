"""What several tests of the demo need."""

from pathlib import Path

import pytest

from tests.support.demo_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A run of the demo in which everything is as promised."""
    return World(tmp_path)
