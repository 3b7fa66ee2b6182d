"""The application's ledger, in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

import orjson

from application.ports.ledger import Receipt, ReceiptKey, Submission, UnreadableHistory
from domain.aggregate import Event
from infra.ledger.mapper import UnreadableEvent, to_event, to_stored
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, SEQUENCES
from infra.ledger.writer import WRITING, Entry, Writer
from projections.engine.batching import Batcher

MOST_NUMBERS = 32
"""Numbers fetched from a sequence together, once a process needs many; unused ones are gaps."""

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
# What became of the commands of these keys.
_RECEIPTS = """
SELECT source, key, fingerprint, outcome FROM ledger_receipts
WHERE (source, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
_NUMBERS = "SELECT nextval(%s::regclass) FROM generate_series(1, %s)"
# Receipts are kept for a while; what they stood for stays in the ledger.
_FORGET_RECEIPTS = (
    "DELETE FROM ledger_receipts WHERE recorded_at < now() - make_interval(hours => %s)"
)


class PostgresLedger:
    """Appends by group commit, reads streams in batches."""

    def __init__(self, postgres: Postgres, on_batch: Callable[[int, int], None]) -> None:
        self._postgres = postgres
        self._writer = Writer(partial(postgres.connect, WRITING), on_batch)
        self._numbers: dict[str, list[int]] = {}
        self._numbers_era = 0
        self._fetching = dict.fromkeys(SEQUENCES, 1)
        self._number_locks = {kind: asyncio.Lock() for kind in SEQUENCES}
        self._streams = Batcher(self._read_streams)
        self._receipts = Batcher(self._read_receipts)

    async def run(self) -> None:
        """Write until `close` was called and everything taken is answered."""
        await self._writer.run()

    def close(self) -> None:
        """Take no more commands."""
        self._writer.close()

    @property
    def era(self) -> int:
        """Another number, once another server has taken over; see the port."""
        return self._postgres.era

    async def append(self, submission: Submission) -> int:
        """Record the submission; see the port."""
        recordings = submission.recordings
        return await self._writer.append(
            Entry(
                command_id=submission.command_id,
                actor=submission.actor,
                correlation_id=submission.correlation_id,
                events=[to_stored(recording.event) for recording in recordings],
                commands=[recording.command for recording in recordings],
                causations=[recording.causation_id for recording in recordings],
                expected=submission.expected,
                conditions=submission.conditions,
                receipt=submission.receipt,
                era=submission.era,
            )
        )

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
        for stream, group in groupby(rows, key=lambda row: row[0]):
            try:
                found[stream] = [to_event(*row) for row in group]
            except UnreadableEvent as unreadable:
                found[stream] = unreadable
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
        numbers = self._fetched(kind)
        if numbers:
            return numbers.pop()
        async with self._number_locks[kind]:
            numbers = self._fetched(kind)
            if not numbers:
                wanted = self._fetching[kind]
                rows = await self._postgres.rows(_NUMBERS, [SEQUENCES[kind], wanted])
                numbers = self._fetched(kind)
                numbers.extend(row[0] for row in reversed(rows))
                self._fetching[kind] = min(wanted * 2, MOST_NUMBERS)
            return numbers.pop()

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
        """Throw away receipts that are older."""
        await self._postgres.rows(_FORGET_RECEIPTS, [after_hours])
