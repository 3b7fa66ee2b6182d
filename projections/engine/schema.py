"""Making the read tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import psycopg

from projections.catalogue import ENUMS
from projections.engine.table import Table

Connection = psycopg.AsyncConnection[Any]

GROUP = "read tables"
"""The name under which the position of all read tables is kept; they advance together."""

POSITION = f"SELECT position FROM projection_positions WHERE name = '{GROUP}'"
"""How far the read tables are."""

POSITIONS = """
CREATE TABLE IF NOT EXISTS projection_positions (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    definition text NOT NULL,
    tables text[] NOT NULL
)
"""

GENERATION = 1
"""To be raised when a projector means something else by the same events and tables."""


def definition(tables: Sequence[Table]) -> str:
    """A digest of what the tables are; another one means that they are to be built again."""
    described = repr((GENERATION, [(t.name, t.columns, t.constraints, t.indexes) for t in tables]))
    return hashlib.sha256(described.encode()).hexdigest()


async def create_types(connection: Connection) -> None:
    """Make the enumerated types, and add values that are new."""
    for name, values in ENUMS.items():
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


async def add_constraints(connection: Connection, tables: Sequence[Table]) -> None:
    """Add everything else that holds for the tables."""
    for table in tables:
        for constraint in table.constraints:
            await connection.execute(f"ALTER TABLE {table.name} ADD {constraint}".encode())
        for index in table.indexes:
            await connection.execute(f"CREATE INDEX ON {table.name} {index}".encode())
