"""Replaying the ledger without touching the tables in use: to check them, or to look back.

Both grow in a schema of their own, as a rebuild's tables do, and are projected by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import Identifier

from domain.facts import withheld
from infra.following import tables
from infra.following.builder import BESIDE, Builder, Progress, ReadTablesError, beside
from infra.following.exchange import awake, compared
from infra.following.rebuilding import building
from infra.ledger.postgres import Postgres
from projections.engine.model import Group
from projections.engine.schema import create_tables
from projections.engine.table import Table

SHOWN = 10
"""Rows of each table that are shown where they differ."""

MISSING = "(no row)"
"""What is shown of a row that is not there."""

NOT_SHOWN = "(not shown)"
"""What is shown of a column that nobody is shown."""

INTO = f"{BESIDE}into"
"""The schema in which tables grow that are for analysis; they are renamed when they are whole."""

LOOKED_BACK = "The tables of the club as they were at position"
"""How the comment on a schema begins that a replay made."""

Connection = psycopg.AsyncConnection[Any]


# Rows that are not the same, or only on one side.
_FIRST = """
SELECT ARRAY[{key}], to_jsonb(found), to_jsonb(due)
FROM club_in_use AS found FULL JOIN {new} AS due USING ({keys})
WHERE to_jsonb(found)::text IS DISTINCT FROM to_jsonb(due)::text ORDER BY {keys} LIMIT %s
"""


# What a schema says of itself, where there is such a schema.
_SAID_OF_SCHEMA = """
SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s
"""


class OtherTables(ReadTablesError):
    """The tables of the group {name} are another release's: build them anew before a check."""


class SchemaRefused(ReadTablesError):
    """A schema has small letters, digits and `_`, and is none of the database's own: not {name}."""


class SchemaThere(ReadTablesError):
    """There is a schema {name}, which is not of a replay: choose another name."""


class LookedBackThere(SchemaThere):
    """There is a schema {name} of a replay: choose another name, or DROP SCHEMA {name} CASCADE."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row in use that is not what the ledger says, in one column; or a whole table."""

    table: str
    key: str
    column: str
    found: str
    """What it is."""
    due: str
    """What it should be."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    events: int
    position: int
    differing: Sequence[str]
    """The tables that differ."""
    first: Sequence[Difference]
    """Where; some of each."""


async def check(postgres: Postgres, group: Group, progress: Progress = lambda _: None) -> Checked:
    """Build the tables of the group beside those in use, compare them, and take them away.

    Raises OtherTables or NotCompared where they cannot be compared, and what a rebuild raises.
    """
    schema = beside(group)
    async with building(postgres, group.name, schema, group.types) as (connection, reader):
        in_use = await tables.find(reader, group)
        if in_use is None or in_use.definition != group.definition:
            raise OtherTables(name=group.name)
        builder = Builder(group, connection, reader, progress)
        await create_tables(connection, group.tables)
        await builder.catch_up_nearly()
        await builder.constrain()
        first: list[Difference] = []
        async with compared(builder, connection, reader, strictly=True) as differing:
            for table in differing:
                first += await _where(table, group, connection, reader)
        await connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    names = [table.name for table in differing]
    return Checked(builder.events, builder.position, names, first)


async def build_into(
    postgres: Postgres,
    groups: Sequence[Group],
    schema: str,
    position: int,
    progress: Progress = lambda _: None,
) -> None:
    """Build the tables as they were at a position, in a new schema, which stays.

    Raises SchemaRefused or SchemaThere, and what a rebuild raises; then there is no such schema.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema) or schema.startswith(("pg_", "club_")):
        raise SchemaRefused(name=schema)
    async with await postgres.connect(autocommit=True) as connection:
        await _must_be_free(schema, connection)
    types = {name: values for group in groups for name, values in group.types.items()}
    async with building(postgres, "into", INTO, types) as (connection, reader):
        for group in groups:
            builder = Builder(group, connection, reader, progress)
            await create_tables(connection, group.tables)
            await builder.catch_up(position)
            await builder.constrain()
        said = f"{LOOKED_BACK} {position}."
        await connection.execute(f"COMMENT ON SCHEMA {INTO} IS '{said}'".encode())
        try:
            await connection.execute(f"ALTER SCHEMA {INTO} RENAME TO {quoted(schema)}".encode())
        except psycopg.errors.DuplicateSchema:
            raise SchemaThere(name=quoted(schema)) from None


async def _must_be_free(schema: str, connection: Connection) -> None:
    """Nobody is told to drop what they did not make with a replay, least of all the ledger."""
    cursor = await connection.execute(_SAID_OF_SCHEMA, [schema])
    row = await cursor.fetchone()
    if row is not None:
        looked_back = (row[0] or "").startswith(LOOKED_BACK)
        raise (LookedBackThere if looked_back else SchemaThere)(name=quoted(schema))


def quoted(schema: str) -> str:
    """The name as SQL takes it, whatever word it is: `"user"`."""
    return Identifier(schema).as_string()


async def _where(
    table: Table, group: Group, connection: Connection, reader: Connection
) -> list[Difference]:
    """The first rows of a table in use that differ; they are brought to where the new ones are."""
    there = await _columns(reader, f"public.{table.name}")
    due = await _columns(connection, f"{beside(group)}.{table.name}")
    if there != due:
        return [Difference(table.name, "", "", _said_of(there), _said_of(due))]
    await connection.execute(f"CREATE TEMPORARY TABLE club_in_use (LIKE {table.name})".encode())
    async with (
        reader.cursor().copy(f"COPY public.{table.name} TO STDOUT (FORMAT binary)".encode()) as out,
        connection.cursor().copy(b"COPY club_in_use FROM STDIN (FORMAT binary)") as into,
    ):
        async for some in out:
            await into.write(some)
    async with awake(reader):
        cursor = await connection.execute(
            _FIRST.format(
                key=", ".join(f"{name}::text" for name in table.key),
                keys=", ".join(table.key),
                new=f"{beside(group)}.{table.name}",
            ).encode(),
            [SHOWN],
        )
        rows = await cursor.fetchall()
    await connection.execute("DROP TABLE club_in_use")
    return [one for key, *both in rows for one in differences(table, group, key, both)]


def differences(
    table: Table, group: Group, key: Sequence[str], both: Sequence[dict[str, Any] | None]
) -> list[Difference]:
    """In which columns a row that is there (or is not) is another than it should be."""
    hidden = _hidden(table, group)
    named = ", ".join(f"{name} {value}" for name, value in zip(table.key, key, strict=True))
    found, due = both
    if found is None or due is None:
        said = [MISSING if row is None else "a row" for row in both]
        return [Difference(table.name, named, "", *said)]
    return [
        Difference(
            table.name,
            named,
            name,
            NOT_SHOWN if name in hidden else str(found[name]),
            NOT_SHOWN if name in hidden else str(due[name]),
        )
        for name in due
        if found[name] != due[name]
    ]


def _hidden(table: Table, group: Group) -> frozenset[str]:
    """The columns that nobody is shown, as the events' classes declare it."""
    kinds = {k for model in group.models if table in model.tables for k in model.listens_to}
    return frozenset().union(*(withheld(kind) for kind in kinds))


_COLUMNS = """
SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attname
"""


async def _columns(connection: Connection, name: str) -> list[str]:
    cursor = await connection.execute(_COLUMNS, [name])
    return [row[0] for row in await cursor.fetchall()]


def _said_of(columns: Sequence[str]) -> str:
    return ", ".join(columns) or "no table"
