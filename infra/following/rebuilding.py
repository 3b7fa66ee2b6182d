"""Building the tables of a group again from the ledger, beside those in use, and swapping them in.

The club stays open: the tail keeps the old tables current until the new ones have caught up,
and the swap itself takes a moment. Memory is bounded by a few batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
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

from infra.faults import Fault
from infra.following import belongings, tables
from infra.following.belongings import Belongings, CannotBeCarried, Moment
from infra.following.follower import database_said
from infra.following.projecting import TablesOlder
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, SCHEMA_LOCK
from projections.engine.folding import Changes, Tripped, fold_batch
from projections.engine.model import Group
from projections.engine.schema import (
    add_constraints,
    add_indexes_for_when_off,
    create_tables,
    create_types,
)
from projections.engine.table import Switch
from projections.engine.writing import load, switched, write

BATCH = 2500
"""Events read, folded and written together."""

NEAR = 2000
"""Events behind which the new tables may be when the constraints are added."""

PAUSE = 0.5
"""Seconds between attempts, where others are in the way."""

MOST_TRIES = 40
"""Attempts to exchange the tables while others read them."""

Connection = psycopg.AsyncConnection[Any]
Progress = Callable[[int], None]
logger = structlog.get_logger(__name__)

# Whoever rebuilds a group.
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('club rebuild ' || %s, 0))"

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
# All new tables that are not in use.
_DROP = "DROP SCHEMA IF EXISTS {beside} CASCADE"

# A table's rows in one number, whatever their order.
_CHECKSUM = "SELECT count(*), coalesce(sum(hash_record_extended(t, 0)), 0)::text FROM {name} AS t"


class ReadTablesError(Fault):
    """The read tables cannot be made, or not be exchanged."""


class RebuildRunning(ReadTablesError):
    """Another process is rebuilding the read tables."""


class NamesTaken(ReadTablesError):
    """The database has its own {names}: give the club a database of its own."""


class TablesTooStrict(ReadTablesError):
    """The ledger holds what the tables, as they are set now, do not allow: {reason}."""


class RebuildStopped(ReadTablesError):
    """The ledger was followed up to position {position} ({topic}) and no further: {reason}.

    The tables in use stay as they are.
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


def beside(group: Group) -> str:
    """The schema in which new tables of the group grow."""
    return f"club_rebuild_{group.name}"


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
    """Build the tables of a newer generation, unless somebody else is at it.

    Raises TablesOlder while another process builds, and what `rebuild` raises.
    """
    await make_missing(postgres, [group])
    async with await postgres.connect(autocommit=True) as connection:
        found = await tables.find(connection, group)
    if found is not None and found.generation >= group.generation:
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
    try:
        return await _rebuild(postgres, group, progress)
    except (feed.Unreadable, Tripped) as stopped:
        raise RebuildStopped(
            position=stopped.position, topic=stopped.topic, reason=stopped.reason
        ) from stopped


async def _rebuild(postgres: Postgres, group: Group, progress: Progress) -> Rebuilt:
    async with (
        await postgres.connect(autocommit=True) as connection,
        await postgres.connect(autocommit=True) as reader,
    ):
        cursor = await connection.execute(_LOCK, [group.name])
        if (await cursor.fetchone()) != (True,):
            raise RebuildRunning
        in_use = await tables.find(reader, group)
        await _begin(connection, group)
        try:
            return await _build_and_swap(_Builder(group, connection, reader, progress), in_use)
        except (Fault, feed.Unreadable, Tripped):
            await connection.execute(_DROP.format(beside=beside(group)).encode())
            raise


async def _build_and_swap(builder: _Builder, in_use: tables.InUse | None) -> Rebuilt:
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
    differing = await _compare(builder, connection, reader) if same else ()
    await _swap_when_free(builder, connection, hanging, made)
    for name in hanging.with_statistics():
        await connection.execute(f"ANALYZE public.{name}".encode())
    return Rebuilt(builder.events, builder.position, differing)


async def _begin(connection: Connection, group: Group) -> None:
    await connection.execute("SET client_min_messages = warning")
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("SET synchronous_commit = off")
    await create_types(connection, group.types)
    await connection.execute(_DROP.format(beside=beside(group)).encode())
    await connection.execute(f"CREATE SCHEMA {beside(group)}".encode())
    await connection.execute(f"SET search_path = {beside(group)}, public".encode())


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


@contextmanager
def _not_too_strict() -> Iterator[None]:
    """Raises TablesTooStrict for rows that a constraint forbids, also one of an administrator."""
    try:
        yield
    except psycopg.IntegrityError as forbidden:
        raise TablesTooStrict(reason=database_said(forbidden)) from forbidden


class _Builder:
    """The new tables, and how far they have come."""

    def __init__(
        self, group: Group, connection: Connection, reader: Connection, progress: Progress
    ) -> None:
        self.group = group
        self.connection = connection
        self.reader = reader
        self._progress = progress
        self._switches: dict[str, Switch] = {}
        self._constrained = False
        self.position = 0
        self.events = 0

    async def catch_up_nearly(self) -> None:
        """Take in the ledger, until what is left is little."""
        while (head := await _scalar(self.reader, HEAD)) - self.position > NEAR or (
            self.position == 0
        ):
            if not await self.catch_up(head):
                return

    async def constrain(self) -> None:
        """Add the constraints and indexes, which rows come faster without."""
        with _not_too_strict():
            await add_constraints(self.connection, self.group, list(self._switches.values()))
        self._constrained = True

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
                    await self._write(*batch)
            finally:
                upcoming.cancel()
                await asyncio.wait([upcoming])
        return self.events - done

    async def _write(self, batch: feed.Batch, steps: Sequence[Changes] | None) -> None:
        with _not_too_strict():
            async with self.connection.transaction():
                if steps is None:
                    known = await load(self.group, batch.events, self.connection)
                    steps = fold_batch(self.group, batch.events, known)
                await write(self.group, steps, self.connection, constrained=self._constrained)
        for switch in switched(steps):
            self._switches[switch.constraint.name] = switch
        events = batch.position - self.position
        self.position, self.events = batch.position, self.events + events
        self._progress(events)

    async def _batches(
        self, target: int
    ) -> AsyncGenerator[tuple[feed.Batch, Sequence[Changes] | None], None]:
        """What comes next; folded already, where that does not rest on rows to be written."""
        position = self.position
        while position < target:
            batch = await feed.after(
                self.reader, position, BATCH, until=target, kinds=self.group.kinds
            )
            if batch.position == position:
                return
            position = batch.position
            yield batch, None if self.group.folds else fold_batch(self.group, batch.events)


async def _compare(
    builder: _Builder, connection: Connection, reader: Connection
) -> tuple[str, ...]:
    """Which tables in use differ from the new ones, both at the same position."""
    group = builder.group
    await _let_the_tail_pass(builder, reader)
    async with reader.transaction():
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await reader.execute("SET LOCAL statement_timeout = 0")
        await reader.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        position = await _position(reader, group)
        in_use = [await _checksum(reader, f"public.{table.name}") for table in group.tables]
        if builder.position > position:
            logger.warning("rebuild.not-compared", reason="the tables in use are behind")
            return ()
        await builder.catch_up(position)
    new = [await _checksum(connection, f"{beside(group)}.{table.name}") for table in group.tables]
    return tuple(
        table.name for table, old, now in zip(group.tables, in_use, new, strict=True) if old != now
    )


async def _let_the_tail_pass(builder: _Builder, reader: Connection) -> None:
    """Wait until the tables in use are at least as far, or for a while."""
    for _ in range(MOST_TRIES):
        if await _position(reader, builder.group) >= builder.position:
            return
        await asyncio.sleep(PAUSE / 10)


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


async def _swap_when_free(
    builder: _Builder, connection: Connection, hanging: Belongings, made: tables.Made
) -> None:
    """Try until nobody reads at that moment, rather than let everybody wait for a long query."""
    reached = builder.position, builder.events
    for _ in range(MOST_TRIES):
        try:
            await _swap(builder, connection, hanging, made)
        except (LockNotAvailable, DeadlockDetected):
            builder.position, builder.events = reached
            await asyncio.sleep(PAUSE)
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
    builder: _Builder, connection: Connection, hanging: Belongings, made: tables.Made
) -> None:
    """Hold the tail, take in the last events, and exchange the tables and all that is on them."""
    group = builder.group
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        in_use = await tables.find(connection, group, hold=True)
        await builder.catch_up(await _scalar(connection, HEAD))
        # Nothing may be left to check on tables that are altered.
        with _not_too_strict():
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        names = await _there(connection, in_use)
        if names:
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
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


async def _scalar(connection: Connection, sql: str) -> int:
    cursor = await connection.execute(sql.encode())
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
