"""Making the tables of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import psycopg

from projections.engine.model import Group
from projections.engine.table import Switch, Table

Connection = psycopg.AsyncConnection[Any]

DOCUMENTED = "documented"
"""The group of the documented tables, for which whoever writes waits to be shown it."""

POSITION = f"SELECT position FROM read_groups WHERE name = '{DOCUMENTED}'"
"""How far the documented tables are."""


async def create_types(connection: Connection, types: Mapping[str, type[StrEnum]]) -> None:
    """Make the enumerated types, and add values that are new."""
    for name, values in types.items():
        cursor = await connection.execute("SELECT to_regtype(%s) IS NULL", [name])
        row = await cursor.fetchone()
        if row is not None and row[0]:
            labels = ", ".join(f"'{value.value}'" for value in values)
            await connection.execute(f"CREATE TYPE {name} AS ENUM ({labels})".encode())
            continue
        for value in values:
            await connection.execute(f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS '{value.value}'")


async def create_tables(connection: Connection, tables: Sequence[Table]) -> None:
    """Make the tables, with their primary keys."""
    for table in tables:
        key = ", ".join(table.key)
        await connection.execute(
            f"CREATE TABLE {table.name} ({table.columns}, PRIMARY KEY ({key}))".encode()
        )


async def add_constraints(
    connection: Connection, group: Group, switches: Sequence[Switch] = ()
) -> None:
    """Add everything else that holds for the tables; `switches` say what does not, by now."""
    off = {(s.table.name, s.constraint.name) for s in switches if not s.on}
    for table in group.tables:
        for constraint in table.constraints:
            await connection.execute(f"ALTER TABLE {table.name} ADD {constraint}".encode())
        for index in table.indexes:
            await connection.execute(f"CREATE INDEX ON {table.name} {index}".encode())
        for switched in table.switched:
            made = (
                f"CREATE INDEX {switched.name}_off ON {table.name} {switched.index}"
                if (table.name, switched.name) in off
                else f"ALTER TABLE {table.name} ADD CONSTRAINT {switched.name} {switched.holds}"
            )
            await connection.execute(made.encode())


async def add_indexes_for_when_off(connection: Connection, group: Group) -> None:
    """Add, beside the constraints that are switched, the indexes that are there without them."""
    for table in group.tables:
        for switched in table.switched:
            await connection.execute(
                f"CREATE INDEX {switched.name}_off ON {table.name} {switched.index}".encode()
            )
