"""Whose the tables of a group are: its row in `read_groups`."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import psycopg

from projections.engine.model import Group

Connection = psycopg.AsyncConnection[Any]

Made = dict[str, list[str]]
"""What the club itself made on each table: names of columns, indexes and constraints."""

_FIND = """
SELECT position, definition, generation, tables, made::text
FROM read_groups WHERE name = %s
"""
_SET = """
INSERT INTO read_groups (name, position, definition, generation, tables, made)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    position = excluded.position, definition = excluded.definition,
    generation = excluded.generation, tables = excluded.tables, made = excluded.made
"""


class InUse(NamedTuple):
    """The tables of a group that are in use."""

    position: int
    definition: str
    generation: int
    tables: list[str]
    made: Made


async def find(connection: Connection, group: Group, *, hold: bool = False) -> InUse | None:
    """The tables in use; with `hold`, nobody projects into them until the transaction ends."""
    statement = f"{_FIND} FOR UPDATE" if hold else _FIND
    cursor = await connection.execute(statement.encode(), [group.name])
    row = await cursor.fetchone()
    if row is None:
        return None
    position, definition, generation, tables, made = row
    return InUse(position, definition, generation, tables, orjson.loads(made))


async def take_into_use(connection: Connection, group: Group, position: int, made: Made) -> None:
    """The tables in use are those of this release from here on, and are at this position."""
    names = [table.name for table in group.tables]
    row = [
        group.name,
        position,
        group.definition,
        group.generation,
        names,
        orjson.dumps(made).decode(),
    ]
    await connection.execute(_SET, row)
