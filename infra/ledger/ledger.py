"""The application's ledger, in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby

import orjson
import psycopg

from application.ports.ledger import (
    Append,
    OutcomeUnknown,
    Receipt,
    ReceiptKey,
    StaleDecision,
    Submission,
    UnreadableHistory,
)
from application.slices import Slices
from domain.aggregate import Event
from infra.ledger import bulk, numbers
from infra.ledger.bulk import BulkWriter, is_large
from infra.ledger.mapper import UnreadableEvent, to_event, to_stored
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, SEQUENCES
from infra.ledger.writer import WRITING, Entry, Writer
from projections.engine.batching import Batcher

MOST_NUMBERS = 32
"""Numbers fetched from a sequence together, once a process needs many; unused ones are gaps."""

FORGOTTEN_TOGETHER = 2000
"""Receipts that are thrown away in one transaction."""

# Whole streams, each in order.
_STREAMS = """
SELECT originator_id, originator_version, topic, state FROM ledger_events
WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version
"""
# Every aggregate of a kind.
_IDS = """
SELECT DISTINCT originator_id FROM ledger_events
WHERE originator_id > %s AND originator_id < %s ORDER BY 1
"""
# Which of these are there.
_BEGUN = """
SELECT originator_id FROM ledger_events WHERE originator_id = ANY(%s) AND originator_version = 1
"""
# What became of the commands of these keys.
_RECEIPTS = """
SELECT source, key, fingerprint, outcome FROM ledger_receipts
WHERE (source, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
_NUMBERS = "SELECT nextval(%s::regclass) FROM generate_series(1, %s)"
# Receipts are kept for a while; what they stood for stays in the ledger.
_FORGET_RECEIPTS = """
WITH old AS (
    SELECT source, key FROM ledger_receipts
    WHERE recorded_at < now() - make_interval(hours => %s)
    ORDER BY recorded_at LIMIT %s FOR UPDATE SKIP LOCKED
), gone AS (DELETE FROM ledger_receipts AS r USING old
            WHERE (r.source, r.key) = (old.source, old.key) RETURNING 1)
SELECT count(*) FROM gone
"""


class PostgresLedger:
    """Appends by group commit, reads streams in batches."""

    def __init__(self, postgres: Postgres, on_batch: Callable[[int, int], None]) -> None:
        self._postgres = postgres
        connect = partial(postgres.connect, WRITING)
        self._writer = Writer(connect, on_batch)
        self._bulk_writer = BulkWriter(connect, on_batch)
        self._numbers: dict[str, list[int]] = {}
        self._numbers_era = 0
        self._fetching = dict.fromkeys(SEQUENCES, 1)
        self._number_locks = {kind: asyncio.Lock() for kind in SEQUENCES}
        self._alone = asyncio.Lock()
        self._streams = Batcher(self._read_streams)
        self._receipts = Batcher(self._read_receipts)

    async def run(self) -> None:
        """Write until `close` was called and everything taken is answered."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run())
            tasks.create_task(self._bulk_writer.run())

    def close(self) -> None:
        """Take no more commands."""
        self._writer.close()
        self._bulk_writer.close()

    @property
    def era(self) -> int:
        """Another number, once another server has taken over; see the port."""
        return self._postgres.era

    async def append(self, submission: Submission) -> int:
        """Record the submission; see the port."""
        entry = await _entry(submission)
        writer = self._bulk_writer if is_large(entry) else self._writer
        try:
            return await writer.append(entry)
        except StaleDecision:
            await self._look_at_numbers(submission)
            raise

    async def _look_at_numbers(self, submission: Submission) -> None:
        """Whether a number that was handed out is taken: then its sequence is put right.

        Somebody reset it while this runs; who decides anew gets a number that is free.
        """
        new = {
            r.event.originator_id: r.event.kind
            for r in submission.recordings
            if r.event.originator_version == 1 and r.event.kind in SEQUENCES
        }
        if not new:
            return
        taken = await self._postgres.rows(_BEGUN, [list(new)])
        for kind in {new[stream] for (stream,) in taken}:
            async with self._number_locks[kind]:
                self._fetched(kind).clear()
                async with await self._postgres.connect(autocommit=True) as connection:
                    await numbers.put_right(connection, [kind])

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Append]:
        """Let nobody else record anything before it is over; see the port."""
        try:
            async with (
                self._alone,
                await self._postgres.connect() as connection,
                bulk.alone(connection) as decided,
            ):

                async def append(submission: Submission) -> int:
                    entry = await _entry(submission)
                    await decided()
                    return await bulk.record(connection, entry)

                yield append
        except psycopg.Error as lost:
            raise OutcomeUnknown(str(lost).strip()) from lost

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """The events of these aggregates; loads under way at the same time share a query."""
        found = await self._streams.get_all(ids)
        read: dict[str, Sequence[Event]] = {}
        for stream, events in found.items():
            if isinstance(events, UnreadableEvent):
                raise UnreadableHistory from events
            read[stream] = events
        return read

    async def ids(self, kind: str) -> Sequence[str]:
        """The ids of all aggregates of a kind that has few."""
        between = [f"{kind}-", f"{kind}."]  # a dot is what comes after a hyphen
        return [row[0] for row in await self._postgres.rows(_IDS, between)]

    async def _read_streams(self, ids: Sequence[str]) -> dict[str, list[Event] | UnreadableEvent]:
        """Each stream by itself: one that cannot be read is no fault of those beside it."""
        found: dict[str, list[Event] | UnreadableEvent] = {stream: [] for stream in ids}
        rows = await self._postgres.rows(_STREAMS, [list(ids)])
        slices = Slices()
        for stream, group in groupby(rows, key=lambda row: row[0]):
            try:
                found[stream] = [to_event(*row) for row in group]
            except UnreadableEvent as unreadable:
                found[stream] = unreadable
            await slices.between()
        return found

    async def receipt(self, key: ReceiptKey) -> Receipt | None:
        """What became of the command of this key."""
        return await self._receipts.get(key)

    async def _read_receipts(self, keys: Sequence[ReceiptKey]) -> dict[ReceiptKey, Receipt | None]:
        found: dict[ReceiptKey, Receipt | None] = dict.fromkeys(keys)
        asked = [[key.source for key in keys], [key.key for key in keys]]
        for source, name, fingerprint, outcome in await self._postgres.rows(_RECEIPTS, asked):
            key = ReceiptKey(source, name)
            found[key] = Receipt(key, bytes(fingerprint), orjson.loads(outcome))
        return found

    async def next_id(self, kind: str) -> int:
        """A number from the kind's sequence."""
        fetched = self._fetched(kind)
        if fetched:
            return fetched.pop()
        async with self._number_locks[kind]:
            fetched = self._fetched(kind)
            if not fetched:
                wanted = self._fetching[kind]
                rows = await self._postgres.rows(_NUMBERS, [SEQUENCES[kind], wanted])
                fetched = self._fetched(kind)
                fetched.extend(row[0] for row in reversed(rows))
                self._fetching[kind] = min(wanted * 2, MOST_NUMBERS)
            return fetched.pop()

    def _fetched(self, kind: str) -> list[int]:
        """Numbers that were fetched together; those of another server may be taken there."""
        if self._numbers_era != self._postgres.era:
            self._numbers_era = self._postgres.era
            self._numbers.clear()
        return self._numbers.setdefault(kind, [])

    async def head(self) -> int:
        """The last position."""
        rows = await self._postgres.rows(HEAD)
        return int(rows[0][0])

    async def forget_receipts(self, after_hours: int) -> None:
        """Throw away receipts that are older: some at a time, each time for a moment."""
        some = FORGOTTEN_TOGETHER
        while some == FORGOTTEN_TOGETHER:
            some = (await self._postgres.rows(_FORGET_RECEIPTS, [after_hours, some]))[0][0]


async def _entry(submission: Submission) -> Entry:
    """The submission in the form in which it is recorded."""
    recordings = submission.recordings
    stored, slices = [], Slices()
    for recording in recordings:
        stored.append(to_stored(recording.event))
        await slices.between()
    return Entry(
        command_id=submission.command_id,
        actor=submission.actor,
        correlation_id=submission.correlation_id,
        events=stored,
        commands=[recording.command for recording in recordings],
        causations=[recording.causation_id for recording in recordings],
        expected=submission.expected,
        conditions=submission.conditions,
        receipt=submission.receipt,
        era=submission.era,
    )
