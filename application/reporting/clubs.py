"""Of which clubs the figures of a chain are, and up to where each of them is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from application.figures import Column, Section, Unit

COLUMNS = (
    Column("club", "Club", Unit.TEXT),
    Column("state", "State", Unit.NAME),
    Column("position", "Position", Unit.COUNT),
    Column("as_of", "Holds up to", Unit.TEXT),
    Column("lag", "Events behind", Unit.COUNT),
)


def section(found: Sequence[Mapping[str, Any]]) -> Section:
    """The clubs, by their names."""
    rows = [tuple(club[column.name] for column in COLUMNS) for club in found]
    return Section("clubs", "Clubs", COLUMNS, rows)
