"""Recording a command that is large by itself: a cascade of thousands of events.

It is written on a connection of its own, so that the group commit of its process goes on. Before
the ledger's lock its rows are brought to the server, and what it rests on is looked up; under the
lock only what came since is looked at, and the rows take their positions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from application.ports.ledger import AlreadyDone, StaleDecision
from application.slices import Slices
from infra.ledger.connection import Connection
from infra.ledger.schema import CHANNEL, LOCK, NOW
from infra.ledger.writer import CHECK, Entry, Writer, hold, insert_receipts

LARGE = 1000
"""More events than this, or aggregates that a command rests on, make it large."""

SIGN_OF_LIFE = 1.0
"""Seconds between signs of life of whoever holds the lock while it decides."""

_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_STAGE = """
CREATE TEMPORARY TABLE recorded (
    n bigint, originator_id text, originator_version bigint, topic text, state bytea,
    command text, causation_id text
) ON COMMIT DROP
"""
_COPY = "COPY recorded FROM STDIN (FORMAT binary)"
_TYPES = ("int8", "text", "int8", "text", "bytea", "text", "text")

# To what something happened after a position.
_SINCE = "SELECT DISTINCT originator_id FROM ledger_events WHERE notification_id > %s"
_INSERT = f"""
WITH now AS MATERIALIZED ({NOW}), inserted AS (
    INSERT INTO ledger_events (
        originator_id, originator_version, topic, state, notification_id,
        actor, command, command_id, correlation_id, causation_id, recorded_at)
    SELECT originator_id, originator_version, topic, state, %s + n, %s, command, %s, %s,
           causation_id, moment
    FROM recorded, now ORDER BY n
)
SELECT pg_notify(%s, %s)
"""  # noqa: S608 - made of constants


def is_large(entry: Entry) -> bool:
    """Whether it would hold up the others of its batch."""
    return max(len(entry.events), len(entry.expected)) > LARGE


class BulkWriter(Writer):
    """Records large entries, one after the other."""

    largest_batch = 1

    async def _commit(self, connection: Connection, batch: list[Entry]) -> None:
        (entry,) = batch
        self._committing = True
        try:
            position = await record(connection, entry)
        except (StaleDecision, AlreadyDone) as no:
            entry.answer.set_exception(no)
        else:
            self._on_batch(position, 1)
            entry.answer.set_result(position)
        await self._disconnect()  # The next one may be a long time coming.


async def record(connection: Connection, entry: Entry) -> int:
    """Record it and commit; the position at which it ends. Raises AlreadyDone or StaleDecision."""
    if entry.era not in {None, connection.era}:
        raise StaleDecision
    await _stage(connection, entry)
    seen = await _look(connection, entry, list(entry.expected))
    await connection.execute(_LOCK, [LOCK])
    head = await _look(connection, entry, [])
    cursor = await connection.execute(_SINCE, [seen])
    if any(stream in entry.expected for (stream,) in await cursor.fetchall()):
        raise StaleDecision
    if entry.conditions and not await hold(connection, entry.conditions, []):
        raise StaleDecision
    end = head + len(entry.events)
    await connection.execute(
        _INSERT,
        [head, entry.actor, entry.command_id, entry.correlation_id, CHANNEL, str(end)],
    )
    await insert_receipts(connection, [entry])
    await connection.commit()
    return end


@asynccontextmanager
async def alone(connection: Connection) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold the ledger's lock while something is decided; yields what to call when it is.

    The lock is for a process that works: a sign of life now and then tells the server so, and it
    takes the lock from one that is frozen.
    """
    await connection.execute(_LOCK, [LOCK])
    decided = asyncio.Event()
    living = asyncio.create_task(_show_life(connection, decided))

    async def end() -> None:
        decided.set()
        await living

    try:
        yield end
    finally:
        await end()
        await connection.rollback()


async def _show_life(connection: Connection, decided: asyncio.Event) -> None:
    while not decided.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(SIGN_OF_LIFE):
                await decided.wait()
        await connection.execute("SELECT 1")


async def _look(connection: Connection, entry: Entry, streams: list[str]) -> int:
    """The head; raises AlreadyDone, or StaleDecision where one of the streams has moved."""
    keys = [] if entry.receipt is None else [entry.receipt.key]
    asked = [streams, [key.source for key in keys], [key.key for key in keys]]
    cursor = await connection.execute(CHECK, asked)
    ((head, versions, received),) = await cursor.fetchall()
    if received:
        raise AlreadyDone
    if any(entry.expected[s] != v for s, v in zip(streams, versions, strict=True)):
        raise StaleDecision
    return int(head)


async def _stage(connection: Connection, entry: Entry) -> None:
    """Bring the rows to the server, where they wait for their positions."""
    slices = Slices()
    await connection.execute("SET LOCAL client_min_messages = warning")
    await connection.execute(_STAGE)
    rows = zip(entry.events, entry.commands, entry.causations, strict=True)
    async with connection.cursor().copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for n, (stored, command, cause) in enumerate(rows, start=1):
            await copy.write_row(
                (
                    n,
                    stored.originator_id,
                    stored.originator_version,
                    stored.topic,
                    stored.state,
                    command,
                    cause,
                )
            )
            await slices.between()
