"""The moment at which new tables take the place of those in use, and what differed between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from psycopg.errors import (
    DeadlockDetected,
    DependentObjectsStillExist,
    DuplicateObject,
    DuplicateTable,
    LockNotAvailable,
)

from infra.following import belongings, tables
from infra.following.belongings import Belongings, CannotBeCarried, Moment
from infra.following.builder import Builder, ReadTablesError, beside, not_too_strict
from infra.following.follower import database_said
from infra.ledger.connection import ASLEEP
from infra.ledger.schema import HEAD, number_in
from projections.engine.model import Group
from projections.engine.table import Table

PAUSE = 0.1
"""Seconds between attempts at first, where others are in the way; and more each time."""

MOST_TRIES = 40
"""Looks at how far the tables in use are, while they come to where the new ones are."""

LONGEST_STALL = 40
"""Milliseconds for which readers may have to wait behind an exchange that waits for one of them."""

MOST_EXCHANGES = 120
"""Attempts to exchange the tables while others read them: some four minutes."""

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)

# A table's rows in one number, whatever their order.
_CHECKSUM = "SELECT count(*), coalesce(sum(hash_record_extended(t, 0)), 0)::text FROM {name} AS t"


class NamesTaken(ReadTablesError):
    """The database has its own {names}: give the club a database of its own."""


class TablesBusy(ReadTablesError):
    """Somebody has been reading the read tables all the time: they could not be exchanged."""


class NotCompared(ReadTablesError):
    """The tables in use are behind the ledger, and do not come further: nothing was compared."""


async def compare(
    builder: Builder, connection: Connection, reader: Connection, *, strictly: bool = False
) -> tuple[str, ...]:
    """Which tables in use differ from the new ones, both at the same position.

    `strictly` raises NotCompared where that cannot be told.
    """
    async with compared(builder, connection, reader, strictly=strictly) as differing:
        return tuple(table.name for table in differing)


@asynccontextmanager
async def compared(
    builder: Builder, connection: Connection, reader: Connection, *, strictly: bool
) -> AsyncIterator[Sequence[Table]]:
    """The same; while the context lasts, the reader sees the tables in use as they were then."""
    group = builder.group
    await _let_the_tail_pass(builder, reader)
    async with reader.transaction():
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await reader.execute("SET LOCAL statement_timeout = 0")
        position = await _position(reader, group)
        async with awake(connection):
            in_use = [await _checksum(reader, f"public.{table.name}") for table in group.tables]
        if builder.position > position:
            if strictly:
                raise NotCompared
            logger.warning("rebuild.not-compared", reason="the tables in use are behind")
            yield ()
            return
        async with awake(reader):
            await builder.catch_up(position)
            new = [await _checksum(connection, f"{beside(group)}.{t.name}") for t in group.tables]
        pairs = zip(group.tables, in_use, new, strict=True)
        yield [table for table, old, now in pairs if old != now]


@asynccontextmanager
async def awake(connection: Connection) -> AsyncIterator[None]:
    """Keep a connection from counting as asleep, while it holds a lock and others work."""

    async def stir() -> None:
        while True:
            await asyncio.sleep(ASLEEP / 4)
            await connection.execute("SELECT 1")

    stirring = asyncio.create_task(stir())
    try:
        yield
    finally:
        stirring.cancel()
        await asyncio.gather(stirring, return_exceptions=True)


async def _let_the_tail_pass(builder: Builder, reader: Connection) -> None:
    """Wait until the tables in use are at least as far, or for a while."""
    for _ in range(MOST_TRIES):
        if await _position(reader, builder.group) >= builder.position:
            return
        await asyncio.sleep(PAUSE / 2)


async def _position(connection: Connection, group: Group) -> int:
    found = await tables.find(connection, group)
    return 0 if found is None else found.position


async def _checksum(connection: Connection, name: str) -> tuple[Any, ...] | None:
    cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [name])
    if (await cursor.fetchone()) == (True,):
        return None
    cursor = await connection.execute(_CHECKSUM.format(name=name).encode())
    return await cursor.fetchone()


class _NotReady(Exception):
    """Something was hung on the tables in use that the new ones do not have yet."""


async def exchange(
    builder: Builder, connection: Connection, hanging: Belongings, made: tables.Made
) -> None:
    """Try until nobody reads at that moment, rather than let everybody wait for a long query."""
    for tries in range(MOST_EXCHANGES):
        reached = builder.position, builder.events
        try:
            await _swap(builder, connection, hanging, made)
        except (LockNotAvailable, DeadlockDetected):
            builder.position, builder.events = reached
            await asyncio.sleep(PAUSE * min(tries + 1, 20))
            # Not while the tail is held.
            await builder.catch_up(await number_in(builder.reader, HEAD))
        except _NotReady:
            builder.position, builder.events = reached
            await hanging.hang(connection, Moment.EMPTY, Moment.FULL)
        except DependentObjectsStillExist as depending:
            raise CannotBeCarried(names=depending.diag.message_detail) from depending
        except (DuplicateTable, DuplicateObject) as taken:
            raise NamesTaken(names=database_said(taken)) from taken
        else:
            return
    raise TablesBusy


async def _swap(
    builder: Builder, connection: Connection, hanging: Belongings, made: tables.Made
) -> None:
    """Hold the tail, take in the last events, and exchange the tables and all that is on them."""
    group = builder.group
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        in_use = await tables.find(connection, group, hold=True)
        await builder.catch_up(await number_in(connection, HEAD))
        # Nothing may be left to check on tables that are altered.
        with not_too_strict():
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        names = await _there(connection, in_use)
        if names:
            # Behind whoever waits for this, everybody waits who only reads.
            await connection.execute(f"SET LOCAL lock_timeout = {LONGEST_STALL}".encode())
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
            await connection.execute("SET LOCAL lock_timeout = '1s'")
        await hanging.look(connection)
        if not hanging.ready():
            raise _NotReady
        # All at once, as they refer to each other; what is not ours is not dropped with them.
        if names:
            await connection.execute(f"DROP TABLE {names} RESTRICT".encode())
        for table in group.tables:
            await connection.execute(
                f"ALTER TABLE {beside(group)}.{table.name} SET SCHEMA public".encode()
            )
        await connection.execute(f"DROP SCHEMA {beside(group)}".encode())
        await belongings.revoke_all(connection, group.tables)
        await hanging.hang(connection, Moment.IN_USE)
        await tables.take_into_use(connection, group, builder.position, made)


async def _there(connection: Connection, in_use: tables.InUse | None) -> str:
    """The names of the tables in use, also of those that the code does not know any more."""
    named = [f"public.{name}" for name in in_use.tables] if in_use is not None else []
    cursor = await connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", [named]
    )
    return ", ".join([row[0] for row in await cursor.fetchall()])
