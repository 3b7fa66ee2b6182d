"""What was fetched from Kafka, taken apart: whatever somebody wrote, it is passed, and told.

A batch that cannot be decoded (a codec that nobody here knows, a header whose name is no text,
bytes that do not fit their sum) would be fetched for ever, and nothing behind it be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord

from infra.chain.records import LONGEST


class Refused(bytes):
    """Why there is no body, in its place."""


class _Batches:
    """The batches of a partition that came together; it knows which one was given last."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.last: Any = None

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        self.last = None
        self.last = self._batches.next_batch()
        return self.last


class _Fetched(fetcher.PartitionRecords):  # type: ignore[misc]  # has no type information
    """Has a message in place of a batch that cannot be decoded, and goes on behind it."""

    _records: Any
    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Any]:
        self._records = batches = _Batches(self._records)
        while batches.has_next():
            try:
                yield from super()._unpack_records()
            except Exception as fault:  # Each decoder has its own for foreign bytes.
                last = batches.last
                if last is None:
                    raise  # Not even where the next batch begins is known.
                self.next_fetch_offset = max(last.next_offset, self.next_fetch_offset + 1)
                yield self._refused(f"it cannot be decoded ({type(fault).__name__})")

    def _refused(self, why: str) -> Any:
        at, body = self.next_fetch_offset - 1, Refused(why.encode())
        return ConsumerRecord(*self._tp, at, 0, 0, None, body, None, -1, len(body), ())

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        """One that is too long takes no room in any queue."""
        if record.value is not None and len(record.value) > LONGEST:
            self.next_fetch_offset = record.offset + 1
            return self._refused("it is too long")
        return super()._consumer_record(tp, record)


# Who fetches is made deep in aiokafka's consumer.
fetcher.PartitionRecords = _Fetched
