"""The group commit: one writer a process, which records all commands in flight together.

A batch is one transaction: take the lock, check every version that the commands rest on, give
out the next positions, insert, commit. Because the lock is held until the commit, positions are
without gaps and in the order of the commits, in all processes together. A command that does not
pass the check fails alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
import structlog
from eventsourcing.persistence import StoredEvent
from psycopg.errors import LockNotAvailable, QueryCanceled, ReadOnlySqlTransaction

from application.ports.ledger import (
    AlreadyDone,
    LedgerUnavailable,
    NothingSince,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    StaleDecision,
    TookTooLong,
)
from infra.ledger.conditions import Unseen
from infra.ledger.connection import Connection
from infra.ledger.feed import LAST
from infra.ledger.pipelines import sent
from infra.ledger.schema import CHANNEL, LOCK, NOW

MOST_WAITING = 4096
"""Commands that may wait; with more, the next are refused at once."""

LARGEST_BATCH = 512
"""Commands in one transaction."""

LONGEST_OUTAGE = 10.0
"""Seconds that commands in flight wait for a lost database before they are told so."""

MOST_ATTEMPTS = 3
"""How often a command is tried while the database gives way under it."""

WRITING = {"idle_in_transaction_session_timeout": "4s"}
"""How the connection differs on which a writer holds the lock.

All others wait for it, and several in a row may be frozen or gone, so it ends sooner than other
transactions whose client is asleep.
"""

Connect = Callable[[], Awaitable[Connection]]
logger = structlog.get_logger(__name__)


class WriterStopped(LedgerUnavailable):
    """The ledger's writer of this process has stopped."""


@dataclass(slots=True)
class Entry:
    """What one command wants to record."""

    command_id: str
    actor: str
    correlation_id: str
    events: Sequence[StoredEvent]
    commands: Sequence[str]
    causations: Sequence[str]
    expected: Mapping[str, int]
    conditions: Sequence[NothingSince] = ()
    receipt: Receipt | None = None
    era: int | None = None
    """In which it was decided; None for one that rests on nothing known by heart."""
    attempts: int = 0
    """How often it was tried and found not to be recorded."""
    answer: asyncio.Future[int] = field(default_factory=asyncio.Future)


_LOCK = "SELECT pg_advisory_xact_lock(%s)"

# The head of the ledger, the version of each stream asked for (in the order asked), and which of
# the keys asked for have a receipt.
CHECK = """
SELECT
    coalesce((SELECT max(notification_id) FROM ledger_events), 0),
    ARRAY(
        SELECT coalesce((
            SELECT originator_version FROM ledger_events
            WHERE originator_id = asked.id ORDER BY originator_version DESC LIMIT 1), 0)
        FROM unnest(%b::text[]) WITH ORDINALITY AS asked (id, n) ORDER BY n),
    ARRAY(
        SELECT n FROM unnest(%b::text[], %b::text[]) WITH ORDINALITY AS asked (source, key, n)
        WHERE EXISTS (SELECT FROM ledger_receipts AS r
                      WHERE r.source = asked.source AND r.key = asked.key))
"""

# What came after a position that decisions on the read tables rest on.
_SINCE = """
SELECT notification_id, topic, state FROM ledger_events
WHERE notification_id > %s AND topic = ANY(%s)
"""

# The events of a batch; one announcement tells where it ended.
_INSERT_EVENTS = f"""
WITH now AS MATERIALIZED ({NOW}), recorded AS (
    INSERT INTO ledger_events (
        originator_id, originator_version, topic, state, notification_id,
        actor, command, command_id, correlation_id, causation_id, recorded_at)
    SELECT event.*, now.moment FROM unnest(
        %b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[],
        %b::text[], %b::text[], %b::text[], %b::text[], %b::text[]) AS event, now
)
SELECT pg_notify(%b, %b)
"""  # noqa: S608 - made of constants

_INSERT_RECEIPTS = """
INSERT INTO ledger_receipts (source, key, fingerprint, outcome)
SELECT * FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::json[])
"""

# Where the commands of a batch ended whose commit was not acknowledged; 0 for a bare receipt.
_RECORDED = """
SELECT command_id, max(notification_id) FROM ledger_events
WHERE command_id = ANY(%(ids)s) AND notification_id > %(head)s GROUP BY command_id
"""
_RECEIVED = "SELECT 1 FROM ledger_receipts WHERE source = %s AND key = %s AND fingerprint = %s"


class Writer:
    """Records entries in batches; one for each process."""

    largest_batch = LARGEST_BATCH

    def __init__(self, connect: Connect, on_batch: Callable[[int, int], None]) -> None:
        """`connect` opens a connection; `on_batch` is told the head and the commands in a batch."""
        self._connect = connect
        self._on_batch = on_batch
        self._waiting: deque[Entry] = deque()
        self._batch: list[Entry] = []
        self._arrived = asyncio.Event()
        self._connection: Connection | None = None
        self._committing = False
        """Whether a COMMIT may be on its way."""
        self._head = 0
        self._closing = False

    def append(self, entry: Entry) -> asyncio.Future[int]:
        """Queue the entry; the future is the position of its last event, or why there is none."""
        if len(self._waiting) >= MOST_WAITING or self._closing:
            raise Overloaded
        self._waiting.append(entry)
        self._arrived.set()
        return entry.answer

    async def run(self) -> None:
        """Write batches until `close` was called and nothing waits any more."""
        try:
            while True:
                await self._arrived.wait()
                if not self._waiting and self._closing:
                    return
                self._batch = self._take()
                await self._write(self._batch)
        finally:
            self._closing = True
            _refuse(self._batch, OutcomeUnknown("the writer was stopped in the middle of a batch"))
            _refuse(self._waiting, WriterStopped())
            await self._disconnect()

    def close(self) -> None:
        """Take no more entries; `run` ends when those waiting are answered."""
        self._closing = True
        self._arrived.set()

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        while self._waiting and len(batch) < self.largest_batch:
            entry = self._waiting.popleft()
            if not entry.answer.cancelled():
                batch.append(entry)
        if not self._waiting and not self._closing:
            self._arrived.clear()
        return batch

    async def _write(self, batch: list[Entry]) -> None:
        """Record the batch and answer each entry, whatever happens to the database meanwhile."""
        if not batch:
            return
        self._committing = False
        try:
            connection = await self._connected()
        except psycopg.OperationalError as lost:
            _refuse(batch, LedgerUnavailable(str(lost)))
        else:
            await self._try(connection, batch)

    async def _try(self, connection: Connection, batch: list[Entry]) -> None:
        try:
            await self._commit(connection, batch)
        except (LockNotAvailable, QueryCanceled) as slow:
            # The server says itself that it gave up.
            await self._disconnect()
            _refuse(batch, TookTooLong(str(slow).strip()))
        except ReadOnlySqlTransaction as closed:
            await self._disconnect()
            await self._elsewhere(batch, closed)
        except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
            logger.warning("ledger.connection-lost", reason=str(lost).strip(), commands=len(batch))
            await self._disconnect()
            await self._recover(batch)
        except psycopg.InternalError as fault:
            await self._disconnect()
            _refuse(batch, LedgerUnavailable(str(fault).strip()))
        except (psycopg.Error, ValueError, TypeError) as fault:
            # Text or an outcome that cannot even be sent is no reason to stop for everybody.
            await self._disconnect()
            await self._isolate(batch, fault)

    async def _commit(self, connection: Connection, batch: list[Entry]) -> None:
        head, passed = await self._check(connection, batch)
        self._head = head
        if not passed:
            await connection.rollback()
            return
        self._committing = True
        positions = await _insert(connection, head, passed)
        self._head = max(head, *positions)
        self._on_batch(self._head, len(passed))
        for entry, position in zip(passed, positions, strict=True):
            _answer(entry, position)

    async def _check(self, connection: Connection, batch: list[Entry]) -> tuple[int, list[Entry]]:
        """The head under the lock, and the entries that may be recorded; the others are told."""
        streams = list({stream for entry in batch for stream in entry.expected})
        keyed = [entry for entry in batch if entry.receipt is not None]
        keys = [entry.receipt.key for entry in keyed if entry.receipt is not None]
        async with connection.pipeline():
            await connection.execute(_LOCK, [LOCK])
            cursor = await connection.execute(
                CHECK, [streams, [key.source for key in keys], [key.key for key in keys]]
            )
            await sent(connection)
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
        head, found, received = row
        versions = dict(zip(streams, found, strict=True))
        done = {keys[n - 1] for n in received}
        passed: list[Entry] = []
        for entry in batch:
            if entry.receipt is not None and entry.receipt.key in done:
                _refuse([entry], AlreadyDone())
            elif (
                entry.era not in {None, connection.era}
                or any(versions[s] != v for s, v in entry.expected.items())
                or (entry.conditions and not await hold(connection, entry.conditions, passed))
            ):
                _refuse([entry], StaleDecision())
            else:
                passed.append(entry)
                versions.update({str(e.originator_id): e.originator_version for e in entry.events})
                if entry.receipt is not None:
                    done.add(entry.receipt.key)
        return head, passed

    async def _elsewhere(self, batch: list[Entry], closed: psycopg.Error) -> None:
        """The server may only be read: try again, where the address leads to one that is not."""
        try:
            takes_writes = (await self._connected()).takes_writes
        except psycopg.OperationalError as lost:
            _refuse(batch, LedgerUnavailable(str(lost)))
            return
        if takes_writes:
            self._try_again([entry for entry in batch if not entry.answer.done()])
        else:
            await self._disconnect()
            _refuse(batch, LedgerUnavailable(str(closed).strip()))

    async def _isolate(self, batch: list[Entry], fault: Exception) -> None:
        """One entry cannot be recorded at all: find it by recording each by itself."""
        if len(batch) == 1:
            _refuse(batch, fault)
            return
        for entry in batch:
            if not entry.answer.done():
                await self._write([entry])

    async def _recover(self, batch: list[Entry]) -> None:
        """Find out, under the lock, what was committed before the connection was lost."""
        unanswered = [entry for entry in batch if not entry.answer.done()]
        try:
            async with asyncio.timeout(LONGEST_OUTAGE):
                connection = await self._reconnected()
                recorded = await self._recorded(connection, unanswered)
        except (TimeoutError, psycopg.Error) as lost:
            await self._disconnect()
            unknown = OutcomeUnknown if self._committing else LedgerUnavailable
            _refuse(unanswered, unknown(str(lost)))
            return
        for entry in unanswered:
            if entry.command_id in recorded:
                _answer(entry, recorded[entry.command_id])
        self._try_again([entry for entry in unanswered if not entry.answer.done()])

    def _try_again(self, entries: list[Entry]) -> None:
        """Put what is not recorded back in front, but not for ever."""
        for entry in reversed(entries):
            entry.attempts += 1
            if entry.attempts < MOST_ATTEMPTS:
                self._waiting.appendleft(entry)
                self._arrived.set()
            else:
                _refuse([entry], LedgerUnavailable("the database gives way again and again"))

    async def _recorded(
        self, connection: psycopg.AsyncConnection[Any], entries: list[Entry]
    ) -> dict[str, int]:
        ids = [entry.command_id for entry in entries]
        async with connection.transaction():
            await connection.execute(_LOCK, [LOCK])
            cursor = await connection.execute(_RECORDED, {"ids": ids, "head": self._head})
            recorded = dict(await cursor.fetchall())
            for entry in entries:
                if entry.receipt is not None and not entry.events:
                    r = entry.receipt
                    cursor = await connection.execute(
                        _RECEIVED, [r.key.source, r.key.key, r.fingerprint]
                    )
                    if await cursor.fetchone():
                        recorded[entry.command_id] = 0
        return recorded

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
        return self._connection

    async def _reconnected(self) -> Connection:
        """A new connection, as soon as there is one to be had."""
        pause = 0.05
        while True:
            try:
                return await self._connected()
            except psycopg.OperationalError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _insert(
    connection: psycopg.AsyncConnection[Any], head: int, entries: list[Entry]
) -> list[int]:
    """Insert events and receipts and commit; returns where each entry ended."""
    rows: list[tuple[Any, ...]] = []
    positions: list[int] = []
    for entry in entries:
        for stored, command, cause in zip(
            entry.events, entry.commands, entry.causations, strict=True
        ):
            rows.append(_row(stored, head + len(rows) + 1, entry, command, cause))
        positions.append(head + len(rows))
    async with connection.pipeline():
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await connection.execute(_INSERT_EVENTS, [*columns, CHANNEL, str(head + len(rows))])
        await insert_receipts(connection, entries)
        await sent(connection)
        await connection.commit()
    return positions


async def insert_receipts(
    connection: psycopg.AsyncConnection[Any], entries: Iterable[Entry]
) -> None:
    """Insert the receipts of those that have one."""
    receipts = [
        (r.key.source, r.key.key, r.fingerprint, orjson.dumps(r.outcome).decode())
        for r in (entry.receipt for entry in entries)
        if r is not None
    ]
    if receipts:
        await connection.execute(_INSERT_RECEIPTS, [list(c) for c in zip(*receipts, strict=True)])


async def hold(
    connection: psycopg.AsyncConnection[Any],
    conditions: Sequence[NothingSince],
    ahead: Sequence[Entry],
) -> bool:
    """Whether nothing came that these decisions did not see, in the ledger or in this batch."""
    topics = {topic for condition in conditions for topic in condition.topics}
    cursor = await connection.execute(
        _SINCE, [min(condition.position for condition in conditions), list(topics)]
    )
    came = await cursor.fetchall()
    came += [(LAST, e.topic, e.state) for entry in ahead for e in entry.events if e.topic in topics]
    unseen = Unseen(conditions)
    return not any(unseen.is_said(*event) for event in came)


def _row(
    stored: StoredEvent, position: int, entry: Entry, command: str, cause: str
) -> tuple[Any, ...]:
    return (
        stored.originator_id,
        stored.originator_version,
        stored.topic,
        stored.state,
        position,
        entry.actor,
        command,
        entry.command_id,
        entry.correlation_id,
        cause,
    )


def _answer(entry: Entry, position: int) -> None:
    if not entry.answer.done():
        entry.answer.set_result(position)


def _refuse(entries: Iterable[Entry], why: BaseException) -> None:
    for entry in entries:
        if not entry.answer.done():
            entry.answer.set_exception(why)
