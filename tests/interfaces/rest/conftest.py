"""What the tests of the routes share."""

from __future__ import annotations

import pytest

from tests.conftest import Rest
from tests.interfaces.rest.signing_in import Door


@pytest.fixture
def door(rest: Rest, capsys: pytest.CaptureFixture[str]) -> Door:
    """The way into the club; its settings have to show codes on the console."""
    return Door(rest, capsys)
