"""Building all read tables again from the ledger, beside the ones in use, and swapping them in.

The club stays open: the tail keeps the old tables current until the new ones have caught up,
and the swap itself takes a moment. Memory is bounded by a few batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from psycopg.errors import DeadlockDetected, DependentObjectsStillExist, LockNotAvailable

from infra.faults import Fault
from infra.following.projecting import events_of
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, SCHEMA_LOCK
from projections.catalogue import ENUMS
from projections.engine.folding import Changes, Computation, fold
from projections.engine.schema import (
    GROUP,
    POSITION,
    POSITIONS,
    add_constraints,
    create_tables,
    create_types,
    definition,
)
from projections.engine.table import Table

BATCH = 2500
"""Events read, folded and written together."""

NEAR = 2000
"""Events behind which the new tables may be when the constraints are added."""

REBUILD_LOCK = SCHEMA_LOCK + 1
"""The advisory lock of whoever rebuilds."""

BESIDE = "club_rebuild"
"""The schema in which new tables grow."""

PAUSE = 0.5
"""Seconds between attempts, where others are in the way."""

MOST_TRIES = 40
"""Attempts to exchange the tables while others read them."""

Connection = psycopg.AsyncConnection[Any]
Progress = Callable[[int], None]
logger = structlog.get_logger(__name__)

_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, state FROM ledger_events
WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
"""
_SET_POSITION = """
INSERT INTO projection_positions (name, position, definition, tables) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    position = excluded.position, definition = excluded.definition, tables = excluded.tables
"""
_TAKEN = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(name) IS NOT NULL OR to_regtype(name) IS NOT NULL
"""
# A table's rows in one number, whatever their order.
_CHECKSUM = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {name} AS t"


class ReadTablesError(Fault):
    """The read tables cannot be made, or not be exchanged."""


class RebuildRunning(ReadTablesError):
    """Another process is rebuilding the read tables."""


class NamesTaken(ReadTablesError):
    """The database has its own {names}: give the club a database of its own."""


class TablesBuiltUpon(ReadTablesError):
    """Something in the database that is not the club's builds on the read tables.

    {detail}
    """


class TablesTooStrict(ReadTablesError):
    """The ledger holds what the tables, as they are set now, do not allow.

    {detail}
    """


class TablesBusy(ReadTablesError):
    """Somebody has been reading the read tables all the time: they could not be exchanged."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found and did."""

    events: int
    position: int
    differing: tuple[str, ...]
    """Tables whose old rows were not the rows that the ledger gives."""


async def prepare(postgres: Postgres, tables: Sequence[Table]) -> None:
    """See to it that the read tables are there and are what the code says; rebuild if not."""
    while not await _as_defined(postgres, tables):
        logger.info("projections.changed", doing="building the read tables again")
        try:
            await rebuild(postgres, tables)
        except RebuildRunning:
            await asyncio.sleep(PAUSE)


async def _as_defined(postgres: Postgres, tables: Sequence[Table]) -> bool:
    """Whether the read tables in use are what the code says; made where there are none."""
    async with await postgres.connect() as connection, connection.transaction():
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
        await connection.execute(POSITIONS)
        cursor = await connection.execute(
            "SELECT definition FROM projection_positions WHERE name = %s", [GROUP]
        )
        found = await cursor.fetchone()
        if found is not None:
            return bool(found[0] == definition(tables))
        cursor = await connection.execute(_TAKEN, [[*ENUMS, *(table.name for table in tables)]])
        if taken := [row[0] for row in await cursor.fetchall()]:
            raise NamesTaken(names=", ".join(taken))
        await create_types(connection)
        await create_tables(connection, tables)
        await add_constraints(connection, tables)
        await _set_position(connection, 0, tables)
        return True


async def rebuild(
    postgres: Postgres, tables: Sequence[Table], progress: Progress = lambda _: None
) -> Rebuilt:
    """Build all read tables again and swap them in.

    Raises RebuildRunning where another process is at it, and another ReadTablesError where the
    tables cannot be exchanged; then those in use stay as they are.
    """
    async with (
        await postgres.connect(autocommit=True) as connection,
        await postgres.connect(autocommit=True) as reader,
    ):
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [REBUILD_LOCK])
        if (await cursor.fetchone()) != (True,):
            raise RebuildRunning
        await _begin(connection, tables)
        builder = _Builder(connection, reader, progress)
        while await _scalar(reader, HEAD) - builder.position > NEAR or builder.position == 0:
            if not await builder.catch_up(await _scalar(reader, HEAD)):
                break
        try:
            await add_constraints(connection, tables)
        except psycopg.IntegrityError as forbidden:
            raise TablesTooStrict(detail=forbidden.diag.message_detail) from forbidden
        await connection.execute(f"ANALYZE {', '.join(t.name for t in tables)}".encode())
        differing = await _compare(builder, connection, reader, tables)
        await _swap_when_free(builder, connection, tables)
        return Rebuilt(builder.events, builder.position, differing)


async def _begin(connection: Connection, tables: Sequence[Table]) -> None:
    await connection.execute("SET client_min_messages = warning")
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("SET synchronous_commit = off")
    await create_types(connection)
    await connection.execute(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE".encode())
    await connection.execute(f"CREATE SCHEMA {BESIDE}".encode())
    await connection.execute(f"SET search_path = {BESIDE}, public".encode())
    await create_tables(connection, tables)


class _Builder:
    """The new tables, and how far they have come."""

    def __init__(self, connection: Connection, reader: Connection, progress: Progress) -> None:
        self._connection = connection
        self._reader = reader
        self._progress = progress
        self.position = 0
        self.events = 0

    async def catch_up(self, target: int) -> int:
        """Project everything up to `target`; returns the number of events.

        While one batch is being written, the next is read and folded.
        """
        done = self.events
        async with aclosing(self._batches(target)) as batches:
            upcoming = asyncio.ensure_future(anext(batches, None))
            try:
                while (batch := await upcoming) is not None:
                    upcoming = asyncio.ensure_future(anext(batches, None))
                    position, events, steps = batch
                    async with self._connection.transaction():
                        for step in steps:
                            await step.write(self._connection)
                    self.position, self.events = position, self.events + events
                    self._progress(events)
            finally:
                upcoming.cancel()
                await asyncio.wait([upcoming])
        return self.events - done

    async def _batches(
        self, target: int
    ) -> AsyncGenerator[tuple[int, int, list[Changes | Computation]], None]:
        position = self.position
        while position < target:
            cursor = await self._reader.execute(_EVENTS, [position, target, BATCH], binary=True)
            rows = await cursor.fetchall()
            if not rows:
                return
            position = rows[-1][0]
            yield position, len(rows), fold(events_of(rows))


async def _compare(
    builder: _Builder, connection: Connection, reader: Connection, tables: Sequence[Table]
) -> tuple[str, ...]:
    """Which tables in use differ from the new ones, both at the same position."""
    await _let_the_tail_pass(builder, reader)
    async with reader.transaction():
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await reader.execute("SET LOCAL statement_timeout = 0")
        position = await _scalar(reader, POSITION)
        in_use = [await _checksum(reader, f"public.{table.name}") for table in tables]
        if builder.position > position:
            logger.warning("rebuild.not-compared", reason="the tables in use are behind")
            return ()
        await builder.catch_up(position)
    new = [await _checksum(connection, f"{BESIDE}.{table.name}") for table in tables]
    return tuple(
        table.name for table, old, now in zip(tables, in_use, new, strict=True) if old != now
    )


async def _let_the_tail_pass(builder: _Builder, reader: Connection) -> None:
    """Wait until the tables in use are at least as far, or for a while."""
    for _ in range(MOST_TRIES):
        if await _scalar(reader, POSITION) >= builder.position:
            return
        await asyncio.sleep(PAUSE / 10)


async def _checksum(connection: Connection, name: str) -> tuple[Any, ...] | None:
    cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [name])
    if (await cursor.fetchone()) == (True,):
        return None
    cursor = await connection.execute(_CHECKSUM.format(name=name).encode())
    return await cursor.fetchone()


async def _swap_when_free(
    builder: _Builder, connection: Connection, tables: Sequence[Table]
) -> None:
    """Try until nobody reads at that moment, rather than let everybody wait for a long query."""
    reached = builder.position, builder.events
    for _ in range(MOST_TRIES):
        try:
            await _swap(builder, connection, tables)
        except (LockNotAvailable, DeadlockDetected):
            builder.position, builder.events = reached
            await asyncio.sleep(PAUSE)
        except DependentObjectsStillExist as depending:
            raise TablesBuiltUpon(detail=depending.diag.message_detail) from depending
        else:
            return
    raise TablesBusy


async def _swap(builder: _Builder, connection: Connection, tables: Sequence[Table]) -> None:
    """Hold the tail, take in the last events, and exchange the tables."""
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        await connection.execute(f"{POSITION} FOR UPDATE".encode())
        await builder.catch_up(await _scalar(connection, HEAD))
        # All at once, as they refer to each other; what is not ours is not dropped with them.
        in_use = ", ".join(f"public.{name}" for name in await _in_use(connection))
        await connection.execute(f"DROP TABLE IF EXISTS {in_use} RESTRICT".encode())
        for table in tables:
            await connection.execute(
                f"ALTER TABLE {BESIDE}.{table.name} SET SCHEMA public".encode()
            )
        await connection.execute(f"DROP SCHEMA {BESIDE}".encode())
        await _set_position(connection, builder.position, tables)


async def _in_use(connection: Connection) -> list[str]:
    """The read tables in use, also those that the code does not know any more."""
    cursor = await connection.execute(
        "SELECT unnest(tables) FROM projection_positions WHERE name = %s", [GROUP]
    )
    return [row[0] for row in await cursor.fetchall()]


async def _set_position(connection: Connection, position: int, tables: Sequence[Table]) -> None:
    names = [table.name for table in tables]
    await connection.execute(_SET_POSITION, [GROUP, position, definition(tables), names])


async def _scalar(connection: Connection, sql: str) -> int:
    cursor = await connection.execute(sql.encode())
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
