"""Building the tables of a group again from the ledger, beside those in use, and swapping them in.

The club stays open: the tail keeps the old tables current until the new ones have caught up,
and the swap itself takes a moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import errors

from infra.faults import Fault
from infra.following import belongings, tables
from infra.following.belongings import Belongings, Moment
from infra.following.builder import BESIDE, Builder, Progress, ReadTablesError, beside
from infra.following.exchange import NamesTaken, compare, exchange
from infra.following.follower import database_said
from infra.following.projecting import TablesOlder
from infra.ledger import feed
from infra.ledger.connection import HOLDING
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, SCHEMA_LOCK, number_in
from projections.engine.folding import Tripped
from projections.engine.model import Group
from projections.engine.schema import (
    add_constraints,
    add_indexes_for_when_off,
    create_tables,
    create_types,
)

Connection = psycopg.AsyncConnection[Any]

# Whoever rebuilds a group.
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('club rebuild ' || %s, 0))"

_GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended('club rebuild ' || %s, 0))"

_TAKEN = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(name) IS NOT NULL OR to_regtype(name) IS NOT NULL
"""
# Names of new tables and indexes that are taken by what does not go with the old tables.
_IN_THE_WAY = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN (
    SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace
) AND coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = c.oid), c.oid) NOT IN (
    SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)
)
ORDER BY 1
"""
# Where new tables grow, or grew, that may be taken away.
_LEFT = """
SELECT nspname FROM pg_namespace
WHERE starts_with(nspname, %s) AND pg_has_role(nspowner, 'USAGE')
"""
# All new tables that are not in use.
_DROP = "DROP SCHEMA IF EXISTS {beside} CASCADE"


class RebuildRunning(ReadTablesError):
    """Another process is rebuilding the read tables."""


class RebuildStopped(ReadTablesError):
    """The ledger was followed up to position {position} ({topic}) and no further: {reason}.

    The tables in use stay as they are.
    """


class NoRoom(ReadTablesError):
    """The database has no room for the new tables: {reason}. Those in use stay as they are."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found and did."""

    events: int
    position: int
    differing: tuple[str, ...]
    """Tables whose old rows were not the rows that the ledger gives."""


async def make_missing(postgres: Postgres, groups: Sequence[Group]) -> None:
    """Make the tables of groups that have none; they are empty, and the projector fills them.

    Raises NamesTaken where the database has other things of their names.
    """
    for group in groups:
        async with await postgres.connect() as connection, connection.transaction():
            await connection.execute("SET LOCAL client_min_messages = warning")
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
            if await tables.find(connection, group) is not None:
                continue
            names = [*group.types, *(table.name for table in group.tables)]
            cursor = await connection.execute(_TAKEN, [names])
            if taken := [row[0] for row in await cursor.fetchall()]:
                raise NamesTaken(names=", ".join(taken))
            await create_types(connection, group.types)
            await create_tables(connection, group.tables)
            await add_constraints(connection, group)
            made = await belongings.made_in(connection, "public", group.tables)
            await tables.take_into_use(connection, group, 0, made)


async def build_forward(postgres: Postgres, group: Group) -> None:
    """Build the tables of a newer generation, or of a ledger that was restored to an earlier time.

    Unless somebody else is at it.

    Raises TablesOlder while another process builds, and what `rebuild` raises.
    """
    await make_missing(postgres, [group])
    async with await postgres.connect(autocommit=True) as connection:
        found = await tables.find(connection, group)
        head = await number_in(connection, HEAD)
    if found is not None and found.generation >= group.generation and found.position <= head:
        return
    try:
        await rebuild(postgres, group)
    except RebuildRunning:
        raise TablesOlder(f"another process builds the tables of the group {group.name}") from None


async def rebuild(postgres: Postgres, group: Group, progress: Progress = lambda _: None) -> Rebuilt:
    """Build all tables of the group again and swap them in.

    Raises RebuildRunning where another process is at it, and another ReadTablesError where the
    tables cannot be exchanged, or an event cannot be taken. Then those in use stay as they are.
    """
    async with building(postgres, group.name, beside(group), group.types) as (connection, reader):
        in_use = await tables.find(reader, group)
        return await _build_and_swap(Builder(group, connection, reader, progress), in_use)


@asynccontextmanager
async def building(
    postgres: Postgres, name: str, schema: str, types: Mapping[str, type[StrEnum]]
) -> AsyncIterator[tuple[Connection, Connection]]:
    """A connection that builds tables in a new schema, and one that reads; of this name, one only.

    What somebody who was killed left in any such schema goes first; where it ends with a fault,
    what was built goes again.
    """
    async with (
        await postgres.connect(HOLDING, autocommit=True) as connection,
        await postgres.connect(autocommit=True) as reader,
    ):
        if not await _locked(connection, name):
            raise RebuildRunning
        await _clear_up(connection)
        await _begin(connection, schema, types)
        try:
            yield connection, reader
        except (feed.Unreadable, Tripped) as stopped:
            await _drop(connection, schema)
            raise RebuildStopped(
                position=stopped.position, topic=stopped.topic, reason=stopped.reason
            ) from stopped
        except _NO_ROOM as full:
            await _drop(connection, schema)
            raise NoRoom(reason=database_said(full)) from full
        except (Fault, psycopg.DatabaseError):
            await _drop(connection, schema)
            raise


_NO_ROOM = (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)


async def _locked(connection: Connection, name: str) -> bool:
    cursor = await connection.execute(_LOCK, [name])
    return (await cursor.fetchone()) == (True,)


async def _clear_up(connection: Connection) -> None:
    """Take away what was left by those who were killed: whoever still builds holds the lock."""
    cursor = await connection.execute(_LEFT, [BESIDE])
    for (schema,) in await cursor.fetchall():
        name = schema.removeprefix(BESIDE)
        if await _locked(connection, name):
            await _drop(connection, schema)
            await connection.execute(_GIVE_BACK, [name])


async def _drop(connection: Connection, schema: str) -> None:
    """Take it away; where the connection is gone, whoever comes next does."""
    if not connection.closed:
        with suppress(psycopg.OperationalError):
            await connection.execute(_DROP.format(beside=schema).encode())


async def _build_and_swap(builder: Builder, in_use: tables.InUse | None) -> Rebuilt:
    group, connection, reader = builder.group, builder.connection, builder.reader
    made = await _try_out(connection, group, in_use)
    hanging = Belongings(in_use, group.tables, beside(group), made)
    await create_tables(connection, group.tables)
    await hanging.look(connection)
    await hanging.hang(connection, Moment.EMPTY)
    await builder.catch_up_nearly()
    await builder.constrain()
    await hanging.look(connection)
    await hanging.hang(connection, Moment.EMPTY, Moment.FULL)
    await connection.execute(f"ANALYZE {', '.join(t.name for t in group.tables)}".encode())
    same = in_use is not None and in_use.definition == group.definition
    differing = await compare(builder, connection, reader) if same else ()
    await exchange(builder, connection, hanging, made)
    for name in hanging.with_statistics():
        await connection.execute(f"ANALYZE public.{name}".encode())
    return Rebuilt(builder.events, builder.position, differing)


async def _begin(connection: Connection, schema: str, types: Mapping[str, type[StrEnum]]) -> None:
    await connection.execute("SET client_min_messages = warning")
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("SET synchronous_commit = off")
    await create_types(connection, types)
    await connection.execute(_DROP.format(beside=schema).encode())
    await connection.execute(f"CREATE SCHEMA {schema}".encode())
    await connection.execute(f"SET search_path = {schema}, public".encode())


async def _try_out(
    connection: Connection, group: Group, in_use: tables.InUse | None
) -> tables.Made:
    """Make the new tables, empty, with all that is to be on them, and take them back.

    So what cannot be carried is refused before the work, not after it. Returns the names of what
    the club itself makes.
    """
    async with connection.transaction(force_rollback=True):
        await create_tables(connection, group.tables)
        await add_constraints(connection, group)
        await add_indexes_for_when_off(connection, group)
        old = in_use.tables if in_use is not None else []
        cursor = await connection.execute(_IN_THE_WAY, [beside(group), old])
        if taken := [row[0] for row in await cursor.fetchall()]:
            raise NamesTaken(names=", ".join(taken))
        made = await belongings.made_in(connection, beside(group), group.tables)
        hanging = Belongings(in_use, group.tables, beside(group), made)
        await hanging.look(connection)
        await hanging.hang(connection, Moment.EMPTY, Moment.FULL)
    return made
