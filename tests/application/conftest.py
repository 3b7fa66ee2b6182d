"""What the tests of commands share."""

from __future__ import annotations

import pytest

from tests.application.scene import Scene


@pytest.fixture
def scene() -> Scene:
    """A club in memory in which nothing has happened yet."""
    return Scene()
