"""How a chain is doing, in one word."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.chain.watching import ChainState
from infra.parts import STREAM, Part

WORKER = Part(STREAM, "here", "running", "", datetime(2026, 3, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([], "running"),
        (["running", "running"], "running"),
        (["behind", "standing", "running"], "standing"),
        (["running", "unseen", "behind"], "unseen"),
        (["absent", "unseen"], "absent"),
    ],
)
def test_the_worst_of_all_clubs_is_told_whichever_comes_first(
    states: list[str], worst: str
) -> None:
    clubs = [{"state": state} for state in states]
    assert ChainState([WORKER], clubs, []).status == worst
    assert ChainState([WORKER], clubs[::-1], []).status == worst
